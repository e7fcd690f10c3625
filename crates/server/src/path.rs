//! From the path of a request to the path of an artifact. It is decoded once and then refused or taken, never cleaned up.

use std::borrow::Cow;

use mlflow_artifacts_core::ArtifactPath;
use percent_encoding::percent_decode_str;

use crate::refusal::Refusal;

/// How often a name is decoded again to see whether it is meant to get past somebody. MLflow's server decodes as often.
const ROUNDS: usize = 10;

/// What MLflow's local store names uploads that are under way.
const UPLOADING: &str = ".artifact.uploading.";

/// Where MLflow's tracking server keeps what only itself may write.
const SKILLS: &str = "skills";

/// An artifact as a request names it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Requested {
    pub(crate) path: ArtifactPath,
    /// It was written with a slash at its end, which no file is.
    pub(crate) is_directory: bool,
}

impl Requested {
    /// What the rest of a URL's path names, after the route: `1/abc/artifacts/model%20a/MLmodel`.
    pub(crate) fn of_url(encoded: &str) -> Result<Self, Refusal> {
        let decoded = percent_decode_str(encoded).decode_utf8();
        let decoded = decoded.map_err(|_| Refusal::invalid("Invalid path: it is not UTF-8"))?;
        Requested::of_text(&decoded)
    }

    /// What a query names, decoded.
    pub(crate) fn of_text(text: &str) -> Result<Self, Refusal> {
        check(text)?;
        let (text, is_directory) = match text.strip_suffix('/') {
            Some(text) => (text, true),
            None => (text, false),
        };
        Ok(Requested { path: ArtifactPath::parse(text)?, is_directory })
    }

    /// The path of what is to be a file.
    pub(crate) fn into_file(self) -> Result<ArtifactPath, Refusal> {
        if self.is_directory { Err(no_file_name()) } else { Ok(self.path) }
    }
}

/// The first value of this name in a query. Empty ones count, and what is not UTF-8 is refused.
pub(crate) fn of_query(query: &str, name: &str) -> Result<Option<String>, Refusal> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8().map(Cow::into_owned);
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let found = pairs.find(|(key, _)| decoded(key).is_ok_and(|key| key == name));
    let value = found.map(|(_, value)| decoded(value)).transpose();
    value.map_err(|_| Refusal::invalid(format!("Invalid {name}: it is not UTF-8")))
}

/// What names no file.
pub(crate) fn no_file_name() -> Refusal {
    Refusal::invalid("Artifact path must include a filename (cannot end with '/').")
}

/// Refuses what leads out of a directory, in its own spelling or in one that somebody behind us may make of it: decoded again, or with
/// backslashes read as slashes.
fn check(text: &str) -> Result<(), Refusal> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..=ROUNDS {
        if is_hostile(&text) {
            return Err(Refusal::invalid("Invalid path"));
        }
        let decoded = percent_decode_str(&text).decode_utf8_lossy();
        if decoded == text {
            return Ok(());
        }
        text = Cow::Owned(decoded.into_owned());
    }
    Err(Refusal::invalid(format!("Invalid path: it is encoded more than {ROUNDS} times over")))
}

fn is_hostile(text: &str) -> bool {
    let has_parent = text.split(['/', '\\']).any(|segment| segment == "..");
    let is_absolute = text.starts_with(['/', '\\']);
    let is_on_a_drive =
        matches!(text.as_bytes(), [drive, b':', b'/' | b'\\', ..] if drive.is_ascii_alphabetic());
    let is_uri_of_file = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:"));
    has_parent || is_absolute || is_on_a_drive || is_uri_of_file
}

/// Refuses what clients may neither write nor remove, as their workspace sees it.
pub(crate) fn check_writable(path: &ArtifactPath) -> Result<(), Refusal> {
    if path.is_root() {
        return Err(Refusal::invalid("Invalid path: it is that of all artifacts at once"));
    }
    if path.segments().any(|segment| segment.starts_with(UPLOADING)) {
        return Err(Refusal::invalid(format!(
            "Invalid path: names that begin with {UPLOADING} are reserved"
        )));
    }
    if path.segments().next().is_some_and(|first| first.eq_ignore_ascii_case(SKILLS)) {
        let message = "artifacts below 'skills' are written by the tracking server alone";
        return Err(Refusal::new(crate::refusal::Code::PermissionDenied, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_once() {
        for (encoded, path) in [
            ("a/b.txt", "a/b.txt"),
            ("pct%2520x", "pct%20x"),
            ("100%25", "100%"),
            ("ha%23sh%3Fq%3Bp", "ha#sh?q;p"),
            ("na%C3%AFve%20%2B+", "naïve ++"),
            ("%E2%80%A4%E2%80%A4/x", "\u{2024}\u{2024}/x"),
            ("a%5Cb", "a\\b"),
            ("a:b", "a:b"),
            ("...", "..."),
        ] {
            let requested = Requested::of_url(encoded).unwrap();
            assert_eq!((requested.path.as_str(), requested.is_directory), (path, false), "{encoded}");
        }
        assert!(Requested::of_url("a/b/").unwrap().is_directory);
        assert!(Requested::of_url("").unwrap().path.is_root());
    }

    #[test]
    fn a_query_is_decoded_once_and_refused_where_it_is_no_text() {
        for (query, value) in [
            ("path=a%2Fb+c%2B", Some("a/b c+")),
            ("x=1&path=%C3%AF&path=2", Some("ï")),
            ("p%61th=a=b", Some("a=b")),
            ("path", Some("")),
            ("%FF=1&path=%EF%BF%BD", Some("\u{fffd}")),
            ("", None),
            ("paths=1", None),
        ] {
            assert_eq!(of_query(query, "path").unwrap().as_deref(), value, "{query}");
        }
        for query in ["path=%FF", "path=a%C0%AE"] {
            assert!(of_query(query, "path").is_err(), "{query}");
        }
    }

    #[test]
    fn what_leads_elsewhere_is_refused_however_it_is_spelled() {
        let mut hostile: Vec<String> = [
            "../x",
            "a/../x",
            "..",
            "a/..",
            "./a",
            "a/.",
            ".",
            "a//b",
            "//a",
            "/a",
            "%2Fetc",
            "..%5Cx",
            "a%5C..%5Cx",
            "%5Cshare",
            "%5C%5Chost%5Cshare",
            "C:%5Cx",
            "c:/x",
            "file:/etc/passwd",
            "FILE:x",
            "file:///etc",
            "a%00b",
            "a%0Ab",
            "%7F",
            "%C0%AE%C0%AE/x",
            "%FF",
            "a%3F/../../x",
            "%252Fetc",
        ]
        .map(str::to_owned)
        .into();
        let mut parent = "..".to_owned();
        for _ in 0..12 {
            parent = parent.replace('%', "%25").replace('.', "%2e");
            hostile.push(format!("{parent}/etc/passwd"));
            hostile.push(format!("a/{}/etc/passwd", parent.replace("2e", "2E")));
        }
        for encoded in hostile {
            assert!(Requested::of_url(&encoded).is_err(), "{encoded}");
        }
    }

    #[test]
    fn what_only_servers_write() {
        for path in ["skills/a", "SKILLS", "a/.artifact.uploading.x", ".artifact.uploading.x/a"] {
            assert!(check_writable(&ArtifactPath::parse(path).unwrap()).is_err(), "{path}");
        }
        assert!(check_writable(&ArtifactPath::parse("a/skills").unwrap()).is_ok());
    }
}
