//! What becomes of a panic: in every class of functions it is answered as a status, and everything else goes on.
//!
//! The panics come from stores that only these tests register. A panic that left a function would end the whole test run.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use mlflow_artifacts::blocking::Context;
use mlflow_artifacts::{
    ArtifactKind, ArtifactMeta, ArtifactPath, ArtifactStore, ArtifactUri, Capabilities, ConfigKey,
    CopyOptions, DeleteOptions, Deleted, Download, GetOptions, Limits, ListOptions, MemoryFactory,
    PartReceipt, PresignRequest, Properties, PutBody, PutOptions, PutOutcome, Registry, ResolvedConfig,
    Result, SharedStore, SignedRequest, StoreFactory, StoreInfo, Upload, UploadOptions, UploadToken,
    UriPolicy,
};

use crate::context::*;
use crate::error::*;
use crate::handle::give;
use crate::list::*;
use crate::multipart::*;
use crate::objects::*;
use crate::presign::*;
use crate::queue::*;
use crate::reader::*;
use crate::status::{MLFA_E_INVALID_ARGUMENT, MLFA_E_PANIC, MLFA_OK, mlfa_status};
use crate::store::*;
use crate::task::*;
use crate::transfer::*;
use crate::writer::*;

// ---- What panics ----

/// When a store that was opened panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// In each of its methods.
    Called,
    /// In the streams and uploads that it makes.
    Continued,
    /// When it is dropped, and what it made with it.
    Dropped,
}

/// Opens the stores that panic. A reference to its token is in all that they make.
#[derive(Debug)]
struct Panicking(Arc<()>);

impl StoreFactory for Panicking {
    fn schemes(&self) -> &'static [&'static str] {
        &["panics-at-once", "panics-called", "panics-continued", "panics-dropped"]
    }

    fn keys(&self) -> &'static [ConfigKey] {
        &[]
    }

    fn open(&self, uri: &ArtifactUri, _config: &ResolvedConfig) -> Result<SharedStore> {
        let when = match uri.scheme() {
            "panics-at-once" => panic!("on purpose, in open"),
            "panics-called" => When::Called,
            "panics-continued" => When::Continued,
            _ => When::Dropped,
        };
        let info = StoreInfo { scheme: uri.scheme().to_owned(), root: uri.to_string() };
        Ok(Arc::new(PanickingStore { info, part: Part { when, _token: Arc::clone(&self.0) } }))
    }
}

/// In everything that belongs to a store.
#[derive(Clone, Debug)]
struct Part {
    when: When,
    _token: Arc<()>,
}

impl Part {
    fn called(&self, method: &str) {
        assert!(self.when != When::Called, "on purpose, in {method}");
    }

    fn continued(&self, method: &str) {
        assert!(self.when != When::Continued, "on purpose, in {method}");
    }

    /// Items that never end, or a panic in place of the first.
    fn stream<T: Send + 'static>(
        self,
        item: impl Fn() -> T + Send + 'static,
    ) -> BoxStream<'static, Result<T>> {
        let next = move || {
            self.continued("stream");
            Ok(item())
        };
        stream::repeat_with(next).boxed()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        assert!(self.when != When::Dropped || std::thread::panicking(), "on purpose, in drop");
    }
}

#[derive(Debug)]
struct PanickingStore {
    info: StoreInfo,
    part: Part,
}

const OUTCOME: PutOutcome = PutOutcome { size: 0, etag: None, digest: None };

fn meta(path: &ArtifactPath) -> ArtifactMeta {
    ArtifactMeta { kind: ArtifactKind::File, size: 8, ..ArtifactMeta::directory(path.clone()) }
}

#[async_trait]
impl ArtifactStore for PanickingStore {
    fn info(&self) -> &StoreInfo {
        &self.info
    }

    fn capabilities(&self) -> Capabilities {
        self.part.called("capabilities");
        Capabilities::empty()
    }

    fn limits(&self) -> Limits {
        self.part.called("limits");
        Limits::default()
    }

    async fn stat(&self, path: &ArtifactPath) -> Result<ArtifactMeta> {
        self.part.called("stat");
        Ok(meta(path))
    }

