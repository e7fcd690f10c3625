//! Large files in parts, straight to the storage behind the server: `mpu/create`, a signed request for each part, and
//! `mpu/complete` (`mlflow/server/handlers.py`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactPath, ByteStream, Error, ErrorKind, PartLimits, PartReceipt, PutOutcome, Result, Upload,
    UploadOptions, UploadToken, check_parts,
};
use mlflow_artifacts_http::{Body, Method, Request};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::client::Client;
use crate::download::headers;
use crate::error::malformed;
use crate::upload::{Put, outcome};

/// Amazon S3 User Guide, "Amazon S3 multipart upload limits"; those of the other storages are wider. A put does what pays.
pub(crate) const PARTS: PartLimits =
    PartLimits { min_size: 5 << 20, max_size: 5 << 30, max_count: 10_000, pays_from: None };
/// So many parts are asked for where nobody knows how many there will be: the server signs all at once, at the beginning.
const PARTS_OF_UNKNOWN: u64 = 1_000;
const AT_ONCE: usize = 4;

#[derive(Serialize)]
struct Create<'a> {
    path: &'a str,
    num_parts: u64,
}

#[derive(Deserialize)]
struct Created {
    /// None where the storage needs none (Azure).
    upload_id: Option<String>,
    #[serde(default)]
    credentials: Vec<SignedPart>,
}

/// The permission to put one part.
#[derive(Deserialize)]
struct SignedPart {
    url: String,
    part_number: u32,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Complete<'a> {
    path: &'a str,
    upload_id: Option<&'a str>,
    parts: Vec<CompletedPart<'a>>,
}

#[derive(Serialize)]
struct CompletedPart<'a> {
    part_number: u32,
    etag: &'a str,
    /// Some storages are told by it which part it was (Azure).
    url: &'a str,
}

#[derive(Serialize)]
struct Abort<'a> {
    path: &'a str,
    upload_id: Option<&'a str>,
}

/// The answer to the last step, which says nothing.
#[derive(Deserialize)]
struct Done {}

impl Client {
    /// Whether content of this size, if it is known, goes straight to the storage.
    pub(crate) async fn writes_directly(&self, size: Option<u64>) -> bool {
        let is_large = size.is_some_and(|size| size >= self.options.direct_upload_from);
        match self.options.direct_uploads {
            Some(wanted) => wanted && is_large,
            None if !is_large => false,
            None => self.info().await.multipart_uploads_enabled,
        }
    }
}

/// Begins to write content in parts; `None` if this server takes none.
pub(crate) async fn begin_put(put: &Put<'_>, size: Option<u64>) -> Result<Option<InParts>> {
    let options = UploadOptions { length: size, ..UploadOptions::default() };
    match begin(put.client, put.path, &options).await {
        Ok(parts) => Ok(Some(parts)),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes content in parts, and gives the upload up if that fails or is given up.
pub(crate) async fn put(put: &Put<'_>, parts: InParts, content: ByteStream) -> Result<PutOutcome> {
    let pending = Pending(Some(parts));
    let parts = pending.get()?;
    let pieces = in_pieces(content, usize::try_from(parts.part_size).unwrap_or(usize::MAX));
    let puts = pieces.map_ok(|(number, piece)| parts.put_part(number, piece));
    let mut receipts: Vec<_> = puts.try_buffer_unordered(AT_ONCE).try_collect().await?;
    receipts.sort_unstable_by_key(|receipt: &PartReceipt| receipt.number);
    let size = pending.settle(receipts).await?;
    Ok(outcome(put, size))
}

/// The content in numbered pieces of this size. The last may be smaller; of no content it is the first.
fn in_pieces(content: ByteStream, size: usize) -> stream::BoxStream<'static, Result<(u32, Bytes)>> {
    let state = (content, BytesMut::new(), 1_u32, false);
    stream::try_unfold(state, move |(mut content, mut held, number, mut is_over)| async move {
        while held.len() < size && !is_over {
            match content.try_next().await? {
                Some(piece) => held.extend_from_slice(&piece),
                None => is_over = true,
            }
        }
        if held.is_empty() && number > 1 {
            return Ok(None);
        }
        let piece = held.split_to(held.len().min(size)).freeze();
        Ok(Some(((number, piece), (content, held, number + 1, is_over))))
    })
    .boxed()
}

/// Begins an upload in parts. Fails with [`ErrorKind::Unsupported`] if this server, or this place of it, takes none.
pub(crate) async fn begin(
    client: &Arc<Client>,
    path: &ArtifactPath,
    options: &UploadOptions,
) -> Result<InParts> {
    let full = client.full(path);
    let (Some(parent), Some(name)) = (full.parent().filter(|parent| !parent.is_root()), full.file_name())
    else {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "MLflow's API takes no upload in parts at the top of the server",
        )
        .with_help("put it into a directory"));
    };
    let part_size = PARTS.part_size(options, client.options.part_size);
    let count = options.length.map_or(PARTS_OF_UNKNOWN, |length| length.div_ceil(part_size).max(1));
    let url = client.api_url("mpu/create", &parent)?;
    let created: Created = client.post_json(&url, &Create { path: name, num_parts: count }).await?;
    let parts = InParts {
        client: Arc::clone(client),
        path: path.clone(),
        parent,
        name: name.to_owned(),
        upload_id: created.upload_id,
        part_size,
        signed: created.credentials.into_iter().map(|part| (part.part_number, part)).collect(),
        put: Mutex::default(),
    };
    if parts.signed.len() as u64 >= count {
        return Ok(parts);
    }
    let _ = parts.give_up().await;
    Err(malformed("signs fewer parts than were asked for"))
}

