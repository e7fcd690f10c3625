//! Whom to trust, and as whom to appear.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mlflow_artifacts_core::{Error, ErrorKind, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};

use crate::HttpOptions;

/// The configuration of every TLS connection: ring, TLS 1.2 and 1.3, certificates verified unless the options say otherwise.
pub(crate) fn config(options: &HttpOptions) -> Result<ClientConfig> {
    tls_config(options, rustls::DEFAULT_VERSIONS)
}

/// The same with the versions of TLS that a protocol other than HTTP is best served with.
pub fn tls_config(
    options: &HttpOptions,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig> {
    // Named, not looked up: the process may have another default.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    let builder = if options.ignore_tls {
        let algorithms = provider.signature_verification_algorithms;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustsAll(algorithms)))
    } else {
        builder.with_root_certificates(roots(options)?)
    };
    let Some((certificate, key)) = &options.client_certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let (chain, private) = (read_certificates(certificate)?, read_key(key)?);
    builder.with_client_auth_cert(chain, private).map_err(|error| {
        Error::new(ErrorKind::InvalidConfig, format!("the client certificate cannot be used: {error}"))
            .with_path(certificate.display())
            .with_help("give the certificate and the key that belongs to it")
    })
}

/// Believes every certificate; that the server has its key is verified all the same.
#[derive(Debug)]
struct TrustsAll(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for TrustsAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

fn roots(options: &HttpOptions) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if let Some(bundle) = &options.ca_bundle {
        let certificates = read_bundle(bundle)?;
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(unusable(bundle, "it holds no certificate"));
        }
        return Ok(roots);
    }
    // What of the system's cannot be read or parsed is left out, as every other program does.
    let (file, directory) = &options.system_certificates;
    let found = if file.is_some() || directory.is_some() {
        rustls_native_certs::load_certs_from_paths(file.as_deref(), directory.as_deref())
    } else {
        rustls_native_certs::load_native_certs()
    };
    roots.add_parsable_certificates(found.certs);
    if let (true, Some(named)) = (roots.is_empty(), file.as_ref().or(directory.as_ref())) {
        // Who names his own authorities trusts no others.
        return Err(unusable(named, "it holds no certificate (SSL_CERT_FILE and SSL_CERT_DIR name it)"));
    }
    if roots.is_empty() {
        // A container image without certificates.
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    Ok(roots)
}

fn read_bundle(bundle: &Path) -> Result<Vec<CertificateDer<'static>>> {
    if !bundle.is_dir() {
        return read_certificates(bundle);
    }
    let entries = std::fs::read_dir(bundle).map_err(|error| unusable(bundle, &error.to_string()))?;
    let files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    // A directory may hold other things: what is no certificate is passed over.
    Ok(files.iter().filter_map(|file| read_certificates(file).ok()).flatten().collect())
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    certificates.map_err(|error| unusable(file, &error.to_string()))
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| unusable(file, &error.to_string()))
}

fn unusable(file: &Path, reason: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("the PEM file cannot be used: {reason}"))
        .with_path(file.display())
        .with_help("give a readable file with PEM certificates or keys")
}
