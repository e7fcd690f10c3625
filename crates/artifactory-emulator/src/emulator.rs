//! The running emulator.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::auth::Accounts;
use crate::config::{Builder, Config, Permissions, Storage};
use crate::counters::{Counters, Tally};
use crate::documents::Documents;
use crate::faults::{Fault, Faults};
use crate::journal::Journal;
use crate::multipart::Uploads;
use crate::repositories::settings_of;
use crate::state::{Repository, State, TRASH};
use crate::storage::Store;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) state: RwLock<State>,
    pub(crate) store: Store,
    pub(crate) accounts: Accounts,
    pub(crate) faults: Faults,
    pub(crate) tally: Arc<Tally>,
    pub(crate) uploads: Mutex<Uploads>,
    documents: Mutex<Documents>,
    /// What signs URLs of the storage origin.
    pub(crate) secret: String,
    pub(crate) url: String,
    pub(crate) storage_url: String,
}

impl Shared {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn documents(&self) -> MutexGuard<'_, Documents> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An Artifactory for tests. It stops when it is dropped.
///
/// ```
/// use artifactory_emulator::{Emulator, RepositoryKind};
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let emulator = Emulator::builder()
///     .user("admin", "password")
///     .repository("generic-local", RepositoryKind::Local)
///     .start()
///     .await?;
/// assert!(emulator.url().ends_with("/artifactory"));
/// assert!(emulator.files().is_empty());
/// # Ok::<(), std::io::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct Emulator {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    storage_address: SocketAddr,
    servers: Vec<JoinHandle<()>>,
}

impl Emulator {
    /// Sets an emulator up.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The URL of its Artifactory, context included.
    pub fn url(&self) -> String {
        self.shared.url.clone()
    }

    /// The address the first port listens on.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// All addresses, in the order they were asked for.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address of the storage origin, which signed URLs point to.
    pub fn storage_address(&self) -> SocketAddr {
        self.storage_address
    }

    /// What was seen so far.
    pub fn counters(&self) -> Counters {
        self.shared.tally.edit().clone()
    }

    /// Begins to count anew.
    pub fn reset_counters(&self) {
        *self.shared.tally.edit() = Counters::default();
    }

    /// Lets something go wrong. Several faults can wait at once, and hit the same request.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.inject(fault);
    }

    /// Takes all faults back that were not used up. What they did to tokens stays.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// A new access token with an administrator's rights.
    pub fn add_token(&self, secret: impl AsRef<str>) {
        self.shared.accounts.add_token(secret.as_ref(), Permissions::ALL, true);
    }

    /// Revokes a token; `false` if there is none.
    pub fn revoke_token(&self, secret: impl AsRef<str>) -> bool {
        self.shared.accounts.revoke(secret.as_ref())
    }

    /// Lets all access tokens that there are be expired.
    pub fn expire_tokens(&self) {
        self.shared.accounts.expire_all();
    }

    /// Locks a user, token or key for a minute after so many failures in a row, with 403. Zero switches it off again
    /// and unlocks everyone.
    pub fn lockout(&self, after: u32) {
        self.shared.accounts.lockout(after);
    }

    /// Every item of every repository but the trash, as `repo/path`, folders included, in order.
    pub fn files(&self) -> Vec<String> {
        let state = self.shared.read();
        let mut files = Vec::new();
        for (key, repository) in &state.repositories {
            if key != TRASH {
                files.extend(repository.below("").map(|(path, _)| format!("{key}/{path}")));
            }
        }
        files
    }

    /// Stops listening and cuts every connection. What was received in part is gone, all else stays.
    pub async fn stop(&mut self) {
        for server in self.servers.drain(..) {
            server.abort();
            // It ends with the error that it was aborted.
            let _ = server.await;
        }
    }

    /// Stops, and starts on the same ports with the same content.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.stop().await;
        let mut listeners = Vec::new();
        for address in &self.addresses {
            listeners.push(TcpListener::bind(address).await?);
        }
        let storage = TcpListener::bind(self.storage_address).await?;
        self.servers = serve(&self.shared, listeners, storage);
        Ok(())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

fn serve(shared: &Arc<Shared>, listeners: Vec<TcpListener>, storage: TcpListener) -> Vec<JoinHandle<()>> {
    let spawn = |listener: TcpListener, router: Router| {
        let delay = shared.config.connect_delay;
        tokio::spawn(crate::server::accept(listener, router, Arc::clone(&shared.tally), delay))
    };
    let api = crate::service::router(shared);
    let mut servers: Vec<_> = listeners.into_iter().map(|listener| spawn(listener, api.clone())).collect();
    servers.push(spawn(storage, crate::cloud::router(shared)));
    servers
}

impl Builder {
    /// Starts it on the current Tokio runtime. It fails for a port that is taken, which the message names, and for a
    /// storage directory that cannot be used.
    pub async fn start(self) -> io::Result<Emulator> {
        let mut config = self.config;
        if config.listen.is_empty() {
            config.listen.push("127.0.0.1:0".to_owned());
        }
        let listeners = listen(&config.listen).await?;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let storage = TcpListener::bind("127.0.0.1:0").await?;
        let storage_address = storage.local_addr()?;
        let context = if config.context.is_empty() { String::new() } else { format!("/{}", config.context) };
        let store = Store::open(&config.storage)?;
        let shared = Arc::new(Shared {
            state: RwLock::new(open_state(&config)?),
            store,
            accounts: Accounts::new(&config),
            faults: Faults::default(),
            tally: Arc::default(),
            uploads: Mutex::default(),
            documents: Mutex::default(),
            secret: format!("{:032x}", rand::random::<u128>()),
            url: format!("http://{}{context}", addresses[0]),
            storage_url: format!("http://{storage_address}"),
            config,
        });
        let servers = serve(&shared, listeners, storage);
        Ok(Emulator { shared, addresses, storage_address, servers })
    }
}

async fn listen(addresses: &[String]) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn open_state(config: &Config) -> io::Result<State> {
    let mut state = match &config.storage {
        Storage::Memory => State::new(None, config.trash),
        Storage::Directory(root) => {
            Store::open(&config.storage)?;
            Journal::open(root, config.trash)?
        }
    };
    for (key, kind) in &config.repositories {
        if !state.repositories.contains_key(key) {
            state.add_repository(key, Repository::new(kind.clone(), settings_of(key, kind)));
        }
    }
    Ok(state)
}