/// An upload in parts that was begun.
pub(crate) struct InParts {
    client: Arc<Client>,
    path: ArtifactPath,
    parent: ArtifactPath,
    name: String,
    upload_id: Option<String>,
    part_size: u64,
    signed: BTreeMap<u32, SignedPart>,
    /// What the storage called the parts that it has.
    put: Mutex<BTreeMap<u32, String>>,
}

impl std::fmt::Debug for InParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not what is signed: whoever has it may write.
        f.debug_struct("InParts")
            .field("path", &self.path)
            .field("part_size", &self.part_size)
            .finish_non_exhaustive()
    }
}

impl InParts {
    async fn put_part(&self, number: u32, data: Bytes) -> Result<PartReceipt> {
        let size = data.len() as u64;
        PARTS.check_part(number, size, self.part_size)?;
        let signed = self.signed.get(&number).ok_or_else(|| {
            let message = format!("part {number}, where the server has signed {} parts", self.signed.len());
            Error::new(ErrorKind::InvalidArgument, message)
                .with_help("tell the length when the upload is begun")
        })?;
        let url = self.client.direct_url(&signed.url)?;
        let headers = headers(&signed.headers)?;
        let put = || async {
            // By whoever signed it meant for whoever holds it: our credentials stay here.
            let request = Request::new(Method::PUT, url.clone()).signed().with_headers(headers.clone());
            let response = self.client.direct.send(request.with_body(Body::Bytes(data.clone()))).await?;
            if !matches!(response.status(), 200 | 201 | 204) {
                return Err(response.into_error().await);
            }
            let etag = response.header("etag").unwrap_or_default().to_owned();
            response.discard().await;
            Ok(etag)
        };
        let etag = self.client.direct.retry(put).await?;
        self.puts().insert(number, etag.clone());
        Ok(PartReceipt { number, size, etag })
    }

