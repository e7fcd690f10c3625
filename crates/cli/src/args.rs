//! What may stand on the command line. The help texts are here and nowhere else.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand};
use clap_complete::Shell;
use log::LevelFilter;
use mlflow_artifacts::{Properties, Result, StoreConfig, TransferOptions, Verify};
use mlflow_artifacts_server::{
    Access, AccessLogFormat, Accounts, Authority, Flavour, Projects, ServerOptions,
};
use url::Url;

/// List, copy, print, write and remove MLflow artifacts, in every store.
#[derive(Parser)]
#[command(name = "mlflow-artifacts", version, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Set an option of the store(s); may be repeated.
    ///
    /// `schemes --keys SCHEME` lists the options. Every user of this machine can see the arguments of a command: prefer
    /// the environment for secrets.
    #[arg(long = "option", short = 'o', value_name = "NAME=VALUE", global = true)]
    pub(crate) options: Vec<String>,

    /// Print errors only: no progress, no summary, no notes but the one at an interrupt.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

const AFTER_HELP: &str = "\
A LOCATION is a URI (file:///srv/mlflow/1/model) or a local path. A local path that holds a colon is written with ./ \
before it; a name that begins with a dash is written after --.

Examples:
  mlflow-artifacts ls -r file:///srv/mlflow/1/abc/artifacts
  mlflow-artifacts cp -r ./model file:///srv/mlflow/1/abc/artifacts/model
  mlflow-artifacts cat file:///srv/mlflow/1/abc/artifacts/model/MLmodel
  tar c plots | mlflow-artifacts put - file:///srv/mlflow/1/abc/artifacts/plots.tar
  mlflow-artifacts doctor artifactory://art.example/artifactory/ml-models/1/abc/artifacts

Exit codes:
  0    success
  1    some files failed, or another failure (if all failed for one reason: its code)
  2    bad usage or input
  3    not found
  4    the store refuses: permissions or credentials
  5    the store cannot be reached or cannot serve: connection, TLS, timeout, too many requests, 5xx
  130  interrupted";

