//! Stores over an emulator, and what goes into them.

// Every test binary has this module, and uses its own part of it.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::PathBuf;

use artifactory_emulator::{Builder, Effect, Emulator, Fault, FaultBody, RepositoryKind};
use bytes::Bytes;
use mlflow_artifacts_core::{
    ArtifactPath, ArtifactStoreExt as _, Error, ErrorKind, PutBody, PutOptions, PutOutcome, Registry, Result,
    SharedStore, StoreConfig,
};
use mlflow_artifacts_testkit::bodies::{chunked, random_bytes};
use tempfile::TempDir;

/// A token that must not be seen anywhere.
pub(crate) const CANARY: &str = "canary-token-5f1c";
/// An administrator beside the token, to look at what became of things.
const ADMIN: (&str, &str) = ("admin", "canary-password-77d0");

/// An emulator with a token, an administrator and a repository.
pub(crate) fn builder() -> Builder {
    Emulator::builder()
        .user(ADMIN.0, ADMIN.1)
        .token(CANARY)
        .repository("generic-local", RepositoryKind::Local)
}

/// The usual emulator.
pub(crate) async fn start() -> Emulator {
    builder().start().await.expect("the emulator starts")
}

/// The token, and few repetitions: tests are not to wait for a server that stays broken.
pub(crate) fn config() -> StoreConfig {
    StoreConfig::new().with("token", CANARY).with("retries", "2")
}

/// The store at `path` of the emulator's first repository.
pub(crate) fn open(emulator: &Emulator, path: &str, config: &StoreConfig) -> SharedStore {
    open_at(emulator, &format!("generic-local/{path}"), config)
}

/// The store at `place`, which begins with a repository.
pub(crate) fn open_at(emulator: &Emulator, place: &str, config: &StoreConfig) -> SharedStore {
    let uri = format!("artifactory://{}/artifactory/{place}", emulator.address());
    open_uri(&uri, config).expect("the URI is fine")
}

/// The store at `uri`, without TLS.
pub(crate) fn open_uri(uri: &str, config: &StoreConfig) -> Result<SharedStore> {
    let mut registry = Registry::new();
    mlflow_artifacts_artifactory::register(&mut registry)?;
    registry.open(uri, &config.clone().with("no_ssl", "true"))
}

/// The store of the emulator's token at the top of its repository.
pub(crate) fn store(emulator: &Emulator) -> SharedStore {
    open(emulator, "", &config())
}

/// The same place as its administrator sees it, whatever becomes of the token.
pub(crate) fn as_admin(emulator: &Emulator) -> SharedStore {
    open(emulator, "", &StoreConfig::new().with("user", ADMIN.0).with("password", ADMIN.1))
}

pub(crate) fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).expect("the path is fine")
}

/// A fault for one request that mentions `path`.
pub(crate) fn fault(method: &str, path: &str, effect: Effect) -> Fault {
    Fault { method: Some(method.to_owned()), path_contains: path.to_owned(), skip: 0, times: 1, effect }
}

/// The same fault for every request from the first on.
pub(crate) fn always(fault: Fault) -> Fault {
    Fault { times: u32::MAX, ..fault }
}

/// An answer in Artifactory's own form.
pub(crate) fn says(code: u16, message: &str) -> Effect {
    status(code, None, FaultBody::Json(message.to_owned()))
}

pub(crate) fn status(code: u16, retry_after: Option<&str>, body: FaultBody) -> Effect {
    Effect::Status { code, retry_after: retry_after.map(str::to_owned), body }
}

/// The ways content is handed over that differ for the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// So few bytes that nobody asks whether they are known.
    Small,
    /// Bytes in memory.
    Bytes,
    /// A local file that is not taken into memory.
    File,
    /// A stream that is not taken into memory, and cannot be sent again.
    Stream,
}

impl Form {
    pub(crate) const ALL: [Form; 4] = [Form::Small, Form::Bytes, Form::File, Form::Stream];
    pub(crate) const REPEATABLE: [Form; 3] = [Form::Small, Form::Bytes, Form::File];

    pub(crate) fn size(self) -> usize {
        if self == Form::Small { 700 } else { 3 << 20 }
    }

    /// How many requests are made before the one with the content: is it known already?
    pub(crate) fn questions(self) -> u32 {
        u32::from(matches!(self, Form::Bytes | Form::File))
    }
}

/// Content in one of its forms, and the directory that a file needs.
pub(crate) struct Content {
    pub(crate) form: Form,
    pub(crate) bytes: Bytes,
    directory: TempDir,
}

impl Content {
    /// New content for each seed.
    pub(crate) fn new(form: Form, seed: u64) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Content { form, bytes: random_bytes(seed, form.size()), directory }
    }

    pub(crate) fn body(&self) -> PutBody {
        match self.form {
            Form::Small | Form::Bytes => PutBody::Bytes(self.bytes.clone()),
            Form::File => {
                let file = self.file();
                std::fs::write(&file, &self.bytes).expect("the file is written");
                PutBody::File(file)
            }
            Form::Stream => PutBody::Stream {
                stream: chunked(&self.bytes, 100_000),
                length: Some(self.bytes.len() as u64),
            },
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("content")
    }

    pub(crate) async fn put(&self, store: &SharedStore, to: &str) -> Result<PutOutcome> {
        store.put(&path(to), self.body(), PutOptions::default()).await
    }
}

/// Everything on the server, with the content of its files.
pub(crate) async fn contents(emulator: &Emulator) -> Vec<(String, Option<Bytes>)> {
    let admin = as_admin(emulator);
    let mut contents = Vec::new();
    for item in emulator.files() {
        let below = item.strip_prefix("generic-local/").expect("there is one repository").to_owned();
        let content = match admin.get_bytes(&path(below.trim_end_matches('/'))).await {
            Ok(content) => Some(content),
            Err(error) if error.kind() == ErrorKind::IsADirectory => None,
            Err(error) => panic!("{item} cannot be read: {error}"),
        };
        contents.push((below, content));
    }
    contents
}

/// Checks that an error is of this kind, says all of this, and nothing secret.
#[track_caller]
pub(crate) fn assert_error(error: &Error, kind: ErrorKind, words: &[&str]) {
    let told = error.to_string();
    assert_eq!(error.kind(), kind, "{error:?}");
    for word in words {
        assert!(told.contains(word), "{word:?} is not in: {told}");
    }
    assert_no_secret(&format!("{told} {error:?}"));
}

#[track_caller]
pub(crate) fn assert_no_secret(text: &str) {
    assert!(!text.contains("canary"), "{text}");
}
