//! Another server that decides who may do what.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use mlflow_artifacts_core::{ArtifactPath, ArtifactUri, Error, ErrorKind, Result, Secret, StoreConfig};
use mlflow_artifacts_http::{Credential, HttpClient, HttpOptions, KEYS, Method, Request, Url};
use moka::future::Cache;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::watched::{Watched, lines};
use super::{Actions, BASIC, BEARER, Credentials, credentials, unauthenticated};
use crate::refusal::{Code, Refusal};
use crate::workspace;

/// How many decisions are remembered.
const MOST_REMEMBERED: u64 = 100_000;

/// The longest answer that is read.
const LONGEST_ANSWER: usize = 1 << 20;

/// How long a decision may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What tokens of GitLab come in, beside `Authorization` (GitLab REST API, "Authentication").
const PRIVATE_TOKEN: HeaderName = HeaderName::from_static("private-token");

/// The route that stands for everything with artifacts.
const ARTIFACTS: &str = "/api/2.0/mlflow-artifacts/artifacts";

/// What stands in a path as it is (RFC 3986, section 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// GitLab's levels (REST API, "Members", "Roles"): Reporter, Developer, Maintainer, and what each may do here.
const ROLES: [(u32, Actions); 3] = [(20, Actions::READ), (30, Actions::WRITE), (40, Actions::DELETE)];

/// In what way the other server is asked.
#[derive(Debug)]
pub enum Flavour {
    /// As reverse proxies ask (nginx `auth_request`, Traefik `ForwardAuth`): a `GET` with the caller's `Authorization` and `Cookie`,
    /// with `X-Forwarded-Method` `GET` to read, `PUT` to write and `DELETE` to delete, and as `X-Forwarded-Uri` the artifact route of
    /// the first name of the path: `/api/2.0/mlflow-artifacts/artifacts/12`; for requests that are passed on to a tracking server their
    /// own method and path. 2xx allows it, 401 and 403 refuse it.
    Forward,
    /// The projects of GitLab and their members: the first name of a path is the number of a project. Reporters read, developers write
    /// too, maintainers delete too. The caller's token is a bearer's, the password of `Basic`, or in `PRIVATE-TOKEN`.
    GitLab(Projects),
}

/// Which project of GitLab the first name of a path belongs to.
#[derive(Debug, Default)]
pub struct Projects(Option<Watched<HashMap<String, String>>>);

impl Projects {
    /// Those that a file names: a line `name project` each, the project being its number or its path, such as `12 group/subgroup/name`.
    /// Other names belong to nobody. Fails with [`ErrorKind::InvalidConfig`].
    pub fn in_file(file: &Path) -> Result<Self> {
        Ok(Projects(Some(Watched::open(file, projects)?)))
    }

    fn of(&self, segment: &str) -> Option<String> {
        match &self.0 {
            Some(projects) => projects.current().get(segment).cloned(),
            None => segment.bytes().all(|byte| byte.is_ascii_digit()).then(|| segment.to_owned()),
        }
    }
}

fn projects(text: &str) -> std::result::Result<HashMap<String, String>, String> {
    let projects = lines(text).map(|(number, line)| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [segment, project] => Ok((segment.to_owned(), project.to_owned())),
        _ => Err(format!("line {number}: it is not a name and a project")),
    });
    projects.collect()
}

/// Another server that decides who may do what. What it has decided is remembered for a while.
pub struct Authority {
    url: Url,
    flavour: Flavour,
    http: HttpClient,
    decisions: Cache<[u8; 32], Verdict>,
    salt: [u8; 16],
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.url.origin().ascii_serialization();
        f.debug_struct("Authority")
            .field("url", &address)
            .field("flavour", &self.flavour)
            .finish_non_exhaustive()
    }
}

/// What is decided of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// These things are allowed.
    May(Actions),
    /// It is not known who asks.
    Unknown,
}

/// By what the other server knows who asks.
pub(super) struct Shown {
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown(***)")
    }
}

