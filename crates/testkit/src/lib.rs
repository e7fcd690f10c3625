//! One conformance suite for every artifact store.
//!
//! A backend's `tests/conformance.rs` (with `harness = false`) says what it claims and how a fresh place is made; the
//! suite does the rest. The cases are the same for every store: one that needs a capability the store does not claim
//! asserts instead that [`ErrorKind::Unsupported`](mlflow_artifacts_core::ErrorKind::Unsupported) is answered.
//!
//! ```no_run
//! use std::sync::Arc;
//! use mlflow_artifacts_core::{Capabilities, MemoryStore};
//! use mlflow_artifacts_testkit::{Place, StoreUnderTest};
//!
//! let claims = Capabilities::all() - Capabilities::PRESIGN;
//! let memory = StoreUnderTest::new("memory", claims, async || Place::of_one_handle(Arc::new(MemoryStore::new())));
//! mlflow_artifacts_testkit::main([memory]);
//! ```

#![allow(clippy::missing_panics_doc, reason = "test code panics to fail a test")]

pub mod bodies;

mod bench;
#[cfg(test)]
mod mutants;
mod suite;

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::{Arc, Once};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use libtest_mimic::{Arguments, Failed, Trial};
use mlflow_artifacts_core::{Capabilities, SharedStore};

use bench::Bench;
use suite::Case;

/// A store, and how the suite gets at it.
pub struct StoreUnderTest {
    name: String,
    claims: Capabilities,
    provide: Box<dyn Fn() -> LocalBoxFuture<'static, Place> + Send + Sync>,
    deviations: &'static [Deviation],
    races: &'static [Deviation],
    canaries: Vec<String>,
    crowd: usize,
    time_limit: Duration,
}

impl StoreUnderTest {
    /// The store `name`, which must claim exactly the capabilities `claims`. `provide` makes a fresh, empty place; it
    /// is called for every case, each time on a runtime of its own.
    pub fn new(
        name: &str,
        claims: Capabilities,
        provide: impl AsyncFn() -> Place + Send + Sync + 'static,
    ) -> Self {
        let provide = Arc::new(provide);
        StoreUnderTest {
            name: name.to_owned(),
            claims,
            provide: Box::new(move || {
                let provide = Arc::clone(&provide);
                async move { provide().await }.boxed_local()
            }),
            deviations: &[],
            races: &[],
            canaries: Vec::new(),
            crowd: 10_000,
            time_limit: Duration::from_mins(30),
        }
    }

    /// The cases that this store is known to fail.
    #[must_use]
    pub fn deviations(mut self, deviations: &'static [Deviation]) -> Self {
        self.deviations = deviations;
        self
    }

    /// The cases that this store fails when two requests happen to meet: they run, and may pass or fail.
    #[must_use]
    pub fn races(mut self, races: &'static [Deviation]) -> Self {
        self.races = races;
        self
    }

    /// A secret that the places are opened with: it must not appear in anything that is printed.
    #[must_use]
    pub fn canary(mut self, secret: impl Into<String>) -> Self {
        self.canaries.push(secret.into());
        self
    }

    /// How many files the cases about many files make; 10,000 unless said otherwise. For slow servers.
    #[must_use]
    pub fn crowd(mut self, files: usize) -> Self {
        self.crowd = files;
        self
    }

    /// How long one case may take; half an hour unless said otherwise.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }
}

impl fmt::Debug for StoreUnderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreUnderTest").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A case that a store is known to fail, and why that is accepted.
///
/// A deviation whose case passes is a failure, and so is one whose case does not exist: the list never rots.
#[derive(Clone, Copy, Debug)]
pub struct Deviation {
    /// The case as it is printed, without the store's name: `names::backslash`.
    pub case: &'static str,
    /// Why the store cannot pass it.
    pub reason: &'static str,
}

/// A fresh, empty place where artifacts are kept, for one case.
pub struct Place {
    open: Answer<SharedStore>,
    inspect: Option<Answer<Vec<String>>>,
    keep: Vec<Box<dyn Any>>,
}

type Answer<T> = Box<dyn Fn() -> LocalBoxFuture<'static, T>>;

fn boxed<T: 'static>(ask: impl AsyncFn() -> T + 'static) -> Answer<T> {
    let ask = Rc::new(ask);
    Box::new(move || {
        let ask = Rc::clone(&ask);
        async move { ask().await }.boxed_local()
    })
}

