//! Reading one file, also over several connections if one is lost.

use std::ops::Range;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactPath, ByteStream, Download, Error, ErrorKind, GetOptions, Result, Retry, verified,
};

use crate::patience::Attempts;
use crate::remote::{Remote, check_file, is_a_directory, meta};
use crate::{ChooseRange, Entry};

/// A read that has begun.
pub(crate) struct Reading {
    remote: Remote,
    place: String,
    /// What was opened first; nothing else is gone on with.
    entry: Entry,
    /// What is still to come.
    left: Range<u64>,
    /// Whether some of it was handed over.
    begun: bool,
    stream: ByteStream,
    attempts: Attempts,
}

impl Reading {
    pub(crate) async fn begin(remote: &Remote, path: &ArtifactPath, options: GetOptions) -> Result<Download> {
        let place = remote.place(path)?;
        if path.is_root() {
            return Err(is_a_directory());
        }
        let digest = options.digest;
        let opened = remote.patience.repeat(|| {
            let options = options.clone();
            let choose: ChooseRange = Box::new(move |entry| {
                check_file(entry)?;
                options.resolve(entry.size)
            });
            remote.server.read(&place, choose)
        });
        let opened = match opened.await {
            Ok(opened) => opened,
            Err(error) if error.retry() == Retry::Never => {
                return Err(remote.why_not_read(&place, error).await);
            }
            Err(error) => return Err(error),
        };
        let (range, meta) = (opened.range.clone(), meta(path.clone(), &opened.entry));
        let reading = Reading {
            remote: remote.clone(),
            place,
            entry: opened.entry,
            left: opened.range,
            begun: false,
            stream: opened.stream,
            attempts: remote.patience.attempts(),
        };
        let named = path.clone();
        let stream = stream::try_unfold(reading, async |mut reading| {
            Ok(reading.next().await?.map(|chunk| (chunk, reading)))
        });
        let stream = verified(stream.boxed(), Some(range.end - range.start), digest)
            .map_err(move |error| error.with_operation("get").with_path(&named))
            .boxed();
        Ok(Download { meta, range, stream, file: None })
    }

    async fn next(&mut self) -> Result<Option<bytes::Bytes>> {
        loop {
            let error = match self.stream.try_next().await {
                Ok(Some(chunk)) => {
                    self.begun = true;
                    self.left.start += chunk.len() as u64;
                    self.attempts.renew();
                    return Ok(Some(chunk));
                }
                Ok(None) => return Ok(None),
                Err(error) => error,
            };
            if self.begun && self.entry.modified.is_none() {
                let help = "read it once more from its beginning: this server does not tell whether it is still the same file";
                return Err(error.with_help(help));
            }
            self.attempts.wait(error).await?;
            self.reopen().await?;
        }
    }

    /// Opens the file once more where it was left. A connection that cannot be had yet is found by the next read.
    async fn reopen(&mut self) -> Result<()> {
        let (entry, left) = (self.entry, self.left.clone());
        let choose: ChooseRange =
            Box::new(move |found| if *found == entry { Ok(left) } else { Err(replaced()) });
        match self.remote.server.read(&self.place, choose).await {
            Ok(opened) => self.stream = opened.stream,
            Err(error) if error.retry() == Retry::Transient => {
                self.stream = stream::once(async { Err(error) }).boxed();
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(replaced()),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn replaced() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "the artifact was replaced while it was read")
        .with_help("read it once more from its beginning")
}
