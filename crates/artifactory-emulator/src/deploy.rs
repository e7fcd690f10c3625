//! PUT of an item: content, content by its checksum, folders and checksums of other items.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::call::Call;
use crate::clock::iso;
use crate::config::RepositoryKind;
use crate::counters::Kind;
use crate::error::{Answer, Failure};
use crate::path::{Algorithm, Target, encode, id, is_excluded, sidecar, validate};
use crate::service::wrong_checksum;
use crate::state::{Declared, FileNode, Item, State, add_property};
use crate::storage::Blob;

/// PUT below a repository.
pub(crate) async fn put(call: &mut Call) -> Answer {
    let by_checksum = call.flag("x-checksum-deploy") || call.header("x-checksum-deploy-token").is_some();
    call.shared.tally.count(if by_checksum { Kind::ChecksumDeploy } else { Kind::Deploy });
    let mut target = Target::parse(&call.path)?;
    target.repo = local_of(call, &target.repo)?;
    if target.path.is_empty() && !target.slash {
        return Err(Failure::bad_request("The name is empty"));
    }
    if call.flag("x-explode-archive") {
        return crate::explode::explode(call, &target).await;
    }
    if target.path.is_empty() {
        return Err(Failure::bad_request("The name is empty"));
    }
    validate(&target.path)?;
    if let Some((base, algorithm)) = sidecar(&target.path) {
        return put_checksum(call, &target, base, algorithm).await;
    }
    check_excludes(call, &target)?;
    check_deploy(call, &target)?;
    if target.slash {
        return put_folder(call, &target);
    }
    let declared = declared(call);
    check_overwrite(call, &call.shared.read(), &target, &declared)?;
    call.shared.read().check_kind(&target.repo, &target.path, false)?;
    check_quota(call)?;
    let blob = if by_checksum { known_content(call, &declared)? } else { receive(call).await? };
    store(call, &target, blob, declared, by_checksum)
}

/// The local repository a deploy goes to: itself, or a virtual one's default.
pub(crate) fn local_of(call: &Call, key: &str) -> Result<String, Failure> {
    let state = call.shared.read();
    match state.repositories.get(key).map(|repository| &repository.kind) {
        Some(RepositoryKind::Local) => Ok(key.to_owned()),
        Some(RepositoryKind::Virtual { default_deployment: Some(member), .. }) => Ok(member.clone()),
        Some(RepositoryKind::Virtual { default_deployment: None, .. }) => {
            let message =
                format!("No default deployment repository is set for the virtual repository {key}.");
            Err(Failure::json(StatusCode::METHOD_NOT_ALLOWED, message)
                .with_header(ALLOW, HeaderValue::from_static("GET")))
        }
        Some(RepositoryKind::Remote) | None => {
            Err(Failure::not_found(format!("Could not find a local repository named {key} to deploy to.")))
        }
    }
}

pub(crate) fn check_excludes(call: &Call, target: &Target) -> Result<(), Failure> {
    let state = call.shared.read();
    let excluded = is_excluded(&target.path)
        || state.repositories.get(&target.repo).is_some_and(|found| !found.accepts(&target.path));
    if excluded {
        return Err(Failure::conflict(format!(
            "The repository '{}' rejected the deployment of '{}' due to conflict with its include/exclude patterns.",
            target.repo,
            target.id()
        )));
    }
    Ok(())
}

pub(crate) fn check_deploy(call: &Call, target: &Target) -> Result<(), Failure> {
    if call.who.permissions.deploy {
        return Ok(());
    }
    Err(call.who.refusal(format!(
        "Not enough permissions to deploy artifact '{}' (user: '{}' needs DEPLOY permission).",
        target.id(),
        call.who.name
    )))
}

/// Different content takes the Delete permission too. Who declares the checksum that is stored needs it not [S].
fn check_overwrite(call: &Call, state: &State, target: &Target, declared: &Declared) -> Result<(), Failure> {
    let Some(file) = state.item(&target.repo, &target.path).and_then(|item| item.file.as_ref()) else {
        return Ok(());
    };
    let digests = &file.blob.digests;
    let same =
        declared.sha1.as_ref() == Some(&digests.sha1) || declared.sha256.as_ref() == Some(&digests.sha256);
    if same || call.who.permissions.delete {
        return Ok(());
    }
    Err(call.who.refusal(format!(
        "Not enough permissions to overwrite artifact '{}' (user '{}' needs DELETE permission).",
        target.id(),
        call.who.name
    )))
}

fn check_quota(call: &Call) -> Result<(), Failure> {
    let Some(quota) = call.shared.config.quota else { return Ok(()) };
    let length = call.header("content-length").and_then(|length| length.parse::<u64>().ok()).unwrap_or(0);
    if call.shared.read().used().saturating_add(length) <= quota {
        return Ok(());
    }
    Err(Failure::json(
        StatusCode::PAYLOAD_TOO_LARGE,
        "Datastore disk usage is too high. Contact your Artifactory administrator to add additional storage space \
         or change the disk quota limits.",
    ))
}

