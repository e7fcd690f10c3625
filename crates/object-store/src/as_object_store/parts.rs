//! An upload of `object_store` over one in parts of ours, which all have the same size.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mlflow_artifacts_core::{Error, ErrorKind, PartReceipt, Upload};
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::put_result;
use crate::error::to_object_store;

/// An upload that takes parts of any size.
#[derive(Debug)]
pub(super) struct UploadInParts {
    location: Path,
    part_size: u64,
    /// `None` when it is over.
    sent: Option<Arc<Sent>>,
    /// The number of the next part of ours.
    next: u32,
    /// What does not make a whole part yet.
    rest: Rest,
    sending: Vec<Arc<Slot>>,
}

#[derive(Debug)]
struct Sent {
    upload: Box<dyn Upload>,
    receipts: Mutex<Vec<PartReceipt>>,
}

impl Sent {
    async fn send(&self, number: u32, part: Bytes) -> Result<(), Error> {
        let receipt = self.upload.put_part(number, part).await?;
        locked(&self.receipts).push(receipt);
        Ok(())
    }
}

impl UploadInParts {
    pub(super) fn new(upload: Box<dyn Upload>, location: &Path) -> Self {
        UploadInParts {
            location: location.clone(),
            part_size: upload.part_size(),
            sent: Some(Arc::new(Sent { upload, receipts: Mutex::default() })),
            next: 1,
            rest: Rest::default(),
            sending: Vec::new(),
        }
    }

    /// The upload with the receipts of its parts, in order. What is still being sent stops.
    fn end(&mut self) -> Option<(Box<dyn Upload>, Vec<PartReceipt>)> {
        for slot in self.sending.drain(..) {
            *slot.lock() = None;
        }
        let Sent { upload, receipts } = Arc::into_inner(self.sent.take()?)?;
        let mut receipts = receipts.into_inner().unwrap_or_else(PoisonError::into_inner);
        receipts.sort_unstable_by_key(|receipt| receipt.number);
        Some((upload, receipts))
    }

    async fn finish(&mut self) -> Result<PutResult, Error> {
        let sent = self.sent.as_ref().ok_or_else(is_over)?;
        let arrived = locked(&sent.receipts).len();
        let begun = self.next - 1;
        // Without this an artifact whose last part is missing would look whole.
        if arrived != begun as usize {
            let message = format!("{arrived} of {begun} parts have arrived");
            return Err(Error::new(ErrorKind::InvalidArgument, message).with_help("await every part first"));
        }
        // Not every store makes an empty artifact of no parts.
        if self.rest.size > 0 || begun == 0 {
            self.next += 1;
            sent.send(begun + 1, self.rest.take(self.rest.size)).await?;
        }
        let (upload, receipts) = self.end().ok_or_else(is_over)?;
        upload.complete(receipts).await.map(put_result)
    }
}

fn is_over() -> Error {
    Error::new(ErrorKind::InvalidArgument, "the upload is over")
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl MultipartUpload for UploadInParts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.sending.retain(|slot| Arc::strong_count(slot) > 1);
        let location = self.location.clone();
        let Some(sent) = self.sent.clone() else {
            return std::future::ready(Err(to_object_store(is_over(), &location))).boxed();
        };
        self.rest.put(data);
        let mut parts = Vec::new();
        while self.rest.size >= self.part_size {
            parts.push((self.next, self.rest.take(self.part_size)));
            self.next += 1;
        }
        let all = async move {
            for (number, part) in parts {
                sent.send(number, part).await.map_err(|error| to_object_store(error, &location))?;
            }
            Ok(())
        };
        let slot = Arc::new(Slot(Mutex::new(Some(all.boxed()))));
        self.sending.push(Arc::clone(&slot));
        Sending { slot, location: self.location.clone() }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let finished = self.finish().await;
        finished.map_err(|error| to_object_store(error, &self.location))
    }

    async fn abort(&mut self) -> Result<()> {
        let Some((upload, _)) = self.end() else { return Ok(()) };
        upload.abort().await.map_err(|error| to_object_store(error, &self.location))
    }
}

/// Nobody has its name, so that nobody could take it up again.
impl Drop for UploadInParts {
    fn drop(&mut self) {
        if let (Some((upload, _)), Ok(runtime)) = (self.end(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(upload.abort());
        }
    }
}

/// Where a part is kept that is being sent, so that it can be stopped while nobody polls it. `None` when it was sent or stopped.
struct Slot(Mutex<Option<BoxFuture<'static, Result<()>>>>);

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<BoxFuture<'static, Result<()>>>> {
        locked(&self.0)
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

/// A part that is being sent, for whoever awaits it.
struct Sending {
    slot: Arc<Slot>,
    location: Path,
}

impl Future for Sending {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let mut slot = self.slot.lock();
        let Some(send) = slot.as_mut() else {
            return Poll::Ready(Err(to_object_store(is_over(), &self.location)));
        };
        let polled = send.poll_unpin(context);
        if polled.is_ready() {
            *slot = None;
        }
        polled
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        // Under the lock: whoever ends the upload has it for himself afterwards.
        *self.slot.lock() = None;
    }
}

/// Bytes that wait for more.
#[derive(Debug, Default)]
struct Rest {
    chunks: VecDeque<Bytes>,
    size: u64,
}

impl Rest {
    fn put(&mut self, data: PutPayload) {
        self.size += data.content_length() as u64;
        self.chunks.extend(data);
    }

    /// The first `count` bytes, which must be there: copied only if they came in pieces.
    fn take(&mut self, count: u64) -> Bytes {
        self.size -= count;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if let Some(first) = self.chunks.front_mut().filter(|first| first.len() > count) {
            return first.split_to(count);
        }
        if self.chunks.front().is_some_and(|first| first.len() == count) {
            return self.chunks.pop_front().unwrap_or_default();
        }
        let mut whole = BytesMut::with_capacity(count);
        while let Some(mut chunk) = self.chunks.pop_front() {
            let missing = count - whole.len();
            if chunk.len() > missing {
                whole.extend_from_slice(&chunk.split_to(missing));
                self.chunks.push_front(chunk);
                break;
            }
            whole.extend_from_slice(&chunk);
        }
        whole.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_cut_and_joined_anywhere() {
        let content: Bytes = (0..=255).collect();
        for (chunk, part) in [(1, 7), (7, 1), (5, 5), (10, 3), (3, 10), (256, 100), (100, 256)] {
            let (mut rest, mut parts) = (Rest::default(), Vec::new());
            for at in (0..content.len()).step_by(chunk) {
                rest.put(content.slice(at..content.len().min(at + chunk)).into());
                while rest.size >= part {
                    parts.push(rest.take(part));
                }
            }
            assert!(parts.iter().all(|found| found.len() as u64 == part));
            parts.push(rest.take(rest.size));
            assert_eq!(parts.concat(), content, "chunks of {chunk}, parts of {part}");
        }
    }
}
