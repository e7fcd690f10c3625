//! Sending, and sending again.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use mlflow_artifacts_core::{Error, ErrorKind, Result, Retry};
use reqwest::NoProxy;
use tokio::runtime::{Handle, Id};
use tokio::time::{sleep, timeout};

use crate::config::Proxies;
use crate::deadline::Deadline;
use crate::error::transport_error;
use crate::trace::Trace;
use crate::upload::{Upload, prepare};
use crate::{Body, HttpOptions, Request, Response, tls};

/// The delay before the first repetition, if the server asks for none; it doubles with each one, up to the longest.
const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(16);
/// A server that asks for more than this is not waited for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(5);
/// How often a server is tried that has never answered: it is more likely to be misspelled than to come back.
pub const ATTEMPTS_AT_A_STRANGER: u32 = 3;
/// How many runtimes keep connections at the same time.
const MOST_RUNTIMES: usize = 8;

/// Sends requests over connections that it keeps. See the [crate's documentation](crate).
pub struct HttpClient {
    options: HttpOptions,
    current: Mutex<Vec<Current>>,
    /// Whether a server has answered ever.
    answered: AtomicBool,
    requests: AtomicU64,
}

/// Connections, which are served by tasks of one runtime in one process: another one gets its own.
struct Current {
    process: u32,
    runtime: Id,
    client: reqwest::Client,
}

impl Drop for Current {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            // A parent's connections: closing them would wake threads that a fork has not brought along, and may find their locks
            // closed for ever.
            std::mem::forget(self.client.clone());
        }
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the connections: they know the proxy's password.
        f.debug_struct("HttpClient").field("options", &self.options).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client with these options. Connects to nothing yet and reads no file: the first request does, and fails with
    /// [`ErrorKind::InvalidConfig`] if a certificate or a proxy cannot be used.
    pub fn new(options: HttpOptions) -> Self {
        HttpClient {
            options,
            current: Mutex::default(),
            answered: AtomicBool::new(false),
            requests: AtomicU64::new(0),
        }
    }

    /// Sends one request, once, and answers when the head of the response is there, whatever its status. Must run in a
    /// tokio runtime with time and I/O.
    ///
    /// Fails with [`ErrorKind::Connection`], [`ErrorKind::Timeout`], [`ErrorKind::Tls`], or with the error of the body's
    /// stream. A dropped call breaks the request off.
    pub async fn send(&self, mut request: Request) -> Result<Response> {
        let client = self.client()?;
        let trace = Trace::begin(&self.requests, &request, self.options.trace);
        let headers = request.all_headers()?;
        let builder = client.request(request.method.clone(), request.url.clone()).headers(headers);
        let (builder, upload) = prepare(builder, std::mem::replace(&mut request.body, Body::None));
        let deadline = self.options.transfer_timeout.map(Deadline::after);
        let patience =
            if request.is_patient { self.options.commit_timeout } else { self.options.read_timeout };
        let answer = Deadline::hold(deadline, self.await_answer(builder.send(), upload, patience)).await;
        match answer.flatten() {
            Ok(response) => {
                self.answered.store(true, Ordering::Relaxed);
                trace.answered(&response);
                Ok(Response::new(response, request, self.options.read_timeout, deadline))
            }
            Err(error) => {
                trace.failed(&error);
                Err(error)
            }
        }
    }

    async fn await_answer(
        &self,
        send: impl Future<Output = reqwest::Result<reqwest::Response>>,
        upload: Option<Upload>,
        patience: Duration,
    ) -> Result<reqwest::Response> {
        let Some(upload) = upload else {
            let answer = timeout(patience, send).await;
            return answer.map_err(|_| silence(patience))?.map_err(transport_error);
        };
        let (idle, commit) = (self.options.read_timeout, self.options.commit_timeout);
        let watched = upload.watch(send, idle, commit).await;
        watched.map_err(silence)?.map_err(|error| {
            // What broke the body off is what happened; the transport only noticed.
            upload.error().unwrap_or_else(|| transport_error(error))
        })
    }

    /// Repeats `operation` while it fails as [`Retry::Transient`], as often as configured, then answers its last error as
    /// [`Retry::Exhausted`].
    pub async fn retry<T, F: Future<Output = Result<T>>>(
        &self,
        mut operation: impl FnMut() -> F,
    ) -> Result<T> {
        let mut delays = ExponentialBuilder::default()
            .with_min_delay(FIRST_DELAY)
            .with_max_delay(LONGEST_DELAY)
            .with_max_times(self.options.retries)
            .with_jitter()
            .build();
        let mut attempts = 1;
        loop {
            let error = match operation().await {
                Ok(value) => return Ok(value),
                Err(error) if error.retry() != Retry::Transient => return Err(error.with_attempts(attempts)),
                Err(error) => error,
            };
            let asked = error.retry_after().unwrap_or_default();
            let is_stranger = matches!(error.kind(), ErrorKind::Connection | ErrorKind::Timeout)
                && !self.has_answered()
                && attempts >= ATTEMPTS_AT_A_STRANGER;
            match delays.next() {
                Some(delay) if asked <= LONGEST_RETRY_AFTER && !is_stranger => {
                    sleep(delay.max(asked)).await;
                }
                _ => return Err(error.with_retry(Retry::Exhausted).with_attempts(attempts)),
            }
            attempts += 1;
        }
    }

    /// Whether a server has answered this client ever, with whatever status.
    pub fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// How it connects, waits and repeats.
    pub fn options(&self) -> &HttpOptions {
        &self.options
    }

    /// Forgets the connections. A request after it makes new ones.
    pub fn close(&self) {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn client(&self) -> Result<reqwest::Client> {
        let (process, runtime) = (std::process::id(), Handle::current().id());
        let current = || self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let is_ours = |current: &&Current| current.process == process && current.runtime == runtime;
        if let Some(Current { client, .. }) = current().iter().find(is_ours) {
            return Ok(client.clone());
        }
        // Not while others wait: it reads files. Of two that are made at once both work.
        let client = build(&self.options)?;
        let mut current = current();
        if current.len() == MOST_RUNTIMES {
            current.remove(0);
        }
        current.push(Current { process, runtime, client: client.clone() });
        Ok(client)
    }
}

