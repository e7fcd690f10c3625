//! One SFTP session: many requests at once over a channel, answers matched to them.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use mlflow_artifacts_core::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::error::{Failure, status, unexpected};
use crate::packet::{
    self, Answer, Attributes, Encoded, Malformed, Name, Packets, Request, VERSION, extension,
};

/// What every server takes (draft-ietf-secsh-filexfer-02, section 3).
const USUAL_LENGTH: u32 = 32 << 10;
/// What OpenSSH answers at most: a packet of 256 KiB with something around it.
const LONGEST_READ: u32 = 255 << 10;
/// Longer packets are taken, but OpenSSH's server is slower with them (measured: by a quarter).
const LONGEST_WRITE: u32 = 64 << 10;
/// Pieces up to this size are put together before they are sent: a packet of SSH costs more than a copy.
const SMALL: usize = 32 << 10;

/// What the server offers beyond the draft.
#[derive(Clone, Debug)]
pub(crate) struct Features {
    /// The names of its extensions.
    pub(crate) extensions: Vec<String>,
    /// The most bytes that one request reads.
    pub(crate) read_length: u32,
    /// The most bytes that one request writes.
    pub(crate) write_length: u32,
}

impl Features {
    pub(crate) fn has(&self, extension: &str) -> bool {
        self.extensions.iter().any(|name| name == extension)
    }
}

/// A session. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    requests: Requests,
    features: Features,
    tasks: [AbortHandle; 2],
}

impl Drop for Session {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Session {
    /// Begins a session over a channel whose subsystem is `sftp`. It ends by itself when answers are awaited and the server is
    /// silent for `patience`. Why the channel ended, `farewell` says.
    pub(crate) async fn begin<I, O>(
        incoming: I,
        outgoing: O,
        patience: Duration,
        farewell: impl Fn() -> Failure + Send + 'static,
    ) -> Result<Self>
    where
        I: Stream<Item = Bytes> + Send + Unpin + 'static,
        O: Sink<Bytes> + Send + Unpin + 'static,
    {
        let (queue, queued) = mpsc::unbounded_channel();
        let (first, version) = oneshot::channel();
        let requests = Requests(Arc::new(Shared { queue, table: Mutex::default() }));
        let ends = EndsWithTask(requests.clone());
        let receiving = tokio::spawn(receive(incoming, ends, first, patience, farewell));
        let sending = tokio::spawn(transmit(queued, outgoing));
        let features =
            Features { extensions: Vec::new(), read_length: USUAL_LENGTH, write_length: USUAL_LENGTH };
        let mut session =
            Session { requests, features, tasks: [receiving.abort_handle(), sending.abort_handle()] };
        session.introduce(version).await?;
        Ok(session)
    }

    async fn introduce(&mut self, version: oneshot::Receiver<(u32, Vec<String>)>) -> Result<()> {
        self.requests.0.enqueue(packet::init());
        let Ok((version, extensions)) = version.await else { return Err(self.requests.0.failure().error()) };
        if version != VERSION {
            let message = format!("the SFTP server speaks version {version}, not {VERSION}");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        self.features.extensions = extensions;
        if self.features.has(extension::LIMITS) {
            let Answer::Extended(told) = self.requests.send(&Request::Limits).await? else {
                return Err(unexpected("tell its limits"));
            };
            let (read, write) = packet::limits(told)?;
            self.features.read_length = length_within(read, LONGEST_READ);
            self.features.write_length = length_within(write, LONGEST_WRITE);
        }
        Ok(())
    }

    pub(crate) fn features(&self) -> &Features {
        &self.features
    }

    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }
}

/// The length of requests where the server told its limit; 0 stands for none.
fn length_within(told: u64, longest: u32) -> u32 {
    match u32::try_from(told) {
        Ok(0) => USUAL_LENGTH,
        told => told.unwrap_or(longest).min(longest),
    }
}

/// Where requests of a session are made.
#[derive(Clone, Debug)]
pub(crate) struct Requests(Arc<Shared>);

struct Shared {
    queue: mpsc::UnboundedSender<Encoded>,
    table: Mutex<Table>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Who waits for which answer.
#[derive(Default)]
struct Table {
    waiting: HashMap<u32, oneshot::Sender<Answer>>,
    next: u32,
    /// Since when somebody waits all the time.
    since: Option<Instant>,
    ended: Option<Failure>,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What cannot be queued is noticed by who waits for the answer.
    fn enqueue(&self, packet: Encoded) {
        let _ = self.queue.send(packet);
    }

