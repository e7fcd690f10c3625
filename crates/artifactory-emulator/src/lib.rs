//! An honest emulator of JFrog Artifactory's REST API for generic repositories, for tests.
//!
//! It does what a real server does also where that surprises: names it refuses, checksums it insists on, answers that are no
//! JSON, redirects to another origin, an edition that lacks half of the API. And it goes wrong on demand.
//!
//! [`Emulator::builder`] starts one inside a Rust test. The program `artifactory-emulator` is the same for everyone else; its
//! control API at `/_emulator/` has the counters and the faults.
//!
//! | Module | Its subject |
//! |---|---|
//! | `config`, `emulator` | how it is set up, started and stopped |
//! | `server`, `service`, `api` | from a connection to a handler |
//! | `call`, `error`, `path`, `mime`, `clock` | what handlers work with |
//! | `auth`, `tokens`, `users`, `documents` | who is asking |
//! | `state`, `journal`, `storage` | what is kept |
//! | `deploy`, `download`, `delete`, `webdav` | items |
//! | `storage_api`, `properties`, `search`, `aql`, `aql_json`, `copy`, `trash`, `archive`, `explode` | the API about items |
//! | `repositories` | repositories |
//! | `multipart`, `cloud` | uploads in parts, and the second origin |
//! | `faults`, `counters`, `control` | what tests need |

mod api;
mod aql;
mod aql_json;
mod archive;
mod auth;
mod call;
mod clock;
mod cloud;
mod config;
mod control;
mod copy;
mod counters;
mod delete;
mod deploy;
mod documents;
mod download;
mod emulator;
mod error;
mod explode;
mod faults;
mod journal;
mod mime;
mod multipart;
mod path;
mod properties;
mod repositories;
mod search;
mod server;
mod service;
mod state;
mod storage;
mod storage_api;
mod tokens;
mod trash;
mod users;
mod webdav;

pub use config::{Builder, Edition, Permissions, Redirect, RepositoryKind, Storage};
pub use counters::Counters;
pub use emulator::Emulator;
pub use faults::{Effect, Fault, FaultBody};
