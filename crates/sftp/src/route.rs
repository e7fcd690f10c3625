//! The hosts that lead to a server, each with all that is needed to log in there.

use std::path::{Path, PathBuf};

use mlflow_artifacts_core::{Error, ErrorKind, Result, Secret};

use crate::config::{Settings, without_brackets};
use crate::known_hosts::{Files, USUAL_PORT, Unknown};
use crate::ssh_config::{self, HostConfig, Proxy, Query, RevokedKeys, Source, Strict, Tokens};

/// Where the machine's own configuration is.
const MACHINES_DIRECTORY: &str = "/etc/ssh";
/// The most hosts on the way: a longer way is one that goes round in a circle.
const LONGEST: usize = 8;
/// The keys that are tried where none are named, below `~/.ssh`.
const USUAL_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// A host to log in to.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    /// What is connected to.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What it is called among the known hosts.
    pub(crate) known_as: String,
    /// The port that belongs to that name.
    pub(crate) known_port: u16,
    pub(crate) known_hosts: Files,
    pub(crate) unknown: Unknown,
    pub(crate) credentials: Credentials,
}

/// With what to log in.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    /// A key that was named for this store: it must be usable.
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) passphrase: Option<Secret>,
    /// Keys that are tried if they are there.
    pub(crate) identity_files: Vec<PathBuf>,
    /// Whether the agent's other keys are left alone.
    pub(crate) identities_only: bool,
    pub(crate) agent: Option<PathBuf>,
}

/// The hosts to go through, the server itself last.
pub(crate) fn route(settings: &Settings) -> Result<Vec<Hop>> {
    let mut named = Named { host: settings.host.clone(), port: settings.port, user: settings.user.clone() };
    // What leads to the next one goes before what the configuration says of it.
    let mut through = None;
    let mut hops = Vec::new();
    loop {
        let (hop, jumps) = hop(settings, &named, hops.is_empty())?;
        hops.push(hop);
        let Some(jumps) = through.take().or(jumps) else { break };
        if hops.len() == LONGEST {
            let message = format!("ProxyJump leads through {LONGEST} hosts or more");
            return Err(Error::new(ErrorKind::InvalidConfig, message)
                .with_help("correct ProxyJump in the SSH configuration"));
        }
        // The last of them is reached through those before it.
        let last = match jumps.rsplit_once(',') {
            Some((before, last)) => {
                through = Some(before.to_owned());
                last
            }
            None => &jumps,
        };
        named = Named::parse(last)?;
    }
    hops.reverse();
    Ok(hops)
}

/// A host as somebody names it.
pub(crate) struct Named {
    host: String,
    port: Option<u16>,
    user: Option<String>,
}

impl Named {
    /// `[user@]host[:port]`, as `ProxyJump` has it.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let refused = || {
            Error::new(ErrorKind::InvalidConfig, format!("{text:?} of ProxyJump names no host"))
                .with_help("write ProxyJump [user@]host[:port] in the SSH configuration")
        };
        let rest = text.trim();
        let rest = rest.strip_prefix("ssh://").unwrap_or(rest).trim_end_matches('/');
        let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
        let (host, port) = match rest.rsplit_once(':') {
            // A colon within brackets, or one of several, belongs to an IPv6 address.
            Some((host, port)) if !port.ends_with(']') && (host.ends_with(']') || !host.contains(':')) => {
                (host, Some(port.parse().map_err(|_| refused())?))
            }
            _ => (rest, None),
        };
        let host = without_brackets(host);
        if host.is_empty() {
            return Err(refused());
        }
        Ok(Named { host: host.to_owned(), port, user: user.map(str::to_owned) })
    }
}

