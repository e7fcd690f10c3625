//! What C hands in, checked.

use std::ffi::{CStr, c_char};
use std::path::Path;

use mlflow_artifacts::ArtifactPath;

use crate::entry::Failure;
use crate::status::{
    MLFA_E_INVALID_ARGUMENT, MLFA_E_INVALID_PATH, MLFA_E_INVALID_UTF8, MLFA_E_NULL_POINTER,
    MLFA_E_STRUCT_SIZE,
};

/// A string of `length` bytes, or up to its NUL if `length` is `SIZE_MAX`.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, length: usize, name: &str) -> Result<&'a str, Failure> {
    if pointer.is_null() {
        return Err(Failure::new(MLFA_E_NULL_POINTER, format!("the {name} is NULL")));
    }
    if length != usize::MAX {
        check_size(length, name)?;
    }
    let bytes = if length == usize::MAX {
        // SAFETY: not NULL, and C says by `SIZE_MAX` that it ends in NUL (crate docs).
        unsafe { CStr::from_ptr(pointer) }.to_bytes()
    } else {
        // SAFETY: not NULL, and C says that so many bytes are readable (crate docs).
        unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), length) }
    };
    std::str::from_utf8(bytes)
        .map_err(|error| Failure::new(MLFA_E_INVALID_UTF8, format!("the {name} is not UTF-8: {error}")))
}

pub(crate) unsafe fn artifact_path(pointer: *const c_char, length: usize) -> Result<ArtifactPath, Failure> {
    // SAFETY: passed on from the caller.
    Ok(ArtifactPath::parse(unsafe { text(pointer, length, "artifact path") }?)?)
}

pub(crate) unsafe fn local_path<'a>(pointer: *const c_char, length: usize) -> Result<&'a Path, Failure> {
    // SAFETY: passed on from the caller.
    let path = unsafe { text(pointer, length, "local path") }?;
    if path.contains('\0') {
        return Err(Failure::new(MLFA_E_INVALID_PATH, format!("the local path {path:?} holds a NUL")));
    }
    Ok(Path::new(path))
}

/// Nothing in memory is larger than this: it is a negative number that became a size.
pub(crate) fn check_size(size: usize, name: &str) -> Result<(), Failure> {
    if isize::try_from(size).is_ok() {
        return Ok(());
    }
    Err(Failure::new(MLFA_E_INVALID_ARGUMENT, format!("the {name} cannot have {size} bytes")))
}

/// Bytes to read. NULL is fine when there are none.
pub(crate) unsafe fn data<'a>(pointer: *const u8, size: usize) -> Result<&'a [u8], Failure> {
    match (pointer.is_null(), size) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Failure::new(MLFA_E_NULL_POINTER, "the data is NULL")),
        (false, _) => {
            check_size(size, "data")?;
            // SAFETY: not NULL, and C says that so many bytes are readable (crate docs).
            Ok(unsafe { std::slice::from_raw_parts(pointer, size) })
        }
    }
}

/// Whether bytes can be filled. NULL is fine when there are none.
pub(crate) fn check_buffer(pointer: *const u8, size: usize) -> Result<(), Failure> {
    if pointer.is_null() && size > 0 {
        return Err(Failure::new(MLFA_E_NULL_POINTER, "the buffer is NULL"));
    }
    check_size(size, "buffer")
}

/// An option struct.
///
/// # Safety
///
/// The type is `repr(C)`, begins with `struct_size: u32`, and is valid with every bit zero, which means its defaults.
pub(crate) unsafe trait Options: Copy {
    /// The sizes that it had in earlier versions: what older headers say. Any other smaller size would cut a field in two.
    const EARLIER_SIZES: &'static [usize];
}

/// Reads an option struct by the size that it says it has. NULL means the defaults.
///
/// A smaller struct comes from an older header: what it lacks is zero. A larger one comes from a newer header: it is accepted
/// as long as what this library does not know is zero.
pub(crate) unsafe fn options<T: Options>(pointer: *const T) -> Result<T, Failure> {
    // SAFETY: valid with every bit zero (`Options`).
    let mut options: T = unsafe { std::mem::zeroed() };
    if pointer.is_null() {
        return Ok(options);
    }
    // SAFETY: not NULL and begins with its size (`Options`).
    let size = unsafe { pointer.cast::<u32>().read() } as usize;
    let known = size_of::<T>();
    check_struct_size::<T>(size)?;
    let given = pointer.cast::<u8>();
    for offset in known..size {
        // SAFETY: C says that `size` bytes are readable.
        if unsafe { given.add(offset).read() } != 0 {
            let message = "the option struct sets options that this library does not know";
            return Err(Failure::new(MLFA_E_STRUCT_SIZE, message));
        }
    }
    // SAFETY: C says that `size` bytes are readable, `options` has `known` bytes, and they do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(given, (&raw mut options).cast::<u8>(), size.min(known)) };
    Ok(options)
}

