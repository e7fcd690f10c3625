//! Content: received in large pieces, hashed three ways at once, kept once.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use md5::Md5;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::Storage;

/// How much is hashed, kept and sent in one piece.
const PIECE: usize = 1 << 20;
/// Content up to this size is hashed where it is received: a thread would cost more.
const INLINE: usize = 256 << 10;
/// How many pieces may wait for a hash.
const QUEUE: usize = 4;

/// The name of content: its size and digests in lower-case hex.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digests {
    pub(crate) size: u64,
    pub(crate) sha1: String,
    pub(crate) sha256: String,
    pub(crate) md5: String,
}

/// Content that nothing changes any more.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) digests: Digests,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Memory(Vec<Bytes>),
    File(PathBuf),
}

impl Blob {
    /// Content that a former process left in the directory.
    pub(crate) fn on_disk(root: &Path, digests: Digests) -> Self {
        let path = blob_path(root, &digests.sha1);
        Self { digests, content: Content::File(path) }
    }

    /// A body of the bytes from `start` up to `end`.
    pub(crate) fn body(self: &Arc<Self>, start: u64, end: u64) -> Body {
        match &self.content {
            Content::Memory(pieces) => memory_body(pieces, start, end),
            Content::File(path) => file_body(path.clone(), start, end),
        }
    }

    /// The pieces of the whole content.
    pub(crate) fn pieces(&self) -> io::Result<Vec<Bytes>> {
        match &self.content {
            Content::Memory(pieces) => Ok(pieces.clone()),
            Content::File(path) => Ok(vec![Bytes::from(std::fs::read(path)?)]),
        }
    }
}

fn memory_body(pieces: &[Bytes], start: u64, end: u64) -> Body {
    let mut offset = 0;
    let mut wanted = Vec::new();
    for piece in pieces {
        let next = offset + piece.len() as u64;
        if next > start && offset < end {
            let from = index(start.saturating_sub(offset));
            let to = index(next.min(end) - offset);
            wanted.push(piece.slice(from..to));
        }
        offset = next;
    }
    if wanted.len() == 1 {
        return Body::from(wanted.remove(0));
    }
    Body::from_stream(stream::iter(wanted.into_iter().map(Ok::<_, io::Error>)))
}

fn file_body(path: PathBuf, start: u64, end: u64) -> Body {
    Body::from_stream(stream::try_unfold((None, start), move |(file, at)| {
        let path = path.clone();
        async move {
            if at >= end {
                return Ok(None);
            }
            let length = index((end - at).min(PIECE as u64));
            let read = tokio::task::spawn_blocking(move || read_piece(file, &path, at, length));
            let (file, piece) = read.await.map_err(io::Error::other)??;
            let next = at + piece.len() as u64;
            Ok::<_, io::Error>(Some((piece, (Some(file), next))))
        }
    }))
}

fn read_piece(file: Option<File>, path: &Path, at: u64, length: usize) -> io::Result<(File, Bytes)> {
    let mut file = match file {
        Some(file) => file,
        None => {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(at))?;
            file
        }
    };
    let mut piece = vec![0; length];
    file.read_exact(&mut piece)?;
    Ok((file, Bytes::from(piece)))
}

/// Sizes of content in memory or of one piece, which always fit.
fn index(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// Where new content goes.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    Memory,
    Directory(PathBuf),
}

impl Store {
    pub(crate) fn open(storage: &Storage) -> io::Result<Self> {
        match storage {
            Storage::Memory => Ok(Self::Memory),
            Storage::Directory(root) => {
                let incoming = root.join("incoming");
                if incoming.exists() {
                    // What a former process did not finish receiving.
                    std::fs::remove_dir_all(&incoming)?;
                }
                std::fs::create_dir_all(&incoming)?;
                std::fs::create_dir_all(root.join("blobs"))?;
                Ok(Self::Directory(root.clone()))
            }
        }
    }

    /// A receiver of content that may announce its size.
    pub(crate) fn receive(&self, announced: Option<u64>) -> Receiver {
        let capacity = announced.map_or(16 << 10, |size| index(size.min(PIECE as u64)));
        Receiver {
            store: self.clone(),
            piece: BytesMut::with_capacity(capacity),
            pieces: Vec::new(),
            pipeline: None,
        }
    }

    fn keep_small(&self, bytes: Bytes) -> io::Result<Blob> {
        let digests = digests_of(&bytes);
        let content = match self {
            Self::Memory => Content::Memory(vec![bytes]),
            Self::Directory(root) => {
                let incoming = Incoming::name(root);
                std::fs::write(&incoming.path, &bytes)?;
                Content::File(adopt(root, &digests, incoming)?)
            }
        };
        Ok(Blob { digests, content })
    }

    /// Content that is here as a whole.
    pub(crate) async fn keep(&self, pieces: impl IntoIterator<Item = Bytes>) -> io::Result<Blob> {
        let mut receiver = self.receive(None);
        for piece in pieces {
            receiver.push(&piece).await?;
        }
        receiver.finish().await
    }
}

/// Content on its way in. Dropped before it is finished, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Receiver {
    store: Store,
    piece: BytesMut,
    pieces: Vec<Bytes>,
    pipeline: Option<Pipeline>,
}