impl Place {
    /// A place that every call of `open` opens anew, as another process would.
    pub fn new(open: impl AsyncFn() -> SharedStore + 'static) -> Self {
        Place { open: boxed(open), inspect: None, keep: Vec::new() }
    }

    /// A place that dies with its only handle.
    pub fn of_one_handle(store: SharedStore) -> Self {
        Self::new(async move || Arc::clone(&store))
    }

    /// Keeps `guard` (a temporary directory, a server) until the case is over.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any) -> Self {
        self.keep.push(Box::new(guard));
        self
    }

    /// Lets the suite look past the store: `inspect` answers every name that is really there (files and, where they
    /// exist by themselves, directories) as a path relative to the root. After a failed write it must equal the
    /// listing: that is how temporary files are found that the store hides.
    #[must_use]
    pub fn inspected_by(mut self, inspect: impl AsyncFn() -> Vec<String> + 'static) -> Self {
        self.inspect = Some(boxed(inspect));
        self
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

/// Runs the suite over `subjects` with the arguments of the command line, as a test binary without a harness does.
pub fn main(subjects: impl IntoIterator<Item = StoreUnderTest>) -> ! {
    let trials = subjects.into_iter().flat_map(conformance).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit()
}

/// The suite over `subject`, one trial for each case.
///
/// Trials of the kind `unsupported` assert that a capability which is not claimed is refused, and those of the kind
/// `deviation` that the case still fails. Those of the kind `race` assert nothing.
pub fn conformance(subject: StoreUnderTest) -> Vec<Trial> {
    let cases = suite::cases();
    let unknown: Vec<_> = subject
        .deviations
        .iter()
        .chain(subject.races)
        .map(|deviation| deviation.case)
        .filter(|name| !cases.iter().any(|case| case.name == **name))
        .collect();
    let subject = Arc::new(subject);
    let known = Trial::test(format!("{}::every_deviation_names_a_case", subject.name), move || {
        if unknown.is_empty() { Ok(()) } else { Err(format!("no such cases: {unknown:?}").into()) }
    });
    cases.into_iter().map(|case| trial(&subject, case)).chain([known]).collect()
}

fn trial(subject: &Arc<StoreUnderTest>, case: Case) -> Trial {
    let subject = Arc::clone(subject);
    let name = format!("{}::{}", subject.name, case.name);
    let deviation = subject.deviations.iter().find(|deviation| deviation.case == case.name);
    let is_race = subject.races.iter().any(|race| race.case == case.name);
    let kind = match deviation {
        Some(_) => "deviation",
        None if is_race => "race",
        None if subject.claims.contains(case.needs) => "",
        None => "unsupported",
    };
    let may_fail = deviation.is_some() || is_race;
    let outcome = move || if may_fail { quietly(|| run(&subject, &case)) } else { run(&subject, &case) };
    let run = move || match (outcome(), deviation) {
        (_, None) if is_race => Ok(()),
        (outcome, None) => outcome.map_err(Failed::from),
        (Err(_), Some(_)) => Ok(()),
        (Ok(()), Some(deviation)) => {
            Err(format!("passes now; remove the deviation ({})", deviation.reason).into())
        }
    };
    Trial::test(name, run).with_kind(kind)
}

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Prints no panic of this thread meanwhile: one that is expected would look like one that is not.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !IS_QUIET.get() {
                usual(panic);
            }
        }));
    });
    IS_QUIET.set(true);
    let outcome = work();
    IS_QUIET.set(false);
    outcome
}

/// Runs one case on a fresh place and a runtime of its own. The error says how it failed.
fn run(subject: &StoreUnderTest, case: &Case) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let work = async {
        let place = (subject.provide)().await;
        let bench = Bench::new(place, subject).await;
        let missing = case.needs - subject.claims;
        if missing.is_empty() { (case.run)(bench).await } else { suite::unsupported(bench, missing).await }
    };
    let outcome = runtime.block_on(async {
        tokio::time::timeout(subject.time_limit, AssertUnwindSafe(work).catch_unwind()).await
    });
    // A store may have left work on blocking threads: it must not hold up the suite.
    runtime.shutdown_timeout(Duration::from_secs(5));
    match outcome {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(error))) => Err(format!("an operation that must succeed failed: {error:?}")),
        Ok(Err(panic)) => Err(message_of(&*panic)),
        Err(_) => Err(format!("not done after {:?}", subject.time_limit)),
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".to_owned())
}