/// The commands.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List a directory, or one file.
    Ls(ListArguments),
    /// Copy a file or a directory to, from or between stores.
    Cp(CopyArguments),
    /// Print a file.
    Cat {
        /// The file: a URI or a local path.
        location: OsString,
    },
    /// Write a file from standard input or from a local file.
    Put(PutArguments),
    /// Remove a file or a directory.
    Rm {
        /// Remove a directory with everything in it.
        #[arg(long, short)]
        recursive: bool,
        /// What to remove: a URI or a local path. It is no error if nothing is there.
        location: OsString,
    },
    /// Show what is known about a file or directory.
    Stat {
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
        /// The file or directory: a URI or a local path.
        location: OsString,
    },
    /// Try out whether a store can be used, step by step, and say what to fix if it cannot.
    Doctor(DoctorArguments),
    /// Serve a store by MLflow's REST API for artifacts, as `mlflow server --artifacts-only` does.
    Serve(Box<ServeArguments>),
    /// Ask a server on this machine whether it serves; for containers, whose images have nothing else to ask with.
    Health(HealthArguments),
    /// Show the known URI schemes, or the options of one.
    Schemes {
        /// Show the options of the stores of this scheme.
        #[arg(long, value_name = "SCHEME", value_parser = NonEmptyStringValueParser::new())]
        keys: Option<String>,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Print a script that completes this command in a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// `ls`
#[derive(Args)]
pub(crate) struct ListArguments {
    /// List everything below, not only the next level.
    #[arg(long, short)]
    pub(crate) recursive: bool,
    /// Print a JSON array, an object for each entry; times are in seconds since 1970.
    #[arg(long)]
    pub(crate) json: bool,
    /// The file or directory: a URI or a local path. Names are printed relative to it.
    pub(crate) location: OsString,
}

/// `cp`
#[derive(Args)]
#[command(after_help = COPY_AFTER_HELP)]
pub(crate) struct CopyArguments {
    /// Copy the content of the directory SOURCE into the directory TARGET.
    #[arg(long, short)]
    pub(crate) recursive: bool,
    /// Files in flight at once.
    #[arg(long, value_name = "N", default_value_t = Count(TransferOptions::default().files))]
    files: Count,
    /// Parts in flight at once for each large file.
    #[arg(long, value_name = "N", default_value_t = Count(TransferOptions::default().parts))]
    parts: Count,
    /// Content held in memory at once, by all files together.
    #[arg(long, value_name = "BYTES", default_value_t = Size(TransferOptions::default().memory))]
    memory: Size,
    /// Size of each part of a large file [default: by the size of the file and the limits of the store].
    #[arg(long, value_name = "BYTES")]
    part_size: Option<Size>,
    /// Read everything again after it was written, and compare, where the store does not prove what it wrote.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    properties: PropertyArguments,
    /// What to copy: a URI or a local path.
    pub(crate) source: OsString,
    /// Where to: a URI or a local path. A file goes into it if it is a directory or ends in a slash.
    pub(crate) target: OsString,
}

const COPY_AFTER_HELP: &str = "\
With -r the content of SOURCE becomes content of TARGET, whether or not TARGET exists: a second run gives the same \
result as the first. Files in TARGET that SOURCE does not have stay. BYTES are a number with or without a unit: 64MiB, \
1GiB, 65536.

Examples:
  mlflow-artifacts cp model.bin file:///srv/mlflow/1/abc/artifacts/
  mlflow-artifacts cp -r ./model file:///srv/mlflow/1/abc/artifacts/model
  mlflow-artifacts cp -r --verify file:///srv/mlflow/1/abc/artifacts/model ./model
  mlflow-artifacts cp -r --files 32 --memory 128MiB file:///srv/mlflow file:///mnt/nfs/mlflow
  mlflow-artifacts cp -r --property mlflow.run_id=abc ./model artifactory://art.example/artifactory/ml-models/1/abc";

impl CopyArguments {
    /// How the transfer is to go.
    pub(crate) fn transfer_options(&self) -> TransferOptions {
        TransferOptions {
            files: self.files.0,
            parts: self.parts.0,
            memory: self.memory.0,
            part_size: self.part_size.map(|size| size.0),
            verify: if self.verify { Verify::ReadBack } else { Verify::default() },
            properties: self.properties.collected(),
        }
    }
}

/// `put`
#[derive(Args)]
pub(crate) struct PutArguments {
    #[command(flatten)]
    pub(crate) properties: PropertyArguments,
    /// What to write: a local file, or - for standard input.
    pub(crate) source: OsString,
    /// The file to write: a URI or a local path. It is replaced if it exists.
    pub(crate) location: OsString,
}

/// What is kept with artifacts that are written.
#[derive(Args)]
pub(crate) struct PropertyArguments {
    /// Keep this property with each artifact, where the store can; may be repeated, also for one name with several values.
    #[arg(long = "property", value_name = "NAME=VALUE")]
    properties: Vec<Property>,
}

impl PropertyArguments {
    /// All of them, with the values of each name in the order they were given.
    pub(crate) fn collected(&self) -> Properties {
        let mut collected = Properties::new();
        for Property { name, value } in &self.properties {
            collected.entry(name.clone()).or_default().push(value.clone());
        }
        collected
    }
}

/// `NAME=VALUE`; the value may hold more `=`.
#[derive(Clone)]
struct Property {
    name: String,
    value: String,
}

impl FromStr for Property {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                Ok(Property { name: name.to_owned(), value: value.to_owned() })
            }
            _ => Err("give NAME=VALUE, such as mlflow.run_id=abc"),
        }
    }
}

