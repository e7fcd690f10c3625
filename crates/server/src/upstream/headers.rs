//! What of a request's and an answer's headers is passed on.

use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, FORWARDED,
    HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LOCATION, ORIGIN,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use url::Url;

use crate::access::FORWARDED_USER;
use crate::observe::X_REQUEST_ID;
use crate::refusal::{Code, Refusal};
use crate::server::Peer;
use crate::upstream::Upstream;
use crate::workspace;

/// What is for the next one on the way alone (RFC 9110, section 7.6.1), and trailers, which are not passed on.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What is about the content that a client wants or sends, not about who it is.
const ABOUT_CONTENT: [HeaderName; 11] = [
    ACCEPT,
    ACCEPT_ENCODING,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What this server is called on the way (RFC 9110, section 7.6.3), and how often a request comes by before it is taken for one that
/// goes around for ever.
const OURS: &str = "1.1 mlflow-artifacts";
const ROUNDS: usize = 4;

/// Makes of a client's headers those that the tracking server gets.
///
/// `Host` is the tracking server's own: by default MLflow answers to names of its machine and its network alone, and ours may be any. It
/// writes `Host` into redirects, which come back as paths ([`inward`]), and into URLs by which it calls itself. Nobody but us knows who asked
/// by which name: that is said anew.
pub(crate) fn outward(
    headers: &mut HeaderMap,
    peer: Option<Peer>,
    upstream: &Upstream,
) -> Result<(), Refusal> {
    let host = headers.get(HOST).cloned();
    strip(headers);
    // WSGI would take them for others, with hyphens.
    let ambiguous: Vec<_> = headers.keys().filter(|name| name.as_str().contains('_')).cloned().collect();
    for name in ambiguous {
        headers.remove(name);
    }
    headers.remove(EXPECT);
    headers.remove(CONTENT_LENGTH);
    headers.remove(FORWARDED);
    if upstream.is_guarded {
        // It was looked at here, by the same rules; there it could not be known for one of ours.
        headers.remove(ORIGIN);
    }
    pass_through(headers)?;
    headers.insert(HOST, upstream.authority.clone());
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    match host {
        Some(host) => headers.insert(FORWARDED_HOST, host),
        None => headers.remove(FORWARDED_HOST),
    };
    if let Some(peer) = peer {
        append(headers, FORWARDED_FOR, &peer.address.ip().to_canonical().to_string());
        // Who speaks TLS for us says so.
        let is_said = headers.get(FORWARDED_PROTO).is_some_and(|proto| proto == "https" || proto == "http");
        if !is_said {
            let proto = if peer.is_encrypted { "https" } else { "http" };
            headers.insert(FORWARDED_PROTO, HeaderValue::from_static(proto));
        }
    }
    Ok(())
}

/// Who asks, without what they ask for.
pub(crate) fn of_caller(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    strip(&mut headers);
    for name in &ABOUT_CONTENT {
        headers.remove(name);
    }
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers
}

/// Makes of the tracking server's headers those that the client gets. A redirect to the tracking server itself is one to this address.
pub(crate) fn inward(headers: &mut HeaderMap, authority: &[u8]) {
    strip(headers);
    if let Some(path) = headers.get(LOCATION).and_then(|location| path_at(location, authority)) {
        headers.insert(LOCATION, path);
    }
}

/// The rest of a URL at the tracking server.
fn path_at(location: &HeaderValue, authority: &[u8]) -> Option<HeaderValue> {
    let text = location.to_str().ok()?;
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let host = url.host_str()?;
    let written = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let path = &url[url::Position::BeforePath..];
    // Two slashes would name another host.
    let is_ours = written.as_bytes() == authority && !path.starts_with("//");
    is_ours.then(|| HeaderValue::try_from(path).ok()).flatten()
}

/// What no `Connection` takes away: it was looked at here, or is said by us.
const SAID_HERE: [HeaderName; 3] = [FORWARDED_USER, X_REQUEST_ID, workspace::HEADER];

/// Removes what is for us, by the standard or because `Connection` names it.
fn strip(headers: &mut HeaderMap) {
    let lists = headers.get_all(CONNECTION).iter().filter_map(|list| list.to_str().ok());
    let named = lists.flat_map(|list| list.split(',')).filter_map(|name| name.trim().parse().ok());
    let named: Vec<HeaderName> = named.filter(|name| !SAID_HERE.contains(name)).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Says that the request came by here.
fn pass_through(headers: &mut HeaderMap) -> Result<(), Refusal> {
    let stations = headers.get_all(VIA).iter().filter_map(|list| list.to_str().ok());
    if stations.flat_map(|list| list.split(',')).filter(|station| station.trim() == OURS).count() >= ROUNDS {
        log::error!("a request comes by here again and again: is the upstream this server itself?");
        let message = "the request goes around: the upstream leads back to this server";
        return Err(Refusal::new(Code::InternalError, message).with_status(StatusCode::LOOP_DETECTED));
    }
    append(headers, VIA, OURS);
    Ok(())
}

/// Adds to the end of a list, which may stand in several lines.
fn append(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    let lines = headers.get_all(&name).iter().filter_map(|line| line.to_str().ok());
    let list = lines.chain([text]).collect::<Vec<_>>().join(", ");
    if let Ok(list) = HeaderValue::try_from(list) {
        headers.insert(name, list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::tests::headers;

    #[test]
    fn what_is_for_the_next_one_alone_stays_here() {
        let mut passed = headers(&[
            ("connection", "close, X-Secret"),
            ("connection", "keep-alive,x-other , not a name"),
            ("keep-alive", "timeout=5"),
            ("x-secret", "1"),
            ("x-other", "1"),
            ("te", "trailers"),
            ("trailer", "x-sum"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "Basic x"),
            ("authorization", "Basic y"),
            ("cookie", "a=b"),
        ]);
        strip(&mut passed);
        assert_eq!(passed, headers(&[("authorization", "Basic y"), ("cookie", "a=b")]));
    }

    #[test]
    fn redirects_to_the_tracking_server_lead_here_and_others_where_they_lead() {
        for (location, expected) in [
            ("http://127.0.0.1:5001/a/?b=c#d", "/a/?b=c#d"),
            ("https://127.0.0.1:5001/a", "/a"),
            ("/a", "/a"),
            ("http://127.0.0.1:5001//evil.example/", "http://127.0.0.1:5001//evil.example/"),
            ("http://127.0.0.1:50011/a", "http://127.0.0.1:50011/a"),
            ("http://127.0.0.1:5001@evil.example/a", "http://127.0.0.1:5001@evil.example/a"),
            ("https://login.example/a", "https://login.example/a"),
        ] {
            let mut told = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(location))]);
            inward(&mut told, b"127.0.0.1:5001");
            assert_eq!(told[LOCATION], expected);
        }
    }

    #[test]
    fn lists_grow_at_their_end() {
        let mut lines = headers(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2, 3.3.3.3")]);
        append(&mut lines, FORWARDED_FOR, "4.4.4.4");
        assert_eq!(lines, headers(&[("x-forwarded-for", "1.1.1.1, 2.2.2.2, 3.3.3.3, 4.4.4.4")]));
    }
}
