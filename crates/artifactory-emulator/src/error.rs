//! Answers that say no: as JSON, plain text, HTML or nothing, for clients must not count on JSON (facts §2.6).

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, Response, StatusCode};

/// What a handler gives back.
pub(crate) type Answer = Result<Response<Body>, Failure>;

/// A refusal with the status, the shape and the words the real server uses.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    content_type: Option<&'static str>,
    body: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Failure {
    /// The `errors` envelope.
    pub(crate) fn json(status: StatusCode, message: impl AsRef<str>) -> Self {
        let body = envelope(status, message.as_ref());
        Self { status, content_type: Some("application/json;charset=ISO-8859-1"), body, headers: Vec::new() }
    }

    /// One plain line.
    pub(crate) fn text(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, content_type: Some("text/plain"), body: message.into(), headers: Vec::new() }
    }

    /// A page, as Tomcat or a proxy before it would send.
    pub(crate) fn html(status: StatusCode, message: &str) -> Self {
        let body = format!(
            "<!doctype html><html lang=\"en\"><head><title>HTTP Status {code} – {reason}</title></head>\
             <body><h1>HTTP Status {code} – {reason}</h1><p>{message}</p></body></html>",
            code = status.as_u16(),
            reason = status.canonical_reason().unwrap_or("Unknown"),
        );
        Self { status, content_type: Some("text/html;charset=utf-8"), body, headers: Vec::new() }
    }

    /// A status alone.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, content_type: None, body: String::new(), headers: Vec::new() }
    }

    pub(crate) fn with_content_type(mut self, content_type: &'static str) -> Self {
        self.content_type = Some(content_type);
        self
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn bad_request(message: impl AsRef<str>) -> Self {
        Self::json(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn forbidden(message: impl AsRef<str>) -> Self {
        Self::json(StatusCode::FORBIDDEN, message)
    }

    pub(crate) fn not_found(message: impl AsRef<str>) -> Self {
        Self::json(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn conflict(message: impl AsRef<str>) -> Self {
        Self::json(StatusCode::CONFLICT, message)
    }

    pub(crate) fn internal(message: impl AsRef<str>) -> Self {
        Self::json(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// No credentials where some are needed, or wrong ones.
    pub(crate) fn unauthorized(message: &str) -> Self {
        Self::json(StatusCode::UNAUTHORIZED, message).with_header(
            axum::http::header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"Artifactory Realm\""),
        )
    }

    /// The OSS edition's answer to what only Pro has [S: web/rest].
    pub(crate) fn pro_only() -> Self {
        Self::text(
            StatusCode::BAD_REQUEST,
            "This REST API is available only in Artifactory Pro (see: jfrog.com/artifactory/features). \
             If you are already running Artifactory Pro please make sure your server is activated with a \
             valid license key.",
        )
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        if let Some(content_type) = self.content_type {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

fn envelope(status: StatusCode, message: &str) -> String {
    let message = serde_json::Value::from(message);
    format!(
        "{{\n  \"errors\" : [ {{\n    \"status\" : {},\n    \"message\" : {message}\n  }} ]\n}}",
        status.as_u16()
    )
}
