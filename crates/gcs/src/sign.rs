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
use mlflow_artifacts_object_store::VALUE;
use percent_encoding::utf8_percent_encode;
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::SigningKey;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

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

#[cfg(test)]
mod tests {
    use mlflow_artifacts_object_store::KEY;

    use super::*;

    const EMAIL: &str = "tester@project.iam.gserviceaccount.com";
    /// Made by google-cloud-storage 3.17.1 for Python, for the same requests at the same time.
    const OF_GET: &str = "2715958982e31dd52b1fe7416d8006cbe4060394566fb1a233bede3bc818cc8457420f05f37b90e1693602cde942d668\
         c8bfe2665495869594045ad990ab4e6d8636a65857ff60615944553c0d0fa37ed3c023190211de24cd526c6566f182d2\
         3225c13eb2e0b0b29fa1b66d517c46434adf3055a152dd6b570833e5c46454af2f86e9707d3bb1f66f64a0880b808593\
         f346a55957d76b674ab10562b938a0f66babf00f8f2c21fc8ca196547a70d784502b634e02c25d63065e8f53c94dcf15\
         f0e4a075b89cde5f6dba54e0f1f48e4cc60af587ce6ea1b4b7e7fa7a06a4b6a275dc4dd9fa9625b75ceebe1ede76cadb\
         c740da9aad0d012f2d14c5ca27cf776d";
    const OF_PART: &str = "6e36e80e9916b401b2cc36f0b596885ef72bc84fd62d334471c6ff6d0116c0054fbf7ead0f8fd186c1bced3ff957204e\
         f30efe9f8f496ade19ebbc6fb62d88890dc286a3d18d5b7ea73f498313a51cdc2532e28d37039182664126b0b7bd4e5f\
         be1cc26cd1b39afa12700e50d5d8aab3d8d3a13270381f52e784cd002335e6ae39cd8215422827172ed84664b09a3130\
         5a42a72bb40466b0142be8549e2553695a34752948a3db59035186e0493986c425138b098020c97d05d36dfcbe8f3c25\
         5f377d76aeb75d6a0ded68c9e5f76ab4b6a2f15d05acb7a3ebb00702293cca98fe540925851b1e1df7e4cf366dcad26c\
         ce19e364a79ccc1a3958b5985f476d89";

    fn signed(method: &str, key: &str, query: Vec<(&str, String)>) -> String {
        let address = format!("https://storage.googleapis.com/bucket/{}", utf8_percent_encode(key, KEY));
        let now: Timestamp = "2026-11-21T20:00:00Z".parse().unwrap();
        let lifetime = Duration::from_mins(10);
        let unsigned = Unsigned::new(method, &address, query, EMAIL, now, lifetime).unwrap();
        let key = Key::from_pem(include_str!("../tests/common/key.pem")).unwrap();
        unsigned.signed(&key.sign(unsigned.text().as_bytes()).unwrap())
    }

    #[test]
    fn googles_library_signs_the_same() {
        let common = "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=tester%40project.iam.gserviceaccount.com%2F20261121\
                      %2Fauto%2Fstorage%2Fgoog4_request&X-Goog-Date=20261121T200000Z&X-Goog-Expires=600&X-Goog-SignedHeaders=host";
        let key = "run/a%20b/%C3%BC%3F%23%25%2B~%27%28%29%2A%21%26%3D";
        assert_eq!(
            signed("GET", "run/a b/ü?#%+~'()*!&=", Vec::new()),
            format!("https://storage.googleapis.com/bucket/{key}?{common}&X-Goog-Signature={OF_GET}")
        );
        let part = vec![("uploadId", "x/y+z==".to_owned()), ("partNumber", "7".to_owned())];
        assert_eq!(
            signed("PUT", "a", part),
            format!(
                "https://storage.googleapis.com/bucket/a?{common}&partNumber=7&uploadId=x%2Fy%2Bz%3D%3D\
                 &X-Goog-Signature={OF_PART}"
            )
        );
    }

    #[test]
    fn only_rsa_keys_sign() {
        for pem in ["", "canary", "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n"] {
            assert!(Key::from_pem(pem).is_none(), "{pem}");
        }
    }
}
