//! Each option and each form of a URI, by what a server sees of it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use mlflow_artifacts_core::{
    ArtifactStoreExt as _, DeleteOptions, ErrorKind, ListOptions, PresignMethod, PresignRequest, PutBody,
    PutMode, PutOptions, StoreConfig,
};
use test_servers::{Effect, Fault, Recorder, S3s, Terminator};

use common::{BUCKET, MOTO, Variables, Wire, assert_error, header, open, open_with, path};

const OSS_KEYS: [(&str, &str); 2] = [("MLFLOW_OSS_KEY_ID", "OSSKEY"), ("MLFLOW_OSS_KEY_SECRET", "OSSSECRET")];

/// A proxy that answers every request itself: what it records is where a store would have gone.
fn dead_end() -> Recorder {
    let nobody: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let recorder = Recorder::before(nobody);
    let effect = Effect::Answer { status: 404, headers: Vec::new(), body: String::new() };
    recorder.inject(Fault { times: usize::MAX, ..Fault::next(effect) });
    recorder
}

/// Where the first request for the artifact `a b/file` goes, as the proxy is told, and with which headers.
async fn first_request(uri: &str, variables: Variables<'_>) -> test_servers::Recorded {
    let proxy = dead_end();
    let address = proxy.url();
    let keys = [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "SK")];
    let all = [variables, &keys, &[("HTTP_PROXY", &address), ("HTTPS_PROXY", &address)]].concat();
    let store = open(uri, &all).unwrap();
    assert!(store.stat(&path("a b/file")).await.is_err());
    proxy.requests().into_iter().next().unwrap()
}

