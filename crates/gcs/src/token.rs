//! How credentials become tokens.
//!
//! Sources: Google AIP-4111 and AIP-4112 (service accounts), AIP-4113 (authorized users), AIP-4117 (external accounts); RFC 8693
//! (token exchange); IAM documentation, "Workload Identity Federation"; IAM Service Account Credentials API, `generateAccessToken`
//! and `signBlob`.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use mlflow_artifacts_core::{Error, ErrorKind, Result, Secret};
use mlflow_artifacts_http::{Credential, HttpClient, Method, Request, Url};
use serde_json::{Value, json};

use crate::answer::{Asking, lifetime};
use crate::metadata::Metadata;
use crate::sign::Key;

/// What a token is for: what it may do is said by the account's roles.
pub(crate) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long a token is good for that a service account makes itself: the longest that is taken.
const OWN_LIFETIME: Duration = Duration::from_hours(1);

/// Whose credentials they are.
#[derive(Debug)]
pub(crate) enum Credentials {
    Account(Account),
    User(User),
    External(External),
    Impersonated(Impersonated),
    Machine(Metadata),
}

/// A service account with its key.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) email: String,
    pub(crate) key_id: String,
    pub(crate) key: Key,
}

/// A user who has authorized a program.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) url: Url,
    pub(crate) client_id: String,
    pub(crate) client_secret: Secret,
    pub(crate) refresh_token: Secret,
}

/// A workload that shows the token of another identity provider.
#[derive(Debug)]
pub(crate) struct External {
    pub(crate) url: Url,
    pub(crate) audience: String,
    pub(crate) subject_type: String,
    pub(crate) subject: Subject,
    /// Where the token is in what the source gives; all of it without one.
    pub(crate) field: Option<String>,
    /// The project that a pool of a workforce asks for.
    pub(crate) user_project: Option<String>,
    pub(crate) client: Option<(String, Secret)>,
}

/// Where the other provider's token is.
#[derive(Debug)]
pub(crate) enum Subject {
    File(PathBuf),
    Url { url: Url, headers: Vec<(String, Secret)> },
}

/// Whoever may act as a service account.
#[derive(Debug)]
pub(crate) struct Impersonated {
    pub(crate) source: Box<Credentials>,
    /// Ends in `:generateAccessToken`.
    pub(crate) url: Url,
    pub(crate) delegates: Vec<String>,
    pub(crate) lifetime: Duration,
}

/// A token that was just handed out, and for how long it is good.
pub(crate) struct Fresh {
    pub(crate) value: Secret,
    pub(crate) lifetime: Duration,
}

impl Credentials {
    /// A new token.
    pub(crate) async fn token(&self, client: &HttpClient) -> Result<Fresh> {
        match self {
            Credentials::Account(account) => {
                let value = account.key.token(&account.email, &account.key_id, SCOPE, OWN_LIFETIME)?;
                Ok(Fresh { value, lifetime: OWN_LIFETIME })
            }
            Credentials::User(user) => user.token(client).await,
            Credentials::External(external) => external.token(client).await,
            Credentials::Impersonated(impersonated) => Box::pin(impersonated.token(client)).await,
            Credentials::Machine(metadata) => metadata.token().await,
        }
    }

    /// The account that signs for itself; none for a user.
    pub(crate) async fn email(&self) -> Result<String> {
        match self {
            Credentials::Account(account) => Ok(account.email.clone()),
            Credentials::Impersonated(impersonated) => Ok(impersonated.email()?.to_owned()),
            Credentials::Machine(metadata) => metadata.email().await,
            Credentials::User(_) | Credentials::External(_) => Err(cannot_sign()),
        }
    }

    /// The signature of `text` by the account `email`, which is this one.
    pub(crate) async fn signature(&self, email: &str, text: &str, client: &HttpClient) -> Result<Vec<u8>> {
        match self {
            Credentials::Account(account) => account.key.sign(text.as_bytes()),
            Credentials::Impersonated(impersonated) => {
                let token = impersonated.source.token(client).await?.value;
                sign_blob(client, &impersonated.signing_url(), &impersonated.delegates, &token, text).await
            }
            Credentials::Machine(metadata) => {
                let url = Metadata::signing_url(email)?;
                let token = metadata.token().await?.value;
                sign_blob(client, &url, &[], &token, text).await
            }
            Credentials::User(_) | Credentials::External(_) => Err(cannot_sign()),
        }
    }
}

impl User {
    async fn token(&self, client: &HttpClient) -> Result<Fresh> {
        let asking = Asking { client, service: "Google's token endpoint", url: &self.url };
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", &self.client_id),
            ("client_secret", self.client_secret.expose()),
            ("refresh_token", self.refresh_token.expose()),
        ];
        bearer(&asking, &asking.form(&form, None).await?)
    }
}