/// `doctor`
#[derive(Args)]
#[command(after_help = DOCTOR_AFTER_HELP)]
pub(crate) struct DoctorArguments {
    /// Write nothing.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Print a JSON object with the steps.
    #[arg(long)]
    pub(crate) json: bool,
    /// The directory that shall hold artifacts: a URI or a local path. It need not exist.
    pub(crate) location: OsString,
}

const DOCTOR_AFTER_HELP: &str = "\
Shows how the URI is understood, which options are in force and where they come from (never the value of a secret), what the \
server says of itself, and what these credentials may do. For that it writes a small file with a name of its own \
(.mlflow-artifacts-doctor-...) into the directory, reads, replaces and removes it. If it may not remove it, it says so. A \
directory that is not there is made by this, and stays. --read-only writes nothing.

It waits for seconds where a transfer would wait for minutes, unless the options say how long. The exit code is that of the \
first step that failed; 0 means that everything works.";

/// `serve`
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[derive(Args)]
#[command(after_help = SERVE_AFTER_HELP, disable_help_flag = true)]
pub(crate) struct ServeArguments {
    /// Print help.
    // Its short form is that of --host, as in `mlflow server`.
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// The store that is served: a URI or a local path.
    #[arg(
        long = "artifacts-destination",
        value_name = "URI",
        env = "MLFLOW_ARTIFACTS_DESTINATION",
        hide_env_values = true,
        default_value = "./mlartifacts"
    )]
    pub(crate) destination: OsString,
    /// The address to listen on.
    #[arg(long, short = 'h', env = "MLFLOW_HOST", default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// The port to listen on; 0 for one that is free.
    #[arg(long, short = 'p', env = "MLFLOW_PORT", default_value_t = 5000)]
    pub(crate) port: u16,
    /// What stands before the path of every route, such as /mlflow.
    #[arg(long, value_name = "PREFIX", env = "MLFLOW_STATIC_PREFIX", default_value = "")]
    static_prefix: String,
    /// The values of the Host header that are answered, with * as wildcard [default: this machine and private networks].
    #[arg(long, value_name = "HOSTS", env = "MLFLOW_SERVER_ALLOWED_HOSTS", value_delimiter = ',')]
    allowed_hosts: Vec<String>,
    /// The origins whose pages may change something, with * as wildcard, beside those of this machine.
    #[arg(long, value_name = "ORIGINS", env = "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", value_delimiter = ',')]
    cors_allowed_origins: Vec<String>,
    /// The X-Frame-Options of every answer; NONE for none.
    #[arg(long, value_name = "OPTION", env = "MLFLOW_SERVER_X_FRAME_OPTIONS", default_value = "SAMEORIGIN")]
    x_frame_options: String,
    /// Look at neither hosts nor origins.
    #[arg(long, env = "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", value_parser = BoolishValueParser::new())]
    disable_security_middleware: bool,
    /// Hand out signed requests for content, and pass none through this server.
    #[arg(long, env = "MLFLOW_ARTIFACTS_PRESIGNED_ONLY", value_parser = BoolishValueParser::new())]
    artifacts_presigned_only: bool,
    /// Tell clients to send large files in parts to the store themselves, where it signs requests for them.
    #[arg(long, env = "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", value_parser = BoolishValueParser::new())]
    multipart_upload: bool,
    /// Tell clients to fetch large files from the store themselves, where it signs requests for them.
    #[arg(long, env = "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", value_parser = BoolishValueParser::new())]
    multipart_download: bool,
    /// How long a signed request for a download is good.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS",
        default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(1..=604_800)
    )]
    presigned_expiry: u64,
    /// Give each workspace artifacts of its own.
    #[arg(long, env = "MLFLOW_ENABLE_WORKSPACES", value_parser = BoolishValueParser::new())]
    enable_workspaces: bool,
    /// The URL of a tracking server, without a path, that answers at this address whatever is not about artifacts.
    #[arg(long, value_name = "URL", env = "MLFLOW_ARTIFACTS_UPSTREAM", hide_env_values = true)]
    upstream: Option<String>,
    /// The certificate authorities to trust for an https upstream, in a PEM file or a directory of them [default: those of the system].
    #[arg(long, value_name = "PATH", env = "MLFLOW_TRACKING_SERVER_CERT_PATH")]
    upstream_ca_bundle: Option<PathBuf>,
    /// Speak TLS with the certificate in this PEM file, followed by those that signed it.
    #[arg(long, value_name = "FILE", requires = "ssl_keyfile")]
    ssl_certfile: Option<PathBuf>,
    /// The key that the certificate belongs to, in a PEM file.
    #[arg(long, value_name = "FILE", requires = "ssl_certfile")]
    ssl_keyfile: Option<PathBuf>,
    #[command(flatten)]
    access: AccessArguments,
    /// Connections at once; who comes then waits.
    #[arg(long, value_name = "N", default_value_t = Count(ServerOptions::default().max_connections))]
    max_connections: Count,
    /// Content of uploads held in memory at once, over all connections.
    #[arg(long, value_name = "BYTES", default_value_t = Size(ServerOptions::default().upload_memory as u64))]
    upload_memory: Size,
    /// Listen on an address that other machines reach, although nobody is asked who they are.
    #[arg(long)]
    pub(crate) allow_unauthenticated: bool,
    /// How long requests under way have when the server is told to stop (SIGTERM).
    #[arg(
        long,
        value_name = "SECONDS",
        env = "MLFLOW_ARTIFACTS_DRAIN_TIMEOUT",
        default_value_t = ServerOptions::default().drain_timeout.as_secs(),
        value_parser = clap::value_parser!(u64).range(..=86_400)
    )]
    drain_timeout: u64,
    /// Write a line for each request to standard output: human, json, or off.
    #[arg(
        long,
        value_name = "FORM",
        env = "MLFLOW_ARTIFACTS_ACCESS_LOG",
        default_value = "human",
        value_parser = access_log
    )]
    access_log: AccessLog,
    /// Answer numbers for Prometheus, GET /metrics, on this address and port, such as 127.0.0.1:9464. It is another one than that of
    /// artifacts, as it is for those who run the server.
    #[arg(long, value_name = "ADDRESS", env = "MLFLOW_ARTIFACTS_METRICS_LISTEN")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// What is logged on standard error: ERROR, WARN, INFO, DEBUG or TRACE.
    #[arg(long, value_name = "LEVEL", env = "MLFLOW_LOGGING_LEVEL", default_value = "INFO", value_parser = level)]
    log_level: LevelFilter,
}

