//! Writing one file: under a temporary name, as often as connections are lost, then in place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use mlflow_artifacts_core::{
    ArtifactPath, ByteStream, Digest, DigestAlgorithm, Error, ErrorKind, PutBody, PutMode, PutOptions,
    PutOutcome, Result, Retry, TEMPORARY_PREFIX,
};
use tokio_util::sync::CancellationToken;

use crate::content::{Content, Hashing};
use crate::remote::{Remote, child, in_a_removed_directory, is_a_directory, parent};
use crate::{Entry, EntryKind};

/// How often a directory is made again that somebody else keeps removing.
const DIRECTORY_ATTEMPTS: usize = 16;

/// One `put`. It runs to its end, or to that of its cleaning up, whatever becomes of its caller: what was begun on a connection is
/// ended in order, and no temporary file stays.
pub(crate) struct Write {
    remote: Remote,
    target: String,
    /// What was written to, the last one last.
    temporaries: Vec<String>,
    options: PutOptions,
    token: CancellationToken,
    /// The directories that were made for the file, the highest first.
    made: Vec<String>,
    /// How many bytes the observer was told of.
    told: Arc<AtomicU64>,
    /// Whether the server has opened a file for it.
    opened: Arc<AtomicBool>,
}

impl Write {
    pub(crate) async fn put(
        remote: &Remote,
        path: &ArtifactPath,
        body: PutBody,
        options: PutOptions,
    ) -> Result<PutOutcome> {
        let target = remote.place(path)?;
        if path.is_root() {
            return Err(is_a_directory());
        }
        let token = CancellationToken::new();
        let write = Write {
            remote: remote.clone(),
            target,
            temporaries: Vec::new(),
            options,
            token: token.clone(),
            made: Vec::new(),
            told: Arc::default(),
            opened: Arc::default(),
        };
        let dropped = token.drop_guard();
        let ended = tokio::spawn(write.run(body)).await;
        dropped.disarm();
        match ended {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::new(ErrorKind::Cancelled, "the runtime was shut down")),
            },
        }
    }

    async fn run(mut self, body: PutBody) -> Result<PutOutcome> {
        let content = Content::of(body).await?;
        let written = self.write(&content).await;
        if written.is_ok() {
            // It has another name now.
            self.temporaries.pop();
        }
        self.clean_up(written.is_err()).await;
        written
    }

    /// Where the content is written to.
    fn temporary(&self) -> &str {
        self.temporaries.last().map_or("", String::as_str)
    }

    fn begin_anew(&mut self) {
        let directory = parent(&self.target).unwrap_or("/");
        let name = format!("{TEMPORARY_PREFIX}{:016x}.part", rand::random::<u64>());
        self.temporaries.push(child(directory, &name));
    }

    async fn write(&mut self, content: &Content) -> Result<PutOutcome> {
        let (entry, digest) = self.fill(content).await?;
        if self.token.is_cancelled() {
            return Err(Error::cancelled());
        }
        self.rename(&entry).await?;
        let digest = digest.filter(|digest| digest.algorithm() == DigestAlgorithm::Sha256);
        Ok(PutOutcome { size: entry.size, etag: None, digest })
    }

    /// Fills the temporary file and compares it with the content.
    async fn fill(&mut self, content: &Content) -> Result<(Entry, Option<Digest>)> {
        let server_tells =
            self.options.digest.is_none_or(|digest| digest.algorithm() == DigestAlgorithm::Sha256)
                && self.remote.patience.repeat(|| self.remote.server.tells_digests()).await?;
        let algorithm = self.options.digest.map(|digest| digest.algorithm());
        let algorithm = algorithm.or_else(|| server_tells.then_some(DigestAlgorithm::Sha256));
        let hashing = algorithm.map(Hashing::new);
        let (entry, resumed) = self.send(content, hashing.as_ref()).await?;
        let digest = match algorithm {
            // What was sent twice was hashed twice.
            Some(algorithm) if resumed => Some(content.digest(algorithm).await?),
            _ => hashing.and_then(|hashing| hashing.finish()),
        };
        if let (Some(expected), Some(actual)) = (self.options.digest, digest) {
            expected.verify(&actual)?;
        }
        if let Some(digest) = digest.filter(|_| server_tells) {
            let stored = self.remote.patience.repeat(|| self.remote.server.digest(self.temporary())).await;
            let stored = stored.map_err(|error| match error.kind() {
                ErrorKind::NotFound => in_a_removed_directory(error),
                _ => error,
            });
            digest.verify(&stored?)?;
        }
        Ok((entry, digest))
    }

    /// Sends the content until the server has all of it; says whether some of it was sent more than once.
    async fn send(&mut self, content: &Content, hashing: Option<&Hashing>) -> Result<(Entry, bool)> {
        let (mut offset, mut furthest, mut goes_on) = (0, 0, true);
        let (mut resumed, mut directories) = (false, 0);
        let mut attempts = self.remote.patience.attempts();
        self.begin_anew();
        loop {
            let progress = Arc::new(Progress { sent: AtomicU64::new(offset), broke: AtomicBool::new(false) });
            let mut stream = self.watched(content.stream(offset), &progress);
            if let Some(hashing) = hashing.filter(|_| !resumed) {
                stream = hashing.through(stream);
            }
            let error = match self.remote.server.write(self.temporary(), offset, stream).await {
                Ok(entry) => return check_size(entry, progress.sent()).map(|()| (entry, resumed)),
                Err(error) if progress.broke.load(Ordering::Relaxed) => return Err(error),
                Err(error) => error,
            };
            if self.token.is_cancelled() {
                return Err(Error::cancelled());
            }
            if offset > 0 && error.kind() == ErrorKind::Unsupported {
                (offset, goes_on) = (0, false);
                self.begin_anew();
                continue;
            }
            // Servers have many ways to say that a directory is missing.
            let may_lack_its_directory = error.retry() == Retry::Never && progress.sent() == 0;
            if may_lack_its_directory && content.comes_again() && directories < DIRECTORY_ATTEMPTS {
                directories += 1;
                // The first time it may also be somebody else who made the directory meanwhile.
                if self.make_parent().await? || directories == 1 {
                    continue;
                }
            }
            if error.retry() == Retry::Never {
                return Err(self.remote.why_not_written(&self.target, error).await);
            }
            if !content.comes_again() {
                return Err(error.with_help("write it once more: a stream cannot be sent again"));
            }
            attempts.wait(error).await?;
            resumed |= progress.sent() > 0;
            let reached = if goes_on { self.reached(content.length()).await? } else { 0 };
            if reached == 0 && self.opened.load(Ordering::Relaxed) {
                // Whoever may still write to the other one does not meet this one.
                self.begin_anew();
            }
            if reached > furthest {
                attempts.renew();
                furthest = reached;
            }
            offset = reached.saturating_sub(self.remote.server.write_window());
        }
    }

    /// How much of the content the server has that can be gone on with: nothing if it has more than there is.
    async fn reached(&self, length: Option<u64>) -> Result<u64> {
        let size = self.remote.find(self.temporary()).await?.map_or(0, |entry| entry.size);
        Ok(if size <= length.unwrap_or(0) { size } else { 0 })
    }

    /// Makes the directory of the file; says whether it was missing.
    async fn make_parent(&mut self) -> Result<bool> {
        let Some(directory) = parent(&self.target) else { return Ok(false) };
        if let Some(entry) = self.remote.find(directory).await?
            && entry.kind == EntryKind::Directory
        {
            return Ok(false);
        }
        let made = self.remote.make_directories(directory).await?;
        self.made.extend(made);
        Ok(true)
    }

    /// A stream that ends with an error when the put is given up, and tells the observer what it has not heard yet.
    fn watched(&self, stream: ByteStream, progress: &Arc<Progress>) -> ByteStream {
        let (options, told, progress) = (self.options.clone(), Arc::clone(&self.told), Arc::clone(progress));
        let broken = Arc::clone(&progress);
        let counted = stream.and_then(move |chunk| {
            let sent = progress.advance(chunk.len() as u64);
            let before = told.fetch_max(sent, Ordering::Relaxed);
            let observed = options.advance(sent.saturating_sub(before));
            future::ready(observed.map(|()| chunk))
        });
        let opened = Arc::clone(&self.opened);
        let first = async move {
            opened.store(true, Ordering::Relaxed);
            Ok(Bytes::new())
        };
        let token = self.token.clone();
        let given_up =
            async move { if token.is_cancelled() { Err(Error::cancelled()) } else { Ok(Bytes::new()) } };
        stream::once(first)
            .chain(counted)
            .take_until(self.token.clone().cancelled_owned())
            .chain(stream::once(given_up))
            .try_filter(|chunk| future::ready(!chunk.is_empty()))
            .inspect_err(move |_| broken.broke.store(true, Ordering::Relaxed))
            .boxed()
    }

    async fn rename(&mut self, entry: &Entry) -> Result<()> {
        let replace = self.options.mode != PutMode::CreateNew;
        let mut attempts = self.remote.patience.attempts();
        let mut is_first = true;
        loop {
            let renamed = self.remote.server.rename(self.temporary(), &self.target, replace).await;
            let Err(error) = renamed else { return Ok(()) };
            let is_final = error.retry() != Retry::Transient;
            // The answer may have been lost, of this attempt or of an earlier one.
            if !(is_first && is_final) && self.is_in_place(entry).await? {
                return Ok(());
            }
            is_first = false;
            if is_final {
                return Err(self.why_not_renamed(replace, error).await);
            }
            if let Err(error) = attempts.wait(error).await {
                return Err(if replace { self.kept(error).await } else { error });
            }
        }
    }

    /// Where a server cannot replace a file at once, that may be gone already: then what was to take its place stays.
    async fn kept(&mut self, error: Error) -> Error {
        let is_there = async |place| matches!(self.remote.find(place).await, Ok(Some(_)));
        if is_there(&self.target).await || !is_there(self.temporary()).await {
            return error;
        }
        let kept = self.temporaries.pop().unwrap_or_default();
        error
            .with_help(format!("the artifact is on the server as {kept}: rename it there, or write it again"))
    }

    async fn is_in_place(&self, entry: &Entry) -> Result<bool> {
        if self.remote.find(self.temporary()).await?.is_some() {
            return Ok(false);
        }
        Ok(self.remote.find(&self.target).await?.is_some_and(|found| found.size == entry.size))
    }

    async fn why_not_renamed(&self, replace: bool, error: Error) -> Error {
        match self.remote.find(&self.target).await {
            Ok(Some(entry)) if entry.kind == EntryKind::Directory => is_a_directory(),
            Ok(Some(_)) if !replace => Error::new(ErrorKind::AlreadyExists, "there is an artifact already"),
            Ok(_) if matches!(self.remote.find(self.temporary()).await, Ok(None)) => {
                in_a_removed_directory(error)
            }
            _ => error,
        }
    }

    async fn clean_up(&self, is_given_up: bool) {
        for temporary in &self.temporaries {
            let remove = || self.remote.server.remove_file(temporary);
            // Where nothing was opened, there is hardly anything, and perhaps no server either.
            let _ = if self.opened.load(Ordering::Relaxed) {
                self.remote.patience.repeat(remove).await
            } else {
                remove().await
            };
        }
        if is_given_up {
            self.remote.remove_made(&self.made).await;
        }
    }
}

/// How far one attempt came.
struct Progress {
    /// Up to which byte of the content.
    sent: AtomicU64,
    /// Whether the content itself failed, or was given up.
    broke: AtomicBool,
}

impl Progress {
    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn advance(&self, bytes: u64) -> u64 {
        self.sent.fetch_add(bytes, Ordering::Relaxed) + bytes
    }
}

fn check_size(entry: Entry, sent: u64) -> Result<()> {
    if entry.size == sent {
        return Ok(());
    }
    let message = format!("{sent} bytes were sent, the server has {}", entry.size);
    Err(Error::new(ErrorKind::SizeMismatch, message))
}
