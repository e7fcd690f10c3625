//! Single artifacts.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use mlflow_artifacts::{
    ArtifactPath, ByteRange, Control, CopyOptions, DeleteOptions, Deleted, ErrorKind, GetOptions, PutBody,
    PutMode, PutOptions, Result, SharedStore,
};

use crate::bytes::mlfa_bytes;
use crate::entry::{Failure, Out, call};
use crate::error::mlfa_error;
use crate::handle::{give, lend};
use crate::input::{self, Options, artifact_path, init_options, text};
use crate::meta::{MetaObject, mlfa_meta};
use crate::owned::{mlfa_free_fn, owned};
use crate::properties::{PropertiesObject, mlfa_properties};
use crate::status::{MLFA_E_INVALID_ARGUMENT, mlfa_status};
use crate::store::{StoreObject, mlfa_store};
use crate::target::Target;
use crate::task::{Work, mlfa_task, start};

/// In `mlfa_put_options.mode`: replace what is there.
pub const MLFA_PUT_OVERWRITE: u32 = 0;
/// In `mlfa_put_options.mode`: refuse with `MLFA_E_ALREADY_EXISTS` if something is there.
pub const MLFA_PUT_CREATE_NEW: u32 = 1;
/// In `mlfa_put_options.mode`: replace what is there only if it still has the etag `if_match`, else
/// `MLFA_E_PRECONDITION_FAILED`. Since 0.2.
pub const MLFA_PUT_IF_MATCH: u32 = 2;

/// In the flags of `mlfa_delete`: a directory with everything in it.
pub const MLFA_DELETE_RECURSIVE: u32 = 1;

/// As `length` of what is read: to the end.
pub const MLFA_TO_THE_END: u64 = u64::MAX;

/// How to write an artifact. Initialise it with `MLFA_PUT_OPTIONS_INIT` or `mlfa_put_options_init`: 0 means default.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mlfa_put_options {
    /// `sizeof(mlfa_put_options)`.
    pub struct_size: u32,
    /// What to do with what is there already: one of `MLFA_PUT_...`.
    pub mode: u32,
    /// The etag for `MLFA_PUT_IF_MATCH`, NUL-terminated; NULL in the other modes. Since 0.2.
    pub if_match: *const c_char,
    /// Kept with the artifact where the store has `MLFA_CAPABILITY_PROPERTIES`; may be NULL. Copied. Since 0.2.
    pub properties: *const mlfa_properties,
}

// SAFETY: repr(C), begins with its size; integers and nullable pointers, all valid as zero.
unsafe impl Options for mlfa_put_options {
    // Version 0.1.
    const EARLIER_SIZES: &[usize] = &[std::mem::offset_of!(Self, mode) + size_of::<u32>()];
}

/// Fills `options` with the defaults; `size` is `sizeof(mlfa_put_options)`. NULL is fine.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_put_options_init(options: *mut mlfa_put_options, size: usize) {
    // SAFETY: passed on from the caller.
    unsafe { init_options(options, size) }
}

/// Reads how to put.
pub(crate) unsafe fn put_options(
    options: *const mlfa_put_options,
) -> std::result::Result<PutOptions, Failure> {
    // SAFETY: passed on from the caller.
    let options = unsafe { input::options(options)? };
    let mode = match options.mode {
        MLFA_PUT_OVERWRITE => PutMode::Overwrite,
        MLFA_PUT_CREATE_NEW => PutMode::CreateNew,
        MLFA_PUT_IF_MATCH if options.if_match.is_null() => {
            let message = "the put mode MLFA_PUT_IF_MATCH needs the etag if_match";
            return Err(Failure::new(MLFA_E_INVALID_ARGUMENT, message));
        }
        MLFA_PUT_IF_MATCH => {
            // SAFETY: passed on from the caller.
            let etag = unsafe { text(options.if_match, usize::MAX, "etag")? };
            PutMode::IfMatch(etag.to_owned())
        }
        other => {
            return Err(Failure::new(MLFA_E_INVALID_ARGUMENT, format!("there is no put mode {other}")));
        }
    };
    if options.mode != MLFA_PUT_IF_MATCH && !options.if_match.is_null() {
        let message = "the put options have an etag, but not the mode MLFA_PUT_IF_MATCH";
        return Err(Failure::new(MLFA_E_INVALID_ARGUMENT, message));
    }
    // SAFETY: passed on from the caller.
    let properties = unsafe { crate::properties::read(options.properties)? };
    Ok(PutOptions { mode, properties, ..PutOptions::default() })
}

