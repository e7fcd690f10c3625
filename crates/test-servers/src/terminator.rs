//! TLS before a server that has none.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::certificate::Identity;
use crate::hosted::Hosted;

/// A server of HTTPS that passes on what it decrypts. Its certificate, for `127.0.0.1`, is of an authority that nobody knows but who
/// reads [`bundle`](Terminator::bundle).
#[derive(Debug)]
pub struct Terminator {
    hosted: Hosted,
    bundle: PathBuf,
    /// Where the bundle is.
    _directory: TempDir,
}

impl Terminator {
    /// Starts one before the server at this address.
    pub fn before(upstream: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for TLS: {error}"));
        let bundle = directory.path().join("authority.pem");
        let identity = Identity::new();
        identity.write_bundle(&bundle);
        let acceptor = acceptor(&identity).unwrap_or_else(|error| panic!("no TLS can be set up: {error}"));
        let hosted = Hosted::start("terminator", move |listener| serve(listener, acceptor, upstream));
        Terminator { hosted, bundle, _directory: directory }
    }

    /// Its URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("https://{}", self.hosted.address())
    }

    /// A PEM file with the authority that its certificate is of.
    pub fn bundle(&self) -> &Path {
        &self.bundle
    }
}

fn acceptor(identity: &Identity) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![identity.certificate.der().clone()],
            PrivatePkcs8KeyDer::from(identity.key.serialize_der()).into(),
        )?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, upstream: SocketAddr) {
    loop {
        // It fails for a client that is gone already.
        if let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate goes away: nothing to tell anyone.
                if let (Ok(mut client), Ok(mut server)) =
                    (acceptor.accept(stream).await, TcpStream::connect(upstream).await)
                {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    }
}
