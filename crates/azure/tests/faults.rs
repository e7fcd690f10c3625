//! What goes wrong on the way ends right, or fails with the right kind. Never a success that did not happen, never half a blob.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::{
    Place, Reply, Server, URI, assert_error, header, open, path, place, refusal, secure, small_parts, token,
};
use futures_util::TryStreamExt as _;
use mlflow_artifacts_core::{
    ArtifactStoreExt as _, ByteRange, CopyOptions, Deleted, ErrorKind, GetOptions, ListOptions, PartReceipt,
    PutBody, PutMode, PutOptions, Retry, SharedStore, StoreConfig, UploadOptions,
};
use mlflow_artifacts_testkit::bodies::random_bytes;
use test_servers::{Effect, Fault};

/// More than what fits into the buffers on the way, and less than what goes in parts.
const LARGE: usize = 6 << 20;
/// What goes in parts.
const IN_PARTS: usize = 20 << 20;

/// A store that does not wait long for a silent server.
fn impatient(place: &Place) -> SharedStore {
    let config = place
        .config(&[("AZURE_STORAGE_ACCESS_KEY", place.server.key()), ("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")])
        .with("commit_timeout", "1");
    open(URI, &config).unwrap()
}

/// A store that tries once.
fn trying_once(place: &Place) -> SharedStore {
    let config = place.config(&[("AZURE_STORAGE_ACCESS_KEY", place.server.key())]).with("retries", "0");
    open(URI, &config).unwrap()
}

mod writing {
    use super::*;

    #[tokio::test]
    async fn what_passes_by_itself_is_tried_again() {
        for effect in [
            refusal(503, "ServerBusy"),
            refusal(500, "InternalError"),
            refusal(500, "OperationTimedOut"),
            Effect::ResetRequest(100_000),
            Effect::ResetAnswer(0),
        ] {
            let place = place();
            let content = random_bytes(1, LARGE);
            place.inject("PUT", "/file", effect.clone());
            place.store().put_bytes(&path("file"), content.clone()).await.unwrap();
            assert!(place.recorder.waiting_faults().is_empty(), "{effect:?}");
            assert_eq!(place.behind().get_bytes(&path("file")).await.unwrap(), content, "{effect:?}");
            assert!(place.requests("PUT", "/file").len() >= 2, "{effect:?}");
        }
    }

    #[tokio::test]
    async fn each_attempt_is_signed_anew() {
        let place = place();
        place.recorder.inject(Fault { times: 2, ..Fault::next(refusal(503, "ServerBusy")) });
        place.store().put_bytes(&path("file"), "content".into()).await.unwrap();
        let puts = place.requests("PUT", "/file");
        assert_eq!(puts.len(), 3);
        assert!(puts.iter().all(|put| header(put, "x-ms-date").is_some() && header(put, "date").is_none()));
    }