    async fn properties(&self, _path: &ArtifactPath) -> Result<Properties> {
        self.part.called("properties");
        Ok(Properties::new())
    }

    async fn get(&self, path: &ArtifactPath, _options: GetOptions) -> Result<Download> {
        self.part.called("get");
        let stream = self.part.clone().stream(|| Bytes::from_static(b"content!"));
        Ok(Download { meta: meta(path), range: 0..8, stream, file: None })
    }

    async fn put(&self, _path: &ArtifactPath, _body: PutBody, _options: PutOptions) -> Result<PutOutcome> {
        self.part.called("put");
        Ok(OUTCOME)
    }

    async fn create_directory(&self, _path: &ArtifactPath) -> Result<()> {
        self.part.called("create_directory");
        Ok(())
    }

    async fn begin_upload(&self, path: &ArtifactPath, _options: UploadOptions) -> Result<Box<dyn Upload>> {
        self.part.called("begin_upload");
        Ok(Box::new(PanickingUpload { part: self.part.clone(), path: path.clone() }))
    }

    async fn resume_upload(&self, token: &UploadToken) -> Result<Box<dyn Upload>> {
        self.part.called("resume_upload");
        Ok(Box::new(PanickingUpload { part: self.part.clone(), path: ArtifactPath::parse(token.as_str())? }))
    }

    fn list(
        &self,
        directory: &ArtifactPath,
        _options: ListOptions,
    ) -> BoxStream<'static, Result<ArtifactMeta>> {
        self.part.called("list");
        let entry = meta(directory);
        self.part.clone().stream(move || entry.clone())
    }

    async fn delete(&self, _path: &ArtifactPath, _options: DeleteOptions) -> Result<Deleted> {
        self.part.called("delete");
        Ok(Deleted::Absent)
    }

    async fn delete_many(&self, paths: Vec<ArtifactPath>) -> Vec<Result<Deleted>> {
        self.part.called("delete_many");
        paths.iter().map(|_| Ok(Deleted::Absent)).collect()
    }

    async fn copy(
        &self,
        _from: &ArtifactPath,
        _to: &ArtifactPath,
        _options: CopyOptions,
    ) -> Result<PutOutcome> {
        self.part.called("copy");
        Ok(OUTCOME)
    }

    async fn presign(&self, _request: PresignRequest) -> Result<SignedRequest> {
        self.part.called("presign");
        self.part.continued("presign");
        Ok(SignedRequest { method: "GET".to_owned(), url: String::new(), headers: Vec::new() })
    }

    async fn describe(&self) -> Result<Vec<(&'static str, String)>> {
        self.part.called("describe");
        Ok(Vec::new())
    }

    async fn close(&self) -> Result<()> {
        self.part.called("close");
        Ok(())
    }
}

#[derive(Debug)]
struct PanickingUpload {
    part: Part,
    path: ArtifactPath,
}

#[async_trait]
impl Upload for PanickingUpload {
    fn path(&self) -> &ArtifactPath {
        &self.path
    }

    fn part_size(&self) -> u64 {
        1
    }

    fn token(&self) -> Option<UploadToken> {
        Some(UploadToken::new(self.path.as_str()))
    }

    async fn put_part(&self, number: u32, data: Bytes) -> Result<PartReceipt> {
        self.part.continued("put_part");
        Ok(PartReceipt { number, size: data.len() as u64, etag: String::new() })
    }

    async fn complete(self: Box<Self>, _parts: Vec<PartReceipt>) -> Result<PutOutcome> {
        self.part.continued("complete");
        Ok(OUTCOME)
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.part.continued("abort");
        Ok(())
    }
}

/// Panics when it is asked, and when it is dropped.
#[derive(Debug)]
struct PanickingPolicy;

impl UriPolicy for PanickingPolicy {
    fn check(&self, _uri: &ArtifactUri) -> Result<()> {
        panic!("on purpose, in policy")
    }
}

impl Drop for PanickingPolicy {
    fn drop(&mut self) {
        panic!("on purpose, in drop")
    }
}

// ---- What must hold ----

