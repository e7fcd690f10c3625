//! Who may do what with artifacts.
//!
//! A request is looked at twice. Before its route it is found out who asks ([`identify`]): what cannot be told is answered 401. Then every
//! path that it names, in a URL or in a message, passes [`Shared::scoped`](crate::routes::Shared) with what is to be done there.

mod accounts;
mod authority;
mod rules;
mod watched;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bitflags::bitflags;
use mlflow_artifacts_core::Secret;

pub use accounts::Accounts;
pub use authority::{Authority, Flavour, Projects};

use crate::refusal::{Code, Refusal};
use crate::routes::Shared;
use crate::workspace::{self, Scoped};
use authority::Shown;

bitflags! {
    /// What may be done with artifacts.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub(crate) struct Actions: u8 {
        /// To list and get them.
        const READ = 1;
        /// To put them, over others too.
        const WRITE = 2;
        /// To delete them.
        const DELETE = 4;
    }
}

impl Actions {
    /// As rules and messages name it.
    fn named(name: &str) -> Option<Self> {
        match name {
            "read" => Some(Actions::READ),
            "write" => Some(Actions::WRITE),
            "delete" => Some(Actions::DELETE),
            _ => None,
        }
    }
}

/// How it is found out who asks, and what they may do.
#[derive(Clone, Debug, Default)]
pub enum Access {
    /// Nobody is asked, and everybody may do everything: for a server that only this machine, or a trusted proxy, reaches.
    #[default]
    Open,
    /// Users and tokens in files.
    Accounts(Arc<Accounts>),
    /// Another server decides.
    Authority(Arc<Authority>),
}

/// Who asks.
#[derive(Clone, Debug)]
enum Identity {
    Anybody,
    User(Arc<str>),
    /// Somebody whom another server knows by this.
    Shown(Arc<Shown>),
}

/// Who asks, and in which workspace.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    identity: Identity,
    pub(crate) workspace: Option<String>,
}

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, server: &Arc<Shared>) -> Result<Self, Refusal> {
        let identity = match head.extensions.get::<Identity>() {
            Some(identity) => identity.clone(),
            // Every route stands behind `identify`. One that did not would be closed.
            None => return Err(Refusal::new(Code::InternalError, "it was not found out who asks")),
        };
        let workspace = workspace::of_request(server.options.workspaces, &head.headers)?;
        Ok(Caller { identity, workspace })
    }
}

/// Which entries of a directory are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// All of them.
    All,
    /// Those that the caller may read, or that lead to such.
    Some,
}

impl Access {
    /// Whether anybody is asked at all.
    pub fn asks(&self) -> bool {
        !matches!(self, Access::Open)
    }

    async fn identity(&self, headers: &HeaderMap) -> Result<Identity, Refusal> {
        match self {
            Access::Open => Ok(Identity::Anybody),
            Access::Accounts(accounts) => accounts.identify(headers).await.map(Identity::User),
            Access::Authority(authority) => {
                authority.shown(headers).map(|shown| Identity::Shown(Arc::new(shown)))
            }
        }
    }

    /// Refuses what this caller may not do there.
    pub(crate) async fn check(
        &self,
        caller: &Caller,
        action: Actions,
        place: &Scoped,
    ) -> Result<(), Refusal> {
        if self.allows(caller, action, place).await? { Ok(()) } else { Err(forbidden()) }
    }

    /// What of a directory may be listed.
    pub(crate) async fn listed(&self, caller: &Caller, directory: &Scoped) -> Result<Listed, Refusal> {
        let leads_on = match (self, &caller.identity) {
            (Access::Accounts(accounts), Identity::User(name)) => {
                accounts.rules().is_some_and(|rules| rules.lead_on(name, &directory.stored))
            }
            _ => false,
        };
        // At the root there is nothing of anybody's, only what is below it.
        let is_root = directory.within.is_root();
        if !(is_root && matches!(self, Access::Authority(_)))
            && self.allows(caller, Actions::READ, directory).await?
        {
            return Ok(Listed::All);
        }
        if leads_on || is_root { Ok(Listed::Some) } else { Err(forbidden()) }
    }

    /// Whether an entry of a directory of which not all is listed is told.
    pub(crate) async fn tells(&self, caller: &Caller, entry: &Scoped) -> Result<bool, Refusal> {
        match self.listed(caller, entry).await {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.is(Code::PermissionDenied) => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    async fn allows(&self, caller: &Caller, action: Actions, place: &Scoped) -> Result<bool, Refusal> {
        match (self, &caller.identity) {
            (Access::Open, _) => Ok(true),
            (Access::Accounts(accounts), Identity::User(name)) => {
                Ok(accounts.rules().is_none_or(|rules| rules.allow(name, action, &place.stored)))
            }
            (Access::Authority(authority), Identity::Shown(shown)) => {
                authority.allows(shown, action, caller.workspace.as_deref(), &place.within).await
            }
            // One of another server: it cannot be.
            _ => Ok(false),
        }
    }
}

fn forbidden() -> Refusal {
    Refusal::new(Code::PermissionDenied, "Permission denied")
}

/// Finds out who asks. Only what tells nothing is answered to everybody: probes and what clients decide by how to move content.
pub(crate) async fn identify(
    State(server): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_for_everybody = server.is_for_everybody(request.uri());
    match server.options.access.identity(request.headers()).await {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(_) if is_for_everybody => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// What a request shows to say who asks (RFC 7617, RFC 6750).
enum Credentials {
    Basic { user: String, password: Secret },
    Bearer(Secret),
}

fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let (scheme, value) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credentials::Bearer(Secret::new(value)));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Credentials::Basic { user: user.to_owned(), password: Secret::new(password) })
}

/// The answer to whom nobody knows. MLflow's client repeats none of these.
fn unauthenticated(challenges: &[&'static str]) -> Refusal {
    let message = "You are not authenticated: the server does not know these credentials, or none came. MLflow's client takes them from \
                   MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or from MLFLOW_TRACKING_TOKEN";
    challenges.iter().fold(Refusal::new(Code::Unauthenticated, message), |refusal, challenge| {
        refusal.with_header(WWW_AUTHENTICATE, axum::http::HeaderValue::from_static(challenge))
    })
}

const BASIC: &str = "Basic realm=\"mlflow\", charset=\"UTF-8\"";
const BEARER: &str = "Bearer realm=\"mlflow\"";
