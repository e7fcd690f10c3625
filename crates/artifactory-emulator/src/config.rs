//! How an emulator is set up.

use std::path::PathBuf;
use std::time::Duration;

/// Which Artifactory to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edition {
    /// With a licence: every API there is.
    #[default]
    Pro,
    /// The open source edition, which refuses list, copy, move, properties and some more with 400 in plain text.
    Oss,
}

/// What a user may do, in every repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// See and download items.
    pub read: bool,
    /// Deploy new items, and identical content over old ones.
    pub deploy: bool,
    /// Delete items, which also is what replacing one by different content takes.
    pub delete: bool,
}

impl Permissions {
    /// Nothing at all.
    pub const NONE: Self = Self { read: false, deploy: false, delete: false };
    /// Reading only.
    pub const READ: Self = Self { read: true, deploy: false, delete: false };
    /// Reading, deploying and deleting.
    pub const ALL: Self = Self { read: true, deploy: true, delete: true };
}

/// The kind of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepositoryKind {
    /// Holds items.
    Local,
    /// The cache of another server, which takes no deploys. Nothing is ever fetched: it has no items.
    Remote,
    /// Reads through its members in their order.
    Virtual {
        /// The keys of the repositories it shows.
        members: Vec<String>,
        /// The member that takes deploys; none: deploys are refused with 405.
        default_deployment: Option<String>,
    },
}

/// Where content is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In this process.
    Memory,
    /// In a directory: content by its SHA-1, and a journal of the items. It survives the process.
    Directory(PathBuf),
}

/// Downloads answered by a redirect to cloud storage: a second origin, which here is a port of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Files of at least this size are redirected.
    pub from_bytes: u64,
    /// How long a signed URL is good; 30 seconds on real servers.
    pub valid_for: Duration,
    /// Whether the 302 itself has the `X-Checksum` headers.
    pub checksum_headers: bool,
}

impl Default for Redirect {
    fn default() -> Self {
        Self { from_bytes: 200 * 1024, valid_for: Duration::from_secs(30), checksum_headers: true }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) permissions: Permissions,
    pub(crate) admin: bool,
    pub(crate) groups: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct InitialToken {
    pub(crate) secret: String,
    pub(crate) permissions: Permissions,
    pub(crate) admin: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) listen: Vec<String>,
    pub(crate) edition: Edition,
    pub(crate) users: Vec<User>,
    pub(crate) tokens: Vec<InitialToken>,
    pub(crate) api_keys: Vec<(String, String)>,
    pub(crate) anonymous: Permissions,
    pub(crate) repositories: Vec<(String, RepositoryKind)>,
    pub(crate) storage: Storage,
    pub(crate) redirect: Option<Redirect>,
    pub(crate) multipart: bool,
    pub(crate) range_quirk: bool,
    pub(crate) trash: bool,
    pub(crate) quota: Option<u64>,
    pub(crate) connect_delay: Duration,
    pub(crate) request_delay: Duration,
    pub(crate) context: String,
}

/// Sets an emulator up; see [`Emulator::builder`](crate::Emulator::builder).
#[must_use = "it does nothing until it is started"]
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) config: Config,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            config: Config {
                listen: Vec::new(),
                edition: Edition::Pro,
                users: Vec::new(),
                tokens: Vec::new(),
                api_keys: Vec::new(),
                anonymous: Permissions::NONE,
                repositories: Vec::new(),
                storage: Storage::Memory,
                redirect: None,
                multipart: false,
                range_quirk: false,
                trash: true,
                quota: None,
                connect_delay: Duration::ZERO,
                request_delay: Duration::ZERO,
                context: "artifactory".to_owned(),
            },
        }
    }
}

impl Builder {
    /// An address to listen on; may be said again. Without it: one free port of loopback.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.config.listen.push(address.into());
        self
    }

    /// Which edition to be.
    pub fn edition(mut self, edition: Edition) -> Self {
        self.config.edition = edition;
        self
    }

    /// A user who may do everything. The first one is the administrator.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        let admin = self.config.users.is_empty();
        self.config.users.push(User {
            name: name.into(),
            password: password.into(),
            permissions: Permissions::ALL,
            admin,
            groups: Vec::new(),
        });
        self
    }

    /// A user who is no administrator and has these permissions only.
    pub fn user_with(
        mut self,
        name: impl Into<String>,
        password: impl Into<String>,
        permissions: Permissions,
    ) -> Self {
        self.config.users.push(User {
            name: name.into(),
            password: password.into(),
            permissions,
            admin: false,
            groups: Vec::new(),
        });
        self
    }

    /// An access token with an administrator's rights.
    pub fn token(mut self, secret: impl Into<String>) -> Self {
        self.config.tokens.push(InitialToken {
            secret: secret.into(),
            permissions: Permissions::ALL,
            admin: true,
        });
        self
    }

    /// An access token with these permissions only.
    pub fn token_with(mut self, secret: impl Into<String>, permissions: Permissions) -> Self {
        self.config.tokens.push(InitialToken { secret: secret.into(), permissions, admin: false });
        self
    }

    /// An API key of a user, for the header `X-JFrog-Art-Api` or in place of the password.
    pub fn api_key(mut self, user: impl Into<String>, key: impl Into<String>) -> Self {
        self.config.api_keys.push((user.into(), key.into()));
        self
    }

    /// What requests without credentials may do; nothing by default.
    pub fn anonymous(mut self, permissions: Permissions) -> Self {
        self.config.anonymous = permissions;
        self
    }

    /// A repository that is there from the start.
    pub fn repository(mut self, key: impl Into<String>, kind: RepositoryKind) -> Self {
        self.config.repositories.push((key.into(), kind));
        self
    }

    /// Where content is kept; in memory by default.
    pub fn storage(mut self, storage: Storage) -> Self {
        self.config.storage = storage;
        self
    }

    /// Whether large downloads are redirected to signed URLs of a second origin.
    pub fn redirect(mut self, redirect: Option<Redirect>) -> Self {
        self.config.redirect = redirect;
        self
    }

    /// Whether `api/v1/uploads` says that uploads in parts are supported.
    pub fn multipart(mut self, supported: bool) -> Self {
        self.config.multipart = supported;
        self
    }

    /// Whether a suffix range `-N` is read as the first N + 1 bytes, as 6.20 does.
    pub fn range_quirk(mut self, quirk: bool) -> Self {
        self.config.range_quirk = quirk;
        self
    }

    /// Whether what is deleted or replaced goes to `auto-trashcan`, as it does by default.
    pub fn trash(mut self, trash: bool) -> Self {
        self.config.trash = trash;
        self
    }

    /// The size of the data store: a deploy that would exceed it is refused with 413.
    pub fn quota(mut self, bytes: Option<u64>) -> Self {
        self.config.quota = bytes;
        self
    }

    /// How long a new connection waits before its first request is read.
    pub fn connect_delay(mut self, delay: Duration) -> Self {
        self.config.connect_delay = delay;
        self
    }

    /// How long every request waits before it is handled.
    pub fn request_delay(mut self, delay: Duration) -> Self {
        self.config.request_delay = delay;
        self
    }

    /// The base path, `artifactory` by default; empty for none.
    pub fn context(mut self, context: impl AsRef<str>) -> Self {
        context.as_ref().trim_matches('/').clone_into(&mut self.config.context);
        self
    }
}
