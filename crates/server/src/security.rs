//! Which requests are answered at all: those to a name of ours, and no changes by pages of strangers.
//!
//! The rules are those of MLflow (`mlflow/server/security_utils.py`), against DNS rebinding and forged requests.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, HeaderName, ORIGIN, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};
use url::{Host, Url};
use wildmatch::WildMatch;

use crate::ServerOptions;

/// What requests are measured by.
#[derive(Debug)]
pub(crate) struct Rules {
    hosts: Vec<WildMatch>,
    origins: Vec<WildMatch>,
    frame_options: Option<HeaderValue>,
    /// Whose host is not looked at: probes come with any.
    exempt: [String; 2],
    /// What notebooks show within themselves (`mlflow/tracing/constant.py`, `TRACE_RENDERER_ASSET_PATH`).
    framed: String,
}

impl Rules {
    pub(crate) fn new(options: &ServerOptions) -> Self {
        let patterns = |texts: &[String]| texts.iter().map(|text| WildMatch::new(text)).collect();
        let frame_options = options.x_frame_options.to_ascii_uppercase();
        let frame_options = HeaderValue::try_from(frame_options).ok().filter(|value| value != "NONE");
        let exempt = ["/health", "/version"].map(|path| format!("{}{path}", options.static_prefix));
        Rules {
            hosts: patterns(&options.allowed_hosts),
            origins: patterns(&options.cors_allowed_origins),
            frame_options: frame_options.filter(|value| !value.is_empty()),
            exempt,
            framed: format!("{}/static-files/lib/notebook-trace-renderer", options.static_prefix),
        }
    }

    fn allows_host(&self, host: &str) -> bool {
        if self.hosts.is_empty() {
            return is_near(host);
        }
        let name = without_port(host);
        self.hosts.iter().any(|pattern| pattern.matches(host) || pattern.matches(name))
    }

    pub(crate) fn allows_origin(&self, origin: &str) -> bool {
        is_of_this_machine(origin) || self.origins.iter().any(|pattern| pattern.matches(origin))
    }

    /// Why a request is not answered.
    fn refusal(&self, request: &Request) -> Option<&'static str> {
        let header = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
        let is_exempt = self.exempt.iter().any(|path| path == request.uri().path());
        if !is_exempt && !header(HOST).is_some_and(|host| self.allows_host(host)) {
            log::warn!("refused a request with the Host {:.200?}", header(HOST).unwrap_or_default());
            return Some("Invalid Host header - possible DNS rebinding attack detected");
        }
        let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let origin = header(ORIGIN).filter(|_| !is_safe)?;
        if self.allows_origin(origin) {
            return None;
        }
        log::warn!("refused a change by a page of {origin:.200?}");
        Some("Cross-origin request blocked")
    }

    /// Answers browsers that ask whether a page of another origin may do something.
    pub(crate) fn cors(self: &Arc<Self>) -> CorsLayer {
        let methods = [
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
        ];
        let layer = CorsLayer::new().allow_methods(methods);
        if self.origins.iter().any(|pattern| pattern.matches("*")) {
            // Without credentials: a browser would send those of its user for any page.
            return layer.allow_origin(Any).allow_headers(Any).expose_headers(Any);
        }
        let rules = Arc::clone(self);
        let allowed = move |origin: &HeaderValue, _: &axum::http::request::Parts| {
            origin.to_str().is_ok_and(|origin| rules.allows_origin(origin))
        };
        layer
            .allow_origin(AllowOrigin::predicate(allowed))
            .allow_credentials(true)
            .allow_headers(tower_http::cors::AllowHeaders::mirror_request())
            .expose_headers(EXPOSED)
    }
}

/// What pages of allowed origins may read of an answer, beside what each may.
const EXPOSED: [HeaderName; 4] = [
    axum::http::header::ACCEPT_RANGES,
    axum::http::header::CONTENT_DISPOSITION,
    axum::http::header::CONTENT_RANGE,
    axum::http::header::ETAG,
];

/// Refuses requests to hosts that are not ours, and changes by pages of strangers.
pub(crate) async fn guard(State(rules): State<Arc<Rules>>, request: Request, next: Next) -> Response {
    match rules.refusal(&request) {
        Some(refusal) => text(StatusCode::FORBIDDEN, refusal),
        None => next.run(request).await,
    }
}

/// Adds to every answer what keeps browsers from taking it for something else.
pub(crate) async fn label(State(rules): State<Arc<Rules>>, request: Request, next: Next) -> Response {
    let may_be_framed = request.uri().path().starts_with(&rules.framed);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(value) = rules.frame_options.as_ref().filter(|_| !may_be_framed) {
        headers.insert(X_FRAME_OPTIONS, value.clone());
    }
    response
}

pub(crate) fn text(status: StatusCode, text: &'static str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// Whether a `Host` names this machine or an address of a private network, with any port.
fn is_near(host: &str) -> bool {
    let name = without_port(host);
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    match name.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_unspecified() || address.is_private(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local(),
        Err(_) => false,
    }
}

fn is_of_this_machine(origin: &str) -> bool {
    match Url::parse(origin).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(hosts: &[&str], origins: &[&str]) -> Rules {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let options = ServerOptions {
            allowed_hosts: texts(hosts),
            cors_allowed_origins: texts(origins),
            ..ServerOptions::default()
        };
        Rules::new(&options)
    }

    #[test]
    fn this_machine_and_private_networks_are_answered_where_nothing_is_said() {
        let rules = rules(&[], &[]);
        for host in [
            "localhost",
            "LOCALHOST:5000",
            "127.0.0.1:5000",
            "[::1]",
            "[::1]:5000",
            "0.0.0.0:80",
            "10.1.2.3",
            "192.168.0.9:1",
            "172.16.0.1",
            "172.31.255.255:5000",
            "[fd00::1]:5000",
        ] {
            assert!(rules.allows_host(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "10.evil.example",
            "192.168.1.1.evil.example",
            "172.32.0.1",
            "8.8.8.8",
            "localhost.evil.example",
            "127.0.0.1.evil.example:5000",
            "[2001:db8::1]",
            "evil.example:localhost",
        ] {
            assert!(!rules.allows_host(host), "{host}");
        }
    }

    #[test]
    fn hosts_that_are_named_are_answered_and_no_others() {
        let rules = rules(&["mlflow.example", "*.corp.example", "exact.example:8443"], &[]);
        for host in ["mlflow.example", "mlflow.example:5000", "a.corp.example:1", "exact.example:8443"] {
            assert!(rules.allows_host(host), "{host}");
        }
        for host in ["localhost", "evil.example", "mlflow.example.evil.example", "exact.example:1"] {
            assert!(!rules.allows_host(host), "{host}");
        }
    }

    #[test]
    fn pages_of_this_machine_and_of_named_origins_may_change_things() {
        let rules = rules(&[], &["https://*.corp.example", "http://one.example:8080"]);
        for origin in [
            "http://localhost:3000",
            "http://127.0.0.1",
            "https://[::1]:1",
            "https://a.corp.example",
            "http://one.example:8080",
        ] {
            assert!(rules.allows_origin(origin), "{origin}");
        }
        for origin in
            ["null", "", "https://evil.example", "http://localhost.evil.example", "http://one.example"]
        {
            assert!(!rules.allows_origin(origin), "{origin}");
        }
    }
}