impl External {
    async fn token(&self, client: &HttpClient) -> Result<Fresh> {
        let subject = self.subject_token(client).await?;
        let asking = Asking { client, service: "the security token service", url: &self.url };
        let mut form = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", &self.audience),
            ("scope", SCOPE),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token", subject.expose()),
            ("subject_token_type", &self.subject_type),
        ];
        let options = self.user_project.as_ref().map(|project| json!({"userProject": project}).to_string());
        let credential = self.client.clone().map(|(user, password)| Credential::Basic { user, password });
        // Whoever authenticates as a client has said whose project it is.
        if let (Some(options), None) = (&options, &credential) {
            form.push(("options", options));
        }
        bearer(&asking, &asking.form(&form, credential.as_ref()).await?)
    }

    async fn subject_token(&self, client: &HttpClient) -> Result<Secret> {
        let (text, place) = match &self.subject {
            Subject::File(path) => (read_file(path.clone()).await?, path.display().to_string()),
            Subject::Url { url, headers } => {
                let asking = Asking { client, service: "the source of the subject token", url };
                let ask = || async {
                    let mut request = Request::new(Method::GET, url.clone()).signed();
                    request = request.with_headers(headers_of(headers)?);
                    asking.read(client.send(request).await?).await
                };
                (client.retry(ask).await?, url.origin().ascii_serialization())
            }
        };
        let token = match &self.field {
            None => Some(text.trim().to_owned()),
            Some(field) => {
                let answer: Value = serde_json::from_str(&text).unwrap_or_default();
                answer.get(field).and_then(Value::as_str).map(str::to_owned)
            }
        };
        token.filter(|token| !token.is_empty()).map(Secret::new).ok_or_else(|| {
            Error::new(ErrorKind::Unauthenticated, format!("there is no subject token in {place}"))
                .with_help("check credential_source in the file of GOOGLE_APPLICATION_CREDENTIALS")
        })
    }
}

impl Impersonated {
    async fn token(&self, client: &HttpClient) -> Result<Fresh> {
        let source = self.source.token(client).await?.value;
        let asking = Asking { client, service: "IAM's generateAccessToken", url: &self.url };
        let body = json!({
            "scope": [SCOPE],
            "delegates": self.delegates,
            "lifetime": format!("{}s", self.lifetime.as_secs()),
        });
        let answer = asking.json(&body, &source).await?;
        let value = Secret::new(asking.field(&answer, "accessToken")?);
        let until = asking
            .field(&answer, "expireTime")?
            .parse::<Timestamp>()
            .map_err(|error| Error::new(ErrorKind::Protocol, format!("expireTime is no time: {error}")))?;
        let left = until.duration_since(Timestamp::now());
        Ok(Fresh { value, lifetime: left.try_into().unwrap_or_default() })
    }

    /// The account that is acted as.
    fn email(&self) -> Result<&str> {
        let name =
            self.url.path().rsplit('/').next().and_then(|name| name.strip_suffix(":generateAccessToken"));
        name.ok_or_else(|| {
            let message = "the impersonation URL names no service account";
            Error::new(ErrorKind::InvalidConfig, message)
                .with_help("check the file of GOOGLE_APPLICATION_CREDENTIALS")
        })
    }

    fn signing_url(&self) -> Url {
        let mut url = self.url.clone();
        url.set_path(&self.url.path().replace(":generateAccessToken", ":signBlob"));
        url
    }
}

/// The token in an answer of RFC 6749, section 5.1.
pub(crate) fn bearer(asking: &Asking<'_>, answer: &Value) -> Result<Fresh> {
    let value = Secret::new(asking.field(answer, "access_token")?);
    Ok(Fresh { value, lifetime: lifetime(answer) })
}

fn cannot_sign() -> Error {
    Error::new(ErrorKind::Unsupported, "these credentials are no service account's: they cannot sign")
        .with_help("use a service account's key, or impersonate one: GOOGLE_APPLICATION_CREDENTIALS")
}

async fn sign_blob(
    client: &HttpClient,
    url: &Url,
    delegates: &[String],
    token: &Secret,
    text: &str,
) -> Result<Vec<u8>> {
    let asking = Asking { client, service: "IAM's signBlob", url };
    let body = json!({"payload": STANDARD.encode(text), "delegates": delegates});
    let answer = asking.json(&body, token).await?;
    STANDARD
        .decode(asking.field(&answer, "signedBlob")?)
        .map_err(|_| Error::new(ErrorKind::Protocol, "the signature of signBlob is no base64"))
}

fn headers_of(headers: &[(String, Secret)]) -> Result<http::HeaderMap> {
    let pairs = headers.iter().map(|(name, value)| {
        let name = http::HeaderName::try_from(name).ok()?;
        let mut value = http::HeaderValue::from_str(value.expose()).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    });
    pairs.collect::<Option<_>>().ok_or_else(|| {
        Error::new(ErrorKind::InvalidConfig, "credential_source has headers that cannot be sent")
            .with_help("check the file of GOOGLE_APPLICATION_CREDENTIALS")
    })
}

/// Reads a small file on a thread that may block.
pub(crate) async fn read_file(path: PathBuf) -> Result<String> {
    let named = path.clone();
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
    let read = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    read.map_err(|error| {
        Error::new(ErrorKind::InvalidConfig, format!("{} cannot be read: {error}", named.display()))
            .with_help("correct GOOGLE_APPLICATION_CREDENTIALS, or what the file that it names says")
            .with_source(error)
    })
}