/// Copies `value` to a struct of the caller, as much of it as its `struct_size` says that the caller knows.
pub(crate) unsafe fn fill<T: Options>(pointer: *mut T, value: &T) -> Result<(), Failure> {
    if pointer.is_null() {
        return Err(Failure::new(MLFA_E_NULL_POINTER, "the struct to fill is NULL"));
    }
    // SAFETY: not NULL and begins with its size (`Options`).
    let size = unsafe { pointer.cast::<u32>().read() } as usize;
    check_struct_size::<T>(size)?;
    let (behind, known) = (size_of::<u32>(), size.min(size_of::<T>()));
    // SAFETY: C says that `size` bytes are writable; the size that it gave stays.
    unsafe {
        let (from, to) = (std::ptr::from_ref(value).cast::<u8>(), pointer.cast::<u8>());
        std::ptr::copy_nonoverlapping(from.add(behind), to.add(behind), known - behind);
    }
    Ok(())
}

fn check_struct_size<T: Options>(size: usize) -> Result<(), Failure> {
    let known = size_of::<T>();
    // No struct will ever come near this: it is not initialised.
    let plausible = known..=known + 4096;
    if plausible.contains(&size) || T::EARLIER_SIZES.contains(&size) {
        return Ok(());
    }
    let message = format!("the struct says it has {size} bytes, not {known}: initialise it");
    Err(Failure::new(MLFA_E_STRUCT_SIZE, message))
}

/// Fills an option struct with its defaults. `size` is `sizeof` of the struct in the caller's header.
pub(crate) unsafe fn init_options<T: Options>(pointer: *mut T, size: usize) {
    let Ok(struct_size) = u32::try_from(size) else { return };
    if pointer.is_null() || size < size_of::<u32>() {
        return;
    }
    // SAFETY: not NULL; C says that `size` bytes are writable, and every bit zero is valid (`Options`).
    unsafe {
        pointer.cast::<u8>().write_bytes(0, size);
        pointer.cast::<u32>().write(struct_size);
    }
}

/// A C string of `text`, cut at its first NUL (there is none in paths, etags and messages).
pub(crate) fn c_string(text: impl AsRef<str>) -> std::ffi::CString {
    let text = text.as_ref();
    let end = text.find('\0').unwrap_or(text.len());
    std::ffi::CString::new(&text[..end]).unwrap_or_default()
}

/// The pointer of a string that may be missing.
pub(crate) fn pointer(text: Option<&std::ffi::CString>) -> *const c_char {
    text.map_or(std::ptr::null(), |text| text.as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    struct Example {
        struct_size: u32,
        first: u32,
        second: u32,
    }

    // SAFETY: repr(C), begins with its size; integers.
    unsafe impl Options for Example {
        const EARLIER_SIZES: &[usize] = &[8];
    }

    /// Reads from memory that has these words and not one more.
    fn read(words: &[u32]) -> Result<Example, i32> {
        let given: Box<[u32]> = words.into();
        // SAFETY: the struct says a size that the memory has.
        unsafe { options(given.as_ptr().cast()) }.map_err(|failure| failure.status())
    }

    /// Fills memory that has so many words and not one more.
    fn filled(count: usize, struct_size: u32) -> Box<[u32]> {
        let mut given = vec![7; count].into_boxed_slice();
        given[0] = struct_size;
        let value = Example { struct_size: 0, first: 1, second: 2 };
        // SAFETY: the struct says a size that the memory has.
        unsafe { fill(given.as_mut_ptr().cast(), &value) }.unwrap();
        given
    }

    #[test]
    fn a_struct_is_read_by_the_size_that_it_says() {
        assert_eq!(read(&[8, 1]), Ok(Example { struct_size: 8, first: 1, second: 0 }));
        assert_eq!(read(&[12, 1, 2]), Ok(Example { struct_size: 12, first: 1, second: 2 }));
        assert_eq!(read(&[16, 1, 2, 0]), Ok(Example { struct_size: 16, first: 1, second: 2 }));
        assert_eq!(read(&[16, 1, 2, 1]), Err(MLFA_E_STRUCT_SIZE));
        assert_eq!(read(&[4]), Err(MLFA_E_STRUCT_SIZE));
    }

    #[test]
    fn a_struct_is_filled_by_the_size_that_it_says() {
        assert_eq!(*filled(2, 8), [8, 1]);
        assert_eq!(*filled(3, 12), [12, 1, 2]);
        assert_eq!(*filled(4, 16), [16, 1, 2, 7]);
    }

    #[test]
    fn a_struct_is_emptied_as_far_as_its_caller_knows_it() {
        let mut given: Box<[u32]> = [7, 7].into();
        // SAFETY: so many bytes are writable.
        unsafe { init_options::<Example>(given.as_mut_ptr().cast(), 8) };
        assert_eq!(*given, [8, 0]);
    }

    #[test]
    fn a_string_is_read_to_its_end() {
        let given: Box<[u8]> = (*b"text\0").into();
        let read = |length| {
            // SAFETY: so many bytes are readable, and the last of them is a NUL.
            unsafe { text(given.as_ptr().cast(), length, "string") }.map_err(|failure| failure.status())
        };
        assert_eq!(read(usize::MAX), Ok("text"));
        assert_eq!(read(2), Ok("te"));
        assert_eq!(read(5), Ok("text\0"));
        assert_eq!(read(usize::MAX - 1), Err(MLFA_E_INVALID_ARGUMENT));
    }
}
