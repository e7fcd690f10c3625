//! What came of each step. As text it is told at once, as JSON in the end.

use std::io::{self, Write};

use mlflow_artifacts::{ArtifactUri, Error, ErrorKind, Result};
use serde::{Serialize, Serializer};

use super::remedy;
use crate::exit::{Exit, Failure};
use crate::output::{printable, standard_output, write_json};

/// The steps in their order.
const STEPS: [&str; 12] = [
    "uri", "options", "open", "server", "list", "look", "write", "read", "stat", "replace", "delete", "gone",
];

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Ok,
    Failed,
    Skipped,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Failed => "failed",
            Outcome::Skipped => "skipped",
        }
    }
}

/// Short names with short texts.
pub(super) type Facts = Vec<(String, String)>;

/// What a step found, in words.
pub(super) struct Found {
    pub(super) text: String,
    pub(super) facts: Facts,
}

impl Found {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Found { text: text.into(), facts: Facts::new() }
    }
}

#[derive(Serialize)]
struct Step {
    #[serde(rename = "step")]
    name: &'static str,
    outcome: Outcome,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    #[serde(skip_serializing_if = "Facts::is_empty", serialize_with = "as_object")]
    facts: Facts,
}

fn as_object<S: Serializer>(facts: &Facts, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(facts.iter().map(|(name, value)| (name, value)))
}

#[derive(Serialize)]
struct Document<'a> {
    uri: Option<&'a str>,
    ok: bool,
    steps: &'a [Step],
    /// The probe, if it could not be removed.
    left: Option<&'a str>,
}

/// The steps that were taken.
pub(super) struct Report {
    json: bool,
    uri: Option<String>,
    steps: Vec<Step>,
    /// Facts that stand with the next step, however it ends.
    pending: Facts,
    failures: Vec<(&'static str, ErrorKind)>,
    skip_reason: Option<&'static str>,
    left: Option<String>,
    /// Why standard output cannot be written. The steps go on: the probe is to be removed.
    broken: io::Result<()>,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Report {
            json,
            uri: None,
            steps: Vec::new(),
            pending: Facts::new(),
            failures: Vec::new(),
            skip_reason: None,
            left: None,
            broken: Ok(()),
        }
    }

    /// Names what is examined.
    pub(super) fn about(&mut self, uri: &ArtifactUri) {
        self.uri = Some(uri.to_string());
    }

    /// Tells what came of the step `name`; its value if it is all right.
    pub(super) fn step<T>(&mut self, name: &'static str, result: Result<(Found, T)>) -> Option<T> {
        let facts = std::mem::take(&mut self.pending);
        match result {
            Ok((found, value)) => {
                let facts = facts.into_iter().chain(found.facts).collect();
                self.tell(Step {
                    name,
                    outcome: Outcome::Ok,
                    text: found.text,
                    kind: None,
                    help: None,
                    facts,
                });
                Some(value)
            }
            Err(error) => {
                self.failures.push((name, error.kind()));
                self.tell(Step {
                    name,
                    outcome: Outcome::Failed,
                    text: self.what_happened(&error),
                    kind: Some(error.kind().name()),
                    help: remedy(&error),
                    facts,
                });
                None
            }
        }
    }

    /// Facts that are told with the next step, also if it fails.
    pub(super) fn facts(&mut self, facts: Facts) {
        self.pending = facts;
    }

    /// Says why the steps that are left are not taken.
    pub(super) fn skip_rest(&mut self, reason: &'static str) {
        self.skip_reason = Some(reason);
    }

    /// Notes that the probe could not be removed.
    pub(super) fn left(&mut self, probe: String) {
        self.left = Some(probe);
    }

    /// `None` if the next steps would fail too. Where one thing is not allowed, another may be.
    pub(super) fn go_on(&self) -> Option<()> {
        self.failures.iter().all(|(_, kind)| *kind == ErrorKind::PermissionDenied).then_some(())
    }

    /// Tells the rest.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let last = self.failures.last().map(|(step, _)| *step);
        let reason = match (self.skip_reason, last) {
            (Some(reason), _) => reason.to_owned(),
            (None, Some(step)) => format!("this makes no sense before {step:?} is all right"),
            (None, None) => String::new(),
        };
        self.skip(&reason);
        let exit = self.exit();
        self.conclude(exit)?;
        if exit == Exit::Success { Ok(()) } else { Err(Failure::Reported(exit)) }
    }

    /// An interrupt is why the command ended, whatever failed before.
    fn exit(&self) -> Exit {
        let cancelled = self.failures.iter().find(|(_, kind)| *kind == ErrorKind::Cancelled);
        cancelled.or(self.failures.first()).map_or(Exit::Success, |(_, kind)| Exit::of(*kind))
    }

    fn conclude(self, exit: Exit) -> Result<(), Failure> {
        self.broken?;
        if self.json {
            let (uri, left) = (self.uri.as_deref(), self.left.as_deref());
            write_json(&Document { uri, ok: exit == Exit::Success, steps: &self.steps, left })?;
            return Ok(());
        }
        let mut output = standard_output();
        match (self.failures.first(), self.skip_reason) {
            (Some((step, _)), _) => writeln!(output, "\nIt does not work: see {step:?} above.")?,
            (None, Some(_)) => writeln!(output, "\nWhat was tried works.")?,
            (None, None) => writeln!(output, "\nEverything works.")?,
        }
        if let Some(left) = self.left {
            writeln!(output, "The probe stays, and is to be removed: {}", printable(&left))?;
        }
        Ok(output.flush()?)
    }

    /// The message, with what it is about where that is not the URI.
    fn what_happened(&self, error: &Error) -> String {
        match error.path() {
            Some(path) if !path.is_empty() && Some(path) != self.uri.as_deref() => {
                format!("{path:?}: {}", error.message())
            }
            _ => error.message().to_owned(),
        }
    }

    /// Says of all steps that were not taken why.
    fn skip(&mut self, reason: &str) {
        let taken: Vec<_> = self.steps.iter().map(|step| step.name).collect();
        let left: Vec<_> = STEPS.into_iter().filter(|name| !taken.contains(name)).collect();
        if !left.is_empty() {
            self.write(|output| writeln!(output, "skipped  {}: {reason}", left.join(", ")));
        }
        let (outcome, facts) = (Outcome::Skipped, Facts::new());
        let step = |name| Step {
            name,
            outcome,
            text: reason.to_owned(),
            kind: None,
            help: None,
            facts: facts.clone(),
        };
        self.steps.extend(left.into_iter().map(step));
    }

    /// Writes text, unless it shall be JSON.
    fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        if !self.json && self.broken.is_ok() {
            let mut output = standard_output();
            self.broken = write(&mut output).and_then(|()| output.flush());
        }
    }

    fn tell(&mut self, step: Step) {
        self.write(|output| write_step(output, &step));
        self.steps.push(step);
    }
}

fn write_step(output: &mut dyn Write, step: &Step) -> io::Result<()> {
    const INDENT: &str = "                    ";
    writeln!(output, "{:9}{:9}{}", step.outcome.word(), step.name, printable(&step.text))?;
    if let Some(help) = &step.help {
        writeln!(output, "{INDENT}what to do: {}", printable(help))?;
    }
    let width = step.facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in &step.facts {
        writeln!(output, "{INDENT}{name:width$}  {}", printable(value))?;
    }
    Ok(())
}
