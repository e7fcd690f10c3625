//! What the store does and does not do, beyond the conformance suite: against the emulator, and against servers that are
//! something else.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use artifactory_emulator::{Edition, Effect, Emulator, FaultBody, Redirect, RepositoryKind};
use common::{
    CANARY, Content, Form, always, as_admin, assert_error, assert_no_secret, builder, config, contents,
    fault, open, open_at, open_uri, path, start, status, store,
};
use mlflow_artifacts_core::{
    ArtifactKind, ArtifactStoreExt as _, ArtifactUri, CopyOptions, DeleteOptions, Deleted, EnvSource,
    ErrorKind, GetOptions, ListOptions, Properties, PutBody, PutOptions, Registry, Result, SharedStore,
    StoreConfig, TrustedHosts,
};
use mlflow_artifacts_testkit::bodies::{chunked, random_bytes};
use test_servers::Scripted;

/// The URI of a repository on a server that is no Artifactory.
fn uri(server: &Scripted) -> String {
    format!("artifactory://{}/artifactory/generic-local", server.address())
}

fn properties(pairs: &[(&str, &[&str])]) -> Properties {
    let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    pairs.iter().map(|(name, told)| ((*name).to_owned(), values(told))).collect()
}

/// Makes every operation that asks a server, each with its name.
async fn every_operation(store: &SharedStore) -> Vec<(&'static str, Result<String>)> {
    fn told<T: std::fmt::Debug>(result: Result<T>) -> Result<String> {
        result.map(|answer| format!("{answer:?}"))
    }
    let (file, copy, all) = (path("d/file"), path("copy"), ListOptions { recursive: true });
    vec![
        ("stat", told(store.stat(&file).await)),
        ("properties", told(store.properties(&file).await)),
        ("get", told(store.get_bytes(&file).await)),
        ("put", told(store.put_bytes(&file, "new".into()).await)),
        ("put of a file", told(Content::new(Form::File, 1).put(store, "d/large").await)),
        ("put of a stream", told(Content::new(Form::Stream, 1).put(store, "d/large").await)),
        ("copy", told(store.copy(&file, &copy, CopyOptions::default()).await)),
        ("create_directory", told(store.create_directory(&path("made")).await)),
        ("list", told(store.list_all(&path("d"), ListOptions::default()).await)),
        ("list, recursive", told(store.list_all(&path(""), all).await)),
        ("delete", told(store.delete(&file, DeleteOptions::default()).await)),
        ("delete, recursive", told(store.delete_tree(&path("d")).await)),
        ("delete of all", told(store.delete_tree(&path("")).await)),
        ("delete_many", told(store.delete_many(vec![file]).await.remove(0))),
        ("describe", told(store.describe().await)),
    ]
}

