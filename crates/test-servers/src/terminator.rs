//! TLS before a server that has none.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

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
        let acceptor =
            acceptor(&bundle).unwrap_or_else(|error| panic!("no certificate can be made: {error}"));
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

fn acceptor(bundle: &Path) -> Result<TlsAcceptor, Box<dyn std::error::Error>> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    std::fs::write(bundle, authority.pem())?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &authority)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
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
