//! `health`: whether a server on this machine serves.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use mlflow_artifacts::{Error, ErrorKind};

use crate::args::HealthArguments;
use crate::exit::Failure;

/// How long connecting, asking and each read may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than the head of the answer has.
const HEAD: u64 = 8 << 10;

pub(crate) fn run(arguments: &HealthArguments) -> Result<(), Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
    let path = format!("{}/health", arguments.static_prefix);
    let failed = |kind, what: String| {
        Error::new(kind, format!("{address} {what}")).with_help("look at the server's log, and at --port")
    };
    let answer = ask(address, &path)
        .map_err(|error| failed(ErrorKind::Unavailable, format!("does not answer: {error}")))?;
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    let first = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    Err(failed(ErrorKind::Unavailable, format!("answers {first:.100?} to GET {path}")).into())
}

fn ask(address: SocketAddr, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(HEAD).read_to_end(&mut answer)?;
    Ok(answer)
}
