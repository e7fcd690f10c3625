//! Which names MLflow's server keeps as they are, and how names are written in a URL.
//!
//! The server decodes a path that it was sent over and over, up to ten times, and takes it for a URL each time
//! (`mlflow/utils/uri.py`, `validate_path_is_safe`). Some names become others on the way, without a word: `a%20b` is stored as
//! `a b`, and to delete `a?` deletes `a`. Those are not sent.

use mlflow_artifacts_core::ArtifactPath;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but the unreserved characters (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The path as it stands in a URL, with a slash before each segment.
pub(crate) fn encode_path(path: &ArtifactPath) -> String {
    path.segments().fold(String::new(), |url, segment| url + "/" + &encode(segment))
}

/// A text as it stands in the path or the query of a URL.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// What MLflow's server would take for something else in this path or in the path of a directory on the way; with the path up
/// to there.
pub(crate) fn defect(full: &ArtifactPath) -> Option<(ArtifactPath, &'static str)> {
    prefixes(full).find_map(|prefix| defect_of(prefix.as_str()).map(|defect| (prefix, defect)))
}

/// The paths of the directories on the way, from the top, and the path itself.
pub(crate) fn prefixes(path: &ArtifactPath) -> impl Iterator<Item = ArtifactPath> {
    let mut prefixes: Vec<_> = std::iter::successors(Some(path.clone()), ArtifactPath::parent)
        .filter(|path| !path.is_root())
        .collect();
    prefixes.reverse();
    prefixes.into_iter()
}

/// Rather too much than too little: Python's parser of URLs differs between its versions.
fn defect_of(path: &str) -> Option<&'static str> {
    let first = path.split('/').next().unwrap_or_default();
    if path.contains('#') {
        return Some("it holds a `#`");
    }
    if has_escape(path) {
        return Some("it holds a `%` before two hexadecimal digits, which the server decodes");
    }
    if path.ends_with(['?', ';']) || path.contains(";?") {
        return Some("it ends in `?` or `;`, or holds `;?`, which the server drops");
    }
    if path.starts_with([' ', '\\']) {
        return Some("the server's first directory begins with a space or a backslash");
    }
    if first.contains(':') {
        return Some("the server's first directory holds a `:`, like a scheme or a drive");
    }
    None
}

fn has_escape(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes
        .windows(3)
        .any(|triple| triple[0] == b'%' && triple[1].is_ascii_hexdigit() && triple[2].is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ArtifactPath {
        ArtifactPath::parse(text).unwrap()
    }

    #[test]
    fn every_reserved_character_is_encoded() {
        assert_eq!(encode_path(&path("a b;c/d+e#f?g%h/ä~-_.")), "/a%20b%3Bc/d%2Be%23f%3Fg%25h/%C3%A4~-_.");
        assert_eq!(encode("a/b"), "a%2Fb");
    }

    #[test]
    fn names_that_would_become_others_are_found() {
        for name in [
            "d/a#b",
            "d/%2e%2e",
            "d/a%2fb",
            "d/a%2520b",
            "d/a?",
            "d/a;",
            "d/a;?b",
            " a",
            "\\\\h\\s",
            "C:x",
            "http:x/y",
        ] {
            assert!(defect(&path(name)).is_some(), "{name}");
        }
        assert_eq!(defect(&path("a/b?/c")).map(|(prefix, _)| prefix), Some(path("a/b?")));
    }

    #[test]
    fn names_that_stay_are_let_through() {
        for name in [
            "d/ a", "d/a ", "a b", "100%", "a%", "%zz", "a+b", "a;type=d", "a?b=c", "d/C:x", "d/a:b", "a\\b",
            "..a", "~", "模型", "[a]",
        ] {
            assert_eq!(defect(&path(name)), None, "{name}");
        }
    }
}
