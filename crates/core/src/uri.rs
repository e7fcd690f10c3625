//! The URI that chooses a store.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::{ArtifactPath, Error, ErrorKind, Result, Secret};

/// An artifact URI, split but not yet interpreted: the backend of its scheme does that.
///
/// Understood are `scheme://[user[:password]@]host[:port]/path[?query]`, `scheme:path`, every spelling of `file:` that
/// MLflow accepts (`file:/p`, `file:///p`, `file://localhost/p`, and `file:p` relative to the working directory) and
/// bare local paths, absolute or relative. In a `file:` URI the path is percent-decoded; a bare path is taken
/// literally, as a shell hands it over. Nothing is normalised; what is ambiguous is refused with
/// [`ErrorKind::InvalidUri`], `.` and `..` segments too, but at the beginning of a relative path.
///
/// `Display` and `Debug` never show a password, a user without one (it may be a token) or the values of the query.
///
/// ```
/// use mlflow_artifacts_core::ArtifactUri;
/// let uri = ArtifactUri::parse("artifactory://bob:canary@host:8443/artifactory/repo/1?x=canary")?;
/// assert_eq!((uri.scheme(), uri.host(), uri.port()), ("artifactory", Some("host"), Some(8443)));
/// assert_eq!(uri.path()?, "/artifactory/repo/1");
/// assert_eq!(uri.to_string(), "artifactory://bob:***@host:8443/artifactory/repo/1?x=***");
/// assert_eq!(ArtifactUri::parse("file:/tmp/a%20b")?.path()?, "/tmp/a b");
/// assert_eq!(ArtifactUri::parse("/tmp/100%")?.path()?, "/tmp/100%");
/// # Ok::<(), mlflow_artifacts_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ArtifactUri {
    scheme: String,
    authority: Option<Authority>,
    path: PathText,
    query: Vec<(String, Secret)>,
}

#[derive(Clone, PartialEq, Eq)]
struct Authority {
    user: Option<String>,
    password: Option<Secret>,
    host: String,
    port: Option<u16>,
}

/// Whether the path still carries percent-encoding.
#[derive(Clone, PartialEq, Eq)]
enum PathText {
    Encoded(String),
    Literal(String),
}

