//! AQL: the part of it that asks for items.
//!
//! `items.find({…})`, then `include`, `sort`, `offset`, `limit` and `transitive` in any order.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::api::json_answer;
use crate::aql_json::Json;
use crate::call::Call;
use crate::clock::{iso, parse_ago, parse_iso};
use crate::config::Edition;
use crate::error::{Answer, Failure};
use crate::state::{Item, TRASH};

/// The longest query there may be.
const LONGEST: usize = 6000;
/// What a row has when the query does not say.
const DEFAULT_FIELDS: [&str; 10] =
    ["repo", "path", "name", "type", "size", "created", "created_by", "modified", "modified_by", "updated"];
/// What a row can have besides.
const MORE_FIELDS: [&str; 7] =
    ["depth", "actual_sha1", "actual_md5", "sha256", "original_sha1", "original_md5", "property"];
/// What can be asked about an item's downloads.
const STAT_FIELDS: [&str; 5] = [
    "stat.downloads",
    "stat.downloaded",
    "stat.downloaded_by",
    "stat.remote_downloads",
    "stat.remote_downloaded",
];
/// Domains this server has nothing in: a criterion about them holds for no item.
const EMPTY_DOMAINS: [&str; 5] = ["artifact.", "archive.", "module.", "build.", "release."];
const COMPARATORS: [&str; 10] =
    ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$match", "$nmatch", "$before", "$last"];

#[derive(Debug, Default)]
struct Query {
    criteria: Vec<(String, Json)>,
    include: Vec<String>,
    sort: Vec<String>,
    descending: bool,
    offset: usize,
    limit: Option<usize>,
}

/// An item as a query sees it.
#[derive(Clone, Copy, Debug)]
struct Row<'a> {
    repo: &'a str,
    path: &'a str,
    item: &'a Item,
}

/// `POST api/search/aql`.
pub(crate) async fn search(call: &mut Call) -> Answer {
    call.who.require_someone()?;
    let text = call.body.text().await?;
    if text.len() > LONGEST {
        return Err(broken("the query is longer than 6000 characters"));
    }
    let query = parse(&text)?;
    if let Some(what) = unknown(&query.criteria) {
        return Err(broken(&what));
    }
    check(call, &query)?;
    let state = call.shared.read();
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (repo, repository) in state.repositories.iter().filter(|(repo, _)| *repo != TRASH) {
        let items = repository.items.iter().map(|(path, item)| Row { repo, path, item });
        rows.extend(items.filter(|row| query.accepts(row)));
    }
    query.order(&mut rows);
    let page = rows.into_iter().skip(query.offset).take(query.limit.unwrap_or(usize::MAX));
    // Permissions are looked at after the limit: a short page is not the last one [S].
    let results: Vec<Value> =
        page.filter(|_| call.who.permissions.read).map(|row| query.show(&row)).collect();
    let mut range = json!({
        "start_pos": query.offset, "end_pos": query.offset + results.len(), "total": results.len(),
    });
    if let (Some(limit), Some(range)) = (query.limit, range.as_object_mut()) {
        range.insert("limit".to_owned(), limit.into());
    }
    Ok(json_answer(StatusCode::OK, "application/json", &json!({ "results": results, "range": range })))
}

fn broken(what: &str) -> Failure {
    Failure::text(StatusCode::BAD_REQUEST, format!("Failed to parse query: {what}"))
}

fn check(call: &Call, query: &Query) -> Result<(), Failure> {
    if !query.sort.is_empty() && call.shared.config.edition == Edition::Oss {
        return Err(Failure::text(
            StatusCode::BAD_REQUEST,
            "Sorting is not supported by AQL in the OSS edition",
        ));
    }
    let fields = query.fields();
    if let Some(field) = query.sort.iter().find(|field| !fields.contains(&field.as_str())) {
        return Err(broken(&format!("only the result fields are allowed to sort by: {field}")));
    }
    let complete = ["repo", "path", "name"].iter().all(|field| fields.contains(field));
    if !call.who.admin && !complete {
        return Err(Failure::text(
            StatusCode::BAD_REQUEST,
            "For permissions reasons AQL demands the following fields: repo, path and name.",
        ));
    }
    Ok(())
}

/// The text up to the bracket that closes it, and what follows.
fn argument(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1;
    let mut quoted = false;
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' | '{' | '[' if !quoted => depth += 1,
            ')' | '}' | ']' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return Some((&text[..at], &text[at + 1..]));
                }
            }
            _ => {}
        }
    }
    None
}

