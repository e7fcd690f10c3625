//! From what the server refuses, or what a connection suffers, to an error that says what to do.

use std::io;

use mlflow_artifacts_core::{Error, ErrorKind, Retry};
use mlflow_artifacts_http::{one_line, tls_error};

use crate::reply::Reply;

/// The words by which servers say what 450, 550 and 553 leave open. The first that is found counts.
const WORDS: [(&str, ErrorKind); 17] = [
    ("no such file", ErrorKind::NotFound),
    ("not found", ErrorKind::NotFound),
    ("does not exist", ErrorKind::NotFound),
    ("doesn't exist", ErrorKind::NotFound),
    ("cannot find", ErrorKind::NotFound),
    ("not a directory", ErrorKind::NotADirectory),
    ("is a directory", ErrorKind::IsADirectory),
    ("not empty", ErrorKind::Io),
    ("exists", ErrorKind::AlreadyExists),
    ("permission", ErrorKind::PermissionDenied),
    ("denied", ErrorKind::PermissionDenied),
    ("not allowed", ErrorKind::PermissionDenied),
    ("no space", ErrorKind::NoSpace),
    ("disk full", ErrorKind::NoSpace),
    ("quota", ErrorKind::NoSpace),
    ("too long", ErrorKind::InvalidPath),
    ("ssl", ErrorKind::Tls),
];

/// The error that an answer is to `verb` with `argument`.
pub(crate) fn refused(verb: &str, argument: &str, reply: &Reply) -> Error {
    let text = reply.text();
    let (kind, retry) = classify(reply.code, &said(&text, argument));
    let message = format!("the server answered {verb} with {} {}", reply.code, one_line(&text));
    let error =
        Error::new(kind, message.trim_end()).with_retry(retry).with_provider_code(reply.code.to_string());
    match help(reply.code, kind) {
        Some(help) => error.with_help(help),
        None => error,
    }
}

/// What the text says beside the name that was asked for, which may hold any word.
fn said(text: &str, argument: &str) -> String {
    let rest = if argument.is_empty() { text.to_owned() } else { text.replace(argument, "") };
    rest.to_lowercase()
}

fn classify(code: u16, text: &str) -> (ErrorKind, Retry) {
    let worded = || WORDS.iter().find(|(word, _)| text.contains(word)).map(|(_, kind)| *kind);
    match code {
        421 => (ErrorKind::Unavailable, Retry::Transient),
        425 | 426 => (ErrorKind::Connection, Retry::Transient),
        331 | 332 | 430 | 530 | 532 => (ErrorKind::Unauthenticated, Retry::Never),
        431 | 521 | 522 | 533..=536 => (ErrorKind::Tls, Retry::Never),
        452 | 552 => (ErrorKind::NoSpace, Retry::Never),
        500..=502 | 504 => (ErrorKind::Unsupported, Retry::Never),
        400..=499 => match worded() {
            Some(kind) => (kind, Retry::Never),
            None => (ErrorKind::Unavailable, Retry::Transient),
        },
        550 | 553 => (worded().unwrap_or(ErrorKind::PermissionDenied), Retry::Never),
        _ => (ErrorKind::Protocol, Retry::Never),
    }
}

fn help(code: u16, kind: ErrorKind) -> Option<&'static str> {
    match (code, kind) {
        (421, _) => Some("try again later, or lower the option connections"),
        (425 | 426, _) => {
            Some("check whether the server's passive ports can be reached through its firewall")
        }
        (521 | 522 | 533..=536, _) | (_, ErrorKind::Tls) => {
            Some("write ftps:// for a server that demands TLS, and check its TLS settings")
        }
        (_, ErrorKind::Unauthenticated) => Some(
            "give the user and the password in the URI or in the options user and password; a server that refuses logins without \
             TLS wants ftps://",
        ),
        (_, ErrorKind::NoSpace) => Some("free some space on the server or raise the quota"),
        _ => None,
    }
}

/// The error that is not the server's word but the connection's end.
pub(crate) fn broken(doing: &str, error: io::Error) -> Error {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls_error(tls).with_source(error);
    }
    let (kind, help) = match error.kind() {
        io::ErrorKind::TimedOut => {
            (ErrorKind::Timeout, "try again; the option read_timeout says how long to wait")
        }
        _ => (ErrorKind::Connection, "try again"),
    };
    Error::new(kind, format!("{doing}: {error}"))
        .with_retry(Retry::Transient)
        .with_help(help)
        .with_source(error)
}

/// The error of a connection that could not be made.
pub(crate) fn unreachable(what: &str, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::TimedOut => ErrorKind::Timeout,
        _ => ErrorKind::Connection,
    };
    Error::new(kind, format!("no connection to {what}: {error}"))
        .with_retry(Retry::Transient)
        .with_source(error)
}

/// The error of a server that does not keep to the protocol.
pub(crate) fn protocol(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Protocol, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: u16, text: &str) -> (ErrorKind, Retry) {
        let reply = Reply { code, lines: vec![text.to_owned()] };
        let error = refused("RETR", "/no such file", &reply);
        assert_eq!(error.provider_code(), Some(code.to_string().as_str()));
        (error.kind(), error.retry())
    }

    #[test]
    fn each_code_has_its_kind() {
        for (code, kind, retry) in [
            (421, ErrorKind::Unavailable, Retry::Transient),
            (425, ErrorKind::Connection, Retry::Transient),
            (426, ErrorKind::Connection, Retry::Transient),
            (430, ErrorKind::Unauthenticated, Retry::Never),
            (450, ErrorKind::Unavailable, Retry::Transient),
            (451, ErrorKind::Unavailable, Retry::Transient),
            (452, ErrorKind::NoSpace, Retry::Never),
            (500, ErrorKind::Unsupported, Retry::Never),
            (502, ErrorKind::Unsupported, Retry::Never),
            (503, ErrorKind::Protocol, Retry::Never),
            (522, ErrorKind::Tls, Retry::Never),
            (530, ErrorKind::Unauthenticated, Retry::Never),
            (550, ErrorKind::PermissionDenied, Retry::Never),
            (552, ErrorKind::NoSpace, Retry::Never),
            (553, ErrorKind::PermissionDenied, Retry::Never),
            (299, ErrorKind::Protocol, Retry::Never),
        ] {
            assert_eq!(told(code, "done"), (kind, retry), "{code}");
        }
    }

    #[test]
    fn words_tell_what_a_code_leaves_open_but_not_those_of_the_name() {
        for (text, kind) in [
            ("/no such file: Permission denied", ErrorKind::PermissionDenied),
            ("/no such file: No such file or directory", ErrorKind::NotFound),
            ("/no such file: File exists", ErrorKind::AlreadyExists),
            ("Not a directory", ErrorKind::NotADirectory),
            ("Directory not empty", ErrorKind::Io),
            ("Disk quota exceeded", ErrorKind::NoSpace),
        ] {
            assert_eq!(told(550, text).0, kind, "{text}");
            assert_eq!(told(450, text).0, kind, "{text}");
        }
    }
}