/// What C gets by a pointer.
trait Output: Copy + PartialEq + std::fmt::Debug {
    /// What no function leaves there.
    const BEFORE: Self;
    /// What is there after a failure.
    const EMPTY: Self;
}

impl<T> Output for *mut T {
    const BEFORE: Self = std::ptr::dangling_mut();
    const EMPTY: Self = null_mut();
}

impl<T> Output for *const T {
    const BEFORE: Self = std::ptr::dangling();
    const EMPTY: Self = null();
}

impl Output for usize {
    const BEFORE: Self = 7;
    const EMPTY: Self = 0;
}

impl Output for i32 {
    const BEFORE: Self = 7;
    const EMPTY: Self = 0;
}

type ErrorOutput = *mut *mut mlfa_error;

/// What C does: calls functions, reads strings, follows its `user`.
macro_rules! c {
    ($call:expr) => {
        // SAFETY: the tests hand in live handles, writable outputs, or NULL.
        unsafe { $call }
    };
}

/// The call answers that something panicked, and an error that says so and holds `text`.
#[track_caller]
fn panics(text: &str, call: impl FnOnce(ErrorOutput) -> mlfa_status) {
    let mut error = null_mut();
    assert_eq!(call(&raw mut error), MLFA_E_PANIC, "{text}");
    assert_eq!(c!(mlfa_error_status(error)), MLFA_E_PANIC);
    let message = c!(CStr::from_ptr(mlfa_error_message(error))).to_str().unwrap();
    assert!(message.contains(text), "{message:?} without {text:?}");
    c!(mlfa_error_free(error));
}

/// The same, and the output is empty.
#[track_caller]
fn panics_without<T: Output>(text: &str, call: impl FnOnce(*mut T, ErrorOutput) -> mlfa_status) {
    let mut output = T::BEFORE;
    panics(text, |error| call(&raw mut output, error));
    assert_eq!(output, T::EMPTY);
}

/// The call begins a task, which ends in a panic.
#[track_caller]
fn ends_in_a_panic(text: &str, start: impl FnOnce(*mut *mut mlfa_task, ErrorOutput) -> mlfa_status) {
    let task = made(start);
    ok(|error| c!(mlfa_task_wait(task, SOON, error)));
    panics(text, |error| c!(mlfa_task_result(task, error)));
    panics_without(text, |meta, error| c!(mlfa_task_take_meta(task, meta, error)));
    c!(mlfa_task_free(task));
}

#[track_caller]
fn ok(call: impl FnOnce(ErrorOutput) -> mlfa_status) {
    let mut error = null_mut();
    assert_eq!((call(&raw mut error), error), (MLFA_OK, null_mut()));
}

#[track_caller]
fn made<T>(make: impl FnOnce(*mut *mut T, ErrorOutput) -> mlfa_status) -> *mut T {
    let mut handle = null_mut();
    ok(|error| make(&raw mut handle, error));
    assert!(!handle.is_null());
    handle
}

/// Calls a function and its twin that begins a task. Their arguments are the same but for the output and the error.
macro_rules! both {
    ($text:literal, $function:ident, $start:ident $arguments:tt) => {
        panics($text, |error| both!(@call $function $arguments error));
        ends_in_a_panic($text, |task, error| both!(@call $start $arguments task, error));
    };
    ($text:literal, $function:ident, $start:ident $arguments:tt with an output) => {
        panics_without($text, |output, error| both!(@call $function $arguments output, error));
        ends_in_a_panic($text, |task, error| both!(@call $start $arguments task, error));
    };
    (@call $function:ident ($($argument:expr),*) $($output:ident),*) => {
        c!($function($($argument,)* $($output),*))
    };
}

/// No task here takes as long, in milliseconds.
const SOON: u64 = 20_000;
const A: *const c_char = c"a".as_ptr();
const NUL: usize = usize::MAX;

/// A context with stores that panic, and one in memory that does not.
struct World {
    context: *mut mlfa_context,
    memory: *mut mlfa_store,
    /// Counts what the stores that panic have made and was not dropped.
    token: Arc<()>,
}

