//! The fault table: what goes wrong on the way to a server ends right, or fails with the right kind. Never a success that
//! did not happen, never half a file.

mod common;

use std::time::{Duration, Instant};

use artifactory_emulator::{
    Builder, Edition, Effect, Emulator, FaultBody, Permissions, Redirect, RepositoryKind,
};
use common::{
    CANARY, Content, Form, always, as_admin, assert_error, builder, config, contents, fault, open, open_at,
    open_uri, path, says, start, status, store,
};
use futures_util::TryStreamExt as _;
use futures_util::future::join_all;
use mlflow_artifacts_core::{
    ArtifactStoreExt as _, ByteRange, CopyOptions, Deleted, ErrorKind, GetOptions, ListOptions, PutBody,
    PutOptions, Retry, SharedStore, StoreConfig,
};
use mlflow_artifacts_testkit::bodies::{chunked, random_bytes};

/// Puts content in every form, beside and over what is there, after `break_it`. Each must fail like this, and change nothing.
async fn assert_refused(
    emulator: &Emulator,
    store: &SharedStore,
    break_it: impl Fn(&Emulator),
    kind: ErrorKind,
    words: &[&str],
) {
    as_admin(emulator).put_bytes(&path("d/old"), "old content".into()).await.expect("it is whole yet");
    let before = contents(emulator).await;
    for (seed, form) in (1..).zip(Form::ALL) {
        for target in ["d/old", "d/new", "e/new"] {
            emulator.clear_faults();
            break_it(emulator);
            let error = Content::new(form, seed).put(store, target).await.expect_err("it is broken");
            assert_error(&error, kind, words);
            assert_eq!((error.operation(), error.path()), (Some("put"), Some(target)), "{error:?}");
        }
    }
    emulator.clear_faults();
    assert_eq!(contents(emulator).await, before);
}

/// Puts content that can be sent again while its request goes wrong once. Each must arrive all the same.
async fn assert_survived(effect: impl Fn(Form) -> Effect) {
    join_all(Form::REPEATABLE.map(async |form| {
        let emulator = start().await;
        let (content, store) = (Content::new(form, 1), store(&emulator));
        let mut fault = fault("PUT", "d/file", effect(form));
        fault.skip = form.questions();
        emulator.inject(fault);
        let outcome = content.put(&store, "d/file").await.expect("it is tried again");
        assert_eq!(outcome.size, content.bytes.len() as u64, "{form:?}");
        let expected = [("d".to_owned(), None), ("d/file".to_owned(), Some(content.bytes))];
        assert_eq!(contents(&emulator).await, expected, "{form:?}");
    }))
    .await;
}

/// A stream cannot be sent again: the same fault is its end, and says so. Nothing stays of it.
async fn assert_ends_a_stream(effect: Effect, kind: ErrorKind) {
    let emulator = start().await;
    emulator.inject(fault("PUT", "d/file", effect));
    let error = Content::new(Form::Stream, 1).put(&store(&emulator), "d/file").await.expect_err("it is gone");
    assert_error(&error, kind, &["the content was a stream and is gone: give it again"]);
    assert_eq!(error.retry(), Retry::Transient, "whoever has the content may");
    assert_eq!(emulator.files(), [""; 0]);
}

/// A server that has `content` at `d/file`.
async fn serving(builder: Builder, content: &[u8]) -> Emulator {
    let emulator = builder.start().await.expect("the emulator starts");
    let body = PutBody::Bytes(bytes::Bytes::copy_from_slice(content));
    as_admin(&emulator).put(&path("d/file"), body, PutOptions::default()).await.expect("it is whole yet");
    emulator.reset_counters();
    emulator
}

fn large() -> bytes::Bytes {
    random_bytes(9, 3 << 20)
}

mod status_401 {
    use super::*;

