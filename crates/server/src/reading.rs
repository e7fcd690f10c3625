//! How much is read of a connection at once.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::budget::Budget;

/// How much is read at once where few upload.
pub(crate) const MOST: usize = 128 << 10;

/// How much is read at once however many upload.
const LEAST: usize = 16 << 10;

/// What all of them together read at once. It is not counted as content before the store asks for it, and each connection then has read
/// the next piece: so this is there twice or so.
const TOGETHER: usize = 4 << 20;

/// A connection that reads less at once the more upload. What hyper reads into grows and shrinks with what comes.
pub(crate) struct Careful<S> {
    stream: S,
    budget: Budget,
}

impl<S> Careful<S> {
    pub(crate) fn new(stream: S, budget: Budget) -> Self {
        Careful { stream, budget }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Careful<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let most = (TOGETHER / self.budget.uploads().max(1)).clamp(LEAST, MOST);
        if buffer.remaining() <= most {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        let count = part.filled().len();
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Careful<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn the_more_upload_the_less_is_read_at_once() {
        static CONTENT: [u8; 2 * MOST] = [7; 2 * MOST];
        let budget = Budget::new(0);
        let at_once = |uploads: usize| {
            let _accounts: Vec<_> = (0..uploads).map(|_| budget.account()).collect();
            let mut bytes = vec![0; 2 * MOST];
            let mut buffer = ReadBuf::new(&mut bytes);
            let mut stream = Careful::new(&CONTENT[..], budget.clone());
            let mut context = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut stream).poll_read(&mut context, &mut buffer).is_ready());
            assert!(buffer.filled().iter().all(|byte| *byte == 7));
            buffer.filled().len()
        };
        assert_eq!([0, 1, 32, 64, 256, 1000].map(at_once), [MOST, MOST, MOST, MOST / 2, LEAST, LEAST]);
    }
}
