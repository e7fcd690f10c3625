//! `api/archive/download`: a folder as one archive.

use std::io::{self, Cursor, Write as _};

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Response, StatusCode};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::api::{require_pro, unknown, wrong_method};
use crate::call::Call;
use crate::deploy::storage_failed;
use crate::error::{Answer, Failure};
use crate::path::Target;
use crate::storage_api::{check_read, unable_to_find};

/// The limits of a server as it comes.
const MOST_BYTES: u64 = 1024 << 20;
const MOST_FILES: usize = 5000;

/// A request below `api/archive/`.
pub(crate) fn dispatch(call: &Call, path: &str) -> Answer {
    let Some(place) = path.strip_prefix("download/") else { return Err(unknown()) };
    if call.method != Method::GET {
        return Err(wrong_method());
    }
    require_pro(call)?;
    let target = Target::parse(place)?;
    check_read(call, &target)?;
    let files = collect(call, &target)?;
    let (archive, content_type) = match call.query.get("archiveType") {
        Some("zip") => (zip(&files), "application/zip"),
        Some("tar") => (tar(&files, Vec::new()), "application/x-tar"),
        Some("tar.gz" | "tgz") => (tar_gz(&files), "application/x-gzip"),
        _ => return Err(Failure::bad_request("archiveType must be one of zip, tar, tar.gz and tgz")),
    };
    let mut response = Response::new(Body::from(archive.map_err(storage_failed)?));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

/// A file with its path below the folder.
type Entry = (String, u64, Vec<Bytes>);

fn collect(call: &Call, target: &Target) -> Result<Vec<Entry>, Failure> {
    let state = call.shared.read();
    let Some((repo, item)) = state.find(target) else { return Err(unable_to_find()) };
    if item.file.is_some() {
        return Err(Failure::bad_request(format!("{} is no folder", target.id())));
    }
    let mut files = Vec::new();
    let mut total = 0;
    for (path, item) in state.repositories[repo].below(&target.path) {
        if let Some(file) = &item.file {
            let name = path[target.path.len()..].trim_start_matches('/').to_owned();
            total += file.blob.digests.size;
            if total > MOST_BYTES || files.len() == MOST_FILES {
                return Err(Failure::bad_request(
                    "The folder is larger than what may be downloaded as an archive",
                ));
            }
            files.push((name, file.blob.digests.size, file.blob.pieces().map_err(storage_failed)?));
        }
    }
    Ok(files)
}

fn tar<W: io::Write>(files: &[Entry], writer: W) -> io::Result<W> {
    let mut builder = tar::Builder::new(writer);
    for (name, size, pieces) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(*size);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, pieces.concat().as_slice())?;
    }
    builder.into_inner()
}

fn tar_gz(files: &[Entry]) -> io::Result<Vec<u8>> {
    tar(files, GzEncoder::new(Vec::new(), Compression::fast()))?.finish()
}

fn zip(files: &[Entry]) -> io::Result<Vec<u8>> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, _, pieces) in files {
        writer
            .start_file(name.as_str(), zip::write::SimpleFileOptions::default())
            .map_err(io::Error::other)?;
        for piece in pieces {
            writer.write_all(piece)?;
        }
    }
    Ok(writer.finish().map_err(io::Error::other)?.into_inner())
}
