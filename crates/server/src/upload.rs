//! Putting an artifact: what arrives goes on to the store as it comes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use mlflow_artifacts_core::{ByteStream, Error, ErrorKind, PutBody, PutOptions, Result};
use tokio::time::{Instant, timeout, timeout_at};

use crate::budget::Account;
use crate::path::{Requested, check_writable};
use crate::refusal::Refusal;
use crate::routes::{Shared, after};

/// How long the rest of a body that is not wanted is read, and how long a pause in it may be: a client that is still sending hears of a
/// refusal only when its bytes are taken (as nginx lingers).
const LINGER: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// `PUT /mlflow-artifacts/artifacts/<path>`
pub(crate) async fn put(State(server): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let target = server.refuse_unless_proxied().and_then(|()| {
        let requested = Requested::of_url(after(head.uri.path(), "/mlflow-artifacts/artifacts/"))?;
        let path = requested.into_file()?;
        check_writable(&path)?;
        server.scoped(&head.headers, path)
    });
    let path = match target {
        Ok(path) => path,
        Err(refusal) => {
            tokio::spawn(discard(body));
            return refusal.into_response();
        }
    };
    let stream = content(body, server.budget.account(), server.options.body_timeout);
    let body = PutBody::Stream { stream, length: length(&head.headers) };
    match server.store.put(&path, body, PutOptions::default()).await {
        Ok(_) => StatusCode::OK.into_response(),
        Err(error) => Refusal::from(error).into_response(),
    }
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

/// Takes what a refused client still sends, for a while.
pub(crate) async fn discard(mut body: Body) {
    let end = Instant::now() + LINGER;
    while let Ok(Ok(Some(Ok(_)))) = timeout_at(end, timeout(LONGEST_PAUSE, body.frame())).await {}
}

/// A whole body of at most so many bytes.
pub(crate) async fn whole(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    match http_body_util::Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let message = format!("the body has more than {limit} bytes");
            Err(Refusal::invalid(message).with_status(StatusCode::PAYLOAD_TOO_LARGE))
        }
        Err(_) => Err(Refusal::invalid("the body did not arrive whole")),
    }
}