    async fn assert_unauthenticated(emulator: &Emulator, config: &StoreConfig, words: &[&str]) {
        let kind = ErrorKind::Unauthenticated;
        as_admin(emulator).put_bytes(&path("file"), "content".into()).await.expect("it is whole yet");
        // Each asks with a store of its own: the same one would not ask twice.
        let open = || open(emulator, "", config);
        assert_error(&open().get_bytes(&path("file")).await.expect_err("get"), kind, words);
        assert_error(&open().delete_tree(&path("file")).await.expect_err("delete"), kind, words);
        assert_error(&open().stat(&path("file")).await.expect_err("stat"), kind, &[]);
        let listed = open().list_all(&path(""), ListOptions::default()).await;
        assert_error(&listed.expect_err("list"), kind, words);
        for form in Form::ALL {
            let error = Content::new(form, 1).put(&open(), "new").await.expect_err("put");
            assert_error(&error, kind, words);
        }
        assert_eq!(contents(emulator).await, [("file".to_owned(), Some("content".into()))]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_a_token() {
        let emulator = start().await;
        assert_unauthenticated(&emulator, &StoreConfig::new(), &["ARTIFACTORY_AUTH_TOKEN"]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn with_a_wrong_token() {
        let config = StoreConfig::new().with("token", "canary-of-another-host");
        assert_unauthenticated(&start().await, &config, &["does not know the token", "another host"]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn with_a_wrong_password() {
        let config = StoreConfig::new().with("user", "admin").with("password", "canary-wrong");
        assert_unauthenticated(&start().await, &config, &["check the user and the password"]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn with_an_expired_token() {
        let emulator = start().await;
        emulator.expire_tokens();
        assert_unauthenticated(&emulator, &config(), &["the token has expired: get a new one"]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn with_a_revoked_token() {
        let emulator = start().await;
        assert!(emulator.revoke_token(CANARY));
        assert_unauthenticated(&emulator, &config(), &["the token was revoked: get a new one"]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_refused_token_is_not_sent_again() {
        let emulator = start().await;
        emulator.expire_tokens();
        let store = store(&emulator);
        for _ in 0..10 {
            let error = store.put_bytes(&path("file"), "content".into()).await.expect_err("it has expired");
            assert_error(&error, ErrorKind::Unauthenticated, &[]);
        }
        assert_eq!((emulator.counters().unauthenticated, emulator.counters().requests), (1, 1));
    }
}

mod status_403 {
    use super::*;

    fn with(permissions: Permissions) -> Builder {
        builder().token_with("canary-limited", permissions)
    }

    fn limited(emulator: &Emulator) -> SharedStore {
        open(emulator, "", &StoreConfig::new().with("token", "canary-limited"))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_right_to_read() {
        // A query of the open source edition would leave out what may not be seen, and look empty.
        for edition in [Edition::Pro, Edition::Oss] {
            no_right_to_read_in(edition).await;
        }
    }

    async fn no_right_to_read_in(edition: Edition) {
        let builder = with(Permissions { read: false, ..Permissions::ALL }).edition(edition);
        let emulator = serving(builder, b"content").await;
        let (store, kind) = (limited(&emulator), ErrorKind::PermissionDenied);
        let get = store.get_bytes(&path("d/file")).await.expect_err("get");
        assert_error(&get, kind, &["ask for the permission"]);
        assert_error(
            &store.stat(&path("d/file")).await.expect_err("stat"),
            kind,
            &["ask for the permission"],
        );
        let list = store.list_all(&path("d"), ListOptions::default()).await.expect_err("list");
        assert_error(&list, kind, &["ask for the permission"]);
        assert_error(&store.properties(&path("d/file")).await.expect_err("properties"), kind, &[]);
        assert_error(
            &store.copy(&path("d/file"), &path("e"), CopyOptions::default()).await.expect_err("copy"),
            kind,
            &[],
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_right_to_deploy() {
        let emulator = with(Permissions::READ).start().await.expect("the emulator starts");
        let words = ["Not enough permissions to deploy", "ask for the permission"];
        assert_refused(&emulator, &limited(&emulator), |_| (), ErrorKind::PermissionDenied, &words).await;
        let made = limited(&emulator).create_directory(&path("made")).await.expect_err("no right");
        assert_error(&made, ErrorKind::PermissionDenied, &["ask for the permission"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_right_to_delete_is_none_to_replace() {
        let emulator = serving(with(Permissions { delete: false, ..Permissions::ALL }), b"content").await;
        let store = limited(&emulator);
        for (seed, form) in (1..).zip(Form::ALL) {
            let error = Content::new(form, seed).put(&store, "d/file").await.expect_err("it is there");
            assert_error(&error, ErrorKind::PermissionDenied, &["replacing a file needs Delete too"]);
        }
        let error = store.delete_tree(&path("d")).await.expect_err("no right");
        assert_error(&error, ErrorKind::PermissionDenied, &["ask for the permission"]);
        assert_eq!(contents(&emulator).await[1..], [("d/file".to_owned(), Some("content".into()))]);
        store.put_bytes(&path("d/file"), "content".into()).await.expect("the same content is not replaced");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn locked_out() {
        let emulator = start().await;
        emulator.lockout(2);
        let wrong = StoreConfig::new().with("token", "canary-wrong");
        for _ in 0..2 {
            let error = open(&emulator, "", &wrong).stat(&path("file")).await.expect_err("it is wrong");
            assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        }
        let words = ["recurrent request failures", "correct the credentials, and wait"];
        let error = open(&emulator, "", &wrong).get_bytes(&path("file")).await.expect_err("it is locked");
        assert_error(&error, ErrorKind::PermissionDenied, &words);
        for form in Form::ALL {
            let error = Content::new(form, 1).put(&open(&emulator, "", &wrong), "file").await;
            assert_error(&error.expect_err("it is locked"), ErrorKind::PermissionDenied, &words);
        }
        assert_eq!(emulator.files(), [""; 0]);
    }
}

mod status_404 {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_repository_is_missing() {
        let emulator = start().await;
        let store = open_at(&emulator, "no-such-repository", &config());
        for form in Form::ALL {
            let error = Content::new(form, 1).put(&store, "file").await.expect_err("there is none");
            let words =
                ["Could not find a local repository named no-such-repository", "create the repository"];
            assert_error(&error, ErrorKind::NotFound, &words);
        }
        let made = store.create_directory(&path("d")).await.expect_err("there is none");
        assert_error(&made, ErrorKind::NotFound, &["create the repository"]);
        assert_error(&store.get_bytes(&path("file")).await.expect_err("get"), ErrorKind::NotFound, &[]);
        assert_eq!(emulator.files(), [""; 0]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_repository_is_remote() {
        let builder = builder().repository("far", RepositoryKind::Remote);
        let emulator = builder.start().await.expect("the emulator starts");
        let error = open_at(&emulator, "far", &config()).put_bytes(&path("file"), "x".into()).await;
        assert_error(
            &error.expect_err("it takes none"),
            ErrorKind::NotFound,
            &["a remote one takes no uploads"],
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_file_is_missing() {
        let emulator = start().await;
        let (store, gone) = (store(&emulator), path("d/gone"));
        assert_error(&store.get_bytes(&gone).await.expect_err("get"), ErrorKind::NotFound, &["d/gone"]);
        assert_error(&store.stat(&gone).await.expect_err("stat"), ErrorKind::NotFound, &["d/gone"]);
        let copied = store.copy(&gone, &path("copy"), CopyOptions::default()).await.expect_err("copy");
        assert_error(&copied, ErrorKind::NotFound, &["d/gone"]);
        assert_eq!(store.delete_tree(&gone).await.expect("idempotent"), Deleted::Absent);
        assert_eq!(store.list_all(&gone, ListOptions::default()).await.expect("MLflow's rule"), []);
    }
}

mod status_405 {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_virtual_repository_without_a_default_deployment() {
        let members = vec!["generic-local".to_owned()];
        let kind = RepositoryKind::Virtual { members, default_deployment: None };
        let emulator = builder().repository("all", kind).start().await.expect("the emulator starts");
        let store = open_at(&emulator, "all", &config());
        let words = ["a virtual repository takes uploads only with a default deployment repository"];
        assert_refused(&emulator, &store, |_| (), ErrorKind::Unsupported, &words).await;
        assert_eq!(store.get_bytes(&path("d/old")).await.expect("it can be read"), "old content");
    }
}

mod status_409 {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_checksum_that_the_server_does_not_get() {
        let emulator = start().await;
        let message = "Checksum policy 'LocalRepoChecksumPolicy: CLIENT' rejected the artifact 'generic-local:x'. \
                       Checksums info: [...]";
        let broken = |emulator: &Emulator| emulator.inject(always(fault("PUT", "", says(409, message))));
        let kind = ErrorKind::ChecksumMismatch;
        assert_refused(&emulator, &store(&emulator), broken, kind, &["rejected the artifact"]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_name_that_the_patterns_exclude() {
        let emulator = start().await;
        let store = store(&emulator);
        // The name must not be taken for what is wrong.
        for name in [".DS_Store", "d/CVS/x", "Checksum~", "quota~"] {
            for form in Form::ALL {
                let error = Content::new(form, 1).put(&store, name).await.expect_err("it is excluded");
                assert_error(
                    &error,
                    ErrorKind::InvalidPath,
                    &["include/exclude patterns", "rename the artifact"],
                );
            }
        }
        assert_eq!(emulator.files(), [""; 0]);
    }
}

mod status_413 {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn no_space_at_the_server() {
        let emulator = builder().quota(Some(500)).start().await.expect("the emulator starts");
        let words = ["Datastore disk usage is too high", "the server has no space left"];
        as_admin(&emulator)
            .put_bytes(&path("old"), "old content".into())
            .await
            .expect("there is space for it");
        for (seed, form) in (1..).zip(Form::ALL) {
            let error = Content::new(form, seed).put(&store(&emulator), "old").await.expect_err("no space");
            // What is too much for the rest of the space is known from its length alone: the server hangs up on a stream.
            if form != Form::Stream || error.kind() != ErrorKind::Connection {
                assert_error(&error, ErrorKind::NoSpace, &words);
            }
        }
        // One that the server reads to its end hears why.
        let short = random_bytes(1, 3 << 19);
        let body = PutBody::Stream { stream: chunked(&short, 100_000), length: Some(short.len() as u64) };
        let error = store(&emulator).put(&path("old"), body, PutOptions::default()).await;
        assert_error(&error.expect_err("no space"), ErrorKind::NoSpace, &words);
        assert_eq!(contents(&emulator).await, [("old".to_owned(), Some("old content".into()))]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_proxy_that_limits_requests() {
        let emulator = start().await;
        let broken = |emulator: &Emulator| {
            emulator.inject(always(fault("PUT", "", status(413, None, FaultBody::Html))));
        };
        let words = ["a proxy before the server limits the size"];
        assert_refused(&emulator, &store(&emulator), broken, ErrorKind::TooLarge, &words).await;
    }
}

mod passing {
    use super::*;

    /// Reads and writes while the server answers like this once, and tells how long each took.
    async fn times_of(code: u16, retry_after: Option<&str>) -> [Duration; 2] {
        times_at(&serving(builder(), b"content").await, code, retry_after).await
    }

    async fn times_at(emulator: &Emulator, code: u16, retry_after: Option<&str>) -> [Duration; 2] {
        let (store, effect) = (store(emulator), status(code, retry_after, FaultBody::Empty));
        emulator.inject(fault("GET", "d/file", effect.clone()));
        let began = Instant::now();
        assert_eq!(store.get_bytes(&path("d/file")).await.expect("it passes"), "content");
        let read = began.elapsed();
        emulator.inject(fault("PUT", "d/file", effect));
        let began = Instant::now();
        store.put_bytes(&path("d/file"), "new".into()).await.expect("it passes");
        let written = began.elapsed();
        assert_eq!(contents(emulator).await[1..], [("d/file".to_owned(), Some("new".into()))]);
        [read, written]
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn too_many_requests_with_retry_after_in_seconds_is_waited_for() {
        for took in times_of(429, Some("1")).await {
            assert!(took >= Duration::from_secs(1), "{took:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn too_many_requests_with_retry_after_as_a_date_is_waited_for() {
        let emulator = serving(builder(), b"content").await;
        let date = std::time::SystemTime::now() + Duration::from_secs(3);
        // Dates have whole seconds: it may be almost one less. And the answer that tells it takes its time.
        let [read, _] = times_at(&emulator, 429, Some(&httpdate::fmt_http_date(date))).await;
        assert!(read > Duration::from_millis(900), "{read:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn too_many_requests_without_retry_after_is_waited_for_a_little() {
        for took in times_of(429, None).await {
            assert!(took >= Duration::from_millis(250), "{took:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn unavailable_with_retry_after_is_waited_for() {
        for took in times_of(503, Some("1")).await {
            assert!(took >= Duration::from_secs(1), "{took:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn failures_of_the_server_are_tried_again() {
        join_all([408, 500, 502, 503, 504].map(|code| times_of(code, None))).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_unreasonable_retry_after_is_not_waited_for() {
        let emulator = start().await;
        emulator.inject(always(fault("PUT", "", status(429, Some("86400"), FaultBody::Empty))));
        let error = Content::new(Form::Small, 1).put(&store(&emulator), "file").await.expect_err("a day");
        assert_error(&error, ErrorKind::RateLimited, &["429"]);
        assert_eq!((error.retry(), error.retry_after()), (Retry::Exhausted, Some(Duration::from_hours(24))));
        assert_eq!(emulator.counters().requests, 1);
    }

    async fn assert_stays(code: u16, body: FaultBody, kind: ErrorKind, words: &[&str]) {
        let emulator = start().await;
        let store = open(&emulator, "", &config().with("retries", "0"));
        let broken = |emulator: &Emulator| {
            emulator.inject(always(fault("PUT", "", status(code, None, body.clone()))));
        };
        assert_refused(&emulator, &store, broken, kind, words).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn too_many_requests_that_stay_too_many() {
        assert_stays(429, FaultBody::Json("slow down".into()), ErrorKind::RateLimited, &["slow down"]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_broken_server() {
        let body = FaultBody::Json("java.lang.NullPointerException".into());
        assert_stays(500, body, ErrorKind::Unavailable, &["NullPointerException"]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_is_not_available() {
        assert_stays(503, FaultBody::Empty, ErrorKind::Unavailable, &["503"]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_page_of_a_broken_proxy() {
        assert_stays(502, FaultBody::Html, ErrorKind::Unavailable, &["an HTML page, as of a proxy"]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn repetitions_end_and_say_how_many_they_were() {
        let emulator = start().await;
        emulator.inject(always(fault("PUT", "", status(503, None, FaultBody::Empty))));
        let error = Content::new(Form::Small, 1).put(&store(&emulator), "file").await.expect_err("it stays");
        assert_error(&error, ErrorKind::Unavailable, &["503"]);
        assert_eq!((error.retry(), error.attempts()), (Retry::Exhausted, 3));
        assert_eq!((emulator.counters().requests, emulator.files().len()), (3, 0));
    }
}

mod uploads {
    use super::*;

    fn size_of(form: Form) -> u64 {
        form.size() as u64
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn reset_before_the_first_byte() {
        assert_survived(|_| Effect::ResetAfterRequestBytes(0)).await;
        assert_ends_a_stream(Effect::ResetAfterRequestBytes(0), ErrorKind::Connection).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn reset_in_the_middle() {
        assert_survived(|form| Effect::ResetAfterRequestBytes(size_of(form) / 2)).await;
        let effect = Effect::ResetAfterRequestBytes(size_of(Form::Stream) / 2);
        assert_ends_a_stream(effect, ErrorKind::Connection).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn reset_after_the_last_byte() {
        assert_survived(|form| Effect::ResetAfterRequestBytes(size_of(form))).await;
        assert_ends_a_stream(Effect::ResetAfterRequestBytes(size_of(Form::Stream)), ErrorKind::Connection)
            .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_that_is_always_reset() {
        let emulator = start().await;
        let broken = |emulator: &Emulator| {
            emulator.inject(always(fault("PUT", "", Effect::ResetAfterRequestBytes(0))));
        };
        let store = open(&emulator, "", &config().with("retries", "0"));
        assert_refused(&emulator, &store, broken, ErrorKind::Connection, &["the connection broke"]).await;
    }

    /// The server has it, and the client does not know: it asks, and sends nothing twice.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_that_is_lost() {
        for (seed, form) in (1..).zip(Form::ALL) {
            let emulator = start().await;
            let (content, store) = (Content::new(form, seed), store(&emulator));
            let mut fault = fault("PUT", "file", Effect::ResetAfterResponseBytes(0));
            fault.skip = form.questions();
            emulator.inject(fault);
            content.put(&store, "file").await.expect("it is there");
            assert_eq!(contents(&emulator).await, [("file".to_owned(), Some(content.bytes))]);
            let sent = emulator.counters().bytes_received;
            let most = size_of(form) * if form == Form::Small { 2 } else { 1 };
            assert!(sent <= most, "{form:?}: {sent}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_that_is_cut_short() {
        assert_survived(|_| Effect::TruncateResponse(20)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_slow_answer_is_waited_for() {
        let config = config().with("read_timeout", "3").with("commit_timeout", "30");
        join_all([Form::Small, Form::File, Form::Stream].map(async |form| {
            let emulator = start().await;
            let content = Content::new(form, 1);
            let mut fault = fault("PUT", "file", Effect::DelayResponse(Duration::from_millis(3_300)));
            fault.skip = form.questions();
            emulator.inject(fault);
            content.put(&open(&emulator, "", &config), "file").await.expect("it comes");
            let counters = emulator.counters();
            // It was waited for, not asked for again.
            assert_eq!((counters.deploy, counters.checksum_deploy_hits), (1, 0), "{form:?}");
            assert_eq!(contents(&emulator).await, [("file".to_owned(), Some(content.bytes))]);
        }))
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_that_does_not_come_is_asked_for_again() {
        let emulator = start().await;
        let (content, config) = (Content::new(Form::File, 1), config().with("commit_timeout", "3"));
        let mut fault = fault("PUT", "file", Effect::DelayResponse(Duration::from_secs(20)));
        fault.skip = content.form.questions();
        emulator.inject(fault);
        content.put(&open(&emulator, "", &config), "file").await.expect("it is there");
        let counters = emulator.counters();
        assert_eq!((counters.deploy, counters.checksum_deploy_hits), (1, 1));
        assert_eq!(contents(&emulator).await, [("file".to_owned(), Some(content.bytes))]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_takes_no_bytes() {
        let emulator = start().await;
        let config = config().with("read_timeout", "1").with("retries", "0");
        // More than the buffers of a connection hold.
        let content = random_bytes(1, 24 << 20);
        let body = PutBody::Stream { stream: chunked(&content, 1 << 20), length: Some(content.len() as u64) };
        emulator.inject(fault("PUT", "file", Effect::DelayHeaders(Duration::from_secs(20))));
        let put = open(&emulator, "", &config);
        let error = put.put(&path("file"), body, PutOptions::default()).await.expect_err("it is silent");
        assert_error(&error, ErrorKind::Timeout, &["the server was silent for 1 s"]);
        assert_eq!(emulator.files(), [""; 0]);
    }

    /// What the server says it has is not what was sent: that must not stay, nor be called a success.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_wrong_hash_in_the_answer() {
        for (seed, form) in (1..).zip(Form::ALL) {
            let emulator = start().await;
            let content = Content::new(form, seed);
            emulator.inject(always(fault("PUT", "file", Effect::WrongChecksumHeaders)));
            let error = content.put(&store(&emulator), "file").await.expect_err("it is another");
            let words = ["what the server had stored was removed: try again"];
            assert_error(&error, ErrorKind::ChecksumMismatch, &words);
            assert_eq!(emulator.files(), [""; 0], "{form:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_wrong_hash_where_nothing_may_be_deleted() {
        let emulator = start().await;
        emulator.inject(always(fault("PUT", "file", Effect::WrongChecksumHeaders)));
        let store = open(&emulator, "", &config().with("delete_skip", "true"));
        let error = Content::new(Form::Small, 1).put(&store, "file").await.expect_err("it is another");
        assert_error(&error, ErrorKind::ChecksumMismatch, &["could not be removed: remove it"]);
        assert_eq!(emulator.counters().delete, 0);
    }

    /// A login page says 200 to everything.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_page_with_status_200_is_no_success() {
        let emulator = start().await;
        let page = |method| always(fault(method, "", status(200, None, FaultBody::Html)));
        let broken = |emulator: &Emulator| emulator.inject(page("PUT"));
        assert_refused(&emulator, &store(&emulator), broken, ErrorKind::Protocol, &[]).await;
        emulator.inject(page("PUT"));
        let made = store(&emulator).create_directory(&path("made")).await.expect_err("it is not made");
        assert_error(&made, ErrorKind::Protocol, &["an HTML page, as of a proxy or a login"]);
        emulator.inject(page("DELETE"));
        let deleted = store(&emulator).delete_tree(&path("d")).await.expect_err("it is not gone");
        assert_error(&deleted, ErrorKind::Protocol, &["an HTML page, as of a proxy or a login"]);
        emulator.clear_faults();
        assert_eq!(contents(&emulator).await[1..], [("d/old".to_owned(), Some("old content".into()))]);
    }
}

mod downloads {
    use super::*;

    /// Reads a large file while its answer is spoiled once. It must be whole, and not have come twice.
    async fn assert_resumed(effect: Effect) {
        for redirect in [None, Some(Redirect::default())] {
            let content = large();
            let emulator = serving(builder().redirect(redirect.clone()), &content).await;
            let place = if redirect.is_some() { "/bucket/" } else { "d/file" };
            emulator.inject(fault("GET", place, effect.clone()));
            let read = store(&emulator).get_bytes(&path("d/file")).await.expect("it is taken up again");
            assert!(read == content, "{effect:?}");
            let sent = emulator.counters().bytes_sent;
            assert!(sent < content.len() as u64 * 2, "{effect:?}: {sent}");
            assert_eq!(emulator.counters().requests_with_credentials_at_storage, 0);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn reset_before_the_first_byte() {
        assert_resumed(Effect::ResetAfterResponseBytes(0)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn reset_in_the_middle() {
        assert_resumed(Effect::ResetAfterResponseBytes(3 << 19)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn reset_after_the_last_byte() {
        assert_resumed(Effect::ResetAfterResponseBytes(3 << 20)).await;
        assert_resumed(Effect::ResetAfterResponseBytes((3 << 20) - 1)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn truncated() {
        for at in [0, 1, 3 << 19, (3 << 20) - 1] {
            assert_resumed(Effect::TruncateResponse(at)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn cut_again_and_again_it_still_comes() {
        let content = large();
        let emulator = serving(builder(), &content).await;
        // As often as the front proxy that cuts at a gibibyte, in small.
        emulator.inject(always(fault("GET", "d/file", Effect::TruncateResponse(400_000))));
        let read = store(&emulator).get_bytes(&path("d/file")).await.expect("each time there is more");
        assert!(read == content);
        assert_eq!(emulator.counters().download, content.len() as u64 / 400_000 + 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn cut_without_a_byte_each_time_it_ends() {
        let emulator = serving(builder(), &large()).await;
        emulator.inject(always(fault("GET", "d/file", Effect::TruncateResponse(0))));
        let error = store(&emulator).get_bytes(&path("d/file")).await.expect_err("it never comes");
        assert_error(&error, ErrorKind::Connection, &["d/file"]);
        assert_eq!(error.retry(), Retry::Exhausted);
        assert!(emulator.counters().download < 10);
    }

    /// Fails, and leaves what stood at the local name.
    async fn assert_spoiled(redirect: Option<Redirect>, place: &str, effect: Effect) {
        let emulator = serving(builder().redirect(redirect), &large()).await;
        emulator.inject(always(fault("GET", place, effect)));
        let directory = tempfile::tempdir().expect("a temporary directory");
        let local = directory.path().join("local");
        std::fs::write(&local, "old").expect("the file is written");
        let transfer = mlflow_artifacts_transfer::Transfer::new(store(&emulator));
        let error = transfer.download_file(&path("d/file"), &local).await.expect_err("it is another");
        assert_error(&error, ErrorKind::ChecksumMismatch, &["d/file"]);
        assert_eq!(std::fs::read(&local).expect("it is there"), b"old");
        let names = std::fs::read_dir(directory.path()).expect("it is there").count();
        assert_eq!(names, 1, "nothing half beside it");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn corrupted() {
        assert_spoiled(None, "d/file", Effect::CorruptBody).await;
        assert_spoiled(Some(Redirect::default()), "/bucket/", Effect::CorruptBody).await;
        let without = Redirect { checksum_headers: false, ..Redirect::default() };
        assert_spoiled(Some(without), "/bucket/", Effect::CorruptBody).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_wrong_hash_in_the_headers() {
        let emulator = serving(builder(), &large()).await;
        emulator.inject(fault("GET", "d/file", Effect::WrongChecksumHeaders));
        let error = store(&emulator).get_bytes(&path("d/file")).await.expect_err("it is another");
        assert_error(&error, ErrorKind::ChecksumMismatch, &["d/file"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_page_is_no_content() {
        let emulator = serving(builder(), b"content").await;
        let store = open(&emulator, "", &config().with("retries", "0"));
        for (code, kind) in [(200, ErrorKind::Protocol), (502, ErrorKind::Unavailable)] {
            for method in ["GET", "HEAD", "POST"] {
                emulator.inject(always(fault(method, "", status(code, None, FaultBody::Html))));
            }
            assert_error(&store.get_bytes(&path("d/file")).await.expect_err("get"), kind, &[]);
            assert_error(&store.stat(&path("d/file")).await.expect_err("stat"), kind, &[]);
            let listed = store.list_all(&path("d"), ListOptions { recursive: true }).await;
            assert_error(&listed.expect_err("list"), kind, &[]);
            assert_error(&store.properties(&path("d/file")).await.expect_err("properties"), kind, &[]);
            assert_error(&store.describe().await.expect_err("describe"), kind, &[]);
            emulator.clear_faults();
        }
        assert_eq!(store.get_bytes(&path("d/file")).await.expect("it is whole again"), "content");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_silent_server() {
        let emulator = serving(builder(), b"content").await;
        let config = config().with("read_timeout", "1").with("retries", "0");
        for method in ["GET", "HEAD"] {
            emulator.inject(always(fault(method, "", Effect::DelayHeaders(Duration::from_secs(30)))));
        }
        // Each asks with a store of its own: until one is let in, they would ask one by one.
        let open = || open(&emulator, "", &config);
        let (first, second, third, file) = (open(), open(), open(), path("d/file"));
        let began = Instant::now();
        let (get, stat, list) = tokio::join!(
            first.get_bytes(&file),
            second.stat(&file),
            third.list_all(&file, ListOptions::default())
        );
        assert_error(&get.expect_err("get"), ErrorKind::Timeout, &["the server was silent for 1 s"]);
        assert_error(&stat.expect_err("stat"), ErrorKind::Timeout, &["the server was silent for 1 s"]);
        assert_error(&list.expect_err("list"), ErrorKind::Timeout, &["the server was silent for 1 s"]);
        assert!(began.elapsed() < Duration::from_secs(15));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_redirect_that_has_expired_when_it_is_followed() {
        let content = large();
        let redirect = Redirect { valid_for: Duration::from_secs(2), ..Redirect::default() };
        let emulator = serving(builder().redirect(Some(redirect)), &content).await;
        emulator.inject(fault("GET", "/bucket/", Effect::DelayHeaders(Duration::from_millis(2_200))));
        let read = store(&emulator).get_bytes(&path("d/file")).await.expect("it is signed again");
        assert!(read == content);
        let counters = emulator.counters();
        assert_eq!((counters.download, counters.storage), (2, 2));
        assert_eq!(counters.requests_with_credentials_at_storage, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_redirect_that_expires_while_the_file_comes() {
        let content = large();
        let redirect = Redirect { valid_for: Duration::from_secs(2), checksum_headers: false, from_bytes: 1 };
        let emulator = serving(builder().redirect(Some(redirect)), &content).await;
        emulator.inject(fault("GET", "/bucket/", Effect::TruncateResponse(1 << 20)));
        let mut download =
            store(&emulator).get(&path("d/file"), GetOptions::default()).await.expect("it begins");
        let mut read = Vec::new();
        while let Some(piece) = download.stream.try_next().await.expect("it goes on") {
            if read.is_empty() {
                // The signature that began it is no longer good when the rest is asked for.
                tokio::time::sleep(Duration::from_millis(2_200)).await;
            }
            read.extend_from_slice(&piece);
        }
        assert!(content == read);
        assert!(emulator.counters().bytes_sent < content.len() as u64 * 2);
    }

    /// Only the first part is of the file that was asked for: it is an error, not a mixture.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_that_is_replaced_while_it_comes() {
        for redirect in [None, Some(Redirect::default())] {
            let emulator = serving(builder().redirect(redirect.clone()), &large()).await;
            let place = if redirect.is_some() { "/bucket/" } else { "d/file" };
            emulator.inject(fault("GET", place, Effect::TruncateResponse(1 << 20)));
            let download =
                store(&emulator).get(&path("d/file"), GetOptions::default()).await.expect("it begins");
            as_admin(&emulator).put_bytes(&path("d/file"), random_bytes(10, 3 << 20)).await.expect("put");
            let error = download.bytes().await.expect_err("it is another now");
            assert_error(&error, ErrorKind::PreconditionFailed, &["d/file"]);
        }
    }
}

mod connections {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has one");
        drop(listener);
        let uri = format!("artifactory://{address}/artifactory/generic-local");
        // With all repetitions: a server that never answered is not waited for.
        let store = open_uri(&uri, &StoreConfig::new().with("token", CANARY)).expect("the URI is fine");
        let began = Instant::now();
        let error = Content::new(Form::Stream, 1).put(&store, "file").await.expect_err("nobody listens");
        assert_error(&error, ErrorKind::Connection, &["no connection"]);
        let error = store.stat(&path("file")).await.expect_err("nobody listens");
        assert_error(&error, ErrorKind::Connection, &["check the host, the port and the proxy", "refused"]);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn to_a_host_that_is_not_known() {
        let uri = "artifactory://no-such-host.invalid/artifactory/generic-local";
        let store = open_uri(uri, &config()).expect("the URI is fine");
        let error = store.stat(&path("file")).await.expect_err("there is no such host");
        assert_error(&error, ErrorKind::Connection, &["check the host"]);
    }
}

mod in_parts {
    use std::path::PathBuf;

    use tempfile::TempDir;
    use tokio::sync::Mutex;

    use super::*;

    /// One at a time: each moves 201 MiB.
    static TURN: Mutex<()> = Mutex::const_new(());

    /// A file that is large enough to go in parts, and begins and ends with something.
    fn huge() -> (TempDir, PathBuf) {
        use std::io::{Seek as _, SeekFrom, Write as _};
        const SIZE: u64 = 201 << 20;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("huge");
        let mut file = std::fs::File::create(&path).expect("the file is made");
        file.write_all(b"first").expect("the file is written");
        file.seek(SeekFrom::Start(SIZE - 4)).expect("the file is sought");
        file.write_all(b"last").expect("the file is written");
        (directory, path)
    }

    async fn serving_parts() -> Emulator {
        builder().multipart(true).start().await.expect("the emulator starts")
    }

    /// Uploads the file while all this goes wrong once. It must be whole: the server compares its SHA-1.
    async fn assert_joined(faults: impl IntoIterator<Item = artifactory_emulator::Fault>) {
        let _turn = TURN.lock().await;
        let (emulator, (_directory, file)) = (serving_parts().await, huge());
        for fault in faults {
            emulator.inject(fault);
        }
        let store = store(&emulator);
        let outcome = store.put(&path("d/huge"), PutBody::File(file), PutOptions::default()).await;
        let outcome = outcome.expect("it is tried again");
        let meta = store.stat(&path("d/huge")).await.expect("it is there");
        assert_eq!((meta.size, meta.etag, meta.digest), (201 << 20, outcome.etag, outcome.digest));
        let last = GetOptions { range: ByteRange::Last(6), ..GetOptions::default() };
        let last = store.get(&path("d/huge"), last).await.expect("it is read").bytes().await;
        assert_eq!(last.expect("it is whole"), b"\0\0last"[..]);
        let counters = emulator.counters();
        assert_eq!((counters.deploy, counters.requests_with_credentials_at_storage), (0, 0));
        assert!(counters.storage >= 11, "{counters:?}");
        assert_eq!(emulator.files(), ["generic-local/d", "generic-local/d/huge"]);
    }

    /// Uploads the file while this goes wrong. Nothing may be there afterwards.
    async fn assert_fails(fault: artifactory_emulator::Fault, kind: ErrorKind, words: &[&str]) {
        let _turn = TURN.lock().await;
        let (emulator, (_directory, file)) = (serving_parts().await, huge());
        emulator.inject(fault);
        let put = store(&emulator).put(&path("d/huge"), PutBody::File(file), PutOptions::default()).await;
        assert_error(&put.expect_err("it cannot be"), kind, words);
        assert_eq!(emulator.files(), [""; 0]);
        assert_eq!(emulator.counters().requests_with_credentials_at_storage, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_goes_straight_to_the_storage() {
        assert_joined([]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_passes_is_tried_again() {
        let broken = || status(503, None, FaultBody::Empty);
        assert_joined([
            fault("POST", "uploads/create", broken()),
            fault("POST", "uploads/urlPart?partNumber=2", broken()),
            // A part whose signature has expired, one that fails and one that is cut.
            fault("PUT", "/parts/", status(403, None, FaultBody::Empty)),
            fault("PUT", "/parts/", broken()),
            artifactory_emulator::Fault {
                skip: 5,
                ..fault("PUT", "/parts/", Effect::ResetAfterRequestBytes(1 << 20))
            },
            fault("POST", "uploads/complete", Effect::RetryableMultipartStatus),
            fault("POST", "uploads/status", broken()),
            fault("PUT", "d/huge", broken()),
        ])
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn parts_that_cannot_be_joined() {
        let fault = fault("POST", "uploads/complete", Effect::NonRetryableMultipartStatus);
        let words = ["the server could not join the parts: NON_RETRYABLE_ERROR Injected by a fault"];
        assert_fails(fault, ErrorKind::Unavailable, &words).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_part_that_is_never_taken() {
        let fault = always(fault("PUT", "/parts/", status(507, None, FaultBody::Empty)));
        assert_fails(fault, ErrorKind::NoSpace, &["507"]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_status_that_never_comes() {
        let fault = always(fault("POST", "uploads/status", status(503, None, FaultBody::Empty)));
        assert_fails(fault, ErrorKind::Unavailable, &["503"]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_does_not_say_whether_it_takes_parts_gets_one_request() {
        let _turn = TURN.lock().await;
        let (emulator, (_directory, file)) = (serving_parts().await, huge());
        emulator.inject(always(fault("GET", "uploads/config", status(404, None, FaultBody::Empty))));
        let put = store(&emulator).put(&path("huge"), PutBody::File(file), PutOptions::default()).await;
        assert_eq!(put.expect("it is sent").size, 201 << 20);
        assert_eq!((emulator.counters().deploy, emulator.counters().storage), (1, 0));
    }
}

mod trees {
    use std::path::Path;

    use mlflow_artifacts_transfer::{Transfer, TransferOptions};

    use super::*;

    const FILES: usize = 200;
    const AT_ONCE: usize = 4;

    fn content_of(index: usize) -> bytes::Bytes {
        random_bytes(index as u64, 500 + index * 100)
    }

    fn name_of(index: usize) -> String {
        format!("d{}/file{index}", index % 7)
    }

    fn write_tree(directory: &Path) {
        for index in 0..FILES {
            let file = directory.join(name_of(index));
            std::fs::create_dir_all(file.parent().expect("it has one")).expect("a directory is made");
            std::fs::write(file, content_of(index)).expect("the file is written");
        }
    }

    fn transfer(store: SharedStore) -> Transfer {
        Transfer::with_options(store, TransferOptions { files: AT_ONCE, ..TransferOptions::default() })
    }

    async fn fill(emulator: &Emulator, files: usize) {
        let admin = as_admin(emulator);
        for index in 0..files {
            let name = path("tree").join(&path(&name_of(index)));
            admin.put_bytes(&name, content_of(index)).await.expect("it is whole yet");
        }
    }

    async fn assert_stored(emulator: &Emulator) {
        let stored = contents(emulator).await;
        let files: Vec<_> = stored.into_iter().filter_map(|(name, content)| Some((name, content?))).collect();
        let mut expected: Vec<_> =
            (0..FILES).map(|index| (format!("tree/{}", name_of(index)), content_of(index))).collect();
        expected.sort();
        assert!(files == expected, "{} files", files.len());
    }

    /// Waits until so many requests were made.
    async fn after(emulator: &Emulator, requests: u64) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while emulator.counters().requests < requests {
            assert!(Instant::now() < deadline, "{:?}", emulator.counters());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn restart(emulator: &mut Emulator) {
        emulator.stop().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        // Somebody else may have the port for a moment.
        let mut restarted = emulator.restart().await;
        for _ in 0..50 {
            if restarted.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            restarted = emulator.restart().await;
        }
        restarted.expect("the port is free again");
    }

    fn unhurried() -> Builder {
        builder().request_delay(Duration::from_millis(10))
    }

    fn patient() -> StoreConfig {
        StoreConfig::new().with("token", CANARY)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_server_is_restarted_while_a_tree_goes_up() {
        let mut emulator = unhurried().start().await.expect("the emulator starts");
        let directory = tempfile::tempdir().expect("a temporary directory");
        write_tree(directory.path());
        let (transfer, local) = (transfer(open(&emulator, "", &patient())), directory.path().to_owned());
        let upload = tokio::spawn(async move { transfer.upload_tree(&local, &path("tree")).await });
        after(&emulator, 60).await;
        assert!(!upload.is_finished());
        restart(&mut emulator).await;
        let report =
            upload.await.expect("no panic").and_then(mlflow_artifacts_transfer::TreeReport::into_result);
        assert_eq!(report.expect("every file").transferred(), FILES);
        assert_stored(&emulator).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_server_is_restarted_while_a_tree_comes_down() {
        let mut emulator = unhurried().start().await.expect("the emulator starts");
        fill(&emulator, FILES).await;
        emulator.reset_counters();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (transfer, local) = (transfer(open(&emulator, "", &patient())), directory.path().to_owned());
        let download = tokio::spawn(async move { transfer.download_tree(&path("tree"), &local).await });
        after(&emulator, 60).await;
        assert!(!download.is_finished());
        restart(&mut emulator).await;
        let report =
            download.await.expect("no panic").and_then(mlflow_artifacts_transfer::TreeReport::into_result);
        assert_eq!(report.expect("every file").transferred(), FILES);
        for index in 0..FILES {
            let local = std::fs::read(directory.path().join(name_of(index))).expect("it is there");
            assert!(content_of(index) == local, "{index}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_token_expires_on_the_way_and_nobody_is_locked_out() {
        let emulator = unhurried().start().await.expect("the emulator starts");
        emulator.lockout(u32::try_from(AT_ONCE).expect("it is small") + 1);
        let directory = tempfile::tempdir().expect("a temporary directory");
        write_tree(directory.path());
        let mut expiry = fault("PUT", "tree", Effect::ExpireTokens);
        expiry.skip = 60;
        emulator.inject(expiry);
        let report = transfer(store(&emulator)).upload_tree(directory.path(), &path("tree")).await;
        let report = report.expect("each file has its own outcome");
        let done = report.transferred();
        assert!((20..=60).contains(&done) && done + report.failures().count() == FILES, "{done}");
        for (_, error) in report.failures() {
            assert_error(error, ErrorKind::Unauthenticated, &[]);
        }
        assert_error(&report.error().expect("there is one"), ErrorKind::Unauthenticated, &["expired"]);
        let counters = emulator.counters();
        assert!((1..=AT_ONCE as u64).contains(&counters.unauthenticated), "{counters:?}");
        assert_eq!(counters.forbidden, 0, "locked out");
        let stored = contents(&emulator).await;
        let files: Vec<_> =
            stored.iter().filter_map(|(name, content)| Some((name, content.as_ref()?))).collect();
        assert_eq!(files.len(), done);
        for (name, content) in files {
            let local = std::fs::read(directory.path().join(&name["tree/".len()..])).expect("it is there");
            assert!(*content == local, "{name}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_token_file_that_is_rewritten_on_the_way_is_read_again() {
        let emulator = unhurried().start().await.expect("the emulator starts");
        emulator.lockout(u32::try_from(AT_ONCE).expect("it is small") + 1);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (tree, token) = (directory.path().join("tree"), directory.path().join("token"));
        write_tree(&tree);
        std::fs::write(&token, CANARY).expect("the token is written");
        let config = StoreConfig::new().with("token_file", token.to_str().expect("it is UTF-8"));
        let transfer = transfer(open(&emulator, "", &config));
        let upload = tokio::spawn(async move { transfer.upload_tree(&tree, &path("tree")).await });
        after(&emulator, 60).await;
        emulator.add_token("canary-second");
        std::fs::write(&token, "canary-second\n").expect("the token is written");
        assert!(emulator.revoke_token(CANARY) && !upload.is_finished());
        let report =
            upload.await.expect("no panic").and_then(mlflow_artifacts_transfer::TreeReport::into_result);
        assert_eq!(report.expect("every file").transferred(), FILES);
        assert_stored(&emulator).await;
        let counters = emulator.counters();
        assert!((1..=AT_ONCE as u64).contains(&counters.unauthenticated), "{counters:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_listing_that_is_cut_is_no_tree() {
        for edition in [Edition::Pro, Edition::Oss] {
            let emulator = builder().edition(edition).start().await.expect("the emulator starts");
            fill(&emulator, 20).await;
            for method in ["GET", "POST"] {
                emulator.inject(always(fault(method, "/api/", Effect::TruncateResponse(1_000))));
            }
            let listed = store(&emulator).list_all(&path("tree"), ListOptions { recursive: true }).await;
            assert_error(&listed.expect_err("it is cut"), ErrorKind::Connection, &["tree"]);
            let directory = tempfile::tempdir().expect("a temporary directory");
            let fetched = transfer(store(&emulator)).download_tree(&path("tree"), directory.path()).await;
            assert_error(&fetched.expect_err("it is cut"), ErrorKind::Connection, &["tree"]);
        }
    }
}
