//! Options of a store, set before it is opened.

use std::ffi::c_char;
use std::sync::{Mutex, PoisonError};

use mlflow_artifacts::{EnvSource, StoreConfig};

use crate::entry::{Out, call_in_callback};
use crate::error::mlfa_error;
use crate::handle::{free, give, handles, lend};
use crate::input::text;
use crate::status::mlfa_status;

/// The options of a store that is to be opened. A new one has none and reads no environment variables.
pub struct mlfa_config {
    _opaque: (),
}

handles! { mlfa_config => ConfigObject, Exclusive; }

#[derive(Default)]
pub(crate) struct ConfigObject(Mutex<StoreConfig>);

impl ConfigObject {
    pub(crate) fn get(&self) -> StoreConfig {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(StoreConfig) -> StoreConfig) {
        let mut config = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *config = change(std::mem::take(&mut config));
    }
}

/// Makes a configuration without options that reads no environment variables.
///
/// Ownership: free `*out` with `mlfa_config_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: `MLFA_E_NULL_POINTER`. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_config_new(
    out: *mut *mut mlfa_config,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let out = unsafe { Out::required(out, std::ptr::null_mut(), "configuration")? };
        out.write(give(ConfigObject::default()));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, body) }
}

/// Sets an option. The value of a secret one is never shown in an error or a log; every value is wiped when the
/// configuration is freed.
///
/// The name and the value are checked by `mlfa_store_open`, because only the store knows its options.
///
/// Thread safety: one thread at a time. Callback-safe: yes. Blocking: no. Errors: `MLFA_E_NULL_POINTER`, `MLFA_E_INVALID_UTF8`. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_config_set(
    config: *mut mlfa_config,
    name: *const c_char,
    name_len: usize,
    value: *const c_char,
    value_len: usize,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (config, name, value) = unsafe {
            (lend(config)?, text(name, name_len, "option's name")?, text(value, value_len, "option's value")?)
        };
        config.change(|config| config.with(name, value));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, body) }
}

/// Lets environment variables fill in options that are not set: they are read when a store is opened.
///
/// Thread safety: one thread at a time. Callback-safe: yes. Blocking: no. Errors: `MLFA_E_NULL_POINTER`. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_config_load_env(
    config: *mut mlfa_config,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        unsafe { lend(config)? }.change(|config| config.with_env(EnvSource::process()));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, body) }
}

/// Frees a configuration. Stores that were opened with it keep what they took. NULL is fine.
///
/// Thread safety: one thread at a time. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_config_free(config: *mut mlfa_config) {
    // SAFETY: passed on from the caller.
    unsafe { free(config) }
}
