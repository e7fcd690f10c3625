//! Certificates that nobody knows but who is shown their authority.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// A key with a certificate for `127.0.0.1`, and the authority that it is of.
pub(crate) struct Identity {
    pub(crate) certificate: Certificate,
    pub(crate) key: KeyPair,
    authority: String,
}

/// An identity as files.
#[derive(Debug)]
pub(crate) struct IdentityFiles {
    /// The authority, for clients.
    pub(crate) bundle: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Key and certificate in one.
    pub(crate) both: PathBuf,
}

impl Identity {
    /// Makes one that is new in everything.
    pub(crate) fn new() -> Self {
        let make = || -> Result<Self, rcgen::Error> {
            let mut authority = CertificateParams::new(Vec::new())?;
            // Of another name than what it signs: OpenSSL takes those of one name for signed by themselves.
            authority.distinguished_name.push(DnType::CommonName, "authority of the tests");
            authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
            let key = KeyPair::generate()?;
            let certificate =
                CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &authority)?;
            Ok(Identity { certificate, key, authority: authority.pem() })
        };
        make().unwrap_or_else(|error| panic!("no certificate can be made: {error}"))
    }

    /// Writes the authority into a file.
    pub(crate) fn write_bundle(&self, bundle: &Path) {
        write(bundle, &self.authority);
    }

    /// Writes all of it into a directory.
    pub(crate) fn write_all(&self, directory: &Path) -> IdentityFiles {
        let files = IdentityFiles {
            bundle: directory.join("authority.pem"),
            certificate: directory.join("certificate.pem"),
            key: directory.join("key.pem"),
            both: directory.join("key-and-certificate.pem"),
        };
        self.write_bundle(&files.bundle);
        let (certificate, key) = (self.certificate.pem(), self.key.serialize_pem());
        write(&files.both, &format!("{key}{certificate}"));
        write(&files.certificate, &certificate);
        write(&files.key, &key);
        files
    }
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text)
        .unwrap_or_else(|error| panic!("{} cannot be written: {error}", file.display()));
}
