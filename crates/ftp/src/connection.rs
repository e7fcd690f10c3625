//! One session: a control connection that is logged in, and the data connections that it opens.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mlflow_artifacts_core::{Error, ErrorKind, Result, Secret};
use mlflow_artifacts_http::without_secrets;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::control::{Control, Duplex};
use crate::data::Data;
use crate::dial::{self, Tls};
use crate::error::{protocol, refused, unreachable};
use crate::features::{DigestCommand, Features};
use crate::log_ins::{LogIns, LoggedIn};
use crate::reply::Reply;

/// How long the answer is waited for that says why a transfer broke, that a part of a file was enough, or that all is sent.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Whether and how connections are secured.
#[derive(Clone)]
pub(crate) enum Security {
    /// Not at all.
    None,
    /// By AUTH TLS on a connection that begins without (RFC 4217).
    Explicit(TlsConfigs),
    /// From the first byte.
    Implicit(TlsConfigs),
}

/// How TLS is spoken with a server.
///
/// Servers demand that a data connection resumes the session of its control connection. A session of TLS 1.2 can be resumed as often as it
/// is needed, but a ticket of TLS 1.3 only once (RFC 8446, appendix C.4), and not every server gives another one: TLS 1.3 is for those
/// that have nothing else.
#[derive(Clone)]
pub(crate) struct TlsConfigs {
    pub(crate) tls12: Arc<rustls::ClientConfig>,
    pub(crate) tls13: Arc<rustls::ClientConfig>,
}

impl TlsConfigs {
    fn for_server(&self, learned: &Learned) -> &rustls::ClientConfig {
        if learned.needs_tls13.load(Ordering::Relaxed) { &self.tls13 } else { &self.tls12 }
    }
}

impl Security {
    /// In words.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Security::None => "none",
            Security::Explicit(_) => "explicit TLS",
            Security::Implicit(_) => "implicit TLS",
        }
    }
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A server, and as whom and how it is spoken to.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Secret,
    pub(crate) security: Security,
    /// For a connection, and again for its TLS.
    pub(crate) connect_timeout: Duration,
    /// For any silence.
    pub(crate) read_timeout: Duration,
    /// For the answer after the last byte of a file, or of a file that the server hashes.
    pub(crate) commit_timeout: Duration,
    /// What the sessions have found out about the server, for those that follow.
    pub(crate) learned: Arc<Learned>,
}

/// What is the same for all sessions with a server.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    pub(crate) greeting: OnceLock<String>,
    features: OnceLock<Features>,
    /// It has no TLS 1.2.
    needs_tls13: AtomicBool,
    refuses_epsv: AtomicBool,
    /// A file was deleted because RNTO does not replace it.
    pub(crate) replaces_none: AtomicBool,
    /// LIST takes `-a` for the name of a file.
    pub(crate) refuses_list_all: AtomicBool,
    pub(crate) log_ins: LogIns,
}

/// A session.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) control: Control,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) features: Features,
    peer: IpAddr,
    tls: Option<Tls>,
    logged_in: Option<LoggedIn>,
    /// When it was last given back.
    pub(crate) idle_since: Instant,
}

impl Connection {
    /// Connects and logs in.
    pub(crate) async fn open(endpoint: Arc<Endpoint>) -> Result<Self> {
        let learned = Arc::clone(&endpoint.learned);
        learned.log_ins.check()?;
        // What others learn meanwhile was not offered yet.
        let offered_tls13 = learned.needs_tls13.load(Ordering::Relaxed);
        match Self::begin(Arc::clone(&endpoint)).await {
            Err(error) if refuses_version(&error) && !offered_tls13 => {
                learned.needs_tls13.store(true, Ordering::Relaxed);
                Self::begin(endpoint).await
            }
            opened => opened,
        }
    }

    async fn begin(endpoint: Arc<Endpoint>) -> Result<Self> {
        let stream = dial::host(&endpoint.host, endpoint.port, endpoint.connect_timeout).await?;
        let peer = stream.peer_addr().map_err(|error| unreachable("the server", error))?.ip();
        let (control, tls) = greet(&endpoint, stream).await?;
        let features = Features::default();
        let idle_since = Instant::now();
        let mut connection =
            Connection { control, endpoint, features, peer, tls, logged_in: None, idle_since };
        connection.log_in().await?;
        connection.settle().await?;
        Ok(connection)
    }

    async fn log_in(&mut self) -> Result<()> {
        let endpoint = Arc::clone(&self.endpoint);
        let turn = endpoint.learned.log_ins.turn().await?;
        let reply = self.control.exchange("USER", &endpoint.user).await?;
        let reply = match reply.code {
            331 => self.control.exchange("PASS", endpoint.password.expose()).await?,
            _ => reply,
        };
        if reply.is_success() {
            self.logged_in = Some(turn.let_in());
            return Ok(());
        }
        Err(turn.refused(without(&reply, endpoint.password.expose())))
    }