impl World {
    fn new() -> Self {
        let token = Arc::new(());
        let mut registry = Registry::new();
        registry.register(Panicking(Arc::clone(&token))).unwrap();
        registry.register(MemoryFactory).unwrap();
        let context = new_context(registry);
        World { context, memory: open(context, c"memory:"), token }
    }

    fn open(&self, when: When) -> *mut mlfa_store {
        let uri = format!("panics-{when:?}:").to_lowercase();
        open(self.context, &CString::new(uri).unwrap())
    }

    /// What has nothing to do with a panic is not touched by it, and nothing of what panicked is left.
    fn goes_on_without(self, panicked: *mut mlfa_store) {
        let data = b"content";
        let put = |error| c!(mlfa_put_bytes(self.memory, A, NUL, data.as_ptr(), data.len(), null(), error));
        ok(put);
        let task = made(|task, error| c!(mlfa_stat_start(self.memory, A, NUL, task, error)));
        assert_eq!(told_result(task), MLFA_OK);
        c!(mlfa_store_release(panicked));
        c!(mlfa_store_release(self.memory));
        c!(mlfa_context_release(self.context));
        assert_eq!(Arc::strong_count(&self.token), 1);
    }
}

fn new_context(registry: Registry) -> *mut mlfa_context {
    give(Arc::new(ContextObject::new(Context::with_workers(1).unwrap(), registry)))
}

fn try_to_open(
    context: *mut mlfa_context,
    uri: &CStr,
    store: *mut *mut mlfa_store,
    error: ErrorOutput,
) -> mlfa_status {
    c!(mlfa_store_open(context, uri.as_ptr(), NUL, null(), store, error))
}

fn open(context: *mut mlfa_context, uri: &CStr) -> *mut mlfa_store {
    made(|store, error| try_to_open(context, uri, store, error))
}

/// Has the end of a task told, and answers what its callback, which is called exactly once, found as its result. Frees the task.
fn told_result(task: *mut mlfa_task) -> mlfa_status {
    unsafe extern "C" fn tell(task: *mut mlfa_task, user: *mut c_void) {
        let told = c!(&*user.cast::<Sender<mlfa_status>>());
        told.send(c!(mlfa_task_result(task, null_mut()))).unwrap();
    }
    let (told, heard) = channel::<mlfa_status>();
    ok(|error| c!(mlfa_task_on_done(task, Some(tell), (&raw const told).cast_mut().cast(), error)));
    let result = heard.recv_timeout(Duration::from_millis(SOON)).unwrap();
    // Waits until the callback has returned.
    c!(mlfa_task_free(task));
    assert!(heard.try_recv().is_err());
    result
}

// ---- Class by class ----

#[test]
fn opening_a_store() {
    let world = World::new();
    panics_without("in open", |store, error| try_to_open(world.context, c"panics-at-once:", store, error));
    world.goes_on_without(null_mut());
}

#[test]
fn the_policy_of_a_context() {
    let mut registry = Registry::new();
    registry.register(MemoryFactory).unwrap();
    let context = new_context(registry.with_policy(PanickingPolicy));
    panics_without("in policy", |store, error| try_to_open(context, c"memory:", store, error));
    c!(mlfa_context_release(context));
}

#[test]
fn functions_that_block_and_tasks() {
    let world = World::new();
    let store = world.open(When::Called);
    let (data, mut buffer) = (b"content".as_ptr(), [0; 8]);
    let options = null::<mlfa_put_options>();
    both!("in stat", mlfa_stat, mlfa_stat_start(store, A, NUL) with an output);
    both!("in properties", mlfa_get_properties, mlfa_get_properties_start(store, A, NUL) with an output);
    both!("in get", mlfa_get_bytes, mlfa_get_bytes_start(store, A, NUL, 0, 8) with an output);
    both!("in get", mlfa_get_into, mlfa_get_into_start(store, A, NUL, 0, buffer.as_mut_ptr(), 8) with an output);
    both!("in put", mlfa_put_bytes, mlfa_put_bytes_start(store, A, NUL, data, 7, options));
    both!("in create_directory", mlfa_create_directory, mlfa_create_directory_start(store, A, NUL));
    both!("in delete", mlfa_delete, mlfa_delete_start(store, A, NUL, 0) with an output);
    both!("in copy", mlfa_copy, mlfa_copy_start(store, A, NUL, A, NUL));
    both!("in presign", mlfa_presign, mlfa_presign_start(store, A, NUL, MLFA_PRESIGN_GET, 1) with an output);
    both!("in describe", mlfa_store_describe, mlfa_store_describe_start(store) with an output);
    world.goes_on_without(store);
}

