//! Artifacts on a server of files and directories: what FTP and SFTP have in common.

mod server;

pub use server::{Child, ChooseRange, Entry, EntryKind, FileServer, Opened};

/// The most children that a directory may have: a server that goes on listing is not believed.
pub const MAX_CHILDREN: usize = 1_000_000;
