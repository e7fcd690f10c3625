//! Proves that the suite can fail: stores with one defect each, and the case that must catch it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _, TryFutureExt as _};
use mlflow_artifacts_core::{
    ArtifactKind, ArtifactMeta, ArtifactPath, ArtifactStore, ArtifactStoreExt as _, ByteRange, Capabilities,
    CopyOptions, DeleteOptions, Deleted, Download, Error, ErrorKind, GetOptions, Limits, ListOptions,
    MemoryStore, PartReceipt, PresignRequest, Properties, PutBody, PutMode, PutOptions, PutOutcome, Result,
    SignedRequest, StoreInfo, Upload, UploadOptions, UploadToken,
};

use crate::{Deviation, Place, StoreUnderTest, conformance, quietly, run, suite};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    None,
    AbsentIsAnError,
    ClaimsLess,
    CreateNewOverwrites,
    DebugTellsTheSecret,
    DecodesNames,
    DeletesByPrefix,
    DirectoriesComeLast,
    EtagIsTheSize,
    FailedPutKeepsWhatCame,
    FailureDeletesTheOld,
    FilesListThemselves,
    IgnoresDigests,
    IgnoresIfMatch,
    IgnoresTheObserver,
    ListsBeforeItIsPolled,
    ListsNothing,
    ListsRelativePaths,
    ListsTemporaries,
    ListsUnsorted,
    MixesContents,
    NamelessErrors,
    OneByteShort,
    PartsShowEarly,
    SortsReceipts,
    TrimsNames,
}

const SECRET: &str = "canary-5f2c";
/// Far more than a case takes. What is to be waited for in vain takes a part of it.
const TIME_LIMIT: Duration = Duration::from_mins(1);

#[derive(Debug)]
struct Mutant {
    inner: Arc<MemoryStore>,
    defect: Defect,
    /// Shown by `Debug`.
    _note: &'static str,
}

impl Mutant {
    fn has(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    /// What the mutant makes of a path.
    fn path(&self, path: &ArtifactPath) -> ArtifactPath {
        let text = match self.defect {
            Defect::DecodesNames => path.as_str().replace("%20", " ").replace('+', " "),
            Defect::TrimsNames => path.segments().map(str::trim_end).collect::<Vec<_>>().join("/"),
            _ => return path.clone(),
        };
        ArtifactPath::parse(&text).unwrap_or_else(|_| path.clone())
    }
}

#[async_trait]
impl ArtifactStore for Mutant {
    fn info(&self) -> &StoreInfo {
        self.inner.info()
    }

