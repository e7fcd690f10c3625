//! `object_store`'s own tests over artifact stores, and what they do not ask.

#![allow(clippy::unwrap_used, reason = "test code panics to fail a test")]

mod limited;

use std::any::Any;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use artifactory_emulator::{Emulator, RepositoryKind};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactPath, Capabilities, ErrorKind, MemoryStore, Properties, PutBody, Registry, SharedStore,
    StoreConfig,
};
use mlflow_artifacts_local::{Fsync, LocalStore};
use mlflow_artifacts_object_store::AsObjectStore;
use object_store::multipart::MultipartStore as _;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, CopyMode, CopyOptions, Error, GetOptions, GetRange, MultipartUpload, ObjectStore,
    ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, RenameOptions, RenameTargetMode, TagSet,
    UpdateVersion, WriteMultipart, integration as theirs,
};

use limited::Limited;

const CANARY: &str = "canary-token-5f1c";

/// A store as objects, and as what it is.
struct Subject {
    objects: AsObjectStore,
    store: SharedStore,
    /// Where it keeps its files, if it does.
    directory: Option<PathBuf>,
    _keeps: Box<dyn Any>,
}

impl Subject {
    fn new(store: SharedStore, keeps: impl Any) -> Self {
        let objects = AsObjectStore::new(Arc::clone(&store));
        Subject { objects, store, directory: None, _keeps: Box::new(keeps) }
    }

    fn can(&self, capability: Capabilities) -> bool {
        self.store.capabilities().contains(capability)
    }

    async fn put(&self, location: &str) {
        self.objects.put(&path(location), "content".into()).await.unwrap();
    }

    async fn names(&self) -> Vec<String> {
        let found: Vec<_> =
            self.objects.list(None).map_ok(|found| found.location).try_collect().await.unwrap();
        let mut names: Vec<_> = found.iter().map(Path::to_string).collect();
        names.sort();
        names
    }

    /// Whatever is in the directory, hidden files too.
    fn is_clean(&self) -> bool {
        self.directory.as_ref().is_none_or(|root| std::fs::read_dir(root).unwrap().next().is_none())
    }
}

async fn memory() -> Subject {
    Subject::new(Arc::new(MemoryStore::new()), ())
}

async fn local() -> Subject {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_owned();
    let store = LocalStore::new(&root, Fsync::Never).unwrap();
    Subject { directory: Some(root), ..Subject::new(Arc::new(store), directory) }
}

async fn artifactory() -> Subject {
    let builder = Emulator::builder().token(CANARY).repository("generic-local", RepositoryKind::Local);
    let emulator = builder.start().await.unwrap();
    let mut registry = Registry::new();
    mlflow_artifacts_artifactory::register(&mut registry).unwrap();
    let uri = format!("artifactory://{}/artifactory/generic-local/root", emulator.address());
    let config = StoreConfig::new().with("token", CANARY).with("no_ssl", "true");
    Subject::new(registry.open(&uri, &config).unwrap(), emulator)
}

/// A store that can do nothing but what every one can, and read parts: as FTP.
async fn plain() -> Subject {
    let kept = Capabilities::DIRECTORIES | Capabilities::RANGE | Capabilities::PROPERTIES;
    Subject::new(Limited::shared(Arc::new(MemoryStore::new()), kept), ())
}

/// One test for each case and store, each over a fresh place.
macro_rules! cases {
    ($($case:ident: $($subject:ident)+;)+) => { $(mod $case { $(
        #[tokio::test]
        async fn $subject() {
            super::limit(super::case::$case(super::$subject().await)).await;
        }
    )+ })+ };
}

async fn limit(case: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_mins(1), case).await.expect("the case ends");
}

