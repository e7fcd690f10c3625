//! Reading one file: in pieces that are large while there is memory for them.

use std::io::IoSliceMut;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, future, stream};
use mlflow_artifacts_core::{ByteStream, Error, Result, SourceFile};
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::store::run_blocking;

/// How much is read together with opening the file.
pub(crate) const SMALL: u64 = 64 << 10;

/// How much one item of a download's stream holds at most. Little enough that what is read is still in the processor's cache when it is
/// sent.
const CHUNK: usize = 512 << 10;

/// The same while others hold all the memory: those who take what they are sent slowly, or not at all.
const LITTLE: usize = 16 << 10;

/// How many of them are read ahead.
const AHEAD: usize = 2;

/// How much memory all downloads of a store take, beside a little for each.
const MEMORY: usize = 16 << 20;

/// What the downloads of a store share.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    memory: Arc<Semaphore>,
}

impl Reading {
    pub(crate) fn new() -> Self {
        Reading { memory: Arc::new(Semaphore::new(MEMORY / CHUNK)) }
    }

    /// These bytes of a file.
    pub(crate) fn range(&self, source: Arc<SourceFile>, start: u64, end: u64) -> ByteStream {
        let memory = Arc::clone(&self.memory);
        let pieces = stream::unfold(start, move |start| {
            let piece = (start < end).then(|| Piece::of(&memory, start, end));
            future::ready(piece.map(|piece| {
                let next = start + piece.length as u64;
                (piece, next)
            }))
        });
        let read = move |piece: Piece| {
            let source = Arc::clone(&source);
            async move {
                match piece.cached(&source) {
                    Ok(bytes) => Ok(bytes),
                    Err(piece) => run_blocking(move |_| piece.read(&source)).await,
                }
            }
        };
        pieces.map(read).buffered(AHEAD).boxed()
    }
}

/// The small content of a file, now.
pub(crate) fn at_once(source: &SourceFile, start: u64, end: u64) -> Result<Bytes> {
    let length = usize::try_from(end - start).unwrap_or(usize::MAX);
    Piece { start, length, room: None }.read(source)
}

/// What is read at once.
struct Piece {
    start: u64,
    length: usize,
    room: Option<OwnedSemaphorePermit>,
}

impl Piece {
    /// The first piece between two offsets.
    fn of(memory: &Arc<Semaphore>, start: u64, end: u64) -> Self {
        let left = usize::try_from(end - start).unwrap_or(usize::MAX);
        let room = if left > LITTLE { Arc::clone(memory).try_acquire_owned().ok() } else { None };
        let most = if room.is_some() { CHUNK } else { LITTLE };
        Piece { start, length: left.min(most), room }
    }

    /// What the system has in memory, where the file system can tell: tmpfs and NFS cannot. To copy it takes less time than to have another
    /// thread do it.
    fn cached(self, source: &SourceFile) -> std::result::Result<Bytes, Self> {
        let mut content = vec![0; self.length];
        let buffers = &mut [IoSliceMut::new(&mut content)];
        match preadv2(source.file(), buffers, self.start, ReadWriteFlags::NOWAIT) {
            Ok(read) if read == content.len() => Ok(self.holding(content)),
            _ => Err(self),
        }
    }

    /// Less if the file has become shorter, which the length check of the caller notices.
    fn read(self, source: &SourceFile) -> Result<Bytes> {
        let mut content = vec![0; self.length];
        let mut filled = 0;
        while filled < content.len() {
            let at = self.start + filled as u64;
            let read = source.file().read_at(&mut content[filled..], at).map_err(Error::from_io)?;
            if read == 0 {
                content.truncate(filled);
            }
            filled += read;
        }
        Ok(self.holding(content))
    }

    /// The content, which keeps its room until the last copy of it is dropped.
    fn holding(self, content: Vec<u8>) -> Bytes {
        match self.room {
            Some(room) => Bytes::from_owner(Held { content, _room: room }),
            None => content.into(),
        }
    }
}

struct Held {
    content: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}
