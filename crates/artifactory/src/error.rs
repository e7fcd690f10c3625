//! What Artifactory's refusals mean, and what to do about them.

use mlflow_artifacts_core::{Error, ErrorKind, Result, Retry};
use mlflow_artifacts_http::Response;

/// The phrases of a file that stands where a folder is meant, and the other way round. Which status carries them differs
/// between versions (6.20: 500).
const FILE_EXPECTED: &str = "Expected a file but found a folder";
const FOLDER_EXPECTED: &str = "Expected a folder but found a file";

/// Whether the headers of an answer are those of an Artifactory.
pub(crate) fn is_artifactory(response: &Response) -> bool {
    let mut names = response.header_names();
    names.any(|name| {
        name.starts_with("x-jfrog") || name.starts_with("x-artifactory") || name.starts_with("x-checksum")
    }) || response.header("server").is_some_and(|server| server.contains("Artifactory"))
}

/// Takes a 404 for what it says, if it is the word of an Artifactory: by its headers, or by the form of its error. The page of
/// a proxy, or of another server, must not make a store look empty.
pub(crate) async fn absent(response: Response) -> Result<()> {
    let error = refusal(response).await;
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// The error of an answer that nobody expected.
pub(crate) async fn refusal(response: Response) -> Error {
    let is_ours = is_artifactory(&response);
    let is_redirect = (300..400).contains(&response.status());
    if is_redirect {
        return redirected(&response);
    }
    let error = response.into_error().await;
    let is_ours = is_ours || error.provider_code().is_some();
    match error.http_status() {
        Some(404 | 405 | 200..300) if !is_ours => stranger(error),
        // The words of the edition without a licence; a path or a property may have "Pro" in it too.
        Some(400) if error.message().contains("Artifactory Pro") => error.into_kind(ErrorKind::Unsupported),
        _ => explained(error),
    }
}

/// The error of an answer that has not what Artifactory's answers have.
pub(crate) fn stranger(error: Error) -> Error {
    let status = error.http_status().unwrap_or_default();
    Error::new(
        ErrorKind::Protocol,
        format!("the server does not answer as an Artifactory does ({})", error.message()),
    )
    .with_http_status(status)
    .with_help(
        "check the host, the port and the path of the URI: artifactory://host/artifactory/repository/path",
    )
}

/// The error of an answer that has not what it must have.
pub(crate) fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::Protocol, format!("the server's answer {what}"))
        .with_help("check that the URI names an Artifactory, and that no proxy changes its answers")
}

/// A write or query is not sent elsewhere by itself: a client that turned it into a GET would lose it.
fn redirected(response: &Response) -> Error {
    let target = response.redirect().and_then(Result::ok);
    let told = target.map(|request| request.url().origin().ascii_serialization()).unwrap_or_default();
    let error = Error::new(ErrorKind::Protocol, format!("the server redirects this request to {told:?}"))
        .with_http_status(response.status());
    if told.starts_with("https:") && response.url().scheme() == "http" {
        return error.with_help("it wants TLS: unset ARTIFACTORY_NO_SSL");
    }
    error.with_help("name that address in the URI")
}

fn explained(error: Error) -> Error {
    let message = error.message().to_owned();
    let says = |phrase: &str| message.contains(phrase);
    if says(FILE_EXPECTED) {
        return error.into_kind(ErrorKind::IsADirectory).with_retry(Retry::Never);
    }
    if says(FOLDER_EXPECTED) {
        return error.into_kind(ErrorKind::NotADirectory).with_retry(Retry::Never);
    }
    match error.http_status() {
        Some(401) => error.with_help(if says("expired") {
            "the token has expired: get a new one"
        } else if says("revoked") {
            "the token was revoked: get a new one"
        } else if says("Token not found") {
            "this server does not know the token: it may be that of another host"
        } else if says("Bad Credentials") {
            "check the user and the password"
        } else {
            "set ARTIFACTORY_AUTH_TOKEN, or give user:password@ in the URI"
        }),
        Some(403) if says("recurrent request failures") => error.with_help(
            "the server has locked the user out after failed log-ins: correct the credentials, and wait",
        ),
        Some(403) => error.with_help(
            "ask for the permission on this repository and path (replacing a file needs Delete too)",
        ),
        Some(404) if says("local repository") => error.with_help(
            "create the repository, or name another one in the URI; a remote one takes no uploads",
        ),
        Some(405) => error.with_help(
            "a virtual repository takes uploads only with a default deployment repository: name a local one",
        ),
        // The name stands in the message: it may have such words too.
        Some(409) if says("hecksum") && !says("include/exclude patterns") => {
            error.into_kind(ErrorKind::ChecksumMismatch)
        }
        Some(409) if says("include/exclude patterns") => error.into_kind(ErrorKind::InvalidPath).with_help(
            "the repository's patterns exclude this name: rename the artifact, or change the patterns",
        ),
        // Two deploys that make the same folder may meet in the server's database.
        Some(409) => error.with_retry(Retry::Transient),
        Some(413) if says("quota") || says("disk usage") => error
            .into_kind(ErrorKind::NoSpace)
            .with_help("the server has no space left: free some, or ask its administrator"),
        Some(413) => {
            error.with_help("a proxy before the server limits the size of a request: have the limit raised")
        }
        Some(400) if says("property") || says("Property") => error,
        Some(400 | 414) => error.into_kind(ErrorKind::InvalidPath),
        _ => error,
    }
}
