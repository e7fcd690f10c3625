//! `/access` and `api/security`: making, renewing and revoking access tokens, and the little there is of users.

use axum::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::{empty_answer, json_answer, text_answer, unknown, wrong_method};
use crate::auth::{Identity, Token};
use crate::call::{Call, Query};
use crate::clock::now;
use crate::config::Permissions;
use crate::error::{Answer, Failure};

const JSON: &str = "application/json";
/// How long a token is good whose maker does not say.
const DEFAULT_LIFE: i64 = 3600;

/// A request below `/access/`.
pub(crate) async fn access(call: &mut Call, path: &str) -> Answer {
    match (path, &call.method) {
        ("api/v1/system/ping", &Method::GET) => Ok(text_answer(StatusCode::OK, "OK")),
        ("api/v1/tokens", &Method::POST) => make(call, StatusCode::OK).await,
        ("api/v1/tokens", &Method::GET) => list(call),
        ("api/v1/tokens" | "api/v1/system/ping", _) => Err(wrong_method()),
        ("api/v1/tokens/revoke", &Method::DELETE) => revoke_by_form(call).await,
        _ if path == "api/v1/projects" || path.starts_with("api/v1/projects/") => {
            let name = path["api/v1/projects".len()..].trim_matches('/');
            crate::documents::dispatch(call, "projects", name).await
        }
        _ => match path.strip_prefix("api/v1/tokens/") {
            Some(id) if call.method == Method::DELETE => revoke(call, id),
            Some(_) => Err(wrong_method()),
            None => Err(unknown()),
        },
    }
}

/// A request below `api/security/`.
pub(crate) async fn security(call: &mut Call, path: &str) -> Answer {
    match (path, &call.method) {
        ("token", &Method::POST) => make(call, StatusCode::OK).await,
        ("token", &Method::GET) => list(call),
        ("token/revoke", &Method::POST) => revoke_by_form(call).await,
        ("token" | "token/revoke", _) => Err(wrong_method()),
        _ => crate::users::dispatch(call, path).await,
    }
}

/// A form or JSON, whichever it is.
async fn form(call: &mut Call) -> Result<Fields, Failure> {
    let json = call.header("content-type").is_some_and(|kind| kind.contains("json"));
    let text = call.body.text().await?;
    // An empty body is no JSON, but asks for a token with all defaults.
    if !json || text.is_empty() {
        return Ok(Fields::Form(Query::parse(&text)));
    }
    serde_json::from_str(&text)
        .map(Fields::Json)
        .map_err(|error| Failure::bad_request(format!("The body is not JSON: {error}")))
}

enum Fields {
    Form(Query),
    Json(Value),
}

impl Fields {
    fn get(&self, name: &str) -> Option<String> {
        match self {
            Self::Form(form) => form.get(name).map(str::to_owned),
            Self::Json(value) => value
                .get(name)
                .filter(|value| !value.is_null())
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        }
    }
}

async fn make(call: &mut Call, status: StatusCode) -> Answer {
    let fields = form(call).await?;
    if fields.get("grant_type").as_deref() == Some("refresh_token") {
        return refresh(call, &fields);
    }
    call.who.require_someone()?;
    let life = life(&fields)?;
    let name = fields.get("username").unwrap_or_else(|| call.who.name.clone());
    let identity = identity(call, name)?;
    let refreshable = fields.get("refreshable").is_some_and(|value| value == "true");
    let scope = fields.get("scope").unwrap_or_else(|| "applied-permissions/user".to_owned());
    Ok(json_answer(status, JSON, &issue(call, identity, life, refreshable, scope)))
}

fn life(fields: &Fields) -> Result<Option<i64>, Failure> {
    let Some(text) = fields.get("expires_in") else { return Ok(Some(DEFAULT_LIFE)) };
    let seconds: i64 =
        text.parse().map_err(|_| Failure::bad_request(format!("For input string: \"{text}\"")))?;
    // Zero is for ever.
    Ok((seconds > 0).then_some(seconds))
}

/// Only administrators may make tokens of others.
fn identity(call: &Call, name: String) -> Result<Identity, Failure> {
    if name == call.who.name {
        return Ok(call.who.clone());
    }
    call.who.require_admin()?;
    let inner = call.shared.accounts.lock();
    let user = inner.users.iter().find(|user| user.name == name);
    let (permissions, admin) = user.map_or((Permissions::ALL, false), |user| (user.permissions, user.admin));
    Ok(Identity { name, permissions, admin, anonymous: false })
}

