//! `api/storage`: infos of files and folders, file lists.

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::api::{json_answer, require_pro, wrong_method};
use crate::call::Call;
use crate::clock::{iso, now};
use crate::config::RepositoryKind;
use crate::deploy::{checksums, original_checksums};
use crate::error::{Answer, Failure};
use crate::path::{Target, encode};
use crate::state::{Item, Repository, State};

const FILE_INFO: &str = "application/vnd.org.jfrog.artifactory.storage.FileInfo+json;charset=UTF-8";
const FOLDER_INFO: &str = "application/vnd.org.jfrog.artifactory.storage.FolderInfo+json;charset=UTF-8";
const FILE_LIST: &str = "application/vnd.org.jfrog.artifactory.storage.FileList+json;charset=UTF-8";
const LAST_MODIFIED: &str =
    "application/vnd.org.jfrog.artifactory.storage.ItemLastModified+json;charset=UTF-8";
const STATS: &str = "application/vnd.org.jfrog.artifactory.storage.StatsInfo+json;charset=UTF-8";
const PERMISSIONS: &str = "application/vnd.org.jfrog.artifactory.storage.ItemPermissions+json;charset=UTF-8";

/// A request below `api/storage/`.
pub(crate) fn dispatch(call: &Call, path: &str) -> Answer {
    let target = Target::parse(path)?;
    match call.method {
        Method::GET | Method::HEAD => read(call, &target),
        Method::PUT if call.query.has("properties") => crate::properties::set(call, &target),
        Method::DELETE if call.query.has("properties") => crate::properties::delete(call, &target),
        _ => Err(wrong_method()),
    }
}

fn read(call: &Call, target: &Target) -> Answer {
    check_accept(call)?;
    if call.query.has("list") {
        return list(call, target);
    }
    check_read(call, target)?;
    let state = call.shared.read();
    let Some((repo, item)) = state.find(target) else { return Err(missing(&state, target)) };
    if call.query.has("properties") {
        return crate::properties::get(call, target, item);
    }
    if call.query.has("stats") {
        return Ok(stats(call, target, item));
    }
    if call.query.has("permissions") {
        return permissions(call, target);
    }
    if call.query.has("lastModified") {
        require_pro(call)?;
        return Ok(last_modified(call, target, &state.repositories[repo]));
    }
    match &item.file {
        Some(_) => Ok(json_answer(StatusCode::OK, FILE_INFO, &file_info(call, target, item))),
        None => {
            let mut answer =
                json_answer(StatusCode::OK, FOLDER_INFO, &folder_info(call, &state, target, item));
            answer
                .headers_mut()
                .insert(axum::http::header::CACHE_CONTROL, axum::http::HeaderValue::from_static("no-store"));
            Ok(answer)
        }
    }
}

/// An `Accept` that leaves no JSON is refused.
fn check_accept(call: &Call) -> Result<(), Failure> {
    let Some(accept) = call.header("accept") else { return Ok(()) };
    let takes_json = accept.split(',').any(|part| {
        let kind = part.split(';').next().unwrap_or_default().trim();
        kind == "*/*" || kind == "application/*" || kind.ends_with("json")
    });
    if takes_json { Ok(()) } else { Err(Failure::json(StatusCode::NOT_ACCEPTABLE, "Not Acceptable")) }
}

pub(crate) fn check_read(call: &Call, target: &Target) -> Result<(), Failure> {
    if call.who.permissions.read {
        return Ok(());
    }
    Err(call.who.refusal(format!("User '{}' may not read '{}'.", call.who.name, target.id())))
}

/// A virtual repository answers without a body for what it has not [S:web/rest].
fn missing(state: &State, target: &Target) -> Failure {
    match state.repositories.get(&target.repo).map(|repository| &repository.kind) {
        Some(RepositoryKind::Virtual { .. }) => Failure::empty(StatusCode::NOT_FOUND),
        _ => unable_to_find(),
    }
}

pub(crate) fn unable_to_find() -> Failure {
    Failure::not_found("Unable to find item")
}