impl Receiver {
    pub(crate) async fn push(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = PIECE - self.piece.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() == PIECE {
                let full = std::mem::replace(&mut self.piece, BytesMut::with_capacity(PIECE)).freeze();
                self.flush(full).await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self, piece: Bytes) -> io::Result<()> {
        let pipeline = match &mut self.pipeline {
            Some(pipeline) => pipeline,
            None => self.pipeline.insert(Pipeline::start(&self.store)?),
        };
        pipeline.send(&piece).await?;
        if matches!(self.store, Store::Memory) {
            self.pieces.push(piece);
        }
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> io::Result<Blob> {
        let last = std::mem::take(&mut self.piece).freeze();
        if self.pipeline.is_none() && last.len() <= INLINE {
            return self.store.keep_small(last);
        }
        self.flush(last).await?;
        let Some(pipeline) = self.pipeline.take() else {
            return Err(io::Error::other("no content was flushed"));
        };
        let (digests, written) = pipeline.finish().await?;
        let content = match (&self.store, written) {
            (Store::Directory(root), Some(incoming)) => Content::File(adopt(root, &digests, incoming)?),
            _ => Content::Memory(std::mem::take(&mut self.pieces)),
        };
        Ok(Blob { digests, content })
    }
}

fn digests_of(bytes: &[u8]) -> Digests {
    Digests {
        size: bytes.len() as u64,
        sha1: hex(&Sha1::digest(bytes)),
        sha256: hex(&Sha256::digest(bytes)),
        md5: hex(&Md5::digest(bytes)),
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Moves received content to its name, unless it is there already.
fn adopt(root: &Path, digests: &Digests, incoming: Incoming) -> io::Result<PathBuf> {
    let path = blob_path(root, &digests.sha1);
    if !path.exists() {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::rename(&incoming.path, &path)?;
    }
    Ok(path)
}

fn blob_path(root: &Path, sha1: &str) -> PathBuf {
    let (first, _) = sha1.split_at(2.min(sha1.len()));
    root.join("blobs").join(first).join(sha1)
}

/// A file that goes away with this, unless it was renamed.
#[derive(Debug)]
struct Incoming {
    path: PathBuf,
}

impl Incoming {
    fn name(root: &Path) -> Self {
        Self { path: root.join("incoming").join(format!("{:032x}", rand::random::<u128>())) }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // It fails when the file was renamed, which is the good case.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// One thread for each digest, and one that writes.
#[derive(Debug)]
struct Pipeline {
    size: u64,
    sha1: Stage<String>,
    sha256: Stage<String>,
    md5: Stage<String>,
    writer: Option<Stage<io::Result<Incoming>>>,
}

#[derive(Debug)]
struct Stage<T> {
    pieces: mpsc::Sender<Bytes>,
    result: JoinHandle<T>,
}

impl<T: Send + 'static> Stage<T> {
    fn start(work: impl FnOnce(mpsc::Receiver<Bytes>) -> T + Send + 'static) -> Self {
        let (pieces, receiver) = mpsc::channel(QUEUE);
        Self { pieces, result: tokio::task::spawn_blocking(move || work(receiver)) }
    }

    async fn finish(self) -> io::Result<T> {
        drop(self.pieces);
        self.result.await.map_err(io::Error::other)
    }
}

impl Pipeline {
    fn start(store: &Store) -> io::Result<Self> {
        let writer = match store {
            Store::Memory => None,
            Store::Directory(root) => {
                let incoming = Incoming::name(root);
                let file = File::create_new(&incoming.path)?;
                Some(Stage::start(move |pieces| write_all(file, incoming, pieces)))
            }
        };
        Ok(Self {
            size: 0,
            sha1: Stage::start(hash_all::<Sha1>),
            sha256: Stage::start(hash_all::<Sha256>),
            md5: Stage::start(hash_all::<Md5>),
            writer,
        })
    }

    async fn send(&mut self, piece: &Bytes) -> io::Result<()> {
        self.size += piece.len() as u64;
        let writer = self.writer.as_ref().map(|stage| &stage.pieces);
        for queue in [&self.sha1.pieces, &self.sha256.pieces, &self.md5.pieces].into_iter().chain(writer) {
            queue.send(piece.clone()).await.map_err(io::Error::other)?;
        }
        Ok(())
    }

    async fn finish(self) -> io::Result<(Digests, Option<Incoming>)> {
        let digests = Digests {
            size: self.size,
            sha1: self.sha1.finish().await?,
            sha256: self.sha256.finish().await?,
            md5: self.md5.finish().await?,
        };
        let written = match self.writer {
            Some(writer) => Some(writer.finish().await??),
            None => None,
        };
        Ok((digests, written))
    }
}

fn hash_all<D: Digest>(mut pieces: mpsc::Receiver<Bytes>) -> String {
    let mut hasher = D::new();
    while let Some(piece) = pieces.blocking_recv() {
        hasher.update(&piece);
    }
    hex(&hasher.finalize())
}

fn write_all(mut file: File, incoming: Incoming, mut pieces: mpsc::Receiver<Bytes>) -> io::Result<Incoming> {
    while let Some(piece) = pieces.blocking_recv() {
        file.write_all(&piece)?;
    }
    file.flush()?;
    Ok(incoming)
}