/// How it is found out who asks the artifact server, and what they may do.
#[derive(Args)]
#[command(group = ArgGroup::new("accounts").args(["basic_auth_file", "token_file"]).multiple(true))]
pub(crate) struct AccessArguments {
    /// Ask for a user and a password: a file with a line user:hash each, as htpasswd -B writes it.
    #[arg(long, value_name = "FILE", env = "MLFLOW_ARTIFACTS_BASIC_AUTH_FILE")]
    basic_auth_file: Option<PathBuf>,
    /// Ask for a token: a file with a line name:sha256:digest each, the digest being that of the token.
    #[arg(long, value_name = "FILE", env = "MLFLOW_ARTIFACTS_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// What each may do: a file with a line "who prefix read,write,delete" each, * being everybody, or everything. Without it whoever comes
    /// in may do everything.
    #[arg(long, value_name = "FILE", env = "MLFLOW_ARTIFACTS_ACCESS_RULES", requires = "accounts")]
    access_rules: Option<PathBuf>,
    /// Have the server at this URL decide who may do what, as reverse proxies ask one.
    #[arg(long, value_name = "URL", env = "MLFLOW_ARTIFACTS_FORWARD_AUTH", conflicts_with_all = ["basic_auth_file", "token_file", "access_rules", "gitlab"])]
    forward_auth: Option<Url>,
    /// Have this GitLab decide: a token's role in the project that the first name of a path is the number of.
    #[arg(long, value_name = "URL", env = "MLFLOW_ARTIFACTS_GITLAB", conflicts_with_all = ["basic_auth_file", "token_file", "access_rules"])]
    gitlab: Option<Url>,
    /// Which project the first name of a path belongs to: a file with a line "name project" each.
    #[arg(long, value_name = "FILE", env = "MLFLOW_ARTIFACTS_GITLAB_PROJECTS", requires = "gitlab")]
    gitlab_projects: Option<PathBuf>,
    /// How long counts what another server has decided.
    #[arg(long, value_name = "SECONDS", env = "MLFLOW_ARTIFACTS_AUTH_CACHE_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    auth_cache_seconds: u64,
}

