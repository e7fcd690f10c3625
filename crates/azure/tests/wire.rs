//! What goes over the wire: every form of a URI, every variable.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::time::{Duration, SystemTime};

use common::{
    ACCOUNT, Reply, Server, URI, account_signature, assert_error, header, open, path, place, refusal, secure,
    small_parts, token,
};
use mlflow_artifacts_core::{
    ArtifactStoreExt as _, CopyOptions, DeleteOptions, Deleted, ErrorKind, ListOptions, PartReceipt,
    PresignMethod, PresignRequest, SharedStore, SignedRequest, StoreConfig,
};
use mlflow_artifacts_http::header::{HeaderMap, HeaderName};
use mlflow_artifacts_http::{Body, HttpClient, HttpOptions, Method, Request};
use test_servers::{Effect, Fault};

/// Puts, reads, lists, copies and deletes something, in one piece and in parts.
async fn works(store: &SharedStore) {
    store.put_bytes(&path("d/a b.json"), "{}".into()).await.unwrap();
    let upload = store.begin_upload(&path("d/large.bin"), small_parts()).await.unwrap();
    let mut receipts = Vec::new();
    for (number, size) in [(1, 1 << 10), (2, 7)] {
        receipts.push(upload.put_part(number, vec![7; size].into()).await.unwrap());
    }
    upload.complete(receipts).await.unwrap();
    store.copy(&path("d/a b.json"), &path("d/copy.json"), CopyOptions::default()).await.unwrap();
    assert_eq!(store.get_bytes(&path("d/copy.json")).await.unwrap(), "{}");
    assert_eq!(store.get_bytes(&path("d/large.bin")).await.unwrap().len(), (1 << 10) + 7);
    let listed = store.list_all(&path("d"), ListOptions::default()).await.unwrap();
    assert_eq!(listed.len(), 3);
    assert_eq!(store.stat(&path("d/large.bin")).await.unwrap().etag, listed[2].etag);
    let deleted = store.delete_many(vec![path("d/copy.json"), path("d/a b.json"), path("d/none")]).await;
    assert!(
        matches!(deleted[..], [Ok(Deleted::Removed), Ok(Deleted::Removed), Ok(Deleted::Absent)]),
        "{deleted:?}"
    );
    assert_eq!(store.delete(&path("d"), DeleteOptions { recursive: true }).await.unwrap(), Deleted::Removed);
    assert_eq!(store.delete(&path("d"), DeleteOptions { recursive: true }).await.unwrap(), Deleted::Absent);
}

mod uris {
    use super::*;

    /// What a proxy is asked for: a host through TLS, or, where the connection string wants none, everything.
    async fn asked_of_a_proxy(uri: &str, env: &[(&str, &str)]) -> (String, String) {
        let proxy = Server::start(|_| Reply(502, Vec::new(), String::new()));
        let config = StoreConfig::new()
            .with_env(env.iter().copied().collect())
            .with("proxy", proxy.url())
            .with("retries", "0");
        let store = open(uri, &config).unwrap();
        store.get_bytes(&path("MLmodel")).await.unwrap_err();
        let asked = proxy.asked();
        (asked[0].method.clone(), asked[0].target.clone())
    }

