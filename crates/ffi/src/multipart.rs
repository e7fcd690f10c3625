//! Uploads in parts, for servers whose clients bring the parts.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use mlflow_artifacts::blocking::PerProcess;
use mlflow_artifacts::{
    ArtifactPath, PartReceipt, PresignMethod, PutOutcome, SharedStore, Upload, UploadOptions, UploadToken,
};

use crate::entry::{Failure, Out, call, call_in_callback};
use crate::error::mlfa_error;
use crate::handle::{give, handles, lend, release, retain};
use crate::input::{self, c_string, pointer, text};
use crate::meta::{MetaObject, mlfa_meta};
use crate::objects::{Place, mlfa_put_options, place, put_options};
use crate::presign::{SignedRequestObject, mlfa_signed_request, presign};
use crate::status::{MLFA_E_BUSY, MLFA_E_INVALID_ARGUMENT, MLFA_E_UNSUPPORTED, mlfa_status};
use crate::store::{StoreObject, mlfa_store};
use crate::task::{Work, mlfa_task, start};
use crate::turn::lock;
use crate::writer::MLFA_LENGTH_UNKNOWN;

/// An upload in parts. It holds a reference to its store.
pub struct mlfa_multipart {
    _opaque: (),
}

handles! { mlfa_multipart => MultipartObject, Shared; }

pub(crate) struct MultipartObject {
    token: Option<CString>,
    part_size: u64,
    open: PerProcess<OpenMultipart>,
}

struct OpenMultipart {
    object: Arc<StoreObject>,
    store: SharedStore,
    path: ArtifactPath,
    token: Option<UploadToken>,
    parts: Arc<Mutex<Parts>>,
}

struct Parts {
    /// `None` when it was completed or aborted. Each part that is being put has a reference.
    upload: Option<Arc<Box<dyn Upload>>>,
    receipts: BTreeMap<u32, PartReceipt>,
}

/// What an operation on an upload answers.
type Answer<T> = Result<T, Failure>;

impl MultipartObject {
    fn new(object: Arc<StoreObject>, store: SharedStore, upload: Box<dyn Upload>) -> Self {
        let (path, token, part_size) = (upload.path().clone(), upload.token(), upload.part_size());
        let parts = Parts { upload: Some(Arc::new(upload)), receipts: BTreeMap::new() };
        MultipartObject {
            token: token.as_ref().map(|token| c_string(token.as_str())),
            part_size,
            open: PerProcess::new(OpenMultipart {
                object,
                store,
                path,
                token,
                parts: Arc::new(Mutex::new(parts)),
            }),
        }
    }

    fn put_part(
        &self,
        number: u32,
        data: Bytes,
    ) -> Answer<Work<impl Future<Output = Answer<Option<MetaObject>>> + use<>>> {
        let open = self.open.here()?;
        let upload = lock(&open.parts).upload.clone().ok_or_else(ended)?;
        let (parts, path) = (Arc::clone(&open.parts), open.path.clone());
        Ok(Work::new(Arc::clone(&open.object), async move {
            let receipt = upload.put_part(number, data).await?;
            let part = PutOutcome { size: receipt.size, etag: Some(receipt.etag.clone()), digest: None };
            let mut parts = lock(&parts);
            parts.receipts.insert(number, receipt);
            // With the receipt: whoever completes the upload either has it or finds the part still being put.
            drop(upload);
            drop(parts);
            Ok(Some(MetaObject::of_put(&path, part)))
        }))
    }

    fn add_part(&self, receipt: PartReceipt) -> Answer<()> {
        let mut parts = lock(&self.open.here()?.parts);
        if parts.upload.is_none() {
            return Err(ended());
        }
        parts.receipts.insert(receipt.number, receipt);
        Ok(())
    }

    /// The upload itself, which ends with what is done to it.
    fn take(&self) -> Answer<(&OpenMultipart, Ending, Vec<PartReceipt>)> {
        let open = self.open.here()?;
        let mut parts = lock(&open.parts);
        let upload = Arc::try_unwrap(parts.upload.take().ok_or_else(ended)?).map_err(|shared| {
            parts.upload = Some(shared);
            Failure::new(MLFA_E_BUSY, "parts of this upload are still being put")
        })?;
        let receipts = std::mem::take(&mut parts.receipts).into_values().collect();
        drop(parts);
        Ok((open, Ending { object: Arc::clone(&open.object), upload: Some(upload) }, receipts))
    }