impl AccessArguments {
    fn access(&self) -> Result<Access> {
        let flavour = match (&self.gitlab, &self.gitlab_projects) {
            (None, _) => Flavour::Forward,
            (Some(_), None) => Flavour::GitLab(Projects::default()),
            (Some(_), Some(file)) => Flavour::GitLab(Projects::in_file(file)?),
        };
        if let Some(url) = self.gitlab.as_ref().or(self.forward_auth.as_ref()) {
            let remembered = Duration::from_secs(self.auth_cache_seconds);
            let authority = Authority::new(url.clone(), flavour, remembered, &StoreConfig::from_env())?;
            return Ok(Access::Authority(Arc::new(authority)));
        }
        if self.basic_auth_file.is_none() && self.token_file.is_none() {
            return Ok(Access::Open);
        }
        let mut accounts = Accounts::new();
        if let Some(file) = &self.basic_auth_file {
            accounts = accounts.with_passwords(file)?;
        }
        if let Some(file) = &self.token_file {
            accounts = accounts.with_tokens(file)?;
        }
        if let Some(file) = &self.access_rules {
            accounts = accounts.with_rules(file)?;
        }
        Ok(Access::Accounts(Arc::new(accounts)))
    }
}

const SERVE_AFTER_HELP: &str = "\
A client finds the server by its URL: with MLFLOW_TRACKING_URI=http://127.0.0.1:5000 artifacts of mlflow-artifacts:/ are here; a \
tracking server sends its clients here with --default-artifact-root mlflow-artifacts://127.0.0.1:5000/. Or both are one address: with
--upstream http://127.0.0.1:5001 everything else is passed on to `mlflow server --port 5001 --no-serve-artifacts --default-artifact-root
mlflow-artifacts:/`, and clients need know nothing but MLFLOW_TRACKING_URI=http://127.0.0.1:5000.

Examples:
  mlflow-artifacts serve --artifacts-destination s3://bucket/mlflow
  mlflow-artifacts serve --artifacts-destination artifactory://art.example/artifactory/ml-models --port 5001";

impl ServeArguments {
    pub(crate) fn options(&self) -> Result<ServerOptions> {
        Ok(ServerOptions {
            static_prefix: self.static_prefix.clone(),
            allowed_hosts: trimmed(&self.allowed_hosts),
            cors_allowed_origins: trimmed(&self.cors_allowed_origins),
            x_frame_options: self.x_frame_options.clone(),
            disable_security: self.disable_security_middleware,
            multipart_upload: self.multipart_upload,
            multipart_download: self.multipart_download,
            presigned_only: self.artifacts_presigned_only,
            presigned_expiry: Duration::from_secs(self.presigned_expiry),
            workspaces: self.enable_workspaces,
            upstream: self.upstream.clone().filter(|url| !url.is_empty()),
            upstream_ca_bundle: self.upstream_ca_bundle.clone(),
            max_connections: self.max_connections.0,
            upload_memory: usize::try_from(self.upload_memory.0).unwrap_or(usize::MAX),
            access: self.access.access()?,
            drain_timeout: Duration::from_secs(self.drain_timeout),
            ..ServerOptions::default()
        })
    }

    /// The files of the certificate and its key.
    pub(crate) fn tls(&self) -> Option<(&Path, &Path)> {
        self.ssl_certfile.as_deref().zip(self.ssl_keyfile.as_deref())
    }

    pub(crate) fn level(&self) -> LevelFilter {
        self.log_level
    }

    /// The form of the access log, if there is to be one.
    pub(crate) fn access_log(&self) -> Option<AccessLogFormat> {
        self.access_log.0
    }
}

/// A form, or none.
#[derive(Clone, Copy)]
struct AccessLog(Option<AccessLogFormat>);

fn access_log(text: &str) -> Result<AccessLog, &'static str> {
    match text {
        "human" => Ok(AccessLog(Some(AccessLogFormat::Human))),
        "json" => Ok(AccessLog(Some(AccessLogFormat::Json))),
        "off" => Ok(AccessLog(None)),
        _ => Err("give human, json or off"),
    }
}

/// `health`
#[derive(Args)]
#[command(after_help = HEALTH_AFTER_HELP)]
pub(crate) struct HealthArguments {
    /// The port that the server listens on.
    #[arg(long, short = 'p', env = "MLFLOW_PORT", default_value_t = 5000)]
    pub(crate) port: u16,
    /// What stands before the path of every route.
    #[arg(long, value_name = "PREFIX", env = "MLFLOW_STATIC_PREFIX", default_value = "")]
    pub(crate) static_prefix: String,
}

const HEALTH_AFTER_HELP: &str = "\
Asks http://127.0.0.1:PORT/PREFIX/health and gives up after five seconds of silence. It says nothing of the store. A server that \
speaks TLS is asked where it answers for Prometheus, which has /health too: --port of its --metrics-listen.";

/// What stands between commas, which people write with spaces.
fn trimmed(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
}

/// A level as Python names it, or Rust.
fn level(text: &str) -> Result<LevelFilter, &'static str> {
    match text.to_ascii_uppercase().as_str() {
        "CRITICAL" | "FATAL" => Ok(LevelFilter::Error),
        "WARNING" => Ok(LevelFilter::Warn),
        "NOTSET" => Ok(LevelFilter::Trace),
        other => other.parse().map_err(|_| "give ERROR, WARN, INFO, DEBUG or TRACE"),
    }
}

/// A number of things, at least one.
#[derive(Clone, Copy)]
struct Count(usize);

impl FromStr for Count {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().ok().filter(|count| *count > 0).map(Count).ok_or("give a number from 1 on")
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number of bytes, at least one, as a person writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size(u64);

/// Units with their short form, the largest first.
const UNITS: [(&str, &str, u64); 4] =
    [("TiB", "T", 1 << 40), ("GiB", "G", 1 << 30), ("MiB", "M", 1 << 20), ("KiB", "K", 1 << 10)];

impl FromStr for Size {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let unit = unit.trim_start();
        let is_unit = |name: &str| name.eq_ignore_ascii_case(unit);
        let factor = match UNITS.iter().find(|(long, short, _)| is_unit(long) || is_unit(short)) {
            Some((_, _, factor)) => Some(*factor),
            None => matches!(unit, "" | "B").then_some(1),
        };
        let bytes =
            number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
        bytes.filter(|bytes| *bytes > 0).map(Size).ok_or("give a size such as 64MiB, 1GiB or 65536")
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, _, factor)| self.0.is_multiple_of(*factor)) {
            Some((unit, _, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds_together() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [
            ("1", 1),
            ("65536B", 65536),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("2G", 2 << 30),
            ("3k", 3 << 10),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "0", "MiB", "-1", "1.5GiB", "64MB", "1 parsec", "99999999999T"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        assert_eq!(Size(48 << 20).to_string(), "48MiB");
        assert_eq!(Size(1000).to_string(), "1000");
    }
}
