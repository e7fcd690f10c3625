//! Prints a C program that asserts the layout of every struct as this crate sees it. The C tests compile it.

use std::mem::{align_of, offset_of, size_of};

use mlflow_artifacts_ffi::context::mlfa_context_options;
use mlflow_artifacts_ffi::objects::mlfa_put_options;
use mlflow_artifacts_ffi::transfer::{mlfa_progress, mlfa_transfer_options};

macro_rules! assert_layout {
    ($type:ident: $($field:ident),+) => {
        println!("_Static_assert(sizeof({0}) == {1}, \"{0}\");", stringify!($type), size_of::<$type>());
        println!("_Static_assert(_Alignof({0}) == {1}, \"{0}\");", stringify!($type), align_of::<$type>());
        $(println!(
            "_Static_assert(offsetof({0}, {1}) == {2}, \"{0}.{1}\");",
            stringify!($type), stringify!($field), offset_of!($type, $field)
        );)+
    };
}

fn main() {
    println!("#include <mlflow_artifacts.h>");
    assert_layout!(mlfa_context_options: struct_size, worker_threads, trusted_uris, trusted_uri_count);
    assert_layout!(mlfa_put_options: struct_size, mode, if_match, properties);
    assert_layout!(mlfa_progress: struct_size, reserved, files_found, files_done, files_failed, bytes_found, bytes_done);
    assert_layout!(mlfa_transfer_options: struct_size, files, parts, verify, memory, part_size, progress, user,
        progress_interval_ms, reserved, properties);
    println!("int main(void) {{ return 0; }}");
}
