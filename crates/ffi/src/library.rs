//! What the library is.

use std::ffi::{CString, c_char};
use std::sync::OnceLock;

use crate::input::c_string;
use crate::status::{mlfa_status, name_of};

/// The number of the binary interface that this header describes. It changes when a program built with an older header
/// could misbehave with the library. Compare it with `mlfa_abi_version()` when loading the library at run time.
pub const MLFA_ABI_VERSION: u32 = 1;

/// The library's version when this header was made: major * 65536 + minor * 256 + patch.
pub const MLFA_VERSION_NUMBER: u32 = 0x00_02_00;

/// The library's binary interface: equals `MLFA_ABI_VERSION` of the header that it was built with.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn mlfa_abi_version() -> u32 {
    MLFA_ABI_VERSION
}

/// The library's version: major * 65536 + minor * 256 + patch.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn mlfa_version_number() -> u32 {
    MLFA_VERSION_NUMBER
}

/// The library's version as text, such as `0.1.0`.
///
/// Ownership: the string is never freed. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn mlfa_version_string() -> *const c_char {
    static VERSION: OnceLock<CString> = OnceLock::new();
    VERSION.get_or_init(|| c_string(env!("CARGO_PKG_VERSION"))).as_ptr()
}

/// The stable name of a status, such as `not_found`; `unknown` for a number that is none.
///
/// Ownership: the string is never freed. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn mlfa_status_name(status: mlfa_status) -> *const c_char {
    name_of(status).as_ptr()
}

fn schemes() -> &'static [CString] {
    static SCHEMES: OnceLock<Vec<CString>> = OnceLock::new();
    SCHEMES.get_or_init(|| mlflow_artifacts::default_registry().schemes().map(c_string).collect())
}

/// How many URI schemes this library opens.
///
/// Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn mlfa_scheme_count() -> usize {
    schemes().len()
}

/// The URI scheme with this index, in alphabetical order; NULL if there is none.
///
/// Ownership: the string is never freed. Thread safety: any thread. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn mlfa_scheme_at(index: usize) -> *const c_char {
    crate::input::pointer(schemes().get(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_packages() {
        let number = [
            env!("CARGO_PKG_VERSION_MAJOR"),
            env!("CARGO_PKG_VERSION_MINOR"),
            env!("CARGO_PKG_VERSION_PATCH"),
        ]
        .iter()
        .fold(0, |number, part| number * 256 + part.parse::<u32>().unwrap());
        assert_eq!(MLFA_VERSION_NUMBER, number);
    }
}