mod known_content {
    use mlflow_artifacts_transfer::Transfer;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn is_not_sent_again() {
        let emulator = start().await;
        let store = store(&emulator);
        for (seed, form) in (1..).zip([Form::Bytes, Form::File]) {
            let content = Content::new(form, seed);
            content.put(&store, "first").await.expect("it is new");
            emulator.reset_counters();
            content.put(&store, "first").await.expect("it is there");
            content.put(&store, "second").await.expect("it is known");
            let counters = emulator.counters();
            assert_eq!((counters.bytes_received, counters.deploy, counters.requests), (0, 0, 2), "{form:?}");
            assert_eq!(counters.checksum_deploy_hits, 2);
            assert_eq!(store.get_bytes(&path("second")).await.expect("it is there"), content.bytes);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_tree_that_is_there_sends_no_bytes() {
        let emulator = start().await;
        let tree = tempfile::tempdir().expect("a temporary directory");
        for index in 0..50_usize {
            let content = random_bytes(index as u64, index * 1_000);
            std::fs::write(tree.path().join(format!("file{index}")), content).expect("the file is written");
        }
        let upload = async || {
            let report = Transfer::new(store(&emulator)).upload_tree(tree.path(), &path("tree")).await;
            report.and_then(mlflow_artifacts_transfer::TreeReport::into_result).expect("every file")
        };
        upload().await;
        let before = contents(&emulator).await;
        emulator.reset_counters();
        assert_eq!(upload().await.transferred(), 50);
        let counters = emulator.counters();
        assert_eq!((counters.bytes_received, counters.deploy, counters.checksum_deploy), (0, 0, 0));
        assert!(contents(&emulator).await == before);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn is_not_asked_for_where_the_question_costs_more() {
        let emulator = start().await;
        let store = store(&emulator);
        for index in 0..20 {
            store.put_bytes(&path(&index.to_string()), random_bytes(index, 4_000)).await.expect("put");
        }
        let counters = emulator.counters();
        assert_eq!((counters.deploy, counters.checksum_deploy, counters.requests), (20, 0, 20));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn is_no_longer_asked_for_when_nothing_is_known() {
        let emulator = start().await;
        let store = store(&emulator);
        for index in 0..40 {
            store.put_bytes(&path(&index.to_string()), random_bytes(index, 20_000)).await.expect("put");
        }
        let counters = emulator.counters();
        assert_eq!((counters.deploy, counters.checksum_deploy), (40, 16));
    }

    /// Who may not read it is not told that it is known.
    #[tokio::test(flavor = "multi_thread")]
    async fn that_may_not_be_read_is_sent() {
        let write_only =
            artifactory_emulator::Permissions { read: false, ..artifactory_emulator::Permissions::ALL };
        let emulator = builder().token_with("canary-w", write_only).start().await.expect("it starts");
        let content = Content::new(Form::Bytes, 1);
        content.put(&as_admin(&emulator), "first").await.expect("it is new");
        let store = open(&emulator, "", &StoreConfig::new().with("token", "canary-w"));
        content.put(&store, "second").await.expect("it is sent");
        assert_eq!(emulator.counters().deploy, 2);
    }
}

mod delete_skip {
    use super::*;

    fn kept(result: Result<Deleted>) {
        assert_eq!(result.expect("no error"), Deleted::Kept);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn protects_whatever_it_is_called() {
        let emulator = start().await;
        for file in ["a", "d/b", "d/e/c"] {
            as_admin(&emulator).put_bytes(&path(file), "content".into()).await.expect("it is whole yet");
        }
        as_admin(&emulator).create_directory(&path("empty")).await.expect("it is whole yet");
        let before = contents(&emulator).await;
        for value in ["true", "True", "TRUE", "1", "yes", "On"] {
            let env: EnvSource = [("ARTIFACTORY_ARTIFACTS_DELETE_SKIP", value)].into_iter().collect();
            for root in ["", "d"] {
                let store = open(&emulator, root, &config().with_env(env.clone()));
                let (file, directory) = if root.is_empty() { ("a", "d") } else { ("b", "e") };
                kept(store.delete(&path(file), DeleteOptions::default()).await);
                kept(store.delete_tree(&path(file)).await);
                kept(store.delete_tree(&path(directory)).await);
                kept(store.delete_tree(&path("")).await);
                store.delete_many(vec![path(file); 3]).await.into_iter().for_each(kept);
                assert_eq!(store.delete_tree(&path("gone")).await.expect("no error"), Deleted::Absent);
                let refused = store.delete(&path(directory), DeleteOptions::default()).await;
                assert_error(&refused.expect_err("a directory"), ErrorKind::IsADirectory, &[]);
            }
            assert_eq!(emulator.counters().delete, 0, "{value}");
            assert_eq!(contents(&emulator).await, before, "{value}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn that_is_off_protects_nothing() {
        let emulator = start().await;
        for value in ["false", "0", "No", "off"] {
            as_admin(&emulator).put_bytes(&path("d/a"), "content".into()).await.expect("it is whole yet");
            let env: EnvSource = [("ARTIFACTORY_ARTIFACTS_DELETE_SKIP", value)].into_iter().collect();
            let store = open(&emulator, "", &config().with_env(env));
            assert_eq!(store.delete_tree(&path("d")).await.expect("no error"), Deleted::Removed);
            assert_eq!(emulator.files(), [""; 0], "{value}");
        }
    }
}

mod hosts {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_token_stays_with_its_host() {
        let emulator = start().await;
        let address = emulator.address().to_string();
        let uri = format!("artifactory://{address}/artifactory/generic-local");
        let bound_to = |host: &str| open_uri(&uri, &config().with("credentials_host", host));
        for host in ["art.example", "127.0.0.1:1", "127.0.0.2"] {
            let error = bound_to(host).expect_err("another host");
            assert_error(&error, ErrorKind::HostNotAllowed, &["they do not leave for it", host]);
        }
        for host in [address.as_str(), "127.0.0.1"] {
            bound_to(host).expect("its host").put_bytes(&path("file"), "x".into()).await.expect("it may");
        }
        assert_eq!(emulator.counters().requests, 2);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_uri_that_a_client_chose_opens_trusted_hosts_only() {
        let emulator = start().await;
        let trusted = ArtifactUri::parse(&format!("artifactory://{}/artifactory/r", emulator.address()));
        let mut registry = Registry::new();
        mlflow_artifacts_artifactory::register(&mut registry).expect("the scheme is free");
        let registry = registry.with_policy(TrustedHosts::new([trusted.expect("it is a URI")]));
        let config = config().with("no_ssl", "true");
        let other = Scripted::start(|_| Scripted::respond(200, &[], ""));
        for host in [other.address().to_string(), format!("u:canary@{}", other.address()), "[::1]".into()] {
            let uri = format!("artifactory://{host}/artifactory/generic-local");
            let error = registry.open(&uri, &config).expect_err("another host");
            assert_error(&error, ErrorKind::HostNotAllowed, &["not one this program may connect to"]);
        }
        let uri = format!("artifactory://{}/artifactory/generic-local", emulator.address());
        let store = registry.open(&uri, &config).expect("it is trusted");
        store.put_bytes(&path("file"), "content".into()).await.expect("it may");
        assert!(other.asked().is_empty());
    }

    /// A redirect is no way round: the credential does not follow it.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_redirect_takes_no_credential_along() {
        let sha1 = "040f06fd774092478d450774f5ba30c5da78acc8";
        let storage = Scripted::start(|_| Scripted::respond(200, &[("content-length", "7")], "content"));
        let location = format!("http://{}/bucket/x?X-Signature=canary-signature", storage.address());
        let server = Scripted::start(move |_| {
            Scripted::respond(
                302,
                &[("location", &location), ("x-checksum-sha1", sha1), ("x-jfrog-version", "7")],
                "",
            )
        });
        for (name, value) in [("token", CANARY), ("api_key", "canary-key"), ("password", "canary-password")] {
            let config = StoreConfig::new().with(name, value);
            let config = if name == "password" { config.with("user", "bob") } else { config };
            let store = open_uri(&uri(&server), &config).expect("the URI is fine");
            assert_eq!(store.get_bytes(&path("file")).await.expect("it comes"), "content");
            let asked = storage.asked().pop().expect("it was asked");
            assert!(asked.header("authorization").is_none() && asked.header("x-jfrog-art-api").is_none());
            assert!(!asked.head.contains(value), "{}", asked.head);
            assert!(
                server.asked().last().is_some_and(|asked| asked.header("authorization").is_some()
                    || asked.header("x-jfrog-art-api").is_some())
            );
        }
    }

    /// The storage has etags of its own: a condition on Artifactory's would make it send everything.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_rest_of_a_file_is_asked_of_the_storage_without_a_condition() {
        let content = random_bytes(1, 100_000);
        let (whole, digest) = (content.clone(), sha1_of(&content));
        let pinned = digest.clone();
        let storage = Scripted::start(move |asked| {
            let length = whole.len().to_string();
            if asked.header("if-range").is_some() || asked.header("range").is_none() {
                // Cut: but the length is that of all.
                return Scripted::respond(200, &[("content-length", &length)], &whole[..40_000]);
            }
            let range = format!("bytes 40000-{}/{length}", whole.len() - 1);
            Scripted::respond(
                206,
                &[("content-range", &range), ("content-length", "60000")],
                &whole[40_000..],
            )
        });
        let location = format!("http://{}/bucket/x", storage.address());
        let server = Scripted::start(move |_| {
            Scripted::respond(
                302,
                &[("location", &location), ("x-checksum-sha1", &digest), ("x-jfrog-version", "7")],
                "",
            )
        });
        let store = open_uri(&uri(&server), &config()).expect("the URI is fine");
        assert!(store.get_bytes(&path("file")).await.expect("it is taken up again") == content);
        assert_eq!(server.asked()[1].header("if-range"), Some(pinned.as_str()));
        assert_eq!(storage.asked()[1].header("range"), Some("bytes=40000-99999"));
    }
}

fn sha1_of(content: &[u8]) -> String {
    let mut hasher = mlflow_artifacts_core::Hasher::new(mlflow_artifacts_core::DigestAlgorithm::Sha1);
    hasher.update(content);
    hasher.finish().hex()
}

mod names {
    use super::*;

    /// Names that look as if something would break them, and do not.
    const HELD: &[&str] = &[
        "a;b",
        "e;f=g.txt",
        "a#b",
        "a%b",
        "h%41.txt",
        "a%2Fb",
        "100%",
        "a+b",
        "a b",
        "a,b@c",
        "a=b&c",
        "a[1]{x}",
        "a^b`c",
        "it's",
        "<a>",
        "a:b",
        "$a",
        "a!",
        "\u{e9}",
        "e\u{301}",
        "日本",
        "\u{1f600}",
        "File",
        "file",
        ".hidden",
        "a~b",
        "a#b#c",
        "..a",
        "a..",
        "m.sha512",
        "m.asc",
        "sha1",
        "m.sha1.txt",
        "d/a;b/c",
        "-",
        "_",
        "(a)",
    ];
    /// What no request is made for.
    const REFUSED: &[&str] =
        &["a\\b", "a|b", "a*", "a?b", "\"a\"", " a", "a ", "d /e", "d/ e", "&", "d/&/e", "a.zip!/b"];
    /// What the server takes for the checksum of another artifact.
    const CHECKSUMS: &[&str] = &["m.sha1", "m.MD5", "m.sha256", "d/M.Sha256", "m.md5/a"];
    /// What the patterns that a repository has by default exclude.
    const EXCLUDED: &[&str] =
        &["a~", "#a#", ".#a", "%a%", "._a", ".DS_Store", "d/CVS", "CVS/a", ".svn/a", "SCCS/a", "vssver.scc"];

    #[tokio::test(flavor = "multi_thread")]
    async fn that_are_held_come_back_as_they_were() {
        let emulator = start().await;
        let store = open(&emulator, "top;a b", &config());
        let long = "n".repeat(255);
        let held: Vec<&str> = HELD.iter().copied().chain([long.as_str()]).collect();
        for (seed, name) in (1..).zip(&held) {
            store
                .put_bytes(&path(name), random_bytes(seed, 20))
                .await
                .unwrap_or_else(|error| panic!("{error}"));
        }
        for (seed, name) in (1..).zip(&held) {
            assert_eq!(store.get_bytes(&path(name)).await.expect(name), random_bytes(seed, 20), "{name}");
            assert_eq!(store.stat(&path(name)).await.expect(name).size, 20);
            assert!(store.properties(&path(name)).await.expect(name).is_empty(), "{name}");
            assert!(emulator.files().contains(&format!("generic-local/top;a b/{name}")), "{name}");
        }
        let listed = store.list_all(&path(""), ListOptions { recursive: true }).await.expect("a list");
        let files = listed.iter().filter(|meta| meta.kind == ArtifactKind::File);
        let mut files: Vec<_> = files.map(|meta| meta.path.as_str()).collect();
        let mut expected = held.clone();
        files.sort_unstable();
        expected.sort_unstable();
        assert_eq!(files, expected);
        for name in &held {
            assert_eq!(store.delete_tree(&path(name)).await.expect(name), Deleted::Removed, "{name}");
        }
        assert!(emulator.files().iter().all(|item| !item.ends_with(&long)));
    }

    async fn assert_not_written(store: &SharedStore, name: &str) {
        for form in [Form::Small, Form::File, Form::Stream] {
            let error = Content::new(form, 1).put(store, name).await.expect_err(name);
            assert_error(&error, ErrorKind::InvalidPath, &["Artifactory cannot hold this name: "]);
            assert!(error.help().is_some_and(|help| !help.is_empty()), "{name}");
        }
        let to = store.copy(&path("m"), &path(name), CopyOptions::default()).await;
        assert_error(&to.expect_err(name), ErrorKind::InvalidPath, &["cannot hold"]);
    }

    async fn assert_not_there(store: &SharedStore, name: &str) {
        assert_error(&store.get_bytes(&path(name)).await.expect_err(name), ErrorKind::NotFound, &[]);
        assert_error(&store.stat(&path(name)).await.expect_err(name), ErrorKind::NotFound, &[]);
        assert_eq!(store.delete_tree(&path(name)).await.expect(name), Deleted::Absent);
        assert_eq!(store.delete(&path(name), DeleteOptions::default()).await.expect(name), Deleted::Absent);
        assert_eq!(store.list_all(&path(name), ListOptions::default()).await.expect(name), []);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn that_cannot_be_held_are_refused_before_anything_is_sent() {
        let emulator = start().await;
        let store = store(&emulator);
        let (long, deep) = ("n".repeat(256), format!("{}/a", vec!["d".repeat(99); 11].join("/")));
        for name in REFUSED.iter().copied().chain([long.as_str(), deep.as_str()]) {
            assert_not_written(&store, name).await;
            assert_not_there(&store, name).await;
        }
        assert_eq!(emulator.counters().requests, 0);
    }

    /// The server computes them for whoever asks: they are no artifacts all the same.
    #[tokio::test(flavor = "multi_thread")]
    async fn of_checksums_are_no_artifacts() {
        let emulator = start().await;
        let store = store(&emulator);
        for name in ["m", "d/M"] {
            store.put_bytes(&path(name), "content".into()).await.expect("it is new");
        }
        let before = contents(&emulator).await;
        emulator.reset_counters();
        for name in CHECKSUMS {
            assert_not_written(&store, name).await;
        }
        assert_eq!(emulator.counters().requests, 0);
        for name in CHECKSUMS {
            assert_not_there(&store, name).await;
        }
        assert_eq!(contents(&emulator).await, before);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn that_a_repository_excludes_are_refused_with_the_reason() {
        let emulator = start().await;
        for name in EXCLUDED {
            let error = store(&emulator).put_bytes(&path(name), "x".into()).await.expect_err(name);
            let words = ["include/exclude patterns", "rename the artifact, or change the patterns"];
            assert_error(&error, ErrorKind::InvalidPath, &words);
        }
        assert_eq!(emulator.files(), [""; 0]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn below_a_file_are_refused() {
        let emulator = start().await;
        let store = store(&emulator);
        store.put_bytes(&path("d/file"), "content".into()).await.expect("it is new");
        for form in Form::ALL {
            for name in ["d/file/below", "d/file/far/below"] {
                let error = Content::new(form, 1).put(&store, name).await.expect_err(name);
                assert_error(&error, ErrorKind::NotADirectory, &["d/file"]);
            }
            let error = Content::new(form, 1).put(&store, "d").await.expect_err("a directory");
            assert_error(&error, ErrorKind::IsADirectory, &[]);
        }
        let made = store.create_directory(&path("d/file/below")).await.expect_err("below a file");
        assert_error(&made, ErrorKind::NotADirectory, &[]);
        assert_eq!(contents(&emulator).await[1..], [("d/file".to_owned(), Some("content".into()))]);
    }
}

mod with_properties {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn they_are_kept_copied_and_replaced_with_the_artifact() {
        let told = properties(&[
            ("mlflow.run_id", &["0123abcd"]),
            ("several", &["a", "b"]),
            ("odd", &["a b", "c,d", "e;f=g|h", "i\\j", "k+l%20", "é", "#?&"]),
        ]);
        for edition in [Edition::Pro, Edition::Oss] {
            let emulator = builder().edition(edition).start().await.expect("the emulator starts");
            let store = store(&emulator);
            for form in Form::ALL {
                let content = Content::new(form, 1);
                // Known content takes them as well.
                for name in ["first", "second"] {
                    let options = PutOptions { properties: told.clone(), ..PutOptions::default() };
                    store.put(&path(name), content.body(), options).await.expect("put");
                    assert_eq!(
                        store.properties(&path(name)).await.expect("they are there"),
                        told,
                        "{form:?}"
                    );
                }
            }
            store.copy(&path("first"), &path("copy"), CopyOptions::default()).await.expect("copy");
            assert_eq!(store.properties(&path("copy")).await.expect("they came along"), told);
            store.put_bytes(&path("first"), "other".into()).await.expect("put");
            assert_eq!(store.properties(&path("first")).await.expect("no error"), Properties::new());
            let gone = store.properties(&path("gone")).await.expect_err("there is nothing");
            assert_error(&gone, ErrorKind::NotFound, &[]);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn those_that_cannot_be_kept_are_refused_before_anything_is_sent() {
        let emulator = start().await;
        let long = "v".repeat(4_001);
        for (name, values) in [
            ("1a", &["x"][..]),
            ("a b", &["x"]),
            ("a;b", &["x"]),
            ("a/b", &["x"]),
            ("", &["x"]),
            ("a", &[]),
            ("a", &[""]),
            ("a", &[&long]),
        ] {
            let options = PutOptions { properties: properties(&[(name, values)]), ..PutOptions::default() };
            let put = store(&emulator).put(&path("file"), PutBody::from("x"), options).await;
            assert_error(&put.expect_err(name), ErrorKind::InvalidArgument, &["property"]);
        }
        assert_eq!(emulator.counters().requests, 0);
    }

    /// A server with other rules says so in words that "Pro" is part of.
    #[tokio::test(flavor = "multi_thread")]
    async fn those_that_the_server_refuses_are_no_matter_of_its_edition() {
        let emulator = start().await;
        let refused = common::says(400, "Property key: ab is invalid");
        emulator.inject(always(fault("PUT", "file", refused)));
        let options = PutOptions { properties: properties(&[("ab", &["x"])]), ..PutOptions::default() };
        let put = store(&emulator).put(&path("Project/file"), PutBody::from("x"), options).await;
        assert_error(&put.expect_err("refused"), ErrorKind::InvalidArgument, &["Property key: ab"]);
    }
}

mod redirects {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn no_write_follows_one() {
        let elsewhere = Scripted::start(|_| Scripted::respond(201, &[("x-jfrog-version", "7")], "{}"));
        let location = format!("http://{}/artifactory/generic-local/d/file", elsewhere.address());
        for code in [301, 302, 303, 307, 308] {
            let location = location.clone();
            let server = Scripted::start(move |_| Scripted::respond(code, &[("location", &location)], ""));
            let store = open_uri(&uri(&server), &config()).expect("the URI is fine");
            for (name, result) in every_operation(&store).await {
                if name == "get" {
                    continue;
                }
                let error = result.expect_err(name);
                assert_error(
                    &error,
                    ErrorKind::Protocol,
                    &["redirects this request to", "name that address"],
                );
            }
        }
        assert!(elsewhere.asked().is_empty(), "{:?}", elsewhere.asked());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_to_tls_says_what_to_change() {
        let server = Scripted::start(|asked| {
            Scripted::respond(301, &[("location", &format!("https://127.0.0.1:1{}", asked.target))], "")
        });
        let store = open_uri(&uri(&server), &config()).expect("the URI is fine");
        for (name, result) in every_operation(&store).await {
            let error = result.expect_err(name);
            assert_error(&error, ErrorKind::Protocol, &["https://127.0.0.1:1", "unset ARTIFACTORY_NO_SSL"]);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_circle_of_them_ends() {
        let server = Scripted::start(|asked| {
            Scripted::respond(
                302,
                &[("location", &asked.target), ("x-checksum-sha1", "00"), ("x-jfrog-version", "7")],
                "",
            )
        });
        let store = open_uri(&uri(&server), &config()).expect("the URI is fine");
        let error = store.get_bytes(&path("file")).await.expect_err("a circle");
        assert_error(&error, ErrorKind::Protocol, &["redirects more than 5 times"]);
        assert_eq!(server.asked().len(), 6);
    }
}

mod strangers {
    use super::*;

    const PAGE: &str = "<!doctype html><html><body>Nothing here, or everything</body></html>";

    /// Nothing that a server says which is no Artifactory may be taken for an answer.
    async fn assert_not_taken_for_one(
        code: u16,
        headers: &'static [(&'static str, &'static str)],
        body: &'static str,
    ) {
        let server = Scripted::start(move |_| Scripted::respond(code, headers, body));
        let store = open_uri(&uri(&server), &config()).expect("the URI is fine");
        for (name, result) in every_operation(&store).await {
            let error = result.expect_err(name);
            assert_error(&error, ErrorKind::Protocol, &[]);
            let told = error.to_string();
            assert!(
                told.contains("does not answer as an Artifactory does")
                    || told.contains("check that the URI names an Artifactory"),
                "{name}: {told}"
            );
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn that_has_a_page_for_everything() {
        assert_not_taken_for_one(200, &[("content-type", "text/html")], PAGE).await;
        assert_not_taken_for_one(200, &[], "").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn that_finds_nothing() {
        assert_not_taken_for_one(404, &[("content-type", "text/html")], PAGE).await;
        assert_not_taken_for_one(404, &[("content-type", "text/plain")], "404 page not found").await;
        assert_not_taken_for_one(404, &[], "").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn that_has_no_such_method() {
        assert_not_taken_for_one(405, &[("content-type", "text/html")], PAGE).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn that_speaks_no_http() {
        let server = Scripted::start(|_| b"SSH-2.0-OpenSSH_9.6\r\n".to_vec());
        let store = open_uri(&uri(&server), &config().with("retries", "0")).expect("the URI is fine");
        for (name, result) in every_operation(&store).await {
            assert_error(&result.expect_err(name), ErrorKind::Protocol, &["does not answer in HTTP"]);
        }
    }
}

mod listings {
    use super::*;

    const HEADERS: &[(&str, &str)] = &[
        ("content-type", "application/vnd.org.jfrog.artifactory.storage.FileList+json"),
        ("x-jfrog-version", "Artifactory/7.161.26 86126900"),
    ];

    async fn listed(body: impl Into<String>) -> Result<Vec<(String, ArtifactKind, u64)>> {
        let body = body.into();
        let server = Scripted::start(move |_| Scripted::respond(200, HEADERS, &body));
        let store = open_uri(&uri(&server), &config())?;
        let entries = store.list_all(&path("d"), ListOptions { recursive: true }).await?;
        Ok(entries.into_iter().map(|meta| (meta.path.to_string(), meta.kind, meta.size)).collect())
    }

    fn of_files(files: &str) -> String {
        format!(r#"{{"uri":"x","created":"y","files":[{files}]}}"#)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn that_lead_elsewhere_are_refused() {
        for name in
            ["../x", "/../x", "/a/../../x", "/a/./x", "//x", "/a//x", "/", "", "/a/", "/a\\u0000b", "/.."]
        {
            let file = format!(r#"{{"uri":"{name}","size":1,"folder":false,"sha1":"aa","sha2":"bb"}}"#);
            let error = listed(of_files(&file)).await.expect_err(name);
            assert_error(&error, ErrorKind::Protocol, &["lists a name that is none"]);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn with_text_for_numbers_and_switches_are_read() {
        let files = r#"{"uri":"/a","size":"-1","folder":"true"},{"uri":"/a/b","size":"7","folder":"false"},
                       {"uri":"/c","size":8,"folder":false},{"uri":"/d","size":-1,"folder":true}"#;
        let expected = [
            ("d/a", ArtifactKind::Directory, 0),
            ("d/a/b", ArtifactKind::File, 7),
            ("d/c", ArtifactKind::File, 8),
            ("d/d", ArtifactKind::Directory, 0),
        ];
        let told = listed(of_files(files)).await.expect("both are read");
        assert_eq!(told, expected.map(|(name, kind, size)| (name.to_owned(), kind, size)));
    }

    /// Cut by somebody who closes the connection in good order, and announced no length.
    #[tokio::test(flavor = "multi_thread")]
    async fn that_end_early_are_errors() {
        let whole = of_files(r#"{"uri":"/a","size":1,"folder":false},{"uri":"/b","size":2,"folder":false}"#);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
        let ends = whole.len();
        let end = AtomicUsize::new(0);
        let server = Scripted::start(move |_| {
            format!("{head}{}", &whole[..end.fetch_add(1, Ordering::Relaxed)]).into_bytes()
        });
        let store = open_uri(&uri(&server), &config()).expect("the URI is fine");
        for _ in 0..ends {
            let error =
                store.list_all(&path("d"), ListOptions { recursive: true }).await.expect_err("it is cut");
            assert_error(&error, ErrorKind::Protocol, &[]);
        }
        assert_eq!(store.list_all(&path("d"), ListOptions::default()).await.expect("it is whole").len(), 2);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn that_are_something_else_are_errors() {
        for body in ["", "[]", "null", "{}", r#"{"files":null}"#, r#"{"files":{}}"#, r#"{"files":[1]}"#, "OK"]
        {
            assert_error(&listed(body).await.expect_err(body), ErrorKind::Protocol, &[]);
        }
        let without_size = of_files(r#"{"uri":"/a","size":-1,"folder":false}"#);
        let error = listed(without_size).await.expect_err("a file without a size");
        assert_error(&error, ErrorKind::Protocol, &["a file without a size"]);
    }

    /// The query language leaves rows out where there are too many, and says so beside the rows.
    #[tokio::test(flavor = "multi_thread")]
    async fn that_were_trimmed_are_errors() {
        let server = Scripted::start(|asked| {
            if asked.method == "GET" {
                return Scripted::respond(
                    400,
                    &[("content-type", "text/plain")],
                    "only available in Artifactory Pro",
                );
            }
            let row = r#"{"repo":"generic-local","path":"d","name":"a","type":"file","size":1}"#;
            let notification = "AQL query reached the search hard limit, results are trimmed.";
            let range = format!(r#"{{"start_pos":0,"end_pos":1,"total":1,"notification":"{notification}"}}"#);
            Scripted::respond(
                200,
                &[("content-type", "application/json")],
                format!(r#"{{"results":[{row}],"range":{range}}}"#),
            )
        });
        let store = open_uri(&uri(&server), &config()).expect("the URI is fine");
        let error = store.list_all(&path("d"), ListOptions { recursive: true }).await.expect_err("trimmed");
        assert_error(&error, ErrorKind::Protocol, &["results are trimmed"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn that_are_dropped_half_read_hold_nothing_up() {
        let emulator = start().await;
        let admin = as_admin(&emulator);
        for index in 0..30 {
            admin.put_bytes(&path(&format!("d/{index}")), "x".into()).await.expect("it is whole yet");
        }
        let store = store(&emulator);
        for _ in 0..50 {
            let mut listing = store.list(&path("d"), ListOptions::default());
            let first = futures_util::TryStreamExt::try_next(&mut listing).await.expect("it is listed");
            assert!(first.is_some());
        }
        assert_eq!(store.list_all(&path("d"), ListOptions::default()).await.expect("it goes on").len(), 30);
    }
}

mod virtual_repositories {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn with_a_default_deployment_work_as_any_other() {
        let members = vec!["other".to_owned(), "generic-local".to_owned()];
        let kind = RepositoryKind::Virtual { members, default_deployment: Some("generic-local".into()) };
        let builder = builder().repository("other", RepositoryKind::Local).repository("all", kind);
        let emulator = builder.start().await.expect("the emulator starts");
        let (all, other) = (open_at(&emulator, "all", &config()), open_at(&emulator, "other", &config()));
        other.put_bytes(&path("d/theirs"), "theirs".into()).await.expect("put");
        for (seed, form) in (1..).zip(Form::ALL) {
            let content = Content::new(form, seed);
            content.put(&all, "d/ours").await.expect("it goes to the default");
            assert_eq!(all.get_bytes(&path("d/ours")).await.expect("it is there"), content.bytes);
            assert_eq!(store(&emulator).get_bytes(&path("d/ours")).await.expect("there"), content.bytes);
        }
        assert_eq!(all.get_bytes(&path("d/theirs")).await.expect("it shows both"), "theirs");
        let listed = all.list_all(&path("d"), ListOptions::default()).await.expect("it shows both");
        assert_eq!(listed.iter().map(|meta| meta.path.as_str()).collect::<Vec<_>>(), ["d/ours", "d/theirs"]);
    }
}

mod credentials {
    use super::*;

    async fn assert_works(emulator: &Emulator, uri: &str, config: &StoreConfig, described: &str) {
        let store = open_uri(uri, config).expect("the URI is fine");
        store.put_bytes(&path("file"), "content".into()).await.expect("it is let in");
        assert_eq!(store.get_bytes(&path("file")).await.expect("it is let in"), "content");
        assert_eq!(store.list_all(&path(""), ListOptions::default()).await.expect("it is let in").len(), 1);
        let told = store.describe().await.expect("it is let in");
        let credentials = told.iter().find(|(name, _)| *name == "credentials").expect("it says which");
        assert!(credentials.1.contains(described), "{credentials:?}");
        assert_no_secret(&format!("{told:?} {store:?}"));
        assert_eq!(emulator.counters().unauthenticated, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_every_form_are_taken() {
        let builder = builder().user("bob", "canary p@ss:w/rd").api_key("bob", "canary-AKCp8");
        let emulator = builder.start().await.expect("the emulator starts");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = |name: &str, content: &str| {
            let file = directory.path().join(name);
            std::fs::write(&file, content).expect("the file is written");
            file.to_str().expect("it is UTF-8").to_owned()
        };
        let address = emulator.address();
        let uri = format!("artifactory://{address}/artifactory/generic-local");
        let with_password =
            format!("artifactory://bob:canary%20p%40ss%3Aw%2Frd@{address}/artifactory/generic-local");
        let plain = StoreConfig::new;
        let env = |name: &str, value: &str| plain().with_env([(name, value)].into_iter().collect());
        let (token, netrc) = (
            file("token", &format!("{CANARY}\n")),
            file("netrc", "machine 127.0.0.1 login admin password canary-password-77d0\n"),
        );
        let check = async |uri: &str, config: StoreConfig, described: &str| {
            assert_works(&emulator, uri, &config, described).await;
        };
        check(&uri, plain().with("token", CANARY), "a token from").await;
        check(
            &uri,
            env("ARTIFACTORY_AUTH_TOKEN", CANARY),
            "a token from the environment variable ARTIFACTORY_AUTH_TOKEN",
        )
        .await;
        check(&uri, plain().with("token_file", &token), "the token in the file").await;
        check(&uri, env("ARTIFACTORY_AUTH_TOKEN_PATH", &token), "ARTIFACTORY_AUTH_TOKEN_PATH").await;
        check(&with_password, plain(), r#"user "bob" with a password from the URI"#).await;
        let pair = plain().with("user", "bob").with("password", "canary p@ss:w/rd");
        check(&uri, pair, r#"user "bob" with a password"#).await;
        let in_its_place = plain().with("user", "bob").with("password", "canary-AKCp8");
        check(&uri, in_its_place, r#"user "bob" with a password"#).await;
        check(&uri, plain().with("api_key", "canary-AKCp8"), "an API key").await;
        check(&uri, env("ARTIFACTORY_API_KEY", "canary-AKCp8"), "ARTIFACTORY_API_KEY").await;
        check(&uri, env("NETRC", &netrc), r#"user "admin" with a password from"#).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_nobody_are_taken_where_the_server_lets_anybody_in() {
        let anybody = artifactory_emulator::Permissions::ALL;
        let emulator = builder().anonymous(anybody).start().await.expect("the emulator starts");
        let uri = format!("artifactory://{}/artifactory/generic-local", emulator.address());
        assert_works(&emulator, &uri, &StoreConfig::new(), "none: anonymous").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn that_cannot_be_read_are_named() {
        let emulator = start().await;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let empty = directory.path().join("empty");
        std::fs::write(&empty, " \n").expect("the file is written");
        for (file, words) in [(directory.path().join("gone"), "No such file"), (empty, "it is empty")] {
            let config = StoreConfig::new().with("token_file", file.to_str().expect("it is UTF-8"));
            let error =
                open(&emulator, "", &config).stat(&path("file")).await.expect_err("it cannot be read");
            assert_error(&error, ErrorKind::InvalidConfig, &["the token file cannot be used", words]);
        }
        assert_eq!(emulator.counters().requests, 0);
    }
}

mod secrets {
    use std::process::Command;

    use super::*;

    const SAY_EVERYTHING: &str = "MLFLOW_ARTIFACTS_TEST_SAY_EVERYTHING";

    struct ToStandardOutput;

    impl log::Log for ToStandardOutput {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            println!("log {} {}: {}", record.level(), record.target(), record.args());
        }

        fn flush(&self) {}
    }

    /// Says everything that there is to be said, at every level and to everybody, while everything is done and goes wrong.
    /// The test below runs it in a process of its own, for a logger is for all of it; here there is nothing to do.
    #[tokio::test(flavor = "multi_thread")]
    async fn said_by_another_process() {
        if std::env::var_os(SAY_EVERYTHING).is_none() {
            return;
        }
        log::set_logger(&ToStandardOutput).expect("there is none yet");
        log::set_max_level(log::LevelFilter::Trace);
        let redirect = Redirect { from_bytes: 1, ..Redirect::default() };
        let builder = builder().redirect(Some(redirect)).api_key("admin", "canary-AKCp8");
        let emulator = builder.start().await.expect("the emulator starts");
        let proxy =
            Scripted::start(|_| Scripted::respond(407, &[("content-type", "text/plain")], "who are you?"));
        let address = emulator.address();
        let uri = format!("artifactory://{address}/artifactory/generic-local");
        let with_password =
            format!("artifactory://admin:canary-password-77d0@{address}/artifactory/generic-local");
        let through_proxy = format!("http://bob:canary-proxy-password@{}", proxy.address());
        let plain = || StoreConfig::new().with("debug", "true").with("retries", "0");
        let tls = format!("artifactory://{}/artifactory/generic-local", proxy.address());
        let wrong_pair = plain().with("user", "admin").with("password", "canary-wrong");
        // Each with what the server repeats of what it was sent.
        for (uri, config, sent) in [
            (&uri, plain().with("token", CANARY), CANARY),
            (&uri, plain().with("api_key", "canary-AKCp8"), "canary-AKCp8"),
            (&uri, plain().with("token", "canary-wrong"), "Bearer canary-wrong"),
            (&uri, plain().with("api_key", "canary-wrong"), "canary-wrong"),
            (&uri, wrong_pair, "admin:canary-wrong Basic YWRtaW46Y2FuYXJ5LXdyb25n"),
            (&with_password, plain(), "canary-password-77d0 YWRtaW46Y2FuYXJ5LXBhc3N3b3JkLTc3ZDA="),
            (&uri, plain().with("token", CANARY).with("proxy", &through_proxy), CANARY),
            (&uri, plain().with("token", CANARY).with("proxy", "canary\u{7f}://no proxy"), CANARY),
            (&uri, plain().with("token", "canary\nbroken"), ""),
            (&tls, plain().with("token", CANARY).with("no_ssl", "false"), CANARY),
        ] {
            let store = match open_uri(uri, &config) {
                Ok(store) => store,
                Err(error) => {
                    println!("{error} {error:?}");
                    continue;
                }
            };
            for effect in [
                None,
                Some(common::says(403, &format!("{sent} may not"))),
                Some(status(500, None, FaultBody::Text(format!("Authorization: {sent}")))),
                Some(Effect::ResetAfterResponseBytes(0)),
            ] {
                as_admin(&emulator)
                    .put_bytes(&path("d/file"), "content".into())
                    .await
                    .expect("it is whole yet");
                if let Some(effect) = effect {
                    emulator.inject(always(common::fault("GET", "", effect.clone())));
                    emulator.inject(always(common::fault("PUT", "", effect)));
                }
                for (name, result) in every_operation(&store).await {
                    match result {
                        Ok(told) => println!("{name}: {told}"),
                        Err(error) => {
                            println!("{name}: {error} {error:?} {:?}", std::error::Error::source(&error));
                        }
                    }
                }
                emulator.clear_faults();
            }
            println!("{store:?} {config:?}");
        }
        println!("the end");
    }

    #[test]
    fn are_in_no_log_error_or_debug_output() {
        let itself = std::env::current_exe().expect("it runs");
        let output = Command::new(itself)
            .args(["secrets::said_by_another_process", "--exact", "--nocapture"])
            .env(SAY_EVERYTHING, "1")
            .output()
            .expect("it runs again");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains("the end"), "{err}\n{out}");
        // Somebody did say something.
        assert!(err.lines().filter(|line| line.starts_with("mlflow-artifacts: #")).count() > 100, "{err}");
        assert!(out.contains("log DEBUG mlflow_artifacts::http") && out.contains("log TRACE"));
        assert!(out.contains("/bucket/") && out.contains("ArtifactoryStore"), "a redirect, and a store");
        for (secret, what) in [
            ("canary", "a secret"),
            ("YWRtaW46Y2FuYXJ5", "a user and password"),
            ("Ym9iOmNhbmFyeS", "the proxy's user and password"),
            ("X-Signature", "a signature"),
        ] {
            let line = out.lines().chain(err.lines()).find(|line| line.contains(secret));
            assert_eq!(line, None, "{what}");
        }
    }
}

mod many_at_once {
    use super::*;

    /// As many as a server with many models sees: what was learned and who asks is shared.
    #[tokio::test(flavor = "multi_thread")]
    async fn writers_readers_and_removers_do_not_hold_each_other_up() {
        let emulator = start().await;
        let store = store(&emulator);
        let work = (0..40_u64).map(|index| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let (file, content) = (path(&format!("d{}/{index}", index % 3)), random_bytes(index, 30_000));
                let stream = PutBody::Stream { stream: chunked(&content, 1_000), length: None };
                store.put(&file, stream, PutOptions::default()).await?;
                store.list_all(&path(""), ListOptions { recursive: true }).await?;
                assert!(store.get(&file, GetOptions::default()).await?.bytes().await? == content);
                store
                    .stat(&path("d0"))
                    .await
                    .map(drop)
                    .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
                store.delete_many(vec![file]).await.remove(0)
            })
        });
        let work = futures_util::future::join_all(work);
        let done = tokio::time::timeout(Duration::from_mins(1), work).await.expect("nobody waits for ever");
        for outcome in done {
            assert_eq!(outcome.expect("no panic").expect("no error"), Deleted::Removed);
        }
    }

    /// The first request of a store goes alone. One whose content waits for another must not be it.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_stream_may_wait_for_another_request() {
        use futures_util::{StreamExt as _, stream};
        let emulator = start().await;
        let store = store(&emulator);
        let (start, other) = (random_bytes(1, 3 << 20), Arc::clone(&store));
        let rest = async move { other.stat(&path("")).await.and(other.exists(&path("other")).await) };
        let rest = stream::once(rest).map(|found| found.map(|is_there| format!("{is_there}").into()));
        let body = PutBody::Stream { stream: chunked(&start, 100_000).chain(rest).boxed(), length: None };
        let file = path("file");
        let put = store.put(&file, body, PutOptions::default());
        let put = tokio::time::timeout(Duration::from_secs(30), put).await.expect("nobody waits for ever");
        assert_eq!(put.expect("no error").size, (3 << 20) + 5);
    }
}
