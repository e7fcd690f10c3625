//! What every case works with: a store on a fresh place, and the assertions that cases share.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mlflow_artifacts_core::{
    ArtifactMeta, ArtifactPath, ArtifactStoreExt as _, ByteStream, Capabilities, ErrorKind, ListOptions,
    PutBody, PutMode, PutOptions, PutOutcome, Result, SharedStore, SourceFile,
};
use tempfile::TempDir;

use crate::bodies::chunked;
use crate::{Place, StoreUnderTest};

pub(crate) struct Bench {
    pub(crate) store: SharedStore,
    pub(crate) claims: Capabilities,
    pub(crate) canaries: Vec<String>,
    pub(crate) crowd: usize,
    /// How long something may take that happens in the background.
    patience: Duration,
    place: Place,
    /// Local files that are put.
    local: TempDir,
}

impl Bench {
    pub(crate) async fn new(place: Place, subject: &StoreUnderTest) -> Self {
        Bench {
            store: (place.open)().await,
            claims: subject.claims,
            canaries: subject.canaries.clone(),
            crowd: subject.crowd,
            patience: subject.time_limit / 30,
            place,
            local: TempDir::new().expect("a temporary directory can be made"),
        }
    }

    pub(crate) async fn second_handle(&self) -> SharedStore {
        (self.place.open)().await
    }

    pub(crate) async fn put(&self, at: &str, content: &Bytes) -> Result<PutOutcome> {
        self.store.put_bytes(&path(at), content.clone()).await
    }

    pub(crate) async fn put_body(&self, at: &str, body: PutBody) -> Result<PutOutcome> {
        self.store.put(&path(at), body, PutOptions::default()).await
    }

    pub(crate) async fn put_as(&self, at: &str, content: &Bytes, mode: PutMode) -> Result<PutOutcome> {
        let options = PutOptions { mode, ..PutOptions::default() };
        self.store.put(&path(at), PutBody::Bytes(content.clone()), options).await
    }

    pub(crate) async fn content(&self, at: &str) -> Result<Bytes> {
        self.store.get_bytes(&path(at)).await
    }

    pub(crate) async fn stat(&self, at: &str) -> Result<ArtifactMeta> {
        self.store.stat(&path(at)).await
    }

    pub(crate) async fn etag(&self, at: &str) -> Result<Option<String>> {
        Ok(self.stat(at).await?.etag)
    }

    /// The paths of the children of `directory`, in the order the store tells them.
    pub(crate) async fn children(&self, directory: &str) -> Result<Vec<String>> {
        Ok(paths(&self.store.list_all(&path(directory), ListOptions::default()).await?))
    }

    /// Everything below `directory`, in the order the store tells it.
    pub(crate) async fn tree(&self, directory: &str) -> Result<Vec<ArtifactMeta>> {
        self.store.list_all(&path(directory), ListOptions { recursive: true }).await
    }

    /// The paths of all files, sorted.
    pub(crate) async fn files(&self) -> Result<Vec<String>> {
        let mut tree = self.tree("").await?;
        tree.retain(|entry| !entry.is_directory());
        tree.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(paths(&tree))
    }

    /// Asserts that the store holds these files, whole, no others, and no temporary. Directories are not looked at.
    pub(crate) async fn holds(&self, expected: &[(&str, &Bytes)]) -> Result<()> {
        self.settles().await?;
        let mut names: Vec<_> = expected.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        assert_eq!(self.files().await?, names, "the files in the store");
        for (name, content) in expected {
            same_bytes(&self.content(name).await?, content, name);
        }
        Ok(())
    }

    /// As [`Bench::holds`], with nothing to hold, and for an operation that was dropped: waits for it to clean up.
    pub(crate) async fn becomes_empty(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let tree = self.tree("").await?;
            if tree.is_empty() {
                return self.settles().await;
            }
            assert!(begun.elapsed() < self.patience, "still there: {:?}", paths(&tree));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until what is really there is what the store lists.
    pub(crate) async fn settles(&self) -> Result<()> {
        let Some(inspect) = &self.place.inspect else { return Ok(()) };
        let begun = Instant::now();
        loop {
            let listed: BTreeSet<_> = paths(&self.tree("").await?).into_iter().collect();
            let present: BTreeSet<_> = inspect().await.into_iter().collect();
            let hidden: Vec<_> = present.difference(&listed).collect();
            if hidden.is_empty() {
                return Ok(());
            }
            assert!(begun.elapsed() < self.patience, "left behind, not listed: {hidden:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A local file with this content.
    pub(crate) fn local_file(&self, name: &str, content: &[u8]) -> std::path::PathBuf {
        let file = self.local.path().join(name);
        std::fs::write(&file, content).expect("a local file can be written");
        file
    }

    /// A local path where nothing is.
    pub(crate) fn local_path(&self, name: &str) -> std::path::PathBuf {
        self.local.path().join(name)
    }

    /// `content` in every form that it can be put in.
    pub(crate) fn bodies(&self, content: &Bytes) -> Vec<(&'static str, PutBody)> {
        let length = Some(content.len() as u64);
        vec![
            ("bytes", PutBody::Bytes(content.clone())),
            ("file", PutBody::File(self.local_file("body", content))),
            ("open file", open_file(&self.local_file("open", content))),
            ("stream", stream_body(chunked(content, 10_000), None)),
            ("stream of known length", stream_body(chunked(content, 10_000), length)),
        ]
    }
}

pub(crate) fn open_file(local: &std::path::Path) -> PutBody {
    PutBody::OpenFile(Arc::new(SourceFile::open(local).expect("the local file can be opened")))
}

pub(crate) fn stream_body(stream: ByteStream, length: Option<u64>) -> PutBody {
    PutBody::Stream { stream, length }
}

pub(crate) fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).expect("the suite's paths are valid")
}

pub(crate) fn paths(entries: &[ArtifactMeta]) -> Vec<String> {
    entries.iter().map(|entry| entry.path.to_string()).collect()
}

pub(crate) fn length(bytes: &Bytes) -> u64 {
    bytes.len() as u64
}

/// Asserts that a call was refused with `kind`.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T>, kind: ErrorKind) {
    refused_for(answer, kind, "this call");
}

/// Asserts that a call was refused with `kind`, and says which one it was if not.
#[track_caller]
pub(crate) fn refused_for<T: std::fmt::Debug>(answer: Result<T>, kind: ErrorKind, call: &str) {
    match answer {
        Err(error) if error.kind() == kind => {}
        answer => panic!("{call} must be refused as {kind}, not {answer:?}"),
    }
}

/// Asserts that contents are equal, without printing them.
#[track_caller]
pub(crate) fn same_bytes(actual: &Bytes, expected: &Bytes, what: &str) {
    if actual != expected {
        let first =
            actual.iter().zip(expected).position(|(a, b)| a != b).unwrap_or(actual.len().min(expected.len()));
        panic!(
            "{what}: {} bytes, expected {}; they differ from byte {first} on",
            actual.len(),
            expected.len()
        );
    }
}
