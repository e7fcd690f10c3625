//! Files with credentials: of service accounts, of users, of federation and of impersonation.
//!
//! Sources: Google AIP-4110 (application default credentials), AIP-4112, AIP-4113, AIP-4117; google-auth for Python,
//! `google.auth._default`.

use std::path::PathBuf;
use std::time::Duration;

use mlflow_artifacts_core::{Error, ErrorKind, Result, Secret};
use mlflow_artifacts_http::Url;
use serde_json::{Map, Value};

use crate::sign::Key;
use crate::token::{Account, Credentials, External, Impersonated, Subject, User};

/// Where users' tokens come from.
const TOKENS: &str = "https://oauth2.googleapis.com/token";
/// How long an impersonation lasts unless the file says so.
const USUAL_LIFETIME: u64 = 3600;
/// How many impersonations may stand in each other.
const DEEPEST: usize = 4;

/// What a file says.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) credentials: Credentials,
    /// The project that requests are charged to.
    pub(crate) quota_project: Option<String>,
}

/// Reads what stands in a file. `origin` says which, for messages.
pub(crate) fn parse(text: &str, origin: &str) -> Result<Found> {
    let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
        return Err(refused(origin, "holds no JSON object"));
    };
    let file = Fields { fields: &fields, origin };
    let quota_project = file.find("quota_project_id").map(str::to_owned);
    Ok(Found { credentials: file.credentials(0)?, quota_project })
}

fn refused(origin: &str, defect: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("the credentials file {origin} {defect}")).with_help(
        "correct GOOGLE_APPLICATION_CREDENTIALS, download the file again, or run `gcloud auth application-default login`",
    )
}

/// An object of a file.
struct Fields<'a> {
    fields: &'a Map<String, Value>,
    origin: &'a str,
}

impl<'a> Fields<'a> {
    fn refused(&self, defect: &str) -> Error {
        refused(self.origin, defect)
    }

    fn find(&self, name: &str) -> Option<&'a str> {
        self.fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn text(&self, name: &str) -> Result<&'a str> {
        self.find(name).ok_or_else(|| self.refused(&format!("has no {name:?}")))
    }

    fn secret(&self, name: &str) -> Result<Secret> {
        self.text(name).map(Secret::new)
    }

    fn object(&self, name: &str) -> Option<Fields<'a>> {
        let fields = self.fields.get(name).and_then(Value::as_object)?;
        Some(Fields { fields, origin: self.origin })
    }

    /// An address that secrets are sent to: nobody on the way may read them.
    fn url(&self, name: &str, text: &str) -> Result<Url> {
        let url: Url = text.parse().map_err(|_| self.refused(&format!("has no URL in {name:?}")))?;
        if url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)) {
            return Ok(url);
        }
        Err(self.refused(&format!("has an address without TLS in {name:?}")))
    }

    fn credentials(&self, depth: usize) -> Result<Credentials> {
        if depth > DEEPEST {
            return Err(self.refused("has credentials in credentials without end"));
        }
        match self.text("type")? {
            "service_account" => self.account().map(Credentials::Account),
            "authorized_user" => self.user().map(Credentials::User),
            "external_account" => self.external(),
            "impersonated_service_account" => {
                let source = self.object("source_credentials");
                let source = source.ok_or_else(|| self.refused("has no \"source_credentials\""))?;
                let source = source.credentials(depth + 1)?;
                self.impersonated(source, USUAL_LIFETIME).map(Credentials::Impersonated)
            }
            other => Err(self.refused(&format!(
                "has credentials of the type {other:?}; known are service_account, authorized_user, external_account and \
                 impersonated_service_account"
            ))),
        }
    }

    fn account(&self) -> Result<Account> {
        let key = Key::from_pem(self.text("private_key")?)
            .ok_or_else(|| self.refused("has no RSA key in \"private_key\""))?;
        Ok(Account {
            email: self.text("client_email")?.to_owned(),
            key_id: self.find("private_key_id").unwrap_or_default().to_owned(),
            key,
        })
    }

    fn user(&self) -> Result<User> {
        Ok(User {
            url: self.url("token_uri", self.find("token_uri").unwrap_or(TOKENS))?,
            client_id: self.text("client_id")?.to_owned(),
            client_secret: self.secret("client_secret")?,
            refresh_token: self.secret("refresh_token")?,
        })
    }

    fn external(&self) -> Result<Credentials> {
        let source = self.object("credential_source");
        let source = source.ok_or_else(|| self.refused("has no \"credential_source\""))?;
        let subject = source.subject()?;
        let format = source.object("format");
        let field = match format.as_ref().and_then(|format| Some((format, format.find("type")?))) {
            Some((format, "json")) => Some(format.text("subject_token_field_name")?.to_owned()),
            None | Some((_, "text")) => None,
            Some((_, other)) => {
                return Err(self.refused(&format!("has the format {other:?}, not text or json")));
            }
        };
        let client = self
            .find("client_id")
            .map(|id| (id.to_owned(), Secret::new(self.find("client_secret").unwrap_or_default())));
        let external = Credentials::External(External {
            url: self.url("token_url", self.text("token_url")?)?,
            audience: self.text("audience")?.to_owned(),
            subject_type: self.text("subject_token_type")?.to_owned(),
            subject,
            field,
            user_project: self.find("workforce_pool_user_project").map(str::to_owned),
            client,
        });
        if self.find("service_account_impersonation_url").is_none() {
            return Ok(external);
        }
        let wanted = self.object("service_account_impersonation");
        let lifetime = wanted.and_then(|wanted| wanted.fields.get("token_lifetime_seconds")?.as_u64());
        self.impersonated(external, lifetime.unwrap_or(USUAL_LIFETIME)).map(Credentials::Impersonated)
    }

    fn impersonated(&self, source: Credentials, lifetime: u64) -> Result<Impersonated> {
        let name = "service_account_impersonation_url";
        let delegates = self.fields.get("delegates").and_then(Value::as_array);
        let delegates = delegates.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        Ok(Impersonated {
            source: Box::new(source),
            url: self.url(name, self.text(name)?)?,
            delegates: delegates.collect(),
            lifetime: Duration::from_secs(lifetime),
        })
    }

    /// Where the subject token is, in a `credential_source`.
    fn subject(&self) -> Result<Subject> {
        if let Some(path) = self.find("file") {
            return Ok(Subject::File(PathBuf::from(path)));
        }
        if let Some(text) = self.find("url").filter(|_| self.find("environment_id").is_none()) {
            let url = text.parse().map_err(|_| self.refused("has no URL in \"url\""))?;
            let headers = self.object("headers");
            let headers = headers.into_iter().flat_map(|headers| {
                let texts = headers.fields.iter();
                texts.filter_map(|(name, value)| Some((name.clone(), Secret::new(value.as_str()?))))
            });
            return Ok(Subject::Url { url, headers: headers.collect() });
        }
        let what = if self.fields.contains_key("executable") {
            "names an executable in \"credential_source\", which is not run"
        } else if self.find("environment_id").is_some() {
            "has the credentials of AWS as its \"credential_source\", which are not supported"
        } else if self.fields.contains_key("certificate") {
            "has a certificate as its \"credential_source\", which is not supported"
        } else {
            "has neither \"file\" nor \"url\" in \"credential_source\""
        };
        let help = "let the subject token come from a file or a URL";
        Err(Error::new(ErrorKind::InvalidConfig, format!("the credentials file {} {what}", self.origin))
            .with_help(format!("{help}, and name the new file in GOOGLE_APPLICATION_CREDENTIALS")))
    }
}

/// Whether whoever answers there is on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
