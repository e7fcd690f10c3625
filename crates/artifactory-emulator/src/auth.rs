//! Who is asking: Bearer, Basic, API key or nobody, and the lock-out of those who fail too often.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::clock::{Millis, now};
use crate::config::{Config, Permissions, User};
use crate::error::Failure;

/// How long a lock-out lasts.
const LOCK_TIME: Millis = 60_000;

/// The header of API keys.
pub(crate) const API_KEY: &str = "x-jfrog-art-api";

/// The one a request is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) permissions: Permissions,
    pub(crate) admin: bool,
    pub(crate) anonymous: bool,
}

impl Identity {
    /// What a refusal for lack of a permission is: 401 for nobody, 403 for somebody.
    pub(crate) fn refusal(&self, message: impl AsRef<str>) -> Failure {
        if self.anonymous {
            return Failure::unauthorized("Authentication is required");
        }
        Failure::forbidden(message)
    }

    pub(crate) fn require_admin(&self) -> Result<(), Failure> {
        if self.admin { Ok(()) } else { Err(self.refusal("Admin privileges are required")) }
    }

    pub(crate) fn require_someone(&self) -> Result<(), Failure> {
        if self.anonymous { Err(Failure::unauthorized("Authentication is required")) } else { Ok(()) }
    }
}

/// An access token that was made or set up.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) identity: Identity,
    pub(crate) issued: Millis,
    pub(crate) expires: Option<Millis>,
    pub(crate) revoked: bool,
    pub(crate) refresh: Option<String>,
    pub(crate) scope: String,
}

#[derive(Debug, Default)]
struct Failures {
    count: u32,
    locked_until: Option<Millis>,
}

/// All users, tokens and keys.
#[derive(Debug)]
pub(crate) struct Accounts {
    anonymous: Permissions,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) users: Vec<User>,
    pub(crate) tokens: HashMap<String, Token>,
    pub(crate) api_keys: HashMap<String, String>,
    lock_after: u32,
    failures: HashMap<String, Failures>,
}

impl Accounts {
    pub(crate) fn new(config: &Config) -> Self {
        let inner = Inner {
            users: config.users.clone(),
            tokens: HashMap::new(),
            api_keys: config.api_keys.iter().map(|(user, key)| (key.clone(), user.clone())).collect(),
            lock_after: 0,
            failures: HashMap::new(),
        };
        let accounts = Self { anonymous: config.anonymous, inner: Mutex::new(inner) };
        for token in &config.tokens {
            accounts.add_token(&token.secret, token.permissions, token.admin);
        }
        accounts
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add_token(&self, secret: &str, permissions: Permissions, admin: bool) {
        let mut inner = self.lock();
        let name = inner.users.iter().find(|user| admin && user.admin).map_or("token", |user| &user.name);
        let identity = Identity { name: name.to_owned(), permissions, admin, anonymous: false };
        let token = Token {
            id: format!("token-{}", inner.tokens.len()),
            identity,
            issued: now(),
            expires: None,
            revoked: false,
            refresh: None,
            scope: "applied-permissions/admin".to_owned(),
        };
        inner.tokens.insert(secret.to_owned(), token);
    }

    pub(crate) fn revoke(&self, secret: &str) -> bool {
        self.lock().tokens.get_mut(secret).map(|token| token.revoked = true).is_some()
    }

    pub(crate) fn expire_all(&self) {
        let at = now();
        for token in self.lock().tokens.values_mut() {
            token.expires = Some(at - 1);
        }
    }

    /// Locks whoever fails so often; zero switches it off and lets all in again.
    pub(crate) fn lockout(&self, after: u32) {
        let mut inner = self.lock();
        inner.lock_after = after;
        inner.failures.clear();
    }

    /// The identity a request's headers show.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<Identity, Failure> {
        let Some((principal, credentials)) = credentials(headers)? else {
            return Ok(Identity {
                name: "anonymous".to_owned(),
                permissions: self.anonymous,
                admin: false,
                anonymous: true,
            });
        };
        let mut inner = self.lock();
        inner.check_lock(&principal)?;
        let result = inner.verify(&credentials);
        match &result {
            Ok(_) => drop(inner.failures.remove(&principal)),
            Err(_) => inner.note_failure(principal),
        }
        result
    }
}