/// A store and a path in it, as most functions begin.
pub(crate) unsafe fn place(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
) -> std::result::Result<Place, Failure> {
    // SAFETY: passed on from the caller.
    let (object, path) = unsafe { (Arc::clone(lend(store)?), artifact_path(path, path_len)?) };
    Ok(Place { store: Arc::clone(object.store()?), object, path })
}

pub(crate) struct Place {
    /// What a task keeps alive.
    pub(crate) object: Arc<StoreObject>,
    /// What its operation uses.
    pub(crate) store: SharedStore,
    pub(crate) path: ArtifactPath,
}

/// What an operation answers, without its type.
type Answer<T> = std::result::Result<T, Failure>;

/// An operation on a path. It is dropped when it is cancelled.
fn work<T, F: Future<Output = Result<T>>>(
    place: Place,
    operation: impl FnOnce(SharedStore, ArtifactPath) -> F,
) -> Work<impl Future<Output = Answer<T>>> {
    let operation = operation(place.store, place.path);
    Work::new(place.object, async { Ok(operation.await?) })
}

/// What stands at `path`; the empty path is the store's root.
///
/// Ownership: free `*out` with `mlfa_meta_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
/// Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_stat(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    out: *mut *mut mlfa_meta,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, place) =
            unsafe { (Out::required(out, std::ptr::null_mut(), "meta")?, place(store, path, path_len)?) };
        if let Some(meta) = stat(place).wait()? {
            out.write(give(meta));
        }
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

fn stat(place: Place) -> Work<impl Future<Output = Answer<Option<MetaObject>>>> {
    work(place, async |store, path| Ok(Some(MetaObject::new(&store.stat(&path).await?))))
}

/// Begins `mlfa_stat`; the meta is taken with `mlfa_task_take_meta`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_stat_start(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || Ok(stat(place(store, path, path_len)?))) }
}

/// What is kept with the file or directory at `path`; empty if nothing is.
///
/// Ownership: free `*out` with `mlfa_properties_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
/// Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_UNSUPPORTED` without `MLFA_CAPABILITY_PROPERTIES`, `MLFA_E_INVALID_PATH`, and those of
/// the store. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_get_properties(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    out: *mut *mut mlfa_properties,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, place) = unsafe {
            (Out::required(out, std::ptr::null_mut(), "properties")?, place(store, path, path_len)?)
        };
        out.write(give(get_properties(place).wait()?));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

fn get_properties(place: Place) -> Work<impl Future<Output = Answer<PropertiesObject>>> {
    work(place, async |store, path| Ok(PropertiesObject::new(&store.properties(&path).await?)))
}

/// Begins `mlfa_get_properties`; the properties are taken with `mlfa_task_take_properties`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_get_properties_start(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || Ok(get_properties(place(store, path, path_len)?))) }
}

/// Reads up to `capacity` bytes of the file at `path`, from `offset` on, into `buffer`, and says in `*read` how many came.
///
/// Fewer than `capacity` only at the end of the file; 0 at or after it. After an error the buffer's content is undefined.
/// The bytes are copied once.
///
/// Thread safety: any thread. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`,
/// `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_get_into(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    offset: u64,
    buffer: *mut u8,
    capacity: usize,
    read: *mut usize,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (read, place, target) = unsafe {
            (Out::required(read, 0, "read")?, place(store, path, path_len)?, Target::new(buffer, capacity)?)
        };
        let filled = get_into(place, offset, &target, capacity).wait()?;
        read.write(usize::try_from(filled).unwrap_or(usize::MAX));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

fn get_into(
    place: Place,
    offset: u64,
    target: &Target,
    capacity: usize,
) -> Work<impl Future<Output = Answer<u64>> + use<>> {
    let filling = target.clone();
    let get = async move |store: SharedStore, path: ArtifactPath| {
        let options = GetOptions { range: range(offset, capacity as u64), ..GetOptions::default() };
        let fill = async {
            let mut stream = store.get(&path, options).await?.stream;
            let mut filled = 0;
            while let Some(chunk) = stream.try_next().await? {
                filling.write(filled, &chunk)?;
                filled += chunk.len();
            }
            Ok(filled as u64)
        };
        nothing_at_the_end(fill.await, 0)
    };
    work(place, get).with_target(target)
}

/// Begins `mlfa_get_into`; how many bytes came is taken with `mlfa_task_take_count`. `buffer` is the task's until it has
/// ended or is freed.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_get_into_start(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    offset: u64,
    buffer: *mut u8,
    capacity: usize,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe {
        start(out, err, || {
            Ok(get_into(place(store, path, path_len)?, offset, &Target::new(buffer, capacity)?, capacity))
        })
    }
}