cases! {
    objects_are_put_read_listed_and_deleted: memory local artifactory plain;
    conditions_of_reads_are_kept: memory local artifactory;
    conditions_about_unknown_times_are_refused: plain;
    directories_are_transparent: memory local artifactory plain;
    listings_stop_at_slashes: memory local artifactory plain;
    listings_begin_after_an_offset: memory local artifactory plain;
    objects_are_renamed_and_copied: memory local artifactory plain;
    what_is_absent_is_not_found: memory local artifactory plain;
    attributes_and_versions_are_refused: memory local artifactory plain;
    tags_are_ignored: memory local artifactory plain;
    uploads_are_whole: memory local artifactory plain;
    parts_are_awaited_in_any_order: memory local artifactory plain;
    the_last_of_two_uploads_wins: memory local artifactory plain;
    uploads_are_cut_as_the_store_wants: memory local;
    an_upload_that_is_given_up_leaves_nothing: memory local artifactory plain;
    an_upload_that_is_dropped_leaves_nothing: memory local artifactory plain;
    a_part_that_is_not_awaited_is_missed: memory local;
    an_upload_over_is_over: memory local artifactory plain;
    an_upload_without_parts_is_empty: memory local artifactory plain;
    an_upload_onto_a_directory_says_why: memory local artifactory plain;
    conditions_of_writes_are_kept: memory local;
    copies_do_not_overwrite: memory local;
    uploads_have_names: memory local;
    what_the_store_cannot_do_is_refused: artifactory plain;
    empty_directories_are_common_prefixes: memory local artifactory plain;
    directories_are_no_objects: memory local artifactory plain;
    nothing_becomes_of_a_rename_to_itself: memory local artifactory plain;
    deletions_are_answered_in_order: memory local artifactory plain;
    what_cannot_be_named_is_refused: memory local artifactory plain;
    heads_answer_as_reads_do: memory local artifactory plain;
    ranges_beyond_the_end_are_refused: memory local artifactory plain;
    errors_have_ours_as_their_source: memory local artifactory plain;
    nothing_printed_holds_a_secret: memory local artifactory plain;
    copies_keep_properties: memory artifactory plain;
}

/// A path as it is written.
fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

/// The error of the store below.
#[track_caller]
fn ours(error: &Error) -> &mlflow_artifacts_core::Error {
    std::error::Error::source(error).and_then(|source| source.downcast_ref()).expect("it is ours")
}

#[track_caller]
fn assert_refused<T>(result: object_store::Result<T>, what: &str) {
    match result {
        Err(Error::NotImplemented { implementer, .. }) => assert!(implementer.contains("AsObjectStore")),
        Err(error) => panic!("{what}: {error}"),
        Ok(_) => panic!("{what} is accepted"),
    }
}

#[track_caller]
fn assert_not_found<T>(result: object_store::Result<T>, what: &str) {
    assert!(matches!(result, Err(Error::NotFound { .. })), "{what}: {:?}", result.err());
}

mod case {
    use super::*;

    pub(super) async fn objects_are_put_read_listed_and_deleted(subject: Subject) {
        theirs::put_get_delete_list(&subject.objects).await;
    }

    pub(super) async fn conditions_of_reads_are_kept(subject: Subject) {
        theirs::get_opts(&subject.objects).await;
        // Of several etags, of any, and before a range that is not there.
        let (objects, at) = (&subject.objects, path("test"));
        let etag = objects.head(&at).await.unwrap().e_tag.unwrap();
        for (head, several) in
            [(true, format!("other, {etag}")), (false, format!("{etag},other")), (false, "*".to_owned())]
        {
            let options = GetOptions::new().with_head(head).with_if_match(Some(&several));
            objects.get_opts(&at, options).await.unwrap();
            let options = GetOptions::new().with_head(head).with_if_none_match(Some(&several));
            let refusal = objects.get_opts(&at, options.with_range(Some(100..200))).await.unwrap_err();
            assert!(matches!(refusal, Error::NotModified { .. }), "{several}: {refusal}");
        }
        let options = GetOptions::new().with_if_match(Some("other")).with_range(Some(100..200));
        let refusal = objects.get_opts(&at, options).await.unwrap_err();
        assert!(matches!(refusal, Error::Precondition { .. }), "{refusal}");
    }

    pub(super) async fn conditions_about_unknown_times_are_refused(subject: Subject) {
        subject.put("file").await;
        let found = subject.objects.head(&path("file")).await.unwrap();
        assert_eq!(SystemTime::from(found.last_modified), SystemTime::UNIX_EPOCH);
        for head in [true, false] {
            let since = GetOptions::new().with_if_modified_since(Some(found.last_modified));
            let until = GetOptions::new().with_if_unmodified_since(Some(found.last_modified));
            for options in [since, until] {
                let refusal =
                    subject.objects.get_opts(&path("file"), options.with_head(head)).await.unwrap_err();
                assert!(matches!(refusal, Error::NotSupported { .. }), "{refusal}");
            }
            // An etag is asked for instead.
            let options = GetOptions::new().with_head(head).with_if_none_match(Some("other"));
            let options = options.with_if_modified_since(Some(found.last_modified));
            subject.objects.get_opts(&path("file"), options).await.unwrap();
        }
    }

