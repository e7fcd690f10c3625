//! The numbers of a server, as Prometheus reads them, on a listener of their own.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{AccessLog, Outcome};
use crate::budget::Budget;
use crate::security::text as answer;

/// Upper bounds, in seconds: from a small file on a local disk to gigabytes on a slow line.
const DURATIONS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0, 1800.0];

/// How many may read the numbers at once.
const READERS: usize = 8;

/// How long who reads them may take, for head and answer together.
const READING: Duration = Duration::from_secs(10);

const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What numbers are kept for. Each has a few values only: the routes of the server, the known methods, the classes of statuses.
type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];

/// The numbers of one server. Clones are of the same.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    requests: Family<Labels<3>, Counter>,
    durations: Family<Labels<2>, Histogram, fn() -> Histogram>,
    first_bytes: Family<Labels<2>, Histogram, fn() -> Histogram>,
    broken_off: Family<Labels<1>, Counter>,
    received: Counter,
    sent: Counter,
    in_flight: Gauge,
    connections: Gauge,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    pub(crate) fn new(budget: Budget, access_log: Option<AccessLog>) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(DURATIONS);
        let mut inner = Inner {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(histogram),
            first_bytes: Family::new_with_constructor(histogram),
            broken_off: Family::default(),
            received: Counter::default(),
            sent: Counter::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
        };
        let mut registry = Registry::default();
        inner.register(registry.sub_registry_with_prefix("mlflow_artifacts"));
        registry.register_collector(Box::new(Looked { budget, access_log }));
        inner.registry = registry;
        Metrics(Arc::new(inner))
    }

    pub(crate) fn request_begins(&self) {
        self.0.in_flight.inc();
    }

    pub(crate) fn request_ends(
        &self,
        route: Cow<'static, str>,
        method: &Method,
        status: Option<StatusCode>,
        outcome: Outcome,
        duration: Duration,
        first_byte: Option<Duration>,
    ) {
        let numbers = &*self.0;
        numbers.in_flight.dec();
        let (route, method) = (("route", route), ("method", Cow::Borrowed(known(method))));
        let status = ("status", Cow::Borrowed(class(status)));
        numbers.requests.get_or_create(&[route.clone(), method.clone(), status]).inc();
        let labels = [route, method];
        numbers.durations.get_or_create(&labels).observe(duration.as_secs_f64());
        if let Some(first_byte) = first_byte {
            numbers.first_bytes.get_or_create(&labels).observe(first_byte.as_secs_f64());
        }
        if outcome != Outcome::Complete {
            numbers.broken_off.get_or_create(&[("outcome", Cow::Borrowed(outcome.name()))]).inc();
        }
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.0.received.inc_by(bytes);
    }

    pub(crate) fn sent(&self, bytes: u64) {
        self.0.sent.inc_by(bytes);
    }

    /// A connection counts until the answer is dropped.
    pub(crate) fn connection(&self) -> Open {
        self.0.connections.inc();
        Open(self.0.connections.clone())
    }

    /// Answers `GET /metrics` in the text format of `OpenMetrics`, and `GET /health`, until the future is dropped. It asks nobody who they are,
    /// and tells nothing of artifacts, stores or users: the listener is to be one that only its reader can reach.
    pub async fn serve(self, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(READERS));
        loop {
            // The semaphore is never closed.
            let permit = Arc::clone(&room).acquire_owned().await.ok();
            match listener.accept().await {
                Ok((stream, _)) => {
                    let metrics = self.clone();
                    tokio::spawn(async move {
                        let _ = tokio::time::timeout(READING, metrics.answer(stream)).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    log::warn!("a connection for metrics cannot be taken: {error}");
                    tokio::time::sleep(crate::server::PAUSE).await;
                }
            }
        }
    }

    async fn answer(self, stream: TcpStream) {
        let service = service_fn(move |request: Request<Incoming>| {
            let response = match (request.method(), request.uri().path()) {
                (&Method::GET, "/metrics") => self.told(),
                (&Method::GET, "/health") => answer(StatusCode::OK, "OK"),
                _ => answer(StatusCode::NOT_FOUND, "there are /metrics and /health"),
            };
            async { Ok::<_, Infallible>(response) }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).keep_alive(false);
        if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
            log::debug!("a connection for metrics ended: {error}");
        }
    }

    fn told(&self) -> Response<Body> {
        let mut told = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut told, &self.0.registry);
        let mut response = Response::new(Body::from(told));
        response.headers_mut().insert(CONTENT_TYPE, OPENMETRICS);
        response
    }
}

