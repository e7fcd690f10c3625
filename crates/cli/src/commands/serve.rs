//! `serve`: MLflow's artifact server.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mlflow_artifacts::{ArtifactPath, Error, ErrorKind, Result, SharedStore};
use mlflow_artifacts_server::{AccessLog, LineWriter, Server};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::args::ServeArguments;
use crate::exit::Failure;
use crate::location::Location;
use crate::logging;
use crate::notify::notify;
use crate::session::Session;

/// How long a directory is waited for at the start: a server of files may be away.
const LOOK: Duration = Duration::from_secs(5);

/// How long the last lines may take to be written when the server has stopped.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How many free bytes at the end of its heap the allocator keeps, at least.
const KEPT_FREE: usize = 8 << 20;

pub(crate) async fn run(session: &Session, arguments: &ServeArguments) -> Result<(), Failure> {
    logging::install(arguments.level())?;
    let served = serve(session, arguments).await;
    log::logger().flush();
    served
}

async fn serve(session: &Session, arguments: &ServeArguments) -> Result<(), Failure> {
    allow_many_files();
    keep_free_memory();
    let uri = Location::parse(arguments.destination.as_ref())?.uri()?;
    let store = session.open(&uri, None)?;
    check_directory(&store).await?;
    let options = arguments.options()?;
    let is_asked = options.access.asks();
    let mut server = Server::new(store.clone(), options)?;
    if let Some((certificate, key)) = arguments.tls() {
        server = server.with_tls(certificate, key)?;
    }
    let lines = LineWriter::new("the access log", io::stdout())?;
    if let Some(format) = arguments.access_log() {
        server = server.with_access_log(AccessLog::new(format, lines.clone()));
    }
    let listener = listen(arguments, is_asked).await?;
    let address = listener.local_addr().map_err(Error::from_io)?;
    if let Some(address) = arguments.metrics_listen {
        let listener = listen_for_metrics(session, address).await?;
        let (counted, metrics) = server.with_metrics();
        server = counted;
        tokio::spawn(metrics.serve(listener));
    }
    let scheme = if arguments.tls().is_some() { "https" } else { "http" };
    session.note(format_args!("serving {} on {scheme}://{address}", store.info().root));
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let _stoppable = session.interrupt().stops(move || stopped.notify_one());
    notify("READY=1");
    let told = async {
        stop.notified().await;
        notify("STOPPING=1");
    };
    server.serve(listener, told).await;
    lines.flush(LAST_LINES);
    Ok(())
}

async fn listen_for_metrics(session: &Session, address: SocketAddr) -> Result<TcpListener> {
    let listening =
        TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = listening.map_err(|error| {
        let message = format!("cannot listen on {address} for metrics: {error}");
        Error::new(Error::from_io(error).kind(), message).with_help("choose another --metrics-listen")
    })?;
    session.note(format_args!("metrics are on http://{address}/metrics"));
    Ok(listener)
}

/// Fails for a place on this machine that cannot be a directory. Other stores may come back.
async fn check_directory(store: &SharedStore) -> Result<()> {
    if store.info().scheme != "file" {
        return Ok(());
    }
    match timeout(LOOK, store.stat(&ArtifactPath::root())).await {
        Ok(Err(error)) if error.kind() == ErrorKind::NotADirectory => {
            Err(Error::new(ErrorKind::InvalidConfig, error.message())
                .with_help("choose another --artifacts-destination"))
        }
        _ => Ok(()),
    }
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

/// Content passes in buffers that come and go by the thousand. GNU's allocator gives its heap's end back to the system when more of it is
/// free than twice the largest mapping that was ever freed, and gets it again at once, page by page: half of an upload's CPU time. So a
/// larger one is freed (mallopt(3), `M_MMAP_THRESHOLD` and `M_TRIM_THRESHOLD`). It costs nothing: none of its pages is touched.
fn keep_free_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT_FREE / 2)));
}