/// Reads up to `length` bytes of the file at `path`, from `offset` on, into memory of the library;
/// `MLFA_TO_THE_END` reads all that is left.
///
/// Fewer than `length` only at the end of the file; none at or after it. What came in one piece is not copied.
///
/// Ownership: release `*out` with `mlfa_bytes_release`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
/// Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_get_bytes(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    offset: u64,
    length: u64,
    out: *mut *mut mlfa_bytes,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, place) =
            unsafe { (Out::required(out, std::ptr::null_mut(), "bytes")?, place(store, path, path_len)?) };
        if let Some(bytes) = get_bytes(place, offset, length).wait()? {
            out.write(give(bytes));
        }
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

fn get_bytes(place: Place, offset: u64, length: u64) -> Work<impl Future<Output = Answer<Option<Bytes>>>> {
    work(place, async move |store, path| {
        let options = GetOptions { range: range(offset, length), ..GetOptions::default() };
        let fetched = async { store.get(&path, options).await?.bytes().await };
        nothing_at_the_end(fetched.await, Bytes::new()).map(Some)
    })
}

/// Begins `mlfa_get_bytes`; the bytes are taken with `mlfa_task_take_bytes`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_get_bytes_start(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    offset: u64,
    length: u64,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || Ok(get_bytes(place(store, path, path_len)?, offset, length))) }
}

pub(crate) fn range(offset: u64, length: u64) -> ByteRange {
    match (offset, length) {
        (0, MLFA_TO_THE_END) => ByteRange::Full,
        (_, MLFA_TO_THE_END) => ByteRange::From(offset),
        _ => ByteRange::Between(offset, offset.saturating_add(length)),
    }
}

/// Reading at or after the end gives nothing, as with `pread`.
fn nothing_at_the_end<T>(result: Result<T>, nothing: T) -> Result<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::RangeNotSatisfiable => Ok(nothing),
        other => other,
    }
}

/// Writes `size` bytes as the file at `path`, making its parents. When it answers, the artifact is whole and visible; on
/// failure nothing has changed. `options` may be NULL, `data` may be NULL if `size` is 0.
///
/// The bytes are copied once; `mlfa_put_owned` copies none. A large file goes faster by `mlfa_upload_file`.
///
/// Thread safety: any thread. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_ALREADY_EXISTS` and
/// `MLFA_E_PRECONDITION_FAILED` (mode), `MLFA_E_IS_A_DIRECTORY`, `MLFA_E_NOT_A_DIRECTORY`, `MLFA_E_UNSUPPORTED` (properties),
/// `MLFA_E_INVALID_PATH`, `MLFA_E_NO_SPACE`, and those of the store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_put_bytes(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    data: *const u8,
    size: usize,
    options: *const mlfa_put_options,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (place, options, data) =
            unsafe { (place(store, path, path_len)?, put_options(options)?, input::data(data, size)?) };
        let content = Bytes::copy_from_slice(data);
        work(place, async |store, path| store.put(&path, PutBody::Bytes(content), options).await).wait()?;
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// A put that cleans up when its task is cancelled, and tells of its progress.
fn put(
    place: Place,
    content: Bytes,
    options: PutOptions,
) -> Work<impl Future<Output = Answer<Option<MetaObject>>>> {
    let control = Control::default();
    let watched = control.clone();
    work(place, async move |store: SharedStore, path: ArtifactPath| {
        let options = PutOptions { observer: Some(watched.observer()), ..options };
        let put = watched.guard(store.put(&path, PutBody::Bytes(content), options)).await?;
        Ok(Some(MetaObject::of_put(&path, put)))
    })
    .with_control(control)
}

/// Begins `mlfa_put_bytes`; what was put is taken with `mlfa_task_take_meta`. The bytes are copied before it returns.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_put_bytes_start(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    data: *const u8,
    size: usize,
    options: *const mlfa_put_options,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe {
        start(out, err, || {
            let content = Bytes::copy_from_slice(input::data(data, size)?);
            Ok(put(place(store, path, path_len)?, content, put_options(options)?))
        })
    }
}