fn parse(text: &str) -> Result<Query, Failure> {
    let error = || {
        broken(&format!("it looks like there is syntax error near the following sub-query: {}", text.trim()))
    };
    let mut rest = text.trim().strip_prefix("items").ok_or_else(error)?.trim_start();
    let mut query = Query::default();
    let mut found = false;
    while !rest.is_empty() {
        let (name, after) = rest.strip_prefix('.').and_then(|rest| rest.split_once('(')).ok_or_else(error)?;
        let (argument, after) = argument(after).ok_or_else(error)?;
        query.apply(name.trim(), argument.trim()).ok_or_else(error)?;
        found |= name.trim() == "find";
        rest = after.trim_start();
    }
    if found { Ok(query) } else { Err(error()) }
}

impl Query {
    fn apply(&mut self, name: &str, argument: &str) -> Option<()> {
        match name {
            "find" | "transitive" if argument.is_empty() => {}
            "find" => self.criteria = Json::parse(argument)?.into_object()?,
            "include" => self.include = fields(argument)?,
            "sort" => self.apply_sort(argument)?,
            "offset" => self.offset = argument.parse().ok()?,
            "limit" => self.limit = Some(argument.parse().ok()?),
            _ => return None,
        }
        Some(())
    }

    fn apply_sort(&mut self, argument: &str) -> Option<()> {
        let [(direction, names)] = <[_; 1]>::try_from(Json::parse(argument)?.into_object()?).ok()?;
        self.descending = match direction.as_str() {
            "$asc" => false,
            "$desc" => true,
            _ => return None,
        };
        let Json::Array(names) = names else { return None };
        self.sort = names.iter().map(|name| name.text().map(field_name)).collect::<Option<_>>()?;
        Some(())
    }

    fn fields(&self) -> Vec<&str> {
        if self.include.is_empty() {
            return DEFAULT_FIELDS.to_vec();
        }
        let named = self.include.iter().map(String::as_str);
        if self.include.iter().any(|field| field == "*") {
            return DEFAULT_FIELDS
                .into_iter()
                .chain(MORE_FIELDS)
                .chain(named.filter(|name| *name != "*"))
                .collect();
        }
        named.collect()
    }

    fn accepts(&self, row: &Row<'_>) -> bool {
        let kind_matters = !mentions(&self.criteria, "type");
        if kind_matters && row.item.file.is_none() {
            return false;
        }
        all(&self.criteria, row)
    }

    fn order(&self, rows: &mut [Row<'_>]) {
        if self.sort.is_empty() {
            return;
        }
        rows.sort_by(|left, right| {
            let orders = self.sort.iter().map(|field| left.cell(field).cmp(&right.cell(field)));
            let order = orders.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then);
            if self.descending { order.reverse() } else { order }
        });
    }

    fn show(&self, row: &Row<'_>) -> Value {
        let mut shown = Map::new();
        for field in self.fields() {
            if field == "property" || field.starts_with("property.") {
                let properties = &row.item.details.properties;
                if !properties.is_empty() {
                    shown.insert("properties".to_owned(), show_properties(properties));
                }
            } else if field == "stat" || field.starts_with("stat.") {
                if let Some((at, by)) = &row.item.details.last_downloaded {
                    let stats = json!([{
                        "downloads": row.item.details.downloads, "downloaded": iso(*at), "downloaded_by": by,
                        "remote_downloads": 0,
                    }]);
                    shown.insert("stats".to_owned(), stats);
                }
            } else if let Some(cell) = row.cell(field) {
                shown.insert(field.to_owned(), cell.show());
            }
        }
        Value::Object(shown)
    }
}

fn show_properties(properties: &crate::state::Properties) -> Value {
    let pairs = properties.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value)));
    pairs.map(|(key, value)| json!({ "key": key, "value": value })).collect::<Vec<_>>().into()
}

/// The names of an include, each known.
fn fields(argument: &str) -> Option<Vec<String>> {
    let Json::Array(names) = Json::parse(&format!("[{argument}]"))? else { return None };
    let names = names.iter().map(|name| name.text().map(field_name)).collect::<Option<Vec<_>>>()?;
    let known = |name: &String| {
        name == "*"
            || name.starts_with("property.")
            || name == "stat"
            || STAT_FIELDS.contains(&name.as_str())
            || DEFAULT_FIELDS.contains(&name.as_str())
            || MORE_FIELDS.contains(&name.as_str())
    };
    names.iter().all(known).then_some(names)
}

