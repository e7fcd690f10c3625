//! Content on its way out: read from where it is, told to whoever watches, sent again after a failure.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use mlflow_artifacts_core::{ByteStream, Error, ErrorKind, PutOptions, Result, SourceFile};

use crate::Body;

/// How much of a file is read, and of memory handed over, at once.
const PIECE: usize = 512 << 10;

/// Content that can be sent again.
pub enum Content {
    /// Bytes in memory.
    Memory(Bytes),
    /// An open file, which must not change while it is sent.
    File(Arc<SourceFile>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Memory(bytes) => write!(f, "Memory({} bytes)", bytes.len()),
            Content::File(source) => write!(f, "File({})", source.path().display()),
        }
    }
}

impl Content {
    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        match self {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::File(source) => source.length(),
        }
    }

    /// The content as it comes, `options`' observer told of what `progress` has not seen yet. A file that changes meanwhile
    /// is an error at its end.
    pub fn stream(&self, options: &PutOptions, progress: &Arc<Progress>) -> ByteStream {
        let pieces = match self {
            Content::Memory(bytes) => {
                let bytes = bytes.clone();
                let pieces = (0..bytes.len()).step_by(PIECE);
                let pieces = pieces.map(move |at| Ok(bytes.slice(at..bytes.len().min(at + PIECE))));
                stream::iter(pieces).boxed()
            }
            Content::File(source) => {
                read_file(source, 0, source.length()).chain(unchanged(source, source.length())).boxed()
            }
        };
        observed(pieces, options, 0, progress)
    }

    /// The content as the body of one request. Fails with [`ErrorKind::Cancelled`] if the observer of `options` says stop.
    pub fn body(&self, options: &PutOptions, progress: &Arc<Progress>) -> Result<Body> {
        match self {
            Content::Memory(bytes) if bytes.len() <= PIECE => {
                options.advance(progress.beyond(0, bytes.len() as u64))?;
                Ok(Body::Bytes(bytes.clone()))
            }
            content => Ok(Body::Stream(content.stream(options, progress), Some(content.size()))),
        }
    }
}

/// `length` bytes of a file from `start` on, the next piece read while one is sent.
pub fn read_file(source: &Arc<SourceFile>, start: u64, length: u64) -> ByteStream {
    let source = Arc::clone(source);
    let end = start + length;
    let offsets = stream::iter((start..end).step_by(PIECE));
    let pieces = offsets.map(move |offset| {
        let source = Arc::clone(&source);
        blocking(move || {
            let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
            let mut piece = vec![0; left.min(PIECE)];
            let mut filled = 0;
            while filled < piece.len() {
                match source.read_at(&mut piece[filled..], offset + filled as u64)? {
                    0 => {
                        source.check_unchanged(offset + filled as u64)?;
                        return Err(Error::new(
                            ErrorKind::SizeMismatch,
                            "the file became shorter while it was read",
                        ));
                    }
                    read => filled += read,
                }
            }
            Ok(Bytes::from(piece))
        })
    });
    pieces.buffered(2).boxed()
}

/// Nothing, or the error of a file that changed while it was read.
fn unchanged(source: &Arc<SourceFile>, size: u64) -> ByteStream {
    let source = Arc::clone(source);
    let check = blocking(move || source.check_unchanged(size).map(|()| None));
    stream::once(check).try_filter_map(future::ok).boxed()
}

/// How far the observer was told of.
#[derive(Debug, Default)]
pub struct Progress(AtomicU64);

impl Progress {
    /// How many of the bytes from `start` to `end` the observer has not been told of: they are sent again after a failure.
    fn beyond(&self, start: u64, end: u64) -> u64 {
        let told = self.0.fetch_max(end, Ordering::Relaxed);
        end.saturating_sub(told.max(start))
    }
}

/// The stream, told to the observer, which may stop it.
pub fn observed(
    stream: ByteStream,
    options: &PutOptions,
    start: u64,
    progress: &Arc<Progress>,
) -> ByteStream {
    let (options, progress) = (options.clone(), Arc::clone(progress));
    let mut position = start;
    stream
        .map(move |piece| {
            let piece = piece?;
            let end = position + piece.len() as u64;
            options.advance(progress.beyond(position, end))?;
            position = end;
            Ok(piece)
        })
        .boxed()
}

/// Runs `work` on a thread of the runtime that may block.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::new(ErrorKind::Cancelled, "the runtime was shut down")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_once() {
        let progress = Progress::default();
        assert_eq!(progress.beyond(0, 10), 10);
        assert_eq!(progress.beyond(0, 10), 0);
        assert_eq!(progress.beyond(5, 15), 5);
    }
}
