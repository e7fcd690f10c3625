//! The tracking server behind this one: what is no artifact is its to answer, at the same address.
//!
//! Every request has a connection of its own, as nginx does it: one that is kept may be closed by the other side at the moment it is used
//! again, and a request that changes something could not be sent twice. Beside what MLflow does for a request, a connection is nothing.

mod artifacts;
mod body;
mod connection;
mod headers;
mod place;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::map_request;
use axum::response::Response;
use axum::routing::{get, post};
use mlflow_artifacts_core::{Error, ErrorKind, Result};
use percent_encoding::percent_decode_str;
use tokio::sync::Semaphore;
use url::{Host, Url};

use crate::observe::note_route;
use crate::refusal::{Code, Refusal};
use crate::routes::{SERVER_INFO, Shared, TWINS, nothing};
use crate::server::Peer;
use crate::upload;
use crate::upstream::body::{Moved, Passing};
use crate::upstream::connection::Tls;
use crate::{ServerOptions, info};

/// The largest answer that is read here, and how many of them at once: a run is told with all its metrics, parameters and tags.
const LARGEST_ANSWER: usize = 16 << 20;
const ANSWERS: usize = 8;

/// A tracking server.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// What it is connected to as, without brackets.
    host: String,
    port: u16,
    /// What it is called in `Host`.
    authority: HeaderValue,
    tls: Option<Tls>,
    /// What stands before its routes, and before ours.
    prefix: String,
    /// The origins of requests are looked at here.
    is_guarded: bool,
    patience: Duration,
    patience_with_clients: Duration,
    /// Whose turn it is to have an answer read.
    answers: Semaphore,
}

impl Upstream {
    /// The one that the options name.
    pub(crate) fn of(options: &ServerOptions) -> Result<Option<Self>> {
        let Some(text) = &options.upstream else { return Ok(None) };
        let url = parse(text)?;
        let port = url.port_or_known_default().unwrap_or(80);
        let name = url.host_str().unwrap_or_default();
        let host = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let authority = url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        let authority =
            HeaderValue::try_from(authority).map_err(|_| unusable("its host is no header's value"))?;
        let ca_bundle = options.upstream_ca_bundle.as_deref();
        let tls = if url.scheme() == "https" { Some(Tls::new(&host, ca_bundle)?) } else { None };
        Ok(Some(Upstream {
            host,
            port,
            authority,
            tls,
            prefix: options.static_prefix.clone(),
            is_guarded: !options.disable_security,
            patience: options.upstream_timeout,
            patience_with_clients: options.body_timeout,
            answers: Semaphore::new(ANSWERS),
        }))
    }

    /// Passes a request on, and its answer back, as they come.
    async fn pass(&self, request: Request) -> Result<Response, Refusal> {
        check(&request)?;
        let (mut head, body) = request.into_parts();
        head.uri = origin_form(&head.uri)?;
        let moved = Arc::new(Moved::new());
        let body = Passing::of_client(body, self.patience_with_clients, Arc::clone(&moved));
        self.exchange(Request::from_parts(head, Body::new(body)), &moved).await
    }

    /// Asks for a small answer, as whoever sent `caller`.
    async fn ask(&self, method: Method, target: &str, caller: &Parts) -> Result<Response<Bytes>, Refusal> {
        let mut question = Request::new(Body::empty());
        *question.uri_mut() = Uri::try_from(target).map_err(|_| Refusal::invalid("this cannot be asked"))?;
        *question.method_mut() = method;
        *question.headers_mut() = headers::of_caller(&caller.headers);
        *question.extensions_mut() = caller.extensions.clone();
        let (mut head, body) = self.exchange(question, &Moved::new()).await?.into_parts();
        // What may be told is sent anew.
        head.headers.remove(CONTENT_LENGTH);
        // The semaphore is never closed.
        let _turn = self.answers.acquire().await;
        let body = upload::whole(body, LARGEST_ANSWER).await.map_err(|_| {
            log::error!("the tracking server's answer to {target} did not arrive whole, or is too large");
            broken()
        })?;
        Ok(Response::from_parts(head, body))
    }

