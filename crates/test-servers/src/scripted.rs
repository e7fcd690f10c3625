//! A server that answers what it is told to, for answers that no real server gives.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::hosted::Hosted;

/// A server of HTTP whose every answer is made by a function, byte for byte; that to HEAD without its body. Each request has a connection of its own.
#[derive(Debug)]
pub struct Scripted {
    hosted: Hosted,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// Path and query as they were on the wire.
    pub target: String,
    /// Everything before the body.
    pub head: String,
    /// The body, as it was framed.
    pub body: Vec<u8>,
}

impl Asked {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        headers.find(|(has, _)| has.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Scripted {
    /// Starts one that answers with what `answer` makes of a request; [`Scripted::respond`] helps.
    pub fn start(answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let (asked, answer) = (Arc::new(Mutex::default()), Arc::new(answer));
        let seen = Arc::clone(&asked);
        let hosted = Hosted::start("scripted", |listener: TcpListener| async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                tokio::spawn(async move { serve(stream, &seen, &*answer).await });
            }
        });
        Scripted { hosted, asked }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.hosted.address()
    }

    /// Its URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// What came so far, in the order of arrival.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An answer, with its length unless `headers` announce another one or none.
    pub fn respond(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status} Of its own\r\nconnection: close\r\n");
        let is_framed =
            headers.iter().any(|(name, _)| matches!(*name, "content-length" | "transfer-encoding"));
        if !is_framed {
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        [head.as_bytes(), b"\r\n", body].concat()
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
    let mut asked = Asked { method, target, head, body: read.split_off(end + 4) };
    let length = asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let is_chunked = asked.header("transfer-encoding").is_some();
    while asked.body.len() < length || (is_chunked && !asked.body.ends_with(b"0\r\n\r\n")) {
        if stream.read_buf(&mut asked.body).await.unwrap_or(0) == 0 {
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