/// `item.name` is `name`, and `@key` asks for properties.
fn field_name(name: &str) -> String {
    let name = name.strip_prefix("item.").unwrap_or(name);
    if name.starts_with('@') { "property".to_owned() } else { name.to_owned() }
}

/// The first criterion that is not understood: it must not look like one that nothing meets.
fn unknown(criteria: &[(String, Json)]) -> Option<String> {
    criteria.iter().find_map(|(name, value)| match (name.as_str(), value) {
        ("$and" | "$or" | "$msp", Json::Array(parts)) => parts.iter().find_map(|part| match part {
            Json::Object(pairs) => unknown(pairs),
            _ => Some(format!("{name} takes criteria only")),
        }),
        (name, _) if name.starts_with('$') => Some(format!("unknown operator {name}")),
        (name, _) if !is_known(name) => Some(format!("unknown field {name}")),
        (name, Json::Object(pairs)) => {
            pairs.iter().find_map(|(comparator, value)| misused(name, comparator, value))
        }
        (name, value) => misused(name, "$eq", value),
    })
}

fn is_known(name: &str) -> bool {
    let field = name.strip_prefix("item.").unwrap_or(name);
    let plain = [&DEFAULT_FIELDS[..], &MORE_FIELDS[..], &STAT_FIELDS[..]].concat().contains(&field);
    let is_property = field.starts_with('@') || field == "property.key" || field == "property.value";
    plain || is_property || EMPTY_DOMAINS.iter().any(|domain| field.starts_with(domain))
}

fn misused(name: &str, comparator: &str, value: &Json) -> Option<String> {
    if !COMPARATORS.contains(&comparator) {
        return Some(format!("unknown comparator {comparator}"));
    }
    let text = match value {
        Json::Null => return None,
        value => value.text(),
    };
    let fits = match (name.strip_prefix("item.").unwrap_or(name), comparator) {
        (_, "$match" | "$nmatch") => text.is_some(),
        (_, "$before" | "$last") => text.is_some_and(|text| parse_ago(text).is_some()),
        ("size" | "depth" | "stat.downloads" | "stat.remote_downloads", _) => {
            text.is_some_and(|text| text.parse::<u64>().is_ok())
        }
        ("created" | "modified" | "updated" | "stat.downloaded" | "stat.remote_downloaded", _) => {
            text.is_some_and(|text| parse_iso(text).is_some())
        }
        _ => text.is_some(),
    };
    (!fits).then(|| format!("{name} cannot be compared so: {value:?}"))
}

fn mentions(criteria: &[(String, Json)], field: &str) -> bool {
    criteria.iter().any(|(name, value)| {
        field_name(name) == field
            || match value {
                Json::Array(parts) => parts.iter().any(|part| mentions(part.pairs(), field)),
                Json::Object(pairs) => mentions(pairs, field),
                Json::Null | Json::Text(_) => false,
            }
    })
}

fn all(criteria: &[(String, Json)], row: &Row<'_>) -> bool {
    criteria.iter().all(|(name, value)| holds(name, value, row))
}

fn holds(name: &str, value: &Json, row: &Row<'_>) -> bool {
    match (name, value) {
        ("$and", Json::Array(parts)) => parts.iter().all(|part| all(part.pairs(), row)),
        // Fields of one object right below an $or are alternatives too.
        ("$or", Json::Array(parts)) => {
            parts.iter().any(|part| part.pairs().iter().any(|(name, value)| holds(name, value, row)))
        }
        // One property has to meet all of it.
        ("$msp", Json::Array(parts)) => parts.iter().all(|part| all(part.pairs(), row)),
        (name, Json::Object(pairs)) => {
            pairs.iter().all(|(comparator, value)| compare(name, comparator, value, row))
        }
        (name, value) => compare(name, "$eq", value, row),
    }
}

fn compare(name: &str, comparator: &str, value: &Json, row: &Row<'_>) -> bool {
    let Some(wanted) = value.text() else {
        let there = row.cell(field_name(name).as_str()).is_some();
        return there == (comparator == "$ne");
    };
    if let Some(key) = name.strip_prefix('@') {
        let values = row.item.details.properties.get(key).map_or(&[][..], Vec::as_slice);
        return any_text(values.iter(), comparator, wanted);
    }
    let properties = &row.item.details.properties;
    match field_name(name).as_str() {
        "property.key" => any_text(properties.keys(), comparator, wanted),
        "property.value" => any_text(properties.values().flatten(), comparator, wanted),
        "type" if wanted == "any" => true,
        field => row.cell(field).is_some_and(|cell| cell.meets(comparator, wanted)),
    }
}

