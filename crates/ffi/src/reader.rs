//! Reading an artifact piece by piece.

use std::ffi::c_char;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use mlflow_artifacts::blocking::PerProcess;
use mlflow_artifacts::{ArtifactPath, ByteRange, ByteStream, ErrorKind, GetOptions, Result, SharedStore};

use crate::bytes::mlfa_bytes;
use crate::entry::{Failure, Out, call, call_in_callback};
use crate::error::mlfa_error;
use crate::handle::{Lent, free, give, handles, lend};
use crate::meta::{MetaObject, mlfa_meta};
use crate::objects::{Place, place, range};
use crate::status::mlfa_status;
use crate::store::{StoreObject, mlfa_store};
use crate::target::Target;
use crate::task::{Work, mlfa_task, start};
use crate::turn::Turn;

/// An artifact that is being read. It holds a reference to its store.
pub struct mlfa_reader {
    _opaque: (),
}

handles! { mlfa_reader => ReaderObject, Exclusive; }

pub(crate) struct ReaderObject {
    meta: Lent<mlfa_meta>,
    open: PerProcess<OpenReader>,
}

struct OpenReader {
    object: Arc<StoreObject>,
    reading: Turn<Reading>,
}

/// Where a reader stands, and the bytes that come there.
struct Reading {
    store: SharedStore,
    path: ArtifactPath,
    /// Another content than the one that was opened is not read on.
    etag: Option<String>,
    size: u64,
    at: u64,
    end: u64,
    /// `None` after a seek and after an error: the next read asks the store from `at` on. `Mutex`: what the store makes need not
    /// be usable by two threads at once.
    stream: Option<Mutex<ByteStream>>,
    /// What has come and was not read.
    rest: Bytes,
}

impl Reading {
    /// The next bytes that are there, at most `most`; `None` at the end, when all of it was checked.
    async fn next(&mut self, most: usize) -> Result<Option<Bytes>> {
        while self.rest.is_empty() {
            if self.stream.is_none() && self.at >= self.end {
                return Ok(None);
            }
            match self.receive().await {
                Ok(Some(chunk)) => self.rest = chunk,
                Ok(None) => {
                    self.stream = None;
                    self.at = self.end;
                }
                Err(error) => {
                    self.stream = None;
                    return Err(error);
                }
            }
        }
        let taken = self.rest.split_to(most.min(self.rest.len()));
        self.at += taken.len() as u64;
        Ok(Some(taken))
    }

    /// What the store sends next, `None` after the last of it. Asks the store first if it is not sending.
    async fn receive(&mut self) -> Result<Option<Bytes>> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let whole = self.at == 0 && self.end == self.size;
                let range = if whole { ByteRange::Full } else { ByteRange::Between(self.at, self.end) };
                let options = GetOptions { range, if_match: self.etag.clone(), digest: None };
                self.stream.insert(Mutex::new(self.store.get(&self.path, options).await?.stream))
            }
        };
        stream.get_mut().unwrap_or_else(PoisonError::into_inner).try_next().await
    }

    fn seek(&mut self, to: u64) {
        if to != self.at {
            self.stream = None;
            self.rest = Bytes::new();
            self.at = to;
        }
    }
}

/// Begins to read; the answer comes with the first bytes.
fn open(
    place: Place,
    offset: u64,
    length: u64,
) -> Work<impl Future<Output = std::result::Result<ReaderObject, Failure>>> {
    let Place { object, store, path } = place;
    let kept = Arc::clone(&object);
    Work::new(object, async move {
        let options = GetOptions { range: range(offset, length), ..GetOptions::default() };
        let (meta, at, end, stream) = match store.get(&path, options).await {
            Ok(download) => {
                let range = download.range;
                (download.meta, range.start, range.end, Some(Mutex::new(download.stream)))
            }
            // Reading at or after the end gives nothing, as with `pread`.
            Err(error) if error.kind() == ErrorKind::RangeNotSatisfiable => {
                let meta = store.stat(&path).await?;
                let end = offset.min(meta.size);
                (meta, offset, end, None)
            }
            Err(error) => return Err(error.into()),
        };
        let reading = Turn::new(Reading {
            store,
            path,
            etag: meta.etag.clone(),
            size: meta.size,
            at,
            end,
            stream,
            rest: Bytes::new(),
        });
        let open = PerProcess::new(OpenReader { object: kept, reading });
        Ok(ReaderObject { meta: Lent::new(MetaObject::new(&meta)), open })
    })
}

impl ReaderObject {
    /// Fills the target; fewer bytes than it has only at the end.
    fn read(
        &self,
        target: &Target,
        capacity: usize,
    ) -> std::result::Result<Work<impl Future<Output = std::result::Result<u64, Failure>> + use<>>, Failure>
    {
        let OpenReader { object, reading } = self.open.here()?;
        let mut reading = reading.take()?;
        let filling = target.clone();
        let read = async move {
            let mut filled = 0;
            while filled < capacity {
                let Some(chunk) = reading.next(capacity - filled).await? else { break };
                filling.write(filled, &chunk)?;
                filled += chunk.len();
            }
            Ok(filled as u64)
        };
        Ok(Work::new(Arc::clone(object), read).with_target(target))
    }