#[test]
fn functions_without_a_status() {
    let world = World::new();
    let store = world.open(When::Called);
    assert_eq!(c!(mlfa_store_capabilities(store)), 0);
    world.goes_on_without(store);
}

#[test]
fn memory_of_the_caller_is_released_once() {
    unsafe extern "C" fn release(user: *mut c_void) {
        c!(&*user.cast::<Sender<()>>()).send(()).unwrap();
    }
    let world = World::new();
    let store = world.open(When::Called);
    let data = b"content".as_ptr();
    let (told, heard) = channel::<()>();
    let user = (&raw const told).cast_mut().cast::<c_void>();
    both!(
        "in put",
        mlfa_put_owned,
        mlfa_put_owned_start(store, A, NUL, data, 7, Some(release), user, null())
    );
    world.goes_on_without(store);
    assert_eq!(heard.try_iter().count(), 2);
}

#[test]
fn a_reader_is_lost() {
    let world = World::new();
    let called = world.open(When::Called);
    both!("in get", mlfa_reader_open, mlfa_reader_open_start(called, A, NUL, 0, 8) with an output);
    c!(mlfa_store_release(called));

    let store = world.open(When::Continued);
    let mut buffer = [0; 8];
    let buffer = buffer.as_mut_ptr();
    let ways: [&dyn Fn(*mut mlfa_reader); 4] = [
        &|reader| {
            panics_without("in stream", |read, error| c!(mlfa_reader_read(reader, buffer, 8, read, error)));
        },
        &|reader| {
            ends_in_a_panic("in stream", |task, error| {
                c!(mlfa_reader_read_start(reader, buffer, 8, task, error))
            });
        },
        &|reader| {
            panics_without("in stream", |bytes, error| c!(mlfa_reader_read_chunk(reader, bytes, error)));
        },
        &|reader| {
            ends_in_a_panic("in stream", |task, error| c!(mlfa_reader_read_chunk_start(reader, task, error)));
        },
    ];
    for panic in ways {
        let reader = made(|reader, error| c!(mlfa_reader_open(store, A, NUL, 0, 8, reader, error)));
        panic(reader);
        let lost = "free it";
        panics_without(lost, |read, error| c!(mlfa_reader_read(reader, buffer, 8, read, error)));
        panics_without(lost, |task, error| c!(mlfa_reader_read_start(reader, buffer, 8, task, error)));
        panics_without(lost, |bytes, error| c!(mlfa_reader_read_chunk(reader, bytes, error)));
        panics(lost, |error| c!(mlfa_reader_seek(reader, 0, error)));
        c!(mlfa_reader_free(reader));
    }
    world.goes_on_without(store);
}

#[test]
fn a_listing_is_lost() {
    let world = World::new();
    let called = world.open(When::Called);
    panics_without("in list", |list, error| c!(mlfa_list_open(called, A, NUL, 0, list, error)));
    c!(mlfa_store_release(called));

    let store = world.open(When::Continued);
    let ways: [&dyn Fn(*mut mlfa_list); 4] = [
        &|list| panics_without("in stream", |entry, error| c!(mlfa_list_next(list, entry, error))),
        &|list| ends_in_a_panic("in stream", |task, error| c!(mlfa_list_next_start(list, task, error))),
        &|list| {
            panics_without("in stream", |entries, error| c!(mlfa_list_next_batch(list, 2, entries, error)));
        },
        &|list| {
            ends_in_a_panic("in stream", |task, error| c!(mlfa_list_next_batch_start(list, 2, task, error)));
        },
    ];
    for panic in ways {
        let list = made(|list, error| c!(mlfa_list_open(store, A, NUL, 0, list, error)));
        panic(list);
        panics_without("free it", |entry, error| c!(mlfa_list_next(list, entry, error)));
        panics_without("free it", |entries, error| c!(mlfa_list_next_batch(list, 2, entries, error)));
        c!(mlfa_list_free(list));
    }
    world.goes_on_without(store);
}

