//! Who may do what with artifacts.
//!
//! A request is looked at twice. Before its route it is found out who asks ([`identify`]): what cannot be told is answered 401. Then every
//! path that it names, in a URL or in a message, passes [`Shared::readable`] or [`Shared::changeable`], or for a listing [`Access::listed`].

mod accounts;
mod authority;
mod rules;
mod watched;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bitflags::bitflags;
use mlflow_artifacts_core::Secret;

pub use accounts::Accounts;
pub use authority::{Authority, Flavour, Projects};

use crate::observe::Notes;
use crate::refusal::{Code, Refusal};
use crate::routes::Shared;
use crate::workspace::{self, Scoped};
use authority::Shown;

/// By what a tracking server behind this one is told who asks.
pub(crate) const FORWARDED_USER: HeaderName = HeaderName::from_static("x-forwarded-user");

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
    /// Nobody was asked: the server is open, or what is wanted is for everybody.
    Anybody,
    /// Somebody whom the files know.
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
        Caller::of(server, head)
    }
}

impl Caller {
    /// Who sent a request, as was found out before.
    pub(crate) fn of(server: &Shared, head: &Parts) -> Result<Self, Refusal> {
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

    /// Whether nothing can be decided about requests that name no artifacts.
    pub(crate) fn knows_artifacts_alone(&self) -> bool {
        matches!(self, Access::Authority(authority) if authority.is_gitlab())
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

    /// Refuses a request that is not about artifacts, and is to be passed on, to whom the other server does not let make it. Whom the
    /// files know may make any.
    pub(crate) async fn admit(&self, head: &Parts) -> Result<(), Refusal> {
        match (self, head.extensions.get()) {
            // Nobody is asked, or not for this request.
            (_, Some(Identity::Anybody)) | (Access::Accounts(_), Some(Identity::User(_))) => Ok(()),
            (Access::Authority(authority), Some(Identity::Shown(shown))) => {
                let workspace = workspace::of_request(true, &head.headers)?.unwrap_or_default();
                if authority.admits(shown, &head.method, head.uri.path(), &workspace).await? {
                    Ok(())
                } else {
                    Err(forbidden())
                }
            }
            _ => Err(unauthenticated(&[])),
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
        let is_root = directory.within.is_root();
        if let (true, Access::Authority(authority), Identity::Shown(shown)) =
            (is_root, self, &caller.identity)
        {
            // There is nothing of anybody's, only what is below it. Who is not known at all does not have it looked at.
            authority.know(shown, caller.workspace.as_deref().unwrap_or_default()).await?;
            return Ok(Listed::Some);
        }
        if self.allows(caller, Actions::READ, directory).await? {
            Ok(Listed::All)
        } else if is_root || self.leads_on(caller, directory) {
            Ok(Listed::Some)
        } else {
            Err(forbidden())
        }
    }

    /// Whether the caller may read something below a directory.
    fn leads_on(&self, caller: &Caller, directory: &Scoped) -> bool {
        match (self, &caller.identity) {
            (Access::Accounts(accounts), Identity::User(name)) => {
                accounts.rules().is_some_and(|rules| rules.lead_on(name, &directory.stored))
            }
            _ => false,
        }
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
    let access = &server.options.access;
    if !access.asks() {
        request.extensions_mut().insert(Identity::Anybody);
        return next.run(request).await;
    }
    // Who asks is said here and by nobody else.
    request.headers_mut().remove(FORWARDED_USER);
    let mut response = if server.is_for_everybody(request.method(), request.uri()) {
        request.headers_mut().remove(AUTHORIZATION);
        *request.body_mut() = Body::empty();
        request.extensions_mut().insert(Identity::Anybody);
        next.run(request).await
    } else {
        answer_known(&server, request, next).await
    };
    // Not even a cache that knows nothing of who asks gives it to somebody else.
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
    response
}

async fn answer_known(server: &Shared, mut request: Request, next: Next) -> Response {
    match server.options.access.identity(request.headers()).await {
        Ok(identity) => {
            if let Identity::User(name) = &identity {
                introduce(&mut request, name);
            }
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Notes who asks, for the access log and for a tracking server behind this one. The password or token was for this server alone.
fn introduce(request: &mut Request, name: &Arc<str>) {
    if let Some(notes) = request.extensions().get::<Arc<Notes>>() {
        notes.set_user(Arc::clone(name));
    }
    let headers = request.headers_mut();
    headers.remove(AUTHORIZATION);
    if let Ok(name) = HeaderValue::from_str(name) {
        headers.insert(FORWARDED_USER, name);
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
        refusal.with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    })
}

const BASIC: &str = "Basic realm=\"mlflow\", charset=\"UTF-8\"";
const BEARER: &str = "Bearer realm=\"mlflow\"";
