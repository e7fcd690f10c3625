//! The line of the access log for one request. Whatever a client may choose of it cannot end the line, nor look like another field.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::SocketAddr;

use axum::http::{Method, Uri};
use serde::Serialize;

use super::Outcome;

/// The longest path, in bytes as they are shown.
const LONGEST_PATH: usize = 1024;

/// The longest name of a user, a method or a parameter.
const LONGEST_NAME: usize = 64;

/// How many parameters of a query are named.
const MOST_PARAMETERS: usize = 8;

/// How the access log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// For people: time, status, method, path, then `name=value`, separated by spaces.
    Human,
    /// A JSON object on each line. Times are in seconds, sizes in bytes; what is not known is `null`.
    Json,
}

/// What is told of a request when it is over.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    /// When it was over.
    pub(crate) time: String,
    pub(crate) request_id: &'a str,
    pub(crate) peer: SocketAddr,
    pub(crate) method: Cow<'a, str>,
    pub(crate) path: &'a str,
    pub(crate) route: Option<&'a str>,
    /// `None` if it was never answered.
    pub(crate) status: Option<u16>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// In seconds, and so is the next.
    pub(crate) duration: f64,
    pub(crate) first_byte: Option<f64>,
    pub(crate) user: Option<Cow<'a, str>>,
    pub(crate) error: Option<&'a str>,
    pub(crate) outcome: Outcome,
}

impl Line<'_> {
    /// With its line feed.
    pub(crate) fn written(&self, format: AccessLogFormat) -> Vec<u8> {
        let mut line = match format {
            AccessLogFormat::Human => self.human().into_bytes(),
            // It has no map with keys that are no strings, the only thing that could fail.
            AccessLogFormat::Json => serde_json::to_vec(self).unwrap_or_default(),
        };
        line.push(b'\n');
        line
    }

    fn human(&self) -> String {
        let status = self.status.map_or(Cow::Borrowed("-"), |status| status.to_string().into());
        let first_byte = self.first_byte.map_or_else(|| "-".to_owned(), |time| format!("{time:.6}"));
        let mut line = format!("{} {status} {} {}", self.time, self.method, self.path);
        // Writing to a string does not fail.
        let _ = write!(
            line,
            " peer={} in={} out={} time={:.6} first_byte={first_byte} user={} route={} error={} outcome={} id={}",
            self.peer,
            self.bytes_in,
            self.bytes_out,
            self.duration,
            self.user.as_deref().unwrap_or("-"),
            self.route.unwrap_or("-"),
            self.error.unwrap_or("-"),
            self.outcome.name(),
            self.request_id,
        );
        line
    }
}

/// The path of a request as it was sent, and the names in its query. The values may be secrets, and so may a query without names.
pub(crate) fn target(uri: &Uri) -> String {
    let mut target = shown(uri.path(), LONGEST_PATH).into_owned();
    let Some(query) = uri.query() else { return target };
    let mut parameters = query.split('&').map(|parameter| parameter.split('=').next().unwrap_or_default());
    let named: Vec<_> = parameters.by_ref().take(MOST_PARAMETERS).map(parameter).collect();
    target.push('?');
    target.push_str(&named.join("&"));
    if parameters.next().is_some() {
        target.push_str("&...");
    }
    target
}

/// The name of a parameter, if it looks like one.
fn parameter(name: &str) -> &str {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.len() <= LONGEST_NAME / 2 && name.bytes().all(is_name) { name } else { "*" }
}

/// A name that a client or somebody behind us chose.
pub(crate) fn name(name: &str) -> Cow<'_, str> {
    shown(name, LONGEST_NAME)
}

/// The method: any token is one.
pub(crate) fn method(method: &Method) -> Cow<'_, str> {
    shown(method.as_str(), LONGEST_NAME)
}

/// Visible ASCII as it is, but for what ends a field or a string; other bytes as `\xNN`, as nginx shows them. `...` stands for what is
/// too long.
fn shown(text: &str, longest: usize) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if text.len() <= longest && text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::new();
    for byte in text.bytes() {
        if escaped.len() + "\\xNN".len() > longest {
            escaped.push_str("...");
            break;
        }
        if is_plain(byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "\\x{byte:02X}");
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_client_writes_ends_a_line_or_a_field() {
        for (text, expected) in [
            ("/a%20b", "/a%20b"),
            ("a b", "a\\x20b"),
            ("a\nb\r\u{1b}[2J\0", "a\\x0Ab\\x0D\\x1B[2J\\x00"),
            ("\"\\", "\\x22\\x5C"),
            ("ü\u{202e}\u{85}", "\\xC3\\xBC\\xE2\\x80\\xAE\\xC2\\x85"),
        ] {
            assert_eq!(shown(text, 100), expected, "{text:?}");
        }
        let long = shown(&"a".repeat(5000), LONGEST_PATH).into_owned();
        assert!(long.len() <= LONGEST_PATH + 3 && long.ends_with("a..."), "{long}");
        assert!(shown(&"\n".repeat(5000), LONGEST_PATH).len() <= LONGEST_PATH + 3);
    }

    #[test]
    fn of_a_query_only_names_are_told() {
        for (uri, expected) in [
            ("/a?path=secret/x&X-Amz-Signature=canary", "/a?path&X-Amz-Signature"),
            ("/a?detail", "/a?detail"),
            ("/a?", "/a?"),
            ("/a?can%61ry=1", "/a?*"),
            ("http://user:canary@host/a?b=c", "/a?b"),
            ("/a?1&2&3&4&5&6&7&8&9", "/a?1&2&3&4&5&6&7&8&..."),
            ("/a?0123456789abcdef0123456789abcdef0", "/a?*"),
        ] {
            assert_eq!(target(&uri.parse().unwrap()), expected, "{uri}");
        }
    }
}