    fn complete(&self) -> Answer<Work<impl Future<Output = Answer<Option<MetaObject>>> + use<>>> {
        let (open, mut ending, receipts) = self.take()?;
        let path = open.path.clone();
        Ok(Work::new(Arc::clone(&open.object), async move {
            let upload = ending.begin()?;
            Ok(Some(MetaObject::of_put(&path, upload.complete(receipts).await?)))
        }))
    }

    fn abort(&self) -> Answer<Work<impl Future<Output = Answer<()>> + use<>>> {
        let (open, mut ending, _) = self.take()?;
        Ok(Work::new(Arc::clone(&open.object), async move { Ok(ending.begin()?.abort().await?) }))
    }

    fn presign_part(
        &self,
        number: u32,
        expires_s: u64,
    ) -> Answer<Work<impl Future<Output = Answer<SignedRequestObject>> + use<>>> {
        let OpenMultipart { object, store, path, token, .. } = self.open.here()?;
        let unnamed = || {
            let message = "this upload cannot be named to anybody else, so its parts cannot be presigned";
            Failure::new(MLFA_E_UNSUPPORTED, message)
        };
        let method = PresignMethod::Part { upload: token.clone().ok_or_else(unnamed)?, number };
        let place = Place { object: Arc::clone(object), store: Arc::clone(store), path: path.clone() };
        presign(place, method, expires_s)
    }
}

/// An upload that is about to end. No handle has it any longer: if its end never begins, because the task was cancelled before,
/// it is aborted.
struct Ending {
    object: Arc<StoreObject>,
    upload: Option<Box<dyn Upload>>,
}

impl Ending {
    fn begin(&mut self) -> Answer<Box<dyn Upload>> {
        self.upload.take().ok_or_else(ended)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        // Nobody is left to be told of a failure.
        let _ = self.object.context.threads.spawn(async { drop(upload.abort().await) });
    }
}

fn ended() -> Failure {
    Failure::new(MLFA_E_INVALID_ARGUMENT, "this upload was completed or aborted already")
}

unsafe fn create(
    place: Place,
    length: u64,
    part_size: u64,
    options: *const mlfa_put_options,
) -> Answer<Work<impl Future<Output = Answer<MultipartObject>>>> {
    // SAFETY: passed on from the caller.
    let options = unsafe { put_options(options)? };
    let options = UploadOptions {
        part_size: (part_size > 0).then_some(part_size),
        length: (length != MLFA_LENGTH_UNKNOWN).then_some(length),
        mode: options.mode,
        properties: options.properties,
    };
    let Place { object, store, path } = place;
    Ok(Work::new(Arc::clone(&object), async move {
        let upload = store.begin_upload(&path, options).await?;
        Ok(MultipartObject::new(object, store, upload))
    }))
}

unsafe fn resume(
    place: Place,
    token: *const c_char,
    token_len: usize,
) -> Answer<Work<impl Future<Output = Answer<MultipartObject>>>> {
    // SAFETY: passed on from the caller.
    let token = UploadToken::new(unsafe { text(token, token_len, "token")? });
    let Place { object, store, path } = place;
    Ok(Work::new(Arc::clone(&object), async move {
        let upload = store.resume_upload(&token).await?;
        if *upload.path() != path {
            let message = format!("the token is that of an upload to \"{}\", not \"{path}\"", upload.path());
            return Err(Failure::new(MLFA_E_INVALID_ARGUMENT, message));
        }
        Ok(MultipartObject::new(object, store, upload))
    }))
}

/// Begins an upload in parts to `path`. Nothing is visible there before `mlfa_multipart_complete`. `length` is how many bytes
/// there will be, or `MLFA_LENGTH_UNKNOWN`; `part_size` is that of every part but the last, or 0 to let the store choose.
/// `options` may be NULL.
///
/// Ownership: release `*out` with `mlfa_multipart_release`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
/// Errors: `MLFA_E_UNSUPPORTED` without `MLFA_CAPABILITY_MULTIPART`, `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_multipart_create(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    length: u64,
    part_size: u64,
    options: *const mlfa_put_options,
    out: *mut *mut mlfa_multipart,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, work) = unsafe {
            let out = Out::required(out, std::ptr::null_mut(), "upload")?;
            (out, create(place(store, path, path_len)?, length, part_size, options)?)
        };
        out.write(give(work.wait()?));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins `mlfa_multipart_create`; the upload is taken with `mlfa_task_take_multipart`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_multipart_create_start(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    length: u64,
    part_size: u64,
    options: *const mlfa_put_options,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || create(place(store, path, path_len)?, length, part_size, options)) }
}