impl Inner {
    fn register(&self, registry: &mut Registry) {
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What is running", build);
        registry.register(
            "http_requests",
            "Requests that are over, by the class of their status",
            self.requests.clone(),
        );
        let help = "From the head of a request to the end of its answer";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, self.durations.clone());
        let help = "From the head of a request to the head of its answer";
        registry.register_with_unit("http_first_byte", help, Unit::Seconds, self.first_bytes.clone());
        let help = "Requests that did not end with a whole answer, by reason";
        registry.register("http_requests_broken_off", help, self.broken_off.clone());
        registry.register_with_unit(
            "http_received",
            "Content of requests",
            Unit::Bytes,
            self.received.clone(),
        );
        registry.register_with_unit("http_sent", "Content of answers", Unit::Bytes, self.sent.clone());
        registry.register("http_requests_in_flight", "Requests that are not over", self.in_flight.clone());
        registry.register("http_connections", "Connections that are open", self.connections.clone());
    }
}

/// A connection that is open.
pub(crate) struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A method by its name, if it is one that anybody uses: clients may invent as many as they like.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

fn class(status: Option<StatusCode>) -> &'static str {
    match status.map(|status| status.as_u16() / 100) {
        Some(1) => "1xx",
        Some(2) => "2xx",
        Some(3) => "3xx",
        Some(4) => "4xx",
        Some(5) => "5xx",
        _ => "none",
    }
}

/// What is looked at when somebody asks.
#[derive(Debug)]
struct Looked {
    budget: Budget,
    access_log: Option<AccessLog>,
}

impl Collector for Looked {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: u64| {
            let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            value.encode(encoder.encode_descriptor(
                name,
                help,
                unit,
                prometheus_client::metrics::MetricType::Gauge,
            )?)
        };
        let bytes = Some(&Unit::Bytes);
        let (used, limit) = (self.budget.used() as u64, self.budget.limit() as u64);
        gauge("mlflow_artifacts_upload_memory", "Content of uploads in memory", bytes, used)?;
        gauge("mlflow_artifacts_upload_memory_limit", "How much of it there may be", bytes, limit)?;
        // As Prometheus's own clients name them.
        if let Some(resident) = resident() {
            gauge("process_resident_memory", "Resident memory size in bytes", bytes, resident)?;
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            gauge("process_open_fds", "Number of open file descriptors", None, files.count() as u64)?;
        }
        if let Ok((files, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
            gauge("process_max_fds", "Maximum number of open file descriptors", None, files)?;
        }
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let seconds = [usage.user_time(), usage.system_time()].map(|time| {
                let (whole, micros) = (time.tv_sec(), time.tv_usec());
                Duration::from_secs(whole.unsigned_abs()) + Duration::from_micros(micros.unsigned_abs())
            });
            let help = "Total user and system CPU time spent in seconds";
            let spent = ConstCounter::new(seconds.iter().sum::<Duration>().as_secs_f64());
            let kind = prometheus_client::metrics::MetricType::Counter;
            spent.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), kind)?)?;
        }
        if let Some(log) = &self.access_log {
            let help = "Lines of the access log that were dropped, as nobody read them fast enough";
            let kind = prometheus_client::metrics::MetricType::Counter;
            let name = "mlflow_artifacts_access_log_dropped_lines";
            ConstCounter::new(log.dropped()).encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}

/// How much memory this process has, in bytes (`proc_pid_status(5)`).
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}
