//! A small HTTP service that keeps artifacts in any store.
//!
//! ```text
//! artifact-service STORE_URI
//!
//! GET /artifacts/PATH    the artifact
//! GET /artifacts/PATH/   what is in a directory, as JSON
//! PUT /artifacts/PATH    stores the body
//! ```
//!
//! It prints where it listens, and ends on SIGTERM and SIGINT. Content passes through piece by piece, whatever its size, and what a client
//! does not send to its end is never visible. It knows no users: it is an example.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::{StreamExt as _, TryStreamExt as _};
use mlflow_artifacts::{
    ArtifactPath, ArtifactStoreExt as _, Error, ErrorKind, GetOptions, ListOptions, PutBody, PutOptions,
    SharedStore,
};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How long a service that ends waits for those who are being served.
const GRACE: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let uri = std::env::args().nth(1).ok_or("usage: artifact-service STORE_URI")?;
    // The variables that MLflow and the clouds have defined are read here.
    let store = mlflow_artifacts::open(&uri)?;
    let service = Router::new().route("/artifacts/{*path}", get(fetch).put(keep)).with_state(store);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let told = async move {
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
        }
    };
    let (ends, ended) = tokio::sync::oneshot::channel();
    let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
        told.await;
        let _ = ends.send(());
    });
    tokio::select! {
        served = serving => served?,
        () = async { let _ = ended.await; tokio::time::sleep(GRACE).await } => (),
    }
    Ok(())
}

/// Answers with the first bytes of an artifact as soon as they are there.
async fn fetch(State(store): State<SharedStore>, Path(path): Path<String>) -> Result<Response, Failure> {
    if let Some(directory) = path.strip_suffix('/') {
        return list(store, directory).await;
    }
    let download = store.get(&ArtifactPath::parse(&path)?, GetOptions::default()).await?;
    let length = [(header::CONTENT_LENGTH, download.meta.size.to_string())];
    Ok((length, Body::from_stream(download.stream)).into_response())
}

async fn list(store: SharedStore, directory: &str) -> Result<Response, Failure> {
    let found = store.list_all(&ArtifactPath::parse(directory)?, ListOptions::default()).await?;
    let entries: Vec<_> = found
        .iter()
        .map(|entry| serde_json::json!({ "path": entry.path.as_str(), "size": entry.size, "is_directory": entry.is_directory() }))
        .collect();
    Ok(Json(entries).into_response())
}

/// Stores what comes, as it comes.
async fn keep(
    State(store): State<SharedStore>,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Failure> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let broken = |error| Error::new(ErrorKind::Connection, "the client went away").with_source(error);
    let stream = body.into_data_stream().map_err(broken).boxed();
    store
        .put(&ArtifactPath::parse(&path)?, PutBody::Stream { stream, length }, PutOptions::default())
        .await?;
    Ok(StatusCode::CREATED)
}

/// What went wrong, as HTTP tells it.
struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0.kind() {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::InvalidPath | ErrorKind::IsADirectory | ErrorKind::NotADirectory => {
                StatusCode::BAD_REQUEST
            }
            _ => StatusCode::BAD_GATEWAY,
        };
        (status, format!("{}\n", self.0)).into_response()
    }
}