/// Takes up an upload that was begun before, perhaps by another process, and neither completed nor aborted. `path` is the one that
/// it was begun with, `token` what `mlfa_multipart_token` said. The parts that were put before must be named with
/// `mlfa_multipart_add_part`.
///
/// Whoever has a token may write, complete and abort that upload: a server keeps it to itself or signs it.
///
/// Ownership: release `*out` with `mlfa_multipart_release`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
/// Errors: `MLFA_E_UNSUPPORTED` without `MLFA_CAPABILITY_RESUME_UPLOAD`, `MLFA_E_NOT_FOUND` (no such upload),
/// `MLFA_E_INVALID_PATH`, `MLFA_E_INVALID_ARGUMENT` (the token is no token or that of another path), and those of the store.
/// Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_multipart_resume(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    token: *const c_char,
    token_len: usize,
    out: *mut *mut mlfa_multipart,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, work) = unsafe {
            let out = Out::required(out, std::ptr::null_mut(), "upload")?;
            (out, resume(place(store, path, path_len)?, token, token_len)?)
        };
        out.write(give(work.wait()?));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins `mlfa_multipart_resume`; the upload is taken with `mlfa_task_take_multipart`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_multipart_resume_start(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    token: *const c_char,
    token_len: usize,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || resume(place(store, path, path_len)?, token, token_len)) }
}

/// What names an upload for `mlfa_multipart_resume`; NULL where the store cannot take uploads up again, and for NULL.
///
/// Ownership: the string belongs to the upload. Thread safety: any thread. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_multipart_token(multipart: *const mlfa_multipart) -> *const c_char {
    // SAFETY: passed on from the caller.
    unsafe { lend(multipart) }.map_or(std::ptr::null(), |multipart| pointer(multipart.token.as_ref()))
}

/// The bytes of every part but the last, which may be smaller; 0 for NULL.
///
/// Thread safety: any thread. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_multipart_part_size(multipart: *const mlfa_multipart) -> u64 {
    // SAFETY: passed on from the caller.
    unsafe { lend(multipart) }.map_or(0, |multipart| multipart.part_size)
}

/// Puts part `number`, 1 being the first. Parts may come in any order and at the same time; one that is put again replaces the
/// earlier one. `*out` (which may be NULL) has the part's size and etag. The bytes are copied once.
///
/// Ownership: free `*out` with `mlfa_meta_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
/// Errors: `MLFA_E_INVALID_ARGUMENT` (number, size, ended already), those of the store, `MLFA_E_FORKED`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_multipart_put_part(
    multipart: *mut mlfa_multipart,
    number: u32,
    data: *const u8,
    size: usize,
    out: *mut *mut mlfa_meta,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, multipart, data) =
            unsafe { (Out::optional(out, std::ptr::null_mut()), lend(multipart)?, input::data(data, size)?) };
        let part = multipart.put_part(number, Bytes::copy_from_slice(data))?.wait()?;
        hand_out(part, &out);
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins `mlfa_multipart_put_part`; the part's size and etag are taken with `mlfa_task_take_meta`. The bytes are copied before
/// it returns.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_multipart_put_part_start(
    multipart: *mut mlfa_multipart,
    number: u32,
    data: *const u8,
    size: usize,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe {
        start(out, err, || {
            lend(multipart)?.put_part(number, Bytes::copy_from_slice(input::data(data, size)?))
        })
    }
}

/// Names a part that somebody else has put, by a presigned request or before the upload was taken up again: its number, size and
/// etag.
///
/// Thread safety: any thread. Callback-safe: yes. Blocking: no. Errors: `MLFA_E_INVALID_ARGUMENT` (ended already),
/// `MLFA_E_FORKED`, `MLFA_E_NULL_POINTER`, `MLFA_E_INVALID_UTF8`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_multipart_add_part(
    multipart: *mut mlfa_multipart,
    number: u32,
    size: u64,
    etag: *const c_char,
    etag_len: usize,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (multipart, etag) = unsafe { (lend(multipart)?, text(etag, etag_len, "etag")?) };
        multipart.add_part(PartReceipt { number, size, etag: etag.to_owned() })
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, body) }
}

