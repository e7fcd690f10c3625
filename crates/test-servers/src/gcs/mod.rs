//! Google Cloud Storage, as its XML API speaks.

mod content;
mod list;
mod multipart;
mod objects;
mod refusal;
mod service;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::connection;
use crate::gcs::multipart::Upload;
use crate::gcs::objects::Object;
use crate::hosted::Hosted;

/// A Google Cloud Storage in memory: objects with generations, preconditions, ranges, `Content-MD5` and `x-goog-hash`, copies, listings in pages of
/// a thousand, and uploads in parts, which must be known, in order and large enough. It wants a bearer token.
///
/// What the real one has and this has not: the JSON API, resumable uploads, signed URLs, whoever issues tokens, versions of an object
/// that was replaced, lists of uploads, the parts in a list of parts, buckets that are made or deleted, and limits on how often an
/// object is written. That nothing else can stand for it is why it is here: no server that could be had knows the XML API's uploads in
/// parts.
#[derive(Debug)]
pub struct Gcs {
    hosted: Hosted,
    shared: Arc<Mutex<State>>,
}

/// All that it keeps.
#[derive(Debug, Default)]
struct State {
    buckets: BTreeMap<String, BTreeMap<String, Object>>,
    uploads: BTreeMap<String, Upload>,
    /// The generation of the newest object: no two are the same.
    generation: u64,
    token: String,
    read_only_token: String,
    /// Whoever asks may do everything.
    is_open: bool,
}

impl Gcs {
    /// Starts one that has these buckets.
    pub fn start(buckets: &[&str]) -> Self {
        let state = State {
            buckets: buckets.iter().map(|name| ((*name).to_owned(), BTreeMap::new())).collect(),
            // Generations are large numbers.
            generation: 1_700_000_000_000_000,
            token: new_token(),
            read_only_token: new_token(),
            uploads: BTreeMap::new(),
            is_open: false,
        };
        let shared = Arc::new(Mutex::new(state));
        let serving = Arc::clone(&shared);
        let hosted = Hosted::start("gcs", |listener| {
            connection::accept(listener, move |request, _| service::answer(Arc::clone(&serving), request))
        });
        Gcs { hosted, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.hosted.address()
    }

    /// Its base URL: buckets are the first part of the path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The bearer token that may do everything.
    pub fn token(&self) -> String {
        lock(&self.shared).token.clone()
    }

    /// A bearer token that may read and list.
    pub fn read_only_token(&self) -> String {
        lock(&self.shared).read_only_token.clone()
    }

    /// Lets the token expire; [`token`](Gcs::token) is another one then.
    pub fn expire_token(&self) {
        lock(&self.shared).token = new_token();
    }

    /// Lets everyone do everything, with any token and with none, as emulators do.
    pub fn trust_everyone(&self) {
        lock(&self.shared).is_open = true;
    }

    /// How many uploads in parts were begun and neither completed nor given up.
    pub fn open_uploads(&self) -> usize {
        lock(&self.shared).uploads.len()
    }
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn new_token() -> String {
    format!("ya29.{:032x}", rand::random::<u128>())
}