    #[tokio::test]
    async fn every_form_goes_to_the_blobs_of_its_account_through_tls() {
        let key = [("AZURE_STORAGE_ACCESS_KEY", "Y2FuYXJ5")];
        for (uri, host) in [
            ("wasbs://models@acct1.blob.core.windows.net/a", "acct1.blob.core.windows.net"),
            ("wasb://models@acct1.blob.core.windows.net/a", "acct1.blob.core.windows.net"),
            ("abfss://models@acct1.dfs.core.windows.net/a", "acct1.blob.core.windows.net"),
            ("abfs://models@acct1.dfs.core.windows.net/a", "acct1.blob.core.windows.net"),
            ("abfss://models@acct1.blob.core.windows.net/a", "acct1.blob.core.windows.net"),
            ("wasbs://models@acct1.blob.core.chinacloudapi.cn/a", "acct1.blob.core.chinacloudapi.cn"),
            ("abfss://models@acct1.dfs.core.usgovcloudapi.net/a", "acct1.blob.core.usgovcloudapi.net"),
            ("wasbs://models@acct1.blob.core.cloudapi.de/a", "acct1.blob.core.cloudapi.de"),
            ("abfss://models@acct1.z23.dfs.storage.azure.net/a", "acct1.z23.blob.storage.azure.net"),
            ("abfss://models@onelake.dfs.fabric.microsoft.com/a", "onelake.blob.fabric.microsoft.com"),
        ] {
            let asked = asked_of_a_proxy(uri, &key).await;
            assert_eq!(asked, ("CONNECT".to_owned(), format!("{host}:443")), "{uri}");
        }
    }

    #[tokio::test]
    async fn a_path_is_decoded_where_mlflow_decodes_it() {
        let connection = "DefaultEndpointsProtocol=http;AccountName=acct1;AccountKey=Y2FuYXJ5";
        let env = [("AZURE_STORAGE_CONNECTION_STRING", connection)];
        for (uri, target) in [
            ("wasbs://models@acct1.blob.core.windows.net", "models/MLmodel"),
            ("wasbs://models@acct1.blob.core.windows.net/", "models/MLmodel"),
            ("wasbs://models@acct1.blob.core.windows.net/1/a b/", "models/1/a%20b/MLmodel"),
            ("wasbs://models@acct1.blob.core.windows.net/1/a%20b/", "models/1/a%2520b/MLmodel"),
            ("abfss://models@acct1.dfs.core.windows.net/1/a%20b", "models/1/a%20b/MLmodel"),
            ("abfss://models@acct1.dfs.core.windows.net/1/a%2520b", "models/1/a%2520b/MLmodel"),
            ("abfss://$web@acct1.dfs.core.windows.net/1", "$web/1/MLmodel"),
        ] {
            let asked = asked_of_a_proxy(uri, &env).await;
            let expected = format!("http://acct1.blob.core.windows.net/{target}");
            assert_eq!(asked, ("GET".to_owned(), expected), "{uri}");
        }
    }

    #[tokio::test]
    async fn the_development_storage_is_on_this_machine() {
        let env = [("AZURE_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true")];
        let (_, target) = asked_of_a_proxy(URI, &env).await;
        assert_eq!(target, "http://127.0.0.1:10000/devstoreaccount1/artifacts/run/1/MLmodel");
    }
}

mod credentials {
    use super::*;

    #[tokio::test]
    async fn of_a_connection_string_sign() {
        let place = place();
        let connection = place.connection_string();
        let config = StoreConfig::new()
            .with_env([("AZURE_STORAGE_CONNECTION_STRING", &*connection)].into_iter().collect());
        works(&open(URI, &config).unwrap()).await;
        let requests = place.recorder.requests();
        let signed = format!("SharedKey {ACCOUNT}:");
        assert!(
            requests.iter().all(|request| header(request, "authorization").unwrap().starts_with(&signed))
        );
        assert!(requests.iter().all(|request| request.target.starts_with("/tester/artifacts")));
    }

    #[tokio::test]
    async fn of_a_key_sign() {
        let place = place();
        works(&place.open(&[("AZURE_STORAGE_ACCESS_KEY", place.server.key())])).await;
        assert!(!place.recorder.requests().is_empty());
    }