/// Signs a request that whoever holds it may make for `expires_s` seconds to put part `number`. The answer to it has the part's
/// etag, for `mlfa_multipart_add_part`; for Azure the part's etag is the value of `blockid` in the URL.
///
/// Ownership: free `*out` with `mlfa_signed_request_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
/// Errors: `MLFA_E_UNSUPPORTED` without `MLFA_CAPABILITY_PRESIGN`, `MLFA_E_INVALID_ARGUMENT` (no time), those of the store,
/// `MLFA_E_FORKED`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_multipart_presign_part(
    multipart: *mut mlfa_multipart,
    number: u32,
    expires_s: u64,
    out: *mut *mut mlfa_signed_request,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, multipart) =
            unsafe { (Out::required(out, std::ptr::null_mut(), "signed request")?, lend(multipart)?) };
        out.write(give(multipart.presign_part(number, expires_s)?.wait()?));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins `mlfa_multipart_presign_part`; the request is taken with `mlfa_task_take_signed_request`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_multipart_presign_part_start(
    multipart: *mut mlfa_multipart,
    number: u32,
    expires_s: u64,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || lend(multipart)?.presign_part(number, expires_s)) }
}

/// Makes the artifact of the parts that were put and named, which must be all from 1 on without a gap. When it answers, the
/// artifact is whole and visible; on failure nothing is visible and the upload is given up. `*out` (which may be NULL) says what
/// was put.
///
/// Ownership: free `*out` with `mlfa_meta_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
/// Errors: `MLFA_E_BUSY` (a part is still being put), `MLFA_E_INVALID_ARGUMENT` (a part is missing or has another size; ended
/// already), as `mlfa_put_bytes`, `MLFA_E_FORKED`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_multipart_complete(
    multipart: *mut mlfa_multipart,
    out: *mut *mut mlfa_meta,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, multipart) = unsafe { (Out::optional(out, std::ptr::null_mut()), lend(multipart)?) };
        hand_out(multipart.complete()?.wait()?, &out);
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins `mlfa_multipart_complete`; what was put is taken with `mlfa_task_take_meta`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: `MLFA_E_BUSY` (a part is still being put), `MLFA_E_INVALID_ARGUMENT` (ended already), `MLFA_E_FORKED`; the
/// operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_multipart_complete_start(
    multipart: *mut mlfa_multipart,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || lend(multipart)?.complete()) }
}

/// Gives an upload up and removes its parts.
///
/// Thread safety: any thread. Callback-safe: no. Blocking: yes. Errors: `MLFA_E_BUSY` (a part is still being put),
/// `MLFA_E_INVALID_ARGUMENT` (ended already), those of the store, `MLFA_E_FORKED`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_multipart_abort(
    multipart: *mut mlfa_multipart,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { call(err, || lend(multipart)?.abort()?.wait()) }
}

/// Begins `mlfa_multipart_abort`; its outcome is told with `mlfa_task_result`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: `MLFA_E_BUSY` (a part is still being put), `MLFA_E_INVALID_ARGUMENT` (ended already), `MLFA_E_FORKED`; the
/// operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_multipart_abort_start(
    multipart: *mut mlfa_multipart,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || lend(multipart)?.abort()) }
}

/// Makes one more reference to an upload and answers it. NULL is fine.
///
/// Ownership: each reference is released with `mlfa_multipart_release`. Thread safety: any thread. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_multipart_retain(multipart: *mut mlfa_multipart) -> *mut mlfa_multipart {
    // SAFETY: passed on from the caller.
    unsafe { retain(multipart) }
}

/// Gives one reference up. An upload that was neither completed nor aborted stays, to be taken up again by its token. NULL is fine.
///
/// Thread safety: any thread. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_multipart_release(multipart: *mut mlfa_multipart) {
    // SAFETY: passed on from the caller.
    unsafe { release(multipart) }
}

/// Made only for one who frees it.
fn hand_out(meta: Option<MetaObject>, out: &Out<*mut mlfa_meta>) {
    if let Some(meta) = meta.filter(|_| out.is_wanted()) {
        out.write(give(meta));
    }
}
