//! `cp`: files and trees to, from and between stores.
//!
//! Which way the engine is asked depends on how the two sides are written: a local source is uploaded, so that MLflow's
//! rules for local trees apply; a store's content is downloaded to a local path or copied to another store.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::HumanBytes;
use mlflow_artifacts::{Error, ErrorKind, Result, Transfer, TransferOptions, TreeReport};

use crate::args::CopyArguments;
use crate::exit::{Exit, Failure};
use crate::location::{Location, Place, in_one_store};
use crate::output;
use crate::session::Session;

pub(crate) async fn run(session: &Session, arguments: &CopyArguments) -> Result<(), Failure> {
    let copy = Copy {
        session,
        source: Location::parse(&arguments.source)?,
        target: Location::parse(&arguments.target)?,
        options: arguments.transfer_options(),
    };
    copy.refuse_local_properties()?;
    if !arguments.recursive {
        return Ok(copy.file().await?);
    }
    let start = Instant::now();
    let report = copy.tree().await?;
    summarize(session, &report, start)
}

struct Copy<'a> {
    session: &'a Session,
    source: Location,
    target: Location,
    options: TransferOptions,
}

impl Copy<'_> {
    /// What is downloaded keeps no properties.
    fn refuse_local_properties(&self) -> Result<()> {
        match &self.target {
            Location::Local(_) if !self.options.properties.is_empty() => {
                Err(Error::new(ErrorKind::InvalidArgument, "a local path keeps no properties")
                    .with_operation("copy")
                    .with_path(&self.target)
                    .with_help("leave --property out, or name a store that keeps them"))
            }
            _ => Ok(()),
        }
    }

    async fn file(&self) -> Result<()> {
        match (&self.source, &self.target) {
            (Location::Local(source), _) => {
                check_kind(find_local(source)?.is_dir(), false, &self.source)?;
                let target = self.target.file_place(self.session, local_name(source)?, None).await?;
                let transfer = self.transfer_to(&target, &target)?;
                let upload = transfer.upload_file(source, &target.path);
                target.named_unless_about(source, self.session.watch(&transfer, upload).await)?;
            }
            (Location::Stored(_), Location::Local(target)) => {
                let source = self.stored_source(false).await?;
                let target = self.local_target(target)?;
                let transfer = self.transfer(&source);
                let download = transfer.download_file(&source.path, &target);
                self.session.watch(&transfer, download).await?;
            }
            (Location::Stored(_), Location::Stored(_)) => {
                let source = self.stored_source(false).await?;
                let name = self.source_name()?;
                let target = self.target.file_place(self.session, &name, Some(&self.source)).await?;
                let (source, target) = in_one_store(self.session, source, target);
                let transfer = self.transfer_to(&target, &source)?;
                let copy = transfer.copy_file(&source.path, &target.store, &target.path);
                self.session.watch(&transfer, copy).await?;
            }
        }
        Ok(())
    }

    async fn tree(&self) -> Result<TreeReport> {
        match (&self.source, &self.target) {
            (Location::Local(source), _) => {
                check_kind(!find_local(source)?.is_dir(), true, &self.source)?;
                let target = self.target.root(self.session, None)?;
                let transfer = self.transfer_to(&target, &target)?;
                let upload = transfer.upload_tree(source, &target.path);
                target.named_unless_about(source, self.session.watch(&transfer, upload).await)
            }
            (Location::Stored(_), Location::Local(target)) => {
                let source = self.stored_source(true).await?;
                let transfer = self.transfer(&source);
                let download = transfer.download_tree(&source.path, target);
                self.session.watch(&transfer, download).await
            }
            (Location::Stored(_), Location::Stored(_)) => {
                let source = self.stored_source(true).await?;
                let target = self.target.root(self.session, Some(&self.source))?;
                let (source, target) = in_one_store(self.session, source, target);
                let transfer = self.transfer_to(&target, &source)?;
                let copy = transfer.copy_tree(&source.path, &target.store, &target.path);
                self.session.watch(&transfer, copy).await
            }
        }
    }

    /// A transfer that works with `place`, and writes to `target`, which is to keep the properties.
    fn transfer_to(&self, target: &Place, place: &Place) -> Result<Transfer> {
        target.check_properties(&self.options.properties)?;
        Ok(self.transfer(place))
    }

    fn transfer(&self, place: &Place) -> Transfer {
        Transfer::with_options(place.store.clone(), self.options.clone())
    }

    /// The source in its store, seen to be what is to be copied.
    async fn stored_source(&self, tree: bool) -> Result<Place> {
        let other = matches!(self.target, Location::Stored(_)).then_some(&self.target);
        let place = self.source.place(self.session, other)?;
        let is_directory = place.stat().await?.is_directory();
        check_kind(is_directory != tree, tree, &self.source)?;
        if tree { self.source.root(self.session, other) } else { Ok(place) }
    }

    fn source_name(&self) -> Result<String> {
        let root = || Error::new(ErrorKind::IsADirectory, "the root of a store is a directory");
        self.source.name()?.ok_or_else(root)
    }

    fn local_target(&self, target: &Path) -> Result<PathBuf> {
        if self.target.ends_in_slash() || target.is_dir() {
            return Ok(target.join(self.source_name()?));
        }
        Ok(target.to_owned())
    }
}

/// Fails if the source `is_other` than what is copied, a tree or a file, and says what to do.
fn check_kind(is_other: bool, tree: bool, source: &Location) -> Result<()> {
    if !is_other {
        return Ok(());
    }
    let error = if tree {
        Error::new(ErrorKind::NotADirectory, "this is a file").with_help("leave -r out to copy a file")
    } else {
        Error::new(ErrorKind::IsADirectory, "this is a directory").with_help("use -r to copy its content")
    };
    Err(error.with_operation("copy").with_path(source))
}

fn find_local(path: &Path) -> Result<Metadata> {
    let in_context = |error: Error| error.with_operation("copy").with_path(path.display());
    std::fs::metadata(path).map_err(Error::from_io).map_err(|error| match error.kind() {
        ErrorKind::NotFound => in_context(error),
        _ => in_context(error.into_kind(ErrorKind::Unreadable)),
    })
}

fn local_name(path: &Path) -> Result<&str> {
    path.file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| Error::new(ErrorKind::InvalidPath, "the name is not UTF-8").with_path(path.display()))
}

/// Names what was left out and what failed, then says how much was copied.
fn summarize(session: &Session, report: &TreeReport, start: Instant) -> Result<(), Failure> {
    for (name, reason) in report.skipped() {
        session.note(format_args!("skipped {:?}: {reason}", shown(name)));
    }
    for (name, error) in report.failures() {
        output::error(&format_args!("{:?}: {error}", shown(name)));
    }
    let files = report.transferred();
    session.note(format_args!(
        "{files} {}, {}, {:.1} s",
        if files == 1 { "file" } else { "files" },
        HumanBytes(report.bytes()),
        start.elapsed().as_secs_f64()
    ));
    let Some(error) = report.error() else { return Ok(()) };
    output::error(&format_args!("{} of {} files failed", report.failures().count(), attempted(report)));
    let exit = if files == 0 { Exit::of(error.kind()) } else { Exit::Failed };
    Err(Failure::Reported(exit))
}

/// The top of a tree has no name.
fn shown(name: &str) -> &str {
    if name.is_empty() { "." } else { name }
}

fn attempted(report: &TreeReport) -> usize {
    report.transferred() + report.failures().count()
}
