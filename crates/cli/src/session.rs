//! What every command works with: the engine's threads, the known stores, the options from the command line.

use mlflow_artifacts::{
    ArtifactUri, Error, ErrorKind, Registry, Result, SharedStore, StoreConfig, Transfer, blocking::Context,
    default_registry,
};

use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::output;
use crate::progress::Bar;

/// One run of the command.
pub(crate) struct Session {
    context: Context,
    registry: Registry,
    options: Vec<(String, String)>,
    interrupt: Interrupt,
    quiet: bool,
}

impl Session {
    /// A session with the options that were given as `NAME=VALUE`.
    pub(crate) fn new(options: &[String], quiet: bool) -> Result<Self> {
        Ok(Session {
            interrupt: Interrupt::install()?,
            options: options.iter().map(|option| parse_option(option)).collect::<Result<_>>()?,
            context: Context::new()?,
            registry: default_registry(),
            quiet,
        })
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    pub(crate) fn quiet(&self) -> bool {
        self.quiet
    }

    /// Says something that is no error, unless it shall be quiet.
    pub(crate) fn note(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            output::note(text);
        }
    }

    /// Runs a command's asynchronous part on this thread.
    pub(crate) fn wait<T>(&self, command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.context.wait(async { Ok(command.await) })?
    }

    /// Opens the store at `uri`. A command that works with a second store names the scheme of that one: an option which
    /// only the other knows is none of this store's business.
    pub(crate) fn open(&self, uri: &ArtifactUri, other: Option<&str>) -> Result<SharedStore> {
        self.registry.open_uri(uri, &self.config(uri, other))
    }

    /// The options for the store at `uri`; `other` as for [`Session::open`].
    pub(crate) fn config(&self, uri: &ArtifactUri, other: Option<&str>) -> StoreConfig {
        let knows = |scheme: &str, name: &str| {
            self.registry.keys(scheme).is_some_and(|keys| keys.iter().any(|key| key.name == name))
        };
        let mut config = StoreConfig::from_env();
        for (name, value) in &self.options {
            if knows(uri.scheme(), name) || !other.is_some_and(|other| knows(other, name)) {
                config.set(name, value);
            }
        }
        config
    }

    /// Awaits `work` of `transfer`, with a progress bar; a signal stops it cleanly.
    pub(crate) async fn watch<T>(
        &self,
        transfer: &Transfer,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let (stopped, watched) = (transfer.control().clone(), transfer.control().clone());
        let _stoppable = self.interrupt.stops(move || stopped.cancel());
        let _bar = Bar::show(self.quiet, move || watched.progress());
        work.await
    }
}

/// The message does not repeat the text: it may be a secret whose name was forgotten.
fn parse_option(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::new(ErrorKind::InvalidArgument, "an --option is not of the form NAME=VALUE")
            .with_help("schemes --keys SCHEME lists the names")),
    }
}