    pub(super) async fn directories_are_transparent(subject: Subject) {
        theirs::list_uses_directories_correctly(&subject.objects).await;
    }

    pub(super) async fn listings_stop_at_slashes(subject: Subject) {
        theirs::list_with_delimiter(&subject.objects).await;
    }

    pub(super) async fn listings_begin_after_an_offset(subject: Subject) {
        theirs::list_with_offset_exclusivity(&subject.objects).await;
    }

    pub(super) async fn objects_are_renamed_and_copied(subject: Subject) {
        theirs::rename_and_copy(&subject.objects).await;
    }

    pub(super) async fn what_is_absent_is_not_found(subject: Subject) {
        let objects = &subject.objects;
        assert_not_found(theirs::get_nonexistent_object(objects, None).await, "a read");
        assert_not_found(theirs::get_nonexistent_object(objects, Some(path("a/b"))).await, "a read");
        subject.put("file").await;
        let below = path("file/below");
        assert_not_found(theirs::get_nonexistent_object(objects, Some(below.clone())).await, "below a file");
        for from in [path("absent"), below] {
            assert_not_found(objects.copy(&from, &path("file")).await, "a copy");
            assert_not_found(objects.rename(&from, &path("file")).await, "a rename");
            assert_not_found(objects.delete(&from).await, "a deletion");
        }
        assert_eq!(subject.names().await, ["file"]);
    }

    pub(super) async fn attributes_and_versions_are_refused(subject: Subject) {
        let objects = &subject.objects;
        theirs::put_get_attributes(objects).await;
        let attributes = Attributes::from_iter([(Attribute::ContentType, "text/plain")]);
        let put = objects.put_opts(&path("file"), "a".into(), attributes.clone().into()).await;
        assert_refused(put, "an attribute");
        let options = PutMultipartOptions::from(attributes);
        assert_refused(
            objects.put_multipart_opts(&path("file"), options.clone()).await,
            "an attribute of an upload",
        );
        assert_refused(
            objects.create_multipart_opts(&path("file"), options).await,
            "an attribute of a named upload",
        );
        assert_eq!(subject.names().await, [""; 0]);
        subject.put("file").await;
        let options = GetOptions::new().with_version(Some("1"));
        assert_refused(objects.get_opts(&path("file"), options).await, "a version");
    }

    pub(super) async fn tags_are_ignored(subject: Subject) {
        let mut tags = TagSet::default();
        tags.push("key", "value");
        subject.objects.put_opts(&path("file"), "a".into(), PutOptions::from(tags.clone())).await.unwrap();
        let options = PutMultipartOptions::from(tags);
        let mut upload = subject.objects.put_multipart_opts(&path("upload"), options).await.unwrap();
        upload.complete().await.unwrap();
        assert_eq!(subject.names().await, ["file", "upload"]);
    }

    pub(super) async fn uploads_are_whole(subject: Subject) {
        theirs::stream_get(&subject.objects).await;
    }

    pub(super) async fn parts_are_awaited_in_any_order(subject: Subject) {
        theirs::multipart_out_of_order(&subject.objects).await;
    }

    pub(super) async fn the_last_of_two_uploads_wins(subject: Subject) {
        theirs::multipart_race_condition(&subject.objects, true).await;
    }

    pub(super) async fn uploads_are_cut_as_the_store_wants(subject: Subject) {
        let content: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        for (part, chunk) in [(1_000, 999), (999, 1_000), (50_000, 100_000), (100_000, 10), (33, 100_000)] {
            let objects = subject.objects.clone().with_part_size(part);
            let upload = objects.put_multipart(&path("file")).await.unwrap();
            let mut writer = WriteMultipart::new_with_chunk_size(upload, chunk);
            content.chunks(777).for_each(|piece| writer.write(piece));
            assert!(writer.finish().await.unwrap().e_tag.is_some());
            assert_eq!(objects.get(&path("file")).await.unwrap().bytes().await.unwrap(), content);
        }
    }

