//! What is to be written: read from any offset, as often as an upload begins again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ByteStream, Digest, DigestAlgorithm, Error, ErrorKind, Hasher, PutBody, Result, SourceFile, verified,
};

/// How much is handed over at once.
const CHUNK: usize = 1 << 20;

/// What is to be written.
pub(crate) enum Content {
    Bytes(Bytes),
    File(Arc<SourceFile>),
    /// Comes once, and is not gone before it was read from.
    Stream(Arc<Mutex<Option<ByteStream>>>, Option<u64>),
}

impl Content {
    pub(crate) async fn of(body: PutBody) -> Result<Self> {
        Ok(match body {
            PutBody::Bytes(bytes) => Content::Bytes(bytes),
            PutBody::Stream { stream, length } => Content::Stream(Arc::new(Mutex::new(Some(stream))), length),
            PutBody::OpenFile(source) => blocking(move || small(source)).await?,
            PutBody::File(path) => blocking(move || small(Arc::new(SourceFile::open(&path)?))).await?,
        })
    }

    /// How many bytes there are, if known.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Content::Bytes(bytes) => Some(bytes.len() as u64),
            Content::File(source) => Some(source.length()),
            Content::Stream(_, length) => *length,
        }
    }

    /// Whether it can be read once more.
    pub(crate) fn comes_again(&self) -> bool {
        match self {
            Content::Stream(stream, _) => lock(stream).is_some(),
            _ => true,
        }
    }

    /// The content from `offset` on, which ends with an error unless all of it came.
    pub(crate) fn stream(&self, offset: u64) -> ByteStream {
        let left = self.length().map(|length| length.saturating_sub(offset));
        let stream = match self {
            Content::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                cut(bytes.slice(start..))
            }
            Content::File(source) => pieces_of(Arc::clone(source), offset),
            Content::Stream(stream, _) => {
                let stream = Arc::clone(stream);
                let taken = async move { lock(&stream).take().ok_or_else(gone) };
                taken.into_stream().try_flatten().boxed()
            }
        };
        verified(stream, left, None)
    }

    /// The digest of all of it, read once more.
    pub(crate) async fn digest(&self, algorithm: DigestAlgorithm) -> Result<Digest> {
        let mut hasher = Hasher::new(algorithm);
        let mut stream = self.stream(0);
        while let Some(chunk) = stream.try_next().await? {
            hasher.update(&chunk);
        }
        Ok(hasher.finish())
    }
}

/// A hasher that a stream passes through while somebody else reads the stream.
#[derive(Clone)]
pub(crate) struct Hashing(Arc<Mutex<Option<Hasher>>>);

impl Hashing {
    pub(crate) fn new(algorithm: DigestAlgorithm) -> Self {
        Hashing(Arc::new(Mutex::new(Some(Hasher::new(algorithm)))))
    }

    pub(crate) fn through(&self, stream: ByteStream) -> ByteStream {
        let hashing = self.clone();
        let hashed = stream.inspect_ok(move |chunk| {
            if let Some(hasher) = &mut *lock(&hashing.0) {
                hasher.update(chunk);
            }
        });
        hashed.boxed()
    }

    /// The digest of what has passed; `None` the second time.
    pub(crate) fn finish(&self) -> Option<Digest> {
        lock(&self.0).take().map(Hasher::finish)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gone() -> Error {
    Error::new(ErrorKind::Connection, "the connection was lost, and a stream cannot be sent again")
}

/// A small file as its bytes.
fn small(source: Arc<SourceFile>) -> Result<Content> {
    if source.length() > CHUNK as u64 {
        return Ok(Content::File(source));
    }
    Ok(Content::Bytes(source.read_all()?.into()))
}

fn cut(bytes: Bytes) -> ByteStream {
    let starts = (0..bytes.len()).step_by(CHUNK);
    stream::iter(starts.map(move |at| Ok(bytes.slice(at..bytes.len().min(at + CHUNK))))).boxed()
}

/// The content of a large file from `offset` on, piece by piece; the next one is read while one is sent.
fn pieces_of(source: Arc<SourceFile>, offset: u64) -> ByteStream {
    let starts = stream::iter((offset..source.length()).step_by(CHUNK));
    let read = {
        let source = Arc::clone(&source);
        move |at: u64| {
            let source = Arc::clone(&source);
            blocking(move || {
                let size = (source.length() - at).min(CHUNK as u64);
                read_at(&source, at, size)
            })
        }
    };
    let check = async move {
        blocking(move || source.check_unchanged(source.length())).await?;
        Ok(Bytes::new())
    };
    starts.map(read).buffered(2).chain(check.into_stream()).boxed()
}

/// Bytes by offset: an earlier reader may still be at it.
fn read_at(source: &SourceFile, offset: u64, size: u64) -> Result<Bytes> {
    let mut piece = vec![0; usize::try_from(size).unwrap_or(CHUNK)];
    let mut filled = 0;
    while filled < piece.len() {
        match source.read_at(&mut piece[filled..], offset + filled as u64)? {
            // That it became shorter is found at the end.
            0 => break,
            read => filled += read,
        }
    }
    piece.truncate(filled);
    Ok(piece.into())
}

/// Runs `work` on a thread of the runtime that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::new(ErrorKind::Cancelled, "the runtime was shut down")),
        },
    }
}
