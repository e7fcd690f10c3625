//! The accept loop, and connections that can be cut the hard way.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::counters::Tally;

/// A connection as its requests see it: something that can be reset.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    reset: AtomicBool,
    cut: Notify,
}

impl Connection {
    /// Ends the connection with a TCP reset. Never returns: the request ends with its connection.
    pub(crate) async fn reset(&self) {
        self.reset.store(true, Ordering::SeqCst);
        self.cut.notify_one();
        std::future::pending::<()>().await;
    }
}

/// Accepts connections until it is dropped, and they with it.
pub(crate) async fn accept(listener: TcpListener, router: Router, tally: Arc<Tally>, delay: Duration) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                tally.edit().connections += 1;
                connections.spawn(serve(stream, router.clone(), delay));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, router: Router, delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    // Answers must not wait for a delayed acknowledgement. It fails only for a connection that is gone.
    let _ = stream.set_nodelay(true);
    let connection = Arc::new(Connection::default());
    let socket = Socket { stream, connection: Arc::clone(&connection) };
    let requests = Arc::clone(&connection);
    let service = service_fn(move |request| call(router.clone(), Arc::clone(&requests), request));
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None);
    tokio::select! {
        // It ends with an error when the client goes away: nothing to tell anyone.
        _ = builder.serve_connection(TokioIo::new(socket), service) => {}
        () = connection.cut.notified() => {}
    }
}

async fn call(
    router: Router,
    connection: Arc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    request.extensions_mut().insert(connection);
    hyper::service::Service::call(&hyper_util::service::TowerToHyperService::new(router), request).await
}

/// A stream that is closed with a reset when its connection asks for it.
struct Socket {
    stream: TcpStream,
    connection: Arc<Connection>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.connection.reset.load(Ordering::SeqCst) {
            // It fails only for a socket that is gone.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}
