//! From an argument to a store and a path in it.
//!
//! A URI names a store's root, and an artifact's URI is its root's plus the path. Where one ends and the other begins is
//! not in the text, so the last segment is cut off: the store is opened for what is left, which works for files and
//! directories alike. (A store opened at the URI itself could not hold a file there: its root is a directory.) What is
//! seen to be a directory then becomes the root of a store of its own, so that nothing below it leads out of it.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use mlflow_artifacts::{
    ArtifactMeta, ArtifactPath, ArtifactUri, Capabilities, Error, ErrorKind, Properties, Result, SharedStore,
};

use crate::session::Session;

/// What an argument names.
#[derive(Clone, Debug)]
pub(crate) enum Location {
    /// A path on this machine, written as such.
    Local(PathBuf),
    /// A place in a store, written as a URI.
    Stored(ArtifactUri),
}

/// A path in an open store.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) store: SharedStore,
    pub(crate) path: ArtifactPath,
    uri: ArtifactUri,
}

impl Location {
    pub(crate) fn parse(text: &OsStr) -> Result<Self> {
        let Some(unicode) = text.to_str() else { return Ok(Location::Local(text.into())) };
        let uri = ArtifactUri::parse(unicode)?;
        // Only a bare path is all path.
        let is_bare = uri.raw_path() == unicode;
        Ok(if is_bare { Location::Local(text.into()) } else { Location::Stored(uri) })
    }

    pub(crate) fn uri(&self) -> Result<ArtifactUri> {
        match self {
            Location::Stored(uri) => Ok(uri.clone()),
            Location::Local(path) => ArtifactUri::parse(path.to_str().ok_or_else(|| {
                Error::new(ErrorKind::InvalidPath, "the path is not UTF-8").with_path(path.display())
            })?),
        }
    }

    /// The path on this machine that it leads to, if it does.
    pub(crate) fn local_path(&self) -> Option<PathBuf> {
        match self {
            Location::Local(path) => Some(path.clone()),
            Location::Stored(uri) if uri.scheme() == "file" => uri.path().ok().map(PathBuf::from),
            Location::Stored(_) => None,
        }
    }

    /// Whether it is written as a directory.
    pub(crate) fn ends_in_slash(&self) -> bool {
        match self {
            Location::Local(path) => path.as_os_str().as_encoded_bytes().ends_with(b"/"),
            Location::Stored(uri) => uri.raw_path().ends_with('/'),
        }
    }

    /// Its name in its directory; `None` for the root of a store.
    pub(crate) fn name(&self) -> Result<Option<String>> {
        Ok(self.uri()?.split_last()?.map(|(_, name)| name.to_string()))
    }

    /// The place it names, in the store of its parent. Where there is no store of its parent (a URI that names nothing but
    /// a bucket or a repository), the root of the store there.
    pub(crate) fn place(&self, session: &Session, other: Option<&Location>) -> Result<Place> {
        let uri = self.uri()?;
        if let Some((parent, path)) = uri.split_last()?
            && let Ok(place) = Place::open(session, parent, path, other)
        {
            return Ok(place);
        }
        self.root(session, other)
    }

    /// The place it names as the root of a store of its own: for a directory, which need not exist.
    pub(crate) fn root(&self, session: &Session, other: Option<&Location>) -> Result<Place> {
        Place::open(session, self.uri()?, ArtifactPath::root(), other)
    }

    /// Where a file called `name` goes that is copied here: into it if it is a directory, else it is the file.
    pub(crate) async fn file_place(
        &self,
        session: &Session,
        name: &str,
        other: Option<&Location>,
    ) -> Result<Place> {
        if !self.ends_in_slash() {
            let place = self.place(session, other)?;
            if !place.is_directory().await? {
                return Ok(place);
            }
        }
        let root = self.root(session, other)?;
        Ok(Place { path: root.path.child(name)?, ..root })
    }

    fn scheme(&self) -> Option<&str> {
        match self {
            Location::Stored(uri) => Some(uri.scheme()),
            Location::Local(_) => None,
        }
    }
}

/// As it was written, without secrets.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Local(path) => path.display().fmt(f),
            Location::Stored(uri) => uri.fmt(f),
        }
    }
}

impl Place {
    fn open(
        session: &Session,
        uri: ArtifactUri,
        path: ArtifactPath,
        other: Option<&Location>,
    ) -> Result<Self> {
        let store = session.open(&uri, other.and_then(Location::scheme))?;
        Ok(Place { store, path, uri })
    }

    pub(crate) async fn stat(&self) -> Result<ArtifactMeta> {
        self.named(self.store.stat(&self.path).await)
    }

