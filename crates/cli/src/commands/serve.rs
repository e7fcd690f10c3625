//! `serve`: MLflow's artifact server.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mlflow_artifacts::{Error, ErrorKind, Result};
use mlflow_artifacts_server::Server;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::args::ServeArguments;
use crate::exit::Failure;
use crate::location::Location;
use crate::logging;
use crate::session::Session;

pub(crate) async fn run(session: &Session, arguments: &ServeArguments) -> Result<(), Failure> {
    logging::install(arguments.level())?;
    allow_many_files();
    let uri = Location::parse(arguments.destination.as_ref())?.uri()?;
    let store = session.open(&uri, None)?;
    let options = arguments.options()?;
    let is_asked = options.access.asks();
    let mut server = Server::new(store.clone(), options)?;
    if let Some((certificate, key)) = arguments.tls() {
        server = server.with_tls(certificate, key)?;
    }
    let listener = listen(arguments, is_asked).await?;
    let address = listener.local_addr().map_err(Error::from_io)?;
    let scheme = if arguments.tls().is_some() { "https" } else { "http" };
    session.note(format_args!("serving {} on {scheme}://{address}", store.info().root));
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let _stoppable = session.interrupt().stops(move || stopped.notify_one());
    server.serve(listener, stop.notified()).await;
    Ok(())
}

/// Listens where it is told to, unless anybody at all could then read and remove everything without having been asked who they are.
async fn listen(arguments: &ServeArguments, is_asked: bool) -> Result<TcpListener> {
    let (host, port) = (&arguments.host, arguments.port);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((bare, port)).await.map(Iterator::collect::<Vec<SocketAddr>>);
    let addresses = found.map_err(|error| {
        Error::new(ErrorKind::InvalidArgument, format!("the host {host:?} is not known: {error}"))
            .with_help("give an address or a name of this machine as --host")
    })?;
    let is_near = addresses.iter().all(|address| is_of_this_machine(address.ip()));
    if is_asked && !is_near && arguments.tls().is_none() {
        log::warn!(
            "credentials come over the network as they are: give --ssl-certfile, or a proxy that speaks TLS"
        );
    }
    if !(is_near || is_asked || arguments.allow_unauthenticated) {
        let message = format!("{host} can be reached from other machines, and nobody is asked who they are");
        return Err(Error::new(ErrorKind::InvalidArgument, message).with_help(
            "give --basic-auth-file, --token-file, --forward-auth or --gitlab, listen on 127.0.0.1 behind a proxy that asks, or give \
             --allow-unauthenticated where the network is trusted",
        ));
    }
    TcpListener::bind(&addresses[..]).await.map_err(|error| {
        let message = format!("cannot listen on {host}:{port}: {error}");
        Error::new(Error::from_io(error).kind(), message).with_help("choose another --port or --host")
    })
}

fn is_of_this_machine(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Every connection is a file, and so is everything that is being written: the usual limit, 1024, is meant for programs that do not know
/// better. Where it cannot be raised it stays.
fn allow_many_files() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}