/// A host with all that is said of it, and the hosts that lead to it. What was set for the store's server is not told to others.
fn hop(settings: &Settings, named: &Named, is_server: bool) -> Result<(Hop, Option<String>)> {
    let home = settings.home.as_deref();
    let local_user = settings.local_user.as_deref();
    let query = Query { host: &named.host, user: named.user.as_deref(), local_user, home };
    let found = ssh_config::read(&query, &config_files(settings))?;
    let user =
        named.user.clone().or(found.user.clone()).or(settings.local_user.clone()).ok_or_else(|| {
            Error::new(ErrorKind::InvalidConfig, format!("nothing says as whom to log in to {}", named.host))
                .with_help("name the user in the URI or in MLFLOW_ARTIFACTS_SFTP_USER")
        })?;
    let port = named.port.or(found.port).unwrap_or(USUAL_PORT);
    let mut tokens = Tokens {
        host: &named.host,
        original_host: &named.host,
        port,
        user: &user,
        local_user,
        home,
        env: &settings.env,
    };
    let host = found.host_name.as_deref().map_or(Ok(named.host.clone()), |name| tokens.expand(name))?;
    tokens.host = &host;
    let own = |setting: &Option<Secret>| setting.clone().filter(|_| is_server);
    let credentials = Credentials {
        user: user.clone(),
        password: own(&settings.password),
        key_file: settings.key_file.clone().filter(|_| is_server),
        passphrase: settings.key_passphrase.clone(),
        identity_files: identity_files(settings, &found, &tokens)?,
        identities_only: found.identities_only.unwrap_or(false),
        agent: agent(settings, &found, &tokens)?,
    };
    if let Some(RevokedKeys::File(place)) = found.revoked_host_keys {
        return Err(Error::new(ErrorKind::InvalidConfig, "RevokedHostKeys is not supported")
            .with_path(place)
            .with_help("mark revoked keys with @revoked in a file of known hosts, or use another file with MLFLOW_ARTIFACTS_SFTP_SSH_CONFIG"));
    }
    // An alias is looked up without the port, as OpenSSH does.
    let (known_as, known_port) = match &found.host_key_alias {
        Some(alias) => (alias.clone(), USUAL_PORT),
        None => (host.clone(), port),
    };
    let hop = Hop {
        known_as,
        known_port,
        known_hosts: known_hosts(settings, &found, &tokens)?,
        unknown: unknown(settings, &found)?,
        credentials,
        port,
        host: host.clone(),
    };
    let jumps = match found.proxy {
        Some(Proxy::Jump(jumps)) => Some(tokens.expand(&jumps)?),
        Some(Proxy::Command(place)) => {
            return Err(Error::new(ErrorKind::InvalidConfig, "ProxyCommand is not supported")
                .with_path(place)
                .with_help("use ProxyJump, or another file with MLFLOW_ARTIFACTS_SFTP_SSH_CONFIG"));
        }
        Some(Proxy::None) | None => None,
    };
    Ok((hop, jumps))
}

fn config_files(settings: &Settings) -> Vec<Source> {
    let directory = settings.home.as_ref().map(|home| home.join(".ssh"));
    match settings.ssh_config.as_deref() {
        Some("none") => Vec::new(),
        Some(file) => vec![Source { file: PathBuf::from(file), directory }],
        None => {
            let own = directory
                .map(|directory| Source { file: directory.join("config"), directory: Some(directory) });
            let directory = PathBuf::from(MACHINES_DIRECTORY);
            let machines = Source { file: directory.join("ssh_config"), directory: Some(directory) };
            own.into_iter().chain([machines]).collect()
        }
    }
}

fn identity_files(settings: &Settings, found: &HostConfig, tokens: &Tokens<'_>) -> Result<Vec<PathBuf>> {
    if !found.identity_files.is_empty() {
        let named = found.identity_files.iter().filter(|file| !file.eq_ignore_ascii_case("none"));
        return named.map(|file| tokens.path(file)).collect();
    }
    let directory = settings.home.as_ref().map(|home| home.join(".ssh"));
    Ok(directory.iter().flat_map(|directory| USUAL_KEYS.map(|name| directory.join(name))).collect())
}

fn agent(settings: &Settings, found: &HostConfig, tokens: &Tokens<'_>) -> Result<Option<PathBuf>> {
    // An option of the store goes before the configuration, which goes before what every program of the session is told.
    let session = settings.env.get("SSH_AUTH_SOCK");
    let own = settings.agent.as_ref().filter(|agent| Some(*agent) != session.as_ref());
    let told = match (own, found.identity_agent.as_deref()) {
        (Some(own), _) => own,
        (None, Some("SSH_AUTH_SOCK") | None) => match &session {
            Some(session) => session,
            None => return Ok(None),
        },
        (None, Some(told)) => return if told == "none" { Ok(None) } else { tokens.path(told).map(Some) },
    };
    Ok(Some(PathBuf::from(told)).filter(|_| told != "none"))
}

