//! Bodies on their way through: as they come, and given up when nothing comes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep, timeout_at};

use crate::upstream::connection::Connection;

/// When a client's body last moved, and whether it broke off.
#[derive(Debug)]
pub(crate) struct Moved {
    begun: Instant,
    /// In milliseconds since then.
    last: AtomicU64,
    has_failed: AtomicBool,
}

impl Moved {
    pub(crate) fn new() -> Self {
        Moved { begun: Instant::now(), last: AtomicU64::new(0), has_failed: AtomicBool::new(false) }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    fn note(&self) {
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    /// Waits for an answer until nothing has moved for so long.
    pub(crate) async fn within<T>(
        &self,
        patience: Duration,
        answer: impl Future<Output = T>,
    ) -> Result<T, Duration> {
        let mut answer = std::pin::pin!(answer);
        loop {
            let end = self.begun + Duration::from_millis(self.last.load(Ordering::Relaxed)) + patience;
            if let Ok(answer) = timeout_at(end, &mut answer).await {
                return Ok(answer);
            }
            if self.begun + Duration::from_millis(self.last.load(Ordering::Relaxed)) + patience
                <= Instant::now()
            {
                return Err(patience);
            }
        }
    }
}

/// A body that is passed on piece by piece, without trailers (RFC 9110, section 6.5.1, lets them be discarded).
pub(crate) struct Passing<B> {
    body: B,
    patience: Duration,
    /// Since nothing has come although somebody waited for it.
    silence: Option<Pin<Box<Sleep>>>,
    whose: Whose,
}

enum Whose {
    Client(Arc<Moved>),
    /// The request, for the log; the connection lives as long as the answer.
    Server {
        _connection: Connection,
        what: String,
    },
}

impl Passing<Body> {
    /// What a client sends.
    pub(crate) fn of_client(body: Body, patience: Duration, moved: Arc<Moved>) -> Self {
        Passing { body, patience, silence: None, whose: Whose::Client(moved) }
    }
}

impl Passing<Incoming> {
    /// What the tracking server answers.
    pub(crate) fn of_server(
        body: Incoming,
        patience: Duration,
        connection: Connection,
        what: String,
    ) -> Self {
        Passing { body, patience, silence: None, whose: Whose::Server { _connection: connection, what } }
    }
}

impl<B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Unpin> HttpBody for Passing<B> {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let frame = match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => frame.map(|frame| frame.map_err(Into::into)),
            Poll::Pending => {
                let patience = this.patience;
                ready!(this.silence.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(context));
                Some(Err(format!("nothing came for {} s", patience.as_secs()).into()))
            }
        };
        this.silence = None;
        match &frame {
            Some(Ok(_)) => this.whose.has_moved(),
            Some(Err(error)) => this.whose.has_failed(error),
            None => (),
        }
        Poll::Ready(frame.filter(|frame| frame.as_ref().map_or(true, Frame::is_data)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Whose {
    fn has_moved(&self) {
        if let Whose::Client(moved) = self {
            moved.note();
        }
    }

    fn has_failed(&self, error: &axum::BoxError) {
        match self {
            Whose::Client(moved) => moved.has_failed.store(true, Ordering::Relaxed),
            Whose::Server { what, .. } => {
                log::error!("{what}: the tracking server's answer breaks off: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_waited_for_as_long_as_something_moves() {
        let patience = Duration::from_secs(10);
        let moved = Moved::new();
        let moving = async {
            for _ in 0..5 {
                sleep(Duration::from_secs(8)).await;
                moved.note();
            }
            sleep(Duration::from_secs(9)).await;
        };
        assert_eq!(moved.within(patience, moving).await, Ok(()));
        let begin = Instant::now();
        assert_eq!(moved.within(patience, std::future::pending::<()>()).await, Err(patience));
        assert!(begin.elapsed() <= patience);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_falls_silent_is_given_up_and_one_that_nobody_reads_is_not() {
        use futures_util::{StreamExt as _, stream};
        use http_body_util::BodyExt as _;
        let pieces = stream::iter([Ok::<_, axum::Error>(Bytes::from("piece")), Ok(Bytes::from("piece"))]);
        let body = Body::from_stream(pieces.chain(stream::pending()));
        let moved = Arc::new(Moved::new());
        let mut body = Passing::of_client(body, Duration::from_secs(10), Arc::clone(&moved));
        for _ in 0..2 {
            assert!(body.frame().await.unwrap().is_ok());
            sleep(Duration::from_mins(1)).await;
        }
        assert!(!moved.has_failed());
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "nothing came for 10 s");
        assert!(moved.has_failed());
    }
}
