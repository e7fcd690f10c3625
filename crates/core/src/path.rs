//! Where an artifact stands inside its store.

use std::fmt;
use std::sync::Arc;

use crate::{Error, ErrorKind, Result};

/// The path of an artifact inside its store: relative, `/`-separated, exactly as its writer spelled it.
///
/// A path is parsed or refused, never rewritten. Segments are non-empty, are not `.` or `..` and hold no control
/// character; everything else (spaces, `%`, `#`, `+`, `;`, quotes, backslashes, any Unicode) is part of the name and
/// is not decoded. The empty path is the store's root, [`ArtifactPath::root`].
///
/// ```
/// use mlflow_artifacts_core::ArtifactPath;
/// let path = ArtifactPath::parse("model/data 100%.bin")?;
/// assert_eq!(path.file_name(), Some("data 100%.bin"));
/// assert_eq!(path.parent(), Some(ArtifactPath::parse("model")?));
/// assert!(ArtifactPath::parse("../secret").is_err());
/// # Ok::<(), mlflow_artifacts_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArtifactPath(Arc<str>);

impl ArtifactPath {
    /// The root of the store: the empty path.
    pub fn root() -> Self {
        ArtifactPath(Arc::from(""))
    }

    /// Parses `text`; the empty string is the root. Fails with [`ErrorKind::InvalidPath`].
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::root());
        }
        match text.split('/').find_map(segment_defect) {
            Some(defect) => Err(refusal(text, defect)),
            None => Ok(ArtifactPath(Arc::from(text))),
        }
    }

    /// The path one level below: `name` is a single segment. Fails with [`ErrorKind::InvalidPath`].
    pub fn child(&self, name: &str) -> Result<Self> {
        if name.contains('/') {
            return Err(refusal(name, "a name holds no slash"));
        }
        match segment_defect(name) {
            Some(defect) => Err(refusal(name, defect)),
            None if self.is_root() => Ok(ArtifactPath(Arc::from(name))),
            None => Ok(ArtifactPath(Arc::from(format!("{self}/{name}")))),
        }
    }

    /// `other` below this path.
    #[must_use]
    pub fn join(&self, other: &ArtifactPath) -> Self {
        match (self.is_root(), other.is_root()) {
            (true, _) => other.clone(),
            (_, true) => self.clone(),
            _ => ArtifactPath(Arc::from(format!("{self}/{other}"))),
        }
    }

    /// The path one level up; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        match self.0.rsplit_once('/') {
            Some((parent, _)) => Some(ArtifactPath(Arc::from(parent))),
            None if self.is_root() => None,
            None => Some(Self::root()),
        }
    }

    /// The last segment; `None` for the root.
    pub fn file_name(&self) -> Option<&str> {
        self.segments().next_back()
    }

    /// The segments from the root down; none for the root.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }

    /// What is left of this path below `directory`: `None` if it is not at or below it. `foobar` is not below `foo`.
    pub fn strip_prefix(&self, directory: &ArtifactPath) -> Option<Self> {
        if directory.is_root() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(&*directory.0)?;
        match rest.strip_prefix('/') {
            Some(rest) => Some(ArtifactPath(Arc::from(rest))),
            None if rest.is_empty() => Some(Self::root()),
            None => None,
        }
    }

    /// Whether this is the store's root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path as it was written, without a leading slash; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn segment_defect(segment: &str) -> Option<&'static str> {
    match segment {
        "" => Some("it has an empty segment; write it without a leading, trailing or doubled slash"),
        "." | ".." => Some("it has a `.` or `..` segment; write the path out"),
        _ if segment.chars().any(char::is_control) => {
            Some("it holds a control character; rename the artifact")
        }
        _ => None,
    }
}

fn refusal(text: &str, defect: &str) -> Error {
    Error::new(ErrorKind::InvalidPath, format!("not an artifact path: {defect}")).with_path(text)
}

impl fmt::Display for ArtifactPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ArtifactPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<str> for ArtifactPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for ArtifactPath {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ArtifactPath {
        ArtifactPath::parse(text).unwrap()
    }

    #[test]
    fn names_are_kept_as_they_are() {
        for text in [
            "a",
            "a/b",
            "a b",
            "100%",
            "%2e%2e",
            "a#b",
            "a?b",
            "a+b",
            "a;b",
            "'\"`",
            "-rf",
            ".hidden",
            "...",
            "a\\b",
            "~",
            "C:x",
            "naïve/模型/🤖",
            "\u{2024}\u{2024}/x",
            "\u{2215}etc",
            " lead",
            "trail ",
        ] {
            assert_eq!(path(text).as_str(), text);
        }
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        for text in [
            "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/..", "../a", "x/../y", "a\0b", "a\nb", "\t",
            "a\u{7f}", "\u{85}", "/",
        ] {
            let error = ArtifactPath::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidPath, "{text:?}");
            assert_eq!(error.path(), Some(text));
        }
    }

    #[test]
    fn a_child_is_one_segment() {
        assert_eq!(path("").child("a").unwrap(), path("a"));
        assert_eq!(path("a").child("b").unwrap(), path("a/b"));
        for name in ["", ".", "..", "a/b", "/", "a\0"] {
            assert!(path("x").child(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        assert_eq!(path("foo/bar").strip_prefix(&path("foo")), Some(path("bar")));
        assert_eq!(path("foo").strip_prefix(&path("foo")), Some(path("")));
        assert_eq!(path("foobar").strip_prefix(&path("foo")), None);
        assert_eq!(path("foo").strip_prefix(&path("")), Some(path("foo")));
    }

    #[test]
    fn parents_lead_to_the_root() {
        assert_eq!(path("a/b").parent(), Some(path("a")));
        assert_eq!(path("a").parent(), Some(path("")));
        assert_eq!(path("").parent(), None);
        assert_eq!(path("").file_name(), None);
        assert_eq!(path("").segments().count(), 0);
    }
}
