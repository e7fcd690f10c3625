//! Bodies on their way out: watched, so that a stalled one is noticed and one that breaks off says why.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use mlflow_artifacts_core::{ByteStream, Error, Result};
use reqwest::RequestBuilder;
use reqwest::header::CONTENT_LENGTH;
use tokio::time::{Instant, timeout_at};

use crate::Body;

/// How much of a body in memory is handed over at once.
const CHUNK: usize = 256 << 10;

/// Puts the body into the request. What is answered besides watches it; a request without one needs no watching.
pub(crate) fn prepare(builder: RequestBuilder, body: Body) -> (RequestBuilder, Option<Upload>) {
    let (stream, length) = match body {
        Body::None => return (builder, None),
        Body::Bytes(bytes) if bytes.len() <= CHUNK => {
            let upload = Upload::new();
            upload.0.is_sent.store(true, Ordering::Relaxed);
            return (builder.body(bytes), Some(upload));
        }
        Body::Bytes(bytes) => {
            let length = bytes.len() as u64;
            (cut(bytes), Some(length))
        }
        Body::Stream(stream, length) => (stream, length),
    };
    let upload = Upload::new();
    let body = reqwest::Body::wrap_stream(upload.watched(stream));
    let builder = match length {
        Some(length) => builder.header(CONTENT_LENGTH, length),
        None => builder,
    };
    (builder.body(body), Some(upload))
}

fn cut(bytes: Bytes) -> ByteStream {
    let chunks = (0..bytes.len()).step_by(CHUNK);
    stream::iter(chunks.map(move |at| Ok(bytes.slice(at..bytes.len().min(at + CHUNK))))).boxed()
}

/// What is known about a body that is being sent.
pub(crate) struct Upload(Arc<State>);

struct State {
    began: Instant,
    /// Milliseconds after that when the connection last took a piece.
    last: AtomicU64,
    is_sent: AtomicBool,
    error: Mutex<Option<Error>>,
}

impl Upload {
    fn new() -> Self {
        Upload(Arc::new(State {
            began: Instant::now(),
            last: AtomicU64::new(0),
            is_sent: AtomicBool::new(false),
            error: Mutex::new(None),
        }))
    }

    fn watched(
        &self,
        stream: ByteStream,
    ) -> impl futures_util::Stream<Item = Result<Bytes>> + Send + 'static {
        let state = Arc::clone(&self.0);
        let end = Arc::clone(&self.0);
        let pieces = stream.map(move |piece| {
            state.touch();
            piece.map_err(|error| state.keep(error))
        });
        pieces.chain(stream::poll_fn(move |_| {
            end.touch();
            end.is_sent.store(true, Ordering::Relaxed);
            std::task::Poll::Ready(None)
        }))
    }

    /// Awaits `send` as long as something moves: `idle` between two pieces, `commit` after the last. `None` if it did not.
    pub(crate) async fn watch<T>(
        &self,
        send: impl Future<Output = T>,
        idle: Duration,
        commit: Duration,
    ) -> Option<T> {
        let mut send = pin!(send);
        loop {
            let deadline = self.0.deadline(idle, commit);
            match timeout_at(deadline, &mut send).await {
                Ok(answer) => return Some(answer),
                Err(_) if self.0.deadline(idle, commit) <= Instant::now() => return None,
                Err(_) => {}
            }
        }
    }

    /// What broke the body off.
    pub(crate) fn error(&self) -> Option<Error> {
        self.0.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl State {
    fn touch(&self) {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(elapsed, Ordering::Relaxed);
    }

    fn deadline(&self, idle: Duration, commit: Duration) -> Instant {
        let patience = if self.is_sent.load(Ordering::Relaxed) { commit } else { idle };
        self.began + Duration::from_millis(self.last.load(Ordering::Relaxed)) + patience
    }

    /// Keeps the error for the caller; the transport gets one that stands for it.
    fn keep(&self, error: Error) -> Error {
        let stand_in = Error::new(error.kind(), "the body broke off");
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        stand_in
    }
}
