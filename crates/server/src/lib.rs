//! MLflow's artifact server over any store: the REST API of `mlflow server --artifacts-only`, streaming both ways.
//!
//! | Route below `/api/2.0` and `/ajax-api/2.0` | |
//! |---|---|
//! | `GET /mlflow-artifacts/artifacts?path=` | a directory's children, by their names |
//! | `GET`, `HEAD`, `PUT`, `DELETE /mlflow-artifacts/artifacts/<path>` | a file; `DELETE` also a directory |
//! | `POST /mlflow-artifacts/mpu/{create,complete,abort}/<directory>` | uploads in parts by signed requests |
//! | `GET /mlflow-artifacts/presigned/<path>` | a signed request for a download |
//!
//! and `/health`, `/version`, `/api/3.0/mlflow/server-info`. How it differs from MLflow's own server, and why, is the list `DIFFERENCES`
//! of `tests/e2e/artifact_server.py`, which asks both the same.
//!
//! With [`ServerOptions::upstream`] everything else is a tracking server's to answer, at the same address. What that one would answer from
//! artifacts is answered here: `/get-artifact`, `/model-versions/get-artifact`, `upload-artifact`, and the files and directories of runs and
//! logged models. It needs no access to them. `/version` is its own then, and `server-info` its answer with ours of artifacts in it.
//!
//! [`Access`] says who may do what. A path is decoded once and refused if it leads out of the store in any spelling. Nothing is staged: an upload goes to the store as it
//! arrives, and a client that goes away leaves nothing; the first byte of a download goes out when the store's comes in. What uploads
//! hold in memory is bounded over all connections.
//!
//! # What it tells
//!
//! With an [`AccessLog`] each request has a line when it is over, also if its client went away or the store broke off. Every answer has an
//! `X-Request-Id`; a logger learns it by [`RequestId::current`]. [`Server::with_metrics`] answers the numbers, which are served on another
//! listener. A head that is no HTTP is answered with 400 by the connection, and told of by none of these.
//!
//! # Limits
//!
//! What can be set is in [`ServerOptions`]; the README of the project, "Artifact server", has the table of all of them.
//!
//! ```
//! use mlflow_artifacts_core::MemoryStore;
//! use mlflow_artifacts_server::{Server, ServerOptions};
//! use std::sync::Arc;
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::new(Arc::new(MemoryStore::new()), ServerOptions::default())?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:5000").await?;
//! server.serve(listener, std::future::pending()).await;
//! # Ok(()) }
//! ```

mod access;
mod budget;
mod content;
mod download;
mod info;
mod lines;
mod linger;
mod multipart;
mod observe;
mod options;
mod path;
mod reading;
mod refusal;
mod routes;
mod security;
mod server;
mod upload;
mod upstream;
mod workspace;

pub use access::{Access, Accounts, Authority, Flavour, Projects};
pub use lines::LineWriter;
pub use observe::{AccessLog, AccessLogFormat, Metrics, RequestId};
pub use options::ServerOptions;
pub use server::Server;
