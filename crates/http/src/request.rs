//! What is sent.

use std::fmt;

use base64::Engine as _;
use bytes::Bytes;
use mlflow_artifacts_core::{ByteStream, Error, ErrorKind, Result, Secret};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, IF_RANGE};
use url::Url;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// `Authorization: Bearer` (RFC 6750).
    Bearer(Secret),
    /// `Authorization: Basic` (RFC 7617).
    Basic {
        /// The user's name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A header of the provider's own.
    Header {
        /// Its name, in lower case.
        name: &'static str,
        /// The secret in it.
        value: Secret,
    },
}

impl Credential {
    fn header(&self) -> Result<(HeaderName, HeaderValue)> {
        let (name, value) = match self {
            Credential::Bearer(token) => {
                (HeaderName::from_static("authorization"), format!("Bearer {}", token.expose()))
            }
            Credential::Basic { user, password } => {
                (HeaderName::from_static("authorization"), format!("Basic {}", basic(user, password)))
            }
            Credential::Header { name, value } => (HeaderName::from_static(name), value.expose().to_owned()),
        };
        let mut value = HeaderValue::from_str(&value).map_err(|_| {
            Error::new(ErrorKind::InvalidConfig, "the credentials hold a character that no header can carry")
                .with_help("give them without line breaks and control characters")
        })?;
        value.set_sensitive(true);
        Ok((name, value))
    }
}

fn basic(user: &str, password: &Secret) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("{user}:{}", password.expose()))
}

/// The content of a request.
pub enum Body {
    /// None, which is not the same as one of no bytes.
    None,
    /// Bytes in memory.
    Bytes(Bytes),
    /// Bytes as they come, so many of them if that is known. An error in it breaks the request off.
    Stream(ByteStream, Option<u64>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::None => f.write_str("None"),
            Body::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Body::Stream(_, length) => write!(f, "Stream({length:?})"),
        }
    }
}

/// One request.
pub struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) credential: Option<Credential>,
    pub(crate) body: Body,
    /// The URL itself is a secret: its query is a signature.
    pub(crate) is_signed: bool,
    /// The answer may take as long as that to an upload.
    pub(crate) is_patient: bool,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.shown().as_str())
            .field("headers", &self.headers)
            .field("credential", &self.credential)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, url: Url) -> Self {
        let headers = HeaderMap::new();
        Request {
            method,
            url,
            headers,
            credential: None,
            body: Body::None,
            is_signed: false,
            is_patient: false,
        }
    }

    /// Sends the credential too: to the origin of this request's URL and to no other.
    #[must_use]
    pub fn with_credential(mut self, credential: Option<Credential>) -> Self {
        self.credential = credential;
        self
    }

    /// Sets a header. One that no header can be is left out: names and values are the program's own.
    ///
    /// # Panics
    ///
    /// If `name` is no lower-case header name.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Sets all headers at once.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// Sets a header whose value is a secret.
    ///
    /// # Panics
    ///
    /// As [`Request::with_header`].
    #[must_use]
    pub fn with_secret_header(self, name: &'static str, value: &Secret) -> Self {
        let mut request = self.with_header(name, value.expose());
        if let Some(value) = request.headers.get_mut(name) {
            value.set_sensitive(true);
        }
        request
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Says that the URL is a signature that whoever has it may use: it is not logged.
    #[must_use]
    pub fn signed(mut self) -> Self {
        self.is_signed = true;
        self
    }

    /// Says that the server fetches what it answers first: without a body, the request is waited for as long as the answer to an
    /// upload ([`HttpOptions::commit_timeout`](crate::HttpOptions::commit_timeout)).
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.is_patient = true;
        self
    }

    /// Who asks.
    pub fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }

    /// Its method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Where it goes.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The request that follows a redirect of this one, which had no body, to `location`. It keeps the headers, but the
    /// credential and `If-Range`, which is about the origin's etags, only if scheme, host and port stay the same. Fails with
    /// [`ErrorKind::Protocol`] on a location that is no HTTP URL or leads from `https` to `http`.
    pub fn redirected(&self, location: &str) -> Result<Request> {
        let refused =
            |defect: &str| Err(Error::new(ErrorKind::Protocol, format!("the server redirects to {defect}")));
        let Ok(url) = self.url.join(location) else { return refused("what is no URL") };
        match (self.url.scheme(), url.scheme()) {
            ("https", "https") | ("http", "http" | "https") => {}
            ("https", "http") => return refused("an address without TLS"),
            _ => return refused("what is no HTTP URL"),
        }
        let is_same = same_origin(&self.url, &url);
        let mut headers = self.headers.clone();
        if !is_same {
            headers.remove(IF_RANGE);
        }
        Ok(Request {
            method: self.method.clone(),
            headers,
            credential: self.credential.clone().filter(|_| is_same),
            body: Body::None,
            is_signed: !is_same || self.is_signed,
            is_patient: self.is_patient,
            url,
        })
    }

    /// What a server may repeat, and nobody else is to read: the credential, and the values of a signature.
    pub(crate) fn secrets(&self) -> Vec<String> {
        // Shorter values of a query sign nothing, and are parts of ordinary words.
        const SHORTEST: usize = 8;
        let mut secrets = match &self.credential {
            None => Vec::new(),
            Some(Credential::Bearer(secret) | Credential::Header { value: secret, .. }) => {
                vec![secret.expose().to_owned()]
            }
            Some(Credential::Basic { user, password }) => {
                vec![basic(user, password), password.expose().to_owned()]
            }
        };
        if self.is_signed {
            let values = self.url.query_pairs().map(|(_, value)| value.into_owned());
            secrets.extend(values.filter(|value| value.len() >= SHORTEST));
        }
        secrets
    }

    /// The URL without credentials, and without a query that is a signature.
    pub(crate) fn shown(&self) -> Url {
        let mut url = self.url.clone();
        // Both fail only on URLs that cannot have them.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        if self.is_signed && url.query().is_some() {
            url.set_query(Some("***"));
        }
        url
    }

    /// All headers, the credential's included.
    pub(crate) fn all_headers(&self) -> Result<HeaderMap> {
        let mut headers = self.headers.clone();
        if let Some(credential) = &self.credential {
            let (name, value) = credential.header()?;
            headers.insert(name, value);
        }
        Ok(headers)
    }
}