/// Writes `size` bytes as the file at `path` like `mlfa_put_bytes`, without copying them: `release` is called with `user` when
/// the library needs them no more. `options` and `release` may be NULL; without `release` the bytes must live for ever.
///
/// Ownership: the bytes are the library's from this call on, also when it fails, until `release` is called: exactly once, on any
/// thread, perhaps before this returns. Thread safety: any thread. Callback-safe: no. Blocking: yes.
/// Errors: as `mlfa_put_bytes`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_put_owned(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    data: *const u8,
    size: usize,
    release: mlfa_free_fn,
    user: *mut c_void,
    options: *const mlfa_put_options,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller. Before all else: the bytes are released whatever fails.
    let content = unsafe { owned(data, size, release, user) };
    let body = || {
        // SAFETY: passed on from the caller.
        let (place, options) = unsafe { (place(store, path, path_len)?, put_options(options)?) };
        let content = content?;
        work(place, async |store, path| store.put(&path, PutBody::Bytes(content), options).await).wait()?;
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins `mlfa_put_owned`; what was put is taken with `mlfa_task_take_meta`.
///
/// Ownership: free `*out` with `mlfa_task_free`; the bytes as `mlfa_put_owned`. Thread safety: any thread. Callback-safe: yes.
/// Blocking: no. Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_put_owned_start(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    data: *const u8,
    size: usize,
    release: mlfa_free_fn,
    user: *mut c_void,
    options: *const mlfa_put_options,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller. Before all else: the bytes are released whatever fails.
    let content = unsafe { owned(data, size, release, user) };
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || Ok(put(place(store, path, path_len)?, content?, put_options(options)?))) }
}

/// Makes the directory at `path` and its parents; one that is there already is fine.
///
/// Thread safety: any thread. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_UNSUPPORTED` on stores without directories of
/// their own, `MLFA_E_NOT_A_DIRECTORY`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_create_directory(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { call(err, || create_directory(place(store, path, path_len)?).wait()) }
}

fn create_directory(place: Place) -> Work<impl Future<Output = Answer<()>>> {
    work(place, async |store, path| store.create_directory(&path).await)
}

/// Begins `mlfa_create_directory`; its outcome is told with `mlfa_task_result`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_create_directory_start(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || Ok(create_directory(place(store, path, path_len)?))) }
}

/// Removes the file at `path`, or with `MLFA_DELETE_RECURSIVE` also a directory with everything in it; the empty path is
/// the whole store. Nothing there is success, and so is a store that is configured to delete nothing: `*removed` (which may be
/// NULL) says 1 if something was removed, else 0.
///
/// Thread safety: any thread. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_IS_A_DIRECTORY` without the flag,
/// `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_delete(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    flags: u32,
    removed: *mut i32,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (removed, place) = unsafe { (Out::optional(removed, 0), place(store, path, path_len)?) };
        removed.write(i32::from(delete(place, flags)?.wait()? > 0));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

fn delete(place: Place, flags: u32) -> Answer<Work<impl Future<Output = Answer<u64>>>> {
    let options = DeleteOptions { recursive: flag(flags, MLFA_DELETE_RECURSIVE)? };
    Ok(work(place, async move |store, path| {
        Ok(u64::from(store.delete(&path, options).await? == Deleted::Removed))
    }))
}

/// Begins `mlfa_delete`; 1 if something was removed, else 0, is taken with `mlfa_task_take_count`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_delete_start(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    flags: u32,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || delete(place(store, path, path_len)?, flags)) }
}

/// Copies the file at `from` to `to` within the store, without its bytes passing through this program where the store can.
///
/// Thread safety: any thread. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_NOT_FOUND`, `MLFA_E_IS_A_DIRECTORY`,
/// `MLFA_E_UNSUPPORTED`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_copy(
    store: *mut mlfa_store,
    from: *const c_char,
    from_len: usize,
    to: *const c_char,
    to_len: usize,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (place, to) = unsafe { (place(store, from, from_len)?, artifact_path(to, to_len)?) };
        copy(place, to).wait()?;
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

fn copy(place: Place, to: ArtifactPath) -> Work<impl Future<Output = Answer<Option<MetaObject>>>> {
    work(place, async move |store, from| {
        let copied = store.copy(&from, &to, CopyOptions::default()).await?;
        Ok(Some(MetaObject::of_put(&to, copied)))
    })
}

/// Begins `mlfa_copy`; what was copied is taken with `mlfa_task_take_meta`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_copy_start(
    store: *mut mlfa_store,
    from: *const c_char,
    from_len: usize,
    to: *const c_char,
    to_len: usize,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || Ok(copy(place(store, from, from_len)?, artifact_path(to, to_len)?))) }
}

/// Whether `flags` has the one flag that it may have.
pub(crate) fn flag(flags: u32, known: u32) -> Answer<bool> {
    match flags {
        0 => Ok(false),
        flags if flags == known => Ok(true),
        _ => Err(Failure::new(MLFA_E_INVALID_ARGUMENT, format!("there are no flags {flags:#x}"))),
    }
}