    #[tokio::test]
    async fn of_a_signature_go_along() {
        let place = place();
        let signature = account_signature(place.server.key());
        let connection = format!("BlobEndpoint={};SharedAccessSignature={signature}", place.endpoint());
        for env in [
            [("AZURE_STORAGE_SAS_TOKEN", signature.clone())],
            [("AZURE_STORAGE_SAS_TOKEN", format!("?{signature}"))],
            [("AZURE_STORAGE_CONNECTION_STRING", connection)],
        ] {
            place.recorder.forget();
            let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
            works(&place.open(&env)).await;
            for request in place.recorder.requests() {
                assert_eq!(request.target.matches("&sig=").count(), 1, "{}", request.method);
                assert_eq!(header(&request, "authorization"), None);
            }
        }
    }

    #[tokio::test]
    async fn are_left_out_only_where_that_is_asked_for() {
        let place = place();
        let config =
            place.config(&[("AZURE_STORAGE_ACCESS_KEY", place.server.key())]).with("anonymous", "true");
        let error = open(URI, &config).unwrap().put_bytes(&path("a"), "content".into()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unauthenticated), "{error}");
        assert_error(&error, error.kind(), &["anonymous", "AZURE_STORAGE_ACCESS_KEY"]);
        let requests = place.recorder.requests();
        assert!(!requests.is_empty());
        assert!(requests.iter().all(|request| header(request, "authorization").is_none()));
        assert!(requests.iter().all(|request| !request.target.contains("sig=")));
    }

    #[tokio::test]
    async fn of_the_first_variable_count() {
        let place = place();
        let connection = place.connection_string();
        works(&place.open(&[
            ("AZURE_STORAGE_CONNECTION_STRING", &connection),
            ("AZURE_STORAGE_ACCESS_KEY", "d3Jvbmc="),
            ("AZURE_STORAGE_SAS_TOKEN", "sig=wrong"),
        ]))
        .await;
        works(&place.open(&[
            ("AZURE_STORAGE_ACCESS_KEY", place.server.key()),
            ("AZURE_STORAGE_SAS_TOKEN", "sig=wrong"),
            ("AZURE_CLIENT_ID", "nobody"),
        ]))
        .await;
    }
}

mod identities {
    use super::*;

    /// A storage that wants this token, and has one file.
    fn storage(accepted: &'static str) -> Server {
        Server::start(move |asked| {
            if asked.header("authorization") != Some(&format!("Bearer {accepted}")) {
                let code = vec![("x-ms-error-code", "InvalidAuthenticationInfo".to_owned())];
                return Reply(401, code, String::new());
            }
            let headers = vec![
                ("etag", "\"1\"".to_owned()),
                ("last-modified", "Fri, 20 Nov 2026 10:00:00 GMT".to_owned()),
            ];
            Reply(200, headers, "content".to_owned())
        })
    }

    fn store(storage: &Server, env: &[(&str, &str)]) -> SharedStore {
        let config = StoreConfig::new()
            .with("endpoint", format!("{}/{ACCOUNT}", storage.url()))
            .with_env(env.iter().copied().collect());
        open(URI, &config).unwrap()
    }

    /// A form's pairs, decoded.
    fn form(body: &str) -> Vec<(String, String)> {
        let url: mlflow_artifacts_http::Url = format!("http://h/?{body}").parse().unwrap();
        url.query_pairs().into_owned().collect()
    }

    fn has(pairs: &[(String, String)], name: &str, value: &str) -> bool {
        pairs.iter().any(|(known, told)| known == name && told == value)
    }

