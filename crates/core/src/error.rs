//! One error type for every backend: what happened, to which artifact, and whether trying again can help.

use std::fmt;
use std::time::Duration;

/// The result of every fallible operation of this workspace.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

macro_rules! error_kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)+) => {
        /// What went wrong, as finely as an operator must tell it apart.
        ///
        /// Kinds are added over time; match with a wildcard arm.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind { $($(#[$doc])* $kind,)+ }

        impl ErrorKind {
            /// Every kind, in declaration order. Lets a mapping (the C ABI's status codes) be tested for completeness.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$kind),+];

            /// The kind's stable `snake_case` name, as scripts see it in JSON output.
            pub fn name(self) -> &'static str {
                match self { $(ErrorKind::$kind => $name,)+ }
            }
        }
    };
}

error_kinds! {
    /// A caller's argument makes no sense, and no narrower kind says why.
    InvalidArgument = "invalid_argument",
    /// An artifact path is malformed, reserved, too long, or leads outside the store.
    InvalidPath = "invalid_path",
    /// An artifact URI cannot be parsed.
    InvalidUri = "invalid_uri",
    /// A configuration option is unknown or its value is malformed.
    InvalidConfig = "invalid_config",
    /// No store is registered for the URI's scheme.
    UnknownScheme = "unknown_scheme",
    /// The URI policy refuses the host that the URI names.
    HostNotAllowed = "host_not_allowed",
    /// The backend cannot do this at all.
    Unsupported = "unsupported",
    /// There is nothing at the path.
    NotFound = "not_found",
    /// Something is there already and the caller asked for a new artifact.
    AlreadyExists = "already_exists",
    /// The path is a directory where a file is meant.
    IsADirectory = "is_a_directory",
    /// The path, or a parent of it, is a file where a directory is meant.
    NotADirectory = "not_a_directory",
    /// The artifact is no longer the one the caller named by its etag.
    PreconditionFailed = "precondition_failed",
    /// The requested range starts at or after the artifact's end.
    RangeNotSatisfiable = "range_not_satisfiable",
    /// The bytes do not have the expected digest.
    ChecksumMismatch = "checksum_mismatch",
    /// There were more or fewer bytes than announced.
    SizeMismatch = "size_mismatch",
    /// The artifact is larger than the store accepts.
    TooLarge = "too_large",
    /// The store knows who asks and refuses.
    PermissionDenied = "permission_denied",
    /// The store does not accept the credentials, or there are none.
    Unauthenticated = "unauthenticated",
    /// The store asks to slow down.
    RateLimited = "rate_limited",
    /// A deadline passed without an answer.
    Timeout = "timeout",
    /// The server cannot be reached or hung up.
    Connection = "connection",
    /// The TLS handshake failed or the certificate is not trusted.
    Tls = "tls",
    /// The server answered that it failed or cannot serve now (5xx).
    Unavailable = "unavailable",
    /// The server answered something that its protocol does not allow.
    Protocol = "protocol",
    /// The disk or the quota is full.
    NoSpace = "no_space",
    /// A local source file exists but cannot be read.
    Unreadable = "unreadable",
    /// An operating system call failed for another reason.
    Io = "io",
    /// Some files of a tree failed, for different reasons.
    Incomplete = "incomplete",
    /// The caller stopped the operation.
    Cancelled = "cancelled",
    /// The handle was made before a `fork` and its operation did not survive it.
    Forked = "forked",
    /// A defect of this library: please report it.
    Internal = "internal",
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether the same call may succeed when it is made again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retry {
    /// No: the input, the permissions or the state must change first.
    #[default]
    Never,
    /// Yes: the cause passes by itself.
    Transient,
    /// It was retried already, as often as configured; an outer layer must not retry it again.
    Exhausted,
}

/// What happened, to which artifact of which store, and what to do about it.
///
/// The size of one pointer. `Display` is one line without secrets: operation, path, what happened, the remedy.
///
/// ```
/// use mlflow_artifacts_core::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::NotFound, "there is no such artifact").with_operation("get").with_path("model/MLmodel");
/// assert_eq!(error.to_string(), r#"get "model/MLmodel": there is no such artifact"#);
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
    retry: Retry,
    retry_after: Option<Duration>,
    operation: Option<&'static str>,
    store: Option<String>,
    path: Option<String>,
    http_status: Option<u16>,
    provider_code: Option<String>,
    attempts: u32,
    source: Option<Source>,
}