fn build(options: &HttpOptions) -> Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::config(options)?)
        .user_agent(&options.user_agent)
        .connect_timeout(options.connect_timeout)
        // A server that takes nothing for a while is silent, not gone: without this the system cuts it off after 30 s.
        .tcp_user_timeout(options.read_timeout)
        // Followed by the backend, which knows what its server means by one.
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_idle_timeout(Duration::from_secs(50))
        // Only what the options say.
        .no_proxy();
    let client = proxies(&options.proxies)?.into_iter().fold(builder, reqwest::ClientBuilder::proxy).build();
    client
        .map_err(|error| Error::new(ErrorKind::Internal, format!("the HTTP client cannot be made: {error}")))
}

fn proxies(proxies: &Proxies) -> Result<Vec<reqwest::Proxy>> {
    type Make = fn(&str) -> reqwest::Result<reqwest::Proxy>;
    let none_for = proxies.none_for.as_deref();
    if none_for.is_some_and(|hosts| hosts.trim() == "*") {
        return Ok(Vec::new());
    }
    let exceptions = none_for.and_then(NoProxy::from_string);
    let refused = |defect: &str| {
        let message = format!("the address of the proxy {defect}");
        Error::new(ErrorKind::InvalidConfig, message).with_help("give http://host:port")
    };
    let made = |make: Make, address: &String| {
        // Any other scheme would be passed over, and the proxy with it.
        let scheme = address.split_once("://").map_or("http", |(scheme, _)| scheme);
        if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(refused("is none of HTTP"));
        }
        let proxy = make(address).map_err(|_| refused("is no URL"))?;
        Ok(proxy.no_proxy(exceptions.clone()))
    };
    let http = proxies.http.iter().map(|address| made(|address| reqwest::Proxy::http(address), address));
    let https = proxies.https.iter().map(|address| made(|address| reqwest::Proxy::https(address), address));
    http.chain(https).collect()
}

/// The error of a server that says nothing.
pub(crate) fn silence(waited: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("the server was silent for {} s", waited.as_secs_f32()))
        .with_retry(Retry::Transient)
}
