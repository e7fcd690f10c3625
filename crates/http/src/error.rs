//! From a failed transport or a refusing status to an error that says what to do.

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use mlflow_artifacts_core::{Error, ErrorKind, Retry};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};

/// How much of what a server says stands in a message.
const LONGEST_TEXT: usize = 300;

/// The error of a request that got no (whole) answer.
pub(crate) fn transport_error(error: reqwest::Error) -> Error {
    let is_tls = error.url().is_some_and(|url| url.scheme() == "https");
    let error = error.without_url();
    let causes = || std::iter::successors(error.source(), |cause| (*cause).source());
    if let Some(tls) = causes().find_map(tls_cause) {
        return tls_error(&tls).with_source(error);
    }
    let innermost = causes().last().map_or_else(|| error.to_string(), ToString::to_string);
    if innermost.contains("proxy authorization required") {
        return Error::new(
            ErrorKind::Unauthenticated,
            "the proxy does not accept the credentials, or wants some",
        )
        .with_help("give the proxy's user and password: http://user:password@host:port")
        .with_source(error);
    }
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
        // A server that wants a certificate hangs up when the handshake is done, as seen from here.
        let help = match innermost.as_str() {
            "connection was not ready" if is_tls => {
                "try again; if it stays so, check whether the server wants a client certificate"
            }
            _ => "try again",
        };
        (ErrorKind::Connection, format!("the connection broke: {innermost}"), help)
    };
    let retry = if kind == ErrorKind::Protocol { Retry::Never } else { Retry::Transient };
    Error::new(kind, message).with_help(help).with_retry(retry).with_source(error)
}

/// The error of rustls that `cause` is, or that it wraps: each layer makes one of the operating system's kind of it.
fn tls_cause(cause: &(dyn std::error::Error + 'static)) -> Option<rustls::Error> {
    if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
        return Some(tls.clone());
    }
    let wrapped: &(dyn std::error::Error + Send + Sync + 'static) =
        cause.downcast_ref::<std::io::Error>()?.get_ref()?;
    tls_cause(wrapped)
}

/// The error of a TLS connection that could not be made.
pub fn tls_error(error: &rustls::Error) -> Error {
    let help = match error {
        rustls::Error::InvalidCertificate(_) => {
            "if the server is trusted, name its certificate authority in REQUESTS_CA_BUNDLE or the option ca_bundle"
        }
        rustls::Error::InvalidMessage(_) => "check whether this port speaks TLS at all",
        _ => "check the TLS settings of the server, and whether it wants a client certificate",
    };
    Error::new(ErrorKind::Tls, format!("no trusted TLS connection: {error}")).with_help(help)
}

/// Whether the error is that of a connection that was not made, so that nothing can have been sent.
pub fn is_unsent(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<reqwest::Error>());
    cause.is_some_and(reqwest::Error::is_connect)
}

/// The error that the XML of an object storage is, which may come with a status that says all is well; `None` if it is none.
pub fn xml_error(text: &str) -> Option<Error> {
    let told = between(text, "<Error>", "</Error>")?;
    let code = one_line(between(told, "<Code>", "</Code>")?);
    let message = one_line(between(told, "<Message>", "</Message>").unwrap_or_default());
    let error = Error::new(ErrorKind::Unavailable, format!("the server answered {code}: {message}"));
    Some(error.with_provider_code(code).with_retry(Retry::Transient))
}

/// The error that a status is.
pub(crate) fn status_error(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[String],
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
    // Before it is cut: what is left of a long token is a secret too.
    let body = without_secrets(String::from_utf8_lossy(body).into_owned(), secrets);
    let json = serde_json::from_str::<serde_json::Value>(&body).ok();
    let told = json.as_ref().and_then(message_of).unwrap_or_else(|| text_of(headers, &body));
    let told = if told.is_empty() { told } else { format!(": {told}") };
    let error = Error::new(kind, format!("the server answered {status}{told}"))
        .with_retry(retry)
        .with_http_status(status.as_u16());
    let code = match json.as_ref().and_then(code_of) {
        Some(code) => Some(code),
        None => between(&body, "<Code>", "</Code>").map(one_line),
    };
    let error = match code {
        Some(code) => error.with_provider_code(code),
        None => error,
    };
    match retry_after(headers) {
        Some(delay) => error.with_retry_after(delay),
        None => error,
    }
}

