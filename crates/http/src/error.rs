//! From a failed transport or a refusing status to an error that says what to do.

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use mlflow_artifacts_core::{Error, ErrorKind, Retry};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};

use crate::Credential;

/// How much of what a server says stands in a message.
const LONGEST_TEXT: usize = 300;

/// The error of a request that got no (whole) answer.
pub(crate) fn transport_error(error: reqwest::Error) -> Error {
    let error = error.without_url();
    let causes = || std::iter::successors(error.source(), |cause| (*cause).source());
    let tls = causes().find_map(|cause| cause.downcast_ref::<rustls::Error>().cloned()).or_else(|| {
        // rustls wraps its error in one of the operating system's kind.
        causes().find_map(|cause| {
            let io = cause.downcast_ref::<std::io::Error>()?;
            io.get_ref()?.downcast_ref::<rustls::Error>().cloned()
        })
    });
    if let Some(tls) = tls {
        return tls_error(&tls).with_source(error);
    }
    let innermost = causes().last().map_or_else(|| error.to_string(), ToString::to_string);
    let is_plain_answer = innermost.contains("invalid HTTP");
    let (kind, message, help) = if error.is_timeout() {
        (ErrorKind::Timeout, "no connection in time".to_owned(), "check the host, the port and the proxy")
    } else if error.is_connect() {
        let message = format!("no connection: {innermost}");
        (
            ErrorKind::Connection,
            message,
            "check the host, the port and the proxy, and whether the server runs",
        )
    } else if is_plain_answer {
        let message = format!("the server does not answer in HTTP: {innermost}");
        (ErrorKind::Protocol, message, "check the port, and whether it speaks TLS")
    } else {
        (ErrorKind::Connection, format!("the connection broke: {innermost}"), "try again")
    };
    let retry = if kind == ErrorKind::Protocol { Retry::Never } else { Retry::Transient };
    Error::new(kind, message).with_help(help).with_retry(retry).with_source(error)
}

fn tls_error(error: &rustls::Error) -> Error {
    let help = match error {
        rustls::Error::InvalidCertificate(_) => {
            "if the server is trusted, name its certificate authority in REQUESTS_CA_BUNDLE or the option ca_bundle"
        }
        rustls::Error::InvalidMessage(_) => "check whether this port speaks TLS at all",
        _ => "check the TLS settings of the server, and whether it wants a client certificate",
    };
    Error::new(ErrorKind::Tls, format!("no trusted TLS connection: {error}")).with_help(help)
}

/// The error that a status is.
pub(crate) fn status_error(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    credential: Option<&Credential>,
) -> Error {
    let (kind, retry) = match status.as_u16() {
        400 => (ErrorKind::InvalidArgument, Retry::Never),
        401 | 407 => (ErrorKind::Unauthenticated, Retry::Never),
        403 => (ErrorKind::PermissionDenied, Retry::Never),
        404 | 410 => (ErrorKind::NotFound, Retry::Never),
        405 | 501 => (ErrorKind::Unsupported, Retry::Never),
        408 | 504 => (ErrorKind::Timeout, Retry::Transient),
        409 | 412 => (ErrorKind::PreconditionFailed, Retry::Never),
        413 => (ErrorKind::TooLarge, Retry::Never),
        414 => (ErrorKind::InvalidPath, Retry::Never),
        416 => (ErrorKind::RangeNotSatisfiable, Retry::Never),
        429 => (ErrorKind::RateLimited, Retry::Transient),
        500 | 502 | 503 => (ErrorKind::Unavailable, Retry::Transient),
        507 => (ErrorKind::NoSpace, Retry::Never),
        _ => (ErrorKind::Protocol, Retry::Never),
    };
    let told = text_of(headers, body);
    let told =
        if told.is_empty() { String::new() } else { format!(": {}", without_secrets(&told, credential)) };
    let error = Error::new(kind, format!("the server answered {status}{told}"))
        .with_retry(retry)
        .with_http_status(status.as_u16());
    match retry_after(headers) {
        Some(delay) => error.with_retry_after(delay),
        None => error,
    }
}

/// What a body says, in one short line: the messages of a JSON error, or plain text.
fn text_of(headers: &HeaderMap, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(&text) {
        let first = json.pointer("/errors/0/message").or_else(|| json.get("message"));
        if let Some(message) = first.and_then(serde_json::Value::as_str) {
            return one_line(message);
        }
    }
    if content_type.contains("html") || text.trim_start().starts_with('<') {
        return "an HTML page, as of a proxy or a login".to_owned();
    }
    one_line(&text)
}

fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let line: String = words.join(" ").chars().filter(|c| !c.is_control()).collect();
    match line.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// A server may repeat what it was sent.
fn without_secrets(text: &str, credential: Option<&Credential>) -> String {
    let secret = match credential {
        Some(Credential::Bearer(secret) | Credential::Basic { password: secret, .. }) => secret,
        Some(Credential::Header { value, .. }) => value,
        None => return text.to_owned(),
    };
    if secret.expose().is_empty() { text.to_owned() } else { text.replace(secret.expose(), "***") }
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = httpdate::parse_http_date(value).ok()?;
            Some(date.duration_since(SystemTime::now()).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use mlflow_artifacts_core::Secret;

    use super::*;

    fn error(status: u16, headers: &[(&'static str, &str)], body: &str) -> Error {
        let headers = headers
            .iter()
            .map(|(name, value)| (reqwest::header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let credential = Credential::Bearer(Secret::new("canary"));
        status_error(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), Some(&credential))
    }

    #[test]
    fn a_json_error_is_told_in_one_line_without_secrets() {
        let body = r#"{"errors":[{"status":403,"message":"no deploy\n permission for canary"}]}"#;
        let error = error(403, &[("content-type", "application/json")], body);
        assert_eq!(error.message(), "the server answered 403 Forbidden: no deploy permission for ***");
        assert_eq!((error.kind(), error.http_status()), (ErrorKind::PermissionDenied, Some(403)));
    }

    #[test]
    fn pages_and_long_texts_are_cut_short() {
        let page = error(502, &[("content-type", "text/html")], "<html><body>canary</body></html>");
        assert!(page.message().ends_with("an HTML page, as of a proxy or a login"), "{page}");
        let long = error(500, &[], &"é".repeat(10_000));
        assert!(long.message().chars().count() < 400, "{long}");
        assert_eq!(error(404, &[], "").message(), "the server answered 404 Not Found");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let asked = |value: &str| error(429, &[("retry-after", value)], "").retry_after();
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_mins(1));
        assert!(asked(&date).is_some_and(|delay| delay > Duration::from_secs(50)));
    }
}
