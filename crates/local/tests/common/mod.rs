//! What the tests of the local store share.
#![allow(dead_code)] // Not every test file uses everything.
#![allow(clippy::unwrap_used)] // A test may panic.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::Permissions;
use std::future::Future;
use std::io::BufRead as _;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactPath, ArtifactStoreExt as _, Error, ErrorKind, ListOptions, Observer, PutBody, PutOptions, Result,
};
use mlflow_artifacts_local::{Fsync, LocalStore};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Nothing here takes long: whoever waits for so long waits for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store and a directory beside it that is none of its business.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) store: Arc<LocalStore>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("store")).unwrap();
        let store = LocalStore::new(directory.path().join("store"), Fsync::Never).unwrap();
        Place { directory, store: Arc::new(store) }
    }

    /// The place of `name` below the root, whose parents are made.
    pub(crate) fn below(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join("store").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.below(name), content).unwrap();
    }

    pub(crate) fn link(&self, name: &str, target: impl AsRef<Path>) {
        std::os::unix::fs::symlink(target, self.below(name)).unwrap();
    }

    /// Everything on the disk below the root, hidden or not.
    pub(crate) fn on_disk(&self) -> Vec<String> {
        snapshot(&self.directory.path().join("store")).into_keys().collect()
    }

    pub(crate) async fn listed(&self, directory: &str) -> Vec<String> {
        let found = self.store.list_all(&path(directory), ListOptions { recursive: true }).await.unwrap();
        found.iter().map(|meta| meta.path.to_string()).collect()
    }

    pub(crate) async fn content(&self, name: &str) -> Bytes {
        self.store.get_bytes(&path(name)).await.unwrap()
    }
}

pub(crate) fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).unwrap()
}

pub(crate) fn kind<T: Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Everything below `directory` with all that a write would change: type, mode, inode, size, time, content.
pub(crate) fn snapshot(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    collect(directory, directory, &mut found);
    found
}

fn collect(top: &Path, directory: &Path, found: &mut BTreeMap<String, String>) {
    // What vanishes while it is looked at is not there.
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(top).unwrap().to_string_lossy().into_owned();
        let Ok(metadata) = path.symlink_metadata() else { continue };
        let content = metadata.is_file().then(|| std::fs::read(&path).ok());
        let state = (metadata.mode(), metadata.ino(), metadata.size(), metadata.mtime_nsec(), content);
        found.insert(name, format!("{state:?}"));
        if metadata.is_dir() {
            collect(top, &path, found);
        }
    }
}

pub(crate) fn is_temporary(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap();
    name.starts_with(".mlflow-artifacts.") && Path::new(name).extension().is_some_and(|end| end == "part")
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Awaits what must not hang. A thread that blocks would keep the runtime from ending: the process ends instead.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    if let Ok(answer) = tokio::time::timeout(PATIENCE, future).await {
        return answer;
    }
    eprintln!("it hangs: {}", std::backtrace::Backtrace::force_capture());
    std::process::exit(101)
}

/// Polls until `condition` holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A body whose chunks come when they are sent; it ends when the sender is dropped.
pub(crate) fn slow_body(length: Option<u64>) -> (mpsc::UnboundedSender<Result<Bytes>>, PutBody) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let next = |mut receiver: mpsc::UnboundedReceiver<_>| async { Some((receiver.recv().await?, receiver)) };
    (sender, PutBody::Stream { stream: stream::unfold(receiver, next).boxed(), length })
}

/// Stops a put after so many bytes.
#[derive(Debug)]
pub(crate) struct StopAfter(AtomicU64);

impl StopAfter {
    pub(crate) fn options(bytes: u64) -> PutOptions {
        PutOptions { observer: Some(Arc::new(StopAfter(AtomicU64::new(bytes)))), ..PutOptions::default() }
    }
}

impl Observer for StopAfter {
    fn advance(&self, bytes: u64) -> ControlFlow<()> {
        let left = self.0.load(Ordering::Relaxed).saturating_sub(bytes);
        self.0.store(left, Ordering::Relaxed);
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

pub(crate) fn broken() -> Error {
    Error::new(ErrorKind::Connection, "the source hung up")
}

const CHILD: &str = "MLFLOW_ARTIFACTS_TEST_CHILD";

/// What [`rerun`] or [`start`] told this process, if it is one that they started.
pub(crate) fn told() -> Option<String> {
    std::env::var(CHILD).ok()
}

fn again(launcher: &[&str], test: &str, tell: &str) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut words = launcher.iter().copied().chain([this.to_str().unwrap()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, tell);
    command
}

/// Runs `test` again in a process of its own, behind `launcher`. It must pass there.
pub(crate) fn rerun(launcher: &[&str], test: &str) {
    let output = again(launcher, test, "").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{launcher:?} {test}:\n{out}\n{err}");
}

/// Starts `test` in a process of its own, which is killed when the answer is dropped.
pub(crate) fn start(test: &str, tell: &str) -> Started {
    Started(again(&[], test, tell).stdout(Stdio::piped()).spawn().unwrap())
}

pub(crate) struct Started(Child);

impl Started {
    /// The next line that the process says with `prefix`.
    pub(crate) fn line(&mut self, prefix: &str) -> String {
        let lines = std::io::BufReader::new(self.0.stdout.take().unwrap()).lines();
        let found = lines.map_while(std::io::Result::ok).find_map(|line| {
            // The harness may have begun the line.
            line.split_once(prefix).map(|(_, rest)| rest.to_owned())
        });
        found.unwrap()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Whether permission bits bind this process. If not (root), runs `test` again in one that they bind.
pub(crate) fn bound_by_permissions(test: &str) -> bool {
    if told().is_some() || !is_root() {
        return true;
    }
    // A user of its own could not reach the test binary everywhere: root without these is bound as well.
    rerun(&["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"], test);
    false
}

/// Whether this process may mount. If not, runs `test` again in one that may, with mounts of its own.
pub(crate) fn may_mount(test: &str) -> bool {
    if told().is_some() {
        return true;
    }
    rerun(&["unshare", if is_root() { "-m" } else { "-rm" }, "--"], test);
    false
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &[&str]) {
    let status = Command::new(command[0]).args(&command[1..]).status().unwrap();
    assert!(status.success(), "{command:?}");
}
