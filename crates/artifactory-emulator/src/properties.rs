//! Properties of items.

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::api::{empty_answer, json_answer, require_pro, wrong_method};
use crate::call::Call;
use crate::clock::now;
use crate::error::{Answer, Failure};
use crate::path::{Target, check_property_key, split_escaped, unescape};
use crate::state::{Item, Properties, State, add_property};
use crate::storage_api::{storage_uri, unable_to_find};

const CONTENT_TYPE: &str = "application/vnd.org.jfrog.artifactory.storage.ItemProperties+json;charset=UTF-8";

/// `GET …?properties[=a,b]`.
pub(crate) fn get(call: &Call, target: &Target, item: &Item) -> Answer {
    let wanted: Vec<&str> =
        call.query.get("properties").unwrap_or_default().split(',').filter(|key| !key.is_empty()).collect();
    let shown: Map<String, Value> = item
        .details
        .properties
        .iter()
        .filter(|(key, _)| wanted.is_empty() || wanted.contains(&key.as_str()))
        .map(|(key, values)| (key.clone(), values.clone().into()))
        .collect();
    if shown.is_empty() {
        return Err(Failure::not_found("No properties could be found."));
    }
    let value = json!({ "properties": shown, "uri": storage_uri(call, target) });
    Ok(json_answer(StatusCode::OK, CONTENT_TYPE, &value))
}

/// `k=v1,v2;k2=v`, where `|` separates as well as `;`.
fn parse(text: &str) -> Result<Properties, Failure> {
    let mut properties = Properties::new();
    for pair in split_escaped(text, &[';', '|']).iter().filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key = unescape(key);
        check_property_key(&key)?;
        for value in split_escaped(value, &[',']) {
            add_property(&mut properties, &key, unescape(&value));
        }
    }
    Ok(properties)
}

/// `PUT …?properties=…&recursive=0|1`. It reaches all below a folder unless told not to.
pub(crate) fn set(call: &Call, target: &Target) -> Answer {
    require_pro(call)?;
    let properties = parse(call.query.get("properties").unwrap_or_default())?;
    if properties.is_empty() {
        return Err(Failure::bad_request("No properties were given"));
    }
    change(call, target, |own| own.extend(properties.clone()))
}

/// `DELETE …?properties=k1,k2`.
pub(crate) fn delete(call: &Call, target: &Target) -> Answer {
    require_pro(call)?;
    let keys = split_escaped(call.query.get("properties").unwrap_or_default(), &[',']);
    change(call, target, |own| own.retain(|key, _| !keys.contains(key)))
}

fn change(call: &Call, target: &Target, edit: impl Fn(&mut Properties)) -> Answer {
    check_annotate(call, target)?;
    let mut state = call.shared.write();
    let recursive = call.query.get("recursive").is_none_or(|value| value == "1" || value == "true");
    if !edit_all(&mut state, target, recursive, &edit) {
        return Err(unable_to_find());
    }
    Ok(empty_answer(StatusCode::NO_CONTENT))
}

fn check_annotate(call: &Call, target: &Target) -> Result<(), Failure> {
    if call.who.permissions.deploy {
        return Ok(());
    }
    Err(call.who.refusal(format!("User '{}' may not annotate '{}'.", call.who.name, target.id())))
}

fn edit_all(state: &mut State, target: &Target, recursive: bool, edit: impl Fn(&mut Properties)) -> bool {
    let Some(repository) = state.repositories.get(&target.repo) else { return false };
    if !repository.items.contains_key(&target.path) {
        return false;
    }
    let mut paths = vec![target.path.clone()];
    if recursive {
        paths.extend(repository.below(&target.path).map(|(path, _)| path.clone()));
    }
    for path in paths {
        state.change(&target.repo, &path, |item| {
            edit(&mut item.details.properties);
            item.details.properties_changed = Some(now());
        });
    }
    true
}

/// `PATCH api/metadata/…` with `{"props": {"k": "v" | ["v"] | null}}` [B:T-615].
pub(crate) async fn patch_metadata(call: &mut Call, path: &str) -> Answer {
    if call.method != Method::PATCH {
        return Err(wrong_method());
    }
    require_pro(call)?;
    let target = Target::parse(path)?;
    check_annotate(call, &target)?;
    let text = call.body.text().await?;
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    let Some(props) = body.get("props").and_then(Value::as_object) else {
        return Err(Failure::bad_request("No properties were given"));
    };
    for key in props.keys() {
        check_property_key(key)?;
    }
    let recursive = call.query.is_on("recursiveProperties") || call.query.is_on("recursive");
    let edit = |own: &mut Properties| props.iter().for_each(|(key, value)| patch_one(own, key, value));
    if !edit_all(&mut call.shared.write(), &target, recursive, edit) {
        return Err(Failure::bad_request(format!("Unable to find item {}", target.id())));
    }
    Ok(empty_answer(StatusCode::NO_CONTENT))
}

fn patch_one(own: &mut Properties, key: &str, value: &Value) {
    own.remove(key);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Null => {}
        Value::Array(values) => values.iter().for_each(|value| add_property(own, key, text(value))),
        value => add_property(own, key, text(value)),
    }
}