    #[tokio::test]
    async fn an_application_has_a_secret() {
        let (storage, login) =
            (storage("token-1"), Server::of_tokens(|count| format!("token-{count}"), 3_600));
        for authority in [login.url(), format!("{}/", login.url())] {
            let store = store(
                &storage,
                &[
                    ("AZURE_CLIENT_ID", "application"),
                    ("AZURE_TENANT_ID", "tenant"),
                    ("AZURE_CLIENT_SECRET", "canary&secret"),
                    ("AZURE_AUTHORITY_HOST", &authority),
                ],
            );
            if login.asked().is_empty() {
                assert_eq!(store.get_bytes(&path("a")).await.unwrap(), "content");
                assert_eq!(store.get_bytes(&path("b")).await.unwrap(), "content");
            } else {
                // The storage takes the first token only.
                store.get_bytes(&path("a")).await.unwrap_err();
            }
        }
        let asked = login.asked();
        assert_eq!(
            (asked[0].method.as_str(), asked[0].target.as_str()),
            ("POST", "/tenant/oauth2/v2.0/token")
        );
        assert_eq!(asked[1].target, asked[0].target);
        let form = form(&asked[0].body);
        for (name, value) in [
            ("grant_type", "client_credentials"),
            ("client_id", "application"),
            ("client_secret", "canary&secret"),
            ("scope", "https://storage.azure.com/.default"),
        ] {
            assert!(has(&form, name, value), "{name} is not in {form:?}");
        }
        assert!(storage.asked()[0].target.starts_with("/tester/artifacts/run/1/a"));
    }