    #[tokio::test]
    async fn what_stays_broken_is_told() {
        for (effect, kind) in [
            (refusal(503, "ServerBusy"), ErrorKind::RateLimited),
            (refusal(500, "InternalError"), ErrorKind::Unavailable),
            (refusal(500, "OperationTimedOut"), ErrorKind::Timeout),
            (Effect::ResetRequest(100_000), ErrorKind::Connection),
            (Effect::ResetAnswer(0), ErrorKind::Connection),
        ] {
            let place = place();
            place.behind().put_bytes(&path("other"), "old".into()).await.unwrap();
            place.inject("PUT", "/file", effect.clone());
            let error =
                trying_once(&place).put_bytes(&path("file"), random_bytes(1, LARGE)).await.unwrap_err();
            assert_error(&error, kind, &["put \"file\""]);
            assert_eq!(error.retry(), Retry::Exhausted, "{effect:?}");
            if effect != Effect::ResetAnswer(0) {
                let files = place.behind().list_all(&path(""), ListOptions::default()).await.unwrap();
                assert_eq!(files.len(), 1, "{effect:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_part_that_breaks_is_put_again() {
        for effect in [
            refusal(503, "ServerBusy"),
            refusal(500, "InternalError"),
            Effect::ResetRequest(100_000),
            Effect::ResetAnswer(0),
        ] {
            let place = place();
            let content = random_bytes(1, IN_PARTS);
            place.inject("PUT", "comp=block&", effect.clone());
            place.store().put_bytes(&path("file"), content.clone()).await.unwrap();
            assert!(place.recorder.waiting_faults().is_empty(), "{effect:?}");
            assert_eq!(place.behind().get_bytes(&path("file")).await.unwrap(), content, "{effect:?}");
        }
    }

    #[tokio::test]
    async fn a_part_that_stays_broken_leaves_nothing() {
        let place = place();
        place.behind().put_bytes(&path("file"), "old".into()).await.unwrap();
        let fault = Fault {
            method: Some("PUT"),
            target_contains: "comp=block&",
            skip: 1,
            times: 1,
            ..Fault::next(refusal(500, "InternalError"))
        };
        place.recorder.inject(fault);
        let error =
            trying_once(&place).put_bytes(&path("file"), random_bytes(1, IN_PARTS)).await.unwrap_err();
        assert_error(&error, ErrorKind::Unavailable, &["put \"file\""]);
        assert_eq!(place.behind().get_bytes(&path("file")).await.unwrap(), "old");
        assert!(place.requests("PUT", "comp=blocklist").is_empty());
    }

    /// The blob was made, and nobody was told. What makes it again finds no blocks, or the blob itself.
    #[tokio::test]
    async fn a_lost_answer_to_the_last_request_is_looked_into() {
        for mode in [PutMode::Overwrite, PutMode::CreateNew] {
            let place = place();
            let content = random_bytes(1, IN_PARTS);
            place.inject("PUT", "comp=blocklist", Effect::ResetAnswer(0));
            let options = PutOptions { mode: mode.clone(), ..PutOptions::default() };
            let put =
                place.store().put(&path("file"), PutBody::Bytes(content.clone()), options).await.unwrap();
            assert!(place.recorder.waiting_faults().is_empty());
            let store = place.behind();
            assert_eq!(store.get_bytes(&path("file")).await.unwrap(), content, "{mode:?}");
            assert_eq!(store.stat(&path("file")).await.unwrap().etag, put.etag, "{mode:?}");
        }
    }

    #[tokio::test]
    async fn what_another_has_made_is_not_taken_for_ours() {
        let place = place();
        let store = place.store();
        let options = UploadOptions { mode: PutMode::CreateNew, ..small_parts() };
        let upload = store.begin_upload(&path("file"), options).await.unwrap();
        let receipt = upload.put_part(1, "ours".into()).await.unwrap();
        place.behind().put_bytes(&path("file"), "theirs".into()).await.unwrap();
        place.inject("PUT", "comp=blocklist", refusal(500, "InternalError"));
        let error = upload.complete(vec![receipt]).await.unwrap_err();
        assert_error(&error, ErrorKind::AlreadyExists, &[]);
        assert_eq!(store.get_bytes(&path("file")).await.unwrap(), "theirs");
    }

    /// A part is never left out because of what its receipt says.
    #[tokio::test]
    async fn a_receipt_that_was_not_answered_is_refused() {
        let place = place();
        let store = place.store();
        for etag in ["", "b3RoZXI=", "canary"] {
            let upload = store.begin_upload(&path("file"), small_parts()).await.unwrap();
            let first = upload.put_part(1, random_bytes(1, 1 << 10)).await.unwrap();
            let second = upload.put_part(2, "content".into()).await.unwrap();
            let wrong = PartReceipt { etag: etag.to_owned(), ..second };
            let error = upload.complete(vec![first, wrong]).await.unwrap_err();
            assert_error(&error, ErrorKind::InvalidArgument, &["part 2", "blockid"]);
            assert_eq!(store.stat(&path("file")).await.unwrap_err().kind(), ErrorKind::NotFound);
        }
        // A part without content has one, too.
        let upload = store.begin_upload(&path("file"), small_parts()).await.unwrap();
        let first = upload.put_part(1, random_bytes(1, 1 << 10)).await.unwrap();
        let last = upload.put_part(2, "".into()).await.unwrap();
        assert_eq!(last.etag, "-");
        upload.complete(vec![first, last]).await.unwrap();
        assert_eq!(store.get_bytes(&path("file")).await.unwrap(), random_bytes(1, 1 << 10));
    }

    #[tokio::test]
    async fn blocks_that_another_write_has_discarded_are_told() {
        let place = place();
        let store = place.store();
        let upload = store.begin_upload(&path("file"), small_parts()).await.unwrap();
        let receipt = upload.put_part(1, "ours".into()).await.unwrap();
        place.behind().put_bytes(&path("file"), "theirs".into()).await.unwrap();
        // Azure's answer, which the emulator does not give for this.
        place.inject("PUT", "comp=blocklist", refusal(400, "InvalidBlockList"));
        let error = upload.complete(vec![receipt]).await.unwrap_err();
        let words = ["the blocks are gone", "another write", "write it again"];
        assert_error(&error, ErrorKind::PreconditionFailed, &words);
        assert_eq!(store.get_bytes(&path("file")).await.unwrap(), "theirs");
    }

    #[tokio::test]
    async fn an_upload_that_was_given_up_is_not_taken_up() {
        let place = place();
        let store = place.store();
        let [one, other] = [
            store.begin_upload(&path("file"), small_parts()).await.unwrap(),
            store.begin_upload(&path("file"), small_parts()).await.unwrap(),
        ];
        one.put_part(1, "one".into()).await.unwrap();
        other.put_part(1, "other".into()).await.unwrap();
        let (token, alive) = (one.token().unwrap(), other.token().unwrap());
        one.abort().await.unwrap();
        let error = store.resume_upload(&token).await.unwrap_err();
        assert_error(&error, ErrorKind::NotFound, &["no such upload"]);
        // That says nothing of the other.
        store.resume_upload(&alive).await.unwrap();
    }

    #[tokio::test]
    async fn a_silent_server_is_given_up() {
        let place = place();
        place.recorder.inject(Fault { times: 20, ..Fault::next(Effect::Delay(Duration::from_mins(5))) });
        let config = place
            .config(&[("AZURE_STORAGE_ACCESS_KEY", place.server.key()), ("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")])
            .with("commit_timeout", "1")
            .with("retries", "1");
        let store = open(URI, &config).unwrap();
        let error = store.put_bytes(&path("file"), "content".into()).await.unwrap_err();
        assert_error(&error, ErrorKind::Timeout, &["silent"]);
        let upload = store.begin_upload(&path("file"), small_parts()).await.unwrap();
        let error = upload.put_part(1, "content".into()).await.unwrap_err();
        assert_error(&error, ErrorKind::Timeout, &["silent"]);
    }

    #[tokio::test]
    async fn a_server_that_hangs_once_is_asked_again() {
        let place = place();
        place.recorder.inject(Fault::next(Effect::Delay(Duration::from_mins(5))));
        impatient(&place).put_bytes(&path("file"), "content".into()).await.unwrap();
        assert_eq!(place.behind().get_bytes(&path("file")).await.unwrap(), "content");
    }
}

mod reading {
    use super::*;

    #[tokio::test]
    async fn a_download_that_breaks_goes_on_where_it_was() {
        for after in [0, 1, 1_000_000] {
            let place = place();
            let content = random_bytes(1, LARGE);
            place.behind().put_bytes(&path("file"), content.clone()).await.unwrap();
            place.inject("GET", "/file", Effect::ResetAnswer(after));
            assert_eq!(place.store().get_bytes(&path("file")).await.unwrap(), content, "{after}");
            assert!(place.recorder.waiting_faults().is_empty());
            let gets = place.requests("GET", "/file");
            assert_eq!(gets.len(), 2, "{after}");
            let resumed = header(&gets[1], "range").or(header(&gets[1], "x-ms-range"));
            assert!(
                after < 1_000_000 || resumed.is_some_and(|range| range.ends_with("-6291455")),
                "{resumed:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_download_does_not_go_on_in_another_blob() {
        let place = place();
        place.behind().put_bytes(&path("file"), random_bytes(1, LARGE)).await.unwrap();
        place.inject("GET", "/file", Effect::ResetAnswer(1_000_000));
        let store = place.store();
        let mut stream = store.get(&path("file"), GetOptions::default()).await.unwrap().stream;
        stream.try_next().await.unwrap();
        // It goes on only when it is asked for more.
        place.behind().put_bytes(&path("file"), random_bytes(2, LARGE)).await.unwrap();
        assert_eq!(place.requests("GET", "/file").len(), 1);
        let error = stream.try_for_each(async |_| Ok(())).await.unwrap_err();
        assert_error(&error, ErrorKind::Connection, &["get \"file\""]);
        assert!(place.requests("GET", "/file").len() > 1);
    }

    #[tokio::test]
    async fn a_busy_server_is_waited_for() {
        for (status, code) in [(503, "ServerBusy"), (500, "InternalError"), (500, "OperationTimedOut")] {
            let place = place();
            place.behind().put_bytes(&path("file"), "content".into()).await.unwrap();
            for (method, target) in [("GET", "/file"), ("HEAD", "/file"), ("GET", "comp=list")] {
                place.inject(method, target, refusal(status, code));
            }
            let store = place.store();
            assert_eq!(store.get_bytes(&path("file")).await.unwrap(), "content");
            assert_eq!(store.stat(&path("file")).await.unwrap().size, 7);
            assert_eq!(store.list_all(&path(""), ListOptions::default()).await.unwrap().len(), 1);
            assert!(place.recorder.waiting_faults().is_empty(), "{code}");
        }
    }

    #[tokio::test]
    async fn a_server_that_hangs_once_is_asked_again() {
        let place = place();
        place.behind().put_bytes(&path("file"), "content".into()).await.unwrap();
        place.recorder.inject(Fault::next(Effect::Delay(Duration::from_mins(5))));
        assert_eq!(impatient(&place).get_bytes(&path("file")).await.unwrap(), "content");
    }

    #[tokio::test]
    async fn the_last_bytes_are_those_of_one_blob() {
        let place = place();
        let store = place.store();
        store.put_bytes(&path("file"), "0123456789".into()).await.unwrap();
        let last = GetOptions { range: ByteRange::Last(3), ..GetOptions::default() };
        assert_eq!(store.get(&path("file"), last).await.unwrap().bytes().await.unwrap(), "789");
        let get = place.requests("GET", "/file").pop().unwrap();
        assert_eq!(header(&get, "range").or(header(&get, "x-ms-range")), Some("bytes=7-9"));
        assert!(header(&get, "if-match").is_some());
    }

    /// Writes a blob in parts with a token that is good for so many seconds, and expires between the parts. False where it had
    /// expired before: that shows nothing.
    async fn outlives_a_token_of(seconds: u64) -> bool {
        let secure = secure();
        // Whoever hands them out says that both are good for long.
        let count = AtomicUsize::new(0);
        let next = move || if count.fetch_add(1, Ordering::SeqCst) == 0 { seconds } else { 3_600 };
        let login = Server::of_tokens(move |_| token(next()), 3_600);
        let store =
            secure.open(&[("IDENTITY_ENDPOINT", &login.url()), ("REQUESTS_CA_BUNDLE", secure.named())]);
        let upload = store.begin_upload(&path("file"), small_parts()).await.unwrap();
        let content = random_bytes(1, 3 << 10);
        let first = upload.put_part(1, content.slice(..1 << 10)).await.unwrap();
        if login.asked().len() > 1 {
            return false;
        }
        tokio::time::sleep(Duration::from_secs(seconds + 1)).await;
        let (second, third) = tokio::join!(
            upload.put_part(2, content.slice(1 << 10..2 << 10)),
            upload.put_part(3, content.slice(2 << 10..)),
        );
        upload.complete(vec![first, second.unwrap(), third.unwrap()]).await.unwrap();
        assert_eq!(store.get_bytes(&path("file")).await.unwrap(), content);
        assert_eq!(login.asked().len(), 2);
        true
    }

    #[tokio::test]
    async fn a_token_that_expires_amid_a_transfer_is_replaced() {
        // Two seconds are enough for the first part, unless other programs have the processor.
        assert!(outlives_a_token_of(2).await || outlives_a_token_of(20).await);
    }
}

mod copying {
    use super::*;

    /// A storage whose copies take a while, and end so.
    fn storage(end: &'static str) -> Server {
        let (looks, is_ended) = (AtomicUsize::new(0), AtomicBool::new(false));
        Server::start(move |asked| {
            let status = match asked.method.as_str() {
                "HEAD" if looks.fetch_add(1, Ordering::SeqCst) > 0 => end,
                _ => "pending",
            };
            is_ended.fetch_or(asked.target.contains("comp=copy"), Ordering::SeqCst);
            let (status, etag) =
                if is_ended.load(Ordering::SeqCst) { ("aborted", "\"2\"") } else { (status, "\"1\"") };
            let headers = vec![
                ("x-ms-copy-id", "one".to_owned()),
                ("x-ms-copy-status", status.to_owned()),
                ("x-ms-copy-status-description", "500 InternalServerError \"it broke\"".to_owned()),
                ("etag", etag.to_owned()),
                ("last-modified", "Fri, 20 Nov 2026 10:00:00 GMT".to_owned()),
            ];
            Reply(if asked.method == "PUT" { 202 } else { 200 }, headers, String::new())
        })
    }

    async fn copy(storage: &Server) -> mlflow_artifacts_core::Result<()> {
        copy_by(storage, PutMode::Overwrite, "60").await
    }

    async fn copy_by(storage: &Server, mode: PutMode, timeout: &str) -> mlflow_artifacts_core::Result<()> {
        let config = StoreConfig::new()
            .with("endpoint", storage.url())
            .with("access_key", "YQ==")
            .with("transfer_timeout", timeout);
        let store = open(URI, &config).unwrap();
        let options = CopyOptions { mode };
        store.copy(&path("a"), &path("b"), options).await.map(|_| ())
    }

    /// What the storage was asked to change after the copy was begun.
    fn changes(storage: &Server) -> Vec<String> {
        let asked = storage.asked().into_iter().filter(|asked| asked.method != "HEAD").skip(1);
        asked.map(|asked| format!("{} {}", asked.method, asked.target)).collect()
    }

    #[tokio::test]
    async fn a_copy_that_creates_leaves_nothing_when_it_fails() {
        for (mode, expected) in
            [(PutMode::CreateNew, &["DELETE /artifacts/run/1/b"][..]), (PutMode::Overwrite, &[])]
        {
            let storage = storage("failed");
            let error = copy_by(&storage, mode, "60").await.unwrap_err();
            assert_error(&error, ErrorKind::Unavailable, &["failed", "it broke"]);
            assert_eq!(changes(&storage), expected);
            let asked = storage.asked();
            let mut deletes = asked.iter().filter(|asked| asked.method == "DELETE");
            assert!(deletes.all(|asked| asked.header("if-match") == Some("\"1\"")));
        }
    }

    #[tokio::test]
    async fn a_copy_that_never_ends_is_given_up() {
        const ABORT: &str = "PUT /artifacts/run/1/b?comp=copy&copyid=one";
        for (mode, expected) in
            [(PutMode::CreateNew, &[ABORT, "DELETE /artifacts/run/1/b"][..]), (PutMode::Overwrite, &[ABORT])]
        {
            let storage = storage("pending");
            let ended = tokio::time::timeout(Duration::from_secs(20), copy_by(&storage, mode, "2")).await;
            let error = ended.expect("the wait has an end").unwrap_err();
            let words = ["not done within 2 s", "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT"];
            assert_error(&error, ErrorKind::Timeout, &words);
            assert_eq!(changes(&storage), expected);
            // Its end has made it another blob.
            let asked = storage.asked();
            let mut deletes = asked.iter().filter(|asked| asked.method == "DELETE");
            assert!(deletes.all(|asked| asked.header("if-match") == Some("\"2\"")));
        }
    }

    /// The second attempt would be refused for what the first has done.
    #[tokio::test]
    async fn a_creation_whose_answer_is_lost_is_not_repeated() {
        let place = place();
        place.behind().put_bytes(&path("file"), "content".into()).await.unwrap();
        place.inject("PUT", "/copy", Effect::ResetAnswer(0));
        let options = CopyOptions { mode: PutMode::CreateNew };
        let error = place.store().copy(&path("file"), &path("copy"), options).await.unwrap_err();
        assert_error(&error, ErrorKind::Connection, &["look whether the copy is there"]);
        assert_eq!(place.requests("PUT", "/copy").len(), 1);
        // What replaces something is.
        place.inject("PUT", "/other", Effect::ResetAnswer(0));
        place.store().copy(&path("file"), &path("other"), CopyOptions::default()).await.unwrap();
        assert_eq!(place.requests("PUT", "/other").len(), 2);
    }

    #[tokio::test]
    async fn a_copy_that_takes_a_while_is_waited_for() {
        let storage = storage("success");
        copy(&storage).await.unwrap();
        let heads = storage.asked().iter().filter(|asked| asked.method == "HEAD").count();
        // Two of the copy, and one that tells what was copied.
        assert_eq!(heads, 3);
    }

    #[tokio::test]
    async fn a_copy_that_ends_otherwise_is_no_success() {
        for end in ["failed", "aborted"] {
            let error = copy(&storage(end)).await.unwrap_err();
            assert_error(&error, ErrorKind::Unavailable, &[end, "it broke"]);
        }
    }
}

mod deleting {
    use super::*;

    async fn with_files(place: &Place, count: usize) {
        let store = place.behind();
        for name in 0..count {
            store.put_bytes(&path(&format!("d/{name}")), "content".into()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn many_are_deleted_by_few_requests() {
        let place = place();
        with_files(&place, 20).await;
        let paths = (0..20).map(|name| path(&format!("d/{name}"))).collect();
        let answers = place.store().delete_many(paths).await;
        assert!(answers.iter().all(|answer| matches!(answer, Ok(Deleted::Removed))), "{answers:?}");
        assert_eq!(place.requests("POST", "comp=batch").len(), 1);
        assert!(place.requests("DELETE", "").is_empty());
    }

    /// A batch that is refused is told of each that was in it, and of no other.
    #[tokio::test]
    async fn a_batch_that_is_refused_is_no_success() {
        const COUNT: usize = 300;
        let place = place();
        with_files(&place, COUNT).await;
        place.inject("POST", "comp=batch", refusal(403, "AuthorizationPermissionMismatch"));
        let paths = (0..COUNT).map(|name| path(&format!("d/{name}"))).collect();
        let answers = place.store().delete_many(paths).await;
        for (at, answer) in answers.iter().enumerate() {
            match answer {
                Err(error) if at < 256 => {
                    assert_error(error, ErrorKind::PermissionDenied, &["AZURE_STORAGE_ACCESS_KEY"]);
                }
                answer => assert!(at >= 256 && matches!(answer, Ok(Deleted::Removed)), "{at}: {answer:?}"),
            }
        }
        let left = place.behind().list_all(&path("d"), ListOptions::default()).await.unwrap();
        assert_eq!(left.len(), 256);
    }

    /// What the batch says of one is a number: it is asked for by itself, and its own error told.
    #[tokio::test]
    async fn each_of_a_batch_has_its_own_answer() {
        let storage =
            Server::start(|asked| match (asked.method.as_str(), asked.target.contains("comp=batch")) {
                ("POST", true) => {
                    let part = |id: usize, status: &str| {
                        format!(
                            "--b\r\nContent-Type: application/http\r\nContent-ID: {id}\r\n\r\n\
                         HTTP/1.1 {status}\r\nx-ms-version: 1\r\n\r\n"
                        )
                    };
                    let parts =
                        [part(0, "202 Accepted"), part(1, "412 No"), part(2, "404 Not Found")].concat();
                    let headers = vec![("content-type", "multipart/mixed; boundary=b".to_owned())];
                    Reply(202, headers, format!("{parts}--b--\r\n"))
                }
                ("DELETE", _) => {
                    Reply(412, vec![("x-ms-error-code", "LeaseIdMissing".to_owned())], String::new())
                }
                _ => {
                    let headers = vec![
                        ("etag", "\"1\"".to_owned()),
                        ("last-modified", "Fri, 20 Nov 2026 10:00:00 GMT".to_owned()),
                    ];
                    Reply(200, headers, String::new())
                }
            });
        let config = StoreConfig::new().with("endpoint", storage.url()).with("access_key", "YQ==");
        let store = open(URI, &config).unwrap();
        let answers = store.delete_many(vec![path("a"), path("b"), path("c")]).await;
        assert!(matches!(answers[..], [Ok(Deleted::Removed), Err(_), Ok(Deleted::Absent)]), "{answers:?}");
        assert_error(
            answers[1].as_ref().unwrap_err(),
            ErrorKind::PermissionDenied,
            &["lease", "delete \"b\""],
        );
        let singles: Vec<_> = storage
            .asked()
            .into_iter()
            .filter(|asked| asked.method == "DELETE")
            .map(|asked| asked.target)
            .collect();
        assert_eq!(singles, ["/artifacts/run/1/b"]);
    }
}