impl Error {
    /// An error of `kind`; `message` says what happened in one clause, without the path.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            help: None,
            retry: Retry::Never,
            retry_after: None,
            operation: None,
            store: None,
            path: None,
            http_status: None,
            provider_code: None,
            attempts: 1,
            source: None,
        }))
    }

    /// The error of a backend that cannot do `operation`.
    pub fn unsupported(operation: &'static str, store: &str) -> Self {
        Error::new(ErrorKind::Unsupported, format!("{store} stores cannot do this")).with_operation(operation)
    }

    /// The error of an operation that its caller stopped.
    pub fn cancelled() -> Self {
        Error::new(ErrorKind::Cancelled, "cancelled by the caller")
    }

    /// Translates an operating system error: its kind, its text and itself as the source.
    pub fn from_io(error: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let (kind, retry) = match error.kind() {
            Io::NotFound => (ErrorKind::NotFound, Retry::Never),
            Io::PermissionDenied | Io::ReadOnlyFilesystem => (ErrorKind::PermissionDenied, Retry::Never),
            Io::AlreadyExists => (ErrorKind::AlreadyExists, Retry::Never),
            Io::IsADirectory => (ErrorKind::IsADirectory, Retry::Never),
            Io::NotADirectory => (ErrorKind::NotADirectory, Retry::Never),
            Io::StorageFull | Io::QuotaExceeded => (ErrorKind::NoSpace, Retry::Never),
            Io::FileTooLarge => (ErrorKind::TooLarge, Retry::Never),
            Io::InvalidFilename => (ErrorKind::InvalidPath, Retry::Never),
            Io::TimedOut => (ErrorKind::Timeout, Retry::Transient),
            Io::ConnectionRefused
            | Io::ConnectionReset
            | Io::ConnectionAborted
            | Io::NotConnected
            | Io::BrokenPipe
            | Io::HostUnreachable
            | Io::NetworkUnreachable
            | Io::NetworkDown => (ErrorKind::Connection, Retry::Transient),
            Io::StaleNetworkFileHandle | Io::ResourceBusy | Io::WouldBlock => {
                (ErrorKind::Io, Retry::Transient)
            }
            _ => (ErrorKind::Io, Retry::Never),
        };
        let translated = Error::new(kind, error.to_string()).with_retry(retry).with_source(error);
        match kind {
            ErrorKind::NoSpace => translated.with_help("free some space and try again"),
            ErrorKind::InvalidPath => translated.with_help("shorten the name"),
            _ => translated,
        }
    }

    /// Names the operation (`"put"`, `"list"`), unless one is named already.
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Names the artifact or local path, unless one is named already.
    #[must_use]
    pub fn with_path(mut self, path: impl fmt::Display) -> Self {
        self.0.path.get_or_insert_with(|| path.to_string());
        self
    }

    /// Names the store by its redacted root, unless one is named already.
    #[must_use]
    pub fn with_store(mut self, store: impl Into<String>) -> Self {
        self.0.store.get_or_insert_with(|| store.into());
        self
    }

    /// Says what the reader can do about it, as an imperative clause.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Says whether trying again can help.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Keeps how long the server asked to wait.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        self.0.retry_after = Some(delay);
        self
    }

    /// Keeps the HTTP status that the server answered.
    #[must_use]
    pub fn with_http_status(mut self, status: u16) -> Self {
        self.0.http_status = Some(status);
        self
    }

    /// Keeps the provider's own code for the failure (`NoSuchKey`, `530`).
    #[must_use]
    pub fn with_provider_code(mut self, code: impl Into<String>) -> Self {
        self.0.provider_code = Some(code.into());
        self
    }

    /// Keeps how many times the request was made.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// Keeps the underlying error for [`std::error::Error::source`].
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error as another kind: for a caller who knows better what it means.
    #[must_use]
    pub fn into_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed when made again.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// How long the server asked to wait before the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What happened, in one clause, without operation and path.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the reader can do about it.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// The operation that failed: `"stat"`, `"get"`, `"put"`, ...
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The redacted root of the store it failed on.
    pub fn store(&self) -> Option<&str> {
        self.0.store.as_deref()
    }

    /// The artifact path or local path it failed on.
    pub fn path(&self) -> Option<&str> {
        self.0.path.as_deref()
    }

    /// The HTTP status that the server answered.
    pub fn http_status(&self) -> Option<u16> {
        self.0.http_status
    }

    /// The provider's own code for the failure.
    pub fn provider_code(&self) -> Option<&str> {
        self.0.provider_code.as_deref()
    }

    /// How many times the request was made: at least 1.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { operation, path, message, help, store, .. } = &*self.0;
        match (operation, path) {
            (Some(operation), Some(path)) => write!(f, "{operation} {path:?}: ")?,
            (Some(operation), None) => write!(f, "{operation}: ")?,
            (None, Some(path)) => write!(f, "{path:?}: ")?,
            (None, None) => {}
        }
        f.write_str(message)?;
        if let Some(store) = store {
            write!(f, " (store {store})")?;
        }
        if let Some(help) = help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}: {self})", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ErrorKind::ALL.len());
    }

    #[test]
    fn the_first_context_wins_and_everything_is_said_once() {
        let error = Error::new(ErrorKind::NoSpace, "the disk is full")
            .with_operation("put")
            .with_operation("upload")
            .with_path("a/b")
            .with_path("c")
            .with_store("file:///srv")
            .with_help("free some space");
        assert_eq!(error.to_string(), r#"put "a/b": the disk is full (store file:///srv); free some space"#);
    }

    #[test]
    fn operating_system_errors_keep_their_meaning_and_source() {
        for (code, kind) in [
            (2, ErrorKind::NotFound),
            (13, ErrorKind::PermissionDenied),
            (20, ErrorKind::NotADirectory),
            (21, ErrorKind::IsADirectory),
            (27, ErrorKind::TooLarge),
            (28, ErrorKind::NoSpace),
            (30, ErrorKind::PermissionDenied),
            (36, ErrorKind::InvalidPath),
            (122, ErrorKind::NoSpace),
        ] {
            let error = Error::from_io(std::io::Error::from_raw_os_error(code));
            assert_eq!(error.kind(), kind, "errno {code}");
            assert!(error.source().is_some());
        }
    }
}