/// What the client says the content is. `X-Checksum` is told by its length.
fn declared(call: &Call) -> Declared {
    let get = |name: &str| call.header(name).map(|value| value.trim().to_ascii_lowercase());
    let mut declared = Declared {
        sha1: get("x-checksum-sha1"),
        sha256: get("x-checksum-sha256"),
        md5: get("x-checksum-md5"),
    };
    if let Some(checksum) = get("x-checksum") {
        let algorithm = match checksum.len() {
            32 => Algorithm::Md5,
            40 => Algorithm::Sha1,
            64 => Algorithm::Sha256,
            _ => return declared,
        };
        declared.slot(algorithm).get_or_insert(checksum);
    }
    declared
}

async fn receive(call: &mut Call) -> Result<Arc<Blob>, Failure> {
    let announced = call.header("content-length").and_then(|length| length.parse().ok());
    let mut receiver = call.shared.store.receive(announced);
    while let Some(bytes) = call.body.next().await? {
        receiver.push(&bytes).await.map_err(storage_failed)?;
    }
    Ok(Arc::new(receiver.finish().await.map_err(storage_failed)?))
}

pub(crate) fn storage_failed(error: std::io::Error) -> Failure {
    Failure::internal(format!("The content cannot be stored: {error}"))
}

/// The content a deploy by checksum means. Every way not to have it is a 404 [S].
fn known_content(call: &Call, declared: &Declared) -> Result<Arc<Blob>, Failure> {
    let (name, checksum) = match declared {
        Declared { sha256: Some(sha256), .. } => ("SHA-256", sha256),
        Declared { sha1: Some(sha1), .. } => ("SHA-1", sha1),
        _ => return Err(Failure::not_found("Checksum deploy failed. No checksum header was found.")),
    };
    let uploaded = call.header("x-checksum-deploy-token").map(|token| crate::multipart::content(call, token));
    let found = match uploaded {
        Some(uploaded) => {
            uploaded.filter(|blob| [&blob.digests.sha1, &blob.digests.sha256].contains(&checksum))
        }
        None if call.who.permissions.read => call.shared.read().content(checksum),
        None => None,
    };
    let Some(blob) = found else {
        return Err(Failure::not_found(format!(
            "Checksum deploy failed. No existing file with {name}: {checksum}"
        )));
    };
    call.shared.tally.count(Kind::ChecksumDeployHit);
    Ok(blob)
}

fn store(call: &Call, target: &Target, blob: Arc<Blob>, declared: Declared, by_checksum: bool) -> Answer {
    let mut state = call.shared.write();
    check_declared(&state, target, &blob, &declared)?;
    // Once more: the permission was right for what was there before the body came.
    check_overwrite(call, &state, target, &declared)?;
    let mut item = Item::folder(&call.who.name);
    item.details.properties.clone_from(&target.matrix);
    if let Some(old) = state.item(&target.repo, &target.path) {
        item.details.created = old.details.created;
        item.details.created_by.clone_from(&old.details.created_by);
    }
    apply_admin_headers(call, &mut item);
    if by_checksum {
        // 6.20 leaves this property on the item [S].
        add_property(&mut item.details.properties, "sha256", blob.digests.sha256.clone());
    }
    if !item.details.properties.is_empty() {
        item.details.properties_changed = Some(item.details.updated);
    }
    item.file = Some(FileNode { blob, declared });
    let answer = created(call, target, &item);
    state.put(&target.repo, &target.path, item)?;
    Ok(answer)
}

fn check_declared(state: &State, target: &Target, blob: &Blob, declared: &Declared) -> Result<(), Failure> {
    let lenient = state
        .repositories
        .get(&target.repo)
        .and_then(|repository| repository.setting("checksumPolicyType"))
        .is_some_and(|policy| policy == "server-generated-checksums");
    let digests = &blob.digests;
    let pairs = [
        ("SHA-1", &declared.sha1, &digests.sha1),
        ("SHA-256", &declared.sha256, &digests.sha256),
        ("MD5", &declared.md5, &digests.md5),
    ];
    let wrong =
        pairs.iter().any(|(_, declared, actual)| declared.as_ref().is_some_and(|value| value != *actual));
    if lenient || !wrong {
        return Ok(());
    }
    let infos: Vec<String> = pairs
        .iter()
        .map(|(name, declared, actual)| {
            let original = declared.as_deref().unwrap_or("");
            format!("ChecksumInfo{{type={name}, original='{original}', actual='{actual}'}}")
        })
        .collect();
    Err(Failure::conflict(format!(
        "Checksum policy 'LocalRepoChecksumPolicy: CLIENT' rejected the artifact '{}'. Checksums info: [{}]",
        target.id(),
        infos.join(", ")
    )))
}

/// Administrators may say when and by whom an item was made.
fn apply_admin_headers(call: &Call, item: &mut Item) {
    if !call.who.admin {
        return;
    }
    let time = |name: &str| call.header(name).and_then(|value| value.parse::<i64>().ok());
    if let Some(created) = time("x-artifactory-created") {
        item.details.created = created;
    }
    if let Some(modified) = time("x-artifactory-last-modified") {
        item.details.modified = modified;
    }
    if let Some(name) = call.header("x-artifactory-created-by") {
        name.clone_into(&mut item.details.created_by);
    }
    if let Some(name) = call.header("x-artifactory-modified-by") {
        name.clone_into(&mut item.details.modified_by);
    }
}

