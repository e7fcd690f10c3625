//! Servers inside this process.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// A server on a runtime of its own: it is there for tests that have none, and outlives that of a test it is started in.
#[derive(Debug)]
pub(crate) struct Hosted {
    runtime: Option<Runtime>,
    address: SocketAddr,
}

impl Hosted {
    /// Hands `serve` a listener on a free port.
    pub(crate) fn start<F>(name: &str, serve: impl FnOnce(TcpListener) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let begin = || -> std::io::Result<Self> {
            let runtime =
                Builder::new_multi_thread().worker_threads(2).thread_name(name).enable_all().build()?;
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            let listener = {
                let _inside = runtime.enter();
                TcpListener::from_std(listener)?
            };
            runtime.spawn(serve(listener));
            Ok(Hosted { runtime: Some(runtime), address })
        };
        begin().unwrap_or_else(|error| panic!("{name} does not start: {error}"))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for its threads would panic in a test that is async.
            runtime.shutdown_background();
        }
    }
}