    fn capabilities(&self) -> Capabilities {
        let removed = if self.has(Defect::ClaimsLess) { Capabilities::RANGE } else { Capabilities::empty() };
        self.inner.capabilities() - removed
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn stat(&self, path: &ArtifactPath) -> Result<ArtifactMeta> {
        let mut meta = self.inner.stat(&self.path(path)).await.map_err(|error| match self.defect {
            Defect::NamelessErrors => Error::new(error.kind(), error.message()),
            _ => error,
        })?;
        if self.has(Defect::EtagIsTheSize) {
            meta.etag = meta.etag.map(|_| meta.size.to_string());
        }
        meta.path = path.clone();
        Ok(meta)
    }

    async fn properties(&self, path: &ArtifactPath) -> Result<Properties> {
        self.inner.properties(&self.path(path)).await
    }

    async fn get(&self, path: &ArtifactPath, mut options: GetOptions) -> Result<Download> {
        if self.has(Defect::IgnoresIfMatch) {
            options.if_match = None;
        }
        if self.has(Defect::IgnoresDigests) {
            options.digest = None;
        }
        let (range, at) = (options.range, self.path(path));
        let mut download = self.inner.get(&at, options).await?;
        if self.has(Defect::OneByteShort) && range == ByteRange::Full && download.meta.size > 65_536 {
            let bytes = download.bytes().await?;
            let meta = self.inner.stat(&at).await?;
            let cut = bytes.slice(..bytes.len() - 1);
            let stream = stream::once(async move { Ok(cut) }).boxed();
            return Ok(Download { range: 0..meta.size, meta, stream, file: None });
        }
        if self.has(Defect::MixesContents) {
            // Looks the content up again for the second half.
            let (inner, half) = (Arc::clone(&self.inner), download.meta.size / 2);
            if half > 0 && range == ByteRange::Full {
                let part = |range| GetOptions { range, ..GetOptions::default() };
                let first = self.inner.get(&at, part(ByteRange::Between(0, half))).await?.stream;
                let second = async move { Ok(inner.get(&at, part(ByteRange::From(half))).await?.stream) };
                download.stream = first.chain(second.try_flatten_stream()).boxed();
            }
        }
        Ok(download)
    }

    async fn put(&self, path: &ArtifactPath, body: PutBody, mut options: PutOptions) -> Result<PutOutcome> {
        let path = &self.path(path);
        match self.defect {
            Defect::IgnoresDigests => options.digest = None,
            Defect::IgnoresTheObserver => options.observer = None,
            Defect::CreateNewOverwrites => options.mode = PutMode::Overwrite,
            Defect::FailureDeletesTheOld => {
                let old = self.inner.stat(path).await.is_ok_and(|meta| meta.kind == ArtifactKind::File);
                if old && options.mode == PutMode::Overwrite {
                    self.inner.delete_tree(path).await?;
                }
            }
            Defect::FailedPutKeepsWhatCame => {
                if let PutBody::Stream { mut stream, .. } = body {
                    let mut content = Vec::new();
                    while let Some(chunk) = stream.next().await {
                        match chunk {
                            Ok(chunk) => content.extend_from_slice(&chunk),
                            Err(error) => {
                                self.inner.put_bytes(path, content.into()).await?;
                                return Err(error);
                            }
                        }
                    }
                    return self.inner.put(path, PutBody::Bytes(content.into()), options).await;
                }
            }
            Defect::ListsTemporaries => {
                let temporary = ArtifactPath::parse(&format!("{path}.temporary"))?;
                self.inner.put_bytes(&temporary, Bytes::new()).await?;
                let outcome = self.inner.put(path, body, options).await;
                self.inner.delete_tree(&temporary).await?;
                return outcome;
            }
            _ => {}
        }
        self.inner.put(path, body, options).await
    }

    async fn create_directory(&self, path: &ArtifactPath) -> Result<()> {
        self.inner.create_directory(path).await
    }

    async fn begin_upload(&self, path: &ArtifactPath, options: UploadOptions) -> Result<Box<dyn Upload>> {
        if self.has(Defect::PartsShowEarly) {
            self.inner.put_bytes(path, Bytes::new()).await?;
        }
        let upload = self.inner.begin_upload(path, options).await?;
        if self.has(Defect::SortsReceipts) {
            return Ok(Box::new(SortingUpload(upload)));
        }
        Ok(upload)
    }

    async fn resume_upload(&self, token: &UploadToken) -> Result<Box<dyn Upload>> {
        self.inner.resume_upload(token).await
    }

    fn list(
        &self,
        directory: &ArtifactPath,
        options: ListOptions,
    ) -> BoxStream<'static, Result<ArtifactMeta>> {
        let (inner, directory, defect) = (Arc::clone(&self.inner), directory.clone(), self.defect);
        let entries = async move {
            let mut entries = inner.list_all(&directory, options).await?;
            match defect {
                Defect::ListsNothing => entries.clear(),
                Defect::ListsUnsorted => entries.reverse(),
                Defect::DirectoriesComeLast => entries.sort_by_key(ArtifactMeta::is_directory),
                Defect::ListsRelativePaths => {
                    for entry in &mut entries {
                        entry.path = entry.path.strip_prefix(&directory).unwrap_or_else(ArtifactPath::root);
                    }
                }
                Defect::FilesListThemselves if entries.is_empty() => {
                    let file = inner.stat(&directory).await.ok();
                    entries.extend(file.filter(|meta| !meta.is_directory()));
                }
                _ => {}
            }
            Ok(stream::iter(entries.into_iter().map(Ok)))
        };
        if self.has(Defect::ListsBeforeItIsPolled) {
            let entries = entries.now_or_never().expect("the memory store is always ready");
            return async { entries }.try_flatten_stream().boxed();
        }
        entries.try_flatten_stream().boxed()
    }

    async fn delete(&self, path: &ArtifactPath, options: DeleteOptions) -> Result<Deleted> {
        let path = &self.path(path);
        if self.has(Defect::DeletesByPrefix) && options.recursive {
            for entry in self.inner.list_all(&ArtifactPath::root(), ListOptions { recursive: true }).await? {
                if entry.path.as_str().starts_with(path.as_str()) && entry.path != *path {
                    self.inner.delete_tree(&entry.path).await?;
                }
            }
        }
        match self.inner.delete(path, options).await? {
            Deleted::Absent if self.has(Defect::AbsentIsAnError) => {
                Err(Error::new(ErrorKind::NotFound, "there is nothing to delete"))
            }
            deleted => Ok(deleted),
        }
    }

