//! `ls`: entries as they come, so that a million of them need no memory.

use futures_util::TryStreamExt as _;
use mlflow_artifacts::ListOptions;

use crate::args::ListArguments;
use crate::exit::Failure;
use crate::location::Location;
use crate::output::Listing;
use crate::session::Session;

pub(crate) async fn run(session: &Session, arguments: &ListArguments) -> Result<(), Failure> {
    let location = Location::parse(&arguments.location)?;
    let found = location.place(session, None)?.stat().await?;
    let mut listing = Listing::new(arguments.json);
    if found.is_directory() {
        let directory = location.root(session, None)?;
        let mut entries =
            directory.store.list(&directory.path, ListOptions { recursive: arguments.recursive });
        while let Some(entry) = directory.named(entries.try_next().await)? {
            listing.write(&entry, entry.path.as_str())?;
        }
    } else {
        listing.write(&found, found.path.file_name().unwrap_or_default())?;
    }
    Ok(listing.finish()?)
}