/// A negation holds if no value is so; all else, if one is.
fn any_text<'a>(values: impl Iterator<Item = &'a String>, comparator: &str, wanted: &str) -> bool {
    let mut cells = values.map(|value| Cell::Text(value.clone()));
    match comparator {
        "$ne" => !cells.any(|cell| cell.meets("$eq", wanted)),
        "$nmatch" => !cells.any(|cell| cell.meets("$match", wanted)),
        _ => cells.any(|cell| cell.meets(comparator, wanted)),
    }
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    Text(String),
    Number(u64),
    Date(i64),
}

impl Cell {
    fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    fn show(&self) -> Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Number(number) => (*number).into(),
            Self::Date(at) => iso(*at).into(),
        }
    }

    fn meets(&self, comparator: &str, wanted: &str) -> bool {
        let as_text = || match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Date(at) => iso(*at),
        };
        match comparator {
            "$match" => return wildcard_match(wanted, &as_text()),
            "$nmatch" => return !wildcard_match(wanted, &as_text()),
            "$before" => return parse_ago(wanted).is_some_and(|at| *self < Self::Date(at)),
            "$last" => return parse_ago(wanted).is_some_and(|at| *self >= Self::Date(at)),
            _ => {}
        }
        let other = match self {
            Self::Text(_) => Some(Self::text(wanted)),
            Self::Number(_) => wanted.parse().ok().map(Self::Number),
            Self::Date(_) => parse_iso(wanted).map(Self::Date),
        };
        let Some(other) = other else { return false };
        match comparator {
            "$eq" => *self == other,
            "$ne" => *self != other,
            "$gt" => *self > other,
            "$gte" => *self >= other,
            "$lt" => *self < other,
            "$lte" => *self <= other,
            _ => false,
        }
    }
}

impl Row<'_> {
    fn cell(&self, field: &str) -> Option<Cell> {
        let details = &self.item.details;
        let (folder, name) = self.path.rsplit_once('/').unwrap_or((".", self.path));
        let cell = match field {
            "repo" => Cell::text(self.repo),
            "path" => Cell::text(folder),
            "name" if name.is_empty() => Cell::text("."),
            "name" => Cell::text(name),
            "type" => Cell::text(if self.item.file.is_some() { "file" } else { "folder" }),
            "size" => Cell::Number(self.item.file.as_ref().map_or(0, |file| file.blob.digests.size)),
            "depth" => Cell::Number(self.depth()),
            "created" => Cell::Date(details.created),
            "modified" => Cell::Date(details.modified),
            "updated" => Cell::Date(details.updated),
            "created_by" => Cell::text(&details.created_by),
            "modified_by" => Cell::text(&details.modified_by),
            "stat.downloads" => Cell::Number(Some(details.downloads).filter(|count| *count > 0)?),
            "stat.downloaded" => Cell::Date(details.last_downloaded.as_ref()?.0),
            "stat.downloaded_by" => Cell::text(&details.last_downloaded.as_ref()?.1),
            _ => return self.checksum(field),
        };
        Some(cell)
    }

    fn depth(&self) -> u64 {
        if self.path.is_empty() { 0 } else { self.path.split('/').count() as u64 }
    }

    fn checksum(&self, field: &str) -> Option<Cell> {
        let file = self.item.file.as_ref()?;
        match field {
            "actual_sha1" => Some(Cell::text(&file.blob.digests.sha1)),
            "actual_md5" => Some(Cell::text(&file.blob.digests.md5)),
            "sha256" => Some(Cell::text(&file.blob.digests.sha256)),
            "original_sha1" => file.declared.sha1.as_deref().map(Cell::text),
            "original_md5" => file.declared.md5.as_deref().map(Cell::text),
            _ => None,
        }
    }
}

/// Matches `*` and `?`.
pub(crate) fn wildcard_match(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut in_text) = (0, 0);
    let mut star = None;
    while in_text < text.len() {
        if at < pattern.len() && pattern[at] == '*' {
            star = Some((at, in_text));
            at += 1;
        } else if at < pattern.len() && (pattern[at] == '?' || pattern[at] == text[in_text]) {
            at += 1;
            in_text += 1;
        } else if let Some((star_at, seen)) = star {
            star = Some((star_at, seen + 1));
            at = star_at + 1;
            in_text = seen + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}
