//! The C ABI of mlflow-artifacts. The rules for every function stand in `ABI.md` and at the top of the header,
//! `include/mlflow_artifacts.h`, which is made from this crate.
//!
//! How the crate keeps them:
//!
//! - `handle`: a C pointer is a `Box` or an `Arc` of exactly one Rust type, declared once for each handle. Besides it
//!   only `input`, `entry`, `target` and `owned` touch what C's pointers point to.
//! - `entry`: every fallible function runs inside `entry::call`, which clears the outputs, catches panics and hands
//!   errors out.
//! - `input`: strings, byte ranges and option structs are checked before use.
//!
//! # Safety
//!
//! What C must guarantee for every call: a handle is NULL or came from this library and is not freed; a pointer with a
//! length points to so many readable (outputs: writable) bytes; a string given with the length `SIZE_MAX` ends in NUL;
//! an exclusive handle (`_free`) is used by one thread at a time. Everything else is checked.

pub mod bytes;
mod callback;
pub mod config;
pub mod context;
mod entry;
pub mod error;
mod handle;
mod input;
pub mod library;
pub mod list;
pub mod meta;
pub mod multipart;
pub mod objects;
pub mod owned;
// Its contexts wait for the system's events, which Miri cannot.
#[cfg(test)]
#[cfg(not(miri))]
mod panics;
pub mod presign;
pub mod properties;
pub mod queue;
pub mod reader;
pub mod report;
pub mod status;
pub mod store;
mod target;
pub mod task;
pub mod transfer;
mod turn;
pub mod writer;
