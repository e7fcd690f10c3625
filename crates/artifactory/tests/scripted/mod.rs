//! A server that answers what it is told to, for answers that no Artifactory gives.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Everything before the body.
    pub(crate) head: String,
}

impl Asked {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        headers.find(|(has, _)| has.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// The server. It stops when it is dropped.
pub(crate) struct Scripted {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Scripted {
    /// Answers each request on a connection of its own.
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it has one");
        let (asked, answer) = (Arc::new(Mutex::default()), Arc::new(answer));
        let seen = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                tokio::spawn(async move { serve(stream, &seen, &*answer).await });
            }
        });
        Scripted { address, asked, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URI of a repository there.
    pub(crate) fn uri(&self) -> String {
        format!("artifactory://{}/artifactory/generic-local", self.address)
    }

    /// What came so far.
    pub(crate) fn seen(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Asked>>, answer: &(dyn Fn(&Asked) -> Vec<u8> + Sync)) {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        // A client that goes away, or speaks no HTTP, is not answered.
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 || read[0] < b' ' {
            return;
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let mut words = head.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let asked = Asked { method, target, head };
    let mut body = read.split_off(end + 4);
    let length = asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let is_chunked = asked.header("transfer-encoding").is_some();
    while body.len() < length || (is_chunked && !body.ends_with(b"0\r\n\r\n")) {
        if stream.read_buf(&mut body).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let mut answer = answer(&asked);
    if asked.method == "HEAD"
        && let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n")
    {
        answer.truncate(end + 4);
    }
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    // It fails when the client has seen enough.
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
}

/// An answer, with its length unless `headers` announce another one.
pub(crate) fn respond(code: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut head = format!("HTTP/1.1 {code} Of its own\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "content-length") {
        let _ = write!(head, "content-length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    [head.as_bytes(), b"\r\n", body].concat()
}