/// Whether two URLs have the same scheme, host and port.
pub fn same_origin(a: &Url, b: &Url) -> bool {
    a.origin() == b.origin()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirected(from: &str, to: &str) -> Result<Request> {
        let credential = Credential::Bearer(Secret::new("canary"));
        Request::new(Method::GET, from.parse().unwrap())
            .with_credential(Some(credential))
            .with_header("range", "bytes=0-1")
            .with_header("if-range", "etag")
            .redirected(to)
    }

    #[test]
    fn a_credential_stays_with_its_origin() {
        for (to, stays) in [
            ("/b/", true),
            ("https://host/b", true),
            ("https://host:443/b", true),
            ("https://host:8443/b", false),
            ("https://other/b", false),
            ("https://host.evil/b", false),
            ("//other/b", false),
        ] {
            let request = redirected("https://host/a", to).unwrap();
            assert_eq!(request.credential.is_some(), stays, "{to}");
            assert_eq!(request.is_signed, !stays, "{to}");
            assert_eq!(request.all_headers().unwrap().contains_key("authorization"), stays);
            assert!(request.headers.contains_key("range"));
            assert_eq!(request.headers.contains_key("if-range"), stays, "{to}");
        }
        assert!(redirected("http://host/a", "https://host/a").unwrap().credential.is_none());
    }

    #[test]
    fn a_redirect_keeps_to_http_and_its_encryption() {
        for to in ["http://host/a", "ftp://host/a", "file:///etc/passwd", "https://"] {
            assert_eq!(redirected("https://host/a", to).unwrap_err().kind(), ErrorKind::Protocol, "{to}");
        }
    }

    #[test]
    fn secrets_in_a_url_are_not_shown() {
        let request = |url: &str| Request::new(Method::GET, url.parse().unwrap());
        let plain = request("https://u:canary@h/a?list&deep=1");
        assert_eq!(plain.shown().as_str(), "https://h/a?list&deep=1");
        let signed = request("https://h/a?sig=canary").signed();
        assert_eq!(signed.shown().as_str(), "https://h/a?***");
        assert!(!format!("{plain:?} {signed:?}").contains("canary"));
    }

    #[test]
    fn credentials_are_not_printed() {
        let basic = Credential::Basic { user: "bob".into(), password: Secret::new("canary") };
        let request = Request::new(Method::GET, "http://h/".parse().unwrap()).with_credential(Some(basic));
        assert_eq!(request.all_headers().unwrap()["authorization"], "Basic Ym9iOmNhbmFyeQ==");
        assert!(!format!("{request:?} {:?}", request.all_headers().unwrap()).contains("canary"));
        let broken = Credential::Bearer(Secret::new("can\nary"));
        let error = Request { credential: Some(broken), ..request }.all_headers().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(!error.to_string().contains("ary\""), "{error}");
    }
}
