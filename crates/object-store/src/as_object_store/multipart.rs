//! Uploads in parts that are named, over those of ours that can be taken up again.

use async_trait::async_trait;
use bytes::Bytes;
use mlflow_artifacts_core::{Capabilities, Error, ErrorKind, PartReceipt, Upload, UploadToken};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartId, PutMultipartOptions, PutPayload, PutResult, Result};

use super::{AsObjectStore, path_of, put_result};
use crate::error::to_object_store;

impl AsObjectStore {
    async fn resume(&self, location: &Path, id: &str) -> Result<Box<dyn Upload>, Error> {
        let upload = self.store.resume_upload(&UploadToken::new(id)).await?;
        if upload.path().as_str() == location.as_ref() {
            return Ok(upload);
        }
        let message = format!("this upload is one to {:?}", upload.path());
        Err(Error::new(ErrorKind::InvalidArgument, message).with_path(location))
    }

    async fn send_part(&self, location: &Path, id: &str, index: usize, data: Bytes) -> Result<PartId, Error> {
        let number = u32::try_from(index).ok().and_then(|index| index.checked_add(1));
        let number = number.ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "too many parts"))?;
        let PartReceipt { size, etag, .. } = self.resume(location, id).await?.put_part(number, data).await?;
        Ok(PartId { content_id: format!("{size}:{etag}") })
    }

    async fn complete(&self, location: &Path, id: &str, parts: Vec<PartId>) -> Result<PutResult, Error> {
        let upload = self.resume(location, id).await?;
        let mut receipts = receipts_of(parts)?;
        if receipts.is_empty() {
            // Not every store makes an empty artifact of no parts.
            receipts.push(upload.put_part(1, Bytes::new()).await?);
        }
        upload.complete(receipts).await.map(put_result)
    }
}

fn receipts_of(parts: Vec<PartId>) -> Result<Vec<PartReceipt>, Error> {
    let receipt = |(number, part): (u32, PartId)| {
        let (size, etag) = part.content_id.split_once(':')?;
        Some(PartReceipt { number, size: size.parse().ok()?, etag: etag.to_owned() })
    };
    let receipts: Option<Vec<_>> = (1..).zip(parts).map(receipt).collect();
    receipts.ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "this is no part of an upload here"))
}

/// For stores with [`Capabilities::RESUME_UPLOAD`]. All parts but the last must have the size of
/// [`with_part_size`](AsObjectStore::with_part_size), or the one that the store chooses: of an upload that is only known by its name
/// no bytes can be kept for the next part.
#[async_trait]
impl MultipartStore for AsObjectStore {
    async fn create_multipart(&self, location: &Path) -> Result<MultipartId> {
        self.create_multipart_opts(location, PutMultipartOptions::default()).await
    }

    async fn create_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<MultipartId> {
        let path = path_of(location)?;
        self.check_attributes("create_multipart_opts", &options.attributes)?;
        if !self.can(Capabilities::RESUME_UPLOAD) {
            return Err(self.refused("create_multipart"));
        }
        let begun = self.store.begin_upload(&path, self.upload_options()).await;
        let token = begun.map_err(|error| to_object_store(error, location))?.token();
        token.map(|token| token.as_str().to_owned()).ok_or_else(|| self.refused("create_multipart"))
    }

    async fn put_part(
        &self,
        location: &Path,
        id: &MultipartId,
        index: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        let sent = self.send_part(location, id, index, data.into()).await;
        sent.map_err(|error| to_object_store(error, location))
    }

    async fn complete_multipart(
        &self,
        location: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        let completed = self.complete(location, id, parts).await;
        completed.map_err(|error| to_object_store(error, location))
    }

    async fn abort_multipart(&self, location: &Path, id: &MultipartId) -> Result<()> {
        let aborted = async { self.resume(location, id).await?.abort().await };
        aborted.await.map_err(|error| to_object_store(error, location))
    }
}
