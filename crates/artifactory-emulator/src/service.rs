//! From a request to its handler, and the faults on the way there and back.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt as _;
use hyper::body::{Frame, SizeHint};

use crate::call::{Call, Query, RequestBody};
use crate::counters::{Kind, Tally};
use crate::emulator::Shared;
use crate::error::{Answer, Failure};
use crate::faults::{Effect, FaultBody};
use crate::server::Connection;

/// The version this server says it is.
pub(crate) const VERSION: &str = "7.161.26";
/// Its revision.
pub(crate) const REVISION: &str = "86126900";
const SERVER_VERSION: &str = "Artifactory/7.161.26 86126900";

/// How long the last bytes before a cut have to leave.
const PAUSE: Duration = Duration::from_millis(30);

/// Everything behind the API's ports.
pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    Router::new().merge(crate::control::router()).fallback(serve).with_state(Arc::clone(shared))
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    shared.tally.edit().requests += 1;
    if !shared.config.request_delay.is_zero() {
        tokio::time::sleep(shared.config.request_delay).await;
    }
    let handle = |shared, request, effects| Box::pin(answer(shared, request, effects));
    let mut response = with_faults(&shared, request, handle).await;
    response.headers_mut().insert("x-jfrog-version", HeaderValue::from_static(SERVER_VERSION));
    response.headers_mut().insert("x-artifactory-node-id", HeaderValue::from_static("artifactory-emulator"));
    tally(&shared, &response);
    response
}

fn tally(shared: &Shared, response: &Response<Body>) {
    let mut counters = shared.tally.edit();
    match response.status() {
        StatusCode::UNAUTHORIZED => counters.unauthenticated += 1,
        StatusCode::FORBIDDEN => counters.forbidden += 1,
        _ => {}
    }
}

/// A request's handling between what its faults do before and after.
pub(crate) async fn with_faults<F>(
    shared: &Arc<Shared>,
    request: Request<Body>,
    handle: impl FnOnce(Arc<Shared>, Request<Body>, Arc<[Effect]>) -> F,
) -> Response<Body>
where
    F: Future<Output = Response<Body>>,
{
    let connection = request.extensions().get::<Arc<Connection>>().cloned().unwrap_or_default();
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let effects: Arc<[Effect]> = shared.faults.effects(request.method().as_str(), path).into();
    for effect in effects.iter() {
        match effect {
            Effect::DelayHeaders(delay) => tokio::time::sleep(*delay).await,
            Effect::ExpireTokens => shared.accounts.expire_all(),
            Effect::RevokeToken(secret) => drop(shared.accounts.revoke(secret)),
            _ => {}
        }
    }
    let response = handle(Arc::clone(shared), request, Arc::clone(&effects)).await;
    let mut response = count_bytes(shared, response);
    for effect in effects.iter() {
        response = spoil(response, effect, &connection).await;
    }
    response
}

fn count_bytes(shared: &Arc<Shared>, response: Response<Body>) -> Response<Body> {
    let tally = Arc::clone(&shared.tally);
    response.map(|body| Body::new(Counted { body, tally }))
}