/// The first message of a JSON error: Artifactory's, MLflow's, or that of the framework beneath MLflow (`detail`).
fn message_of(json: &serde_json::Value) -> Option<String> {
    let message =
        json.pointer("/errors/0/message").or_else(|| json.get("message")).or_else(|| json.get("detail"))?;
    message.as_str().map(one_line)
}

/// The code of a JSON error: the number of Artifactory's, or the word of MLflow's.
fn code_of(json: &serde_json::Value) -> Option<String> {
    let number = json.pointer("/errors/0/status").map(ToString::to_string);
    number.or_else(|| json.get("error_code")?.as_str().map(one_line))
}

/// What a body says, in one short line: plain text, or the code and message of an object storage's XML.
fn text_of(headers: &HeaderMap, text: &str) -> String {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some(code) = between(text, "<Code>", "</Code>") {
        let message = between(text, "<Message>", "</Message>");
        return one_line(&message.map_or_else(|| code.to_owned(), |message| format!("{code}: {message}")));
    }
    if content_type.contains("html") || text.trim_start().starts_with('<') {
        return "an HTML page, as of a proxy or a login".to_owned();
    }
    one_line(text)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    Some(text.split_once(start)?.1.split_once(end)?.0)
}

/// The text in one line without control characters, cut short.
pub fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let line: String = words.join(" ").chars().filter(|c| !c.is_control()).collect();
    match line.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// What is shorter stands in other words too: to replace it there would tell its letters.
const SHORTEST_SECRET: usize = 4;

/// The text without the secrets in it: a server may repeat what it was sent.
pub fn without_secrets(text: String, secrets: &[impl AsRef<str>]) -> String {
    secrets
        .iter()
        .map(AsRef::as_ref)
        .filter(|secret| secret.len() >= SHORTEST_SECRET)
        .fold(text, |text, secret| text.replace(secret, "***"))
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
    use super::*;

    fn error(status: u16, headers: &[(&'static str, &str)], body: &str) -> Error {
        let headers = headers
            .iter()
            .map(|(name, value)| (reqwest::header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        status_error(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), &["canary".to_owned()])
    }

    #[test]
    fn a_json_error_is_told_in_one_line_without_secrets() {
        let body = r#"{"errors":[{"status":403,"message":"no deploy\n permission for canary"}]}"#;
        let error = error(403, &[("content-type", "application/json")], body);
        assert_eq!(error.message(), "the server answered 403 Forbidden: no deploy permission for ***");
        assert_eq!((error.kind(), error.http_status()), (ErrorKind::PermissionDenied, Some(403)));
    }

    #[test]
    fn errors_of_mlflow_and_fastapi_are_understood() {
        let mlflow =
            error(404, &[], r#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"No such artifact"}"#);
        assert_eq!(mlflow.message(), "the server answered 404 Not Found: No such artifact");
        assert_eq!(mlflow.provider_code(), Some("RESOURCE_DOES_NOT_EXIST"));
        let fastapi = error(400, &[], r#"{"detail":"a directory, not a file"}"#);
        assert_eq!(fastapi.message(), "the server answered 400 Bad Request: a directory, not a file");
        assert_eq!(fastapi.provider_code(), None);
    }

    #[test]
    fn a_long_secret_is_not_told_in_part() {
        let token = "canary".repeat(200);
        let told = status_error(
            StatusCode::BAD_REQUEST,
            &HeaderMap::new(),
            format!("bad token {token}").as_bytes(),
            &[token],
        );
        assert_eq!(told.message(), "the server answered 400 Bad Request: bad token ***");
    }

    #[test]
    fn an_object_storage_is_understood() {
        let body = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
        let expired = error(403, &[], body);
        assert!(expired.message().ends_with("AccessDenied: Request has expired"));
        assert_eq!(expired.provider_code(), Some("AccessDenied"));
        let bare = error(404, &[], "<Error><Code>NoSuchBucket</Code></Error>");
        assert!(bare.message().ends_with(": NoSuchBucket"), "{bare}");
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