fn issue(call: &Call, identity: Identity, life: Option<i64>, refreshable: bool, scope: String) -> Value {
    let id = format!("{:032x}", rand::random::<u128>());
    let expires = life.map(|seconds| now() + seconds * 1000);
    let secret = jwt(call, &id, &identity.name, &scope, expires);
    let refresh = refreshable.then(|| format!("{:032x}", rand::random::<u128>()));
    let mut answer = json!({
        "token_id": id, "access_token": secret, "expires_in": life.unwrap_or(0), "scope": scope,
        "token_type": "Bearer",
    });
    if let (Some(refresh), Some(object)) = (&refresh, answer.as_object_mut()) {
        object.insert("refresh_token".to_owned(), refresh.as_str().into());
    }
    let token = Token { id, identity, issued: now(), expires, revoked: false, refresh, scope };
    call.shared.accounts.lock().tokens.insert(secret, token);
    answer
}

/// A token that reads like a real one. Its signature is this server's own business.
fn jwt(call: &Call, id: &str, name: &str, scope: &str, expires: Option<i64>) -> String {
    let mut claims = json!({
        "sub": format!("jfrt@emulator/users/{name}"), "scp": scope, "aud": "*@*", "iss": "jfac@emulator",
        "iat": now() / 1000, "jti": id,
    });
    if let (Some(expires), Some(object)) = (expires, claims.as_object_mut()) {
        object.insert("exp".to_owned(), (expires / 1000).into());
    }
    let head = URL_SAFE_NO_PAD.encode(r#"{"ver":"2","typ":"JWT","alg":"RS256","kid":"emulator"}"#);
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = Sha256::digest(format!("{signed}.{}", call.shared.secret));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A new token for an old one, which is gone then.
fn refresh(call: &Call, fields: &Fields) -> Answer {
    let wanted = fields.get("refresh_token");
    let life = life(fields)?;
    let old = {
        let mut inner = call.shared.accounts.lock();
        let secret = inner
            .tokens
            .iter()
            .find(|(_, token)| !token.revoked && token.refresh.is_some() && token.refresh == wanted)
            .map(|(secret, _)| secret.clone());
        secret.and_then(|secret| {
            inner.tokens.get_mut(&secret).map(|token| {
                token.revoked = true;
                token.clone()
            })
        })
    };
    let Some(old) = old else { return Err(Failure::bad_request("The refresh token is invalid")) };
    Ok(json_answer(StatusCode::OK, JSON, &issue(call, old.identity, life, true, old.scope)))
}

fn list(call: &Call) -> Answer {
    call.who.require_admin()?;
    let inner = call.shared.accounts.lock();
    let tokens: Vec<Value> = inner
        .tokens
        .values()
        .filter(|token| !token.revoked)
        .map(|token| {
            json!({
                "token_id": token.id, "subject": format!("jfrt@emulator/users/{}", token.identity.name),
                "issuer": "jfac@emulator", "issued_at": token.issued / 1000,
                "expiry": token.expires.map(|at| at / 1000), "refreshable": token.refresh.is_some(),
            })
        })
        .collect();
    Ok(json_answer(StatusCode::OK, JSON, &json!({ "tokens": tokens })))
}

fn revoke(call: &Call, id: &str) -> Answer {
    call.who.require_admin()?;
    let mut inner = call.shared.accounts.lock();
    let token = inner.tokens.values_mut().find(|token| token.id == id);
    let Some(token) = token else { return Err(Failure::not_found("Token not found")) };
    token.revoked = true;
    Ok(text_answer(StatusCode::OK, "Token revoked"))
}

async fn revoke_by_form(call: &mut Call) -> Answer {
    call.who.require_admin()?;
    let fields = form(call).await?;
    let (secret, id) = (fields.get("token"), fields.get("token_id"));
    let mut inner = call.shared.accounts.lock();
    let found = inner
        .tokens
        .iter_mut()
        .find(|(known, token)| Some(*known) == secret.as_ref() || Some(&token.id) == id.as_ref());
    let Some((_, token)) = found else { return Ok(empty_answer(StatusCode::OK)) };
    token.revoked = true;
    Ok(text_answer(StatusCode::OK, "Token revoked"))
}