    /// Whether the store keeps properties with artifacts.
    pub(crate) fn keeps_properties(&self) -> bool {
        self.store.capabilities().contains(Capabilities::PROPERTIES)
    }

    /// Refuses properties that the store would not keep, before anything is read or sent.
    pub(crate) fn check_properties(&self, properties: &Properties) -> Result<()> {
        if properties.is_empty() || self.keeps_properties() {
            return Ok(());
        }
        let scheme = &self.store.info().scheme;
        self.named(Err(Error::new(
            ErrorKind::Unsupported,
            format!("{scheme} stores keep no properties with their artifacts"),
        )
        .with_path(&self.path)
        .with_help("leave --property out, or write to a store that keeps them (artifactory://...)")))
    }

    /// `result` with this store named in its error.
    pub(crate) fn named<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| error.with_store(&self.store.info().root))
    }

    /// The same for an upload of `local`, unless the local side is to blame.
    pub(crate) fn named_unless_about<T>(&self, local: &Path, result: Result<T>) -> Result<T> {
        match result {
            Err(error) if error.path().is_some_and(|path| Path::new(path).starts_with(local)) => Err(error),
            result => self.named(result),
        }
    }

    /// Whether a directory is known to stand there. Who may only write is not told, and means a file.
    async fn is_directory(&self) -> Result<bool> {
        match self.stat().await {
            Ok(meta) => Ok(meta.is_directory()),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// Both places in one store, where one holds both: it can then copy by itself, and a tree is not copied into itself
/// forever. Not on local stores: their root decides which symbolic links are followed, and the engine itself knows when one
/// stands in another.
pub(crate) fn in_one_store(session: &Session, from: Place, to: Place) -> (Place, Place) {
    let shared = || {
        if from.uri.scheme() == "file" {
            return None;
        }
        let above_target = directories_above(&to.uri);
        let (uri, source, target) = directories_above(&from.uri).into_iter().find_map(|(uri, source)| {
            let (_, target) = above_target.iter().find(|(other, _)| *other == uri)?;
            Some((uri, source, target.clone()))
        })?;
        // Above a bucket or a repository there is no store.
        let store = session.open(&uri, None).ok()?;
        let place = |path: &ArtifactPath, below: &ArtifactPath| Place {
            store: store.clone(),
            path: path.join(below),
            uri: uri.clone(),
        };
        Some((place(&source, &from.path), place(&target, &to.path)))
    };
    shared().unwrap_or_else(|| (from.clone(), to.clone()))
}

/// `uri` and everything above it, each with the path that leads back.
fn directories_above(uri: &ArtifactUri) -> Vec<(ArtifactUri, ArtifactPath)> {
    let mut found = vec![(uri.clone(), ArtifactPath::root())];
    let mut next = uri.split_last();
    while let Ok(Some((parent, name))) = next {
        let path = found.last().map_or_else(ArtifactPath::root, |(_, path)| name.join(path));
        next = parent.split_last();
        found.push((parent, path));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(text: &str) -> Location {
        Location::parse(OsStr::new(text)).unwrap()
    }

    #[test]
    fn what_has_a_scheme_is_no_local_path() {
        for text in ["/srv/a", "a", "./a:b", "../a b#c?d", "100%"] {
            assert!(matches!(location(text), Location::Local(path) if path == Path::new(text)), "{text}");
        }
        for text in ["file:/srv/a", "file:a", "memory:", "s3://bucket/a", "FILE:///a"] {
            assert!(matches!(location(text), Location::Stored(_)), "{text}");
        }
    }

    #[test]
    fn the_name_is_the_last_segment() {
        for (text, name) in [
            ("/srv/a b/", Some("a b")),
            ("file:///srv/a%20b", Some("a b")),
            ("s3://bucket", None),
            ("memory:", None),
            (".", None),
            ("../..", None),
        ] {
            assert_eq!(location(text).name().unwrap().as_deref(), name, "{text}");
        }
    }

    #[test]
    fn every_directory_above_leads_back() {
        let found = directories_above(&ArtifactUri::parse("s3://bucket/a/b%20c/").unwrap());
        let found: Vec<_> = found.iter().map(|(uri, path)| (uri.to_string(), path.to_string())).collect();
        let pair = |uri: &str, path: &str| (uri.to_owned(), path.to_owned());
        assert_eq!(
            found,
            [pair("s3://bucket/a/b%20c/", ""), pair("s3://bucket/a", "b c"), pair("s3://bucket/", "a/b c"),]
        );
    }
}
