//! Writing an artifact piece by piece.

use std::ffi::{c_char, c_void};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use mlflow_artifacts::blocking::PerProcess;
use mlflow_artifacts::{ByteStream, Control, Error, PutBody, PutOptions};
use tokio::sync::{mpsc, oneshot};

use crate::entry::{Failure, Out, call, call_in_callback};
use crate::error::mlfa_error;
use crate::handle::{free, give, handles, lend};
use crate::input;
use crate::meta::{MetaObject, mlfa_meta};
use crate::objects::{Place, mlfa_put_options, place, put_options};
use crate::owned::{mlfa_free_fn, owned};
use crate::status::{MLFA_E_CANCELLED, MLFA_E_INTERNAL, MLFA_E_INVALID_ARGUMENT, mlfa_status};
use crate::store::{StoreObject, mlfa_store};
use crate::task::{Work, mlfa_task, start};
use crate::turn::Turn;

/// An artifact that is being written. It holds a reference to its store.
pub struct mlfa_writer {
    _opaque: (),
}

handles! { mlfa_writer => WriterObject, Exclusive; }

/// As the length of what is to be written: not known yet.
pub const MLFA_LENGTH_UNKNOWN: u64 = u64::MAX;

/// What is written in small pieces goes to the store in pieces of this size.
const PIECE: usize = 256 << 10;
/// How many pieces wait for the store.
const PIECES_AHEAD: usize = 4;

/// What goes to the store.
enum Message {
    Piece(Bytes),
    /// The artifact is whole. A writer that goes away without it has failed.
    End,
}

/// A writer belongs to the process that opened it.
pub(crate) struct WriterObject(PerProcess<OpenWriter>);

struct OpenWriter {
    // First: it ends the put, which a context that goes with its last store would wait for.
    writing: Turn<Writing>,
    control: Control,
    object: Arc<StoreObject>,
}

/// The way to a put that runs on the context's threads.
struct Writing {
    control: Control,
    /// `None` when the artifact is whole or given up.
    pieces: Option<mpsc::Sender<Message>>,
    /// Written, and not on its way yet.
    buffer: BytesMut,
    /// `None` when it was received.
    outcome: Option<oneshot::Receiver<Result<MetaObject, Failure>>>,
    /// Why nothing more can be written.
    failure: Option<Failure>,
}

impl Writing {
    fn open(place: Place, length: u64, options: PutOptions) -> Result<(Arc<StoreObject>, Self), Failure> {
        let Place { object, store, path } = place;
        let (pieces, to_store) = mpsc::channel(PIECES_AHEAD);
        let (told, outcome) = oneshot::channel();
        let control = Control::default();
        let options = PutOptions { observer: Some(control.observer()), ..options };
        let body = PutBody::Stream {
            stream: stream(to_store),
            length: (length != MLFA_LENGTH_UNKNOWN).then_some(length),
        };
        let watched = control.clone();
        object.context.threads.spawn(async move {
            let put = AssertUnwindSafe(watched.guard(store.put(&path, body, options))).catch_unwind().await;
            let outcome = match put {
                Ok(Ok(put)) => Ok(MetaObject::of_put(&path, put)),
                Ok(Err(error)) => Err(error.into()),
                Err(panic) => Err(Failure::of_panic(&*panic)),
            };
            // Nobody listens to what became of a writer that was freed.
            let _ = told.send(outcome);
        })?;
        let writing = Writing {
            control,
            pieces: Some(pieces),
            buffer: BytesMut::new(),
            outcome: Some(outcome),
            failure: None,
        };
        Ok((object, writing))
    }

    /// Writes a copy of `data`.
    async fn write(&mut self, mut data: &[u8]) -> Result<(), Failure> {
        while !data.is_empty() {
            let (now, later) = data.split_at(data.len().min(PIECE - self.buffer.len()));
            self.buffer.reserve(if later.is_empty() { now.len() } else { PIECE - self.buffer.len() });
            self.buffer.extend_from_slice(now);
            data = later;
            if self.buffer.len() == PIECE {
                self.flush().await?;
            }
        }
        self.failure = None;
        Ok(())
    }

    /// Writes `data` itself.
    async fn write_owned(&mut self, data: Bytes) -> Result<(), Failure> {
        self.flush().await?;
        if !data.is_empty() {
            self.send(Message::Piece(data)).await?;
        }
        self.failure = None;
        Ok(())
    }

    async fn finish(&mut self) -> Result<Option<MetaObject>, Failure> {
        self.flush().await?;
        self.send(Message::End).await?;
        self.pieces = None;
        let outcome = self.outcome().await;
        self.failure = Some(match &outcome {
            Ok(_) => Failure::new(MLFA_E_INVALID_ARGUMENT, "the writer has finished already"),
            Err(failure) => failure.clone(),
        });
        outcome.map(Some)
    }

