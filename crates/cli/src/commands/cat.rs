//! `cat`: a file to standard output, chunk by chunk.

use std::ffi::OsStr;
use std::io::Write as _;

use futures_util::TryStreamExt as _;
use mlflow_artifacts::{Error, ErrorKind, GetOptions};

use crate::exit::Failure;
use crate::location::Location;
use crate::session::Session;

pub(crate) async fn run(session: &Session, location: &OsStr) -> Result<(), Failure> {
    let place = Location::parse(location)?.place(session, None)?;
    let in_context = |error: Error| match error.kind() {
        ErrorKind::IsADirectory => error.with_help("name a file in it; ls lists them"),
        _ => error,
    };
    let download = place.store.get(&place.path, GetOptions::default()).await;
    let mut stream = place.named(download).map_err(in_context)?.stream;
    // Chunks are large: a buffer would only copy them once more.
    let mut output = std::io::stdout().lock();
    while let Some(chunk) = place.named(stream.try_next().await)? {
        output.write_all(&chunk)?;
    }
    Ok(output.flush()?)
}
