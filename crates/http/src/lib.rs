//! The HTTP client of every backend that speaks HTTP itself.
//!
//! One [`HttpClient`] belongs to one store. It keeps its connections, has deadlines for connecting and for silence but none
//! for a whole transfer, verifies TLS (rustls with ring), goes through proxies, never repeats a secret, and binds
//! credentials to the origin they are for:
//!
//! - [`HttpClient::send`] makes one request and answers whatever status came. A redirect is not followed by itself:
//!   [`Request::redirected`] makes the next request, without credentials unless scheme, host and port are the same.
//! - [`HttpClient::retry`] repeats an operation while it fails as [`Transient`](mlflow_artifacts_core::Retry::Transient), with
//!   growing, jittered delays, or as long as the server asks for (`Retry-After`, RFC 9110, section 10.2.3).
//! - [`Response::into_error`] makes an error of a status that the backend did not expect.
//!
//! Each request is one line for the [`log`] crate at debug level, with the server's request ids and without secrets; with
//! [`HttpOptions::trace`] the line goes to standard error too.
//!
//! ```no_run
//! use mlflow_artifacts_http::{HttpClient, HttpOptions, Method, Request, Url};
//! # async fn example() -> mlflow_artifacts_core::Result<()> {
//! let client = HttpClient::new(HttpOptions::default());
//! let url: Url = "https://art.example/artifactory/api/system/ping".parse().unwrap();
//! let pong = client.retry(|| async {
//!     let response = client.send(Request::new(Method::GET, url.clone())).await?;
//!     if response.status() == 200 { response.text(64).await } else { Err(response.into_error().await) }
//! });
//! assert_eq!(pong.await?, "OK");
//! # Ok(()) }
//! ```

mod client;
mod config;
mod content;
mod deadline;
mod error;
mod range;
mod request;
mod response;
mod tls;
mod trace;
mod upload;

pub use client::{ATTEMPTS_AT_A_STRANGER, HttpClient};
pub use config::{CA_BUNDLE, CLIENT_CERTIFICATE, CLIENT_KEY, HttpOptions, KEYS, Proxies, TRANSFER_TIMEOUT};
pub use content::{Content, Progress, blocking, observed, read_file};
pub use error::{is_unsent, one_line, tls_error, without_secrets, xml_error};
pub use range::{Asked, wanted};
pub use request::{Body, Credential, Request, same_origin};
pub use reqwest::Method;
pub use reqwest::header;
pub use response::Response;
pub use tls::tls_config;
pub use url::Url;
