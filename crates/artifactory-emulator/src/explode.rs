//! Deploys of archives whose contents alone are stored.

use std::io::{self, Cursor, Read as _};

use axum::http::StatusCode;
use bytes::Bytes;
use flate2::read::GzDecoder;

use crate::api::{require_pro, text_answer};
use crate::call::Call;
use crate::deploy::{check_deploy, check_excludes, storage_failed};
use crate::error::{Answer, Failure};
use crate::path::{Target, validate};
use crate::state::{Declared, FileNode, Item};

/// PUT with `X-Explode-Archive: true`. What is stored lands beside the archive's own name, or below a path with a
/// slash at its end; all of it or nothing.
pub(crate) async fn explode(call: &mut Call, target: &Target) -> Answer {
    require_pro(call)?;
    check_deploy(call, target)?;
    let mut archive = Vec::new();
    while let Some(bytes) = call.body.next().await? {
        archive.extend_from_slice(&bytes);
    }
    let folder = if target.slash { target.path.as_str() } else { parent(&target.path) };
    let entries = read(archive)
        .map_err(|error| Failure::bad_request(format!("The archive cannot be read: {error}")))?;
    let mut items = Vec::new();
    for (name, content) in entries {
        let name = name.trim_start_matches("./");
        let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        validate(&path)?;
        check_excludes(call, &Target { path: path.clone(), ..target.clone() })?;
        let blob = call.shared.store.keep([content]).await.map_err(storage_failed)?;
        let mut item = Item::folder(&call.who.name);
        item.details.properties.clone_from(&target.matrix);
        item.file = Some(FileNode { blob: blob.into(), declared: Declared::default() });
        items.push((path, item));
    }
    let mut state = call.shared.write();
    for (path, _) in &items {
        state.check_kind(&target.repo, path, false)?;
        if state.item(&target.repo, path).is_some() && !call.who.permissions.delete {
            return Err(call
                .who
                .refusal(format!("Not enough permissions to overwrite {}:{path}", target.repo)));
        }
    }
    let count = items.len();
    for (path, item) in items {
        state.put(&target.repo, &path, item)?;
    }
    Ok(text_answer(StatusCode::OK, format!("Successfully deployed {count} artifacts from archive.")))
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The files of an archive, whose kind its first bytes tell.
fn read(archive: Vec<u8>) -> io::Result<Vec<(String, Bytes)>> {
    if archive.starts_with(b"PK") {
        return read_zip(archive);
    }
    if archive.starts_with(&[0x1f, 0x8b]) {
        return read_tar(GzDecoder::new(archive.as_slice()));
    }
    read_tar(archive.as_slice())
}

fn read_zip(archive: Vec<u8>) -> io::Result<Vec<(String, Bytes)>> {
    let mut zip = zip::ZipArchive::new(Cursor::new(archive)).map_err(io::Error::other)?;
    let mut files = Vec::new();
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).map_err(io::Error::other)?;
        if entry.is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            files.push((entry.name().to_owned(), content.into()));
        }
    }
    Ok(files)
}

fn read_tar(reader: impl io::Read) -> io::Result<Vec<(String, Bytes)>> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(reader).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let name = entry.path()?.to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            files.push((name, content.into()));
        }
    }
    if files.is_empty() {
        return Err(io::Error::other("it holds no files"));
    }
    Ok(files)
}
