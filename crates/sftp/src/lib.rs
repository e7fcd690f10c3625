//! SFTP servers as artifact stores: `sftp://[user[:password]@]host[:port]/path`, user, password and path percent-decoded.
//!
//! Schemes: [`SCHEMES`]. Options: [`KEYS`]. What is particular:
//!
//! - **Hosts are verified, always**: by `known_hosts` files as OpenSSH has them (patterns, hashed names, `[host]:port`, `@revoked`).
//!   A host that is not known, one whose key has changed and one whose key is revoked are refused with
//!   [`Tls`](mlflow_artifacts_core::ErrorKind::Tls), each in its own words. `StrictHostKeyChecking accept-new` writes the key of
//!   a host down that is not known; `no` is refused, and so is `RevokedHostKeys`. Certificates of hosts are not understood.
//! - **Who logs in**: a key of a file (Ed25519, ECDSA, RSA with SHA-2; encrypted or not), a password, also where the server asks
//!   for it (`keyboard-interactive`), the keys of an agent, those of the SSH configuration or the usual ones of `~/.ssh`. What is
//!   set for the store is tried first, and of an agent's keys those that are in files too; a server may want several. One that hangs
//!   up on a password is not given it again.
//! - **The SSH configuration** (`~/.ssh/config`, `/etc/ssh/ssh_config`) says what URI and options do not: `HostName`, `Port`, `User`,
//!   `IdentityFile`, `IdentitiesOnly`, `IdentityAgent`, `ProxyJump`, `HostKeyAlias`, `UserKnownHostsFile`, `GlobalKnownHostsFile`,
//!   `StrictHostKeyChecking`, with `Host`, `Match` (`all`, `final`, `host`, `originalhost`, `user`, `localuser`; `canonical` never
//!   holds) and `Include` (relative to `~/.ssh`, in the machine's files to `/etc/ssh`). `ProxyCommand` is refused, and a `Match` that
//!   depends on another criterion, such as `exec`; other keywords are ignored. The password is given to the host of the URI alone, never to one on the way.
//! - **A few connections**, each used by many operations at once, made when they are needed. Content is asked for and sent
//!   ahead of the answers, in requests as large as the server takes (`limits@openssh.com`).
//! - **A file is replaced at once** on servers with `posix-rename@openssh.com`. Of others that refuse to replace, the old file is removed and
//!   the new one renamed in one flight: for an instant there is none.
//!
//! What a server is, beyond OpenSSH's, is not asked: version 3 of the protocol is enough (draft-ietf-secsh-filexfer-02).
//!
//! ```
//! use mlflow_artifacts_core::{Registry, StoreConfig};
//! let mut registry = Registry::new();
//! mlflow_artifacts_sftp::register(&mut registry)?;
//! // Nothing is connected to before the first operation.
//! let store = registry.open("sftp://tester@files.example:2222/srv/artifacts", &StoreConfig::new())?;
//! assert_eq!(store.info().scheme, "sftp");
//! # Ok::<(), mlflow_artifacts_core::Error>(())
//! ```

mod authentication;
mod config;
mod connection;
mod error;
mod file;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz;
mod known_hosts;
mod list;
mod packet;
mod pattern;
mod pool;
mod read;
mod route;
mod server;
mod session;
mod ssh_config;
mod watcher;
mod write;

pub use config::{KEYS, SCHEMES, SftpFactory};
use mlflow_artifacts_core::{Registry, Result};
pub use server::SftpServer;

/// Adds the SFTP stores to `registry`.
pub fn register(registry: &mut Registry) -> Result<()> {
    registry.register(SftpFactory)
}