fn put_folder(call: &Call, target: &Target) -> Answer {
    let mut state = call.shared.write();
    state.check_kind(&target.repo, &target.path, true)?;
    if state.item(&target.repo, &target.path).is_none() {
        let mut folder = Item::folder(&call.who.name);
        folder.details.properties.clone_from(&target.matrix);
        state.put(&target.repo, &target.path, folder)?;
    } else if !target.matrix.is_empty() {
        let matrix = target.matrix.clone();
        state.change(&target.repo, &target.path, |item| item.details.properties.extend(matrix));
    }
    let url = format!("{}/{}/{}/", call.base, encode(&target.repo), encode(&target.path));
    let item = state.item(&target.repo, &target.path);
    let created = item.map(|item| iso(item.details.created));
    let by = item.map(|item| item.details.created_by.clone());
    let body = json!({
        "repo": target.repo, "path": format!("/{}", target.path), "created": created, "createdBy": by, "uri": url,
    });
    Ok(item_created(&body, &url))
}

/// The `ItemCreated` answer of a file, whose size is a string.
fn created(call: &Call, target: &Target, item: &Item) -> Response<Body> {
    let url = format!("{}/{}/{}", call.base, encode(&target.repo), encode(&target.path));
    let body = json!({
        "repo": target.repo,
        "path": format!("/{}", target.path),
        "created": iso(item.details.created),
        "createdBy": item.details.created_by,
        "downloadUri": url,
        "mimeType": crate::mime::of(&target.path),
        "size": item.file.as_ref().map(|file| file.blob.digests.size.to_string()),
        "checksums": item.file.as_ref().map(|file| checksums(call, file)),
        "originalChecksums": item.file.as_ref().map(original_checksums),
        "uri": url,
    });
    item_created(&body, &url)
}

fn item_created(body: &Value, location: &str) -> Response<Body> {
    let text = serde_json::to_vec_pretty(body).unwrap_or_default();
    // The real answer is chunked too: its length is not known before it is written.
    let stream = futures_util::stream::iter([Ok::<_, std::io::Error>(text)]);
    let mut response = Response::new(Body::from_stream(stream));
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(
            "application/vnd.org.jfrog.artifactory.storage.ItemCreated+json;charset=UTF-8",
        ),
    );
    insert_location(headers, location);
    response
}

fn insert_location(headers: &mut axum::http::HeaderMap, location: &str) {
    if let Ok(value) = HeaderValue::from_str(location) {
        headers.insert(LOCATION, value);
    }
}

/// The digests of a file, as JSON.
pub(crate) fn checksums(call: &Call, file: &FileNode) -> Value {
    let digests = &file.blob.digests;
    let shown = |digest: &str| if call.wrong_checksums { wrong_checksum(digest) } else { digest.to_owned() };
    json!({ "sha1": shown(&digests.sha1), "md5": shown(&digests.md5), "sha256": shown(&digests.sha256) })
}

/// What the client declared, and the server's sha256.
pub(crate) fn original_checksums(file: &FileNode) -> Value {
    let mut original = serde_json::Map::new();
    if let Some(sha1) = &file.declared.sha1 {
        original.insert("sha1".to_owned(), sha1.as_str().into());
    }
    if let Some(md5) = &file.declared.md5 {
        original.insert("md5".to_owned(), md5.as_str().into());
    }
    let sha256 = file.declared.sha256.as_ref().unwrap_or(&file.blob.digests.sha256);
    original.insert("sha256".to_owned(), sha256.as_str().into());
    Value::Object(original)
}

/// PUT of `name.sha1` and the like: sets the checksum a client declares for `name`, and stores no item [B:L039,T-601].
async fn put_checksum(call: &mut Call, target: &Target, base: &str, algorithm: Algorithm) -> Answer {
    check_deploy(call, target)?;
    let received = call.body.text().await?;
    let received = received.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    let mut state = call.shared.write();
    let file = state.item(&target.repo, base).and_then(|item| item.file.as_ref());
    let Some(digests) = file.map(|file| file.blob.digests.clone()) else {
        return Err(Failure::not_found(format!(
            "Target file to set checksum on doesn't exist: {}",
            id(&target.repo, base)
        )));
    };
    let actual = match algorithm {
        Algorithm::Sha1 => digests.sha1,
        Algorithm::Sha256 => digests.sha256,
        Algorithm::Md5 => digests.md5,
    };
    let value = received.clone();
    state.change(&target.repo, base, |item| {
        if let Some(file) = &mut item.file {
            *file.declared.slot(algorithm) = Some(value);
        }
    });
    if received != actual {
        return Err(Failure::conflict(format!(
            "Checksum error for '{}': received '{received}' but actual is '{actual}'",
            target.path
        )));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    let url = format!("{}/{}/{}", call.base, encode(&target.repo), encode(base));
    insert_location(response.headers_mut(), &url);
    Ok(response)
}
