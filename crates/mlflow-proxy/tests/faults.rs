//! What goes wrong on the way, and servers that mean harm: it ends right, or fails with the right kind. Never a success that did not
//! happen, never half a file, never a secret.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use common::{
    ARTIFACTS, CANARY, SERVER, assert_error, config, json, lines, listing, path, run, run_with, scripted,
};
use mlflow_artifacts_core::{
    ArtifactStoreExt as _, ByteRange, ErrorKind, GetOptions, ListOptions, PutBody, PutOptions, Retry,
    SharedStore, UploadOptions,
};
use mlflow_artifacts_testkit::bodies::{chunked, random_bytes};
use test_servers::{Asked, Effect, Fault, Recorder, Scripted};

/// Answers each request with the next of these, and the last of them from then on.
fn in_turn(answers: Vec<Vec<u8>>) -> impl Fn(&Asked) -> Vec<u8> + Send + Sync {
    let next = AtomicUsize::new(0);
    move |_| answers[next.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1)].clone()
}

fn on(method: &'static str, effect: Effect) -> Fault {
    Fault { method: Some(method), ..Fault::next(effect) }
}

fn answer(status: u16, headers: Vec<(&'static str, String)>) -> Effect {
    Effect::Answer { status, headers, body: "{}".to_owned() }
}

async fn listed(store: &SharedStore) -> Vec<String> {
    let listed = store.list_all(&path(""), ListOptions { recursive: true }).await.unwrap();
    listed.iter().map(|entry| entry.path.to_string()).collect()
}

mod passing {
    use super::*;

    /// Content that can be sent again arrives although its first request goes wrong.
    async fn survives(name: &str, effect: Effect) {
        for content in [Bytes::from_static(b"small"), random_bytes(1, 3 << 20)] {
            let recorder = Recorder::before(SERVER.address());
            let store = run(&recorder.url(), name);
            recorder.inject(on("PUT", effect.clone()));
            store.put_bytes(&path("d/file"), content.clone()).await.unwrap();
            recorder.inject(on("GET", effect.clone()));
            assert!(store.get_bytes(&path("d/file")).await.unwrap() == content);
            recorder.inject(on("GET", effect.clone()));
            assert_eq!(listed(&store).await, ["d", "d/file"]);
            recorder.inject(on("DELETE", effect.clone()));
            store.delete_tree(&path("d")).await.unwrap();
            assert!(recorder.waiting_faults().is_empty());
            assert_eq!(listed(&store).await, [""; 0]);
        }
    }

    #[tokio::test]
    async fn a_server_that_cannot_serve_now() {
        survives("status-503", answer(503, vec![])).await;
    }

    #[tokio::test]
    async fn a_connection_that_breaks() {
        survives("reset-request", Effect::ResetRequest(2)).await;
        survives("reset-answer", Effect::ResetAnswer(0)).await;
    }

    #[tokio::test]
    async fn a_server_that_asks_for_patience_gets_it() {
        let recorder = Recorder::before(SERVER.address());
        let store = run(&recorder.url(), "status-429");
        recorder.inject(on("PUT", answer(429, vec![("retry-after", "1".to_owned())])));
        let begun = std::time::Instant::now();
        store.put_bytes(&path("file"), "content".into()).await.unwrap();
        assert!(begun.elapsed() >= std::time::Duration::from_secs(1));
        assert_eq!(recorder.requests().len(), 2);
    }

    /// MLflow's server over an object storage is silent while it fetches a file.
    #[tokio::test]
    async fn content_is_waited_for_longer_than_a_listing() {
        let server = Scripted::start(|_| {
            std::thread::sleep(std::time::Duration::from_millis(2_500));
            Scripted::respond(200, &[], "content")
        });
        let config = config(&server.url()).with("direct_downloads", "false").with("retries", "0");
        let store = run_with(&config.with("read_timeout", "1").with("commit_timeout", "60"), "1");
        assert_eq!(store.get_bytes(&path("file")).await.unwrap(), "content");
        let listed = store.list_all(&path(""), ListOptions::default()).await.unwrap_err();
        assert_error(&listed, ErrorKind::Timeout, &["silent for 1 s"]);
    }

    #[tokio::test]
    async fn a_server_that_stays_broken_is_given_up() {
        let server = Scripted::start(|_| json(502, "{}"));
        let store = run(&server.url(), "1");
        let error = store.put_bytes(&path("file"), "content".into()).await.unwrap_err();
        assert_error(&error, ErrorKind::Unavailable, &["put \"file\"", "502"]);
        assert_eq!((error.retry(), error.attempts(), error.http_status()), (Retry::Exhausted, 3, Some(502)));
        assert_eq!(server.asked().len(), 3);
    }

    #[tokio::test]
    async fn a_stream_that_is_gone_is_asked_for_again() {
        let recorder = Recorder::before(SERVER.address());
        let store = run(&recorder.url(), "gone");
        for effect in [Effect::ResetRequest(100_000), answer(503, vec![])] {
            recorder.inject(on("PUT", effect));
            let body = PutBody::Stream { stream: chunked(&random_bytes(1, 3 << 20), 100_000), length: None };
            let error = store.put(&path("file"), body, PutOptions::default()).await.unwrap_err();
            assert_error(&error, error.kind(), &["the content was a stream and is gone: give it again"]);
            assert_eq!(error.retry(), Retry::Transient);
            assert_eq!(listed(&store).await, [""; 0]);
        }
    }
}

mod cut_off {
    use super::*;

    #[tokio::test]
    async fn a_download_goes_on_where_it_broke_off() {
        let recorder = Recorder::before(SERVER.address());
        let store = run_with(&config(&recorder.url()).with("direct_downloads", "false"), "resumed");
        let content = random_bytes(1, 5 << 20);
        store.put_bytes(&path("file"), content.clone()).await.unwrap();
        recorder.forget();
        recorder.inject(Fault { times: 2, ..on("GET", Effect::ResetAnswer(1_500_000)) });
        assert!(store.get_bytes(&path("file")).await.unwrap() == content);
        let requests = recorder.requests();
        assert_eq!(requests.len(), 3);
        // What had come by the time of the reset may not all have been read.
        let range = requests[1].headers["range"].to_str().unwrap().strip_prefix("bytes=").unwrap();
        let (start, last) = range.split_once('-').unwrap();
        assert!((1..=1_500_000).contains(&start.parse().unwrap()), "{range}");
        assert_eq!(last, ((5 << 20) - 1).to_string());
        assert!(requests[1].headers.contains_key("if-range"));
        // And in a part of it.
        recorder.inject(on("GET", Effect::ResetAnswer(1_000)));
        let options = GetOptions { range: ByteRange::Between(7, 900_000), ..GetOptions::default() };
        let part = store.get(&path("file"), options).await.unwrap().bytes().await.unwrap();
        assert!(part == content.slice(7..900_000));
    }

    #[tokio::test]
    async fn a_file_that_was_replaced_meanwhile_is_not_mixed() {
        let turns = in_turn(vec![
            Scripted::respond(
                200,
                &[("content-length", "20"), ("accept-ranges", "bytes"), ("etag", "\"one\"")],
                "the old con",
            ),
            Scripted::respond(
                200,
                &[("content-length", "11"), ("accept-ranges", "bytes"), ("etag", "\"two\"")],
                "another one",
            ),
        ]);
        let server = Scripted::start(turns);
        let store = run_with(&config(&server.url()).with("direct_downloads", "false"), "1");
        let error = store.get_bytes(&path("file")).await.unwrap_err();
        assert_error(&error, ErrorKind::PreconditionFailed, &["replaced while it was read"]);
    }

    /// Without a word of what the content is it cannot be taken up again.
    #[tokio::test]
    async fn half_a_file_is_an_error() {
        for (headers, body) in [
            (&[("content-length", "20")][..], "half of it"),
            (&[("transfer-encoding", "chunked")], "5\r\nhello\r\n"),
            (&[("content-length", "20"), ("etag", "W/\"weak\""), ("accept-ranges", "bytes")], "half of it"),
        ] {
            let answer = Scripted::respond(200, headers, body);
            let server = scripted(move |asked| {
                let is_listing = asked.target.contains('?');
                Some(if is_listing { listing(&[("file", Some(20))]) } else { answer.clone() })
            });
            let store = run_with(&config(&server.url()).with("direct_downloads", "false"), "1");
            let error = store.get_bytes(&path("file")).await.unwrap_err();
            assert_error(&error, ErrorKind::Connection, &["get \"file\""]);
        }
    }

    /// MLflow's server over an object storage tells no length: the listing does.
    #[tokio::test]
    async fn content_without_a_length_is_compared_with_the_listing() {
        let long = "x".repeat(2 << 20);
        for size in [(2 << 20) + 1, (2 << 20) - 1] {
            let body = format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
            let server = scripted(move |asked| {
                let is_listing = asked.target.contains('?');
                let content = Scripted::respond(200, &[("transfer-encoding", "chunked")], &body);
                Some(if is_listing { listing(&[("file", Some(size))]) } else { content })
            });
            let store = run_with(&config(&server.url()).with("direct_downloads", "false"), "1");
            let error = store.get_bytes(&path("file")).await.unwrap_err();
            assert_error(&error, ErrorKind::SizeMismatch, &["get \"file\""]);
        }
    }
}

mod lies {
    use super::*;

    #[tokio::test]
    async fn a_page_is_no_answer_to_an_upload() {
        let page = Scripted::respond(200, &[("content-type", "text/html")], "<html>Log in!</html>");
        let server = Scripted::start(move |_| page.clone());
        let error = run(&server.url(), "1").put_bytes(&path("file"), "content".into()).await.unwrap_err();
        assert_error(&error, ErrorKind::Protocol, &["not that of the artifact API"]);
    }

    #[tokio::test]
    async fn a_body_without_a_length_that_was_taken_for_none_is_noticed() {
        let server = scripted(|asked| {
            let is_put = asked.method == "PUT";
            Some(if is_put { Scripted::respond(200, &[], "") } else { listing(&[("file", Some(0))]) })
        });
        let body = PutBody::Stream { stream: chunked(&random_bytes(1, 2 << 20), 100_000), length: None };
        let error =
            run(&server.url(), "1").put(&path("file"), body, PutOptions::default()).await.unwrap_err();
        assert_error(&error, ErrorKind::SizeMismatch, &["2097152 bytes were sent, the server has 0 bytes"]);
    }

    #[tokio::test]
    async fn a_listing_of_another_shape_is_none() {
        for body in [
            "[]",
            "null",
            "\"files\"",
            "{",
            "",
            "{\"files\": {}}",
            "{\"files\": [1]}",
            "{\"files\": [{}]}",
            "{\"files\": [{\"path\": 7}]}",
            "{\"files\": [{\"path\": \"a\", \"file_size\": -1}]}",
            "{\"files\": [{\"path\": \"a\", \"is_dir\": \"maybe\"}]}",
            "<html>Log in!</html>",
        ] {
            let server = Scripted::start(move |_| json(200, body));
            let error =
                run(&server.url(), "1").list_all(&path(""), ListOptions::default()).await.unwrap_err();
            assert_error(&error, ErrorKind::Protocol, &["list", "not the JSON of the artifact API"]);
        }
    }

    #[tokio::test]
    async fn sizes_may_be_numbers_texts_or_nothing() {
        let body = r#"{"files": [{"path": "a", "file_size": "9007199254740993"}, {"path": "b", "is_dir": false, "file_size": null},
                       {"path": "c", "is_dir": true, "more": 1}], "next_page_token": ""}"#;
        let server = Scripted::start(move |_| json(200, body));
        let found = run(&server.url(), "1").list_all(&path(""), ListOptions::default()).await.unwrap();
        let told: Vec<_> =
            found.iter().map(|entry| (entry.path.as_str(), entry.is_directory(), entry.size)).collect();
        assert_eq!(told, [("a", false, 9_007_199_254_740_993), ("b", false, 0), ("c", true, 0)]);
    }

    #[tokio::test]
    async fn hostile_names_are_left_out_and_the_rest_is_listed() {
        let names = [
            "../x", "..", ".", "", "/abs", "a/b", "good", "\u{1}", "C:\\x", "#", "..\\up", "%2e%2e", "a%20b",
            "\u{7f}x",
        ];
        let server = scripted(move |asked| {
            let entries: Vec<_> = names.iter().map(|name| (*name, Some(1))).collect();
            asked.target.ends_with("path=1").then(|| listing(&entries))
        });
        let store = run(&server.url(), "1");
        assert_eq!(listed(&store).await, ["#", "%2e%2e", "..\\up", "C:\\x", "a%20b", "good"]);
        let into = tempfile::tempdir().unwrap();
        let down = into.path().join("down");
        let transfer = mlflow_artifacts_transfer::Transfer::new(store);
        let outcome = transfer.download_tree(&path(""), &down).await.unwrap();
        assert!(outcome.into_result().is_err(), "what the server cannot be asked for is not passed over");
        let outside: Vec<_> =
            std::fs::read_dir(into.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(outside.iter().all(|name| name == "down"), "{outside:?}");
    }

    /// Some destinations list a file as if it were in itself.
    #[tokio::test]
    async fn a_file_is_not_in_itself() {
        let server = scripted(|asked| match asked.target.split('=').nth(1) {
            Some("1") => Some(listing(&[("d", None), ("f", Some(1))])),
            Some("1%2Ff") => Some(listing(&[("f", Some(1))])),
            Some("1%2Fd") => Some(listing(&[("d", Some(2))])),
            _ => None,
        });
        let store = run(&server.url(), "1");
        assert_eq!(listed(&store).await, ["d", "f", "d/d"]);
        assert_eq!(store.stat(&path("f/f")).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(store.stat(&path("d/d")).await.unwrap().size, 2);
        assert!(store.list_all(&path("f"), ListOptions::default()).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_etag_that_lies_does_not_join_two_files() {
        let turns = in_turn(vec![
            Scripted::respond(
                200,
                &[("content-length", "20"), ("accept-ranges", "bytes"), ("etag", "\"one\"")],
                "the old con",
            ),
            Scripted::respond(
                206,
                &[("content-range", "bytes 3-19/20"), ("etag", "\"one\"")],
                "other bytes than ",
            ),
        ]);
        let server = Scripted::start(turns);
        let store = run_with(&config(&server.url()).with("direct_downloads", "false"), "1");
        let error = store.get_bytes(&path("file")).await.unwrap_err();
        assert_error(&error, ErrorKind::Protocol, &["other bytes than were asked for"]);
    }
}

mod elsewhere {
    use super::*;

    fn redirecting(to: String) -> Scripted {
        Scripted::start(move |asked| {
            let location = format!("{to}{}", asked.target);
            Scripted::respond(307, &[("location", &location)], "")
        })
    }

    fn serving() -> Scripted {
        scripted(|asked| {
            let is_listing = asked.target.contains('?');
            let content = Scripted::respond(200, &[], "content");
            Some(if is_listing { listing(&[("file", Some(7))]) } else { content })
        })
    }

    /// Of two names of one machine one is another host.
    fn by_name(server: &Scripted) -> String {
        server.url().replace("127.0.0.1", "localhost")
    }

    #[tokio::test]
    async fn reading_follows_a_redirect_without_credentials() {
        let other = serving();
        let first = redirecting(by_name(&other));
        let store = run_with(&config(&first.url()).with("direct_downloads", "false"), "1");
        assert_eq!(store.get_bytes(&path("file")).await.unwrap(), "content");
        assert_eq!(store.stat(&path("file")).await.unwrap().size, 7);
        assert!(first.asked().iter().all(|asked| asked.header("authorization").is_some()));
        assert_eq!(other.asked().len(), 2);
        assert!(other.asked().iter().all(|asked| !asked.head.contains("canary")));
    }

    /// As with a server that wants TLS: what follows would be a refusal of nobody in particular.
    #[tokio::test]
    async fn the_same_host_at_another_address_is_named() {
        let other = serving();
        let first = redirecting(other.url());
        let store = run(&first.url(), "1");
        let error = store.stat(&path("file")).await.unwrap_err();
        assert_error(&error, ErrorKind::Protocol, &["redirects this request to", &other.url()]);
        assert!(other.asked().is_empty());
    }

    #[tokio::test]
    async fn writing_is_not_sent_elsewhere() {
        let other = Scripted::start(|_| Scripted::respond(200, &[], ""));
        let first = redirecting(other.url());
        let store = run(&first.url(), "1");
        let put = store.put_bytes(&path("file"), "content".into()).await.unwrap_err();
        assert_error(
            &put,
            ErrorKind::Protocol,
            &["redirects this request", &other.url(), "MLFLOW_TRACKING_URI"],
        );
        assert!(other.asked().is_empty());
    }

    #[tokio::test]
    async fn a_redirect_that_never_ends_does() {
        let server = Scripted::start(|asked| Scripted::respond(302, &[("location", &asked.target)], ""));
        let error = run(&server.url(), "1").list_all(&path(""), ListOptions::default()).await.unwrap_err();
        assert_error(&error, ErrorKind::Protocol, &["redirects this request"]);
        assert_eq!(server.asked().len(), 6);
    }
}

mod parts {
    use super::*;

    const PART: usize = 5 << 20;

    /// A server of parts at `storage`, which counts how often it was told each step.
    fn server(storage: String, complete: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> Scripted {
        scripted(move |asked| {
            if asked.target.contains("/mpu/create/") {
                let part = |number| {
                    format!(r#"{{"url":"{storage}/{number}?sig=canary-signature","part_number":{number}}}"#)
                };
                return Some(json(
                    200,
                    &format!(r#"{{"upload_id":"u","credentials":[{},{}]}}"#, part(1), part(2)),
                ));
            }
            if asked.target.contains("/mpu/complete/") {
                return Some(complete());
            }
            asked.target.contains("/mpu/abort/").then(|| json(200, "{}"))
        })
    }

    fn store(server: &Scripted) -> SharedStore {
        let config = config(&server.url())
            .with("direct_uploads", "true")
            .with("direct_upload_from", "0")
            .with("part_size", PART.to_string());
        run_with(&config, "1")
    }

    async fn begun(store: &SharedStore) -> Box<dyn mlflow_artifacts_core::Upload> {
        let options = UploadOptions { length: Some(1), ..UploadOptions::default() };
        store.begin_upload(&path("d/file"), options).await.unwrap()
    }

    fn steps(server: &Scripted) -> Vec<String> {
        let step = |line: &String| line.split('/').nth(5).unwrap_or_default().to_owned();
        lines(&server.asked()).iter().map(step).collect()
    }

    /// What runs after the store has answered ends soon.
    async fn settles(server: &Scripted, expected: &[&str]) {
        for _ in 0..6000 {
            if steps(server) == expected {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{:?} and not {expected:?}", steps(server));
    }

    #[tokio::test]
    async fn a_part_is_put_again_and_the_upload_completed() {
        let turns = in_turn(vec![json(503, "{}"), Scripted::respond(200, &[("etag", "\"e\"")], "")]);
        let storage = Scripted::start(turns);
        let server = server(storage.url(), || json(200, "{}"));
        store(&server).put_bytes(&path("file"), random_bytes(1, PART + 5)).await.unwrap();
        assert_eq!(steps(&server), ["create", "complete"]);
        assert_eq!(storage.asked().len(), 3);
    }

    #[tokio::test]
    async fn a_part_that_is_refused_ends_the_upload_without_telling_the_signature() {
        let storage = Scripted::start(|asked| {
            let body = format!(
                "<Error><Code>AccessDenied</Code><Message>{} has expired</Message></Error>",
                asked.target
            );
            Scripted::respond(403, &[], body)
        });
        let server = server(storage.url(), || json(200, "{}"));
        let error = store(&server).put_bytes(&path("file"), random_bytes(1, PART + 5)).await.unwrap_err();
        assert_error(&error, ErrorKind::PermissionDenied, &["put \"file\"", "AccessDenied"]);
        settles(&server, &["create", "abort"]).await;
    }

    /// The last step is not taken twice: the second would fail although the first has not.
    #[tokio::test]
    async fn a_last_step_that_fails_is_told_and_not_repeated() {
        let storage = Scripted::start(|_| Scripted::respond(200, &[("etag", "\"e\"")], ""));
        let server = server(storage.url(), || json(500, "{}"));
        let error = store(&server).put_bytes(&path("file"), random_bytes(1, PART + 5)).await.unwrap_err();
        assert_error(&error, ErrorKind::Unavailable, &["500"]);
        assert_eq!(error.retry(), Retry::Exhausted);
        settles(&server, &["create", "complete", "abort"]).await;
    }

    #[tokio::test]
    async fn content_that_breaks_off_is_given_up() {
        let storage = Scripted::start(|_| Scripted::respond(200, &[("etag", "\"e\"")], ""));
        let server = server(storage.url(), || json(200, "{}"));
        let content = random_bytes(1, PART + 5);
        let body = PutBody::Stream {
            stream: mlflow_artifacts_testkit::bodies::failing(&content, 100_000, ErrorKind::Connection),
            length: Some(PART as u64 + 6),
        };
        let error = store(&server).put(&path("file"), body, PutOptions::default()).await.unwrap_err();
        assert_error(&error, ErrorKind::Connection, &[]);
        settles(&server, &["create", "abort"]).await;
    }

    #[tokio::test]
    async fn a_put_that_is_dropped_is_given_up() {
        let storage = Scripted::start(|_| Scripted::respond(200, &[("etag", "\"e\"")], ""));
        let server = server(storage.url(), || json(200, "{}"));
        let (stream, mut pause) = mlflow_artifacts_testkit::bodies::paused(
            &random_bytes(1, 2 << 20),
            &random_bytes(2, 10),
            100_000,
        );
        let store = store(&server);
        let at = path("file");
        let body = PutBody::Stream { stream, length: Some((2 << 20) + 10) };
        let put = store.put(&at, body, PutOptions::default());
        tokio::select! {
            _ = put => panic!("it ended before its stream"),
            () = pause.reached() => {}
        }
        settles(&server, &["create", "abort"]).await;
    }

    #[tokio::test]
    async fn nothing_is_sent_where_a_server_leads_astray() {
        for address in ["ftp://h/x", "file:///etc/passwd", "not a url", ""] {
            let server = server(address.to_owned(), || json(200, "{}"));
            let upload = begun(&store(&server)).await;
            let error = upload.put_part(1, Bytes::from_static(b"x")).await.unwrap_err();
            assert_error(&error, ErrorKind::Protocol, &["names no address"]);
        }
    }

    #[tokio::test]
    async fn fewer_parts_than_were_asked_for_are_none() {
        let server = server("http://127.0.0.1:9".to_owned(), || json(200, "{}"));
        let error = store(&server).put_bytes(&path("file"), random_bytes(1, 3 * PART)).await.unwrap_err();
        assert_error(&error, ErrorKind::Protocol, &["signs fewer parts"]);
        settles(&server, &["create", "abort"]).await;
    }

    #[tokio::test]
    async fn what_is_printed_tells_no_signature() {
        let server = server("http://127.0.0.1:9".to_owned(), || json(200, "{}"));
        let store = store(&server);
        let upload = begun(&store).await;
        assert!(!format!("{store:?} {upload:?}").contains("canary"));
    }
}

/// A server that repeats what it was sent gets it nowhere.
#[tokio::test]
async fn a_token_that_the_server_repeats_is_not_told() {
    let server = Scripted::start(|asked| {
        let told = asked.header("authorization").unwrap_or_default().to_owned();
        json(403, &format!(r#"{{"error_code":"{told}","message":"bad token {told}","detail":"{told}"}}"#))
    });
    assert!(server.url().starts_with("http://"));
    let store = run(&server.url(), "1");
    for error in [
        store.put_bytes(&path("file"), "content".into()).await.unwrap_err(),
        store.get_bytes(&path("file")).await.unwrap_err(),
        store.list_all(&path(""), ListOptions::default()).await.unwrap_err(),
        store.delete_tree(&path("file")).await.unwrap_err(),
    ] {
        assert_error(&error, ErrorKind::PermissionDenied, &["bad token"]);
        assert!(!format!("{:?}", error.provider_code()).contains(CANARY));
    }
    assert!(server.asked().iter().any(|asked| asked.head.contains(CANARY)), "it was sent");
}

/// A server that refuses an upload early hangs up on who still sends: the reason is asked for.
#[tokio::test]
async fn a_refusal_behind_a_broken_connection_is_told() {
    let recorder = Recorder::before(SERVER.address());
    let store = run(&recorder.url(), "early");
    store.put_bytes(&path("d/file"), "content".into()).await.unwrap();
    recorder.inject(Fault { times: usize::MAX, ..on("PUT", Effect::ResetRequest(1)) });
    let error = store.put_bytes(&path("d/file/below"), random_bytes(1, 3 << 20)).await.unwrap_err();
    assert_error(&error, ErrorKind::NotADirectory, &["\"d/file\" is a file"]);
    let answers = Fault { times: usize::MAX, ..on("GET", answer(401, vec![])) };
    recorder.inject(answers);
    let error = store.put_bytes(&path("d/new"), random_bytes(1, 3 << 20)).await.unwrap_err();
    assert_error(&error, ErrorKind::Unauthenticated, &["correct the credentials"]);
}

/// What stands behind the API is not told where it is: only what went wrong.
#[tokio::test]
async fn an_artifact_that_fails_to_be_read_is_told_from_one_that_is_absent() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let server = scripted(move |asked| match asked.target.as_str() {
        target if target.contains("?path=") => Some(listing(&[("broken", Some(1)), ("d", None)])),
        target if target.starts_with(&format!("{ARTIFACTS}/")) => {
            counter.fetch_add(1, Ordering::SeqCst);
            Some(json(
                500,
                r#"{"error_code":"INTERNAL_ERROR","message":"failures occurred while downloading"}"#,
            ))
        }
        _ => None,
    });
    let store = run_with(&config(&server.url()).with("direct_downloads", "false"), "1");
    assert_error(&store.get_bytes(&path("absent")).await.unwrap_err(), ErrorKind::NotFound, &[]);
    assert_error(&store.get_bytes(&path("d")).await.unwrap_err(), ErrorKind::IsADirectory, &[]);
    assert_eq!(asked.load(Ordering::SeqCst), 2, "neither is asked for again");
    assert_error(
        &store.get_bytes(&path("broken")).await.unwrap_err(),
        ErrorKind::Unavailable,
        &["failures occurred"],
    );
}