    fn puts(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, String>> {
        self.put.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that these are the parts that the storage has.
    fn check(&self, receipts: &[PartReceipt]) -> Result<()> {
        check_parts(receipts, self.part_size)?;
        let put = self.puts();
        let strange = receipts.iter().find(|receipt| put.get(&receipt.number) != Some(&receipt.etag));
        match (strange, receipts.is_empty()) {
            (None, false) => Ok(()),
            (Some(part), _) => {
                let message = format!("part {} is not the one that was put last", part.number);
                Err(Error::new(ErrorKind::InvalidArgument, message))
            }
            (None, true) => Err(Error::new(ErrorKind::InvalidArgument, "an upload has at least one part")
                .with_help("put an empty part for an empty artifact")),
        }
    }

    /// Has the server make the artifact. Answers its size.
    async fn complete(&self, receipts: &[PartReceipt]) -> Result<u64> {
        self.check(receipts)?;
        let parts = receipts.iter().map(|PartReceipt { number, etag, .. }| {
            let url = self.signed.get(number).map_or("", |signed| signed.url.as_str());
            CompletedPart { part_number: *number, etag, url }
        });
        let parts = parts.collect();
        let body = Complete { path: &self.name, upload_id: self.upload_id.as_deref(), parts };
        let url = self.client.api_url("mpu/complete", &self.parent)?;
        // A second one would fail where the first was lost on its way back.
        let Done {} = self.client.post_json_once(&url, &body).await?;
        Ok(receipts.iter().map(|receipt| receipt.size).sum())
    }

    async fn give_up(&self) -> Result<()> {
        let url = self.client.api_url("mpu/abort", &self.parent)?;
        let body = Abort { path: &self.name, upload_id: self.upload_id.as_deref() };
        let Done {} = self.client.post_json(&url, &body).await?;
        Ok(())
    }

    /// Completes the upload, or gives it up.
    async fn settle(&self, receipts: &[PartReceipt]) -> Result<u64> {
        let completed = self.complete(receipts).await;
        if completed.is_err() {
            // The first error is the one to report.
            let _ = self.give_up().await;
        }
        completed
    }
}

/// An upload that is given up when it is dropped.
struct Pending(Option<InParts>);

impl Pending {
    fn get(&self) -> Result<&InParts> {
        self.0.as_ref().ok_or_else(|| Error::new(ErrorKind::Internal, "the upload was settled already"))
    }

    async fn settle(mut self, receipts: Vec<PartReceipt>) -> Result<u64> {
        let size = self.get()?.complete(&receipts).await?;
        self.0 = None;
        Ok(size)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let (Some(parts), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move { parts.give_up().await });
        }
    }
}

/// An upload in parts that its caller puts.
#[derive(Debug)]
pub(crate) struct ProxyUpload(pub(crate) InParts);

impl ProxyUpload {
    fn named(&self, operation: &'static str) -> impl Fn(Error) -> Error {
        let path = self.0.path.clone();
        move |error| error.with_operation(operation).with_path(&path)
    }
}

#[async_trait]
impl Upload for ProxyUpload {
    fn path(&self) -> &ArtifactPath {
        &self.0.path
    }

    fn part_size(&self) -> u64 {
        self.0.part_size
    }

    fn token(&self) -> Option<UploadToken> {
        None
    }

    async fn put_part(&self, number: u32, data: Bytes) -> Result<PartReceipt> {
        self.0.put_part(number, data).await.map_err(self.named("put_part"))
    }

    async fn complete(self: Box<Self>, parts: Vec<PartReceipt>) -> Result<PutOutcome> {
        let size = self.0.settle(&parts).await.map_err(self.named("complete"))?;
        Ok(PutOutcome { size, etag: None, digest: None })
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.0.give_up().await.map_err(self.named("abort"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(content: &[usize], size: usize) -> Vec<(u32, usize)> {
        let content: Vec<_> = content.iter().map(|length| Ok(Bytes::from(vec![7; *length]))).collect();
        let pieces = in_pieces(stream::iter(content).boxed(), size);
        let pieces: Result<Vec<_>> = futures_util::FutureExt::now_or_never(pieces.try_collect()).unwrap();
        pieces.unwrap().into_iter().map(|(number, piece)| (number, piece.len())).collect()
    }

    #[test]
    fn content_is_cut_into_full_pieces_and_a_last_one() {
        assert_eq!(pieces(&[], 4), [(1, 0)]);
        assert_eq!(pieces(&[0, 3], 4), [(1, 3)]);
        assert_eq!(pieces(&[1, 3], 4), [(1, 4)]);
        assert_eq!(pieces(&[5], 4), [(1, 4), (2, 1)]);
        assert_eq!(pieces(&[3, 0, 3, 2], 4), [(1, 4), (2, 4)]);
        assert_eq!(pieces(&[13], 4), [(1, 4), (2, 4), (3, 4), (4, 1)]);
    }

    #[tokio::test]
    async fn content_that_breaks_off_has_no_last_piece() {
        let broken = Err(Error::new(ErrorKind::Connection, "gone"));
        let content = stream::iter([Ok(Bytes::from_static(b"12345")), broken]).boxed();
        let mut pieces = in_pieces(content, 4);
        assert_eq!(pieces.try_next().await.unwrap().unwrap(), (1, Bytes::from_static(b"1234")));
        assert_eq!(pieces.try_next().await.unwrap_err().kind(), ErrorKind::Connection);
    }
}