    async fn delete_many(&self, paths: Vec<ArtifactPath>) -> Vec<Result<Deleted>> {
        self.inner.delete_many(paths).await
    }

    async fn copy(&self, from: &ArtifactPath, to: &ArtifactPath, options: CopyOptions) -> Result<PutOutcome> {
        self.inner.copy(from, to, options).await
    }

    async fn presign(&self, request: PresignRequest) -> Result<SignedRequest> {
        self.inner.presign(request).await
    }

    async fn describe(&self) -> Result<Vec<(&'static str, String)>> {
        self.inner.describe().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

/// Completes with whatever receipts it gets.
#[derive(Debug)]
struct SortingUpload(Box<dyn Upload>);

#[async_trait]
impl Upload for SortingUpload {
    fn path(&self) -> &ArtifactPath {
        self.0.path()
    }

    fn part_size(&self) -> u64 {
        self.0.part_size()
    }

    fn token(&self) -> Option<UploadToken> {
        self.0.token()
    }

    async fn put_part(&self, number: u32, data: Bytes) -> Result<PartReceipt> {
        self.0.put_part(number, data).await
    }

    async fn complete(self: Box<Self>, mut parts: Vec<PartReceipt>) -> Result<PutOutcome> {
        parts.sort_by_key(|part| part.number);
        self.0.complete(parts).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.0.abort().await
    }
}

fn subject(defect: Defect) -> StoreUnderTest {
    let claims = Capabilities::all() - Capabilities::PRESIGN;
    StoreUnderTest::new("mutant", claims, async move || {
        let note = if defect == Defect::DebugTellsTheSecret { SECRET } else { "" };
        let inner = Arc::new(MemoryStore::new());
        Place::of_one_handle(Arc::new(Mutant { inner, defect, _note: note }))
    })
    .canary(SECRET)
    .crowd(100)
    .time_limit(TIME_LIMIT)
}

fn passes(defect: Defect, name: &str) -> bool {
    let cases = suite::cases();
    let case = cases.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("no case {name}"));
    quietly(|| run(&subject(defect), case)).is_ok()
}

#[test]
fn every_defect_is_caught() {
    let table = [
        (Defect::AbsentIsAnError, "delete::what_is_absent_is_no_error"),
        (Defect::ClaimsLess, "contract::the_capabilities_are_the_expected_ones"),
        (Defect::CreateNewOverwrites, "write::of_two_creators_one_wins"),
        (Defect::DebugTellsTheSecret, "contract::nothing_that_is_printed_holds_a_secret"),
        (Defect::DecodesNames, "names::an_encoded_name_is_another_name"),
        (Defect::DeletesByPrefix, "delete::foo_never_touches_foobar"),
        (Defect::DirectoriesComeLast, "list::a_recursive_listing_is_complete_and_in_order"),
        (Defect::EtagIsTheSize, "stat::an_etag_changes_with_the_content"),
        (Defect::FailedPutKeepsWhatCame, "write::a_stream_that_fails_leaves_nothing"),
        (Defect::FailureDeletesTheOld, "write::a_wrong_digest_leaves_nothing"),
        (Defect::FailureDeletesTheOld, "write::dropping_it_midway_keeps_the_old_content"),
        (Defect::FailureDeletesTheOld, "concurrency::a_reader_sees_old_or_new_and_never_a_mix"),
        (Defect::FilesListThemselves, "list::a_file_is_empty"),
        (Defect::IgnoresDigests, "write::a_wrong_digest_leaves_nothing"),
        (Defect::IgnoresDigests, "read::a_wrong_digest_ends_the_download_with_an_error"),
        (Defect::IgnoresIfMatch, "read::an_old_etag_is_refused"),
        (Defect::IgnoresTheObserver, "write::the_observer_can_stop_it"),
        (Defect::ListsBeforeItIsPolled, "list::nothing_happens_before_it_is_polled"),
        (Defect::ListsNothing, "list::children_are_the_next_level"),
        (Defect::ListsRelativePaths, "list::paths_are_relative_to_the_root"),
        (Defect::ListsTemporaries, "concurrency::a_listing_shows_only_what_is_complete"),
        (Defect::ListsTemporaries, "write::nothing_is_visible_before_the_end"),
        (Defect::ListsUnsorted, "list::children_are_sorted_by_code_point"),
        (Defect::MixesContents, "concurrency::an_open_download_survives_a_replacement"),
        (Defect::NamelessErrors, "contract::errors_name_the_operation_and_the_path"),
        (Defect::OneByteShort, "read::a_file_is_read_whole"),
        (Defect::PartsShowEarly, "parts::nothing_is_visible_before_the_end"),
        (Defect::SortsReceipts, "parts::wrong_receipts_are_refused_and_leave_nothing"),
        (Defect::TrimsNames, "names::space_last"),
    ];
    for (defect, case) in table {
        assert!(passes(Defect::None, case), "{case} fails without a defect");
        // A reader that is to see a gap may be elsewhere while it is open.
        let attempts = if case.starts_with("concurrency::") { 50 } else { 1 };
        assert!((0..attempts).any(|_| !passes(defect, case)), "{case} does not catch {defect:?}");
    }
}

/// What the suite says of a deviation: a name nobody knows and one that passes are failures.
#[test]
fn deviations_never_rot() {
    let deviations = &[
        Deviation { case: "list::a_file_is_empty", reason: "it lists itself" },
        Deviation { case: "list::an_empty_store_is_empty", reason: "fixed since" },
        Deviation { case: "list::no_such_case", reason: "" },
    ];
    let trials = conformance(subject(Defect::FilesListThemselves).deviations(deviations));
    // Their output would look like failures of this test.
    let only = |filter: &str| libtest_mimic::Arguments {
        filter: Some(filter.to_owned()),
        logfile: Some("/dev/null".to_owned()),
        ..libtest_mimic::Arguments::default()
    };
    let count = trials.len();
    assert_eq!(count, suite::cases().len() + 1);
    assert_eq!(trials.iter().filter(|trial| trial.kind() == "deviation").count(), 2);
    assert_eq!(trials.iter().filter(|trial| trial.kind() == "unsupported").count(), 1);
    assert_eq!(libtest_mimic::run(&only("every_deviation_names_a_case"), trials).num_failed, 1);
    let trials = conformance(subject(Defect::FilesListThemselves).races(&deviations[..1]));
    assert_eq!(libtest_mimic::run(&only("list::a_file_is_empty"), trials).num_failed, 0);
    for (case, failures) in [("a_file_is_empty", 0), ("an_empty_store_is_empty", 1)] {
        let trials = conformance(subject(Defect::FilesListThemselves).deviations(deviations));
        assert_eq!(
            libtest_mimic::run(&only(&format!("list::{case}")), trials).num_failed,
            failures,
            "{case}"
        );
    }
}

/// A store that claims nothing but refuses nothing fails every probe.
#[test]
fn what_is_not_claimed_must_be_refused() {
    let probed: Vec<_> = suite::cases().into_iter().filter(|case| !case.needs.is_empty()).collect();
    let mut nothing = subject(Defect::None);
    nothing.claims = Capabilities::empty();
    let mut seen = Capabilities::empty();
    for case in probed.iter().filter(|case| !case.needs.intersects(Capabilities::PRESIGN)) {
        // One probe for each set of capabilities is enough.
        if !seen.contains(case.needs) && case.needs != Capabilities::SHA256 {
            seen |= case.needs;
            assert!(run(&nothing, case).is_err(), "{} passes", case.name);
        }
    }
}

/// Names that are really there but not listed are found.
#[test]
fn hidden_leftovers_are_found() {
    let leaves = |left: bool| {
        StoreUnderTest::new("messy", Capabilities::all() - Capabilities::PRESIGN, async move || {
            let names = if left { vec![".temporary".to_owned()] } else { Vec::new() };
            Place::of_one_handle(Arc::new(MemoryStore::new())).inspected_by(async move || names.clone())
        })
        .time_limit(TIME_LIMIT)
    };
    let cases = suite::cases();
    let name = "write::a_failed_put_leaves_no_new_directory";
    let case = cases.iter().find(|case| case.name == name).expect("the case exists");
    assert!(run(&leaves(false), case).is_ok());
    let message = run(&leaves(true), case).expect_err("something is left behind");
    assert!(message.contains(".temporary"), "{message}");
}
