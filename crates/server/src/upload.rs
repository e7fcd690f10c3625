//! Putting an artifact: what arrives goes on to the store as it comes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use mlflow_artifacts_core::{ArtifactPath, ByteStream, Error, ErrorKind, PutBody, PutOptions, Result};
use tokio::time::timeout;

use crate::access::{Actions, Caller};
use crate::budget::Account;
use crate::path::Requested;
use crate::refusal::{Code, Refusal};
use crate::routes::{Shared, after};

/// `PUT /mlflow-artifacts/artifacts/<path>`
pub(crate) async fn put(
    State(server): State<Arc<Shared>>,
    caller: Caller,
    request: Request,
) -> Result<StatusCode, Refusal> {
    server.refuse_unless_proxied()?;
    let (head, body) = request.into_parts();
    let requested = Requested::of_url(after(head.uri.path(), "/mlflow-artifacts/artifacts/"))?;
    let path = server.changeable(&caller, Actions::WRITE, requested.into_file()?).await?;
    store(&server, path, &head.headers, body).await?;
    Ok(StatusCode::OK)
}

/// Puts a request's body.
pub(crate) async fn store(
    server: &Shared,
    path: ArtifactPath,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Refusal> {
    let length = length(headers);
    let limit = server.store.limits().max_size;
    if length.zip(limit).is_some_and(|(length, limit)| length > limit) {
        return Err(Error::new(ErrorKind::TooLarge, "it is larger than the store takes")
            .with_path(path)
            .into());
    }
    let stream = content(body, server.budget.account(), server.options.body_timeout);
    server.store.put(&path, PutBody::Stream { stream, length }, PutOptions::default()).await?;
    Ok(())
}

/// How long the body will be, if the client says so.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What a client sends, as it is taken. A client that goes away or falls silent ends it with an error: then nothing is stored.
fn content(body: Body, account: Account, patience: Duration) -> ByteStream {
    let arriving = Arriving { body: body.into_data_stream(), account, patience };
    let next = async |mut arriving: Arriving| Ok(arriving.next().await?.map(|chunk| (chunk, arriving)));
    stream::try_unfold(arriving, next).boxed()
}

/// The body of a request under way.
struct Arriving {
    body: BodyDataStream,
    account: Account,
    patience: Duration,
}

impl Arriving {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        // Known with the last chunk where the length was announced: the stream's end need not be waited for.
        if self.body.is_end_stream() {
            return Ok(None);
        }
        match timeout(self.patience, self.body.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(chunk))) => Ok(Some(self.account.charge(chunk).await)),
            Ok(Some(Err(error))) => {
                let gone = "the client went away before it had sent everything";
                Err(Error::new(ErrorKind::Cancelled, gone).with_source(error))
            }
            Err(_) => Err(Error::new(ErrorKind::Cancelled, "the client has fallen silent")),
        }
    }
}

/// How long a message may take to arrive.
const MESSAGE: Duration = Duration::from_mins(1);

/// A whole body of at most so many bytes.
pub(crate) async fn whole(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let collected = timeout(MESSAGE, Limited::new(body, limit).collect()).await;
    let Ok(collected) = collected else {
        return Err(Refusal::new(Code::Cancelled, "the body did not arrive in time"));
    };
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("the body has more than {limit} bytes");
            Err(Refusal::invalid(message).with_status(StatusCode::PAYLOAD_TOO_LARGE))
        }
        Err(_) => Err(Refusal::invalid("the body did not arrive whole")),
    }
}
