//! An upload of `object_store` over one `put` of ours, whose content comes through a queue.
//!
//! What is in the queue the caller has handed over already: it is no more than the parts that he does not await.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::future::{BoxFuture, Shared};
use futures_util::{FutureExt as _, StreamExt as _, TryFutureExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactPath, ByteStream, Error, ErrorKind, PutBody, PutOptions, PutOutcome, SharedStore,
};
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use tokio::sync::{mpsc, oneshot};

use super::put_result;
use crate::error::{alike, to_object_store};
use crate::upload::joined;

/// An upload as one stream.
#[derive(Debug)]
pub(super) struct StreamedUpload {
    location: Path,
    /// `None` when it is over. If it closes without [`Piece::End`] nothing is written.
    queue: Option<mpsc::UnboundedSender<Piece>>,
    put: Put,
}

/// The end of the `put`, for all who wait for it.
type Put = Shared<BoxFuture<'static, Result<PutOutcome, Failure>>>;

enum Piece {
    /// Bytes, and whom to tell that the store has taken them.
    Part(PutPayload, oneshot::Sender<()>),
    End,
}

/// What a `put` failed with. The first who asks is told everything, the others what can be told again.
#[derive(Clone)]
struct Failure(Arc<Mutex<Error>>);

impl Failure {
    fn new(error: Error) -> Self {
        Failure(Arc::new(Mutex::new(error)))
    }

    fn told(self, location: &Path) -> object_store::Error {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let again = alike(&kept);
        to_object_store(std::mem::replace(&mut *kept, again), location)
    }
}

impl StreamedUpload {
    pub(super) fn begin(store: &SharedStore, path: ArtifactPath, location: &Path) -> Result<Self, Error> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|error| {
            let message = "this store takes an upload in parts only inside a tokio runtime";
            Error::new(ErrorKind::InvalidArgument, message).with_path(&path).with_source(error)
        })?;
        let (queue, pieces) = mpsc::unbounded_channel();
        let (store, body) = (Arc::clone(store), PutBody::Stream { stream: content(pieces), length: None });
        let put = runtime.spawn(async move { store.put(&path, body, PutOptions::default()).await });
        let put = put.map(joined).map_err(Failure::new).boxed().shared();
        Ok(StreamedUpload { location: location.clone(), queue: Some(queue), put })
    }
}

/// The content of the parts, in order. It ends with an error if nobody says that it is whole.
fn content(pieces: mpsc::UnboundedReceiver<Piece>) -> ByteStream {
    let parts = stream::unfold(Some(pieces), async |pieces| {
        let mut pieces = pieces?;
        match pieces.recv().await {
            Some(Piece::Part(data, taken)) => {
                let chunks = stream::iter(data).filter(|chunk| std::future::ready(!chunk.is_empty())).map(Ok);
                // Asked for what comes after it, the store has taken it. That the caller may no longer wait is no matter.
                let end =
                    stream::once(async { taken.send(()).ok() }).filter_map(|_| std::future::ready(None));
                Some((chunks.chain(end).boxed(), Some(pieces)))
            }
            Some(Piece::End) => None,
            None => Some((stream::once(async { Err(Error::cancelled()) }).boxed(), None)),
        }
    });
    parts.flatten().boxed()
}

#[async_trait]
impl MultipartUpload for StreamedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (taken, is_taken) = oneshot::channel();
        // If nobody takes it any more, that is told below.
        if let Some(queue) = &self.queue {
            let _ = queue.send(Piece::Part(data, taken));
        }
        let (put, location, is_over) = (self.put.clone(), self.location.clone(), self.queue.is_none());
        let told = async move {
            if is_taken.await.is_ok() {
                return Ok(());
            }
            match put.await {
                Err(failure) if !is_over => Err(failure.told(&location)),
                _ => {
                    let error = Error::new(ErrorKind::InvalidArgument, "the upload is over");
                    Err(to_object_store(error, &location))
                }
            }
        };
        told.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if let Some(queue) = self.queue.take() {
            // If nobody takes it any more, that is told below.
            let _ = queue.send(Piece::End);
        }
        let put = self.put.clone().await;
        put.map(put_result).map_err(|failure| failure.told(&self.location))
    }

    async fn abort(&mut self) -> Result<()> {
        self.queue = None;
        // It fails, and has cleaned up when it has.
        let _ = self.put.clone().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn part(text: &'static str) -> (Piece, oneshot::Receiver<()>) {
        let (taken, is_taken) = oneshot::channel();
        (Piece::Part(text.into(), taken), is_taken)
    }

    #[tokio::test]
    async fn a_part_is_taken_when_what_follows_is_asked_for() {
        let (queue, pieces) = mpsc::unbounded_channel();
        let mut content = content(pieces);
        let ((first, mut first_taken), (second, mut second_taken)) = (part("first"), part("second"));
        queue.send(first).ok().unwrap();
        queue.send(second).ok().unwrap();
        assert_eq!(content.next().await.unwrap().unwrap(), Bytes::from("first"));
        assert!(first_taken.try_recv().is_err());
        assert_eq!(content.next().await.unwrap().unwrap(), Bytes::from("second"));
        assert!(first_taken.try_recv().is_ok());
        assert!(second_taken.try_recv().is_err());
        queue.send(Piece::End).ok().unwrap();
        assert!(content.next().await.is_none());
        assert!(second_taken.try_recv().is_ok());
    }

    #[tokio::test]
    async fn content_that_nobody_ends_is_not_whole() {
        let (queue, pieces) = mpsc::unbounded_channel();
        let mut content = content(pieces);
        queue.send(part("first").0).ok().unwrap();
        drop(queue);
        assert!(content.next().await.unwrap().is_ok());
        assert_eq!(content.next().await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(content.next().await.is_none());
    }
}
