//! How content is labelled: its type by a fixed table, and always as something to be saved.

use axum::http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Extensions of what is shown as text (`mlflow/utils/mime_type_utils.py`), as they are written.
const TEXT: [&str; 24] = [
    "txt",
    "log",
    "err",
    "cfg",
    "conf",
    "cnf",
    "cf",
    "ini",
    "properties",
    "prop",
    "hocon",
    "toml",
    "yaml",
    "yml",
    "xml",
    "json",
    "js",
    "py",
    "py3",
    "csv",
    "tsv",
    "md",
    "rst",
    "ipynb",
];

/// Files without an extension that are text.
const TEXT_NAMES: [&str; 2] = ["MLmodel", "mlproject"];

/// What stands as it is in an extended parameter (RFC 8187, section 3.2.1, `attr-char`).
const ATTRIBUTE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The type of a file of this name. The table is part of this program: that of the machine would differ from one to the next.
pub(crate) fn content_type(name: &str) -> HeaderValue {
    let extension = name.trim_start_matches('.').rsplit_once('.').map_or(name, |(_, extension)| extension);
    if TEXT.contains(&extension) || TEXT_NAMES.contains(&name) {
        return HeaderValue::from_static("text/plain");
    }
    let guessed = mime_guess::from_ext(extension).first_raw().filter(|_| extension != name);
    HeaderValue::from_static(guessed.unwrap_or("application/octet-stream"))
}

/// Has a browser save the file under this name, never show it (RFC 6266, section 4).
pub(crate) fn attachment(name: &str) -> HeaderValue {
    let plain: String = name.chars().filter(|character| (' '..='~').contains(character)).collect();
    let plain = if plain.is_empty() { "download".to_owned() } else { quoted(&plain) };
    let mut value = format!("attachment; filename={plain}");
    if !name.is_ascii() {
        value = format!("{value}; filename*=UTF-8''{}", utf8_percent_encode(name, ATTRIBUTE));
    }
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("attachment"))
}

/// A token as it is, anything else in quotes (RFC 9110, section 5.6).
fn quoted(text: &str) -> String {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.bytes().all(is_token) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_of_mlflow() {
        for (name, expected) in [
            ("a.txt", "text/plain"),
            ("a.json", "text/plain"),
            ("a.JSON", "application/json"),
            ("MLmodel", "text/plain"),
            ("mlmodel", "application/octet-stream"),
            ("a.html", "text/html"),
            ("a.png", "image/png"),
            ("a.pt", "application/octet-stream"),
            ("png", "application/octet-stream"),
            (".png", "application/octet-stream"),
            ("no_extension", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name), expected, "{name}");
        }
    }

    #[test]
    fn content_is_saved_under_its_name() {
        for (name, expected) in [
            ("a.txt", "attachment; filename=a.txt"),
            ("a b.txt", "attachment; filename=\"a b.txt\""),
            ("a\"\\b", "attachment; filename=\"a\\\"\\\\b\""),
            ("größe.txt", "attachment; filename=gre.txt; filename*=UTF-8''gr%C3%B6%C3%9Fe.txt"),
            ("模型", "attachment; filename=download; filename*=UTF-8''%E6%A8%A1%E5%9E%8B"),
        ] {
            assert_eq!(attachment(name), expected, "{name}");
        }
    }
}
