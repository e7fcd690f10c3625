//! Groups, permission targets and projects: kept and shown as clients wrote them. None of them changes what a user may do here.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::api::{empty_answer, json_answer, unknown, wrong_method};
use crate::call::Call;
use crate::error::{Answer, Failure};

const JSON: &str = "application/json";

/// All documents, by their kind and name.
pub(crate) type Documents = BTreeMap<(&'static str, String), Map<String, Value>>;

/// A request for the documents of a kind: all of them if the name is empty.
pub(crate) async fn dispatch(call: &mut Call, kind: &'static str, name: &str) -> Answer {
    call.who.require_admin()?;
    match call.method {
        Method::GET if name.is_empty() => Ok(list(call, kind)),
        Method::GET => get(call, kind, name),
        Method::POST | Method::PUT => put(call, kind, name).await,
        Method::DELETE if !name.is_empty() => delete(call, kind, name),
        _ => Err(wrong_method()),
    }
}

fn list(call: &Call, kind: &'static str) -> axum::response::Response {
    let documents = call.shared.documents();
    let names = documents.keys().filter(|(of, _)| *of == kind).map(|(_, name)| name);
    let uri = |name: &str| format!("{}/api/security/{kind}/{name}", call.base);
    let shown: Vec<Value> = names.map(|name| json!({ "name": name, "uri": uri(name) })).collect();
    json_answer(StatusCode::OK, JSON, &shown.into())
}

fn get(call: &Call, kind: &'static str, name: &str) -> Answer {
    let documents = call.shared.documents();
    let Some(document) = documents.get(&(kind, name.to_owned())) else { return Err(unknown()) };
    Ok(json_answer(StatusCode::OK, JSON, &Value::Object(document.clone())))
}

async fn put(call: &mut Call, kind: &'static str, name: &str) -> Answer {
    let text = call.body.text().await?;
    let body: Map<String, Value> = serde_json::from_str(&text)
        .map_err(|error| Failure::bad_request(format!("The body is not JSON: {error}")))?;
    let key = if kind == "projects" { "project_key" } else { "name" };
    let name = match body.get(key).and_then(Value::as_str) {
        _ if !name.is_empty() => name.to_owned(),
        Some(name) => name.to_owned(),
        None => return Err(Failure::bad_request(format!("{key} is missing"))),
    };
    let mut documents = call.shared.documents();
    let is_new = !documents.contains_key(&(kind, name.clone()));
    let document = documents.entry((kind, name.clone())).or_default();
    document.insert(key.to_owned(), name.into());
    document.extend(body);
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    if kind == "projects" {
        return Ok(json_answer(status, JSON, &Value::Object(document.clone())));
    }
    Ok(empty_answer(status))
}

fn delete(call: &Call, kind: &'static str, name: &str) -> Answer {
    if call.shared.documents().remove(&(kind, name.to_owned())).is_none() {
        return Err(unknown());
    }
    Ok(empty_answer(if kind == "projects" { StatusCode::NO_CONTENT } else { StatusCode::OK }))
}
