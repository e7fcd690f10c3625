//! What is seen on the wire: who is asked for tokens, whose token comes to the storage, and what each variable and each form of a
//! URI changes in the requests.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use common::{
    Account, Answer, Asked, BUCKET, Cloud, EMAIL, File, Scripted, answer, has_signed, open, path, user,
};
use futures_util::{StreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactStoreExt as _, CopyOptions, ErrorKind, GetOptions, ListOptions, PresignMethod, PresignRequest,
    PutBody, PutMode, PutOptions, SharedStore, StoreConfig, UploadOptions,
};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const URI: &str = "gs://bucket/run";
const ADC: &str = "GOOGLE_APPLICATION_CREDENTIALS";

async fn put(store: &SharedStore, at: &str) {
    store.put_bytes(&path(at), "content".into()).await.unwrap();
}

// --- credentials

#[tokio::test]
async fn a_service_account_makes_its_own_tokens() {
    let (cloud, account) = (Cloud::trusting(), Account::new());
    let store = open(URI, &cloud.with_env(&[(ADC, &account.path())]));
    put(&store, "a").await;
    assert_eq!(store.get_bytes(&path("a")).await.unwrap(), "content");
    let bearers = cloud.bearers();
    let [token] = &bearers[..] else { panic!("{bearers:?}") };
    let (message, signature) = token.rsplit_once('.').unwrap();
    assert!(has_signed(message, &URL_SAFE_NO_PAD.decode(signature).unwrap()));
    let part =
        |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    let (header, claims) = message.split_once('.').unwrap();
    assert_eq!(part(header), json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"}));
    let claims = part(claims);
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!(EMAIL), &json!(EMAIL)));
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
}

