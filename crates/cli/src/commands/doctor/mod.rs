//! `doctor`: can this store be used, and what is to be fixed if it cannot?
//!
//! | Module | Its subject |
//! |---|---|
//! | `report` | the steps, and how they are told |
//! | `place` | what the URI and the options say, and what stands there |
//! | `probe` | what may be done there, found out with a small file |

mod place;
mod probe;
mod report;

use mlflow_artifacts::{ArtifactPath, Error, Result, SharedStore};

use self::place::Examined;
use self::report::{Found, Report};
use crate::args::DoctorArguments;
use crate::exit::Failure;
use crate::location::Location;
use crate::session::Session;

pub(crate) async fn run(session: &Session, arguments: &DoctorArguments) -> Result<(), Failure> {
    let mut report = Report::new(arguments.json);
    // What ends it early stands in the report.
    let _ = examine(session, arguments, &mut report).await;
    report.finish()
}

/// Goes from step to step; `None` when the next ones make no sense any more.
async fn examine(session: &Session, arguments: &DoctorArguments, report: &mut Report) -> Option<()> {
    let uri = Location::parse(&arguments.location).and_then(|location| location.uri());
    let uri = report.step("uri", uri.map(|uri| (place::parts(&uri), uri)))?;
    report.about(&uri);
    let resolved = place::resolve(session, &uri);
    let resolved =
        report.step("options", resolved.map(|found| (place::options(session, &uri, &found), found)))?;
    let examined = Examined::new(session, uri, &resolved);
    report.facts(examined.whereabouts(&resolved));
    let store = report.step(
        "open",
        examined.store().map(|store| (Found::new("the URI and the options fit together"), store)),
    )?;
    report.step("server", describe(&store).await);
    report.go_on()?;
    let entry = report.step("list", place::first_entry(&store).await);
    report.go_on()?;
    let there = report.step("look", examined.look(entry.flatten().is_some()).await);
    report.go_on()?;
    if arguments.read_only {
        report.skip_rest("--read-only writes nothing");
    } else if place::deletes_nothing(&resolved) {
        report.skip_rest(
            "this store is configured to delete nothing (the option delete_skip), so a file written as a probe would stay",
        );
    } else {
        probe::run(session, report, &store, there.flatten()).await;
    }
    Some(())
}

async fn describe(store: &SharedStore) -> Result<(Found, ())> {
    let facts = store.describe().await?;
    let facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Ok((Found { text: "it answers".to_owned(), facts }, ()))
}

/// `path` in the store with this root, as somebody would write it.
fn written(root: &str, path: &ArtifactPath) -> String {
    let (root, _query) = root.split_once('?').unwrap_or((root, ""));
    format!("{}/{path}", root.trim_end_matches('/'))
}

/// What to do about `error` where it does not say itself.
fn remedy(error: &Error) -> Option<String> {
    use mlflow_artifacts::ErrorKind as Kind;
    let usual = match error.kind() {
        Kind::PermissionDenied => "let this user do that there, or name another place",
        Kind::Unauthenticated => "check the credentials",
        Kind::NotFound => "check the name, or create it",
        Kind::NotADirectory => {
            "a file stands where a directory is meant: name another directory, or remove the file"
        }
        Kind::IsADirectory => "a directory stands where a file is meant",
        Kind::Unavailable | Kind::RateLimited => "try again later; if it stays so, ask who runs the server",
        Kind::Timeout => "check the network and the server; the options say how long to wait",
        Kind::ChecksumMismatch | Kind::SizeMismatch => {
            "something on the way changes the content: check the proxies"
        }
        Kind::Internal => "please report this",
        _ => "",
    };
    let usual = (!usual.is_empty()).then(|| usual.to_owned());
    error.help().map(str::to_owned).or(usual)
}
