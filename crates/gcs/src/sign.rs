//! Signatures: of tokens that a service account makes itself, and of URLs that others use.
//!
//! Sources: Google AIP-4111 (self-signed JWT); Cloud Storage documentation, "Signatures" and "Canonical requests" (V4).

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use mlflow_artifacts_core::{Error, ErrorKind, Result, Secret};
use mlflow_artifacts_http::Url;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::SigningKey;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What stands in a query as it is (RFC 3986, section 2.3).
pub(crate) const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for a path, whose slashes stay.
pub(crate) const KEY: &AsciiSet = &VALUE.remove(b'/');

const ALGORITHM: &str = "GOOG4-RSA-SHA256";

/// The private key of a service account.
pub(crate) struct Key(Arc<dyn SigningKey>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Key {
    /// Reads an RSA key in PEM; `None` if it is none.
    pub(crate) fn from_pem(pem: &str) -> Option<Self> {
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key).ok()?;
        key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])?;
        Some(Key(key))
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let unsigned = || Error::new(ErrorKind::Internal, "the service account's key does not sign");
        let signer = self.0.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).ok_or_else(unsigned)?;
        signer.sign(message).map_err(|error| unsigned().with_source(error))
    }

    /// A token by which the service account says who it is for so long.
    pub(crate) fn token(&self, email: &str, key_id: &str, scope: &str, lifetime: Duration) -> Result<Secret> {
        let now = Timestamp::now().as_second();
        let until = now.saturating_add_unsigned(lifetime.as_secs());
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": key_id});
        let claims = json!({"iss": email, "sub": email, "scope": scope, "iat": now, "exp": until});
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(&header), encode(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(message.as_bytes())?);
        Ok(Secret::new(format!("{message}.{signature}")))
    }
}

/// A URL that is to be signed.
pub(crate) struct Unsigned {
    /// Without its query.
    address: String,
    canonical_query: String,
    /// What is signed.
    text: String,
}

impl Unsigned {
    /// The request `method` for `address`, which has no query yet, by the account `email`.
    pub(crate) fn new(
        method: &str,
        address: &str,
        query: Vec<(&str, String)>,
        email: &str,
        now: Timestamp,
        expires_in: Duration,
    ) -> Result<Self> {
        let url: Url = address
            .parse()
            .map_err(|_| Error::new(ErrorKind::InvalidUri, "the store's address is no URL"))?;
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let (date, time) = (now.strftime("%Y%m%d").to_string(), now.strftime("%Y%m%dT%H%M%SZ").to_string());
        let scope = format!("{date}/auto/storage/goog4_request");
        let mut pairs = query;
        pairs.extend([
            ("X-Goog-Algorithm", ALGORITHM.to_owned()),
            ("X-Goog-Credential", format!("{email}/{scope}")),
            ("X-Goog-Date", time.clone()),
            ("X-Goog-Expires", expires_in.as_secs().to_string()),
            ("X-Goog-SignedHeaders", "host".to_owned()),
        ]);
        pairs.sort_unstable();
        let encoded =
            pairs.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, VALUE)));
        let canonical_query = encoded.collect::<Vec<_>>().join("&");
        // The path as it was written: parsing it again could only change it.
        let path = address.splitn(4, '/').nth(3).unwrap_or_default();
        let canonical =
            format!("{method}\n/{path}\n{canonical_query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD");
        let digest = hex(&Sha256::digest(canonical));
        let text = format!("{ALGORITHM}\n{time}\n{scope}\n{digest}");
        Ok(Unsigned { address: address.to_owned(), canonical_query, text })
    }

    /// What the account signs.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The URL with its signature.
    pub(crate) fn signed(&self, signature: &[u8]) -> String {
        format!("{}?{}&X-Goog-Signature={}", self.address, self.canonical_query, hex(signature))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
