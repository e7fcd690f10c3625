//! Named values.

use std::ffi::{CString, c_char};
use std::sync::Mutex;

use mlflow_artifacts::Properties;

use crate::entry::{Failure, Out, call_in_callback};
use crate::error::mlfa_error;
use crate::handle::{free, give, handles, lend};
use crate::input::{c_string, text};
use crate::status::mlfa_status;
use crate::turn::lock;

/// Named values, such as those that a store keeps with an artifact. A name may have several.
pub struct mlfa_properties {
    _opaque: (),
}

handles! { mlfa_properties => PropertiesObject, Exclusive; }

/// Pairs of a name and a value. Their text stays where it is while others are added.
pub(crate) struct PropertiesObject(Mutex<Vec<(CString, CString)>>);

impl PropertiesObject {
    pub(crate) fn new(properties: &Properties) -> Self {
        let pairs =
            properties.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        Self::of_pairs(pairs)
    }

    pub(crate) fn of_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let pairs = pairs.into_iter().map(|(name, value)| (c_string(name), c_string(value)));
        PropertiesObject(Mutex::new(pairs.collect()))
    }
}

/// What C has put together; nothing for NULL.
pub(crate) unsafe fn read(properties: *const mlfa_properties) -> Result<Properties, Failure> {
    let mut read = Properties::new();
    if properties.is_null() {
        return Ok(read);
    }
    // SAFETY: passed on from the caller.
    for (name, value) in lock(&unsafe { lend(properties)? }.0).iter() {
        let values = read.entry(name.to_string_lossy().into_owned()).or_default();
        values.push(value.to_string_lossy().into_owned());
    }
    Ok(read)
}

/// Makes an empty set of properties.
///
/// Ownership: free `*out` with `mlfa_properties_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: `MLFA_E_NULL_POINTER`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_properties_new(
    out: *mut *mut mlfa_properties,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let out = unsafe { Out::required(out, std::ptr::null_mut(), "properties")? };
        out.write(give(PropertiesObject::new(&Properties::new())));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, body) }
}

/// Adds a value to those that a name has already.
///
/// Thread safety: one thread at a time. Callback-safe: yes. Blocking: no. Errors: `MLFA_E_NULL_POINTER`,
/// `MLFA_E_INVALID_UTF8`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_properties_add(
    properties: *mut mlfa_properties,
    name: *const c_char,
    name_len: usize,
    value: *const c_char,
    value_len: usize,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (properties, name, value) = unsafe {
            (
                lend(properties)?,
                text(name, name_len, "property's name")?,
                text(value, value_len, "property's value")?,
            )
        };
        lock(&properties.0).push((c_string(name), c_string(value)));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, body) }
}

/// How many pairs of a name and a value there are; 0 for NULL.
///
/// Thread safety: any thread, while none is added. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_properties_count(properties: *const mlfa_properties) -> usize {
    // SAFETY: passed on from the caller.
    unsafe { lend(properties) }.map_or(0, |properties| lock(&properties.0).len())
}

/// The name of a pair; NULL if there is none with this index.
///
/// Ownership: the string belongs to the properties. Thread safety: any thread, while none is added. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_properties_name_at(
    properties: *const mlfa_properties,
    index: usize,
) -> *const c_char {
    // SAFETY: passed on from the caller.
    unsafe { at(properties, index, |(name, _)| name) }
}

/// The value of a pair; NULL if there is none with this index.
///
/// Ownership: the string belongs to the properties. Thread safety: any thread, while none is added. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_properties_value_at(
    properties: *const mlfa_properties,
    index: usize,
) -> *const c_char {
    // SAFETY: passed on from the caller.
    unsafe { at(properties, index, |(_, value)| value) }
}

unsafe fn at(
    properties: *const mlfa_properties,
    index: usize,
    field: impl FnOnce(&(CString, CString)) -> &CString,
) -> *const c_char {
    // SAFETY: passed on from the caller; what the pointer points to stays until the properties are freed.
    let properties = unsafe { lend(properties) };
    properties.map_or(std::ptr::null(), |properties| {
        lock(&properties.0).get(index).map_or(std::ptr::null(), |pair| field(pair).as_ptr())
    })
}

/// Frees properties with their strings. NULL is fine.
///
/// Thread safety: one thread at a time. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_properties_free(properties: *mut mlfa_properties) {
    // SAFETY: passed on from the caller.
    unsafe { free(properties) }
}
