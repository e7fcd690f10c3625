//! Single requests to servers of our own, on the caller's thread and without a runtime.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// The body of the answer to a request, which must be answered well: whatever else happens is a panic that tells it.
pub(crate) fn send(address: SocketAddr, method: &str, target: &str, headers: &str, body: &str) -> String {
    let request = text(address, method, target, headers, body);
    good(&request, connect(address).and_then(|stream| exchange(stream, &request)))
}

/// The same through TLS, with a server that has this certificate.
pub(crate) fn send_tls(
    address: SocketAddr,
    certificate: &str,
    method: &str,
    target: &str,
    headers: &str,
    body: &str,
) -> String {
    let request = text(address, method, target, headers, body);
    let answer = connect(address)
        .and_then(|stream| Ok(StreamOwned::new(session(address, certificate)?, stream)))
        .and_then(|stream| exchange(stream, &request));
    good(&request, answer)
}

fn text(address: SocketAddr, method: &str, target: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LONGEST_WAIT))?;
    Ok(stream)
}

fn session(address: SocketAddr, certificate: &str) -> io::Result<ClientConnection> {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
    ClientConnection::new(Arc::new(config), address.ip().into()).map_err(io::Error::other)
}

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // A server that ends a TLS session without saying so is complete all the same: it was asked to close.
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error),
        _ => {}
    }
    String::from_utf8(answer).map_err(io::Error::other)
}

fn good(request: &str, answer: io::Result<String>) -> String {
    let line = request.lines().next().unwrap_or_default();
    let answer = answer.unwrap_or_else(|error| panic!("{line} fails: {error}"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    assert!(status.starts_with('2'), "{line} is answered with {answer}");
    body.to_owned()
}

/// The text of the first element with this name.
pub(crate) fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let text = xml.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once("</"));
    text.unwrap_or_else(|| panic!("there is no {name} in {xml}")).0
}