    fn end(&self, failure: Failure) {
        let mut table = self.table();
        table.ended.get_or_insert(failure);
        // Whoever waits is told by this.
        table.waiting.clear();
    }

    fn failure(&self) -> Failure {
        let ended = self.table().ended.clone();
        ended.unwrap_or_else(|| Failure::connection("the connection to the SFTP server is closed"))
    }
}

impl Requests {
    /// Sends a request at once, in the order of the calls; the answer may be awaited later, or never.
    pub(crate) fn send(&self, request: &Request<'_>) -> Pending {
        let (sender, receiver) = oneshot::channel();
        let mut table = self.0.table();
        if table.ended.is_none() {
            // Among 2^32 ids one is free long before it comes round.
            while table.waiting.contains_key(&table.next) {
                table.next = table.next.wrapping_add(1);
            }
            let id = table.next;
            table.next = id.wrapping_add(1);
            table.since.get_or_insert_with(Instant::now);
            table.waiting.insert(id, sender);
            // Within the lock, so that ids and packets have one order.
            self.0.enqueue(request.encode(id));
        }
        drop(table);
        Pending { receiver, shared: Arc::clone(&self.0) }
    }

    /// Closes a handle without waiting for it.
    pub(crate) fn forget(&self, handle: &Bytes) {
        drop(self.send(&Request::Close { handle }));
    }

    /// Whether nothing can be asked any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.table().ended.is_some()
    }

    fn accept(&self, packet: Bytes) -> Result<(), Malformed> {
        let (id, answer) = Answer::decode(packet)?;
        let mut table = self.0.table();
        let Some(waiting) = table.waiting.remove(&id) else {
            return Err(Malformed("an answer to what was not asked"));
        };
        if table.waiting.is_empty() {
            table.since = None;
        }
        drop(table);
        if let Err(Answer::Handle(handle)) = waiting.send(answer) {
            // Who asked for it is gone.
            self.forget(&handle);
        }
        Ok(())
    }
}

/// An answer that is on its way.
#[derive(Debug)]
pub(crate) struct Pending {
    receiver: oneshot::Receiver<Answer>,
    shared: Arc<Shared>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        // What arrives from now on is closed where it arrives.
        self.receiver.close();
        if let Ok(Answer::Handle(handle)) = self.receiver.try_recv() {
            Requests(Arc::clone(&self.shared)).forget(&handle);
        }
    }
}

impl Future for Pending {
    type Output = Result<Answer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver)
            .poll(context)
            .map(|answer| answer.map_err(|_| self.shared.failure().error()))
    }
}

impl Pending {
    /// The answer to what answers nothing but success.
    pub(crate) async fn done(self, doing: &str) -> Result<()> {
        Pending::check(self.await, doing)
    }

    /// What [`done`](Pending::done) makes of an answer.
    pub(crate) fn check(answer: Result<Answer>, doing: &str) -> Result<()> {
        match answer? {
            Answer::Status { code: 0, .. } => Ok(()),
            other => Err(refused(other, doing)),
        }
    }

    /// The answer to what opens something.
    pub(crate) async fn handle(self, doing: &str) -> Result<Bytes> {
        match self.await? {
            Answer::Handle(handle) => Ok(handle),
            other => Err(refused(other, doing)),
        }
    }

    /// The answer to what asks for attributes.
    pub(crate) async fn attributes(self, doing: &str) -> Result<Attributes> {
        match self.await? {
            Answer::Attributes(attributes) => Ok(attributes),
            other => Err(refused(other, doing)),
        }
    }