/// The address of an item below `api/storage`.
pub(crate) fn storage_uri(call: &Call, target: &Target) -> String {
    let path = if target.path.is_empty() { String::new() } else { format!("/{}", encode(&target.path)) };
    format!("{}/api/storage/{}{path}", call.base, encode(&target.repo))
}

fn common_info(call: &Call, target: &Target, item: &Item) -> Map<String, Value> {
    let details = &item.details;
    let mut info = Map::new();
    info.insert("repo".to_owned(), target.repo.as_str().into());
    info.insert("path".to_owned(), format!("/{}", target.path).into());
    info.insert("created".to_owned(), iso(details.created).into());
    info.insert("createdBy".to_owned(), details.created_by.as_str().into());
    info.insert("lastModified".to_owned(), iso(details.modified).into());
    info.insert("modifiedBy".to_owned(), details.modified_by.as_str().into());
    info.insert("lastUpdated".to_owned(), iso(details.updated).into());
    info.insert("uri".to_owned(), storage_uri(call, target).into());
    info
}

fn file_info(call: &Call, target: &Target, item: &Item) -> Value {
    let mut info = common_info(call, target, item);
    let url = format!("{}/{}/{}", call.base, encode(&target.repo), encode(&target.path));
    info.insert("downloadUri".to_owned(), url.into());
    info.insert("mimeType".to_owned(), crate::mime::of(&target.path).into());
    if let Some(file) = &item.file {
        info.insert("size".to_owned(), file.blob.digests.size.to_string().into());
        info.insert("checksums".to_owned(), checksums(call, file));
        info.insert("originalChecksums".to_owned(), original_checksums(file));
    }
    Value::Object(info)
}

fn folder_info(call: &Call, state: &State, target: &Target, item: &Item) -> Value {
    let mut info = common_info(call, target, item);
    let mut children = std::collections::BTreeMap::new();
    for (_, repository) in state.readable(&target.repo) {
        children.extend(repository.children(&target.path));
    }
    let children: Vec<Value> = children
        .into_iter()
        .map(|(name, folder)| json!({ "uri": format!("/{name}"), "folder": folder }))
        .collect();
    info.insert("children".to_owned(), children.into());
    Value::Object(info)
}

fn stats(call: &Call, target: &Target, item: &Item) -> axum::response::Response {
    let details = &item.details;
    let mut value = json!({
        "uri": storage_uri(call, target),
        "downloadCount": details.downloads,
        "lastDownloaded": details.last_downloaded.as_ref().map_or(0, |(at, _)| *at),
        "remoteDownloadCount": 0,
        "remoteLastDownloaded": 0,
    });
    if let (Some((_, by)), Some(object)) = (&details.last_downloaded, value.as_object_mut()) {
        object.insert("lastDownloadedBy".to_owned(), by.as_str().into());
    }
    json_answer(StatusCode::OK, STATS, &value)
}

fn permissions(call: &Call, target: &Target) -> Answer {
    call.who.require_admin()?;
    let inner = call.shared.accounts.lock();
    let mut users = Map::new();
    for user in &inner.users {
        let mut letters = Vec::new();
        if user.admin {
            letters.push("m");
        }
        if user.permissions.delete {
            letters.push("d");
        }
        if user.permissions.deploy {
            letters.extend(["w", "n"]);
        }
        if user.permissions.read {
            letters.push("r");
        }
        users.insert(user.name.clone(), letters.into());
    }
    let value = json!({ "uri": storage_uri(call, target), "principals": { "users": users, "groups": {} } });
    Ok(json_answer(StatusCode::OK, PERMISSIONS, &value))
}

/// The file below a folder that was changed last.
fn last_modified(call: &Call, target: &Target, repository: &Repository) -> axum::response::Response {
    let itself = repository.items.get_key_value(&target.path);
    let newest = itself
        .into_iter()
        .chain(repository.below(&target.path))
        // A file and its folder may have been written in the same millisecond.
        .max_by_key(|(_, item)| (item.details.modified, item.file.is_some()));
    let (path, modified) = newest.map_or((&target.path, 0), |(path, item)| (path, item.details.modified));
    let newest = Target { path: path.clone(), ..target.clone() };
    let value = json!({ "uri": storage_uri(call, &newest), "lastModified": iso(modified) });
    json_answer(StatusCode::OK, LAST_MODIFIED, &value)
}