    /// An upload with a part that was sent, and one that nobody awaits.
    async fn begun(subject: &Subject) -> (Box<dyn MultipartUpload>, object_store::UploadPart) {
        let objects = subject.objects.clone().with_part_size(1_000);
        let mut upload = objects.put_multipart(&path("file")).await.unwrap();
        upload.put_part(vec![1; 2_500].into()).await.unwrap();
        let mut unfinished = upload.put_part(vec![2; 2_500].into());
        // It is polled, but once: what it holds while it waits is not to be in anybody's way.
        let _ = futures_util::poll!(&mut unfinished);
        (upload, unfinished)
    }

    pub(super) async fn an_upload_that_is_given_up_leaves_nothing(subject: Subject) {
        let (mut upload, unfinished) = begun(&subject).await;
        upload.abort().await.unwrap();
        assert_eq!(subject.names().await, [""; 0]);
        assert!(subject.is_clean());
        // Whatever became of it, it ends.
        let _ = unfinished.await;
        assert!(upload.put_part("more".into()).await.is_err());
        upload.abort().await.unwrap();
        assert_eq!(subject.names().await, [""; 0]);
    }

    pub(super) async fn an_upload_that_is_dropped_leaves_nothing(subject: Subject) {
        drop(begun(&subject).await);
        while !subject.is_clean() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(subject.names().await, [""; 0]);
    }

    pub(super) async fn a_part_that_is_not_awaited_is_missed(subject: Subject) {
        let objects = subject.objects.clone().with_part_size(4);
        let mut upload = objects.put_multipart(&path("file")).await.unwrap();
        upload.put_part("part".into()).await.unwrap();
        let missing = upload.put_part("lost".into());
        let refusal = upload.complete().await.unwrap_err();
        assert!(refusal.to_string().contains("1 of 2 parts have arrived"), "{refusal}");
        // Nothing is lost yet.
        missing.await.unwrap();
        upload.complete().await.unwrap();
        assert_eq!(objects.get(&path("file")).await.unwrap().bytes().await.unwrap(), "partlost");
    }

    pub(super) async fn an_upload_over_is_over(subject: Subject) {
        let mut upload = subject.objects.put_multipart(&path("file")).await.unwrap();
        upload.put_part("whole".into()).await.unwrap();
        upload.complete().await.unwrap();
        let refusal = upload.put_part("more".into()).await.unwrap_err();
        assert!(refusal.to_string().contains("the upload is over"), "{refusal}");
        upload.abort().await.unwrap();
        let content = subject.objects.get(&path("file")).await.unwrap().bytes().await.unwrap();
        assert_eq!(content, "whole");
    }

    pub(super) async fn an_upload_without_parts_is_empty(subject: Subject) {
        let mut upload = subject.objects.put_multipart(&path("none")).await.unwrap();
        upload.complete().await.unwrap();
        let mut upload = subject.objects.put_multipart(&path("empty")).await.unwrap();
        upload.put_part(Vec::new().into()).await.unwrap();
        upload.complete().await.unwrap();
        for empty in ["none", "empty"] {
            assert_eq!(subject.objects.head(&path(empty)).await.unwrap().size, 0);
        }
    }

    pub(super) async fn an_upload_onto_a_directory_says_why(subject: Subject) {
        subject.put("directory/file").await;
        let put = subject.objects.put(&path("directory"), "a".into()).await.unwrap_err();
        let upload = async {
            let mut upload = subject.objects.put_multipart(&path("directory")).await?;
            upload.put_part(vec![0; 3 << 20].into()).await?;
            upload.put_part(vec![0; 3 << 20].into()).await?;
            upload.complete().await.map(drop)
        };
        for error in [put, upload.await.unwrap_err()] {
            assert_eq!(ours(&error).kind(), ErrorKind::IsADirectory, "{error}");
        }
    }

