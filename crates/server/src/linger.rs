//! The rest of a body that is not wanted.
//!
//! Most clients read an answer only when they have sent everything, and a connection that is closed with unread bytes takes the answer with
//! it. So what a refused client still sends is taken for a while and thrown away (as nginx lingers).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};

/// How long the rest is taken, and how long a pause in it may be.
const LINGER: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Gives a request a body whose rest is taken when it is dropped.
pub(crate) async fn lingering(request: Request) -> Request {
    request.map(|body| if body.is_end_stream() { body } else { Body::new(Lingering(body)) })
}

struct Lingering(Body);

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if let (false, Ok(runtime)) = (self.0.is_end_stream(), Handle::try_current()) {
            runtime.spawn(discard(std::mem::take(&mut self.0)));
        }
    }
}

async fn discard(mut body: Body) {
    let end = Instant::now() + LINGER;
    while let Ok(Ok(Some(Ok(_)))) = timeout_at(end, timeout(LONGEST_PAUSE, body.frame())).await {}
}
