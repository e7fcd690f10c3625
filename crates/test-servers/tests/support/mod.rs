//! The clients of `object_store`, over a connection for each request.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http_body_util::BodyExt as _;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt as _, RetryConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// How these tests connect: what `object_store` brings would change the features of the HTTP client that we ship.
#[derive(Clone, Default)]
pub(crate) struct Wire(Option<TlsConnector>);

impl Wire {
    /// With TLS, for a server that has this certificate.
    pub(crate) fn trusting(certificate: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Wire(Some(TlsConnector::from(Arc::new(config))))
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl HttpConnector for Wire {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = async {
            let authority = to_origin_form(&mut request)?;
            let stream = TcpStream::connect(&authority).await?;
            match &self.0 {
                None => exchange(stream, request).await,
                Some(connector) => {
                    let name = ServerName::IpAddress(stream.peer_addr()?.ip().into());
                    exchange(connector.connect(name, stream).await?, request).await
                }
            }
        };
        answer.await.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error))
    }
}

/// Answers whom the request is for.
fn to_origin_form(request: &mut HttpRequest) -> std::io::Result<String> {
    let authority = request.uri().authority().ok_or(std::io::ErrorKind::InvalidInput)?.to_string();
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let host = HeaderValue::from_str(&authority).map_err(std::io::Error::other)?;
    request.headers_mut().insert(HOST, host);
    *request.uri_mut() = target.parse().map_err(std::io::Error::other)?;
    Ok(authority)
}

async fn exchange<S>(stream: S, request: HttpRequest) -> std::io::Result<HttpResponse>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(std::io::Error::other)?;
    let (head, body) = answer.into_parts();
    let content = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    Ok(HttpResponse::from_parts(head, content.into()))
}

/// Nothing is tried again: a test sees each answer.
pub(crate) fn once() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

/// What every server must be able to do.
pub(crate) async fn holds_objects(store: &Arc<dyn ObjectStore>) {
    for name in ["a/b", "a/c/d", "e"] {
        store.put(&Path::from(name), Bytes::from(format!("content of {name}")).into()).await.unwrap();
    }
    let read = store.get(&Path::from("a/b")).await.unwrap().bytes().await.unwrap();
    assert_eq!(read, "content of a/b");
    assert_eq!(store.get_range(&Path::from("e"), 0..7).await.unwrap(), "content");
    assert_eq!(names(store, None).await, ["a/b", "a/c/d", "e"]);
    assert_eq!(names(store, Some("a")).await, ["a/b", "a/c/d"]);
    let level = store.list_with_delimiter(Some(&Path::from("a"))).await.unwrap();
    assert_eq!(level.common_prefixes, [Path::from("a/c")]);
    store.delete(&Path::from("e")).await.unwrap();
    let missing = store.get(&Path::from("e")).await.unwrap_err();
    assert!(matches!(missing, object_store::Error::NotFound { .. }), "{missing}");
}

/// Whoever is not known must not get in.
pub(crate) async fn refuses(store: &Arc<dyn ObjectStore>) {
    let refused = store.put(&Path::from("x"), "content".into()).await.unwrap_err();
    let is_refusal = matches!(
        refused,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }
    );
    assert!(is_refusal, "{refused}");
}

async fn names(store: &Arc<dyn ObjectStore>, prefix: Option<&str>) -> Vec<String> {
    let prefix = prefix.map(Path::from);
    let found: Vec<_> = store.list(prefix.as_ref()).try_collect().await.unwrap();
    let mut names: Vec<_> = found.into_iter().map(|meta| meta.location.to_string()).collect();
    names.sort();
    names
}
