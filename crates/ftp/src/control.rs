//! The control connection: commands and their answers, in step.

use std::fmt::Debug;
use std::io;
use std::time::Duration;

use futures_util::FutureExt as _;
use mlflow_artifacts_core::{Error, ErrorKind, Result, Retry};
use mlflow_artifacts_http::one_line;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};

use crate::deadline::within;
use crate::error::{broken, protocol, refused};
use crate::reply::{Reply, ReplyParser};

/// The most bytes of one answer: features, help texts and greetings are far below.
const LONGEST_REPLY: usize = 64 << 10;

/// How often a server may say of one command that it will be answered later.
const MOST_PRELIMINARY: usize = 16;

/// How what is no answer of FTP is told from a connection that broke.
const NO_FTP: io::ErrorKind = io::ErrorKind::InvalidInput;

/// A connection of any kind, with TLS or without.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Debug + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Duplex for T {}

/// Whether the next thing on the wire is ours to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Every command is answered.
    Ready,
    /// A command is not answered yet.
    Busy,
    /// It is of no more use.
    Lost,
}

/// The control connection.
#[derive(Debug)]
pub(crate) struct Control {
    stream: BufReader<Box<dyn Duplex>>,
    state: State,
    /// For each answer that nothing else is said of.
    patience: Duration,
    /// The answer may repeat a password.
    is_secret: bool,
}

impl Control {
    /// Takes a connection over whose greeting is not read yet.
    pub(crate) fn new(stream: Box<dyn Duplex>, patience: Duration) -> Self {
        Control { stream: BufReader::new(stream), state: State::Busy, patience, is_secret: false }
    }

    /// Gives the connection back, to secure it. Fails if the server has said something that nobody asked for: it would be taken
    /// for an answer that came secured.
    pub(crate) fn into_stream(self) -> Result<Box<dyn Duplex>> {
        if self.state == State::Ready && self.stream.buffer().is_empty() {
            return Ok(self.stream.into_inner());
        }
        Err(protocol("the server said something between the answer to AUTH and the TLS handshake"))
    }

    /// Says that it is in step without a greeting: the handshake of a secured one follows an answered command.
    pub(crate) fn resumed(mut self) -> Self {
        self.state = State::Ready;
        self
    }

    /// Whether every command is answered.
    pub(crate) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Whether the server or the network ended it.
    pub(crate) fn is_lost(&self) -> bool {
        self.state == State::Lost
    }

    /// Whether it is in step and the server has neither closed it nor said anything since.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.is_ready() && self.stream.fill_buf().now_or_never().is_none()
    }

    /// Sends a command and reads its answer, whatever that says.
    pub(crate) async fn exchange(&mut self, verb: &'static str, argument: &str) -> Result<Reply> {
        self.send(verb, argument).await?;
        self.answer(self.patience).await
    }

    /// Sends a command that must succeed.
    pub(crate) async fn demand(&mut self, verb: &'static str, argument: &str) -> Result<Reply> {
        let reply = self.exchange(verb, argument).await?;
        if reply.is_success() { Ok(reply) } else { Err(refused(verb, argument, &reply)) }
    }

    /// Sends a command whose answer is read with [`answer`](Control::answer) or [`reply`](Control::reply).
    pub(crate) async fn send(&mut self, verb: &'static str, argument: &str) -> Result<()> {
        // Paths hold none, but a line's end here would be a command of somebody else's choice.
        if argument.contains(['\r', '\n', '\0']) {
            return Err(Error::new(
                ErrorKind::InvalidPath,
                "FTP has no way to name what holds a line's end or a NUL",
            ));
        }
        if !self.stream.buffer().is_empty() {
            // It would be taken for the answer to what comes now.
            self.state = State::Lost;
            return Err(
                protocol("the server said something that nobody asked for").with_retry(Retry::Transient)
            );
        }
        let separator = if argument.is_empty() { "" } else { " " };
        let line = format!("{verb}{separator}{argument}\r\n");
        self.state = State::Busy;
        let sent = within(self.patience, async {
            self.stream.write_all(line.as_bytes()).await?;
            self.stream.flush().await
        });
        if let Err(error) = sent.await {
            self.state = State::Lost;
            return Err(broken("the server does not take a command", error));
        }
        self.is_secret = verb == "PASS";
        let shown = if self.is_secret { "***" } else { argument };
        log::debug!("FTP: {verb}{separator}{shown}");
        Ok(())
    }

    /// Reads the answer that ends a command, each within `patience`, behind those that say that it will come.
    pub(crate) async fn answer(&mut self, patience: Duration) -> Result<Reply> {
        for _ in 0..=MOST_PRELIMINARY {
            let reply = self.reply(patience).await?;
            if !reply.is_preliminary() {
                return Ok(reply);
            }
        }
        Err(protocol("the server does not stop saying that it will answer"))
    }

    /// Reads the next answer, preliminary or not.
    pub(crate) async fn reply(&mut self, patience: Duration) -> Result<Reply> {
        let reply = match within(patience, read_reply(&mut self.stream)).await {
            Ok(reply) => reply,
            Err(error) => {
                self.state = State::Lost;
                return Err(match error.kind() {
                    NO_FTP => protocol(error.to_string()).with_help(
                        "check the host and the port, and whether the server wants TLS from the start (option implicit_tls)",
                    ),
                    _ => broken("the server does not answer", error),
                });
            }
        };
        let shown = if self.is_secret { "***".to_owned() } else { one_line(&reply.text()) };
        log::debug!("FTP: {} {shown}", reply.code);
        if reply.is_goodbye() {
            self.state = State::Lost;
        } else if !reply.is_preliminary() {
            self.state = State::Ready;
        }
        Ok(reply)
    }

    /// Takes leave, as far as that goes without waiting for an answer.
    pub(crate) async fn quit(&mut self) {
        let goodbye = async {
            self.stream.write_all(b"QUIT\r\n").await?;
            self.stream.shutdown().await
        };
        // Who does not hear it sees the connection end.
        let _ = within(Duration::from_secs(1), goodbye).await;
    }
}

async fn read_reply(stream: &mut BufReader<Box<dyn Duplex>>) -> io::Result<Reply> {
    let invalid = |what: &str| Err(io::Error::new(NO_FTP, what));
    let mut parser = ReplyParser::default();
    let mut room = LONGEST_REPLY;
    loop {
        let mut line = Vec::new();
        room -= (&mut *stream).take(room as u64).read_until(b'\n', &mut line).await?;
        if line.pop() != Some(b'\n') {
            if room == 0 {
                return invalid("the server's answer does not end");
            }
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection"));
        }
        match parser.push(line.strip_suffix(b"\r").unwrap_or(&line)) {
            Ok(Some(reply)) => return Ok(reply),
            Ok(None) => {}
            Err(_) => return invalid("the server does not answer in FTP"),
        }
    }
}
