//! `rm`: a file, or a directory with everything in it.

use std::ffi::OsStr;

use mlflow_artifacts::{DeleteOptions, Deleted, Error, ErrorKind};

use crate::exit::Failure;
use crate::location::Location;
use crate::session::Session;

pub(crate) async fn run(session: &Session, location: &OsStr, recursive: bool) -> Result<(), Failure> {
    let location = Location::parse(location)?;
    refuse_nameless_directory(&location)?;
    let place = location.place(session, None)?;
    let in_context = |error: Error| match error.kind() {
        ErrorKind::IsADirectory => error.with_help("use -r to remove it with everything in it"),
        _ => error,
    };
    let deleted = place.store.delete(&place.path, DeleteOptions { recursive }).await;
    match place.named(deleted).map_err(in_context)? {
        Deleted::Removed => {}
        Deleted::Absent => session.note(format_args!("{location}: nothing there")),
        Deleted::Kept => {
            session
                .note(format_args!("{location}: kept, because this store is configured to delete nothing"));
        }
    }
    Ok(())
}

/// `/`, `.` and `..` are never what somebody means to remove.
fn refuse_nameless_directory(location: &Location) -> Result<(), Error> {
    match location.local_path() {
        Some(_) if location.name()?.is_none() => {
            Err(Error::new(ErrorKind::InvalidArgument, "this directory is not removed")
                .with_path(location)
                .with_help("name what is to be removed by its own name"))
        }
        _ => Ok(()),
    }
}
