//! The program `artifactory-emulator`: an Artifactory for tests in any language.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use artifactory_emulator::{Builder, Edition, Emulator, Permissions, Redirect, RepositoryKind, Storage};
use clap::{Parser, ValueEnum};

/// An emulator of JFrog Artifactory for tests.
///
/// With no option: ports 8081 and 8082 of loopback, Pro, user admin:password, token test-token, repository generic-local, content
/// in memory. It prints one line with its URL when it is ready, and ends with SIGINT or SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "artifactory-emulator", version)]
struct Arguments {
    /// An address to listen on; may be given again. The first one's URL is printed. Port 0 is any free one
    #[arg(long, value_name = "ADDRESS", default_values = ["127.0.0.1:8081", "127.0.0.1:8082"])]
    listen: Vec<String>,
    /// Which edition to be
    #[arg(long, value_enum, default_value = "pro")]
    edition: EditionName,
    /// A user; the first is the administrator. May be given again
    #[arg(long, value_name = "NAME:PASSWORD", value_parser = pair, default_value = "admin:password")]
    user: Vec<(String, String)>,
    /// An access token with an administrator's rights. May be given again
    #[arg(long, value_name = "SECRET", default_value = "test-token")]
    token: Vec<String>,
    /// An API key of a user. May be given again
    #[arg(long, value_name = "NAME:KEY", value_parser = pair)]
    api_key: Vec<(String, String)>,
    /// A repository: KEY, KEY:remote, KEY:virtual or KEY:virtual=MEMBER,… whose first member takes deploys. May be given again
    #[arg(long, value_name = "KEY[:KIND]", value_parser = repository, default_value = "generic-local")]
    repo: Vec<(String, RepositoryKind)>,
    /// Where content is kept: "memory" or a directory, which survives this process
    #[arg(long, value_name = "DIR|memory", default_value = "memory")]
    storage: PathBuf,
    /// Redirect downloads of at least so many bytes to a second origin
    #[arg(long, value_name = "BYTES")]
    redirect: Option<u64>,
    /// How long a redirect's URL is good
    #[arg(long, value_name = "SECONDS", default_value_t = 30, requires = "redirect")]
    redirect_seconds: u64,
    /// Offer uploads in parts
    #[arg(long)]
    multipart: bool,
    /// Wait before a new connection is served
    #[arg(long, value_name = "MS", default_value_t = 0)]
    connect_delay: u64,
    /// Wait before a request is handled
    #[arg(long, value_name = "MS", default_value_t = 0)]
    request_delay: u64,
    /// What requests without credentials may do
    #[arg(long, value_enum, default_value = "none")]
    anonymous: AnonymousName,
    /// The base path; "" for none
    #[arg(long, value_name = "PATH", default_value = "artifactory")]
    context: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EditionName {
    Pro,
    Oss,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AnonymousName {
    None,
    Read,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, secret)) if !name.is_empty() => Ok((name.to_owned(), secret.to_owned())),
        _ => Err("expected two words with a colon between them".to_owned()),
    }
}

fn repository(text: &str) -> Result<(String, RepositoryKind), String> {
    let (key, kind) = text.split_once(':').unwrap_or((text, "local"));
    if key.is_empty() {
        return Err("the key is empty".to_owned());
    }
    let kind = match kind.split_once('=').unwrap_or((kind, "")) {
        ("local", "") => RepositoryKind::Local,
        ("remote", "") => RepositoryKind::Remote,
        ("virtual", members) => {
            let members: Vec<String> =
                members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect();
            RepositoryKind::Virtual { default_deployment: members.first().cloned(), members }
        }
        _ => return Err(format!("no kind of repository: {kind}; there are local, remote and virtual")),
    };
    Ok((key.to_owned(), kind))
}

fn builder(arguments: Arguments) -> Builder {
    let mut builder = Emulator::builder()
        .edition(match arguments.edition {
            EditionName::Pro => Edition::Pro,
            EditionName::Oss => Edition::Oss,
        })
        .anonymous(match arguments.anonymous {
            AnonymousName::None => Permissions::NONE,
            AnonymousName::Read => Permissions::READ,
        })
        .storage(if arguments.storage.as_os_str() == "memory" {
            Storage::Memory
        } else {
            Storage::Directory(arguments.storage)
        })
        .redirect(arguments.redirect.map(|from_bytes| Redirect {
            from_bytes,
            valid_for: Duration::from_secs(arguments.redirect_seconds),
            ..Redirect::default()
        }))
        .multipart(arguments.multipart)
        .connect_delay(Duration::from_millis(arguments.connect_delay))
        .request_delay(Duration::from_millis(arguments.request_delay))
        .context(arguments.context);
    for address in arguments.listen {
        builder = builder.listen(address);
    }
    for (name, password) in arguments.user {
        builder = builder.user(name, password);
    }
    for token in arguments.token {
        builder = builder.token(token);
    }
    for (name, key) in arguments.api_key {
        builder = builder.api_key(name, key);
    }
    for (key, kind) in arguments.repo {
        builder = builder.repository(key, kind);
    }
    builder
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("artifactory-emulator: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> std::io::Result<()> {
    // Before anybody knows that it runs: a signal that comes then must not be lost.
    let ended = Ended::prepare()?;
    let emulator = builder(arguments).start().await?;
    let mut output = std::io::stdout();
    writeln!(output, "{}", emulator.url())?;
    output.flush()?;
    ended.wait().await
}

#[cfg(unix)]
struct Ended {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Ended {
    fn prepare() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Ended { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(mut self) -> std::io::Result<()> {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        Ok(())
    }
}

#[cfg(not(unix))]
struct Ended;

#[cfg(not(unix))]
impl Ended {
    fn prepare() -> std::io::Result<Self> {
        Ok(Ended)
    }

    async fn wait(self) -> std::io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}