    /// The answer to a read; `None` at the end of the file.
    pub(crate) async fn data(self, doing: &str) -> Result<Option<Bytes>> {
        match self.await? {
            Answer::Data(data) => Ok(Some(data)),
            Answer::Status { code: 1, .. } => Ok(None),
            other => Err(refused(other, doing)),
        }
    }

    /// The answer to a piece of a listing; `None` at its end.
    pub(crate) async fn names(self, doing: &str) -> Result<Option<Vec<Name>>> {
        match self.await? {
            Answer::Names(names) => Ok(Some(names)),
            Answer::Status { code: 1, .. } => Ok(None),
            other => Err(refused(other, doing)),
        }
    }
}

fn refused(answer: Answer, doing: &str) -> Error {
    match answer {
        Answer::Status { code, message } if code != 0 => status(code, &message, doing),
        _ => unexpected(doing),
    }
}

/// Ends the session with the task that receives, also where that goes with its runtime.
struct EndsWithTask(Requests);

impl Drop for EndsWithTask {
    fn drop(&mut self) {
        self.0.0.end(Failure::connection("the connection to the SFTP server is closed"));
    }
}

async fn receive(
    mut incoming: impl Stream<Item = Bytes> + Unpin,
    requests: EndsWithTask,
    first: oneshot::Sender<(u32, Vec<String>)>,
    patience: Duration,
    farewell: impl Fn() -> Failure,
) {
    let requests = &requests.0;
    let mut packets = Packets::default();
    let mut first = Some(first);
    let mut take = |piece: Bytes| -> Result<(), Malformed> {
        packets.push(piece);
        while let Some(packet) = packets.next()? {
            if first.is_none() {
                requests.accept(packet)?;
                continue;
            }
            // Whoever waits for it is told why it does not come, so it is kept until it is understood.
            let told = packet::version(packet)?;
            if let Some(first) = first.take() {
                // Who asked for it may be gone, and the session with it.
                let _ = first.send(told);
            }
        }
        Ok(())
    };
    let mut heard = Instant::now();
    let failure = loop {
        match tokio::time::timeout_at(heard + patience, incoming.next()).await {
            Ok(Some(piece)) => {
                heard = Instant::now();
                if let Err(malformed) = take(piece) {
                    break malformed.into();
                }
            }
            Ok(None) => break farewell(),
            Err(_) => match requests.0.table().since {
                Some(since) if since.max(heard).elapsed() >= patience => {
                    let message = format!("the SFTP server was silent for {} seconds", patience.as_secs());
                    break Failure { kind: ErrorKind::Timeout, message };
                }
                Some(since) => heard = heard.max(since),
                None => heard = Instant::now(),
            },
        }
    };
    log::debug!("an SFTP session ended: {}", failure.message);
    requests.0.end(failure);
}

/// Sends what is queued. It ends with the channel, whose end is noticed where answers are received.
async fn transmit(mut queued: mpsc::UnboundedReceiver<Encoded>, mut outgoing: impl Sink<Bytes> + Unpin) {
    const AT_ONCE: usize = 64;
    let mut taken = Vec::with_capacity(AT_ONCE);
    while queued.recv_many(&mut taken, AT_ONCE).await > 0 {
        for piece in joined(taken.drain(..)) {
            if outgoing.send(piece).await.is_err() {
                return;
            }
        }
    }
}

/// Puts small pieces together, and leaves large ones as they are.
fn joined(packets: impl Iterator<Item = Encoded>) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut small = BytesMut::new();
    for Encoded { head, content } in packets {
        small.extend_from_slice(&head);
        if content.len() <= SMALL {
            small.extend_from_slice(&content);
        } else {
            pieces.push(small.split().freeze());
            pieces.push(content);
        }
    }
    if !small.is_empty() {
        pieces.push(small.freeze());
    }
    pieces
}
