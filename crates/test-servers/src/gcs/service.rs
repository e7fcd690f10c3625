//! From a request to what it asks for.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::http::response::Builder;
use hyper::{Method, Request, Response};
use percent_encoding::percent_decode_str;

use crate::gcs::objects::Object;
use crate::gcs::refusal::Refusal;
use crate::gcs::{State, list, lock, multipart, objects};

pub(crate) type Outcome = Result<Response<Full<Bytes>>, Refusal>;

/// A request that was read to its end.
pub(crate) struct Call {
    method: Method,
    pub(crate) bucket: String,
    /// Empty if the request is about the bucket.
    pub(crate) key: String,
    query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Bytes,
}

impl Call {
    async fn read(request: Request<Incoming>) -> Result<Self, Refusal> {
        let (head, body) = request.into_parts();
        let whole = body.collect().await;
        let content = whole.map_err(|error| Refusal::new(400, "IncompleteBody", error))?.to_bytes();
        let path = head.uri.path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let pairs = head.uri.query().unwrap_or_default().split('&');
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Ok(Call {
            method: head.method,
            bucket: decoded(bucket)?,
            key: decoded(key)?,
            query: pairs
                .map(|(name, value)| Ok((decoded(name)?, decoded(&value.replace('+', " "))?)))
                .collect::<Result<_, Refusal>>()?,
            headers: head.headers,
            content,
        })
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn bucket<'a>(&self, state: &'a State) -> Result<&'a BTreeMap<String, Object>, Refusal> {
        state.buckets.get(&self.bucket).ok_or_else(no_bucket)
    }

    pub(crate) fn bucket_mut<'a>(
        &self,
        state: &'a mut State,
    ) -> Result<&'a mut BTreeMap<String, Object>, Refusal> {
        state.buckets.get_mut(&self.bucket).ok_or_else(no_bucket)
    }
}

pub(crate) async fn answer(
    shared: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let outcome = Call::read(request).await.and_then(|call| {
        let mut state = lock(&shared);
        check_token(&state, &call)?;
        route(&mut state, &call)
    });
    Ok(outcome.unwrap_or_else(|refusal| {
        let mut response = Response::new(Full::from(refusal.xml()));
        *response.status_mut() =
            hyper::StatusCode::from_u16(refusal.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
        response
    }))
}

fn route(state: &mut State, call: &Call) -> Outcome {
    let upload = call.query("uploadId");
    match (call.method.as_str(), call.key.is_empty(), upload) {
        ("GET", true, _) => list::list(state, call),
        ("GET" | "HEAD", false, None) => objects::get(state, call),
        ("PUT", false, None) => objects::put(state, call),
        ("DELETE", false, None) => objects::delete(state, call),
        ("POST", false, None) if call.query("uploads").is_some() => multipart::begin(state, call),
        ("GET", false, Some(id)) => multipart::list_parts(state, call, id),
        ("PUT", false, Some(id)) => multipart::put_part(state, call, id),
        ("POST", false, Some(id)) => multipart::complete(state, call, id),
        ("DELETE", false, Some(id)) => multipart::give_up(state, call, id),
        _ => Err(Refusal::new(501, "NotImplemented", "This server does not know this request.")),
    }
}

/// Who asks with no token is a stranger, who may do nothing; a token that is none is not looked at further.
fn check_token(state: &State, call: &Call) -> Result<(), Refusal> {
    if state.is_open {
        return Ok(());
    }
    let Some(given) = call.header("authorization") else {
        return Err(Refusal::new(403, "AccessDenied", "Anonymous caller does not have access."));
    };
    let token = given.strip_prefix("Bearer ").unwrap_or_default();
    let may_read = token == state.token || token == state.read_only_token;
    let reads = matches!(call.method, Method::GET | Method::HEAD);
    if !may_read {
        return Err(Refusal::new(401, "AuthenticationRequired", "Authentication required."));
    }
    if token != state.token && !reads {
        return Err(Refusal::new(403, "AccessDenied", "Access denied."));
    }
    Ok(())
}

/// An answer that is to be filled.
pub(crate) fn reply(status: u16) -> Builder {
    Response::builder().status(status)
}

fn no_bucket() -> Refusal {
    Refusal::new(404, "NoSuchBucket", "The specified bucket does not exist.")
}

fn decoded(text: &str) -> Result<String, Refusal> {
    percent_decode_str(text).decode_utf8().map(String::from).map_err(Refusal::invalid)
}