#[tokio::test]
async fn uris_and_endpoints_say_where() {
    let storage = ("MLFLOW_S3_ENDPOINT_URL", "http://storage.example:9000");
    for (uri, variables, target) in [
        ("s3://bucket", &[storage][..], "http://storage.example:9000/bucket/a%20b/file"),
        ("s3://bucket/1/c d/", &[storage], "http://storage.example:9000/bucket/1/c%20d/a%20b/file"),
        // As MLflow has it: what is encoded in the URI is so in the key.
        ("s3://bucket/1/c%20d/", &[storage], "http://storage.example:9000/bucket/1/c%2520d/a%20b/file"),
        ("s3://a.bucket/p", &[storage], "http://storage.example:9000/a.bucket/p/a%20b/file"),
        (
            "s3://bucket/p",
            &[storage, ("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "virtual")],
            "http://bucket.storage.example:9000/p/a%20b/file",
        ),
        (
            "s3://bucket/p",
            &[storage, ("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "path")],
            "http://storage.example:9000/bucket/p/a%20b/file",
        ),
        (
            "s3://bucket/p",
            &[storage, ("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "auto")],
            "http://storage.example:9000/bucket/p/a%20b/file",
        ),
        (
            "s3://bucket/p",
            &[("AWS_ENDPOINT_URL", "http://one.example")],
            "http://one.example/bucket/p/a%20b/file",
        ),
        (
            "s3://bucket/p",
            &[("AWS_ENDPOINT_URL", "http://one.example"), ("AWS_ENDPOINT_URL_S3", "http://two.example")],
            "http://two.example/bucket/p/a%20b/file",
        ),
        (
            "s3://bucket/p",
            &[("AWS_ENDPOINT_URL_S3", "http://two.example"), storage],
            "http://storage.example:9000/bucket/p/a%20b/file",
        ),
        (
            "oss://bucket/p",
            &[("MLFLOW_OSS_ENDPOINT_URL", "http://oss.example"), storage, OSS_KEYS[0], OSS_KEYS[1]],
            "http://bucket.oss.example/p/a%20b/file",
        ),
        // Of HTTPS a proxy sees the host alone.
        ("s3://bucket/p", &[], "bucket.s3.us-east-1.amazonaws.com:443"),
        ("s3://bucket/p", &[("AWS_REGION", "eu-west-1")], "bucket.s3.eu-west-1.amazonaws.com:443"),
        (
            "s3://bucket/p",
            &[("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "us-west-2")],
            "bucket.s3.us-west-2.amazonaws.com:443",
        ),
        ("s3://bucket/p", &[("AWS_REGION", "cn-north-1")], "bucket.s3.cn-north-1.amazonaws.com.cn:443"),
        ("s3://a.bucket/p", &[], "s3.us-east-1.amazonaws.com:443"),
        (
            "s3://bucket/p",
            &[("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "path")],
            "s3.us-east-1.amazonaws.com:443",
        ),
        (
            "r2://bucket@acct.r2.cloudflarestorage.com/p",
            &[storage],
            "bucket.acct.r2.cloudflarestorage.com:443",
        ),
        ("b2://bucket@s3.us-west-004.backblazeb2.com/p", &[storage], "s3.us-west-004.backblazeb2.com:443"),
    ] {
        assert_eq!(first_request(uri, variables).await.target, target, "{uri} {variables:?}");
    }
}

#[tokio::test]
async fn requests_are_signed_for_the_region_with_the_keys() {
    let storage = ("MLFLOW_S3_ENDPOINT_URL", "http://storage.example:9000");
    for (variables, scope) in [
        (&[storage][..], "/us-east-1/s3/"),
        (&[storage, ("AWS_REGION", "eu-west-1")], "/eu-west-1/s3/"),
        (&[storage, ("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "us-west-2")], "/us-west-2/s3/"),
    ] {
        let request = first_request("s3://bucket/p", variables).await;
        let authorization = header(&request, "authorization");
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AK/"), "{authorization}");
        assert!(authorization.contains(scope), "{authorization}");
        assert_eq!(header(&request, "x-amz-security-token"), "");
    }
    let token = [storage, ("AWS_SESSION_TOKEN", "the token")];
    let request = first_request("s3://bucket/p", &token).await;
    assert_eq!(header(&request, "x-amz-security-token"), "the token");
    assert!(header(&request, "authorization").contains("x-amz-security-token"));
    let oss = [("MLFLOW_OSS_ENDPOINT_URL", "http://oss.example"), OSS_KEYS[0], OSS_KEYS[1]];
    let request = first_request("oss://bucket/p", &oss).await;
    assert!(header(&request, "authorization").contains("Credential=OSSKEY/"));
    // What is AWS's stays with AWS.
    let request =
        first_request("oss://bucket/p", &[&oss[..], &[("AWS_SESSION_TOKEN", "canary")]].concat()).await;
    assert_eq!(header(&request, "x-amz-security-token"), "");
    let unsigned = [storage, ("MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION", "unsigned")];
    assert_eq!(header(&first_request("s3://bucket/p", &unsigned).await, "authorization"), "");
}

/// What moto sees of each kind of request, by a name.
async fn all_kinds(
    wire: &Wire,
    name: &str,
    variables: Variables<'_>,
) -> Vec<(&'static str, test_servers::Recorded)> {
    let store = wire.open(name, variables);
    let file = path("dir/file.json");
    store.put_bytes(&file, Bytes::from_static(b"{}")).await.unwrap();
    let large = PutBody::Bytes(vec![7; 17 << 20].into());
    store.put(&path("large"), large, PutOptions::default()).await.unwrap();
    store.get_bytes(&file).await.unwrap();
    store.stat(&file).await.unwrap();
    store.list_all(&path("dir"), ListOptions::default()).await.unwrap();
    store.copy(&file, &path("copy"), mlflow_artifacts_core::CopyOptions::default()).await.unwrap();
    store.delete(&file, DeleteOptions::default()).await.unwrap();
    store.delete_tree(&path("")).await.unwrap();
    let kind = |request: &test_servers::Recorded| {
        let has = |text: &str| request.target.contains(text);
        match request.method.as_str() {
            "PUT" if has("partNumber") => "part",
            "PUT" if request.headers.contains_key("x-amz-copy-source") => "copy",
            "PUT" => "put",
            "POST" if has("uploads") => "create",
            "POST" if has("uploadId") => "complete",
            "POST" => "delete",
            "GET" if has("list-type") => "list",
            "GET" => "get",
            "HEAD" => "head",
            method => panic!("{method} {}", request.target),
        }
    };
    wire.requests().into_iter().map(|request| (kind(&request), request)).collect()
}

/// That the header has this value in requests of these kinds, and is in no other.
#[track_caller]
fn goes_along(requests: &[(&str, test_servers::Recorded)], name: &str, value: &str, kinds: &[&str]) {
    for kind in kinds {
        assert!(requests.iter().any(|(found, _)| found == kind), "no request is a {kind}");
    }
    for (kind, request) in requests {
        let expected = if kinds.contains(kind) { value } else { "" };
        assert_eq!(header(request, name), expected, "{name} of a {kind}: {}", request.target);
    }
}

const EVERY: [&str; 9] = ["part", "copy", "put", "create", "complete", "delete", "list", "get", "head"];

#[tokio::test(flavor = "multi_thread")]
async fn arguments_of_uploads_go_along() {
    let wire = Wire::new();
    let arguments = r#"{"ACL": "private", "StorageClass": "STANDARD_IA", "ServerSideEncryption": "AES256", "Tagging": "team=a&for=b c",
        "Metadata": {"owner": "me"}, "CacheControl": "no-store", "ContentDisposition": "attachment", "ContentLanguage": "de",
        "RequestPayer": "requester"}"#;
    let requests = all_kinds(&wire, "arguments", &[("MLFLOW_S3_UPLOAD_EXTRA_ARGS", arguments)]).await;
    let making = ["put", "create", "copy"];
    for (name, value) in [
        ("x-amz-acl", "private"),
        ("x-amz-storage-class", "STANDARD_IA"),
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-tagging", "team=a&for=b%20c"),
        ("x-amz-meta-owner", "me"),
        ("cache-control", "no-store"),
        ("content-disposition", "attachment"),
        ("content-language", "de"),
    ] {
        goes_along(&requests, name, value, &making);
    }
    goes_along(&requests, "x-amz-request-payer", "requester", &EVERY);
    // What is sent is signed: a service refuses headers of its own that are not.
    for (kind, request) in &requests {
        let authorization = header(request, "authorization");
        for name in request.headers.keys().filter(|name| name.as_str().starts_with("x-amz-")) {
            assert!(
                authorization.contains(name.as_str()),
                "{name} of a {kind} is not signed: {authorization}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_customers_go_along() {
    let wire = Wire::new();
    let key = "0123456789abcdef0123456789abcdef";
    let arguments = format!(r#"{{"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "{key}"}}"#);
    let requests = all_kinds(&wire, "customer", &[("MLFLOW_S3_UPLOAD_EXTRA_ARGS", &arguments)]).await;
    let with_key = ["part", "copy", "put", "create", "complete", "get", "head"];
    let prefix = "x-amz-server-side-encryption-customer";
    goes_along(&requests, &format!("{prefix}-algorithm"), "AES256", &with_key);
    goes_along(
        &requests,
        &format!("{prefix}-key"),
        "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        &with_key,
    );
    goes_along(&requests, &format!("{prefix}-key-md5"), "hRasmdxgYDKV3nvbahU1MA==", &with_key);
    let request = |method| PresignRequest { path: path("file"), method, expires_in: Duration::from_mins(5) };
    let store = wire.open("customer", &[("MLFLOW_S3_UPLOAD_EXTRA_ARGS", &arguments)]);
    for method in [PresignMethod::Get, PresignMethod::Put] {
        let error = store.presign(request(method)).await.unwrap_err();
        assert_error(&error, ErrorKind::Unsupported, &["key"]);
    }
    let source = "x-amz-copy-source-server-side-encryption-customer-algorithm";
    goes_along(&requests, source, "AES256", &["copy"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_expected_owner_goes_along_with_everything() {
    let wire = Wire::new();
    let owner = ("MLFLOW_S3_EXPECTED_BUCKET_OWNER", "123456789012");
    let requests = all_kinds(&wire, "owner", &[owner]).await;
    goes_along(&requests, "x-amz-expected-bucket-owner", owner.1, &EVERY);
    let request =
        PresignRequest { path: path("file"), method: PresignMethod::Get, expires_in: Duration::from_mins(5) };
    let signed = wire.open("owner", &[owner]).presign(request).await.unwrap();
    assert!(signed.url.contains("x-amz-expected-bucket-owner=123456789012"), "{}", signed.url);
    assert!(signed.headers.is_empty(), "{:?}", signed.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn types_are_told() {
    let wire = Wire::new();
    let store = wire.open("types", &[]);
    for (name, content_type, encoding) in
        [("a.json", "application/json", ""), ("a.csv.gz", "text/csv", "gzip"), ("MLmodel", "", "")]
    {
        store.put_bytes(&path(name), Bytes::from_static(b"x")).await.unwrap();
        let requests = wire.requests();
        assert_eq!(header(&requests[0], "content-type"), content_type, "{name}");
        assert_eq!(header(&requests[0], "content-encoding"), encoding, "{name}");
    }
    let other = r#"{"ContentType": "text/x-own", "ContentEncoding": "br"}"#;
    let store = wire.open("types", &[("MLFLOW_S3_UPLOAD_EXTRA_ARGS", other)]);
    store.put_bytes(&path("a.csv.gz"), Bytes::from_static(b"x")).await.unwrap();
    let requests = wire.requests();
    assert_eq!(header(&requests[0], "content-type"), "text/x-own");
    assert_eq!(header(&requests[0], "content-encoding"), "br");
}

/// s3s compares the checksum with the content.
#[tokio::test(flavor = "multi_thread")]
async fn checksums_are_sent_and_right() {
    let server = S3s::start(&[BUCKET]);
    let recorder = Recorder::before(server.address());
    let keys = server.keys();
    let url = recorder.url();
    let variables = [
        ("MLFLOW_S3_ENDPOINT_URL", url.as_str()),
        ("AWS_ACCESS_KEY_ID", &keys.id),
        ("AWS_SECRET_ACCESS_KEY", &keys.secret),
    ];
    let all = ["x-amz-checksum-crc64nvme", "x-amz-checksum-sha256"];
    let asked = ("MLFLOW_S3_UPLOAD_EXTRA_ARGS", r#"{"ChecksumAlgorithm": "SHA256"}"#);
    for (option, more, expected) in [
        (None, &[][..], None),
        (Some("none"), &[], None),
        (Some("crc64nvme"), &[], Some(all[0])),
        (Some("sha256"), &[], Some(all[1])),
        (None, &[asked], Some(all[1])),
    ] {
        let mut config = common::with_variables(&[&variables, more].concat());
        if let Some(option) = option {
            config = config.with("checksum", option);
        }
        let store = open_with(&format!("s3://{BUCKET}/checksums"), &config).unwrap();
        store.put_bytes(&path("small"), Bytes::from_static(b"hello")).await.unwrap();
        let large = PutBody::Bytes(vec![7; 17 << 20].into());
        store.put(&path("large"), large, PutOptions::default()).await.unwrap();
        assert_eq!(store.stat(&path("large")).await.unwrap().size, 17 << 20);
        let written: Vec<_> =
            recorder.requests().into_iter().filter(|request| request.method == "PUT").collect();
        recorder.forget();
        assert!(written.len() >= 4, "{written:?}");
        for request in &written {
            let sent: Vec<_> = all.into_iter().filter(|name| request.headers.contains_key(*name)).collect();
            assert_eq!(sent, Vec::from_iter(expected), "{option:?} {}", request.target);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_told_to_a_service_that_keeps_them() {
    let wire = Wire::new();
    let create = || PutOptions { mode: PutMode::CreateNew, ..PutOptions::default() };
    let body = || PutBody::Bytes(Bytes::from_static(b"x"));
    let store = wire.open("conditions", &[]);
    store.put(&path("file"), body(), create()).await.unwrap();
    assert_eq!(header(wire.requests().last().unwrap(), "if-none-match"), "*");
    let error = store.put(&path("file"), body(), create()).await.unwrap_err();
    assert_error(&error, ErrorKind::AlreadyExists, &[]);
    wire.requests();
    let without = StoreConfig::new().with("conditional_put", "false");
    let store = wire.open_with("conditions", &[], without);
    let error = store.put(&path("new"), body(), create()).await.unwrap_err();
    assert_error(&error, ErrorKind::Unsupported, &[]);
    assert_eq!(wire.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_verified_unless_told_otherwise() {
    let recorder = Recorder::before(MOTO.address());
    let front = Terminator::before(recorder.address());
    let (url, bundle) = (front.url(), front.bundle().to_str().unwrap().to_owned());
    let keys = MOTO.keys();
    let base = [
        ("MLFLOW_S3_ENDPOINT_URL", url.as_str()),
        ("AWS_ACCESS_KEY_ID", &keys.id),
        ("AWS_SECRET_ACCESS_KEY", &keys.secret),
    ];
    let uri = format!("s3://{BUCKET}/tls");
    let store = open(&uri, &base).unwrap();
    let error = store.list_all(&path(""), ListOptions::default()).await.unwrap_err();
    assert_error(&error, ErrorKind::Tls, &["AWS_CA_BUNDLE"]);
    assert_eq!(recorder.requests().len(), 0);
    for more in
        [("MLFLOW_S3_IGNORE_TLS", "true"), ("AWS_CA_BUNDLE", &bundle), ("REQUESTS_CA_BUNDLE", &bundle)]
    {
        let store = open(&uri, &[&base[..], &[more]].concat()).unwrap();
        store.list_all(&path(""), ListOptions::default()).await.unwrap();
        assert_eq!(recorder.requests().len(), 1, "{more:?}");
        recorder.forget();
    }
}