    /// Gives the artifact up and waits until that is cleaned up.
    async fn abort(&mut self) -> Result<(), Failure> {
        self.control.cancel();
        self.pieces = None;
        if self.outcome.is_some() && self.outcome().await.is_ok() {
            return Err(Failure::new(MLFA_E_INTERNAL, "the store took an artifact that was not finished"));
        }
        self.failure = Some(Failure::new(MLFA_E_CANCELLED, "the writer was aborted"));
        Ok(())
    }

    /// Every operation begins as one that fails, before it is polled, so that one that is dropped has.
    fn begin(&mut self) -> Result<(), Failure> {
        let dropped = || Failure::new(MLFA_E_CANCELLED, "an earlier operation on this writer was cancelled");
        self.failure.replace(dropped()).map_or(Ok(()), |failure| {
            self.failure = Some(failure.clone());
            // What is in doubt must not be waited for by the store.
            self.pieces = None;
            Err(failure)
        })
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = self.buffer.split().freeze();
        self.send(Message::Piece(piece)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Failure> {
        if let Some(pieces) = &self.pieces
            && pieces.send(message).await.is_ok()
        {
            return Ok(());
        }
        // The store has given up: why is what the writer fails with from now on.
        self.pieces = None;
        let early = || Failure::new(MLFA_E_INTERNAL, "the store took an artifact before it was whole");
        let failure = self.outcome().await.err().unwrap_or_else(early);
        self.failure = Some(failure.clone());
        Err(failure)
    }

    async fn outcome(&mut self) -> Result<MetaObject, Failure> {
        let gone = || Failure::new(MLFA_E_CANCELLED, "the context was shut down");
        let Some(outcome) = &mut self.outcome else { return Err(gone()) };
        let outcome = outcome.await.unwrap_or_else(|_| Err(gone()));
        self.outcome = None;
        outcome
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // Of no effect when the artifact is whole.
        self.control.cancel();
    }
}

fn stream(pieces: mpsc::Receiver<Message>) -> ByteStream {
    let next = |mut pieces: mpsc::Receiver<Message>| async {
        match pieces.recv().await {
            Some(Message::Piece(piece)) => Ok(Some((piece, pieces))),
            Some(Message::End) => Ok(None),
            None => Err(Error::cancelled()),
        }
    };
    stream::try_unfold(pieces, next).boxed()
}

/// What a writer's operation answers.
type Answer<T> = Result<T, Failure>;

impl WriterObject {
    fn open(&self) -> Answer<&OpenWriter> {
        Ok(self.0.here()?)
    }

    fn write<'a>(&self, data: &'a [u8]) -> Answer<Work<impl Future<Output = Answer<()>> + use<'a>>> {
        let OpenWriter { object, writing, .. } = self.open()?;
        let mut writing = writing.take()?;
        let begun = writing.begin();
        Ok(Work::new(Arc::clone(object), async move {
            begun?;
            writing.write(data).await
        }))
    }

    fn write_owned(&self, data: Bytes) -> Answer<Work<impl Future<Output = Answer<()>> + use<>>> {
        let OpenWriter { object, writing, .. } = self.open()?;
        let mut writing = writing.take()?;
        let begun = writing.begin();
        Ok(Work::new(Arc::clone(object), async move {
            begun?;
            writing.write_owned(data).await
        }))
    }

    fn finish(&self) -> Answer<Work<impl Future<Output = Answer<Option<MetaObject>>> + use<>>> {
        let OpenWriter { object, writing, control } = self.open()?;
        let mut writing = writing.take()?;
        let begun = writing.begin();
        let finish = async move {
            begun?;
            writing.finish().await
        };
        // The put itself is what is cancelled: whether the artifact is there is known when the task has ended.
        Ok(Work::new(Arc::clone(object), finish).with_control(control.clone()))
    }

    fn abort(&self) -> Answer<Work<impl Future<Output = Answer<()>> + use<>>> {
        let OpenWriter { object, writing, control } = self.open()?;
        let mut writing = writing.take()?;
        let abort = async move { writing.abort().await };
        Ok(Work::new(Arc::clone(object), abort).with_control(control.clone()))
    }
}

/// Begins to write the file at `path`, making its parents. Nothing is visible there before `mlfa_writer_finish`. `length` is how
/// many bytes there will be, or `MLFA_LENGTH_UNKNOWN`; another count is `MLFA_E_SIZE_MISMATCH`. `options` may be NULL.
///
/// What the store finds wrong is answered by what is called next with the writer.
///
/// Ownership: free `*out` with `mlfa_writer_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: `MLFA_E_INVALID_PATH`, `MLFA_E_INVALID_ARGUMENT` (mode), `MLFA_E_STRUCT_SIZE`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_writer_open(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    length: u64,
    options: *const mlfa_put_options,
    out: *mut *mut mlfa_writer,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, place, options) = unsafe {
            (
                Out::required(out, std::ptr::null_mut(), "writer")?,
                place(store, path, path_len)?,
                put_options(options)?,
            )
        };
        let (object, writing) = Writing::open(place, length, options)?;
        let control = writing.control.clone();
        let open = OpenWriter { object, control, writing: Turn::new(writing) };
        out.write(give(WriterObject(PerProcess::new(open))));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, body) }
}

