//! Content for tests: bytes that look random, and streams that misbehave on purpose.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use bytes::Bytes;
use futures_util::{StreamExt as _, future, stream};
use mlflow_artifacts_core::{ByteStream, Error, ErrorKind, Observer, Result};
use tokio::sync::oneshot;

/// `length` bytes that look random. The same `seed` gives the same bytes on every machine and in every version;
/// a shorter answer is a prefix of a longer one.
///
/// ```
/// use mlflow_artifacts_testkit::bodies::random_bytes;
/// assert_eq!(random_bytes(1, 5), random_bytes(1, 9)[..5]);
/// assert_ne!(random_bytes(1, 9), random_bytes(2, 9));
/// ```
pub fn random_bytes(seed: u64, length: usize) -> Bytes {
    // SplitMix64: the state is a counter, so that the bytes depend on nothing but the seed.
    let mut state = seed.wrapping_mul(0xd134_2543_de82_ef95);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// `content` in chunks of `size` bytes, the last one shorter.
pub fn chunked(content: &Bytes, size: usize) -> ByteStream {
    stream::iter(chunks(content, size)).boxed()
}

/// As [`chunked`], but not ready on every other poll: whoever reads it is interrupted between the chunks.
pub fn hesitant(content: &Bytes, size: usize) -> ByteStream {
    let mut chunks = chunks(content, size).into_iter();
    let mut ready = false;
    stream::poll_fn(move |context| {
        ready = !ready;
        if ready {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(chunks.next())
    })
    .boxed()
}

/// All of `content` in chunks of `size` bytes, then an error of `kind`.
pub fn failing(content: &Bytes, size: usize, kind: ErrorKind) -> ByteStream {
    let failure = stream::once(async move { Err(Error::new(kind, "the stream fails on purpose")) });
    chunked(content, size).chain(failure).boxed()
}

/// The same chunk of `size` bytes for ever. It is always ready: only for a reader that stops by itself.
pub fn endless(size: usize) -> ByteStream {
    let chunk = random_bytes(0, size);
    stream::repeat_with(move || Ok(chunk.clone())).boxed()
}

/// `before`, then nothing until [`Pause::resume`], then `after`. It stays paused for ever if the pause is dropped.
pub fn paused(before: &Bytes, after: &Bytes, size: usize) -> (ByteStream, Pause) {
    let (tell, reached) = oneshot::channel();
    let (open, opened) = oneshot::channel();
    let gate = async move {
        // Nobody may be waiting for the pause.
        let _ = tell.send(());
        if opened.await.is_err() {
            future::pending::<()>().await;
        }
        stream::empty()
    };
    let stream = chunked(before, size).chain(stream::once(gate).flatten()).chain(chunked(after, size));
    (stream.boxed(), Pause { reached: Some(reached), open })
}

/// The pause in a stream made by [`paused`].
#[derive(Debug)]
pub struct Pause {
    reached: Option<oneshot::Receiver<()>>,
    open: oneshot::Sender<()>,
}

impl Pause {
    /// Waits until everything before the pause was read. Panics when the stream was dropped before.
    pub async fn reached(&mut self) {
        if let Some(reached) = self.reached.take() {
            reached.await.expect("the stream is read up to the pause");
        }
    }

    /// Lets the rest come.
    pub fn resume(self) {
        // The reader may be gone.
        let _ = self.open.send(());
    }
}

/// Counts the bytes it sees, and stops the operation at a given count.
#[derive(Debug)]
pub struct Counter {
    seen: AtomicU64,
    stop_at: u64,
}

impl Counter {
    /// Counts and never stops.
    pub fn new() -> Arc<Self> {
        Self::stopping_at(u64::MAX)
    }

    /// Stops the operation as soon as `bytes` bytes were seen.
    pub fn stopping_at(bytes: u64) -> Arc<Self> {
        Arc::new(Counter { seen: AtomicU64::new(0), stop_at: bytes })
    }

    /// Bytes seen so far.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }
}

impl Observer for Counter {
    fn advance(&self, bytes: u64) -> ControlFlow<()> {
        let seen = self.seen.fetch_add(bytes, Ordering::SeqCst) + bytes;
        if seen >= self.stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn chunks(content: &Bytes, size: usize) -> Vec<Result<Bytes>> {
    let ends = (0..content.len()).step_by(size.max(1));
    ends.map(|start| Ok(content.slice(start..content.len().min(start + size)))).collect()
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, TryStreamExt as _};

    use super::*;

    fn read(stream: ByteStream) -> Option<Result<Vec<Bytes>>> {
        stream.try_collect().now_or_never()
    }

    #[test]
    fn streams_do_what_their_names_say() {
        let content = random_bytes(7, 10);
        let whole = read(chunked(&content, 4)).unwrap().unwrap();
        assert_eq!((whole.len(), whole.concat()), (3, content.to_vec()));
        assert_eq!(read(failing(&content, 4, ErrorKind::Io)).unwrap().unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(read(endless(3).take(2).boxed()).unwrap().unwrap().concat().len(), 6);
        let mut hesitant = hesitant(&content, 10);
        assert!(hesitant.next().now_or_never().is_none());
        assert!(hesitant.next().now_or_never().is_some());
    }

    #[test]
    fn a_pause_lasts_until_it_is_ended() {
        let (before, after) = (random_bytes(1, 3), random_bytes(2, 3));
        let (mut stream, mut pause) = paused(&before, &after, 10);
        assert_eq!(stream.next().now_or_never().unwrap().unwrap().unwrap(), before);
        assert!(stream.next().now_or_never().is_none());
        assert!(pause.reached().now_or_never().is_some());
        pause.resume();
        assert_eq!(stream.next().now_or_never().unwrap().unwrap().unwrap(), after);
        assert!(stream.next().now_or_never().unwrap().is_none());
    }
}