impl ArtifactUri {
    /// Splits `text`. Fails with [`ErrorKind::InvalidUri`]; the message never repeats a password.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(refusal(text, "it is empty", "name a store, such as file:///srv/artifacts"));
        }
        if text.chars().any(char::is_control) {
            return Err(refusal(text, "it holds a control character", "percent-encode it"));
        }
        match split_scheme(text) {
            Some((scheme, _)) if scheme.len() == 1 => Err(refusal(
                text,
                "it looks like a Windows path",
                "write file:///C:/... on Windows, or ./ before a relative path",
            )),
            Some((scheme, rest)) => Self::parse_rest(text, scheme.to_ascii_lowercase(), rest),
            None => Ok(ArtifactUri {
                scheme: "file".to_owned(),
                authority: None,
                path: PathText::Literal(text.to_owned()),
                query: Vec::new(),
            }),
        }
    }

    fn parse_rest(text: &str, scheme: String, rest: &str) -> Result<Self> {
        if rest.contains('#') {
            return Err(refusal(text, "it has a fragment (`#`)", "write %23 for a `#` in a name"));
        }
        let (rest, query) = match rest.split_once('?') {
            Some((_, query)) if query.contains('@') => {
                let help = "percent-encode `/`, `?` and `@` in a user, a password and an option";
                return Err(refusal(text, "its query holds an `@`", help));
            }
            Some((rest, query)) => (rest, parse_query(text, query)?),
            None => (rest, Vec::new()),
        };
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (parse_authority(text, authority)?, path)
            }
            None => (None, rest),
        };
        let uri = ArtifactUri { scheme, authority, path: PathText::Encoded(path.to_owned()), query };
        if has_dot_segment(&uri.path()?) {
            return Err(refusal(text, "it has a `.` or `..` segment", "write the path out"));
        }
        Ok(uri)
    }

    /// The scheme in lower case; `file` for a bare path.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The host, or whatever stands in its place (a bucket), as written.
    pub fn host(&self) -> Option<&str> {
        self.authority.as_ref().map(|authority| authority.host.as_str())
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        self.authority.as_ref().and_then(|authority| authority.port)
    }

    /// What stands before `@`, up to a `:`; percent-decoded.
    pub fn user(&self) -> Option<&str> {
        self.authority.as_ref().and_then(|authority| authority.user.as_deref())
    }

    /// What stands between `:` and `@`; percent-decoded.
    pub fn password(&self) -> Option<&Secret> {
        self.authority.as_ref().and_then(|authority| authority.password.as_ref())
    }

    /// The path with its leading slash, percent-decoded. Fails with [`ErrorKind::InvalidUri`] if that gives a NUL.
    pub fn path(&self) -> Result<String> {
        match &self.path {
            PathText::Literal(path) => Ok(path.clone()),
            PathText::Encoded(path) => decode(path, || self.to_string()),
        }
    }

    /// The path as it was written: for backends whose protocol does not decode it.
    pub fn raw_path(&self) -> &str {
        match &self.path {
            PathText::Literal(path) | PathText::Encoded(path) => path,
        }
    }

    /// The names and values of the query, percent-decoded, in order.
    pub fn query(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.query.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Cuts the last segment off: the URI of the directory that holds it, and its name. `None` if the path has no
    /// segment left or ends in `.` or `..`. A trailing slash does not count.
    pub fn split_last(&self) -> Result<Option<(ArtifactUri, ArtifactPath)>> {
        let trimmed = self.raw_path().trim_end_matches('/');
        let (parent, name) = match trimmed.rfind('/') {
            Some(slash) => (if slash == 0 { "/" } else { &trimmed[..slash] }, &trimmed[slash + 1..]),
            None => (".", trimmed),
        };
        if matches!(name, "" | "." | "..") {
            return Ok(None);
        }
        let (parent, name) = match &self.path {
            PathText::Literal(_) => (PathText::Literal(parent.to_owned()), name.to_owned()),
            PathText::Encoded(_) => {
                (PathText::Encoded(parent.to_owned()), decode(name, || self.to_string())?)
            }
        };
        Ok(Some((ArtifactUri { path: parent, ..self.clone() }, ArtifactPath::root().child(&name)?)))
    }
}

/// `scheme:rest` if `text` begins with a scheme (RFC 3986, section 3.1).
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let mut letters = scheme.bytes();
    let well_formed = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || b"+-.".contains(&letter));
    well_formed.then_some((scheme, rest))
}

fn parse_authority(text: &str, authority: &str) -> Result<Option<Authority>> {
    if authority.is_empty() {
        return Ok(None);
    }
    if authority.contains(|c: char| c.is_whitespace() || c == '\\') {
        return Err(refusal(text, "its host holds white space or a backslash", "name one host"));
    }
    let (userinfo, host) = match authority.rsplit_once('@') {
        Some((userinfo, host)) => (Some(userinfo), host),
        None => (None, authority),
    };
    let quoted = || redact(text);
    let (user, password) = match userinfo.map(|info| info.split_once(':').unwrap_or((info, ""))) {
        None => (None, None),
        Some((user, "")) => (Some(decode(user, quoted)?), None),
        Some((user, password)) => (Some(decode(user, quoted)?), Some(Secret::new(decode(password, quoted)?))),
    };
    let (host, port) = split_port(text, host)?;
    if host.is_empty() {
        return Err(refusal(text, "it has a port or a user but no host", "name the host"));
    }
    Ok(Some(Authority { user, password, host: host.to_owned(), port }))
}

fn split_port<'a>(text: &str, host: &'a str) -> Result<(&'a str, Option<u16>)> {
    let bracket = host.rfind(']').unwrap_or(0);
    match host[bracket..].rfind(':').map(|colon| host.split_at(bracket + colon)) {
        None | Some((_, ":")) => Ok((host.trim_end_matches(':'), None)),
        Some((host, port)) => match port[1..].parse() {
            Ok(number) if port[1..].bytes().all(|digit| digit.is_ascii_digit()) => Ok((host, Some(number))),
            _ => Err(refusal(text, "its port is not a number from 0 to 65535", "write host:port")),
        },
    }
}