/// Writes `size` bytes behind those written before. They are copied once. `data` may be NULL if `size` is 0.
///
/// After an error, and after a task of this writer was cancelled, every call answers that it failed: abort or free it.
///
/// Thread safety: one thread at a time. Callback-safe: no. Blocking: yes, while the store has not taken what was written before.
/// Errors: as `mlfa_put_bytes`; `MLFA_E_BUSY` while another call writes, `MLFA_E_FORKED`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_writer_write(
    writer: *mut mlfa_writer,
    data: *const u8,
    size: usize,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { call(err, || lend(writer)?.write(input::data(data, size)?)?.wait()) }
}

/// Begins `mlfa_writer_write`; its outcome is told with `mlfa_task_result`. The bytes are copied before it returns.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: one thread at a time. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments, `MLFA_E_BUSY` while another call writes; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_writer_write_start(
    writer: *mut mlfa_writer,
    data: *const u8,
    size: usize,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || lend(writer)?.write_owned(Bytes::copy_from_slice(input::data(data, size)?))) }
}

/// Writes `size` bytes behind those written before, without copying them: `release` is called with `user` when the library needs
/// them no more. `release` may be NULL; then the bytes must live for ever. Otherwise like `mlfa_writer_write`.
///
/// Ownership: the bytes are the library's from this call on, also when it fails, until `release` is called: exactly once, on any
/// thread, perhaps before this returns. Thread safety: one thread at a time. Callback-safe: no.
/// Blocking: yes, while the store has not taken what was written before. Errors: as `mlfa_writer_write`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_writer_write_owned(
    writer: *mut mlfa_writer,
    data: *const u8,
    size: usize,
    release: mlfa_free_fn,
    user: *mut c_void,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller. Before all else: the bytes are released whatever fails.
    let data = unsafe { owned(data, size, release, user) };
    // SAFETY: passed on from the caller.
    unsafe { call(err, || lend(writer)?.write_owned(data?)?.wait()) }
}

/// Begins `mlfa_writer_write_owned`; its outcome is told with `mlfa_task_result`.
///
/// Ownership: free `*out` with `mlfa_task_free`; the bytes as `mlfa_writer_write_owned`. Thread safety: one thread at a time.
/// Callback-safe: yes. Blocking: no. Errors: those of the arguments, `MLFA_E_BUSY` while another call writes; the operation's own
/// are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_writer_write_owned_start(
    writer: *mut mlfa_writer,
    data: *const u8,
    size: usize,
    release: mlfa_free_fn,
    user: *mut c_void,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller. Before all else: the bytes are released whatever fails.
    let data = unsafe { owned(data, size, release, user) };
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || lend(writer)?.write_owned(data?)) }
}

/// Ends the artifact. When it answers, it is whole and visible; on failure nothing has changed. `*out` (which may be NULL) says
/// what was put.
///
/// Ownership: free `*out` with `mlfa_meta_free`, and the writer with `mlfa_writer_free`. Thread safety: one thread at a time.
/// Callback-safe: no. Blocking: yes. Errors: as `mlfa_put_bytes`; `MLFA_E_SIZE_MISMATCH` (length), `MLFA_E_BUSY` while another call
/// writes, `MLFA_E_FORKED`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_writer_finish(
    writer: *mut mlfa_writer,
    out: *mut *mut mlfa_meta,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, writer) = unsafe { (Out::optional(out, std::ptr::null_mut()), lend(writer)?) };
        let meta = writer.finish()?.wait()?;
        // Made only for one who frees it.
        if let Some(meta) = meta.filter(|_| out.is_wanted()) {
            out.write(give(meta));
        }
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins `mlfa_writer_finish`; what was put is taken with `mlfa_task_take_meta`. A task that is cancelled in time leaves nothing.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: one thread at a time. Callback-safe: yes. Blocking: no.
/// Errors: `MLFA_E_BUSY` while another call writes; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_writer_finish_start(
    writer: *mut mlfa_writer,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || lend(writer)?.finish()) }
}

/// Gives the artifact up; when it answers, what was written is gone. What was finished before stays.
///
/// Thread safety: one thread at a time. Callback-safe: no. Blocking: yes, until that is cleaned up.
/// Errors: `MLFA_E_BUSY` while another call writes, `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_writer_abort(
    writer: *mut mlfa_writer,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { call(err, || lend(writer)?.abort()?.wait()) }
}

/// Begins `mlfa_writer_abort`; its outcome is told with `mlfa_task_result`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: one thread at a time. Callback-safe: yes. Blocking: no.
/// Errors: `MLFA_E_BUSY` while another call writes, `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_writer_abort_start(
    writer: *mut mlfa_writer,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || lend(writer)?.abort()) }
}

/// Frees a writer. One that has not finished is aborted, which goes on after this has returned; the last release of its context
/// waits for it. NULL is fine.
///
/// Thread safety: one thread at a time. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_writer_free(writer: *mut mlfa_writer) {
    // SAFETY: passed on from the caller.
    unsafe { free(writer) }
}
