//! Servers that the tests of the backends run against, and a proxy that records and breaks requests.
//!
//! Each server is started by a function that returns when it answers, listens on a free port of 127.0.0.1, keeps nothing, and is
//! gone when its value is dropped. None needs an async runtime of the caller. One that cannot be had panics and says why: a test
//! never passes for want of its server. What has to be installed is installed on first use below the target directory, with
//! pinned versions, once for all test programs.
//!
//! | Server | What it is |
//! |---|---|
//! | [`S3s`] | s3s-fs, inside this process |
//! | [`Moto`] | moto, with signatures checked, roles and STS |
//! | [`Radosgw`] | the S3 of Ceph, as it is run in production |
//! | [`Azurite`] | Azurite, with and without TLS |
//! | [`Gcs`] | an emulator of Google Cloud Storage's XML API, inside this process |
//! | [`Nfs`] | Linux's own NFS, server and client, in a Linux of its own |
//! | [`OpenSsh`] | OpenSSH's server, and [`SshAgent`] its agent |
//! | [`AsyncSsh`] | asyncssh, which asks questions and can do without OpenSSH's extensions |
//! | [`Proftpd`], [`Vsftpd`], [`PureFtpd`] | servers of FTP as they are run in production, with and without TLS |
//! | [`Pyftpdlib`] | a server of FTP that lists as old ones do |
//! | [`Mlflow`] | MLflow's own server of artifacts, over files or over an S3 |
//! | [`Nginx`] | nginx, which decides who may do what |
//! | [`Recorder`] | a proxy before any of them |
//! | [`Scripted`] | whatever a test wants to have answered |
//! | [`Terminator`] | TLS before any of them |

#![allow(
    clippy::missing_panics_doc,
    reason = "that a server which cannot be had is a panic is said once, above"
)]

mod asyncssh;
mod azurite;
mod certificate;
mod connection;
mod fault;
mod ftp;
mod gcs;
mod hosted;
mod install;
mod keys;
mod mlflow;
mod moto;
mod nfs;
mod nginx;
mod openssh;
mod plain_http;
mod process;
mod radosgw;
mod recorder;
mod s3;
mod scripted;
mod terminator;

pub use asyncssh::AsyncSsh;
pub use azurite::Azurite;
pub use fault::{Effect, Fault};
pub use ftp::{FtpHabit, FtpSecurity, FtpServer, Proftpd, PureFtpd, Pyftpdlib, Vsftpd};
pub use gcs::Gcs;
pub use keys::Keys;
pub use mlflow::Mlflow;
pub use moto::Moto;
pub use nfs::Nfs;
pub use nginx::Nginx;
pub use openssh::{OpenSsh, SshAgent};
pub use radosgw::Radosgw;
pub use recorder::{Recorded, Recorder};
pub use s3::S3s;
pub use scripted::{Asked, Scripted};
pub use terminator::Terminator;
