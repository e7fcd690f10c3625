//! Uploads in parts: every part is written at its offset of one temporary file, and noted in a journal beside it.
//!
//! Nothing is kept open between two parts, and all that an upload is stands in the file system: any handle, in any
//! process, can put parts, complete or abort, and sees when another one has.

use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use mlflow_artifacts_core::{
    ArtifactPath, ByteStream, Error, ErrorKind, PartLimits, PartReceipt, PutMode, PutOutcome, Result, Upload,
    UploadOptions, UploadToken, check_parts, verified,
};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::client::{Root, Temporary, is_temporary};
use crate::error::store_error;
use crate::store::run_blocking;

/// One stream into one file is as fast as many: parts never pay here, they are for callers that have parts.
pub(crate) const PARTS: PartLimits =
    PartLimits { min_size: 1, max_size: 1 << 40, max_count: 1_000_000, pays_from: None };
const DEFAULT_PART_SIZE: u64 = 8 << 20;

/// How much of a part is gathered before a thread is asked to write it.
const WRITTEN_AT_ONCE: usize = 1 << 20;

const TOKEN_VERSION: u32 = 1;

/// What the journal has in place of an etag while a part is being written. No receipt has it.
const UNFINISHED: &str = "unfinished";

/// An upload in parts to the local file system.
#[derive(Clone, Debug)]
pub(crate) struct LocalUpload {
    root: Root,
    path: ArtifactPath,
    state: State,
}

/// All that another process needs to go on.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    version: u32,
    path: String,
    temporary: String,
    part_size: u64,
    create_new: bool,
    created: Vec<PathBuf>,
}

impl LocalUpload {
    /// An upload with its temporary file, which is removed unless it is closed.
    pub(crate) fn begin(
        root: &Root,
        path: ArtifactPath,
        options: UploadOptions,
    ) -> Result<(Self, Temporary)> {
        let create_new = match options.mode {
            PutMode::Overwrite if options.properties.is_empty() => false,
            PutMode::CreateNew if options.properties.is_empty() => true,
            _ => return Err(Error::unsupported("begin_upload", crate::SCHEME)),
        };
        let mut temporary = root.temporary(&path)?;
        temporary.make_journal()?;
        let state = State {
            version: TOKEN_VERSION,
            path: path.to_string(),
            temporary: temporary.name().to_owned(),
            part_size: PARTS.part_size(&options, DEFAULT_PART_SIZE),
            create_new,
            created: temporary.created().to_vec(),
        };
        Ok((LocalUpload { root: root.clone(), path, state }, temporary))
    }

    pub(crate) fn resume(root: &Root, token: &UploadToken) -> Result<Self> {
        let malformed = || Error::new(ErrorKind::InvalidArgument, "this is no upload token of a local store");
        let state: State =
            serde_json::from_str(token.as_str()).map_err(|error| malformed().with_source(error))?;
        let path = ArtifactPath::parse(&state.path)?;
        if state.version != TOKEN_VERSION || state.part_size == 0 || !is_temporary(&state.temporary) {
            return Err(malformed());
        }
        let upload = LocalUpload { root: root.clone(), path, state };
        upload.open().and_then(Temporary::close).map_err(|error| error.with_path(&upload.path))?;
        Ok(upload)
    }