    /// Says how files and names are to be sent.
    async fn settle(&mut self) -> Result<()> {
        if self.tls.is_some() {
            self.control.demand("PBSZ", "0").await?;
            self.control.demand("PROT", "P").await?;
        }
        // Otherwise a server may change the ends of lines.
        self.control.demand("TYPE", "I").await?;
        let learned = Arc::clone(&self.endpoint.learned);
        self.features = match learned.features.get() {
            Some(features) => features.clone(),
            None => {
                let features = Features::parse(&self.control.exchange("FEAT", "").await?);
                learned.features.get_or_init(|| features).clone()
            }
        };
        if self.features.utf8 {
            // Whoever always uses it may refuse to be told.
            self.control.exchange("OPTS", "UTF8 ON").await?;
        }
        if let Some(facts) = &self.features.wanted_facts {
            self.control.demand("OPTS", &format!("MLST {facts}")).await?;
        }
        if self.features.digest == Some(DigestCommand::Hash) {
            self.control.demand("OPTS", "HASH SHA-256").await?;
        }
        Ok(())
    }

    /// Opens a data connection and sends the command that uses it, from `offset` of the file on.
    pub(crate) async fn transfer(&mut self, verb: &'static str, argument: &str, offset: u64) -> Result<Data> {
        let stream = self.passive().await?;
        if offset > 0 {
            self.restart(offset).await?;
        }
        self.control.send(verb, argument).await?;
        let reply = self.control.reply(self.endpoint.read_timeout).await?;
        if !reply.is_preliminary() {
            return Err(refused(verb, argument, &reply));
        }
        let limit = self.endpoint.connect_timeout;
        let stream: Box<dyn Duplex> = match &self.tls {
            None => Box::new(stream),
            Some(tls) => match tls.secure(stream, limit).await {
                Ok(secured) => Box::new(secured),
                Err(error) => return Err(self.last_words(verb, error).await),
            },
        };
        Ok(Data::new(stream, self.endpoint.read_timeout))
    }

    /// Has the server begin the next transfer at an offset.
    async fn restart(&mut self, offset: u64) -> Result<()> {
        let argument = offset.to_string();
        let reply = self.control.exchange("REST", &argument).await?;
        if reply.code == 350 { Ok(()) } else { Err(refused("REST", &argument, &reply)) }
    }

    /// Asks where to connect to and does so. Whatever address the server names, it is that of the control connection that is used:
    /// nobody is sent elsewhere.
    async fn passive(&mut self) -> Result<TcpStream> {
        let port = match self.extended_passive().await? {
            Some(port) => port,
            None => {
                let reply = self.control.exchange("PASV", "").await?;
                if !reply.is_success() {
                    return Err(refused("PASV", "", &reply));
                }
                passive_port(&reply.text())
                    .ok_or_else(|| protocol("the server's answer to PASV names no port"))?
            }
        };
        let connected = dial::connect((self.peer, port).into(), self.endpoint.connect_timeout).await;
        connected.map_err(|error| {
            unreachable(&format!("the server's passive port {port}"), error)
                .with_help("have the server's passive ports let through its firewall")
        })
    }

    async fn extended_passive(&mut self) -> Result<Option<u16>> {
        let learned = Arc::clone(&self.endpoint.learned);
        if learned.refuses_epsv.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let reply = self.control.exchange("EPSV", "").await?;
        if reply.code == 229 {
            let port = extended_passive_port(&reply.text());
            return port.map(Some).ok_or_else(|| protocol("the server's answer to EPSV names no port"));
        }
        if reply.code < 500 {
            return Err(refused("EPSV", "", &reply));
        }
        learned.refuses_epsv.store(true, Ordering::Relaxed);
        Ok(None)
    }

    /// The answer to a file that was sent, which the server may take its time to store: it must say that all went well.
    pub(crate) async fn finish_write(&mut self, verb: &'static str, argument: &str) -> Result<()> {
        self.finish(verb, argument, self.endpoint.commit_timeout).await
    }

    /// The answer to what the server has sent, and nothing is left to do for it: it must say that all went well.
    pub(crate) async fn finish_read(&mut self, verb: &'static str, argument: &str) -> Result<()> {
        self.finish(verb, argument, self.last_words_limit()).await
    }

    async fn finish(&mut self, verb: &'static str, argument: &str, patience: Duration) -> Result<()> {
        let reply = self.control.reply(patience).await?;
        if reply.is_success() { Ok(()) } else { Err(refused(verb, argument, &reply)) }
    }

    /// What the server says of a transfer that broke, or else `error`.
    pub(crate) async fn last_words(&mut self, verb: &'static str, error: Error) -> Error {
        match self.control.reply(self.last_words_limit()).await {
            Ok(reply) if reply.code >= 400 => refused(verb, "", &reply),
            _ => error,
        }
    }

    /// Hears what the server says of a transfer that was ended from here. If that takes long, the session is out of step and not used
    /// again.
    pub(crate) async fn give_up_transfer(&mut self) {
        let _ = self.control.reply(self.last_words_limit()).await;
    }

    fn last_words_limit(&self) -> Duration {
        LAST_WORDS.min(self.endpoint.read_timeout)
    }

