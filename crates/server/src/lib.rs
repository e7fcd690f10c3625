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
//! logged models. It needs no access to them.
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
//! | | |
//! |---|---|
//! | connections at once | [`ServerOptions::max_connections`], 4,096; who comes then waits |
//! | memory of a connection that waits | a buffer of 8 KiB, which grows to 128 KiB where much arrives |
//! | content of uploads in memory | [`ServerOptions::upload_memory`], 64 MiB over all connections, 1 MiB at least, and what the store needs for one upload more |
//! | head of a request | 128 KiB, 100 headers, a URL of 65,534 bytes; [`ServerOptions::header_timeout`], 1 minute, which is also the longest pause between two |
//! | an answer to TLS's first message | 10 seconds |
//! | silence within a body | [`ServerOptions::body_timeout`], 2 minutes |
//! | rest of a body that was refused | 30 seconds, and 5 seconds of silence |
//! | length of a path | that of the URL, and of what the store takes |
//! | listing of a directory | in memory, as many entries as there are |
//! | message of an upload in parts | 64 KiB, and 32 MiB with parts in it, of which two are read at once; each within 1 minute |
//! | parts of an upload | what the store takes |
//! | requests under way when it stops | [`ServerOptions::drain_timeout`], 30 seconds, and 2 seconds for stores to clean up |
//! | lines of the access log that wait | 8,192; a path in them has at most 1 KiB |
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
