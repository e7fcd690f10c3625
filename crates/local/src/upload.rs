//! Uploads in parts: every part is written at its offset of one temporary file.

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use mlflow_artifacts_core::{
    ArtifactPath, Error, ErrorKind, PartLimits, PartReceipt, PutMode, PutOutcome, Result, Upload,
    UploadOptions, UploadToken, check_parts,
};
use serde::{Deserialize, Serialize};

use crate::client::{Root, Temporary, is_temporary};
use crate::error::store_error;
use crate::store::run_blocking;

/// One stream into one file is as fast as many: parts never pay here, they are for callers that have parts.
pub(crate) const PARTS: PartLimits =
    PartLimits { min_size: 1, max_size: 1 << 40, max_count: 1_000_000, pays_from: None };
const DEFAULT_PART_SIZE: u64 = 8 << 20;

/// An upload in parts to the local file system.
#[derive(Debug)]
pub(crate) struct LocalUpload {
    state: State,
    part_size: u64,
    temporary: Arc<Mutex<Option<Temporary>>>,
    file: Arc<std::fs::File>,
}

/// All that another process needs to go on.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    version: u32,
    path: String,
    temporary: String,
    part_size: u64,
    mode: Mode,
    created: Vec<PathBuf>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Mode {
    Overwrite,
    CreateNew,
    IfMatch(String),
}

const TOKEN_VERSION: u32 = 1;

impl std::fmt::Debug for Temporary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Temporary({})", self.name())
    }
}

impl LocalUpload {
    pub(crate) fn begin(root: &Root, path: ArtifactPath, options: UploadOptions) -> Result<Self> {
        let part_size = options.part_size.unwrap_or(DEFAULT_PART_SIZE).clamp(PARTS.min_size, PARTS.max_size);
        let mut temporary = root.temporary(&path)?;
        temporary.keep();
        let state = State {
            version: TOKEN_VERSION,
            path: path.to_string(),
            temporary: temporary.name().to_owned(),
            part_size,
            mode: options.mode.into(),
            created: temporary.created().to_vec(),
        };
        Self::over(temporary, state)
    }

    pub(crate) fn resume(root: &Root, token: &UploadToken) -> Result<Self> {
        let malformed = || Error::new(ErrorKind::InvalidArgument, "this is no upload token of a local store");
        let state: State =
            serde_json::from_str(token.as_str()).map_err(|error| malformed().with_source(error))?;
        let path = ArtifactPath::parse(&state.path)?;
        if state.version != TOKEN_VERSION || state.part_size == 0 || !is_temporary(&state.temporary) {
            return Err(malformed());
        }
        let temporary = Temporary::reopen(root, &path, &state.temporary, state.created.clone());
        let temporary = temporary.map_err(|error| match error.kind() {
            ErrorKind::NotFound => no_upload().with_path(&path),
            _ => error.with_path(&path),
        })?;
        Self::over(temporary, state)
    }

    fn over(temporary: Temporary, state: State) -> Result<Self> {
        let file = Arc::new(temporary.file()?.try_clone().map_err(store_error)?);
        let part_size = state.part_size;
        Ok(LocalUpload { state, part_size, temporary: Arc::new(Mutex::new(Some(temporary))), file })
    }

    fn take(&self) -> Result<Temporary> {
        self.temporary.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(no_upload)
    }
}

fn no_upload() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such upload: it was completed, aborted or never begun")
}

fn part_etag(number: u32, size: u64) -> String {
    format!("{number}-{size}")
}

#[async_trait]
impl Upload for LocalUpload {
    fn part_size(&self) -> u64 {
        self.part_size
    }

    fn token(&self) -> Option<UploadToken> {
        serde_json::to_string(&self.state).ok().map(UploadToken::new)
    }

    async fn put_part(&self, number: u32, data: Bytes) -> Result<PartReceipt> {
        let size = data.len() as u64;
        let in_context = |error: Error| error.with_operation("put_part").with_path(&self.state.path);
        if number == 0 || number > PARTS.max_count || size > self.part_size {
            let message = format!(
                "part {number} with {size} bytes; parts are 1 to {} of {}",
                PARTS.max_count, self.part_size
            );
            return Err(in_context(Error::new(ErrorKind::InvalidArgument, message)));
        }
        let file = Arc::clone(&self.file);
        let offset = u64::from(number - 1) * self.part_size;
        let write = move |_: &_| file.write_all_at(&data, offset).map_err(store_error);
        run_blocking(write).await.map_err(in_context)?;
        Ok(PartReceipt { number, size, etag: part_etag(number, size) })
    }

    async fn complete(self: Box<Self>, parts: Vec<PartReceipt>) -> Result<PutOutcome> {
        let in_context = |error: Error| error.with_operation("complete").with_path(&self.state.path);
        let mut temporary = self.take().map_err(in_context)?;
        let (part_size, mode) = (self.part_size, PutMode::from(self.state.mode.clone()));
        let finish = move |_: &_| {
            temporary.discard();
            check_parts(&parts, part_size)?;
            if let Some(part) = parts.iter().find(|part| part.etag != part_etag(part.number, part.size)) {
                let message = format!("part {} is not the one that was put", part.number);
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
            let size = parts.iter().map(|part| part.size).sum::<u64>();
            let written = temporary.file()?.metadata().map_err(store_error)?.len();
            if written < size {
                let message = format!("the parts have {size} bytes, {written} arrived");
                return Err(Error::new(ErrorKind::SizeMismatch, message));
            }
            // A last part that was put again with fewer bytes leaves the end of its first version.
            temporary.file()?.set_len(size).map_err(store_error)?;
            let (size, etag) = temporary.persist(&mode)?;
            Ok(PutOutcome { size, etag: Some(etag), digest: None })
        };
        run_blocking(finish).await.map_err(in_context)
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let mut temporary = self.take().map_err(|error| error.with_operation("abort"))?;
        run_blocking(move |_| {
            temporary.discard();
            drop(temporary);
            Ok(())
        })
        .await
    }
}

impl From<PutMode> for Mode {
    fn from(mode: PutMode) -> Self {
        match mode {
            PutMode::Overwrite => Mode::Overwrite,
            PutMode::CreateNew => Mode::CreateNew,
            PutMode::IfMatch(etag) => Mode::IfMatch(etag),
        }
    }
}

impl From<Mode> for PutMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Overwrite => PutMode::Overwrite,
            Mode::CreateNew => PutMode::CreateNew,
            Mode::IfMatch(etag) => PutMode::IfMatch(etag),
        }
    }
}