    #[tokio::test]
    async fn a_workload_has_a_file() {
        let (storage, login) =
            (storage("token-1"), Server::of_tokens(|count| format!("token-{count}"), 3_600));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "canary-of-the-cluster").unwrap();
        let store = store(
            &storage,
            &[
                ("AZURE_CLIENT_ID", "application"),
                ("AZURE_TENANT_ID", "tenant"),
                ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap()),
                ("AZURE_AUTHORITY_HOST", &login.url()),
            ],
        );
        assert_eq!(store.get_bytes(&path("a")).await.unwrap(), "content");
        let form = form(&login.asked()[0].body);
        assert!(has(&form, "client_assertion", "canary-of-the-cluster"));
        assert!(has(
            &form,
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        ));
        std::fs::remove_file(&file).unwrap();
    }

    #[tokio::test]
    async fn a_machine_has_an_endpoint() {
        for variable in ["IDENTITY_ENDPOINT", "MSI_ENDPOINT"] {
            let storage = storage("token-1");
            let identity = Server::of_tokens(|count| format!("token-{count}"), 3_600);
            let endpoint = format!("{}/msi/token", identity.url());
            let store = store(
                &storage,
                &[
                    (variable, &endpoint),
                    ("IDENTITY_HEADER", "canary-header"),
                    ("AZURE_CLIENT_ID", "assigned"),
                ],
            );
            assert_eq!(store.get_bytes(&path("a")).await.unwrap(), "content");
            let asked = &identity.asked()[0];
            assert_eq!(asked.method, "GET");
            let (target, query) = asked.target.split_once('?').unwrap();
            assert_eq!(target, "/msi/token");
            let query = form(query);
            assert!(
                has(&query, "resource", "https://storage.azure.com") && has(&query, "client_id", "assigned")
            );
            assert!(query.iter().any(|(name, _)| name == "api-version"));
            assert_eq!(asked.header("metadata"), Some("true"));
            assert_eq!(asked.header("x-identity-header"), Some("canary-header"));
        }
    }

    /// In a process of its own, whose PATH has a command `az` of ours.
    #[test]
    fn the_command_line_is_asked_last() {
        const MARK: &str = "TEST_OF_AZURE_CLI";
        if std::env::var_os(MARK).is_some() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let command = directory.path().join("az");
        let answer = serde_json::json!({
            "accessToken": "token-of-az",
            "expiresOn": "2999-01-01 00:00:00.000000",
            "tokenType": "Bearer",
        });
        let notes = directory.path().join("notes");
        let script = format!("#!/bin/sh\necho \"$@\" >> '{}'\necho '{answer}'\n", notes.display());
        std::fs::write(&command, script).unwrap();
        let made = std::process::Command::new("chmod").arg("755").arg(&command).status().unwrap();
        assert!(made.success());
        let path = format!("{}:/usr/bin:/bin", directory.path().display());
        let run = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "identities::with_a_command_line", "--nocapture"])
            .env("PATH", path)
            .env(MARK, "1")
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(run.status.success() && printed.contains("1 passed"), "{printed}");
        assert!(std::fs::read_to_string(notes).unwrap().contains("account get-access-token"));
    }

    /// What the process of `the_command_line_is_asked_last` does. Elsewhere no command is asked: nobody knows what it would say.
    #[tokio::test]
    async fn with_a_command_line() {
        let identity = Server::start(|_| Reply(400, Vec::new(), "{\"error\": \"no identity\"}".to_owned()));
        let storage = storage("token-of-az");
        let store = store(&storage, &[("IDENTITY_ENDPOINT", &identity.url())]);
        let read = store.get_bytes(&path("a")).await;
        assert_eq!(identity.asked().len(), 1);
        if std::env::var_os("TEST_OF_AZURE_CLI").is_some() {
            assert_eq!(read.unwrap(), "content");
        } else if let Err(error) = read {
            assert_error(
                &error,
                ErrorKind::Unauthenticated,
                &["managed identity", "Azure CLI", "AZURE_CLIENT_SECRET"],
            );
        }
    }

    #[tokio::test]
    async fn a_token_is_renewed_before_it_expires() {
        // Whoever has less than five minutes left is asked for more.
        let (storage, login) = (storage("token"), Server::of_tokens(|_| "token".to_owned(), 60));
        let store = store(&storage, &[("IDENTITY_ENDPOINT", &login.url())]);
        store.get_bytes(&path("a")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        store.get_bytes(&path("a")).await.unwrap();
        assert!(login.asked().len() >= 2, "{:?}", login.asked().len());
    }

    #[tokio::test]
    async fn a_refused_token_is_asked_for_anew_once() {
        for (accepted, is_good) in [("token-2", true), ("none", false)] {
            let (storage, login) =
                (storage(accepted), Server::of_tokens(|count| format!("token-{count}"), 3_600));
            let store = store(&storage, &[("IDENTITY_ENDPOINT", &login.url())]);
            let read = store.get_bytes(&path("a")).await;
            assert_eq!(read.is_ok(), is_good, "{read:?}");
            assert_eq!(login.asked().len(), 2, "{accepted}");
            if let Err(error) = read {
                assert_error(&error, ErrorKind::Unauthenticated, &["AZURE_CLIENT_ID", "Storage Blob Data"]);
            }
        }
    }

    #[tokio::test]
    async fn a_wrong_secret_is_said_at_once() {
        let storage = storage("token");
        let login = Server::start(|_| Reply(401, Vec::new(), "{\"error\": \"invalid_client\"}".to_owned()));
        let store = store(
            &storage,
            &[
                ("AZURE_CLIENT_ID", "application"),
                ("AZURE_TENANT_ID", "tenant"),
                ("AZURE_CLIENT_SECRET", "canary"),
                ("AZURE_AUTHORITY_HOST", &login.url()),
            ],
        );
        let error = store.get_bytes(&path("a")).await.unwrap_err();
        assert_error(&error, ErrorKind::Unauthenticated, &["AZURE_CLIENT_SECRET", "invalid_client"]);
        assert_eq!((login.asked().len(), storage.asked().len()), (1, 0));
    }

    #[test]
    fn a_token_does_not_leave_the_machine_without_tls() {
        let config = StoreConfig::new().with("endpoint", "http://storage.example");
        let error = open(URI, &config).unwrap_err();
        assert_error(&error, ErrorKind::InvalidConfig, &["TLS", "AZURE_STORAGE_ACCESS_KEY"]);
    }

    /// With tokens that Azurite looks into.
    #[tokio::test]
    async fn an_identity_works_and_signs_for_others() {
        let secure = secure();
        let login = Server::of_tokens(|_| token(3_600), 3_600);
        let store = secure.open(&[
            ("IDENTITY_ENDPOINT", &login.url()),
            ("MLFLOW_TRACKING_SERVER_CERT_PATH", secure.named()),
        ]);
        works(&store).await;
        let client = HttpClient::new(HttpOptions {
            ca_bundle: Some(secure.certificate.clone()),
            ..HttpOptions::default()
        });
        signs(&store, &client).await;
        let request = PresignRequest {
            path: path("a"),
            method: PresignMethod::Get,
            expires_in: Duration::from_hours(24 * 8),
        };
        let error = store.presign(request).await.unwrap_err();
        assert_error(&error, ErrorKind::InvalidArgument, &["seven days"]);
    }
}