    /// Whether it can be used: an answer is asked for if none came for a while.
    pub(crate) async fn is_alive(&mut self, trusted_for: Duration) -> bool {
        if !self.control.is_quiet() {
            return false;
        }
        if self.idle_since.elapsed() < trusted_for {
            return true;
        }
        let limit = self.last_words_limit();
        self.control.send("NOOP", "").await.is_ok()
            && self.control.answer(limit).await.is_ok()
            && self.control.is_ready()
    }
}

/// Reads the greeting and secures the connection.
async fn greet(endpoint: &Endpoint, stream: TcpStream) -> Result<(Control, Option<Tls>)> {
    let patience = endpoint.read_timeout;
    let limit = endpoint.connect_timeout;
    match &endpoint.security {
        Security::None => {
            let mut control = Control::new(Box::new(stream), patience);
            welcome(endpoint, &mut control).await?;
            Ok((control, None))
        }
        Security::Implicit(configs) => {
            let tls = Tls::new(configs.for_server(&endpoint.learned), &endpoint.host)?;
            let mut control = Control::new(Box::new(tls.secure(stream, limit).await?), patience);
            welcome(endpoint, &mut control).await?;
            Ok((control, Some(tls)))
        }
        Security::Explicit(configs) => {
            let tls = Tls::new(configs.for_server(&endpoint.learned), &endpoint.host)?;
            let mut control = Control::new(Box::new(stream), patience);
            welcome(endpoint, &mut control).await?;
            let reply = control.exchange("AUTH", "TLS").await?;
            if !reply.is_success() {
                return Err(refused("AUTH", "TLS", &reply).into_kind(ErrorKind::Tls).with_help(
                    "the server offers no TLS: have it configured, or write ftp:// if nobody can listen",
                ));
            }
            let secured = tls.secure(control.into_stream()?, limit).await?;
            Ok((Control::new(Box::new(secured), patience).resumed(), Some(tls)))
        }
    }
}

/// Whether the server has none of the versions of TLS that it was offered.
fn refuses_version(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    let tls = cause.and_then(|cause| cause.get_ref()?.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion)))
}

async fn welcome(endpoint: &Endpoint, control: &mut Control) -> Result<()> {
    let reply = control.answer(endpoint.read_timeout).await?;
    if !reply.is_success() {
        return Err(refused("the connection", "", &reply));
    }
    endpoint.learned.greeting.get_or_init(|| reply.text());
    Ok(())
}

/// The answer without the password, should the server repeat it.
fn without(reply: &Reply, password: &str) -> Reply {
    let hide = |line: &String| without_secrets(line.clone(), &[password]);
    Reply { code: reply.code, lines: reply.lines.iter().map(hide).collect() }
}

/// `Entering Extended Passive Mode (|||6446|)` (RFC 2428, section 3).
fn extended_passive_port(text: &str) -> Option<u16> {
    let within = text.rsplit_once('(')?.1.split_once(')')?.0;
    let delimiter = within.chars().next()?;
    let mut fields = within.split(delimiter);
    let port = fields.nth(3)?;
    port.parse().ok().filter(|port| *port != 0)
}

/// `Entering Passive Mode (h1,h2,h3,h4,p1,p2)`, with or without the brackets (RFC 1123, section 4.1.2.6).
fn passive_port(text: &str) -> Option<u16> {
    let is_part = |c: char| c.is_ascii_digit() || c == ',';
    let numbers = text.split(|c| !is_part(c)).find(|part| part.matches(',').count() == 5)?;
    let numbers: Vec<u8> = numbers.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
    let port = u16::from_be_bytes([*numbers.get(4)?, *numbers.get(5)?]);
    (port != 0).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_in_every_spelling() {
        assert_eq!(extended_passive_port("Entering Extended Passive Mode (|||6446|)"), Some(6446));
        assert_eq!(extended_passive_port("ok (!!!1!)."), Some(1));
        for nonsense in ["", "(", "()", "(|||)", "(|||0|)", "(|||65536|)", "(|||-1|)", "|||1|", "(é)"] {
            assert_eq!(extended_passive_port(nonsense), None, "{nonsense}");
        }
        assert_eq!(passive_port("Entering Passive Mode (127,0,0,1,25,46)."), Some(6446));
        assert_eq!(passive_port("Passive 10,0,0,1,0,21"), Some(21));
        for nonsense in
            ["", "(1,2,3,4,5)", "(1,2,3,4,0,0)", "(1,2,3,4,5,256)", "(1,2,3,4,,)", "1,2,3,4,5,6,7"]
        {
            assert_eq!(passive_port(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_password_that_the_server_repeats_is_not_shown() {
        let reply = Reply { code: 530, lines: vec!["wrong password: canary".to_owned()] };
        assert_eq!(without(&reply, "canary").lines, ["wrong password: ***"]);
        // What is this short stands in other words too.
        for short in ["", "n", "wro"] {
            assert_eq!(without(&reply, short).lines, reply.lines);
        }
    }
}