#[test]
fn a_writer_fails_with_it_until_it_is_aborted() {
    let world = World::new();
    let store = world.open(When::Called);
    // More than waits for a store.
    let much = vec![0; 4 << 20];
    let (data, size) = (much.as_ptr(), much.len());
    let ways: [&dyn Fn(*mut mlfa_writer); 6] = [
        &|writer| panics("in put", |error| c!(mlfa_writer_write(writer, data, size, error))),
        &|writer| {
            ends_in_a_panic("in put", |task, error| {
                c!(mlfa_writer_write_start(writer, data, size, task, error))
            });
        },
        &|writer| panics_without("in put", |meta, error| c!(mlfa_writer_finish(writer, meta, error))),
        &|writer| ends_in_a_panic("in put", |task, error| c!(mlfa_writer_finish_start(writer, task, error))),
        &|writer| ok(|error| c!(mlfa_writer_write(writer, data, 1, error))),
        &|_| {},
    ];
    for write in ways {
        let open =
            |writer, error| c!(mlfa_writer_open(store, A, NUL, MLFA_LENGTH_UNKNOWN, null(), writer, error));
        let writer = made(open);
        write(writer);
        panics_without("in put", |meta, error| c!(mlfa_writer_finish(writer, meta, error)));
        panics("in put", |error| c!(mlfa_writer_write(writer, data, 1, error)));
        panics("in put", |error| c!(mlfa_writer_write_owned(writer, data, 1, None, null_mut(), error)));
        ok(|error| c!(mlfa_writer_abort(writer, error)));
        c!(mlfa_writer_free(writer));
    }
    world.goes_on_without(store);
}

#[test]
fn an_upload_in_parts() {
    let world = World::new();
    let called = world.open(When::Called);
    both!("in begin_upload", mlfa_multipart_create, mlfa_multipart_create_start(called, A, NUL, 1, 0, null()) with an output);
    both!("in resume_upload", mlfa_multipart_resume, mlfa_multipart_resume_start(called, A, NUL, A, NUL) with an output);
    c!(mlfa_store_release(called));

    let store = world.open(When::Continued);
    let create = |upload, error| c!(mlfa_multipart_create(store, A, NUL, 1, 0, null(), upload, error));
    let data = b"1".as_ptr();
    let ways: [&dyn Fn(*mut mlfa_multipart); 4] = [
        &|upload| {
            panics_without("in complete", |meta, error| c!(mlfa_multipart_complete(upload, meta, error)));
        },
        &|upload| {
            ends_in_a_panic("in complete", |task, error| {
                c!(mlfa_multipart_complete_start(upload, task, error))
            });
        },
        &|upload| panics("in abort", |error| c!(mlfa_multipart_abort(upload, error))),
        &|upload| {
            ends_in_a_panic("in abort", |task, error| c!(mlfa_multipart_abort_start(upload, task, error)));
        },
    ];
    for end in ways {
        let upload = made(create);
        // The upload goes on after a part that panicked, and ends with what completes or aborts it, however that ends.
        both!("in put_part", mlfa_multipart_put_part, mlfa_multipart_put_part_start(upload, 1, data, 1) with an output);
        both!("in presign", mlfa_multipart_presign_part, mlfa_multipart_presign_part_start(upload, 1, 1) with an output);
        ok(|error| c!(mlfa_multipart_add_part(upload, 1, 1, A, NUL, error)));
        end(upload);
        let after = c!(mlfa_multipart_complete(upload, null_mut(), null_mut()));
        assert_eq!(after, MLFA_E_INVALID_ARGUMENT);
        c!(mlfa_multipart_release(upload));
    }
    world.goes_on_without(store);
}

