//! The client against servers that stall, hang up, answer early, ask for certificates or stand in between.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{ByteStream, Error, ErrorKind, Result, Retry, Secret};
use mlflow_artifacts_http::{Body, Credential, HttpClient, HttpOptions, Method, Proxies, Request, Url};
use server::{Notes, Server, head, header, request, respond};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Long enough for what must not happen, also where other programs have the processor; short enough to wait for.
const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(30);

fn client(options: HttpOptions) -> HttpClient {
    // No proxy of whoever runs the tests: options do not read the environment.
    HttpClient::new(options)
}

fn usual() -> HttpClient {
    client(HttpOptions::default())
}

fn get(url: Url) -> Request {
    Request::new(Method::GET, url)
}

fn put(url: Url, body: Body) -> Request {
    Request::new(Method::PUT, url).with_body(body)
}

fn bearer() -> Credential {
    Credential::Bearer(Secret::new("canary-token"))
}

/// So many bytes, in pieces.
fn pieces(length: usize) -> ByteStream {
    const PIECE: usize = 64 << 10;
    let sizes = (0..length).step_by(PIECE).map(move |at| PIECE.min(length - at));
    stream::iter(sizes.map(|size| Ok(Bytes::from(vec![7; size])))).boxed()
}

async fn text(client: &HttpClient, request: Request) -> Result<(u16, String)> {
    let response = client.send(request).await?;
    Ok((response.status(), response.text(1 << 20).await?))
}

#[track_caller]
fn assert_error(error: &Error, kind: ErrorKind, words: &[&str]) {
    let told = format!("{error} {error:?}");
    assert_eq!(error.kind(), kind, "{told}");
    for word in words {
        assert!(told.contains(word), "{word:?} is not in: {told}");
    }
    assert!(!told.contains("canary"), "{told}");
}

mod connections {
    use super::*;