    fn open(&self) -> Result<Temporary> {
        let opened = Temporary::reopen(&self.root, &self.path, &self.state.temporary, &self.state.created);
        opened.map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                let message = "there is no such upload: it was completed, aborted or never begun";
                Error::new(ErrorKind::NotFound, message)
            }
            _ => error,
        })
    }

    fn put(&self, number: u32, data: &[u8]) -> Result<PartReceipt> {
        let mut part = self.begin_part(number, data.len() as u64)?;
        part.write(data)?;
        part.finish()
    }

    fn begin_part(&self, number: u32, size: u64) -> Result<PartWrite> {
        PARTS.check_part(number, size, self.state.part_size)?;
        let mut temporary = self.open()?;
        let receipt = PartReceipt { number, size, etag: format!("{:016x}", rand::random::<u64>()) };
        // Whatever was there of this part before is not to be relied on from here on, also if this is killed.
        temporary.open_journal()?.note(&PartReceipt { etag: UNFINISHED.to_owned(), ..receipt.clone() })?;
        let offset = u64::from(number - 1) * self.state.part_size;
        Ok(PartWrite { temporary, receipt, offset })
    }

    fn complete(&self, parts: &[PartReceipt], token: &CancellationToken) -> Result<PutOutcome> {
        let mut temporary = self.open()?;
        temporary.discard_when_dropped();
        check_parts(parts, self.state.part_size)?;
        let noted = temporary.open_journal()?.read()?;
        // A part that was put again is noted again: the last note counts.
        let last = |number| noted.iter().rev().find(|noted: &&PartReceipt| noted.number == number);
        if let Some(part) =
            parts.iter().find(|part| last(part.number) != Some(*part) || part.etag == UNFINISHED)
        {
            let message = format!("part {} is not the one that was put", part.number);
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        // A last part that was put again with fewer bytes leaves the end of its first version.
        let size = parts.iter().map(|part| part.size).sum();
        temporary.file()?.set_len(size).map_err(store_error)?;
        let mode = if self.state.create_new { PutMode::CreateNew } else { PutMode::Overwrite };
        if token.is_cancelled() {
            return Err(Error::cancelled());
        }
        let (size, etag) = temporary.persist(&mode)?;
        Ok(PutOutcome { size, etag: Some(etag), digest: None })
    }

    fn abort(&self) -> Result<()> {
        match self.open() {
            Ok(mut temporary) => temporary.discard_when_dropped(),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Self, &CancellationToken) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let upload = self.clone();
        let result = run_blocking(move |token| work(&upload, token)).await;
        result.map_err(|error| error.with_operation(operation).with_path(&self.path))
    }
}

/// A part that is being written. All its calls block.
struct PartWrite {
    temporary: Temporary,
    receipt: PartReceipt,
    /// Where in the file the next bytes belong.
    offset: u64,
}

impl PartWrite {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        self.temporary.file()?.write_all_at(data, self.offset).map_err(store_error)?;
        self.offset += data.len() as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<PartReceipt> {
        self.temporary.open_journal()?.note(&self.receipt)?;
        self.temporary.close()?;
        Ok(self.receipt)
    }
}

#[async_trait]
impl Upload for LocalUpload {
    fn path(&self) -> &ArtifactPath {
        &self.path
    }

    fn part_size(&self) -> u64 {
        self.state.part_size
    }

    fn token(&self) -> Option<UploadToken> {
        serde_json::to_string(&self.state).ok().map(UploadToken::new)
    }

    async fn put_part(&self, number: u32, data: Bytes) -> Result<PartReceipt> {
        self.run("put_part", move |upload, _| upload.put(number, &data)).await
    }

    async fn put_part_stream(&self, number: u32, data: ByteStream, length: u64) -> Result<PartReceipt> {
        let mut data = verified(data, Some(length), None);
        let mut part = self.run("put_part", move |upload, _| upload.begin_part(number, length)).await?;
        // As with a stream that is put: no thread is held while there is nothing to write.
        loop {
            let pieces = gather(&mut data).await;
            let step = move |_: &Self, _: &CancellationToken| {
                // An error of the stream drops the file here, where that may block.
                let pieces = pieces?;
                if pieces.is_empty() {
                    return part.finish().map(ControlFlow::Break);
                }
                pieces.iter().try_for_each(|piece| part.write(piece))?;
                Ok(ControlFlow::Continue(part))
            };
            match self.run("put_part", step).await? {
                ControlFlow::Continue(unfinished) => part = unfinished,
                ControlFlow::Break(receipt) => return Ok(receipt),
            }
        }
    }

    async fn complete(self: Box<Self>, parts: Vec<PartReceipt>) -> Result<PutOutcome> {
        self.run("complete", move |upload, token| upload.complete(&parts, token)).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.run("abort", |upload, _| upload.abort()).await
    }
}

/// The next bytes of a stream, as they came; none at its end.
async fn gather(stream: &mut ByteStream) -> Result<Vec<Bytes>> {
    let (mut pieces, mut size) = (Vec::new(), 0);
    while size < WRITTEN_AT_ONCE
        && let Some(piece) = stream.try_next().await?
    {
        size += piece.len();
        pieces.push(piece);
    }
    Ok(pieces)
}
