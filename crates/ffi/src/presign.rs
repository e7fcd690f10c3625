//! Requests that others may make.

use std::ffi::{CString, c_char};
use std::time::Duration;

use mlflow_artifacts::{PresignMethod, PresignRequest, SignedRequest};

use crate::entry::{Failure, Out, call};
use crate::error::mlfa_error;
use crate::handle::{free, give, handles, lend};
use crate::input::c_string;
use crate::objects::{Place, place};
use crate::status::{MLFA_E_INVALID_ARGUMENT, mlfa_status};
use crate::store::mlfa_store;
use crate::task::{Work, mlfa_task, start};

/// A request that whoever holds it may make: treat it as a secret.
pub struct mlfa_signed_request {
    _opaque: (),
}

handles! { mlfa_signed_request => SignedRequestObject, Exclusive; }

/// As `method` of `mlfa_presign`: read the artifact.
pub const MLFA_PRESIGN_GET: u32 = 0;
/// As `method` of `mlfa_presign`: write the artifact.
pub const MLFA_PRESIGN_PUT: u32 = 1;

pub(crate) struct SignedRequestObject {
    method: CString,
    url: CString,
    headers: Vec<(CString, CString)>,
}

impl SignedRequestObject {
    fn new(request: SignedRequest) -> Self {
        let headers = request.headers.into_iter();
        SignedRequestObject {
            method: c_string(request.method),
            url: c_string(request.url),
            headers: headers.map(|(name, value)| (c_string(name), c_string(value))).collect(),
        }
    }
}

/// Signs a request that whoever holds it may make for `expires_s` seconds, without credentials of its own.
///
/// Ownership: free `*out` with `mlfa_signed_request_free`. Thread safety: any thread. Callback-safe: no. Blocking: yes.
/// Errors: `MLFA_E_UNSUPPORTED` without `MLFA_CAPABILITY_PRESIGN`, `MLFA_E_INVALID_ARGUMENT` (no such method, no time),
/// `MLFA_E_INVALID_PATH`, and those of the store. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_presign(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    method: u32,
    expires_s: u64,
    out: *mut *mut mlfa_signed_request,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, place) = unsafe {
            (Out::required(out, std::ptr::null_mut(), "signed request")?, place(store, path, path_len)?)
        };
        out.write(give(presign(place, self::method(method)?, expires_s)?.wait()?));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins `mlfa_presign`; the request is taken with `mlfa_task_take_signed_request`.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_presign_start(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    method: u32,
    expires_s: u64,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || presign(place(store, path, path_len)?, self::method(method)?, expires_s)) }
}

fn method(method: u32) -> Result<PresignMethod, Failure> {
    match method {
        MLFA_PRESIGN_GET => Ok(PresignMethod::Get),
        MLFA_PRESIGN_PUT => Ok(PresignMethod::Put),
        other => Err(Failure::new(MLFA_E_INVALID_ARGUMENT, format!("there is no presign method {other}"))),
    }
}

pub(crate) fn presign(
    place: Place,
    method: PresignMethod,
    expires_s: u64,
) -> Result<Work<impl Future<Output = Result<SignedRequestObject, Failure>>>, Failure> {
    if expires_s == 0 {
        return Err(Failure::new(
            MLFA_E_INVALID_ARGUMENT,
            "a signed request must hold for a second at least",
        ));
    }
    let Place { object, store, path } = place;
    let request = PresignRequest { path, method, expires_in: Duration::from_secs(expires_s) };
    Ok(Work::new(object, async move { Ok(SignedRequestObject::new(store.presign(request).await?)) }))
}

unsafe fn read<T>(
    request: *const mlfa_signed_request,
    missing: T,
    field: impl FnOnce(&'static SignedRequestObject) -> T,
) -> T {
    // SAFETY: passed on from the caller; the pointers that `field` answers are documented to live as long as the request.
    unsafe { lend(request) }.map_or(missing, field)
}

/// The HTTP method of a signed request; NULL for NULL.
///
/// Ownership: the string belongs to the request. Thread safety: any thread. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_signed_request_method(request: *const mlfa_signed_request) -> *const c_char {
    // SAFETY: passed on from the caller.
    unsafe { read(request, std::ptr::null(), |request| request.method.as_ptr()) }
}

/// The URL of a signed request, with its signature; NULL for NULL.
///
/// Ownership: the string belongs to the request. Thread safety: any thread. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_signed_request_url(request: *const mlfa_signed_request) -> *const c_char {
    // SAFETY: passed on from the caller.
    unsafe { read(request, std::ptr::null(), |request| request.url.as_ptr()) }
}

/// How many headers must be sent with a signed request; 0 for NULL.
///
/// Thread safety: any thread. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_signed_request_header_count(request: *const mlfa_signed_request) -> usize {
    // SAFETY: passed on from the caller.
    unsafe { read(request, 0, |request| request.headers.len()) }
}

/// The name of a header; NULL if there is none with this index.
///
/// Ownership: the string belongs to the request. Thread safety: any thread. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_signed_request_header_name_at(
    request: *const mlfa_signed_request,
    index: usize,
) -> *const c_char {
    let name = |(name, _): &'static (CString, CString)| name.as_ptr();
    // SAFETY: passed on from the caller.
    unsafe {
        read(request, std::ptr::null(), |request| request.headers.get(index).map_or(std::ptr::null(), name))
    }
}

/// The value of a header; NULL if there is none with this index.
///
/// Ownership: the string belongs to the request. Thread safety: any thread. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_signed_request_header_value_at(
    request: *const mlfa_signed_request,
    index: usize,
) -> *const c_char {
    let value = |(_, value): &'static (CString, CString)| value.as_ptr();
    // SAFETY: passed on from the caller.
    unsafe {
        read(request, std::ptr::null(), |request| request.headers.get(index).map_or(std::ptr::null(), value))
    }
}

/// Frees a signed request with its strings. NULL is fine.
///
/// Thread safety: one thread at a time. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_signed_request_free(request: *mut mlfa_signed_request) {
    // SAFETY: passed on from the caller.
    unsafe { free(request) }
}