fn known_hosts(settings: &Settings, found: &HostConfig, tokens: &Tokens<'_>) -> Result<Files> {
    if let Some(file) = &settings.known_hosts {
        return Ok(Files { own: vec![file.clone()], machine: Vec::new() });
    }
    let paths = |files: &[String]| {
        let named = files.iter().filter(|file| !file.eq_ignore_ascii_case("none"));
        named.map(|file| tokens.path(file)).collect::<Result<Vec<_>>>()
    };
    let own = match &found.known_hosts_files {
        Some(files) => paths(files)?,
        None => {
            let directory = settings.home.as_ref().map(|home| home.join(".ssh"));
            let names = ["known_hosts", "known_hosts2"];
            directory.iter().flat_map(|directory| names.map(|name| directory.join(name))).collect()
        }
    };
    let machine = match &found.global_known_hosts_files {
        Some(files) => paths(files)?,
        None => vec![Path::new(MACHINES_DIRECTORY).join("ssh_known_hosts")],
    };
    Ok(Files { own, machine })
}

fn unknown(settings: &Settings, found: &HostConfig) -> Result<Unknown> {
    match (settings.unknown, &found.strict_host_key_checking) {
        (Some(unknown), _) => Ok(unknown),
        (None, Some(Strict::AcceptNew)) => Ok(Unknown::Record),
        (None, Some(Strict::Yes) | None) => Ok(Unknown::Refuse),
        (None, Some(Strict::No(place))) => Err(Error::new(
            ErrorKind::InvalidConfig,
            "StrictHostKeyChecking no is not supported: hosts are always verified",
        )
        .with_path(place)
        .with_help("set MLFLOW_ARTIFACTS_SFTP_STRICT_HOST_KEY_CHECKING to yes or accept-new")),
    }
}

#[cfg(test)]
mod tests {
    use mlflow_artifacts_core::{ArtifactUri, EnvSource, StoreConfig};

    use super::*;
    use crate::config::KEYS;

    fn settings(uri: &str, text: &str, env: &[(&str, &str)]) -> (Settings, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config");
        std::fs::write(&file, text).unwrap();
        let env: EnvSource =
            [("HOME", "/home/me"), ("USER", "me")].into_iter().chain(env.iter().copied()).collect();
        let config = StoreConfig::new().with_env(env).with("ssh_config", file.to_str().unwrap());
        let uri = ArtifactUri::parse(uri).unwrap();
        let config = config.resolve(&uri, KEYS).unwrap();
        (Settings::new(&uri, &config).unwrap(), directory)
    }

    fn routed(uri: &str, text: &str, env: &[(&str, &str)]) -> Result<Vec<Hop>> {
        route(&settings(uri, text, env).0)
    }

    #[test]
    fn the_uri_goes_before_the_environment_and_that_before_the_configuration() {
        let text = "Host short\nHostName long.example\nUser configured\nPort 2022\nIdentityFile ~/%r@%h";
        let hop = |uri: &str, env: &[(&str, &str)]| routed(uri, text, env).unwrap().remove(0);
        let plain = hop("sftp://short/a", &[]);
        assert_eq!(
            (plain.host.as_str(), plain.port, plain.known_as.as_str()),
            ("long.example", 2022, "long.example")
        );
        assert_eq!(plain.credentials.user, "configured");
        assert_eq!(plain.credentials.identity_files, [Path::new("/home/me/configured@long.example")]);
        let variables =
            [("MLFLOW_ARTIFACTS_SFTP_USER", "variable"), ("MLFLOW_ARTIFACTS_SFTP_PASSWORD", "secret")];
        let told = hop("sftp://short/a", &variables);
        assert_eq!(
            (told.credentials.user.as_str(), told.credentials.password),
            ("variable", Some(Secret::new("secret")))
        );
        let named = hop("sftp://us%40er:p%2Fw@short:22/a", &variables);
        assert_eq!((named.credentials.user.as_str(), named.port), ("us@er", 22));
        assert_eq!(named.credentials.password, Some(Secret::new("p/w")));
        let other = hop("sftp://[::1]/a", &[]);
        assert_eq!((other.host.as_str(), other.port, other.credentials.user.as_str()), ("::1", 22, "me"));
        let usual: Vec<_> = USUAL_KEYS.iter().map(|name| Path::new("/home/me/.ssh").join(name)).collect();
        assert_eq!(other.credentials.identity_files, usual);
    }