    pub(super) async fn conditions_of_writes_are_kept(subject: Subject) {
        theirs::put_opts(&subject.objects, subject.can(Capabilities::REPLACE_IF_MATCH)).await;
        if subject.can(Capabilities::REPLACE_IF_MATCH) {
            for (e_tag, version) in [(None, None), (Some("1".to_owned()), Some("1".to_owned()))] {
                let mode = PutMode::Update(UpdateVersion { e_tag, version });
                let refusal =
                    subject.objects.put_opts(&path("file"), "a".into(), mode.into()).await.unwrap_err();
                assert!(refusal.to_string().contains("an update needs the etag"), "{refusal}");
            }
        }
    }

    pub(super) async fn copies_do_not_overwrite(subject: Subject) {
        let objects = &subject.objects;
        theirs::copy_if_not_exists(objects).await;
        theirs::copy_rename_nonexistent_object(objects).await;
        subject.put("one").await;
        subject.put("two").await;
        let refusal = objects.rename_if_not_exists(&path("one"), &path("two")).await.unwrap_err();
        assert!(matches!(refusal, Error::AlreadyExists { .. }), "{refusal}");
        objects.rename_if_not_exists(&path("one"), &path("three")).await.unwrap();
        assert_eq!(subject.names().await, ["three", "two"]);
    }

    pub(super) async fn uploads_have_names(subject: Subject) {
        let objects = subject.objects.clone().with_part_size(5 << 20);
        theirs::multipart(&objects, &objects).await;
        theirs::multipart_put_part_out_of_order(&objects, &objects).await;
        let id = objects.create_multipart(&path("file")).await.unwrap();
        let elsewhere = objects.put_part(&path("elsewhere"), &id, 0, "a".into()).await.unwrap_err();
        assert!(elsewhere.to_string().contains("this upload is one to"), "{elsewhere}");
        objects.put_part(&path("file"), &id, 0, "a".into()).await.unwrap();
        objects.abort_multipart(&path("file"), &id).await.unwrap();
        assert_not_found(objects.put_part(&path("file"), &id, 0, "a".into()).await, "a part of what is over");
        assert_not_found(objects.head(&path("file")).await, "what was aborted");
    }

    pub(super) async fn what_the_store_cannot_do_is_refused(subject: Subject) {
        let objects = &subject.objects;
        subject.put("file").await;
        for at in ["file", "other"] {
            let put = async |mode: PutMode| objects.put_opts(&path(at), "a".into(), mode.into()).await;
            assert_refused(put(PutMode::Create).await, "a put of what is new");
            let version = UpdateVersion { e_tag: Some("1".to_owned()), version: None };
            assert_refused(put(PutMode::Update(version)).await, "an update");
            let options = CopyOptions::new().with_mode(CopyMode::Create);
            assert_refused(objects.copy_opts(&path("file"), &path(at), options).await, "a copy");
            let options = RenameOptions::new().with_target_mode(RenameTargetMode::Create);
            assert_refused(objects.rename_opts(&path("file"), &path(at), options).await, "a rename");
            assert_refused(objects.create_multipart(&path(at)).await, "a named upload");
        }
        assert_eq!(subject.names().await, ["file"]);
    }

    pub(super) async fn empty_directories_are_common_prefixes(subject: Subject) {
        subject.put("full/file").await;
        subject.store.create_directory(&ArtifactPath::parse("empty").unwrap()).await.unwrap();
        let found = subject.objects.list_with_delimiter(None).await.unwrap();
        assert_eq!(found.common_prefixes, [path("empty"), path("full")]);
        assert!(found.objects.is_empty());
        let found = subject.objects.list_with_delimiter(Some(&path("empty"))).await.unwrap();
        assert!(found.common_prefixes.is_empty() && found.objects.is_empty());
        assert_eq!(subject.names().await, ["full/file"]);
    }

    pub(super) async fn directories_are_no_objects(subject: Subject) {
        subject.put("directory/file").await;
        let objects = &subject.objects;
        for directory in [path("directory"), Path::ROOT] {
            assert_not_found(objects.head(&directory).await, "a head");
            assert_not_found(objects.get(&directory).await, "a read");
            assert_not_found(objects.get_range(&directory, 0..1).await, "a read of a part");
            assert_not_found(objects.delete(&directory).await, "a deletion");
            assert_not_found(objects.copy(&directory, &path("copy")).await, "a copy");
            assert_not_found(objects.rename(&directory, &path("copy")).await, "a rename");
        }
        // As a target one is in the way.
        let onto = objects.copy(&path("directory/file"), &path("directory")).await.unwrap_err();
        assert!(matches!(onto, Error::Generic { .. }), "{onto}");
        assert_eq!(subject.names().await, ["directory/file"]);
    }