async fn make(client: &HttpClient, signed: &SignedRequest, body: &'static str) -> (u16, String) {
    let headers: HeaderMap = signed
        .headers
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
        .collect();
    let method: Method = signed.method.parse().unwrap();
    // A server may hang up on a connection just when it is used again.
    let answer = client.retry(|| {
        let body = if method == Method::PUT { Body::Bytes(body.into()) } else { Body::None };
        let request = Request::new(method.clone(), signed.url.parse().unwrap()).with_headers(headers.clone());
        client.send(request.with_body(body).signed())
    });
    let answer = answer.await.unwrap();
    (answer.status(), answer.text(1 << 20).await.unwrap())
}

/// Requests that are made by others: reading, writing, and parts beside our own.
async fn signs(store: &SharedStore, client: &HttpClient) {
    let expires_in = Duration::from_mins(5);
    for name in ["plain", "a b/c+d/ü%20e#f?g&h='.txt"] {
        let request = |method| PresignRequest { path: path(name), method, expires_in };
        let put = store.presign(request(PresignMethod::Put)).await.unwrap();
        assert_eq!(make(client, &put, "content").await.0, 201, "{name}");
        let get = store.presign(request(PresignMethod::Get)).await.unwrap();
        assert_eq!(make(client, &get, "").await, (200, "content".to_owned()), "{name}");
        assert_eq!(store.get_bytes(&path(name)).await.unwrap(), "content");
        // What may be read may not be written.
        let stolen = SignedRequest { method: "PUT".to_owned(), headers: put.headers.clone(), ..get };
        assert_eq!(make(client, &stolen, "stolen").await.0, 403, "{name}");
        let upload = store.begin_upload(&path(name), small_parts()).await.unwrap();
        let first = upload.put_part(1, vec![b'a'; 1 << 10].into()).await.unwrap();
        let method = PresignMethod::Part { upload: upload.token().unwrap(), number: 2 };
        let part = store.presign(request(method)).await.unwrap();
        assert_eq!(make(client, &part, "end").await.0, 201, "{name}");
        let url: mlflow_artifacts_http::Url = part.url.parse().unwrap();
        let etag = url.query_pairs().find(|(known, _)| known == "blockid").unwrap().1.into_owned();
        upload.complete(vec![first, PartReceipt { number: 2, size: 3, etag }]).await.unwrap();
        let whole = store.get_bytes(&path(name)).await.unwrap();
        assert!(whole.len() == (1 << 10) + 3 && whole.ends_with(b"aend"), "{name}");
    }
}

#[tokio::test]
async fn a_key_signs_for_others() {
    let place = place();
    let store = place.behind();
    signs(&store, &HttpClient::new(HttpOptions::default())).await;
    let upload = store.begin_upload(&path("a"), small_parts()).await.unwrap().token().unwrap();
    for number in [0, 50_001] {
        let method = PresignMethod::Part { upload: upload.clone(), number };
        let request = PresignRequest { path: path("a"), method, expires_in: Duration::from_mins(1) };
        let error = store.presign(request).await.unwrap_err();
        assert_error(&error, ErrorKind::InvalidArgument, &["from 1 to 50000"]);
    }
}