    fn read_chunk(
        &self,
    ) -> std::result::Result<
        Work<impl Future<Output = std::result::Result<Option<Bytes>, Failure>> + use<>>,
        Failure,
    > {
        let OpenReader { object, reading } = self.open.here()?;
        let mut reading = reading.take()?;
        Ok(Work::new(Arc::clone(object), async move { Ok(reading.next(usize::MAX).await?) }))
    }
}

/// Begins to read `length` bytes of the file at `path` from `offset` on; `MLFA_TO_THE_END` reads all that is left. Whoever
/// replaces the artifact meanwhile does not mix its contents: the reader goes on with the old one, or fails with
/// `MLFA_E_PRECONDITION_FAILED`.
///
/// Ownership: free `*out` with `mlfa_reader_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
/// Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_reader_open(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    offset: u64,
    length: u64,
    out: *mut *mut mlfa_reader,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, place) =
            unsafe { (Out::required(out, std::ptr::null_mut(), "reader")?, place(store, path, path_len)?) };
        out.write(give(open(place, offset, length).wait()?));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins `mlfa_reader_open`; the reader is taken with `mlfa_task_take_reader`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_reader_open_start(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    offset: u64,
    length: u64,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || Ok(open(place(store, path, path_len)?, offset, length))) }
}

/// What is being read, as it was when it was opened; NULL for NULL.
///
/// Ownership: it belongs to the reader; do not free it. Thread safety: any thread. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_reader_meta(reader: *const mlfa_reader) -> *const mlfa_meta {
    // SAFETY: passed on from the caller.
    unsafe { lend(reader) }.map_or(std::ptr::null(), |reader| reader.meta.as_pointer())
}

/// Reads up to `capacity` bytes into `buffer`, and says in `*read` how many came: fewer than `capacity` only at the end, where
/// it is 0. The bytes are copied once.
///
/// After an error the buffer's content is undefined, and so is where the reader stands: seek before reading on.
///
/// Thread safety: one thread at a time. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_PRECONDITION_FAILED` (replaced meanwhile),
/// `MLFA_E_CHECKSUM_MISMATCH`, those of the store; `MLFA_E_BUSY` while another call reads, `MLFA_E_FORKED`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_reader_read(
    reader: *mut mlfa_reader,
    buffer: *mut u8,
    capacity: usize,
    read: *mut usize,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (read, reader, target) =
            unsafe { (Out::required(read, 0, "read")?, lend(reader)?, Target::new(buffer, capacity)?) };
        let filled = reader.read(&target, capacity)?.wait()?;
        read.write(usize::try_from(filled).unwrap_or(usize::MAX));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins `mlfa_reader_read`; how many bytes came is taken with `mlfa_task_take_count`. `buffer` is the task's until it has ended
/// or is freed. The reader may be freed meanwhile.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: one thread at a time. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments, `MLFA_E_BUSY` while another call reads; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_reader_read_start(
    reader: *mut mlfa_reader,
    buffer: *mut u8,
    capacity: usize,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || lend(reader)?.read(&Target::new(buffer, capacity)?, capacity)) }
}

/// Reads the bytes that come next, as many as have arrived together, at least one; `*out` is NULL at the end. They are not
/// copied.
///
/// Ownership: release `*out` with `mlfa_bytes_release`. Thread safety: one thread at a time. Callback-safe: no. Blocking: yes.
/// Errors: as `mlfa_reader_read`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_reader_read_chunk(
    reader: *mut mlfa_reader,
    out: *mut *mut mlfa_bytes,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, reader) = unsafe { (Out::required(out, std::ptr::null_mut(), "bytes")?, lend(reader)?) };
        if let Some(bytes) = reader.read_chunk()?.wait()? {
            out.write(give(bytes));
        }
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins `mlfa_reader_read_chunk`; the bytes are taken with `mlfa_task_take_bytes`, NULL at the end. The reader may be freed
/// meanwhile.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: one thread at a time. Callback-safe: yes. Blocking: no.
/// Errors: `MLFA_E_BUSY` while another call reads; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_reader_read_chunk_start(
    reader: *mut mlfa_reader,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || lend(reader)?.read_chunk()) }
}

/// Has the next read begin at `offset` of the artifact, also before the offset that the reader was opened at; its end stays. The
/// store is asked by the next read, and must have `MLFA_CAPABILITY_RANGE`.
///
/// Thread safety: one thread at a time. Callback-safe: yes. Blocking: no. Errors: `MLFA_E_BUSY` while another call reads,
/// `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_reader_seek(
    reader: *mut mlfa_reader,
    offset: u64,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        unsafe { lend(reader)? }.open.here()?.reading.take()?.seek(offset);
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, body) }
}

/// Frees a reader, at its end or before. NULL is fine.
///
/// Thread safety: one thread at a time. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_reader_free(reader: *mut mlfa_reader) {
    // SAFETY: passed on from the caller.
    unsafe { free(reader) }
}