/// Whether a path has a `.` or `..` segment. At the beginning of a relative one (`file:./mlruns`, `file:../mlruns`) they
/// say where it begins.
fn has_dot_segment(path: &str) -> bool {
    let is_dot = |segment: &&str| matches!(*segment, "." | "..");
    path.split('/').skip_while(is_dot).any(|segment| is_dot(&segment))
}

fn parse_query(text: &str, query: &str) -> Result<Vec<(String, Secret)>> {
    let quoted = || redact(text);
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode(name, quoted)?, Secret::new(decode(value, quoted)?)))
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

/// Decodes one part of a URI; `whole` is that URI, redacted, for the error.
fn decode(part: &str, whole: impl FnOnce() -> String) -> Result<String> {
    match percent_decode_str(part).decode_utf8() {
        Ok(decoded) if !decoded.contains('\0') => Ok(decoded.into_owned()),
        _ => Err(refusal(
            &whole(),
            "its percent-encoding is not UTF-8 or holds a NUL",
            "encode names as UTF-8",
        )),
    }
}

fn refusal(text: &str, defect: &str, help: &str) -> Error {
    Error::new(ErrorKind::InvalidUri, format!("not an artifact URI: {defect}"))
        .with_path(redact(text))
        .with_help(help)
}

/// `text` with everything that may be a secret replaced by `***`: what stands between `//` and the last `@` of the
/// authority, and the values of a query. Works on malformed URIs too, so that an error can quote them.
pub fn redact(text: &str) -> String {
    // With a `?` before the last `@` nobody can say where credentials end.
    if let (Some((scheme, rest)), Some(at)) = (split_scheme(text), text.rfind('@'))
        && rest.starts_with("//")
        && text.find('?').is_some_and(|mark| mark < at)
    {
        return format!("{scheme}://***");
    }
    let (text, query) = match text.split_once('?') {
        Some((text, query)) if split_scheme(text).is_some() => (text, Some(query)),
        _ => (text, None),
    };
    let mut redacted = match text.split_once("//") {
        Some((before, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            // A password may hold an unescaped slash: everything up to the last `@` is treated as credentials.
            match rest.rfind('@') {
                Some(at) => {
                    let user = rest[..at.min(end)].split_once(':').map_or("", |(user, _)| user);
                    let colon = if user.is_empty() { "" } else { ":" };
                    format!("{before}//{user}{colon}***{}", &rest[at..])
                }
                None => text.to_owned(),
            }
        }
        None => text.to_owned(),
    };
    for (index, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        let name = pair.split_once('=').map_or("", |(name, _)| name);
        let separator = if index == 0 { "?" } else { "&" };
        redacted.extend([separator, name, "=***"]);
    }
    redacted
}

impl fmt::Display for ArtifactUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let PathText::Literal(path) = &self.path {
            return f.write_str(path);
        }
        write!(f, "{}:", self.scheme)?;
        if let Some(Authority { user, password, host, port }) = &self.authority {
            f.write_str("//")?;
            // A user alone may be a token.
            match (user, password) {
                (Some(user), Some(_)) => write!(f, "{user}:***@")?,
                (Some(_), None) => f.write_str("***@")?,
                (None, _) => {}
            }
            f.write_str(host)?;
            if let Some(port) = port {
                write!(f, ":{port}")?;
            }
        }
        f.write_str(self.raw_path())?;
        for (index, (name, _)) in self.query.iter().enumerate() {
            write!(f, "{}{name}=***", if index == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for ArtifactUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArtifactUri({self})")
    }
}

impl std::str::FromStr for ArtifactUri {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> ArtifactUri {
        ArtifactUri::parse(text).unwrap()
    }

    #[test]
    fn every_spelling_of_a_local_path() {
        for (text, path) in [
            ("/srv/a b", "/srv/a b"),
            ("/srv/100%25", "/srv/100%25"),
            ("/srv/a#b?c", "/srv/a#b?c"),
            ("mlruns", "mlruns"),
            ("./a:b", "./a:b"),
            ("../up", "../up"),
            ("file:/srv/a%20b", "/srv/a b"),
            ("file:///srv/a%23b", "/srv/a#b"),
            ("file://localhost/srv", "/srv"),
            ("file:mlruns", "mlruns"),
            ("file:./mlruns", "./mlruns"),
            ("file:../../mlruns", "../../mlruns"),
            ("file:..", ".."),
            ("file:.../..a", ".../..a"),
            ("/a/../b", "/a/../b"),
            ("FILE:///srv", "/srv"),
            ("file:///", "/"),
            ("file:///a%2520b", "/a%20b"),
        ] {
            let uri = uri(text);
            assert_eq!(uri.scheme(), "file", "{text}");
            assert_eq!(uri.path().unwrap(), path, "{text}");
        }
    }

    #[test]
    fn the_parts_of_a_remote_uri() {
        let uri = uri("sftp://us%40er:p%3Ass@[::1]:2222/abs/p%20q?part_size=8&x");
        assert_eq!(uri.user(), Some("us@er"));
        assert_eq!(uri.password().map(Secret::expose), Some("p:ss"));
        assert_eq!((uri.host(), uri.port()), (Some("[::1]"), Some(2222)));
        assert_eq!((uri.path().unwrap().as_str(), uri.raw_path()), ("/abs/p q", "/abs/p%20q"));
        let query: Vec<_> = uri.query().map(|(name, value)| (name, value.expose())).collect();
        assert_eq!(query, [("part_size", "8"), ("x", "")]);
    }

    #[test]
    fn what_stands_for_a_host_is_kept_verbatim() {
        assert_eq!(uri("s3://my_bucket.x/p").host(), Some("my_bucket.x"));
        let azure = uri("wasbs://container@account.blob.core.windows.net/p");
        assert_eq!((azure.user(), azure.host()), (Some("container"), Some("account.blob.core.windows.net")));
        assert_eq!(azure.to_string(), "wasbs://***@account.blob.core.windows.net/p");
        assert_eq!(uri("mlflow-artifacts:/1/r").host(), None);
        assert_eq!(uri("memory:").path().unwrap(), "");
    }

    #[test]
    fn malformed_uris_are_refused_without_their_password() {
        for text in [
            "",
            "C:\\x",
            "c:/x",
            "file:///a#b",
            "s3://bu cket/x",
            "s3://b\\x/y",
            "ftp://user:canary@:21/x",
            "ftp://user:canary@host:port/x",
            "ftp://user:canary@host:65536/x",
            "ftp://user:canary@host:+1/x",
            "ftp://user:canary%ff@host/x",
            "ftp://user:canary@host/x#f",
            "ftp://user:can/canary@host:x/y",
            "s3://user:can?canary@host/x",
            "s3://user:123?canary@host/",
            "file:///a%00b",
            "file:///a/../b",
            "file:a/..",
            "file:/a/%2e%2e/b",
            "file:/..",
            "s3://bucket/a/./b",
            "file:///a%ff",
            "x\ny",
        ] {
            let error = ArtifactUri::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidUri, "{text}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
    }

    #[test]
    fn the_last_segment_comes_off() {
        let split = |text: &str| {
            uri(text).split_last().unwrap().map(|(parent, name)| (parent.path().unwrap(), name.to_string()))
        };
        let some = |parent: &str, name: &str| Some((parent.to_owned(), name.to_owned()));
        assert_eq!(split("file:///a/b%20c/"), some("/a", "b c"));
        assert_eq!(split("/a"), some("/", "a"));
        assert_eq!(split("a"), some(".", "a"));
        assert_eq!(split("file:a/b"), some("a", "b"));
        assert_eq!(split("s3://bucket/k"), some("/", "k"));
        for root in ["/", "file:///", "s3://bucket", "s3://bucket/", "memory:", ".", "a/..", "./"] {
            assert_eq!(split(root), None, "{root}");
        }
    }
}