    pub(super) async fn nothing_becomes_of_a_rename_to_itself(subject: Subject) {
        let (objects, at) = (&subject.objects, path("file"));
        assert_not_found(objects.rename(&at, &at).await, "a rename of what is absent");
        subject.put("file").await;
        objects.rename(&at, &at).await.unwrap();
        objects.copy(&at, &at).await.unwrap();
        if subject.can(Capabilities::CREATE_NEW) {
            for refusal in
                [objects.rename_if_not_exists(&at, &at).await, objects.copy_if_not_exists(&at, &at).await]
            {
                assert!(matches!(refusal, Err(Error::AlreadyExists { .. })), "{refusal:?}");
            }
        }
        assert_eq!(objects.get(&at).await.unwrap().bytes().await.unwrap(), "content");
    }

    pub(super) async fn deletions_are_answered_in_order(subject: Subject) {
        for name in ["a", "b", "directory/file"] {
            subject.put(name).await;
        }
        let given = || Error::Generic { store: "test", source: "given".into() };
        let asked = vec![
            Ok(path("b")),
            Err(given()),
            Ok(path("directory")),
            Ok(path("a\u{85}")),
            Ok(path("absent")),
            Ok(path("a")),
        ];
        let answers: Vec<_> = subject.objects.delete_stream(stream::iter(asked).boxed()).collect().await;
        assert_eq!(answers.len(), 6);
        assert_eq!(answers[0].as_ref().unwrap(), &path("b"));
        assert!(matches!(&answers[1], Err(Error::Generic { store: "test", .. })));
        assert!(matches!(&answers[2], Err(Error::NotFound { path, .. }) if path == "directory"));
        assert!(matches!(&answers[3], Err(Error::InvalidPath { .. })));
        assert!(matches!(&answers[4], Err(Error::NotFound { path, .. }) if path == "absent"));
        assert_eq!(answers[5].as_ref().unwrap(), &path("a"));
        assert_eq!(subject.names().await, ["directory/file"]);
    }

    pub(super) async fn what_cannot_be_named_is_refused(subject: Subject) {
        let (objects, at) = (&subject.objects, path("a\u{85}b"));
        let refused = [
            objects.put(&at, "a".into()).await.err(),
            objects.put_multipart(&at).await.err(),
            objects.get(&at).await.err(),
            objects.head(&at).await.err(),
            objects.delete(&at).await.err(),
            objects.copy(&at, &path("a")).await.err(),
            objects.copy(&path("a"), &at).await.err(),
            objects.list(Some(&at)).next().await.and_then(Result::err),
            objects.list_with_delimiter(Some(&at)).await.err(),
        ];
        for (index, error) in refused.into_iter().enumerate() {
            let error = error.unwrap_or_else(|| panic!("operation {index} is accepted"));
            assert!(matches!(error, Error::InvalidPath { .. }), "operation {index}: {error}");
            assert!(error.to_string().contains("control character"), "{error}");
        }
    }

    pub(super) async fn heads_answer_as_reads_do(subject: Subject) {
        let objects = &subject.objects;
        objects.put(&path("empty"), Vec::new().into()).await.unwrap();
        objects.put(&path("ten"), "0123456789".into()).await.unwrap();
        let ranges = [
            None,
            Some(GetRange::Bounded(2..5)),
            Some(GetRange::Bounded(2..50)),
            Some(GetRange::Bounded(10..11)),
            Some(GetRange::Offset(9)),
            Some(GetRange::Offset(10)),
            Some(GetRange::Suffix(0)),
            Some(GetRange::Suffix(3)),
            Some(GetRange::Suffix(30)),
        ];
        for (name, content) in [("empty", ""), ("ten", "0123456789")] {
            for range in &ranges {
                let expected = match range {
                    None => Some(0..content.len() as u64),
                    Some(range) => range.as_range(content.len() as u64).ok(),
                };
                for head in [true, false] {
                    let options = GetOptions { range: range.clone(), head, ..Default::default() };
                    let answer = objects.get_opts(&path(name), options).await;
                    assert_eq!(
                        answer.as_ref().ok().map(|found| found.range.clone()),
                        expected,
                        "{name} {range:?} {head}"
                    );
                    let Ok(found) = answer else { continue };
                    assert_eq!((found.meta.size, &found.meta.location), (content.len() as u64, &path(name)));
                    let [start, end] =
                        [found.range.start, found.range.end].map(|at| usize::try_from(at).unwrap());
                    let bytes = found.bytes().await.unwrap();
                    assert_eq!(bytes, if head { "" } else { &content[start..end] });
                }
            }
        }
    }