    #[test]
    fn jumps_lead_through_each_other_and_learn_no_password() {
        let text = "Host server\nProxyJump a,you@b:7\nHost b\nProxyJump ignored\nHost a\nProxyJump [fe80::1]:8\nUser one";
        let hops =
            routed("sftp://me:secret@server/", text, &[("MLFLOW_ARTIFACTS_SFTP_KEY_FILE", "/key")]).unwrap();
        let told: Vec<_> =
            hops.iter().map(|hop| (hop.host.as_str(), hop.port, hop.credentials.user.as_str())).collect();
        assert_eq!(told, [("fe80::1", 8, "me"), ("a", 22, "one"), ("b", 7, "you"), ("server", 22, "me")]);
        let (server, way) = hops.split_last().unwrap();
        assert!(server.credentials.password.is_some() && server.credentials.key_file.is_some());
        assert!(
            way.iter().all(|hop| hop.credentials.password.is_none() && hop.credentials.key_file.is_none())
        );
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        for (text, words) in [
            ("ProxyJump server", "8 hosts"),
            ("ProxyJump a:b", "names no host"),
            ("ProxyCommand nc", "ProxyCommand"),
            ("StrictHostKeyChecking no", "always verified"),
            ("HostName %x", "%x"),
            ("RevokedHostKeys /revoked\nRevokedHostKeys none", "RevokedHostKeys"),
        ] {
            let error = routed("sftp://server/", text, &[]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{text}");
            assert!(error.to_string().contains(words), "{error}");
        }
        let told = [("MLFLOW_ARTIFACTS_SFTP_STRICT_HOST_KEY_CHECKING", "yes")];
        assert!(routed("sftp://server/", "StrictHostKeyChecking no", &told).is_ok());
        let none_first = "RevokedHostKeys none\nRevokedHostKeys /revoked";
        assert!(routed("sftp://server/", none_first, &[]).is_ok());
    }

    #[test]
    fn an_alias_is_known_without_the_port() {
        let known = |text: &str| {
            let hop = routed("sftp://server:2222/", text, &[]).unwrap().remove(0);
            (hop.known_as, hop.known_port)
        };
        assert_eq!(known(""), ("server".to_owned(), 2222));
        assert_eq!(known("HostKeyAlias alias"), ("alias".to_owned(), 22));
    }

    #[test]
    fn the_files_of_known_hosts_are_the_users_and_the_machines() {
        let files = |text: &str, env: &[(&str, &str)]| {
            routed("sftp://server/", text, env).unwrap().remove(0).known_hosts
        };
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        let usual = paths(&["/home/me/.ssh/known_hosts", "/home/me/.ssh/known_hosts2"]);
        let machines = paths(&["/etc/ssh/ssh_known_hosts"]);
        for (text, own, machine) in [
            ("", &usual, &machines),
            ("GlobalKnownHostsFile none", &usual, &Vec::new()),
            ("GlobalKnownHostsFile /a ~/b\nGlobalKnownHostsFile /c", &usual, &paths(&["/a", "/home/me/b"])),
            ("UserKnownHostsFile none\nGlobalKnownHostsFile /a", &Vec::new(), &paths(&["/a"])),
        ] {
            assert_eq!(files(text, &[]), Files { own: own.clone(), machine: machine.clone() }, "{text}");
        }
        let only = files("GlobalKnownHostsFile /a", &[("MLFLOW_ARTIFACTS_SFTP_KNOWN_HOSTS", "/only")]);
        assert_eq!(only, Files { own: paths(&["/only"]), machine: Vec::new() });
    }

    #[test]
    fn the_nearest_agent_is_asked() {
        let session = ("SSH_AUTH_SOCK", "/session");
        let own = ("MLFLOW_ARTIFACTS_SFTP_AGENT", "/own");
        let none = ("MLFLOW_ARTIFACTS_SFTP_AGENT", "none");
        let told = "IdentityAgent ~/agent";
        for (text, env, expected) in [
            ("", &[][..], None),
            ("", &[session], Some("/session")),
            (told, &[session], Some("/home/me/agent")),
            (told, &[session, own], Some("/own")),
            (told, &[session, none], None),
            ("IdentityAgent none", &[session], None),
            ("IdentityAgent SSH_AUTH_SOCK", &[session], Some("/session")),
        ] {
            let agent = routed("sftp://server/", text, env).unwrap().remove(0).credentials.agent;
            assert_eq!(agent.as_deref(), expected.map(Path::new), "{text} {env:?}");
        }
    }
}