/// Counts its calls in `user`.
unsafe extern "C" fn count(_progress: *const mlfa_progress, user: *mut c_void) -> i32 {
    c!(&*user.cast::<Sender<()>>()).send(()).unwrap();
    0
}

/// A directory with one file, their names, and that of one that is not there.
fn local_files() -> (tempfile::TempDir, [CString; 3]) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "content").unwrap();
    let name = |path: &std::path::Path| CString::new(path.to_str().unwrap()).unwrap();
    let names = [directory.path(), &directory.path().join("file"), &directory.path().join("new")].map(name);
    (directory, names)
}

#[test]
fn transfers_with_a_callback_for_progress() {
    let world = World::new();
    let store = world.open(When::Called);
    let (directory, [tree, file, new]) = local_files();
    let (tree, file, new) = (tree.as_ptr(), file.as_ptr(), new.as_ptr());
    let (told, heard) = channel::<()>();
    let user = (&raw const told).cast_mut().cast::<c_void>();
    // SAFETY: valid with every bit zero.
    let mut options: mlfa_transfer_options = unsafe { std::mem::zeroed() };
    options.struct_size = u32::try_from(size_of::<mlfa_transfer_options>()).unwrap();
    options.progress = Some(count);
    options.user = user;
    // Told once: at the end.
    options.progress_interval_ms = u32::MAX;
    let options = &raw const options;
    both!("on purpose", mlfa_upload_file, mlfa_upload_file_start(store, file, NUL, A, NUL, options));
    both!("on purpose", mlfa_download_file, mlfa_download_file_start(store, A, NUL, new, NUL, options));
    both!("on purpose", mlfa_upload_tree, mlfa_upload_tree_start(store, tree, NUL, A, NUL, options) with an output);
    both!("on purpose", mlfa_download_tree, mlfa_download_tree_start(store, A, NUL, new, NUL, options) with an output);
    world.goes_on_without(store);
    assert_eq!(heard.try_iter().count(), 8);
    // Nothing of what was not fetched stays.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn callbacks_and_queues_are_told() {
    let world = World::new();
    let store = world.open(When::Called);
    let start = |task, error| c!(mlfa_stat_start(store, A, NUL, task, error));
    let task = made(start);
    assert_eq!(told_result(task), MLFA_E_PANIC);

    let queue = made(|queue, error| c!(mlfa_queue_new(queue, error)));
    let (task, mut tag) = (made(start), 0);
    ok(|error| c!(mlfa_task_submit_to(task, queue, 5, error)));
    let next = made(|task, error| c!(mlfa_queue_next(queue, SOON, &raw mut tag, task, error)));
    assert_eq!((next, tag), (task, 5));
    panics("in stat", |error| c!(mlfa_task_result(task, error)));
    c!(mlfa_task_free(task));
    c!(mlfa_queue_free(queue));
    world.goes_on_without(store);
}

#[test]
fn functions_that_free() {
    let world = World::new();
    let store = world.open(When::Dropped);
    let list = made(|list, error| c!(mlfa_list_open(store, A, NUL, 0, list, error)));
    c!(mlfa_list_free(list));
    let reader = made(|reader, error| c!(mlfa_reader_open(store, A, NUL, 0, 8, reader, error)));
    c!(mlfa_reader_free(reader));
    let create = |upload, error| c!(mlfa_multipart_create(store, A, NUL, 1, 0, null(), upload, error));
    let upload = made(create);
    c!(mlfa_multipart_release(upload));
    // With the reader that nobody took.
    let task = made(|task, error| c!(mlfa_reader_open_start(store, A, NUL, 0, 8, task, error)));
    ok(|error| c!(mlfa_task_wait(task, SOON, error)));
    c!(mlfa_task_free(task));
    // Also in a queue.
    let queue = made(|queue, error| c!(mlfa_queue_new(queue, error)));
    let task = made(|task, error| c!(mlfa_reader_open_start(store, A, NUL, 0, 8, task, error)));
    ok(|error| c!(mlfa_task_wait(task, SOON, error)));
    ok(|error| c!(mlfa_task_submit_to(task, queue, 0, error)));
    c!(mlfa_queue_free(queue));
    world.goes_on_without(store);
}