#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "the parameters of one call, each a switch")]
struct ListOptions {
    deep: bool,
    depth: i64,
    folders: bool,
    md_timestamps: bool,
    stats_timestamps: bool,
    include_root: bool,
}

impl ListOptions {
    fn parse(call: &Call) -> Result<Self, Failure> {
        let query = &call.query;
        query.int("includePropertiesMd5")?;
        Ok(Self {
            deep: query.int("deep")? == 1,
            depth: query.int("depth")?,
            folders: query.int("listFolders")? == 1,
            md_timestamps: query.int("mdTimestamps")? == 1,
            stats_timestamps: query.int("statsTimestamps")? == 1,
            include_root: query.int("includeRootPath")? == 1,
        })
    }

    fn reaches(&self, path: &str) -> bool {
        let depth = path.split('/').count() as u64;
        if !self.deep {
            return depth == 1;
        }
        u64::try_from(self.depth).map_or(true, |limit| limit == 0 || depth <= limit)
    }
}

/// The file list: a whole tree in one answer, for Pro and for users with a name [B:L008].
fn list(call: &Call, target: &Target) -> Answer {
    require_pro(call)?;
    call.who.require_someone()?;
    check_read(call, target)?;
    let options = ListOptions::parse(call)?;
    let state = call.shared.read();
    let Some((_, item)) = state.find(target) else { return Err(unable_to_find()) };
    if item.file.is_some() {
        return Err(Failure::bad_request(format!("Expected a folder but found a file, at: {}", target.id())));
    }
    let mut files = std::collections::BTreeMap::new();
    for (_, repository) in state.readable(&target.repo) {
        for (path, item) in repository.below(&target.path) {
            let below = if target.path.is_empty() { path.as_str() } else { &path[target.path.len() + 1..] };
            if options.reaches(below) && (item.file.is_some() || options.folders) {
                files.entry(format!("/{below}")).or_insert_with_key(|uri| entry(uri, item, &options));
            }
        }
    }
    if options.include_root {
        files.insert("/".to_owned(), entry("/", item, &options));
    }
    let files: Vec<Value> = files.into_values().collect();
    let value = json!({ "uri": storage_uri(call, target), "created": iso(now()), "files": files });
    Ok(json_answer(StatusCode::OK, FILE_LIST, &value))
}

/// On the wire the size is a number and the folder a boolean, whatever the vendor's page shows [B:L008].
fn entry(uri: &str, item: &Item, options: &ListOptions) -> Value {
    let details = &item.details;
    let mut entry = Map::new();
    entry.insert("uri".to_owned(), uri.into());
    let size = item.file.as_ref().map_or(Value::from(-1), |file| file.blob.digests.size.into());
    entry.insert("size".to_owned(), size);
    entry.insert("lastModified".to_owned(), iso(details.modified).into());
    entry.insert("folder".to_owned(), item.file.is_none().into());
    if let Some(file) = &item.file {
        entry.insert("sha1".to_owned(), file.blob.digests.sha1.as_str().into());
        entry.insert("sha2".to_owned(), file.blob.digests.sha256.as_str().into());
    }
    let mut timestamps = Map::new();
    if let Some(at) = details.properties_changed.filter(|_| options.md_timestamps) {
        timestamps.insert("properties".to_owned(), iso(at).into());
    }
    if let Some((at, _)) = details.last_downloaded.as_ref().filter(|_| options.stats_timestamps) {
        timestamps.insert("artifactory.stats".to_owned(), iso(*at).into());
    }
    if !timestamps.is_empty() {
        entry.insert("mdTimestamps".to_owned(), timestamps.into());
    }
    Value::Object(entry)
}
