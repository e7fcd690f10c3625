//! One request on its way through the handlers.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt as _;

use crate::auth::Identity;
use crate::emulator::Shared;
use crate::error::Failure;
use crate::path::decode_form;
use crate::server::Connection;

/// How much of a body nobody wants is read, so that the client sees the answer and not a reset: Tomcat's limit.
const SWALLOW: u64 = 2 << 20;
/// The longest text a handler reads whole.
const TEXT: usize = 16 << 20;

/// A request.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) method: Method,
    /// The raw path below the context, with its slash.
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: RequestBody,
    pub(crate) who: Identity,
    /// What links in answers begin with.
    pub(crate) base: String,
    /// Whether a fault wants every checksum wrong.
    pub(crate) wrong_checksums: bool,
    /// The status a fault wants an upload in parts to end with.
    pub(crate) multipart_status: Option<&'static str>,
}

impl Call {
    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether a header says `true`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.header(name).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    }
}

/// The parameters of a query, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(crate) fn parse(raw: &str) -> Self {
        let pairs = raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_form(key), decode_form(value))
        });
        Self { pairs: pairs.collect() }
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether a switch is on: `1` or `true`.
    pub(crate) fn is_on(&self, key: &str) -> bool {
        matches!(self.get(key), Some("1" | "true"))
    }

    /// An integer, 0 if it is not there. Anything else is an error in Java's words [B:L008].
    pub(crate) fn int(&self, key: &str) -> Result<i64, Failure> {
        let Some(text) = self.get(key) else { return Ok(0) };
        text.parse::<i32>()
            .map(i64::from)
            .map_err(|_| Failure::bad_request(format!("For input string: \"{text}\"")))
    }
}

/// A request's body, which a fault may cut.
#[derive(Debug)]
pub(crate) struct RequestBody {
    body: Option<Body>,
    shared: Arc<Shared>,
    cut: Option<(u64, Arc<Connection>)>,
}

impl RequestBody {
    pub(crate) fn new(body: Body, shared: Arc<Shared>, cut: Option<(u64, Arc<Connection>)>) -> Self {
        Self { body: Some(body), shared, cut }
    }

    /// The next bytes; an error when the client is gone before the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if let Some((0, connection)) = &self.cut {
            connection.reset().await;
        }
        let Some(body) = &mut self.body else { return Ok(None) };
        let Some(frame) = body.frame().await else {
            self.body = None;
            return Ok(None);
        };
        let Ok(frame) = frame else {
            self.body = None;
            return Err(Failure::text(StatusCode::BAD_REQUEST, "The body ended before its announced length"));
        };
        let bytes = frame.into_data().unwrap_or_default();
        self.shared.tally.edit().bytes_received += bytes.len() as u64;
        if let Some((left, connection)) = &mut self.cut {
            *left = left.saturating_sub(bytes.len() as u64);
            if *left == 0 {
                connection.reset().await;
            }
        }
        Ok(Some(bytes))
    }

    /// The whole body as text.
    pub(crate) async fn text(&mut self) -> Result<String, Failure> {
        let mut all = Vec::new();
        while let Some(bytes) = self.next().await? {
            if all.len() + bytes.len() > TEXT {
                return Err(Failure::empty(StatusCode::PAYLOAD_TOO_LARGE));
            }
            all.extend_from_slice(&bytes);
        }
        String::from_utf8(all).map_err(|_| Failure::bad_request("The body is not UTF-8"))
    }

    /// Reads on to the end, if that is near. A reset would take the answer away from the client otherwise.
    pub(crate) async fn swallow(&mut self) {
        let mut read = 0;
        while read < SWALLOW {
            match self.next().await {
                Ok(Some(bytes)) => read += bytes.len() as u64,
                Ok(None) | Err(_) => return,
            }
        }
    }
}
