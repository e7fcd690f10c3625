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
    temporary: String,
    options: PutOptions,
    token: CancellationToken,
    /// The directories that were made for the file, the highest first.
    made: Vec<String>,
    /// How many bytes the observer was told of.
    told: Arc<AtomicU64>,
}

impl Write {
    pub(crate) async fn put(
        remote: &Remote,
        path: &ArtifactPath,
        body: PutBody,
        options: PutOptions,
    ) -> Result<PutOutcome> {
        let target = remote.place(path)?;
        let Some(directory) = parent(&target).filter(|_| !path.is_root()) else {
            return Err(is_a_directory());
        };
        let token = CancellationToken::new();
        let temporary = child(directory, &format!("{TEMPORARY_PREFIX}{:016x}.part", rand::random::<u64>()));
        let write = Write {
            remote: remote.clone(),
            target,
            temporary,
            options,
            token: token.clone(),
            made: Vec::new(),
            told: Arc::default(),
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
        if written.is_err() {
            self.clean_up().await;
        }
        written
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
            let stored = self.remote.patience.repeat(|| self.remote.server.digest(&self.temporary)).await;
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
        let (mut offset, mut resumed, mut directories) = (0, false, 0);
        let mut attempts = self.remote.patience.attempts();
        loop {
            let progress = Arc::new(Progress { sent: AtomicU64::new(offset), broke: AtomicBool::new(false) });
            let mut stream = self.watched(content.stream(offset), &progress);
            if let Some(hashing) = hashing.filter(|_| !resumed) {
                stream = hashing.through(stream);
            }
            let error = match self.remote.server.write(&self.temporary, offset, stream).await {
                Ok(entry) => return check_size(entry, progress.sent()).map(|()| (entry, resumed)),
                Err(error) if progress.broke.load(Ordering::Relaxed) => return Err(error),
                Err(error) => error,
            };
            if self.token.is_cancelled() {
                return Err(Error::cancelled());
            }
            // Servers have many ways to say that a directory is missing.
            if error.retry() == Retry::Never && progress.sent() == 0 && directories < DIRECTORY_ATTEMPTS {
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
            let reached = self.reached(content.length()).await?;
            if reached > offset {
                attempts.renew();
            }
            (offset, resumed) = (reached, resumed || progress.sent() > 0);
        }
    }

    /// How much of the content the server has.
    async fn reached(&self, length: Option<u64>) -> Result<u64> {
        let found = self.remote.find(&self.temporary).await?;
        Ok(found.map_or(0, |entry| entry.size.min(length.unwrap_or(0))))
    }

    /// Makes the directory of the file; says whether it was missing.
    async fn make_parent(&mut self) -> Result<bool> {
        let Some(directory) = parent(&self.temporary) else { return Ok(false) };
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
        let token = self.token.clone();
        let given_up =
            async move { if token.is_cancelled() { Err(Error::cancelled()) } else { Ok(Bytes::new()) } };
        counted
            .take_until(self.token.clone().cancelled_owned())
            .chain(stream::once(given_up))
            .try_filter(|chunk| future::ready(!chunk.is_empty()))
            .inspect_err(move |_| broken.broke.store(true, Ordering::Relaxed))
            .boxed()
    }

    async fn rename(&self, entry: &Entry) -> Result<()> {
        let replace = self.options.mode != PutMode::CreateNew;
        let mut attempts = self.remote.patience.attempts();
        let mut is_first = true;
        loop {
            let renamed = self.remote.server.rename(&self.temporary, &self.target, replace).await;
            let Err(error) = renamed else { return Ok(()) };
            // The answer of an earlier attempt may have been lost.
            if !is_first && self.is_in_place(entry).await? {
                return Ok(());
            }
            is_first = false;
            if error.retry() != Retry::Transient {
                return Err(self.why_not_renamed(replace, error).await);
            }
            attempts.wait(error).await?;
        }
    }

    async fn is_in_place(&self, entry: &Entry) -> Result<bool> {
        if self.remote.find(&self.temporary).await?.is_some() {
            return Ok(false);
        }
        Ok(self.remote.find(&self.target).await?.is_some_and(|found| found.size == entry.size))
    }

    async fn why_not_renamed(&self, replace: bool, error: Error) -> Error {
        match self.remote.find(&self.target).await {
            Ok(Some(entry)) if entry.kind == EntryKind::Directory => is_a_directory(),
            Ok(Some(_)) if !replace => Error::new(ErrorKind::AlreadyExists, "there is an artifact already"),
            Ok(_) if matches!(self.remote.find(&self.temporary).await, Ok(None)) => {
                in_a_removed_directory(error)
            }
            _ => error,
        }
    }

    async fn clean_up(self) {
        let _ = self.remote.patience.repeat(|| self.remote.server.remove_file(&self.temporary)).await;
        self.remote.remove_made(&self.made).await;
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
