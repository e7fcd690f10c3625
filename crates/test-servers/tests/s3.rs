//! The S3 servers, with the client of `object_store`.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod support;

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpService as _};
use support::{Wire, holds_objects, once, refuses};
use test_servers::{Keys, Moto, Radosgw, S3s};

fn bucket(url: &str, keys: &Keys, token: Option<&str>) -> Arc<dyn ObjectStore> {
    let mut builder = AmazonS3Builder::new()
        .with_endpoint(url)
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name("bucket")
        .with_access_key_id(&keys.id)
        .with_secret_access_key(&keys.secret)
        .with_retry(once())
        .with_http_connector(Wire::default());
    if let Some(token) = token {
        builder = builder.with_token(token);
    }
    Arc::new(builder.build().unwrap())
}

async fn knows_its_keys(url: &str, keys: &Keys) {
    holds_objects(&bucket(url, keys, None)).await;
    let wrong_secret = Keys { secret: "wrong".to_owned(), ..keys.clone() };
    refuses(&bucket(url, &wrong_secret, None)).await;
    let unknown = Keys { id: "AKIAUNKNOWNUNKNOWNUN".to_owned(), ..keys.clone() };
    refuses(&bucket(url, &unknown, None)).await;
}

#[tokio::test]
async fn s3s_is_an_s3() {
    let server = S3s::start(&["bucket"]);
    knows_its_keys(&server.url(), server.keys()).await;
}

#[tokio::test]
async fn moto_is_an_s3() {
    let server = Moto::start(&["bucket"]);
    knows_its_keys(&server.url(), server.keys()).await;
}

#[tokio::test]
async fn radosgw_is_an_s3() {
    let server = Radosgw::start(&["bucket"]);
    knows_its_keys(&server.url(), server.keys()).await;
}

#[tokio::test]
async fn moto_lends_a_role() {
    let server = Moto::start(&["bucket"]);
    let (keys, token) = assume(&server).await;
    holds_objects(&bucket(&server.url(), &keys, Some(&token))).await;
    let wrong_secret = Keys { secret: "wrong".to_owned(), ..keys };
    refuses(&bucket(&server.url(), &wrong_secret, Some(&token))).await;
}

/// The keys and the token of the server's role.
async fn assume(server: &Moto) -> (Keys, String) {
    let role = server.role().replace(':', "%3A").replace('/', "%2F");
    let form = format!("Action=AssumeRole&Version=2011-06-15&RoleSessionName=test&RoleArn={role}");
    let mut request = HttpRequest::new(form.into_bytes().into());
    *request.method_mut() = hyper::Method::POST;
    *request.uri_mut() = format!("{}/", server.url()).parse().unwrap();
    let content_type = "application/x-www-form-urlencoded".parse().unwrap();
    request.headers_mut().insert("content-type", content_type);
    let keys = server.keys().clone();
    let credential = AwsCredential { key_id: keys.id, secret_key: keys.secret, token: None };
    AwsAuthorizer::new(&credential, "sts", "us-east-1").try_authorize(&mut request, None).unwrap();
    let answer = Wire::default().call(request).await.unwrap().into_body().bytes().await.unwrap();
    let answer = String::from_utf8(answer.into()).unwrap();
    let element = |name: &str| {
        let rest = answer.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("{answer}")).1;
        rest.split_once('<').unwrap().0.to_owned()
    };
    (Keys { id: element("AccessKeyId"), secret: element("SecretAccessKey") }, element("SessionToken"))
}