impl Authority {
    /// The server at `url`: of GitLab the address of the instance. What it decides counts for `remembered`. Fails with
    /// [`ErrorKind::InvalidConfig`] if the URL holds credentials or is none of HTTP. `config` says whom to trust and which proxy to take,
    /// as for a store that is reached over HTTP.
    pub fn new(url: Url, flavour: Flavour, remembered: Duration, config: &StoreConfig) -> Result<Self> {
        let is_plain = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || !is_plain {
            let message = "the server that decides has no http: or https: URL without a user and a password";
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        let origin = ArtifactUri::parse(&url.origin().ascii_serialization())?;
        let options = HttpOptions::resolve(&config.resolve(&origin, KEYS)?)?;
        let options = HttpOptions { read_timeout: PATIENCE, connect_timeout: PATIENCE, ..options };
        let decisions = Cache::builder().max_capacity(MOST_REMEMBERED).time_to_live(remembered).build();
        Ok(Authority { url, flavour, http: HttpClient::new(options), decisions, salt: rand::random() })
    }

    pub(super) fn is_gitlab(&self) -> bool {
        matches!(self.flavour, Flavour::GitLab(_))
    }

    /// What the other server is to know the caller by.
    pub(super) fn shown(&self, headers: &HeaderMap) -> std::result::Result<Shown, Refusal> {
        let names: &[HeaderName] = match self.flavour {
            Flavour::Forward => &[AUTHORIZATION, COOKIE],
            Flavour::GitLab(_) => &[AUTHORIZATION, PRIVATE_TOKEN],
        };
        let mut shown = Shown { headers: Vec::new() };
        for name in names {
            for value in headers.get_all(name) {
                let mut value = value.clone();
                value.set_sensitive(true);
                shown.headers.push((name.clone(), value));
            }
        }
        let is_known = matches!(self.flavour, Flavour::Forward) || shown.token().is_some();
        if is_known { Ok(shown) } else { Err(unauthenticated(&[BASIC, BEARER])) }
    }

    pub(super) async fn allows(
        &self,
        shown: &Shown,
        action: Actions,
        workspace: Option<&str>,
        path: &ArtifactPath,
    ) -> std::result::Result<bool, Refusal> {
        let Some(segment) = path.segments().next() else { return Ok(false) };
        let actions = match &self.flavour {
            Flavour::Forward => {
                let method = match action {
                    Actions::WRITE => "PUT",
                    Actions::DELETE => "DELETE",
                    _ => "GET",
                };
                let segment = utf8_percent_encode(segment, SEGMENT);
                let uri = format!("{ARTIFACTS}/{segment}");
                self.forwarded(shown, method, &uri, workspace.unwrap_or_default()).await?
            }
            // What somebody may do at all.
            Flavour::GitLab(projects) => match (projects.of(segment), shown.token()) {
                (Some(project), Some(token)) => {
                    let means = |text: &str| Ok(serde_json::from_str::<Project>(text)?.actions());
                    let asked = of_project(&project);
                    self.decided(shown, &[&asked], self.ask_gitlab(token, &asked, means)).await?
                }
                _ => Actions::empty(),
            },
        };
        Ok(actions.contains(action))
    }

    /// Whether a request that is not about artifacts is let in. GitLab knows of none.
    pub(super) async fn admits(
        &self,
        shown: &Shown,
        method: &Method,
        path: &str,
        workspace: &str,
    ) -> std::result::Result<bool, Refusal> {
        match self.flavour {
            Flavour::Forward => {
                Ok(!self.forwarded(shown, method.as_str(), path, workspace).await?.is_empty())
            }
            Flavour::GitLab(_) => Ok(false),
        }
    }

    /// Refuses whom nobody knows, whatever may be done.
    pub(super) async fn know(&self, shown: &Shown, workspace: &str) -> std::result::Result<(), Refusal> {
        match (&self.flavour, shown.token()) {
            (Flavour::Forward, _) => self.forwarded(shown, "GET", ARTIFACTS, workspace).await?,
            (Flavour::GitLab(_), Some(token)) => {
                self.decided(shown, &["user"], self.ask_gitlab(token, "user", |_| Ok(Actions::empty())))
                    .await?
            }
            (Flavour::GitLab(_), None) => return Err(unauthenticated(&[BASIC, BEARER])),
        };
        Ok(())
    }

    async fn forwarded(
        &self,
        shown: &Shown,
        method: &str,
        uri: &str,
        workspace: &str,
    ) -> std::result::Result<Actions, Refusal> {
        let decide = self.forward(shown, method, uri, workspace);
        self.decided(shown, &[method, uri, workspace], decide).await
    }

    /// What was decided about this, or is now.
    async fn decided(
        &self,
        shown: &Shown,
        about: &[&str],
        decide: impl Future<Output = Result<Verdict>>,
    ) -> std::result::Result<Actions, Refusal> {
        match self.decisions.try_get_with(self.key(shown, about), decide).await {
            Ok(Verdict::May(actions)) => Ok(actions),
            Ok(Verdict::Unknown) => Err(unauthenticated(&[BASIC, BEARER])),
            Err(error) => {
                log::error!("nobody decides who may do what: {error}");
                let message = "the server that decides who may do this does not answer";
                Err(Refusal::new(Code::TemporarilyUnavailable, message))
            }
        }
    }

    /// A digest: what the caller has shown is not kept. Every text is preceded by its length, so that no two lists are alike.
    fn key(&self, shown: &Shown, about: &[&str]) -> [u8; 32] {
        let mut digest = Sha256::new().chain_update(self.salt);
        let mut add = |bytes: &[u8]| {
            digest.update(bytes.len().to_le_bytes());
            digest.update(bytes);
        };
        for text in about {
            add(text.as_bytes());
        }
        for (name, value) in &shown.headers {
            add(name.as_str().as_bytes());
            add(value.as_bytes());
        }
        digest.finalize().into()
    }

    /// Asks whether this may be done, whatever it is.
    async fn forward(&self, shown: &Shown, method: &str, uri: &str, workspace: &str) -> Result<Verdict> {
        let mut headers = HeaderMap::new();
        for (name, value) in &shown.headers {
            headers.append(name, value.clone());
        }
        let mut request = Request::new(Method::GET, self.url.clone()).with_headers(headers);
        request = request.with_header("x-forwarded-method", method).with_header("x-forwarded-uri", uri);
        if !matches!(workspace, "" | workspace::DEFAULT) {
            request = request.with_header("x-mlflow-workspace", workspace);
        }
        let response = self.http.send(request).await?;
        match response.status() {
            200..=299 => Ok(Verdict::May(Actions::all())),
            401 => Ok(Verdict::Unknown),
            403 => Ok(Verdict::May(Actions::empty())),
            _ => Err(response.into_error().await),
        }
    }

    /// Asks GitLab for something, and what it means. What it does not show or does not allow means nothing.
    async fn ask_gitlab(
        &self,
        token: Secret,
        what: &str,
        means: impl FnOnce(&str) -> serde_json::Result<Actions>,
    ) -> Result<Verdict> {
        let base = self.url.as_str().trim_end_matches('/');
        let url = Url::parse(&format!("{base}/api/v4/{what}"))
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        let request = Request::new(Method::GET, url).with_credential(Some(Credential::Bearer(token)));
        let response = self.http.send(request).await?;
        match response.status() {
            200 => {
                let actions = means(&response.text(LONGEST_ANSWER).await?);
                let actions = actions.map_err(|error| {
                    Error::new(
                        ErrorKind::Unavailable,
                        format!("GitLab answers otherwise than GitLab: {error}"),
                    )
                })?;
                Ok(Verdict::May(actions))
            }
            401 => Ok(Verdict::Unknown),
            403 | 404 => Ok(Verdict::May(Actions::empty())),
            _ => Err(response.into_error().await),
        }
    }
}

/// The route of a project (GitLab REST API, "Projects", "Retrieve a project").
fn of_project(project: &str) -> String {
    format!("projects/{}", utf8_percent_encode(project, NON_ALPHANUMERIC))
}

impl Shown {
    /// The caller's token, as GitLab knows it.
    fn token(&self) -> Option<Secret> {
        let private = self.headers.iter().find(|(name, _)| *name == PRIVATE_TOKEN);
        let token = match private {
            Some((_, value)) => Secret::new(value.to_str().ok()?),
            None => match credentials(&self.headers.iter().cloned().collect())? {
                Credentials::Basic { password, .. } => password,
                Credentials::Bearer(token) => token,
            },
        };
        Some(token).filter(|token| !token.expose().is_empty())
    }
}

/// What GitLab tells of a project to one who asks.
#[derive(Deserialize)]
struct Project {
    permissions: Option<Permissions>,
}

#[derive(Deserialize)]
struct Permissions {
    project_access: Option<Membership>,
    group_access: Option<Membership>,
}

#[derive(Deserialize)]
struct Membership {
    access_level: u32,
}

impl Project {
    /// Members alone do anything, also in projects that everybody may look at.
    fn actions(&self) -> Actions {
        let permissions = self.permissions.as_ref();
        let memberships = permissions.map(|told| [told.project_access.as_ref(), told.group_access.as_ref()]);
        let levels = memberships.into_iter().flatten().flatten().map(|membership| membership.access_level);
        let level = levels.max().unwrap_or(0);
        ROLES.into_iter().filter(|(needed, _)| level >= *needed).map(|(_, action)| action).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(project: &str) -> Actions {
        serde_json::from_str::<Project>(project).unwrap().actions()
    }

    #[test]
    fn the_higher_of_two_roles_counts() {
        let reads = Actions::READ;
        let writes = reads | Actions::WRITE;
        for (project, expected) in [
            (r#"{"id": 1}"#, Actions::empty()),
            (r#"{"permissions": {"project_access": null, "group_access": null}}"#, Actions::empty()),
            (
                r#"{"permissions": {"project_access": {"access_level": 10}, "group_access": null}}"#,
                Actions::empty(),
            ),
            (r#"{"permissions": {"project_access": {"access_level": 20}, "group_access": null}}"#, reads),
            (
                r#"{"permissions": {"project_access": {"access_level": 20, "notification_level": 3}, "group_access": {"access_level": 30}}}"#,
                writes,
            ),
            (
                r#"{"permissions": {"project_access": null, "group_access": {"access_level": 50}}}"#,
                Actions::all(),
            ),
        ] {
            assert_eq!(actions(project), expected, "{project}");
        }
    }

    #[test]
    fn a_name_is_the_number_of_its_project_unless_a_file_says_otherwise() {
        let numbers = Projects::default();
        assert_eq!(numbers.of("12").as_deref(), Some("12"));
        assert_eq!(numbers.of("group/name"), None);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("projects");
        std::fs::write(&file, "# experiments\n3 group/name\n").unwrap();
        let named = Projects::in_file(&file).unwrap();
        assert_eq!((named.of("3").as_deref(), named.of("12")), (Some("group/name"), None));
        std::fs::write(&file, "3\n").unwrap();
        assert!(Projects::in_file(&file).unwrap_err().message().contains("line 1"));
    }
}