#[tokio::test]
async fn a_signature_does_not_sign_for_others() {
    let place = place();
    let store = place.open(&[("AZURE_STORAGE_SAS_TOKEN", &account_signature(place.server.key()))]);
    let request =
        PresignRequest { path: path("a"), method: PresignMethod::Get, expires_in: Duration::from_mins(1) };
    assert_error(&store.presign(request).await.unwrap_err(), ErrorKind::Unsupported, &[]);
    let told = store.describe().await.unwrap();
    assert!(told.iter().any(|(_, text)| text.contains("cannot sign for others")), "{told:?}");
}

#[tokio::test]
async fn what_the_content_is_is_said() {
    let place = place();
    let store = place.store();
    store.put_bytes(&path("a/metrics.json"), "{}".into()).await.unwrap();
    store.put_bytes(&path("a/table.csv.gz"), "".into()).await.unwrap();
    let upload = store.begin_upload(&path("a/plot.png"), small_parts()).await.unwrap();
    let receipt = upload.put_part(1, "png".into()).await.unwrap();
    upload.complete(vec![receipt]).await.unwrap();
    let told = |part: &str| {
        let request = place.requests("PUT", part).pop().unwrap();
        let of = |name| header(&request, name).map(str::to_owned);
        (of("x-ms-blob-content-type"), of("x-ms-blob-content-encoding"))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(told("metrics.json"), (some("application/json"), None));
    assert_eq!(told("table.csv.gz"), (some("text/csv"), some("gzip")));
    assert_eq!(told("plot.png?comp=blocklist"), (some("image/png"), None));
}

#[tokio::test]
async fn blocks_have_the_name_of_their_upload() {
    let place = place();
    let store = place.store();
    let uploads = [
        store.begin_upload(&path("a"), small_parts()).await.unwrap(),
        store.begin_upload(&path("a"), small_parts()).await.unwrap(),
    ];
    for upload in &uploads {
        for number in [1, 2] {
            upload.put_part(number, "content".into()).await.unwrap();
        }
    }
    let ids: Vec<_> = place
        .requests("PUT", "comp=block&blockid=")
        .iter()
        .map(|request| request.target.split_once("blockid=").unwrap().1.to_owned())
        .collect();
    assert_eq!(ids.len(), 4);
    let same = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    assert!(
        same(&ids[0], &ids[1]) >= 40 && same(&ids[2], &ids[3]) >= 40 && same(&ids[0], &ids[2]) < 40,
        "{ids:?}"
    );
    assert!(ids.iter().all(|id| id.len() == ids[0].len()), "{ids:?}");
}

#[tokio::test]
async fn conditions_stand_on_the_request_that_makes_the_blob() {
    let place = place();
    let store = place.store();
    let upload = store
        .begin_upload(
            &path("a"),
            mlflow_artifacts_core::UploadOptions {
                mode: mlflow_artifacts_core::PutMode::CreateNew,
                ..small_parts()
            },
        )
        .await
        .unwrap();
    let receipt = upload.put_part(1, "content".into()).await.unwrap();
    upload.complete(vec![receipt]).await.unwrap();
    let requests = place.recorder.requests();
    for request in &requests {
        let expected = request.target.ends_with("comp=blocklist").then_some("*");
        assert_eq!(header(request, "if-none-match"), expected, "{} {}", request.method, request.target);
    }
}

#[tokio::test]
async fn a_clock_that_differs_is_believed() {
    let place = place();
    let later = SystemTime::now() + Duration::from_hours(2);
    let Effect::Answer { status, mut headers, body } = refusal(403, "AuthenticationFailed") else {
        panic!("a refusal is an answer")
    };
    headers.push(("date", httpdate::fmt_http_date(later)));
    place.recorder.inject(Fault::next(Effect::Answer { status, headers, body }));
    place.store().put_bytes(&path("a"), "content".into()).await.unwrap();
    let puts = place.requests("PUT", "/a");
    let dates: Vec<_> = puts
        .iter()
        .map(|request| httpdate::parse_http_date(header(request, "x-ms-date").unwrap()).unwrap())
        .collect();
    assert_eq!(dates.len(), 2);
    let ahead = dates[1].duration_since(dates[0]).unwrap();
    assert!((7_100..7_300).contains(&ahead.as_secs()), "{ahead:?}");
    assert_ne!(header(&puts[0], "authorization"), header(&puts[1], "authorization"));
}

#[tokio::test]
async fn a_transfer_may_take_so_long() {
    let place = place();
    let key = ("AZURE_STORAGE_ACCESS_KEY", place.server.key());
    for (seconds, is_late) in [("1", true), ("-1", false)] {
        place.recorder.forget();
        place.recorder.inject(Fault::next(Effect::Delay(Duration::from_millis(1_500))));
        let store = place.open(&[key, ("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", seconds)]);
        let put = store.put_bytes(&path("a"), "content".into()).await;
        assert_eq!(put.is_err(), is_late, "{put:?}");
        if let Err(error) = put {
            assert_error(&error, ErrorKind::Timeout, &["MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT"]);
        }
        assert_eq!(place.recorder.requests().len(), 1);
    }
}

#[tokio::test]
async fn certificates_are_those_that_mlflow_names() {
    let secure = secure();
    let key = ("AZURE_STORAGE_ACCESS_KEY", secure.server.key());
    for variable in [
        ("MLFLOW_TRACKING_SERVER_CERT_PATH", secure.named()),
        ("MLFLOW_TRACKING_INSECURE_TLS", "true"),
        ("REQUESTS_CA_BUNDLE", secure.named()),
    ] {
        works(&secure.open(&[key, variable])).await;
    }
    let error = secure.open(&[key]).put_bytes(&path("a"), "content".into()).await.unwrap_err();
    assert_error(&error, ErrorKind::Tls, &[]);
}

/// Directories of Data Lake Storage, and the markers of Hadoop.
#[tokio::test]
async fn folders_are_no_files() {
    let storage = Server::start(|asked| {
        if asked.method == "HEAD" {
            let headers = vec![
                ("x-ms-meta-hdi_isfolder", "true".to_owned()),
                ("etag", "\"1\"".to_owned()),
                ("last-modified", "Fri, 20 Nov 2026 10:00:00 GMT".to_owned()),
            ];
            return Reply(200, headers, String::new());
        }
        let blob = |name: &str, more: &str| {
            format!(
                "<Blob><Name>run/1/{name}</Name><Properties>\
                 <Last-Modified>Fri, 20 Nov 2026 10:00:00 GMT</Last-Modified><Etag>0x1</Etag>\
                 <Content-Length>0</Content-Length><Content-Type>x/y</Content-Type>{more}</Blob>"
            )
        };
        let folder = "</Properties><Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>";
        let directory = "<ResourceType>directory</ResourceType></Properties>";
        let blobs = [blob("d", folder), blob("d/e", directory), blob("d/file", "</Properties>")].concat();
        let body = format!(
            "<?xml version=\"1.0\"?><EnumerationResults><Prefix>run/1/</Prefix><Blobs>{blobs}</Blobs>\
             <NextMarker/></EnumerationResults>"
        );
        Reply(200, vec![("content-type", "application/xml".to_owned())], body)
    });
    let config = StoreConfig::new().with("endpoint", storage.url()).with("access_key", "YQ==");
    let store = open(URI, &config).unwrap();
    let listed = store.list_all(&path(""), ListOptions { recursive: true }).await.unwrap();
    let told: Vec<_> = listed.iter().map(|meta| (meta.path.as_str(), meta.is_directory())).collect();
    assert_eq!(told, [("d", true), ("d/file", false)]);
    assert_eq!(listed[1].etag.as_deref(), Some("\"0x1\""));
    assert!(storage.asked()[0].target.contains("include=metadata"), "{}", storage.asked()[0].target);
    assert!(store.stat(&path("d")).await.unwrap().is_directory());
}
