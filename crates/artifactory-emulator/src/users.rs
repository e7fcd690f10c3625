//! `api/security/users`: as much as clients need to make themselves a user.

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::{empty_answer, json_answer, text_answer, unknown, wrong_method};
use crate::call::Call;
use crate::config::{Permissions, User};
use crate::error::{Answer, Failure};
use crate::storage::hex;

const JSON: &str = "application/json";

#[derive(Debug, Deserialize)]
struct Wanted {
    password: Option<String>,
    #[serde(default)]
    admin: Option<bool>,
    #[serde(default)]
    groups: Option<Vec<String>>,
}

/// A request below `api/security/` that is not about tokens.
pub(crate) async fn dispatch(call: &mut Call, path: &str) -> Answer {
    if path == "encryptedPassword" && call.method == Method::GET {
        return encrypted_password(call);
    }
    for kind in ["groups", "permissions"] {
        if let Some(name) = path.strip_prefix(kind).filter(|rest| rest.is_empty() || rest.starts_with('/')) {
            return crate::documents::dispatch(call, kind, name.trim_matches('/')).await;
        }
    }
    if path == "apiKey" {
        return api_key(call);
    }
    let name = match path.split_once('/') {
        None if path == "users" => "",
        Some(("users", name)) => name,
        _ => return Err(unknown()),
    };
    call.who.require_admin()?;
    match (&call.method, name) {
        (&Method::GET, "") => Ok(list(call)),
        (&Method::GET, name) => get(call, name),
        (&Method::PUT | &Method::POST, name) if !name.is_empty() => put(call, name).await,
        (&Method::DELETE, name) if !name.is_empty() => delete(call, name),
        _ => Err(wrong_method()),
    }
}

/// A stand-in for the user's password, another one for another password.
fn encrypted_password(call: &Call) -> Answer {
    call.who.require_someone()?;
    let inner = call.shared.accounts.lock();
    let user = inner.users.iter().find(|user| user.name == call.who.name).ok_or_else(unknown)?;
    let digest = Sha256::digest(format!("{}{}", call.shared.secret, user.password));
    Ok(text_answer(StatusCode::OK, format!("AP{}", hex(&digest))))
}

/// The one API key of whoever asks.
fn api_key(call: &Call) -> Answer {
    call.who.require_someone()?;
    let name = &call.who.name;
    let mut inner = call.shared.accounts.lock();
    let old = inner.api_keys.iter().find(|(_, owner)| *owner == name).map(|(key, _)| key.clone());
    match call.method {
        Method::GET => {
            Ok(json_answer(StatusCode::OK, JSON, &old.map_or(json!({}), |key| json!({ "apiKey": key }))))
        }
        Method::POST if old.is_some() => Err(Failure::bad_request("The API key exists already")),
        Method::POST | Method::PUT => {
            inner.api_keys.retain(|_, owner| owner != name);
            let key = format!(
                "AKCp8{:032x}{:032x}{:04x}",
                rand::random::<u128>(),
                rand::random::<u128>(),
                rand::random::<u16>()
            );
            inner.api_keys.insert(key.clone(), name.clone());
            Ok(json_answer(StatusCode::CREATED, JSON, &json!({ "apiKey": key })))
        }
        Method::DELETE => {
            inner.api_keys.retain(|_, owner| owner != name);
            Ok(empty_answer(StatusCode::OK))
        }
        _ => Err(wrong_method()),
    }
}

fn list(call: &Call) -> axum::response::Response {
    let inner = call.shared.accounts.lock();
    let uri = |name: &str| format!("{}/api/security/users/{name}", call.base);
    let users: Vec<Value> = inner
        .users
        .iter()
        .map(|user| json!({ "name": user.name, "uri": uri(&user.name), "realm": "internal" }))
        .collect();
    json_answer(StatusCode::OK, JSON, &users.into())
}

fn get(call: &Call, name: &str) -> Answer {
    let inner = call.shared.accounts.lock();
    let Some(user) = inner.users.iter().find(|user| user.name == name) else { return Err(unknown()) };
    let value = json!({
        "name": user.name, "email": format!("{name}@localhost"), "admin": user.admin, "profileUpdatable": true,
        "realm": "internal", "groups": user.groups,
    });
    Ok(json_answer(StatusCode::OK, JSON, &value))
}

/// A user who is new may read, deploy and delete: there are no permission targets here.
async fn put(call: &mut Call, name: &str) -> Answer {
    let text = call.body.text().await?;
    let wanted: Wanted = serde_json::from_str(&text)
        .map_err(|error| Failure::bad_request(format!("Invalid user: {error}")))?;
    let mut inner = call.shared.accounts.lock();
    if let Some(user) = inner.users.iter_mut().find(|user| user.name == name) {
        user.groups = wanted.groups.unwrap_or_else(|| user.groups.clone());
        user.admin = wanted.admin.unwrap_or(user.admin);
        user.password = wanted.password.unwrap_or_else(|| user.password.clone());
        return Ok(empty_answer(StatusCode::OK));
    }
    let Some(password) = wanted.password else { return Err(Failure::bad_request("The password is missing")) };
    let admin = wanted.admin.unwrap_or(false);
    let groups = wanted.groups.unwrap_or_default();
    inner.users.push(User { name: name.to_owned(), password, permissions: Permissions::ALL, admin, groups });
    Ok(empty_answer(StatusCode::CREATED))
}

fn delete(call: &Call, name: &str) -> Answer {
    let mut inner = call.shared.accounts.lock();
    let before = inner.users.len();
    inner.users.retain(|user| user.name != name);
    if inner.users.len() == before {
        return Err(unknown());
    }
    Ok(text_answer(StatusCode::OK, format!("The user: '{name}' has been removed successfully.")))
}