    pub(super) async fn ranges_beyond_the_end_are_refused(subject: Subject) {
        let (objects, at) = (&subject.objects, path("ten"));
        objects.put(&at, "0123456789".into()).await.unwrap();
        let found = objects.get_ranges(&at, &[8..20, 0..1, 3..5, 3..4]).await.unwrap();
        assert_eq!(found, ["89", "0", "34", "3"]);
        assert!(objects.get_ranges(&at, &[]).await.unwrap().is_empty());
        let refused: [&[(u64, u64)]; 5] =
            [&[(0, 1), (10, 11)], &[(20, 30), (0, 1)], &[(3, 3)], &[(0, 5), (3, 3)], &[(7, 2)]];
        for ranges in refused {
            let ranges: Vec<_> = ranges.iter().map(|(start, end)| *start..*end).collect();
            let refusal = objects.get_ranges(&at, &ranges).await.unwrap_err();
            assert!(refusal.to_string().contains("no bytes in"), "{ranges:?}: {refusal}");
        }
        assert_not_found(objects.get_ranges(&path("absent"), &[0..1, 2..3]).await, "ranges of nothing");
    }

    pub(super) async fn errors_have_ours_as_their_source(subject: Subject) {
        let error = subject.objects.get(&path("absent")).await.unwrap_err();
        let ours = ours(&error);
        assert_eq!(
            (ours.kind(), ours.path(), ours.operation()),
            (ErrorKind::NotFound, Some("absent"), Some("get"))
        );
    }

    pub(super) async fn nothing_printed_holds_a_secret(subject: Subject) {
        let objects = &subject.objects;
        let upload = objects.put_multipart(&path("file")).await.unwrap();
        let absent = objects.get(&path("absent")).await.unwrap_err();
        let printed = format!("{objects} {objects:?} {upload:?} {absent} {absent:?}");
        assert!(printed.contains(&subject.store.info().root) && !printed.contains("canary"), "{printed}");
    }

    pub(super) async fn copies_keep_properties(subject: Subject) {
        let properties: Properties = [("mlflow.run_id".to_owned(), vec!["1".to_owned()])].into();
        let options =
            mlflow_artifacts_core::PutOptions { properties: properties.clone(), ..Default::default() };
        let [from, to] = ["from", "to"].map(|name| ArtifactPath::parse(name).unwrap());
        subject.store.put(&from, PutBody::from("content"), options).await.unwrap();
        subject.objects.rename(&path("from"), &path("to")).await.unwrap();
        assert_eq!(subject.store.properties(&to).await.unwrap(), properties);
    }
}

#[tokio::test]
async fn what_is_configured_to_stay_is_not_said_to_be_deleted() {
    let store =
        Limited { store: Arc::new(MemoryStore::new()), kept: Capabilities::empty(), deletes_nothing: true };
    let subject = Subject::new(Arc::new(store), ());
    subject.put("file").await;
    let renamed = subject.objects.rename(&path("file"), &path("other")).await;
    for refusal in [subject.objects.delete(&path("file")).await, renamed] {
        assert!(matches!(refusal, Err(Error::PermissionDenied { .. })), "{refusal:?}");
    }
    assert_eq!(subject.names().await, ["file", "other"]);
}

#[test]
fn a_stream_needs_a_runtime() {
    pollster::block_on(async {
        let subject = plain().await;
        let refusal = subject.objects.put_multipart(&path("file")).await.unwrap_err();
        assert!(refusal.to_string().contains("inside a tokio runtime"), "{refusal}");
    });
}
