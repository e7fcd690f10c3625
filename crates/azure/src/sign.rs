//! Signatures: Shared Key, and shared access signatures of one blob.
//!
//! Sources: Azure Storage REST API, "Authorize with Shared Key", "Create a service SAS" and "Create a user delegation SAS",
//! sections "Version 2020-12-06 and later".

use std::fmt;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use mlflow_artifacts_core::{Error, ErrorKind, Result, Secret};
use mlflow_artifacts_http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE,
};
use mlflow_artifacts_http::{Method, Url};
use sha2::Sha256;

/// The version of the service that requests and signatures are made for.
pub(crate) const VERSION: &str = "2023-11-03";

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// A key that signs: an account's, or that of a user's delegation.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key(Secret);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

impl Key {
    /// The key that this text in base 64 is.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let decoded = BASE64.decode(text).ok()?;
        (!decoded.is_empty()).then(|| Key(Secret::new(text)))
    }

    /// In base 64.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose()
    }

    fn sign(&self, text: &str) -> Result<String> {
        let key = BASE64.decode(self.0.expose()).map_err(|_| unsigned())?;
        let mut code = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| unsigned())?;
        code.update(text.as_bytes());
        Ok(BASE64.encode(code.finalize().into_bytes()))
    }
}

fn unsigned() -> Error {
    Error::new(ErrorKind::Internal, "the request cannot be signed")
}

/// The value of `Authorization` for a request with these headers, `x-ms-date` among them, and a body of this length.
pub(crate) fn shared_key(
    (account, key): (&str, &Key),
    method: &Method,
    url: &Url,
    headers: &HeaderMap,
    length: usize,
) -> Result<String> {
    let told = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let length = if length == 0 { String::new() } else { length.to_string() };
    let lines = [
        method.as_str(),
        told(CONTENT_ENCODING),
        told(CONTENT_LANGUAGE),
        &length,
        told(CONTENT_MD5),
        told(CONTENT_TYPE),
        // The date is among the headers of the service's own.
        "",
        told(IF_MODIFIED_SINCE),
        told(IF_MATCH),
        told(IF_NONE_MATCH),
        told(IF_UNMODIFIED_SINCE),
        told(RANGE),
    ];
    let text = format!("{}\n{}{}", lines.join("\n"), own_headers(headers), resource(account, url));
    Ok(format!("SharedKey {account}:{}", key.sign(&text)?))
}

/// "Constructing the canonicalized headers string".
fn own_headers(headers: &HeaderMap) -> String {
    let own = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-ms-"));
    let mut lines: Vec<_> = own
        .filter_map(|(name, value)| Some(format!("{}:{}\n", name.as_str(), value.to_str().ok()?.trim())))
        .collect();
    lines.sort_unstable();
    lines.concat()
}

/// "Constructing the canonicalized resource string".
fn resource(account: &str, url: &Url) -> String {
    let mut pairs: Vec<_> =
        url.query_pairs().map(|(name, value)| (name.to_lowercase(), value.into_owned())).collect();
    pairs.sort_unstable();
    let mut text = format!("/{account}{}", url.path());
    let mut before = None;
    for (name, value) in pairs {
        if before.as_ref() == Some(&name) {
            text.extend([",", &value]);
        } else {
            text.extend(["\n", &name, ":", &value]);
        }
        before = Some(name);
    }
    text
}

/// What a shared access signature allows, and until when.
pub(crate) struct Grant<'a> {
    /// The account, the container and the blob, as they are.
    pub(crate) blob: (&'a str, &'a str, &'a str),
    /// `r`, or `cw`.
    pub(crate) permissions: &'static str,
    pub(crate) expires: SystemTime,
}

/// A user's delegation of the right to sign.
#[derive(Clone, Debug)]
pub(crate) struct Delegation {
    pub(crate) key: Key,
    pub(crate) object: String,
    pub(crate) tenant: String,
    pub(crate) start: String,
    pub(crate) expiry: String,
    pub(crate) service: String,
    pub(crate) version: String,
}

impl Grant<'_> {
    /// The query of a URL that the account's key signs.
    pub(crate) fn by_key(&self, key: &Key) -> Result<Vec<(&'static str, String)>> {
        // No identifier of a policy, address and protocol.
        self.signed(key, &[""; 3], Vec::new())
    }

    /// The query of a URL that is signed on a user's behalf.
    pub(crate) fn by_delegation(&self, by: &Delegation) -> Result<Vec<(&'static str, String)>> {
        let told = [&by.object, &by.tenant, &by.start, &by.expiry, &by.service, &by.version];
        let names = ["skoid", "sktid", "skt", "ske", "sks", "skv"];
        let pairs = names.into_iter().zip(told.map(Clone::clone)).collect();
        // No other user, correlation, address and protocol.
        let lines: Vec<_> = told.into_iter().map(String::as_str).chain([""; 5]).collect();
        self.signed(&by.key, &lines, pairs)
    }

    fn signed(
        &self,
        key: &Key,
        by: &[&str],
        mut pairs: Vec<(&'static str, String)>,
    ) -> Result<Vec<(&'static str, String)>> {
        let (account, container, blob) = self.blob;
        let expires = timestamp(self.expires)?;
        let resource = format!("/blob/{account}/{container}/{blob}");
        // It is good from the beginning: a time for that would depend on two clocks.
        let mut lines = vec![self.permissions, "", &expires, &resource];
        lines.extend(by);
        // Neither a snapshot, nor an encryption scope, nor headers of the answer.
        lines.extend([VERSION, "b", "", "", "", "", "", "", ""]);
        let signature = key.sign(&lines.join("\n"))?;
        pairs.extend([
            ("sv", VERSION.to_owned()),
            ("sr", "b".to_owned()),
            ("sp", self.permissions.to_owned()),
            ("se", expires),
            ("sig", signature),
        ]);
        Ok(pairs)
    }
}

/// A time as Azure's XML and signatures have it: ISO 8601 in whole seconds.
pub(crate) fn timestamp(time: SystemTime) -> Result<String> {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let timestamp = jiff::Timestamp::from_second(i64::try_from(seconds).unwrap_or(i64::MAX));
    timestamp.map(|timestamp| timestamp.to_string()).map_err(|_| {
        Error::new(ErrorKind::InvalidArgument, "the signature would be good for longer than time can be told")
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_resource_has_its_query_in_order() {
        let url: Url =
            "https://acct1.blob.core.windows.net/c/a%20b?restype=container&Comp=list&include=x&include=a%2Fb"
                .parse()
                .unwrap();
        assert_eq!(resource("acct1", &url), "/acct1/c/a%20b\ncomp:list\ninclude:a/b,x\nrestype:container");
    }

    #[test]
    fn the_services_headers_are_sorted() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("x-ms-version", "1"), ("x-ms-blob-type", " B "), ("x-ms-date", "d"), ("range", "r")]
        {
            headers.insert(name, value.parse().unwrap());
        }
        assert_eq!(own_headers(&headers), "x-ms-blob-type:B\nx-ms-date:d\nx-ms-version:1\n");
    }

    #[test]
    fn times_are_told_in_seconds() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
        assert_eq!(timestamp(time).unwrap(), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn keys_are_base_64_and_not_shown() {
        assert!(Key::parse("not base 64!").is_none() && Key::parse("").is_none());
        let key = Key::parse("Y2FuYXJ5").unwrap();
        assert!(!format!("{key:?}").contains("Y2Fu"));
    }
}