    /// Sends what is addressed already, and answers as soon as the tracking server does.
    async fn exchange(&self, request: Request, moved: &Moved) -> Result<Response, Refusal> {
        let (mut head, body) = request.into_parts();
        let what = format!("{} {}", head.method, head.uri.path());
        headers::outward(&mut head.headers, head.extensions.remove::<Peer>(), self)?;
        let answer = self.send(Request::from_parts(head, body), moved).await;
        let (mut head, (body, connection)) =
            answer.map_err(|failure| failure.told(&what, moved))?.into_parts();
        if head.status.is_informational() {
            log::error!("{what}: the tracking server answers {}, which nobody asked for", head.status);
            return Err(broken());
        }
        headers::inward(&mut head.headers, self.authority.as_bytes());
        let body = Passing::of_server(body, self.patience, connection, what);
        Ok(Response::from_parts(head, Body::new(body)))
    }
}

/// What the tracking server did not do.
fn broken() -> Refusal {
    let message = "the tracking server's answer makes no sense; the server's log says more";
    Refusal::new(Code::TemporarilyUnavailable, message).with_status(StatusCode::BAD_GATEWAY)
}

/// An address without anything else. What stands before an `@` is a secret, and never repeated.
fn parse(text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|error| unusable(&format!("it is no URL: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(unusable("it holds credentials, and clients send their own"));
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(unusable("it is neither http:// nor https://"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(unusable("it has more than a host and a port: paths are passed on as they come"));
    }
    match url.host() {
        Some(Host::Domain("") | Host::Ipv4(std::net::Ipv4Addr::UNSPECIFIED)) | None => {
            Err(unusable("it names no host"))
        }
        Some(_) => Ok(url),
    }
}

fn unusable(reason: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("the upstream cannot be used: {reason}"))
        .with_help("give the address of a tracking server, such as http://127.0.0.1:5001")
}

/// Refuses what cannot be passed on, or would be understood otherwise behind us.
fn check(request: &Request) -> Result<(), Refusal> {
    if names_artifacts(request.uri().path()) {
        // In a spelling that is no route here: there it may be one.
        return Err(nothing(request.uri()));
    }
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        let message = format!("{} is not passed on", request.method());
        return Err(Refusal::invalid(message).with_status(StatusCode::METHOD_NOT_ALLOWED));
    }
    // Other protocols are an offer, which need not be taken (RFC 9110, section 7.8); who wants a websocket can do nothing else.
    let wants = |value: &HeaderValue| value.as_bytes().to_ascii_lowercase().starts_with(b"websocket");
    if request.headers().get_all(UPGRADE).iter().any(wants) {
        return Err(Refusal::new(Code::NotImplemented, "websockets are not passed on"));
    }
    upload::check_coding(request.headers())
}

/// Whether a path is about artifacts once it is decoded, or leads somewhere that its spelling does not show.
fn names_artifacts(path: &str) -> bool {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let is_respelled = decoded != path;
    decoded.split(['/', '\\']).any(|segment| match segment {
        "mlflow-artifacts" | "." | ".." => true,
        // What is answered here, if it is written so that it is known.
        "get-artifact" | "upload-artifact" | "artifacts" => is_respelled,
        _ => false,
    })
}

/// The target without scheme and host, whichever form it came in (RFC 9112, section 3.2).
fn origin_form(uri: &Uri) -> Result<Uri, Refusal> {
    let target = uri.path_and_query().filter(|target| target.path().starts_with('/'));
    target.map(|target| Uri::from(target.clone())).ok_or_else(|| nothing(uri))
}

/// Both servers.
pub(crate) struct Tracking {
    pub(crate) server: Arc<Shared>,
    pub(crate) upstream: Upstream,
}

/// Adds everything that is not the artifact server's alone.
pub(crate) fn routes(ours: Router, server: Arc<Shared>, upstream: Upstream) -> Router {
    let prefix = upstream.prefix.clone();
    let mut router = Router::new()
        .route(&format!("{prefix}/get-artifact"), get(artifacts::of_run).fallback(pass))
        .route(&format!("{prefix}/model-versions/get-artifact"), get(artifacts::of_version).fallback(pass))
        .route(
            &format!("{prefix}/ajax-api/2.0/mlflow/logged-models/{{id}}/artifacts/files"),
            get(artifacts::of_model).fallback(pass),
        )
        .route(
            &format!("{prefix}/ajax-api/2.0/mlflow/upload-artifact"),
            post(artifacts::upload).fallback(pass),
        );
    for twin in TWINS {
        let below = format!("{prefix}{twin}/2.0/mlflow");
        router = router
            .route(&format!("{prefix}{twin}{SERVER_INFO}"), get(server_info).fallback(pass))
            .route(&format!("{below}/artifacts/list"), get(artifacts::list_run).fallback(pass))
            .route(
                &format!("{below}/logged-models/{{id}}/artifacts/directories"),
                get(artifacts::list_model).fallback(pass),
            );
    }
    let tracking = Arc::new(Tracking { server, upstream });
    ours.merge(router.route_layer(map_request(note_route)).fallback(pass).with_state(tracking))
}

async fn pass(State(tracking): State<Arc<Tracking>>, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    tracking.pass(head, body).await
}

/// `GET /api/3.0/mlflow/server-info`: what the tracking server says of itself, and how artifacts are moved here.
async fn server_info(State(tracking): State<Arc<Tracking>>, request: Request) -> Result<Response, Refusal> {
    let (head, _) = request.into_parts();
    let answer = tracking.upstream.ask(Method::GET, head.uri.path(), &head).await?;
    let mut told = match answer.status() {
        StatusCode::OK => serde_json::from_slice(answer.body()).map_err(|error| {
            log::error!("the tracking server's server-info is no JSON object: {error}");
            broken()
        })?,
        // MLflow 2 has none.
        StatusCode::NOT_FOUND => info::of_this_server(&tracking.server),
        _ => return Ok(answer.map(Body::from)),
    };
    told.extend(info::of_artifacts(&tracking.server));
    Ok(crate::refusal::json(&told.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_an_address_and_nothing_else() {
        for text in
            ["http://127.0.0.1:5001", "http://127.0.0.1:5001/", "https://mlflow.example", "http://[::1]:5001"]
        {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "127.0.0.1:5001",
            "ftp://127.0.0.1",
            "unix:/run/mlflow",
            "http://127.0.0.1:5001/mlflow",
            "http://127.0.0.1:5001?x",
            "http://127.0.0.1:5001#x",
            "http://user@127.0.0.1:5001",
            "http://user:canary@127.0.0.1:5001",
            "http://0.0.0.0:5001",
            "http://",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{text}");
            assert!(!error.to_string().contains("canary") && !error.to_string().contains("user"), "{error}");
        }
    }

    #[test]
    fn artifacts_are_known_however_they_are_spelled() {
        for path in [
            "/api/2.0/mlflow%2Dartifacts/artifacts/x",
            "/api/2.0/%6dlflow-artifacts/artifacts/x",
            "//api/2.0//mlflow-artifacts/artifacts/x",
            "/api%2F2.0%2Fmlflow-artifacts%2Fartifacts",
            "/api/3.0/mlflow-artifacts/artifacts/x",
            "/static-files/../api/2.0/x",
            "/static-files/%2e%2e/x",
            "/static-files/..%5Cx",
            "/./api",
            "/get%2Dartifact",
            "/ajax-api/2.0/mlflow/upload%2Dartifact",
            "/api/2.0/mlflow/artifacts%2Flist",
        ] {
            assert!(names_artifacts(path), "{path}");
        }
        for path in
            ["/", "/static-files/static/js/main.js", "/api/2.0/mlflow/runs/get", "/x/mlflow-artifacts.js"]
        {
            assert!(!names_artifacts(path), "{path}");
        }
    }
}
