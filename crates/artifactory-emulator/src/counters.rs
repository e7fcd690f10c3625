//! What the emulator has seen: speed claims need numbers.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// How much of everything happened since the start or the last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// TCP connections accepted, the storage origin's included.
    pub connections: u64,
    /// All requests, the control API's excepted.
    pub requests: u64,
    /// PUTs of content.
    pub deploy: u64,
    /// PUTs that ask for a deploy by checksum.
    pub checksum_deploy: u64,
    /// Those of them that found the content.
    pub checksum_deploy_hits: u64,
    /// GETs of items.
    pub download: u64,
    /// HEADs of items.
    pub head: u64,
    /// File lists.
    pub list: u64,
    /// File and folder infos.
    pub info: u64,
    /// AQL queries.
    pub aql: u64,
    /// DELETEs of items.
    pub delete: u64,
    /// Reads and writes of properties.
    pub properties: u64,
    /// Requests to the multipart upload API, parts included.
    pub multipart: u64,
    /// Copies and moves.
    pub copy: u64,
    /// Requests to the storage origin, parts included.
    pub storage: u64,
    /// All others.
    pub other: u64,
    /// Bytes of request bodies.
    pub bytes_received: u64,
    /// Bytes of response bodies.
    pub bytes_sent: u64,
    /// Answers with status 401.
    pub unauthenticated: u64,
    /// Answers with status 403.
    pub forbidden: u64,
    /// Requests that showed credentials to the storage origin.
    pub requests_with_credentials_at_storage: u64,
}

/// The kind of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Deploy,
    ChecksumDeploy,
    ChecksumDeployHit,
    Download,
    Head,
    List,
    Info,
    Aql,
    Delete,
    Properties,
    Multipart,
    Copy,
    Storage,
    Other,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    counters: Mutex<Counters>,
}

impl Tally {
    pub(crate) fn edit(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, kind: Kind) {
        let mut counters = self.edit();
        let field = match kind {
            Kind::Deploy => &mut counters.deploy,
            Kind::ChecksumDeploy => &mut counters.checksum_deploy,
            Kind::ChecksumDeployHit => &mut counters.checksum_deploy_hits,
            Kind::Download => &mut counters.download,
            Kind::Head => &mut counters.head,
            Kind::List => &mut counters.list,
            Kind::Info => &mut counters.info,
            Kind::Aql => &mut counters.aql,
            Kind::Delete => &mut counters.delete,
            Kind::Properties => &mut counters.properties,
            Kind::Multipart => &mut counters.multipart,
            Kind::Copy => &mut counters.copy,
            Kind::Storage => &mut counters.storage,
            Kind::Other => &mut counters.other,
        };
        *field += 1;
    }
}
