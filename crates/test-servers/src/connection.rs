//! The accept loop, and connections that can be cut the hard way.

use std::error::Error;
use std::sync::Arc;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A connection as its requests see it: something that can be reset.
#[derive(Debug, Default)]
pub(crate) struct Connection(Notify);

impl Connection {
    /// Ends the connection with a TCP reset. Never returns: the request ends with its connection.
    pub(crate) async fn reset(&self) {
        self.0.notify_one();
        std::future::pending::<()>().await;
    }
}

/// Accepts connections until it is dropped with its runtime, and they with it.
pub(crate) async fn accept<S, A, B, E>(listener: TcpListener, service: S)
where
    S: Fn(Request<Incoming>, Arc<Connection>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    E: Into<Box<dyn Error + Send + Sync>> + 'static,
{
    loop {
        // It fails for a client that is gone already.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, service.clone()));
        }
    }
}

async fn serve<S, A, B, E>(stream: TcpStream, service: S)
where
    S: Fn(Request<Incoming>, Arc<Connection>) -> A,
    A: Future<Output = Result<Response<B>, E>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    // Answers must not wait for a delayed acknowledgement. It fails only for a connection that is gone.
    let _ = stream.set_nodelay(true);
    let connection = Arc::new(Connection::default());
    let requests = Arc::clone(&connection);
    let service = service_fn(move |request| service(request, Arc::clone(&requests)));
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None);
    let mut served = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // It ends with an error when the client goes away: nothing to tell anyone.
        _ = &mut served => {}
        () = connection.0.notified() => {
            // What is closed without waiting is reset. It fails only for a socket that is gone.
            let _ = served.into_parts().io.into_inner().set_zero_linger();
        }
    }
}
