//! Azurite, with the client of `object_store`.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod support;

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::azure::MicrosoftAzureBuilder;
use support::{Wire, holds_objects, once, refuses};
use test_servers::{Azurite, Recorder};

fn container(url: &str, key: &str, wire: Wire) -> Arc<dyn ObjectStore> {
    let builder = MicrosoftAzureBuilder::new()
        .with_endpoint(format!("{url}/{}", Azurite::ACCOUNT))
        .with_allow_http(true)
        .with_account(Azurite::ACCOUNT)
        .with_access_key(key)
        .with_container_name("container")
        .with_retry(once())
        .with_http_connector(wire);
    Arc::new(builder.build().unwrap())
}

#[tokio::test]
async fn azurite_is_a_blob_storage() {
    let server = Azurite::start(false, &["container"]);
    holds_objects(&container(&server.url(), server.key(), Wire::default())).await;
    refuses(&container(&server.url(), "d3Jvbmc=", Wire::default())).await;
    let recorder = Recorder::before(server.address());
    holds_objects(&container(&recorder.url(), server.key(), Wire::default())).await;
    assert_eq!(recorder.requests()[0].target, "/tester/container/a/b");
}

#[tokio::test]
async fn azurite_speaks_tls() {
    let server = Azurite::start(true, &["container"]);
    let wire = Wire::trusting(server.certificate().unwrap());
    holds_objects(&container(&server.url(), server.key(), wire.clone())).await;
    refuses(&container(&server.url(), "d3Jvbmc=", wire)).await;
}