#[tokio::test]
async fn a_user_has_a_refresh_token() {
    let cloud = Cloud::start();
    let tokens = Scripted::of_tokens(&[cloud.server.token()], 3600).await;
    let file = File::new(&user(&tokens).to_string());
    let store = open(URI, &cloud.with_env(&[(ADC, &file.path())]));
    put(&store, "a").await;
    put(&store, "b").await;
    let asked = tokens.seen();
    let [asked] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/token"));
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(asked.header("authorization"), None);
    for (name, value) in [
        ("grant_type", "refresh_token"),
        ("client_id", "client-1"),
        ("client_secret", "canary/secret"),
        ("refresh_token", "canary&refresh"),
    ] {
        assert_eq!(asked.form(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(cloud.bearers(), [cloud.server.token()]);
}

#[tokio::test]
async fn gclouds_file_is_found() {
    let cloud = Cloud::start();
    let tokens = Scripted::of_tokens(&[cloud.server.token()], 3600).await;
    let file = File::new(&user(&tokens).to_string());
    put(&open(URI, &cloud.with_env(&[("CLOUDSDK_CONFIG", &file.directory())])), "a").await;
    assert_eq!(tokens.seen().len(), 1);

    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join(".config/gcloud");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::copy(file.path(), directory.join("application_default_credentials.json")).unwrap();
    let home = home.path().display().to_string();
    put(&open(URI, &cloud.with_env(&[("HOME", &home)])), "a").await;
    assert_eq!(tokens.seen().len(), 2);

    // What is named goes before what is found.
    let other = Scripted::of_tokens(&[cloud.server.token()], 3600).await;
    let named = File::new(&user(&other).to_string());
    put(&open(URI, &cloud.with_env(&[(ADC, &named.path()), ("HOME", &home)])), "a").await;
    assert_eq!((tokens.seen().len(), other.seen().len()), (2, 1));
}

/// A metadata server that hands out this token.
async fn metadata(token: String) -> Scripted {
    Scripted::start(move |asked| {
        let headers = vec![("metadata-flavor", "Google".to_owned())];
        match asked.target.split('?').next().unwrap() {
            _ if asked.header("metadata-flavor") != Some("Google") => (403, headers, String::new()),
            "/" => (200, headers, "computeMetadata/".to_owned()),
            "/computeMetadata/v1/instance/service-accounts/default/email" => {
                (200, headers, format!("{EMAIL}\n"))
            }
            "/computeMetadata/v1/instance/service-accounts/default/token" => {
                answer(&json!({"access_token": token, "expires_in": 3600, "token_type": "Bearer"}))
            }
            _ => (404, headers, String::new()),
        }
    })
    .await
}

#[tokio::test]
async fn a_machine_at_google_has_a_service_account() {
    let cloud = Cloud::start();
    let (here, host) = (metadata("unused".to_owned()).await, metadata(cloud.server.token()).await);
    let (ip, name) = (here.address().to_string(), host.address().to_string());
    for variable in ["GCE_METADATA_HOST", "GCE_METADATA_ROOT"] {
        // A proxy that is not there, for all but the storage.
        let variables = [
            ("GCE_METADATA_IP", ip.as_str()),
            (variable, &name),
            ("HTTP_PROXY", "http://127.0.0.1:1"),
            ("NO_PROXY", "localhost"),
        ];
        let endpoint = format!("http://localhost:{}", cloud.recorder.address().port());
        put(&open(URI, &cloud.with_env(&variables).with("endpoint", endpoint)), "a").await;
    }
    // Asked whether it is there at the one address, and for tokens at the other, past every proxy.
    let targets = |server: &Scripted| server.seen().into_iter().map(|asked| asked.target).collect::<Vec<_>>();
    assert_eq!(targets(&here), ["/", "/"]);
    let token = "/computeMetadata/v1/instance/service-accounts/default/token?\
                 scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform";
    assert_eq!(targets(&host), [token, token]);
    assert_eq!(cloud.bearers(), [cloud.server.token()]);
}

#[tokio::test]
async fn the_metadata_server_is_not_looked_for_in_vain() {
    let cloud = Cloud::start();
    let server = metadata("unused".to_owned()).await;
    let address = server.address().to_string();
    let variables =
        [("GCE_METADATA_IP", address.as_str()), ("GCE_METADATA_HOST", &address), ("NO_GCE_CHECK", "true")];
    let error = open(URI, &cloud.with_env(&variables)).get_bytes(&path("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
    for said in [ADC, "gcloud auth application-default login", "anonymous"] {
        assert!(error.to_string().contains(said), "{error}");
    }
    assert!(server.seen().is_empty() && cloud.asked().is_empty());

    // Who answers there may be somebody else, such as a router's page.
    let stranger = Scripted::start(|_| (200, Vec::new(), "<html>".to_owned())).await;
    let address = stranger.address().to_string();
    let store = open(URI, &cloud.with_env(&[("GCE_METADATA_IP", &address), ("GCE_METADATA_HOST", &address)]));
    for _ in 0..2 {
        assert_eq!(store.get_bytes(&path("a")).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    }
    assert_eq!(stranger.seen().len(), 1, "it is asked once");
    assert!(cloud.asked().is_empty(), "nobody is anonymous by accident");
}

/// The services that federation and impersonation ask: they answer by path.
async fn iam(subject: &'static str, middle: &'static str, last: String) -> Scripted {
    Scripted::start(move |asked: &Asked| -> Answer {
        match asked.target.as_str() {
            "/subject" => answer(&json!({"value": subject, "other": "x"})),
            "/sts" => answer(&json!({
                "access_token": middle,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "token_type": "Bearer",
                "expires_in": 3600,
            })),
            "/token" => answer(&json!({"access_token": middle, "expires_in": 3600})),
            target if target.ends_with(":generateAccessToken") => {
                answer(&json!({"accessToken": last, "expireTime": "2099-01-01T00:00:00Z"}))
            }
            target if target.ends_with(":signBlob") => {
                answer(&json!({"keyId": "1", "signedBlob": STANDARD.encode([0xab, 0x01])}))
            }
            _ => (404, Vec::new(), String::new()),
        }
    })
    .await
}

fn external(iam: &Scripted, source: Value) -> Value {
    json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": iam.url("/sts"),
        "credential_source": source,
    })
}

fn check_exchange(asked: &Asked, subject: &str) {
    for (name, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("audience", "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x"),
        ("scope", "https://www.googleapis.com/auth/cloud-platform"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token", subject),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
    ] {
        assert_eq!(asked.form(name).as_deref(), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_subject_token_from_a_file_is_exchanged() {
    let cloud = Cloud::trusting();
    let iam = iam("", "federated", String::new()).await;
    let subject = File::new("subject token\n");
    let file = File::new(&external(&iam, json!({"file": subject.path()})).to_string());
    let store = open(URI, &cloud.with_env(&[(ADC, &file.path())]));
    put(&store, "a").await;
    let asked = iam.seen();
    let [exchange] = &asked[..] else { panic!("{asked:?}") };
    check_exchange(exchange, "subject token");
    assert_eq!(exchange.header("authorization"), None);
    assert_eq!(cloud.bearers(), ["federated"]);
}

#[tokio::test]
async fn a_subject_token_from_a_url_is_exchanged_for_a_service_accounts() {
    let cloud = Cloud::start();
    let iam = iam("subject", "federated", cloud.server.token()).await;
    let mut credentials = external(
        &iam,
        json!({
            "url": iam.url("/subject"),
            "headers": {"Metadata": "True"},
            "format": {"type": "json", "subject_token_field_name": "value"},
        }),
    );
    credentials["client_id"] = json!("id");
    credentials["client_secret"] = json!("canary");
    credentials["service_account_impersonation_url"] =
        json!(iam.url(&format!("/v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken")));
    credentials["service_account_impersonation"] = json!({"token_lifetime_seconds": 1800});
    let file = File::new(&credentials.to_string());
    let store = open(URI, &cloud.with_env(&[(ADC, &file.path())]));
    put(&store, "a").await;
    let asked = iam.seen();
    let [subject, exchange, impersonation] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((subject.target.as_str(), subject.header("metadata")), ("/subject", Some("True")));
    check_exchange(exchange, "subject");
    let basic = format!("Basic {}", STANDARD.encode("id:canary"));
    assert_eq!(exchange.header("authorization"), Some(basic.as_str()));
    assert_eq!(impersonation.header("authorization"), Some("Bearer federated"));
    let body: Value = serde_json::from_str(&impersonation.body).unwrap();
    let scope = "https://www.googleapis.com/auth/cloud-platform";
    assert_eq!(body, json!({"scope": [scope], "delegates": [], "lifetime": "1800s"}));
    assert_eq!(cloud.bearers(), [cloud.server.token()]);
}

#[tokio::test]
async fn a_workforce_names_its_project() {
    let cloud = Cloud::trusting();
    let iam = iam("", "federated", String::new()).await;
    let subject = File::new("subject");
    let mut credentials = external(&iam, json!({"file": subject.path()}));
    credentials["workforce_pool_user_project"] = json!("project-1");
    let file = File::new(&credentials.to_string());
    put(&open(URI, &cloud.with_env(&[(ADC, &file.path())])), "a").await;
    assert_eq!(iam.seen()[0].form("options").as_deref(), Some(r#"{"userProject":"project-1"}"#));
}

fn impersonated(iam: &Scripted) -> Value {
    json!({
        "type": "impersonated_service_account",
        "service_account_impersonation_url":
            iam.url(&format!("/v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken")),
        "delegates": ["between@project.iam.gserviceaccount.com"],
        "source_credentials": user(iam),
    })
}

#[tokio::test]
async fn a_user_acts_as_a_service_account() {
    let cloud = Cloud::start();
    let iam = iam("", "the user's", cloud.server.token()).await;
    let file = File::new(&impersonated(&iam).to_string());
    put(&open(URI, &cloud.with_env(&[(ADC, &file.path())])), "a").await;
    let asked = iam.seen();
    let [refresh, impersonation] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(refresh.form("grant_type").as_deref(), Some("refresh_token"));
    assert_eq!(impersonation.header("authorization"), Some("Bearer the user's"));
    let body: Value = serde_json::from_str(&impersonation.body).unwrap();
    assert_eq!(body["delegates"], json!(["between@project.iam.gserviceaccount.com"]));
    assert_eq!(body["lifetime"], "3600s");
    assert_eq!(cloud.bearers(), [cloud.server.token()]);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    let cloud = Cloud::trusting();
    let tokens: Vec<_> = ["one", "two", "three"].map(str::to_owned).to_vec();
    // Less is left of it than a request may take.
    let short = Scripted::of_tokens(&tokens, 200).await;
    let file = File::new(&user(&short).to_string());
    let store = open(URI, &cloud.with_env(&[(ADC, &file.path())]));
    for name in ["a", "b", "c"] {
        put(&store, name).await;
    }
    assert_eq!(cloud.bearers(), ["one", "two", "three"]);
}

#[tokio::test]
async fn an_emulator_is_asked_without_credentials() {
    let (cloud, account) = (Cloud::trusting(), Account::new());
    let address = cloud.recorder.address().to_string();
    for host in [address.clone(), format!("http://{address}"), format!("http://{address}/")] {
        let variables = [("STORAGE_EMULATOR_HOST", host.as_str()), (ADC, &account.path())];
        let store = open(URI, &StoreConfig::new().with_env(variables.into_iter().collect()));
        put(&store, "a").await;
        let request = PresignRequest {
            path: path("a"),
            method: PresignMethod::Get,
            expires_in: Duration::from_mins(1),
        };
        assert_eq!(store.presign(request).await.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    assert_eq!((cloud.asked().len(), cloud.bearers()), (3, vec!["none".to_owned()]));
}

#[tokio::test]
async fn anonymous_is_who_wants_to_be() {
    let (cloud, account) = (Cloud::trusting(), Account::new());
    let variables = [(ADC, &*account.path()), ("GOOGLE_CLOUD_QUOTA_PROJECT", "project-1")];
    let config = cloud.with_env(&variables).with("anonymous", "true");
    put(&open(URI, &config), "a").await;
    assert_eq!(cloud.bearers(), ["none"]);
    // Nobody can be charged then.
    let requests = cloud.recorder.requests();
    assert!(requests.iter().all(|request| !request.headers.contains_key("x-goog-user-project")));
}

#[tokio::test]
async fn the_project_that_pays_is_named() {
    let cloud = Cloud::trusting();
    let mut credentials = Account::json();
    credentials["quota_project_id"] = json!("of-the-file");
    let file = File::new(&credentials.to_string());
    for (variables, project) in [
        (&[(ADC, file.path())][..], "of-the-file"),
        (
            &[(ADC, file.path()), ("GOOGLE_CLOUD_QUOTA_PROJECT", "of-the-variable".to_owned())],
            "of-the-variable",
        ),
    ] {
        cloud.recorder.forget();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let store = open(URI, &cloud.with_env(&variables));
        put(&store, "a").await;
        store.list_all(&path(""), ListOptions::default()).await.unwrap();
        for request in cloud.recorder.requests() {
            assert_eq!(request.headers["x-goog-user-project"], project, "{}", request.target);
        }
        let request = PresignRequest {
            path: path("a"),
            method: PresignMethod::Get,
            expires_in: Duration::from_mins(1),
        };
        let url = store.presign(request).await.unwrap().url;
        assert!(url.contains(&format!("&userProject={project}&")), "{url}");
    }
}

// --- signed URLs

fn query(url: &str) -> (String, Vec<(String, String)>) {
    let (address, query) = url.split_once('?').unwrap();
    let decode = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let pairs = query.split('&').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), decode(value))
    });
    (address.to_owned(), pairs.collect())
}

#[tokio::test]
async fn signed_urls_are_canonical_requests_of_version_4() {
    let (cloud, account) = (Cloud::trusting(), Account::new());
    let store = open(URI, &cloud.with_env(&[(ADC, &account.path())]));
    let at = path("a b/ü?#%+");
    let upload = store.begin_upload(&at, UploadOptions::default()).await.unwrap();
    let part = PresignMethod::Part { upload: upload.token().unwrap(), number: 7 };
    for (method, verb) in [(PresignMethod::Get, "GET"), (PresignMethod::Put, "PUT"), (part, "PUT")] {
        let is_part = matches!(method, PresignMethod::Part { .. });
        let request = PresignRequest { path: at.clone(), method, expires_in: Duration::from_mins(10) };
        let signed = store.presign(request).await.unwrap();
        assert_eq!((signed.method.as_str(), signed.headers.len()), (verb, 0));
        let (address, pairs) = query(&signed.url);
        let key = "/bucket/run/a%20b/%C3%BC%3F%23%25%2B";
        assert_eq!(address, format!("{}{key}", cloud.recorder.url()));
        let value = |name: &str| pairs.iter().find(|(has, _)| has == name).map(|(_, value)| value.as_str());
        let time = value("X-Goog-Date").unwrap();
        let scope = format!("{}/auto/storage/goog4_request", &time[..8]);
        assert_eq!(value("X-Goog-Credential"), Some(format!("{EMAIL}/{scope}").as_str()));
        assert_eq!((value("X-Goog-Expires"), value("X-Goog-SignedHeaders")), (Some("600"), Some("host")));
        assert_eq!(value("partNumber"), is_part.then_some("7"));
        assert_eq!(value("uploadId").is_some(), is_part);
        // What was signed is made again of what was sent.
        let (unsigned, signature) = signed.url.rsplit_once("&X-Goog-Signature=").unwrap();
        let canonical_query = unsigned.split_once('?').unwrap().1;
        assert!(canonical_query.split('&').is_sorted(), "{canonical_query}");
        let host = cloud.recorder.address();
        let canonical = format!("{verb}\n{key}\n{canonical_query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD");
        let digest: Vec<_> = Sha256::digest(&canonical).iter().map(|byte| format!("{byte:02x}")).collect();
        let digest = digest.concat();
        let text = format!("GOOG4-RSA-SHA256\n{time}\n{scope}\n{digest}");
        let signature: Vec<_> = (0..signature.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&signature[at..at + 2], 16).unwrap())
            .collect();
        assert!(has_signed(&text, &signature), "{canonical}");
    }
    let request = PresignRequest {
        path: at,
        method: PresignMethod::Get,
        expires_in: Duration::from_hours(7 * 24) + Duration::from_secs(1),
    };
    assert_eq!(store.presign(request).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn an_impersonated_account_signs_itself() {
    let cloud = Cloud::start();
    let iam = iam("", "the user's", cloud.server.token()).await;
    let file = File::new(&impersonated(&iam).to_string());
    let store = open(URI, &cloud.with_env(&[(ADC, &file.path())]));
    let request =
        PresignRequest { path: path("a"), method: PresignMethod::Get, expires_in: Duration::from_mins(1) };
    let signed = store.presign(request).await.unwrap();
    assert!(signed.url.ends_with("&X-Goog-Signature=ab01"), "{}", signed.url);
    let asked = iam.seen();
    let signing = asked.last().unwrap();
    assert_eq!(signing.target, format!("/v1/projects/-/serviceAccounts/{EMAIL}:signBlob"));
    assert_eq!(signing.header("authorization"), Some("Bearer the user's"));
    let body: Value = serde_json::from_str(&signing.body).unwrap();
    assert_eq!(body["delegates"], json!(["between@project.iam.gserviceaccount.com"]));
    let payload = STANDARD.decode(body["payload"].as_str().unwrap()).unwrap();
    assert!(payload.starts_with(b"GOOG4-RSA-SHA256\n"));
}

#[tokio::test]
async fn a_machines_account_signs_at_google() {
    let cloud = Cloud::start();
    let (server, proxy) =
        (metadata("token".to_owned()).await, Scripted::start(|_| (403, Vec::new(), String::new())).await);
    let (address, proxied) = (server.address().to_string(), proxy.url(""));
    let variables =
        [("GCE_METADATA_IP", address.as_str()), ("GCE_METADATA_HOST", &address), ("HTTPS_PROXY", &proxied)];
    let store = open(URI, &cloud.with_env(&variables).with("retries", "0"));
    let request =
        PresignRequest { path: path("a"), method: PresignMethod::Get, expires_in: Duration::from_mins(1) };
    // Google cannot be reached from here: that it is where the account is asked to sign is all that can be seen.
    store.presign(request).await.unwrap_err();
    let targets: Vec<_> = server.seen().into_iter().map(|asked| asked.target).collect();
    assert!(targets[1].ends_with("/default/email") && targets[2].contains("/default/token?"), "{targets:?}");
    let asked = proxy.seen();
    assert_eq!(
        (asked[0].method.as_str(), asked[0].target.as_str()),
        ("CONNECT", "iamcredentials.googleapis.com:443")
    );
}

#[tokio::test]
async fn a_user_cannot_sign() {
    let cloud = Cloud::start();
    let tokens = Scripted::of_tokens(&[cloud.server.token()], 3600).await;
    let file = File::new(&user(&tokens).to_string());
    let store = open(URI, &cloud.with_env(&[(ADC, &file.path())]));
    let request =
        PresignRequest { path: path("a"), method: PresignMethod::Get, expires_in: Duration::from_mins(1) };
    let error = store.presign(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains(ADC), "{error}");
}

// --- requests

#[tokio::test]
async fn uris_name_keys() {
    let cloud = Cloud::start();
    let config = cloud.config().with("access_token", cloud.server.token());
    for (uri, target) in [
        ("gs://bucket", "/bucket/a%20b%2Fc"),
        ("gs://bucket/", "/bucket/a%20b%2Fc"),
        ("gs://bucket/1/abc/artifacts", "/bucket/1%2Fabc%2Fartifacts%2Fa%20b%2Fc"),
        ("gs://bucket/with space/", "/bucket/with%20space%2Fa%20b%2Fc"),
        // As it is written.
        ("gs://bucket/with%20space/", "/bucket/with%2520space%2Fa%20b%2Fc"),
        ("gs://my_data.example.com/x", "/my%5Fdata%2Eexample%2Ecom/x%2Fa%20b%2Fc"),
    ] {
        cloud.recorder.forget();
        put(&open(uri, &config), "a b/c").await;
        assert_eq!(cloud.asked(), [format!("PUT {target}")], "{uri}");
    }
}

#[tokio::test]
async fn content_types_go_along_and_nothing_is_unpacked() {
    let cloud = Cloud::start();
    let store = cloud.store();
    for (name, content_type) in [
        ("metrics.json", "application/json"),
        ("a.tar.gz", "application/x-tar"),
        ("MLmodel", "application/octet-stream"),
    ] {
        cloud.recorder.forget();
        put(&store, name).await;
        store.get_bytes(&path(name)).await.unwrap();
        store.list_all(&path(""), ListOptions::default()).await.unwrap();
        let requests = cloud.recorder.requests();
        assert_eq!(requests[0].headers["content-type"], content_type);
        assert!(!requests[0].headers.contains_key("content-encoding"));
        assert_eq!(requests[1].headers["accept-encoding"], "gzip");
        // An answer that is no object would itself be packed.
        assert!(!requests[2].headers.contains_key("accept-encoding"));
    }
}

#[tokio::test]
async fn what_is_sent_has_a_checksum() {
    let cloud = Cloud::start();
    let store = cloud.store();
    // Of "123456789" (RFC 3720 has the polynomial, every catalogue of checksums this value).
    assert_eq!(STANDARD.encode(0xe306_9283_u32.to_be_bytes()), "4waSgw==");
    store.put_bytes(&path("a"), "123456789".into()).await.unwrap();
    store.put_bytes(&path("b"), Bytes::new()).await.unwrap();
    let pieces = ["123", "456", "789"].map(|piece| Ok(Bytes::from(piece)));
    let body = PutBody::Stream { stream: stream::iter(pieces).boxed(), length: None };
    store.put(&path("c"), body, PutOptions::default()).await.unwrap();
    let upload = store.begin_upload(&path("d"), UploadOptions::default()).await.unwrap();
    upload.put_part(1, "123456789".into()).await.unwrap();
    store.copy(&path("a"), &path("e"), CopyOptions::default()).await.unwrap();
    let sent = cloud.recorder.requests().into_iter().filter(|request| request.method == "PUT");
    let hashes: Vec<_> = sent
        .map(|request| request.headers.get("x-goog-hash").map(|hash| hash.to_str().unwrap().to_owned()))
        .collect();
    let some = |hash: &str| Some(format!("crc32c={hash}"));
    assert_eq!(hashes, [some("4waSgw=="), some("AAAAAA=="), some("4waSgw=="), some("4waSgw=="), None]);
}

#[tokio::test]
async fn conditions_are_generations() {
    let cloud = Cloud::start();
    let store = cloud.store();
    let condition = || {
        let request = cloud.recorder.requests().pop().unwrap();
        assert!(!request.headers.contains_key("if-match") && !request.headers.contains_key("if-none-match"));
        let value = request.headers.get("x-goog-if-generation-match");
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    let write = async |mode: PutMode| {
        let options = PutOptions { mode, ..PutOptions::default() };
        store.put(&path("a"), PutBody::from("content"), options).await
    };
    let first = write(PutMode::CreateNew).await.unwrap().etag.unwrap();
    assert_eq!(condition().as_deref(), Some("0"));
    assert!(first.parse::<u64>().is_ok(), "{first}");
    let second = write(PutMode::IfMatch(first.clone())).await.unwrap().etag.unwrap();
    assert_eq!(condition(), Some(first.clone()));
    assert_ne!(first, second, "the content is the same, what stands there is not");
    // The same etag everywhere.
    assert_eq!(store.stat(&path("a")).await.unwrap().etag, Some(second.clone()));
    let listed = store.list_all(&path(""), ListOptions::default()).await.unwrap();
    assert_eq!(listed[0].etag, Some(second.clone()));
    let read = |etag: &str| GetOptions { if_match: Some(etag.to_owned()), ..GetOptions::default() };
    store.get(&path("a"), read(&second)).await.unwrap().bytes().await.unwrap();
    assert_eq!(condition(), Some(second));
    for stale in [first.as_str(), "\"no generation\""] {
        let error = store.get(&path("a"), read(stale)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PreconditionFailed, "{stale}");
        let error = write(PutMode::IfMatch(stale.to_owned())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PreconditionFailed, "{stale}");
    }
}

#[tokio::test]
async fn parts_are_as_large_as_was_asked_for() {
    let cloud = Cloud::start();
    let config = cloud
        .with_env(&[("MLFLOW_GCS_UPLOAD_CHUNK_SIZE", "6291456")])
        .with("access_token", cloud.server.token());
    let store = open(URI, &config);
    let content = Bytes::from(vec![7; (6 << 20) + (6 << 20) + 5]);
    let outcome = store.put_bytes(&path("a"), content.clone()).await.unwrap();
    let mut sizes: Vec<_> = cloud
        .recorder
        .requests()
        .into_iter()
        .filter(|request| request.target.contains("partNumber="))
        .map(|request| (request.target.split('&').next().unwrap().to_owned(), request.body_size))
        .collect();
    sizes.sort_unstable();
    let begun = cloud.recorder.requests().remove(0);
    assert_eq!(
        (begun.target.as_str(), &begun.headers["content-type"]),
        ("/bucket/run%2Fa?uploads=", &"application/octet-stream".parse().unwrap())
    );
    let part = |number: u32| format!("/bucket/run%2Fa?partNumber={number}");
    assert_eq!(sizes, [(part(1), 6 << 20), (part(2), 6 << 20), (part(3), 5)]);
    assert_eq!(store.stat(&path("a")).await.unwrap().etag, outcome.etag);
    assert_eq!(cloud.server.open_uploads(), 0);
    // What is not larger than a part goes at once.
    cloud.recorder.forget();
    store.put_bytes(&path("b"), content.slice(..6 << 20)).await.unwrap();
    assert_eq!(cloud.asked(), ["PUT /bucket/run%2Fb"]);
}

#[tokio::test]
async fn downloads_ask_for_at_most_what_was_asked_for() {
    let cloud = Cloud::start();
    let config = cloud
        .with_env(&[("MLFLOW_GCS_DOWNLOAD_CHUNK_SIZE", "262144")])
        .with("access_token", cloud.server.token());
    let store = open(URI, &config);
    let content: Bytes = (0..=250).cycle().take(600_000).collect();
    store.put_bytes(&path("a"), content.clone()).await.unwrap();
    store.put_bytes(&path("empty"), Bytes::new()).await.unwrap();
    cloud.recorder.forget();
    assert_eq!(store.get_bytes(&path("a")).await.unwrap(), content);
    let requests = cloud.recorder.requests();
    let ranges: Vec<_> =
        requests[1..].iter().map(|request| request.headers["range"].to_str().unwrap()).collect();
    assert_eq!(requests[0].method, "HEAD");
    assert_eq!(ranges, ["bytes=0-262143", "bytes=262144-524287", "bytes=524288-599999"]);
    let pins: Vec<_> =
        requests[1..].iter().map(|request| &request.headers["x-goog-if-generation-match"]).collect();
    assert!(pins.iter().all(|pin| *pin == pins[0]), "all of one content: {pins:?}");
    assert_eq!(store.get_bytes(&path("empty")).await.unwrap(), Bytes::new());
}

#[tokio::test]
async fn a_copy_is_a_request() {
    let cloud = Cloud::start();
    let store = cloud.store();
    put(&store, "a b").await;
    cloud.recorder.forget();
    store.copy(&path("a b"), &path("c"), CopyOptions::default()).await.unwrap();
    let requests = cloud.recorder.requests();
    assert_eq!(requests[0].headers["x-goog-copy-source"], format!("{BUCKET}/run%2Fa%20b"));
    assert_eq!(requests[0].body_size, 0);
}

#[tokio::test]
async fn nothing_told_about_a_store_is_a_secret() {
    let (cloud, account) = (Cloud::trusting(), Account::new());
    let config = cloud.with_env(&[(ADC, &account.path())]);
    let store = open(URI, &config);
    put(&store, "a").await;
    let told = store.describe().await.unwrap();
    let credentials = &told.iter().find(|(name, _)| *name == "credentials").unwrap().1;
    assert!(credentials.contains(ADC) && credentials.contains(&account.path()), "{credentials}");
    let token = cloud.bearers().remove(0);
    let shown = format!("{store:?} {config:?} {told:?}");
    assert!(!shown.contains(common::piece_of_key()) && !shown.contains(&token), "{shown}");
}