    // On one thread: a connection comes back a moment after its answer, and another thread could be quicker than that.
    #[tokio::test]
    async fn one_serves_many_requests() {
        let server = Server::answering(|head, body| {
            let status = if head.starts_with("GET") { 200 } else { 403 };
            respond(status, &format!("{} bytes", body.len()))
        })
        .await;
        let client = usual();
        for size in 0..30 {
            assert_eq!(text(&client, get(server.url("/"))).await.unwrap(), (200, "0 bytes".to_owned()));
            let response =
                client.send(put(server.url("/"), Body::Bytes(vec![7; size].into()))).await.unwrap();
            let error = response.into_error().await;
            assert_error(&error, ErrorKind::PermissionDenied, &[&format!("{size} bytes")]);
            let streamed = Body::Stream(pieces(size), Some(size as u64));
            let response = client.send(put(server.url("/"), streamed)).await.unwrap();
            response.discard().await;
        }
        assert_eq!(server.connections(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_new_one_is_made_after_closing() {
        let server = Server::answering(|_, _| respond(200, "")).await;
        let client = usual();
        for expected in 1..=3 {
            text(&client, get(server.url("/"))).await.unwrap();
            assert_eq!(server.connections(), expected);
            client.close();
        }
    }

    #[test]
    fn another_runtime_makes_its_own() {
        let serving = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        // On one thread each, for the reason above.
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (first, second) = (runtime(), runtime());
        let server = serving.block_on(Server::answering(|_, _| respond(200, "pong")));
        let client = Arc::new(usual());
        for _ in 0..5 {
            for runtime in [&first, &second] {
                let answer = runtime.block_on(text(&client, get(server.url("/"))));
                assert_eq!(answer.unwrap(), (200, "pong".to_owned()));
            }
        }
        assert_eq!(server.connections(), 2, "each keeps its own");
        // One that is gone takes its connections along, and nothing else.
        drop(first);
        let third = runtime();
        for runtime in [&third, &second, &third] {
            let client = Arc::clone(&client);
            let url = server.url("/");
            let answer = runtime.block_on(async move {
                tokio::spawn(async move { text(&client, get(url)).await }).await.unwrap()
            });
            assert_eq!(answer.unwrap(), (200, "pong".to_owned()));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_that_breaks_is_told_of() {
        for cut in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"] {
            let server = Server::start(move |mut stream| async move {
                head(&mut stream).await;
                stream.write_all(cut.as_bytes()).await.unwrap();
            })
            .await;
            let error = text(&usual(), get(server.url("/"))).await.unwrap_err();
            assert_error(&error, ErrorKind::Connection, &["the connection broke"]);
            assert_eq!(error.retry(), Retry::Transient, "{cut:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_body_in_chunks_that_ends_early_is_an_error() {
        let server = Server::start(|mut stream| async move {
            head(&mut stream).await;
            let half = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
            stream.write_all(half).await.unwrap();
        })
        .await;
        let error = text(&usual(), get(server.url("/"))).await.unwrap_err();
        assert_error(&error, ErrorKind::Connection, &[]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_dropped_request_is_broken_off() {
        let ended = Notes::default();
        let seen = ended.clone();
        let server = Server::start(move |mut stream| {
            let seen = seen.clone();
            async move {
                let whole = request(&mut stream).await;
                seen.add(if whole.is_some() { "whole" } else { "broken off" });
            }
        })
        .await;
        let client = usual();
        let endless =
            stream::once(async { Ok(Bytes::from_static(b"some")) }).chain(stream::pending()).boxed();
        let send = client.send(put(server.url("/"), Body::Stream(endless, Some(100))));
        assert!(tokio::time::timeout(SHORT, send).await.is_err());
        let began = Instant::now();
        while ended.all().is_empty() {
            assert!(began.elapsed() < LONG, "the server still waits");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(ended.all(), ["broken off"]);
    }
}

mod deadlines {
    use super::*;

    fn impatient() -> HttpClient {
        client(HttpOptions { read_timeout: SHORT, commit_timeout: LONG, ..HttpOptions::default() })
    }

    /// Reads the whole request, and answers when `delay` has passed.
    async fn slow(delay: Duration) -> Server {
        Server::start(move |mut stream| async move {
            if request(&mut stream).await.is_some() {
                tokio::time::sleep(delay).await;
                let _ = stream.write_all(&respond(201, "stored")).await;
            }
        })
        .await
    }

    fn bodies() -> Vec<Body> {
        const LARGE: usize = 600 << 10;
        vec![
            Body::Bytes(Bytes::from_static(b"small")),
            Body::Bytes(vec![7; LARGE].into()),
            Body::Stream(pieces(LARGE), Some(LARGE as u64)),
            Body::Stream(pieces(LARGE), None),
            Body::Stream(pieces(0), Some(0)),
        ]
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn silence_before_the_answer() {
        let server = slow(LONG).await;
        let began = Instant::now();
        let requests = [get(server.url("/")), put(server.url("/"), Body::Bytes(Bytes::new()))];
        join_all(requests.map(async |request| {
            let error = impatient().send(request).await.unwrap_err();
            assert_error(&error, ErrorKind::Timeout, &["the server was silent for 1 s"]);
            assert_eq!(error.retry(), Retry::Transient);
        }))
        .await;
        assert!(began.elapsed() < LONG / 3);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn silence_amid_the_answer() {
        let server = Server::start(|mut stream| async move {
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
            tokio::time::sleep(LONG).await;
        })
        .await;
        let response = impatient().send(get(server.url("/"))).await.unwrap();
        let mut body = response.stream();
        assert_eq!(body.try_next().await.unwrap().unwrap(), "half");
        assert_error(&body.try_next().await.unwrap_err(), ErrorKind::Timeout, &["silent"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_that_drips_is_no_silence() {
        const DROPS: usize = 15;
        let server = Server::start(|mut stream| async move {
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n").await.unwrap();
            for _ in 0..DROPS {
                tokio::time::sleep(SHORT / 10).await;
                stream.write_all(b"x").await.unwrap();
            }
        })
        .await;
        assert_eq!(text(&impatient(), get(server.url("/"))).await.unwrap().1, "x".repeat(DROPS));
    }

    /// However much moves: neither the answer's beginning nor its pieces put the end off.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_transfer_that_has_a_limit_ends_with_it() {
        let options = HttpOptions { transfer_timeout: Some(SHORT), ..HttpOptions::default() };
        let client = client(options);
        let words = ["took longer than 1 s", "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT"];
        let dripping = Server::start(|mut stream| async move {
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n").await.unwrap();
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(SHORT / 5).await;
            }
        })
        .await;
        let error = text(&client, get(dripping.url("/"))).await.unwrap_err();
        assert_error(&error, ErrorKind::Timeout, &words);
        assert_eq!(error.retry(), Retry::Never);
        let late = slow(LONG).await;
        join_all(bodies().into_iter().map(async |body| {
            let error = client.send(put(late.url("/"), body)).await.unwrap_err();
            assert_error(&error, ErrorKind::Timeout, &words);
        }))
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_after_a_body_may_take_its_time() {
        let server = slow(SHORT * 2).await;
        join_all(bodies().into_iter().map(async |body| {
            let shown = format!("{body:?}");
            let answer = text(&impatient(), put(server.url("/"), body)).await;
            assert_eq!(answer.unwrap_or_else(|error| panic!("{shown}: {error}")), (201, "stored".to_owned()));
        }))
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_after_a_body_may_not_take_for_ever() {
        let server = slow(LONG).await;
        let options = HttpOptions { read_timeout: LONG, commit_timeout: SHORT, ..HttpOptions::default() };
        let client = client(options);
        let began = Instant::now();
        join_all(bodies().into_iter().map(async |body| {
            let shown = format!("{body:?}");
            let error = client.send(put(server.url("/"), body)).await.unwrap_err();
            assert_error(&error, ErrorKind::Timeout, &["the server was silent for 1 s"]);
            assert!(began.elapsed() < LONG, "{shown}");
        }))
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_takes_nothing_is_silent() {
        const MORE_THAN_BUFFERS_HOLD: usize = 64 << 20;
        let server = Server::start(|mut stream| async move {
            head(&mut stream).await;
            tokio::time::sleep(LONG).await;
        })
        .await;
        let body = Body::Stream(pieces(MORE_THAN_BUFFERS_HOLD), Some(MORE_THAN_BUFFERS_HOLD as u64));
        let error = impatient().send(put(server.url("/"), body)).await.unwrap_err();
        assert_error(&error, ErrorKind::Timeout, &["silent for 1 s"]);
    }

    /// Nor is one that takes it slowly.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_body_that_comes_slowly_is_not_the_servers_silence() {
        let server = slow(Duration::ZERO).await;
        let slow = stream::unfold(0, |index| async move {
            tokio::time::sleep(SHORT * 3 / 2).await;
            (index < 1).then(|| (Ok(Bytes::from_static(b"piece")), index + 1))
        });
        let answer = text(&impatient(), put(server.url("/"), Body::Stream(slow.boxed(), Some(5)))).await;
        assert_eq!(answer.unwrap(), (201, "stored".to_owned()));
    }
}

mod bodies {
    use super::*;

    const SIZE: usize = 8 << 20;

    fn broken(at_end: bool, kind: ErrorKind) -> ByteStream {
        let error = stream::once(async move { Err(Error::new(kind, "the disk is gone")) });
        let before = pieces(if at_end { SIZE } else { SIZE / 2 });
        before.chain(error).boxed()
    }

    /// Reads whole requests, and notes each; one that breaks off is none.
    async fn noting() -> (Server, Notes) {
        let notes = Notes::default();
        let seen = notes.clone();
        let server = Server::answering(move |_, body| {
            seen.add(&body.len().to_string());
            respond(201, "stored")
        })
        .await;
        (server, notes)
    }

    /// Also at the very end, where all the bytes that were announced are there already.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_error_in_one_breaks_it_off_and_is_told_as_itself() {
        for (at_end, length) in [(false, Some(SIZE)), (false, None), (true, Some(SIZE)), (true, None)] {
            let (server, seen) = noting().await;
            let body = Body::Stream(broken(at_end, ErrorKind::Unreadable), length.map(|size| size as u64));
            let error = usual().send(put(server.url("/"), body)).await.unwrap_err();
            assert_error(&error, ErrorKind::Unreadable, &["the disk is gone"]);
            assert_eq!(seen.all(), [""; 0], "{at_end} {length:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_byte_arrives_once() {
        let (server, seen) = noting().await;
        for length in [0, 1, 64 << 10, (256 << 10) + 1, 1 << 20] {
            for body in
                [Body::Bytes(vec![7; length].into()), Body::Stream(pieces(length), Some(length as u64))]
            {
                assert_eq!(text(&usual(), put(server.url("/"), body)).await.unwrap().0, 201);
                assert_eq!(seen.all().last(), Some(&length.to_string()));
            }
        }
    }

    /// A server that has made up its mind reads the rest, so that its answer is heard.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_that_comes_while_one_is_sent_is_heard() {
        let server = Server::start(|mut stream| async move {
            head(&mut stream).await;
            stream.write_all(&respond(413, "too large")).await.unwrap();
            let mut rest = vec![0; 64 << 10];
            while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
        })
        .await;
        // Without an end: nobody waits for it.
        let endless = stream::repeat_with(|| Ok(Bytes::from(vec![7; 64 << 10]))).boxed();
        let response = usual().send(put(server.url("/"), Body::Stream(endless, None))).await.unwrap();
        assert_error(&response.into_error().await, ErrorKind::TooLarge, &["too large"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_is_no_longer_than_allowed_and_text() {
        let server = Server::start(|mut stream| async move {
            let head = head(&mut stream).await.unwrap();
            let body: &[u8] = if head.starts_with("GET /text") { b"12345" } else { b"\xff\xfe" };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        })
        .await;
        let read =
            async |path: &str, limit| usual().send(get(server.url(path))).await.unwrap().text(limit).await;
        assert_eq!(read("/text", 5).await.unwrap(), "12345");
        assert_error(&read("/text", 4).await.unwrap_err(), ErrorKind::Protocol, &["more than 4 bytes"]);
        assert_error(&read("/binary", 4).await.unwrap_err(), ErrorKind::Protocol, &["not UTF-8"]);
    }
}

mod redirects {
    use super::*;

    async fn noting(answer: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> (Server, Notes) {
        let notes = Notes::default();
        let seen = notes.clone();
        let server = Server::answering(move |head, _| {
            seen.add(head);
            answer()
        })
        .await;
        (server, notes)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn to_another_origin_take_no_credential_along() {
        let (storage, seen_there) =
            noting(|| respond(403, "the signature X-canary-signature is wrong")).await;
        let location = storage.url("/bucket?sig=X-canary-signature");
        let (server, seen) = noting(move || {
            format!("HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: {location}\r\n\r\n").into_bytes()
        })
        .await;
        let header_credential = Credential::Header { name: "x-key", value: Secret::new("canary-key") };
        let basic = Credential::Basic { user: "bob".into(), password: Secret::new("canary-password") };
        for credential in [Some(bearer()), Some(header_credential), Some(basic)] {
            let asked =
                get(server.url("/file")).with_credential(credential).with_header("range", "bytes=1-2");
            let response = usual().send(asked).await.unwrap();
            let next = response.redirect().expect("it is one").unwrap();
            assert!(!format!("{next:?} {response:?}").contains("canary"));
            let answer = usual().send(next).await.unwrap();
            assert_error(
                &answer.into_error().await,
                ErrorKind::PermissionDenied,
                &["the signature *** is wrong"],
            );
            let (first, followed) = (seen.all().pop().unwrap(), seen_there.all().pop().unwrap());
            assert!(header(&first, "authorization").or(header(&first, "x-key")).is_some(), "{first}");
            assert!(!followed.replace("X-canary-signature", "").contains("canary"), "{followed}");
            assert_eq!(header(&followed, "authorization").or(header(&followed, "x-key")), None);
            assert_eq!(header(&followed, "range"), Some("bytes=1-2"));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn are_not_followed_by_themselves() {
        let (elsewhere, seen_there) = noting(|| respond(200, "")).await;
        let location = elsewhere.url("/");
        let (server, _) = noting(move || {
            format!("HTTP/1.1 307 Found\r\ncontent-length: 0\r\nlocation: {location}\r\n\r\n").into_bytes()
        })
        .await;
        for request in [get(server.url("/")), put(server.url("/"), Body::Bytes("content".into()))] {
            let response = usual().send(request.with_credential(Some(bearer()))).await.unwrap();
            assert_eq!(response.status(), 307);
        }
        assert_eq!(seen_there.all(), [""; 0]);
    }
}

mod repetitions {
    use tokio::time::Instant;

    use super::*;

    /// How often something that always fails like this is done, and how long that takes on a clock that does not wait.
    async fn tried(retries: usize, error: impl Fn() -> Error) -> (Error, usize, Duration) {
        let (count, began) = (AtomicUsize::new(0), Instant::now());
        let client = client(HttpOptions { retries, ..HttpOptions::default() });
        let failing = client.retry(|| async {
            count.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(error())
        });
        (failing.await.unwrap_err(), count.load(Ordering::Relaxed), began.elapsed())
    }

    fn passing(kind: ErrorKind) -> Error {
        Error::new(kind, "not now").with_retry(Retry::Transient)
    }

    #[tokio::test(start_paused = true)]
    async fn are_as_many_as_configured_and_grow_slower() {
        for retries in [0, 1, 3, 7, 20] {
            let (error, count, took) = tried(retries, || passing(ErrorKind::Unavailable)).await;
            assert_eq!(
                (count, error.attempts() as usize, error.retry()),
                (retries + 1, count, Retry::Exhausted)
            );
            // 0.25 s, twice as long each time, no longer than 16 s; and up to a quarter or the whole of that at random.
            let least: f64 =
                (0..retries).map(|n| (0.25 * 2_f64.powi(i32::try_from(n).unwrap())).min(16.0)).sum();
            assert!(took.as_secs_f64() >= least, "{took:?} {least}");
            assert!(took.as_secs_f64() <= least * 2.0 + 1.0, "{took:?} {least}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn end_with_the_first_success() {
        let count = AtomicUsize::new(0);
        let client = usual();
        let third = client.retry(|| async {
            match count.fetch_add(1, Ordering::Relaxed) {
                0 | 1 => Err(passing(ErrorKind::RateLimited)),
                answer => Ok(answer),
            }
        });
        assert_eq!(third.await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn are_none_for_what_does_not_pass() {
        for retry in [Retry::Never, Retry::Exhausted] {
            let lasting = || Error::new(ErrorKind::Unauthenticated, "who are you?").with_retry(retry);
            let (error, count, took) = tried(7, lasting).await;
            assert_eq!((error.retry(), count, took), (retry, 1, Duration::ZERO));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn come_when_the_server_asks_for_them() {
        let asked =
            |seconds| move || passing(ErrorKind::RateLimited).with_retry_after(Duration::from_secs(seconds));
        let (_, count, took) = tried(2, asked(40)).await;
        assert!(count == 3 && took >= Duration::from_secs(80) && took < Duration::from_secs(82), "{took:?}");
        let (error, count, took) = tried(2, asked(3_600)).await;
        assert_eq!((count, took, error.retry()), (1, Duration::ZERO, Retry::Exhausted));
    }

    #[tokio::test(start_paused = true)]
    async fn are_few_at_a_server_that_never_answered() {
        for kind in [ErrorKind::Connection, ErrorKind::Timeout] {
            let (error, count, _) = tried(7, || passing(kind)).await;
            assert_eq!((count, error.attempts(), error.retry()), (3, 3, Retry::Exhausted), "{kind}");
        }
    }

    #[tokio::test]
    async fn are_all_there_are_at_a_server_that_has_answered() {
        let server = Server::answering(|_, _| respond(503, "")).await;
        let client = client(HttpOptions { retries: 5, ..HttpOptions::default() });
        client.send(get(server.url("/"))).await.unwrap();
        tokio::time::pause();
        let failing = client.retry(|| async { Err::<(), _>(passing(ErrorKind::Connection)) });
        assert_eq!(failing.await.unwrap_err().attempts(), 6);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_a_request_to_nobody_end_soon() {
        let server = Server::answering(|_, _| respond(200, "")).await;
        let url = server.url("/");
        drop(server);
        let (client, began) = (usual(), std::time::Instant::now());
        let error = client.retry(|| client.send(get(url.clone()))).await.unwrap_err();
        assert_error(&error, ErrorKind::Connection, &["refused", "check the host, the port and the proxy"]);
        // All repetitions would take more than half a minute.
        assert!(error.attempts() == 3 && began.elapsed() < Duration::from_secs(20));
    }
}

mod tls {
    use std::path::PathBuf;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
    use tempfile::TempDir;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
    use tokio_rustls::rustls::server::WebPkiClientVerifier;
    use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

    use super::*;

    /// A certificate authority of our own, and what it signs.
    struct Authority {
        issuer: CertifiedIssuer<'static, KeyPair>,
        directory: TempDir,
    }

    impl Authority {
        fn new(name: &str) -> Self {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            Authority { issuer, directory: tempfile::tempdir().unwrap() }
        }

        fn write(&self, name: &str, content: &str) -> PathBuf {
            let path = self.directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        }

        fn bundle(&self) -> PathBuf {
            self.write("ca.pem", &self.issuer.pem())
        }

        fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            (params.signed_by(&key, &self.issuer).unwrap(), key)
        }

        /// What a server shows that calls itself `name`; it wants a certificate of the client if `with_client`.
        fn acceptor(&self, name: &str, with_client: bool) -> TlsAcceptor {
            let (certificate, key) = self.issue(name);
            let provider = Arc::new(crypto::ring::default_provider());
            let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
            let builder = builder.with_safe_default_protocol_versions().unwrap();
            let builder = if with_client {
                let mut roots = RootCertStore::empty();
                roots.add(self.issuer.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            } else {
                builder.with_no_client_auth()
            };
            let key = PrivatePkcs8KeyDer::from(key.serialize_der());
            let config = builder.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap();
            TlsAcceptor::from(Arc::new(config))
        }

        async fn server(&self, name: &str, with_client: bool) -> Server {
            let acceptor = self.acceptor(name, with_client);
            Server::start(move |stream| {
                let acceptor = acceptor.clone();
                async move {
                    match acceptor.accept(stream).into_fallible().await {
                        Ok(stream) => server::converse(stream, &|_, _| respond(200, "safe")).await,
                        // It reads on, so that what it said is heard.
                        Err((_, mut stream)) => {
                            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                        }
                    }
                }
            })
            .await
        }
    }

    fn https(server: &Server) -> Url {
        format!("https://localhost:{}/", server.address().port()).parse().unwrap()
    }

    fn trusting(bundle: PathBuf) -> HttpOptions {
        HttpOptions { ca_bundle: Some(bundle), ..HttpOptions::default() }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_unknown_authority_is_not_trusted() {
        let (authority, other) = (Authority::new("one"), Authority::new("another"));
        let server = authority.server("localhost", false).await;
        for options in [HttpOptions::default(), trusting(other.bundle())] {
            let client = client(options);
            let error =
                client.retry(|| client.send(get(https(&server)).with_credential(Some(bearer())))).await;
            let error = error.unwrap_err();
            assert_error(&error, ErrorKind::Tls, &["UnknownIssuer", "REQUESTS_CA_BUNDLE"]);
            assert_eq!((error.retry(), error.attempts()), (Retry::Never, 1));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_named_authority_is_trusted() {
        let authority = Authority::new("one");
        let server = authority.server("localhost", false).await;
        let (file, directory) = (authority.bundle(), authority.directory.path().to_owned());
        authority.write("README", "no certificate");
        for bundle in [file.clone(), directory.clone()] {
            assert_eq!(text(&client(trusting(bundle)), get(https(&server))).await.unwrap().1, "safe");
        }
        for system_certificates in [(Some(file), None), (None, Some(directory))] {
            let options = HttpOptions { system_certificates, ..HttpOptions::default() };
            let answer = text(&client(options), get(https(&server))).await;
            // A directory of the system has names that are hashes: this one has none.
            assert!(answer.is_ok_and(|(_, text)| text == "safe"));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_certificate_of_another_name_is_refused() {
        let authority = Authority::new("one");
        let server = authority.server("elsewhere.example", false).await;
        let error = text(&client(trusting(authority.bundle())), get(https(&server))).await.unwrap_err();
        assert_error(&error, ErrorKind::Tls, &["no trusted TLS connection", "localhost"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_wants_to_know_its_clients() {
        let authority = Authority::new("one");
        let server = authority.server("localhost", true).await;
        let error = text(&client(trusting(authority.bundle())), get(https(&server))).await.unwrap_err();
        // Whether its alert or its hanging up comes first is chance.
        let kind = if error.kind() == ErrorKind::Connection { ErrorKind::Connection } else { ErrorKind::Tls };
        assert_error(&error, kind, &["a client certificate"]);

        let (certificate, key) = authority.issue("client");
        let both = authority.write("both.pem", &format!("{}{}", certificate.pem(), key.serialize_pem()));
        let (certificate, key) = (
            authority.write("client.pem", &certificate.pem()),
            authority.write("key.pem", &key.serialize_pem()),
        );
        for client_certificate in [(certificate, key), (both.clone(), both)] {
            let client_certificate = Some(client_certificate);
            let options = HttpOptions { client_certificate, ..trusting(authority.bundle()) };
            assert_eq!(text(&client(options), get(https(&server))).await.unwrap().1, "safe");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn files_that_hold_something_else_are_named() {
        let authority = Authority::new("one");
        let server = authority.server("localhost", false).await;
        let (_, key) = authority.issue("client");
        let (empty, key) =
            (authority.write("empty.pem", ""), authority.write("key.pem", &key.serialize_pem()));
        let gone = authority.directory.path().join("gone.pem");
        let bundle = authority.bundle();
        let with_client = |certificate: &PathBuf, key: &PathBuf| HttpOptions {
            client_certificate: Some((certificate.clone(), key.clone())),
            ..trusting(bundle.clone())
        };
        for (options, name) in [
            (trusting(empty.clone()), "empty.pem"),
            (trusting(gone.clone()), "gone.pem"),
            (with_client(&gone, &key), "gone.pem"),
            (with_client(&bundle, &empty), "empty.pem"),
            // A key that belongs to another certificate.
            (with_client(&bundle, &key), "ca.pem"),
        ] {
            let error = text(&client(options), get(https(&server))).await.unwrap_err();
            assert_error(&error, ErrorKind::InvalidConfig, &[name]);
        }
        assert_eq!(server.connections(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_side_speaks_it_and_the_other_does_not() {
        let authority = Authority::new("one");
        let plain = Server::start(|mut stream| async move {
            let _ = stream.read_u8().await;
            let _ = stream.write_all(&respond(400, "what?")).await;
        })
        .await;
        let error = text(&usual(), get(https(&plain))).await.unwrap_err();
        assert_error(&error, ErrorKind::Tls, &["check whether this port speaks TLS at all"]);
        let secure = authority.server("localhost", false).await;
        let error = text(&usual(), get(secure.url("/"))).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Connection), "{error:?}");
    }

    /// Through a proxy that sees nothing but the name.
    #[tokio::test(flavor = "multi_thread")]
    async fn it_goes_through_a_proxy_unseen() {
        let authority = Authority::new("one");
        let (server, notes) = (authority.server("localhost", false).await, Notes::default());
        let (target, seen) = (server.address(), notes.clone());
        let proxy = Server::start(move |mut stream| {
            let seen = seen.clone();
            async move {
                let head = head(&mut stream).await.unwrap();
                seen.add(&head);
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                let mut onward = tokio::net::TcpStream::connect(target).await.unwrap();
                // It ends when one of them has enough.
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
            }
        })
        .await;
        let address = format!("http://bob:canary-password@{}", proxy.address());
        let proxies = Proxies { https: Some(address), ..Proxies::default() };
        let options = HttpOptions { proxies, ..trusting(authority.bundle()) };
        let asked = get(https(&server)).with_credential(Some(bearer()));
        assert_eq!(text(&client(options), asked).await.unwrap().1, "safe");
        let seen = notes.all().join("\n");
        assert!(seen.starts_with(&format!("CONNECT localhost:{} ", target.port())), "{seen}");
        // Base64 of the user and password, which are the proxy's; the server's token is not.
        assert!(
            header(&seen, "proxy-authorization")
                .is_some_and(|basic| basic.starts_with("Basic Ym9iOmNhbmFyeS"))
        );
        assert!(!seen.contains("canary-token"), "{seen}");
    }
}

mod proxies {
    use super::*;

    async fn noting(status: u16) -> (Server, Notes) {
        let notes = Notes::default();
        let seen = notes.clone();
        let proxy = Server::answering(move |head, _| {
            seen.add(head);
            respond(status, "by proxy")
        })
        .await;
        (proxy, notes)
    }

    fn through(proxy: &Server, none_for: Option<&str>) -> HttpClient {
        let http = Some(format!("http://bob:canary-password@{}", proxy.address()));
        let proxies = Proxies { http, https: None, none_for: none_for.map(str::to_owned) };
        let client = client(HttpOptions { proxies, ..HttpOptions::default() });
        assert!(!format!("{client:?}").contains("canary"));
        client
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn are_asked_with_the_whole_address() {
        let (proxy, seen) = noting(200).await;
        let url: Url = "http://no-such-host.invalid/file?list".parse().unwrap();
        assert_eq!(text(&through(&proxy, None), get(url)).await.unwrap().1, "by proxy");
        let seen = seen.all().join("\n");
        assert!(seen.starts_with("GET http://no-such-host.invalid/file?list HTTP/1.1\r\n"), "{seen}");
        assert!(header(&seen, "proxy-authorization").is_some());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn are_not_asked_for_the_exceptions() {
        let (proxy, seen) = noting(200).await;
        let server = Server::answering(|_, _| respond(200, "directly")).await;
        for none_for in ["127.0.0.1", "elsewhere,127.0.0.0/8", "*"] {
            let client = through(&proxy, Some(none_for));
            assert_eq!(text(&client, get(server.url("/"))).await.unwrap().1, "directly", "{none_for}");
        }
        assert_eq!(seen.all(), [""; 0]);
        let client = through(&proxy, Some("elsewhere"));
        assert_eq!(text(&client, get(server.url("/"))).await.unwrap().1, "by proxy");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn that_refuse_say_that_it_was_them() {
        let (proxy, _) = noting(407).await;
        let url: Url = "http://no-such-host.invalid/".parse().unwrap();
        let response = through(&proxy, None).send(get(url)).await.unwrap();
        assert_error(&response.into_error().await, ErrorKind::Unauthenticated, &["407", "by proxy"]);
        let https = Some(format!("http://{}", proxy.address()));
        let options =
            HttpOptions { proxies: Proxies { https, ..Proxies::default() }, ..HttpOptions::default() };
        let url: Url = "https://no-such-host.invalid/".parse().unwrap();
        let error = client(options).send(get(url)).await.unwrap_err();
        assert_error(&error, ErrorKind::Unauthenticated, &["the proxy does not accept the credentials"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn that_are_not_there_are_errors_of_the_connection() {
        let (proxy, _) = noting(200).await;
        let client = through(&proxy, None);
        drop(proxy);
        let url: Url = "http://127.0.0.1:1/".parse().unwrap();
        let error = client.send(get(url)).await.unwrap_err();
        assert_error(&error, ErrorKind::Connection, &["check the host, the port and the proxy"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn that_are_no_address_are_named() {
        let server = Server::answering(|_, _| respond(200, "directly")).await;
        for address in ["http://canary host", "http://", "socks5://bob:canary@host:1080", "canary://host"] {
            for is_http in [true, false] {
                let (proxy, other) = (Some(address.to_owned()), None);
                let (http, https) = if is_http { (proxy, other) } else { (other, proxy) };
                let proxies = Proxies { http, https, none_for: None };
                let client = client(HttpOptions { proxies, ..HttpOptions::default() });
                let error = client.send(get(server.url("/"))).await.unwrap_err();
                assert_error(
                    &error,
                    ErrorKind::InvalidConfig,
                    &["the address of the proxy", "http://host:port"],
                );
            }
        }
        assert_eq!(server.connections(), 0);
    }
}