/// A body that counts what is sent of it, and still knows its length.
struct Counted {
    body: Body,
    tally: Arc<Tally>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.tally.edit().bytes_sent += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn spoil(
    mut response: Response<Body>,
    effect: &Effect,
    connection: &Arc<Connection>,
) -> Response<Body> {
    match effect {
        Effect::DelayResponse(delay) => tokio::time::sleep(*delay).await,
        Effect::WrongChecksumHeaders => {
            for name in ["x-checksum-sha1", "x-checksum-sha256", "x-checksum-md5"] {
                if let Some(value) = response.headers_mut().get_mut(name) {
                    *value = wrong_header(value);
                }
            }
        }
        Effect::CorruptBody => response = keep_length(response, corrupt),
        Effect::TruncateResponse(at) => response = keep_length(response, |body| cut(body, *at, None)),
        Effect::ResetAfterResponseBytes(at) => {
            let connection = Arc::clone(connection);
            response = keep_length(response, |body| cut(body, *at, Some(connection)));
        }
        _ => {}
    }
    response
}

/// Another checksum of the same length.
pub(crate) fn wrong_checksum(checksum: &str) -> String {
    let (first, rest) = checksum.split_at(1.min(checksum.len()));
    format!("{}{rest}", if first == "0" { "1" } else { "0" })
}

fn wrong_header(value: &HeaderValue) -> HeaderValue {
    let wrong = value.to_str().map(wrong_checksum).unwrap_or_default();
    HeaderValue::from_str(&wrong).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

/// A changed body that still announces the length it had.
fn keep_length(response: Response<Body>, change: impl FnOnce(Body) -> Body) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.insert(axum::http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(parts, change(body))
}

fn corrupt(body: Body) -> Body {
    let mut done = false;
    Body::from_stream(body.into_data_stream().map(move |piece| {
        let piece = piece?;
        if done || piece.is_empty() {
            return Ok::<_, axum::Error>(piece);
        }
        done = true;
        let mut bytes = piece.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Ok(Bytes::from(bytes))
    }))
}

/// A body that ends after so many bytes: with a reset, or by an end of the connection.
fn cut(body: Body, at: u64, reset: Option<Arc<Connection>>) -> Body {
    let state = (body.into_data_stream(), at, reset);
    Body::from_stream(futures_util::stream::unfold(state, |(mut body, left, reset)| async move {
        if left > 0
            && let Some(piece) = body.next().await
        {
            let keep = usize::try_from(left).unwrap_or(usize::MAX);
            let piece =
                piece.map(|piece| piece.slice(..piece.len().min(keep))).map_err(std::io::Error::other);
            let left = left - piece.as_ref().map_or(0, |piece| piece.len() as u64);
            return Some((piece, (body, left, reset)));
        }
        tokio::time::sleep(PAUSE).await;
        if let Some(connection) = &reset {
            connection.reset().await;
        }
        Some((Err(std::io::Error::other("cut by a fault")), (body, 0, reset)))
    }))
}

/// The answer a fault gives in the server's place.
pub(crate) fn faulty(effects: &[Effect]) -> Option<Response<Body>> {
    let (code, retry_after, body) = effects.iter().find_map(|effect| match effect {
        Effect::Status { code, retry_after, body } => Some((*code, retry_after, body)),
        _ => None,
    })?;
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut failure = match body {
        FaultBody::Json(message) => Failure::json(status, message),
        FaultBody::Html => Failure::html(status, "The server is not available."),
        FaultBody::Empty => Failure::empty(status),
        FaultBody::Text(text) => Failure::text(status, text.as_str()),
    };
    if let Some(value) = retry_after.as_ref().and_then(|after| HeaderValue::from_str(after).ok()) {
        failure = failure.with_header(axum::http::header::RETRY_AFTER, value);
    }
    Some(failure.into_response())
}

/// The body of a request, which a fault may cut.
pub(crate) fn body_of(
    parts: &axum::http::request::Parts,
    body: Body,
    shared: &Arc<Shared>,
    effects: &[Effect],
) -> RequestBody {
    let connection = parts.extensions.get::<Arc<Connection>>().cloned().unwrap_or_default();
    let cut = effects.iter().find_map(|effect| match effect {
        Effect::ResetAfterRequestBytes(at) => Some((*at, Arc::clone(&connection))),
        _ => None,
    });
    RequestBody::new(body, Arc::clone(shared), cut)
}

async fn answer(shared: Arc<Shared>, request: Request<Body>, effects: Arc<[Effect]>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let expects = parts.headers.contains_key(axum::http::header::EXPECT);
    let mut body = body_of(&parts, body, &shared, &effects);
    if let Some(response) = faulty(&effects) {
        body.swallow().await;
        return response;
    }
    let who = match admit(&shared, &parts) {
        Ok(who) => who,
        Err(failure) => {
            if !expects {
                body.swallow().await;
            }
            return failure.into_response();
        }
    };
    let mut call = Call {
        base: base(&shared, &parts.headers),
        shared,
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: Query::parse(parts.uri.query().unwrap_or_default()),
        headers: parts.headers,
        body,
        who,
        wrong_checksums: effects.contains(&Effect::WrongChecksumHeaders),
        multipart_status: multipart_status(&effects),
    };
    let result = dispatch(&mut call).await;
    if result.is_err() && !expects {
        call.body.swallow().await;
    }
    result.unwrap_or_else(Failure::into_response)
}

fn multipart_status(effects: &[Effect]) -> Option<&'static str> {
    effects.iter().find_map(|effect| match effect {
        Effect::RetryableMultipartStatus => Some("RETRYABLE_ERROR"),
        Effect::NonRetryableMultipartStatus => Some("NON_RETRYABLE_ERROR"),
        _ => None,
    })
}

fn admit(shared: &Shared, parts: &axum::http::request::Parts) -> Result<crate::auth::Identity, Failure> {
    if crate::path::is_refused_by_tomcat(parts.uri.path()) {
        return Err(Failure::html(StatusCode::BAD_REQUEST, "Invalid character found in the request target"));
    }
    if crate::multipart::has_own_token(shared, parts.uri.path()) {
        return Ok(crate::multipart::uploader());
    }
    shared.accounts.authenticate(&parts.headers)
}

/// What links begin with: what a proxy says, else what the server was told [S:base/common/util/HttpUtils].
fn base(shared: &Shared, headers: &axum::http::HeaderMap) -> String {
    ["x-jfrog-override-base-url", "x-artifactory-override-base-url"]
        .into_iter()
        .find_map(|name| headers.get(name).and_then(|value| value.to_str().ok()))
        .map_or_else(|| shared.url.clone(), |url| url.trim_end_matches('/').to_owned())
}

async fn dispatch(call: &mut Call) -> Answer {
    if let Some(path) = call.path.strip_prefix("/access/") {
        call.shared.tally.count(Kind::Other);
        let path = path.to_owned();
        return crate::tokens::access(call, &path).await;
    }
    let context = &call.shared.config.context;
    if !context.is_empty() {
        let below = call.path.strip_prefix('/').and_then(|path| path.strip_prefix(context.as_str()));
        let Some(below) = below.filter(|below| below.is_empty() || below.starts_with('/')) else {
            return Err(Failure::html(StatusCode::NOT_FOUND, "Not found"));
        };
        call.path = below.to_owned();
    }
    let path = call.path.trim_start_matches('/').to_owned();
    // Clients that append `access/…` to the URL with the context expect it there too.
    if let Some(access) = path.strip_prefix("access/api/") {
        call.shared.tally.count(Kind::Other);
        return crate::tokens::access(call, &format!("api/{access}")).await;
    }
    match path.strip_prefix("api/") {
        Some(api) => crate::api::dispatch(call, api).await,
        None => content(call).await,
    }
}

async fn content(call: &mut Call) -> Answer {
    match call.method {
        Method::PUT | Method::POST => crate::deploy::put(call).await,
        Method::GET | Method::HEAD => crate::download::get(call),
        Method::DELETE => crate::delete::delete(call),
        _ => crate::webdav::dispatch(call).await,
    }
}