enum Credentials {
    Bearer(String),
    Basic(String, String),
    ApiKey(String),
}

/// The credentials, with the name their failures are counted under.
fn credentials(headers: &HeaderMap) -> Result<Option<(String, Credentials)>, Failure> {
    if let Some(key) = headers.get(API_KEY).and_then(|value| value.to_str().ok()) {
        return Ok(Some((key.to_owned(), Credentials::ApiKey(key.to_owned()))));
    }
    let Some(header) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let wrong = || Failure::unauthorized("Bad Credentials");
    let (scheme, value) = header.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(wrong)?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some((value.to_owned(), Credentials::Bearer(value.to_owned()))));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(wrong());
    }
    let decoded = STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (name, password) = decoded.as_deref().and_then(|text| text.split_once(':')).ok_or_else(wrong)?;
    Ok(Some((name.to_owned(), Credentials::Basic(name.to_owned(), password.to_owned()))))
}

impl Inner {
    fn check_lock(&self, principal: &str) -> Result<(), Failure> {
        let until = self.failures.get(principal).and_then(|failures| failures.locked_until);
        let left = until.map_or(0, |until| until - now());
        if left <= 0 {
            return Ok(());
        }
        let seconds = (left + 999) / 1000;
        Err(Failure::forbidden(format!(
            "This request is blocked due to recurrent request failures, please try again in {seconds} second(s)"
        )))
    }

    fn note_failure(&mut self, principal: String) {
        if self.lock_after == 0 {
            return;
        }
        let failures = self.failures.entry(principal).or_default();
        failures.count += 1;
        if failures.count >= self.lock_after {
            *failures = Failures { count: 0, locked_until: Some(now() + LOCK_TIME) };
        }
    }

    fn verify(&self, credentials: &Credentials) -> Result<Identity, Failure> {
        match credentials {
            Credentials::Bearer(secret) => self.verify_token(secret),
            Credentials::ApiKey(key) => self.verify_api_key(key),
            Credentials::Basic(name, password) => self.verify_password(name, password),
        }
    }

    fn verify_token(&self, secret: &str) -> Result<Identity, Failure> {
        let Some(token) = self.tokens.get(secret) else {
            return Err(Failure::unauthorized("Props Authentication Token not found"));
        };
        if token.revoked {
            return Err(Failure::unauthorized("Token failed verification: revoked"));
        }
        if token.expires.is_some_and(|expires| expires <= now()) {
            return Err(Failure::unauthorized("Token failed verification: expired"));
        }
        Ok(token.identity.clone())
    }

    fn verify_api_key(&self, key: &str) -> Result<Identity, Failure> {
        let user = self.api_keys.get(key).and_then(|name| self.users.iter().find(|user| user.name == *name));
        user.map(identity_of).ok_or_else(|| Failure::unauthorized("Bad Credentials"))
    }

    /// A token or an API key may stand in the password's place.
    fn verify_password(&self, name: &str, password: &str) -> Result<Identity, Failure> {
        let user = self.users.iter().find(|user| user.name == name && user.password == password);
        if let Some(user) = user {
            return Ok(identity_of(user));
        }
        if self.api_keys.get(password).is_some_and(|owner| owner == name) {
            return self.verify_api_key(password);
        }
        if self.tokens.contains_key(password) {
            return self.verify_token(password);
        }
        Err(Failure::unauthorized("Bad Credentials"))
    }
}

fn identity_of(user: &User) -> Identity {
    Identity { name: user.name.clone(), permissions: user.permissions, admin: user.admin, anonymous: false }
}
