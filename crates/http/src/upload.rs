//! Bodies on their way out: watched, so that a stalled one is noticed and one that breaks off says why.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
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
        // There is nothing that the server would have to store. That it is empty is said (RFC 9110, section 8.6).
        Body::Bytes(bytes) if bytes.is_empty() => {
            return (builder.header(CONTENT_LENGTH, 0).body(bytes), None);
        }
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
    // Of no bytes none is asked for.
    upload.0.is_sent.store(length == Some(0), Ordering::Relaxed);
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
    /// The source has nothing to give: that is no silence of the server.
    is_starved: AtomicBool,
    error: Mutex<Option<Error>>,
}

impl Upload {
    fn new() -> Self {
        Upload(Arc::new(State {
            began: Instant::now(),
            last: AtomicU64::new(0),
            is_sent: AtomicBool::new(false),
            is_starved: AtomicBool::new(false),
            error: Mutex::new(None),
        }))
    }

    fn watched(
        &self,
        stream: ByteStream,
    ) -> impl futures_util::Stream<Item = Result<Bytes>> + Send + 'static {
        let (state, ended) = (Arc::clone(&self.0), Arc::clone(&self.0));
        // The transport asks for no more once it has as many bytes as were announced. The last piece waits until the stream
        // has ended well, so that what is only found at its end still breaks the request off.
        let pieces = stream::try_unfold(Some((stream, None)), move |rest| {
            let ended = Arc::clone(&ended);
            async move {
                let Some((mut stream, mut held)) = rest else { return Ok(None) };
                while let Some(next) = ended.starving(stream.try_next()).await? {
                    if let Some(piece) = held.replace(next) {
                        return Ok(Some((piece, Some((stream, held)))));
                    }
                }
                ended.is_sent.store(true, Ordering::Relaxed);
                Ok(held.map(|last| (last, None)))
            }
        });
        pieces.map(move |piece| {
            state.touch();
            piece.map_err(|error| state.keep(error))
        })
    }

    /// Awaits `send` as long as something moves: `idle` between two pieces, `commit` after the last. Fails with the one of
    /// them that passed.
    pub(crate) async fn watch<T>(
        &self,
        send: impl Future<Output = T>,
        idle: Duration,
        commit: Duration,
    ) -> Result<T, Duration> {
        let mut send = pin!(send);
        loop {
            // The body may end meanwhile, and the other patience count.
            let (deadline, _) = self.0.deadline(idle, commit);
            let deadline = deadline.min(Instant::now() + idle.min(commit));
            if let Ok(answer) = timeout_at(deadline, &mut send).await {
                return Ok(answer);
            }
            let (deadline, patience) = self.0.deadline(idle, commit);
            if deadline <= Instant::now() {
                return Err(patience);
            }
        }
    }

    /// What broke the body off.
    pub(crate) fn error(&self) -> Option<Error> {
        self.0.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl State {
    /// Awaits the source, whose slowness is its own affair.
    async fn starving<T>(&self, next: impl Future<Output = T>) -> T {
        self.is_starved.store(true, Ordering::Relaxed);
        let next = next.await;
        self.touch();
        self.is_starved.store(false, Ordering::Relaxed);
        next
    }

    fn touch(&self) {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(elapsed, Ordering::Relaxed);
    }

    /// When, and after how much silence.
    fn deadline(&self, idle: Duration, commit: Duration) -> (Instant, Duration) {
        let patience = if self.is_sent.load(Ordering::Relaxed) { commit } else { idle };
        let is_starved = self.is_starved.load(Ordering::Relaxed);
        let last = self.began + Duration::from_millis(self.last.load(Ordering::Relaxed));
        (if is_starved { Instant::now() } else { last } + patience, patience)
    }

    /// Keeps the error for the caller; the transport gets one that stands for it.
    fn keep(&self, error: Error) -> Error {
        let stand_in = Error::new(error.kind(), "the body broke off");
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        stand_in
    }
}
