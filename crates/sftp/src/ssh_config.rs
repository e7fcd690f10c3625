//! What OpenSSH's client is configured to do for a host (`ssh_config(5)`), as far as it concerns where and as whom to connect.

use std::path::{Path, PathBuf};

use mlflow_artifacts_core::{EnvSource, Error, ErrorKind, Result};

use crate::pattern;

/// How deep files may include others, as in OpenSSH.
const DEEPEST: usize = 16;

/// Whom the configuration is asked about.
#[derive(Clone, Debug)]
pub(crate) struct Query<'a> {
    /// The host as it was named.
    pub(crate) host: &'a str,
    /// The user, where something says it that goes before the configuration.
    pub(crate) user: Option<&'a str>,
    /// The user of this process.
    pub(crate) local_user: Option<&'a str>,
    pub(crate) home: Option<&'a Path>,
}

/// What the files say of a host: each the first value that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostConfig {
    pub(crate) host_name: Option<String>,
    pub(crate) host_key_alias: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) port: Option<u16>,
    /// All of them, in order.
    pub(crate) identity_files: Vec<String>,
    pub(crate) identities_only: Option<bool>,
    pub(crate) identity_agent: Option<String>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) known_hosts_files: Option<Vec<String>>,
    pub(crate) global_known_hosts_files: Option<Vec<String>>,
    pub(crate) revoked_host_keys: Option<RevokedKeys>,
    pub(crate) strict_host_key_checking: Option<Strict>,
}

/// Through what a host is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    None,
    Jump(String),
    /// A program, which is not supported. Where it stands, for messages.
    Command(String),
}

/// What `StrictHostKeyChecking` may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Strict {
    Yes,
    AcceptNew,
    /// Anything goes, which is not supported. Where it stands, for messages.
    No(String),
}

/// What `RevokedHostKeys` may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RevokedKeys {
    None,
    /// A file, which is not supported. Where it stands, for messages.
    File(String),
}

/// A file to read.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) file: PathBuf,
    /// What the names of files are relative to that it includes, and that those include. Without one they are not included.
    pub(crate) directory: Option<PathBuf>,
}

/// Reads what `sources` say of a host. Those that are not there say nothing.
pub(crate) fn read(query: &Query<'_>, sources: &[Source]) -> Result<HostConfig> {
    evaluate(query, |evaluation| {
        for Source { file, directory } in sources {
            evaluation.directory.clone_from(directory);
            evaluation.file(file, true, 0)?;
        }
        Ok(())
    })
}

/// Reads what a text says of a host. Files that it includes are refused: nothing of this machine is read.
#[cfg(fuzzing)]
pub(crate) fn read_text(query: &Query<'_>, text: &str) -> Result<HostConfig> {
    evaluate(query, |evaluation| evaluation.text(text, Path::new("config"), true, DEEPEST))
}

/// What is found by `pass`, which reads everything, and by a last one where a `Match` is only for that (`final`).
fn evaluate(query: &Query<'_>, pass: impl Fn(&mut Evaluation<'_>) -> Result<()>) -> Result<HostConfig> {
    let mut evaluation = Evaluation {
        query,
        found: HostConfig::default(),
        directory: None,
        is_final: false,
        wants_final: false,
    };
    pass(&mut evaluation)?;
    if evaluation.wants_final {
        evaluation.is_final = true;
        pass(&mut evaluation)?;
    }
    Ok(evaluation.found)
}

struct Evaluation<'a> {
    query: &'a Query<'a>,
    found: HostConfig,
    /// What the names of files are relative to that are included.
    directory: Option<PathBuf>,
    /// Whether this is the last pass, after one that found the host's real name.
    is_final: bool,
    /// Whether a criterion holds in the last pass only.
    wants_final: bool,
}

/// A line, for messages.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a Path,
    line: usize,
}

impl Place<'_> {
    fn refuse(self, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidConfig, message).with_path(self).with_help(
            "correct the file, or name another one, or none, with MLFLOW_ARTIFACTS_SFTP_SSH_CONFIG",
        )
    }
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

impl Evaluation<'_> {
    /// `applies` says whether the place does where the file is included.
    fn file(&mut self, file: &Path, applies: bool, depth: usize) -> Result<()> {
        use std::io::ErrorKind as Io;
        let text = match std::fs::read(file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if matches!(error.kind(), Io::NotFound | Io::NotADirectory) => return Ok(()),
            Err(error) => {
                return Err(Error::new(ErrorKind::InvalidConfig, "the SSH configuration cannot be read")
                    .with_path(file.display())
                    .with_source(error));
            }
        };
        self.text(&text, file, applies, depth)
    }

    fn text(&mut self, text: &str, file: &Path, applies: bool, depth: usize) -> Result<()> {
        let mut active = applies;
        for (index, line) in text.lines().enumerate() {
            let place = Place { file, line: index + 1 };
            let Some((keyword, values)) = split(line).map_err(|defect| place.refuse(defect))? else {
                continue;
            };
            match keyword.as_str() {
                "host" => {
                    let name = if self.is_final { self.host() } else { self.query.host.to_owned() };
                    active = applies && pattern::any_matches(values.iter().map(String::as_str), &name);
                }
                "match" => active = applies && self.matches(&values, place)?,
                "include" => {
                    for value in &values {
                        self.include(value, place, active, depth)?;
                    }
                }
                _ if active => self.take(&keyword, &values, place)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn include(&mut self, value: &str, place: Place<'_>, active: bool, depth: usize) -> Result<()> {
        if depth == DEEPEST {
            return Err(place.refuse("files include each other too deeply"));
        }
        let (directory, name) = match value.strip_prefix("~/") {
            Some(rest) => (self.query.home, rest),
            None if Path::new(value).is_absolute() => (Some(Path::new("/")), value),
            None => (self.directory.as_deref(), value),
        };
        let Some(path) = directory.map(|directory| directory.join(name)) else { return Ok(()) };
        for file in files_like(&path) {
            self.file(&file, active, depth + 1)?;
        }
        Ok(())
    }

    /// The host as it is connected to, as far as that is known.
    fn host(&self) -> String {
        self.found.host_name.as_deref().unwrap_or(self.query.host).replace("%h", self.query.host)
    }

    fn user(&self) -> &str {
        self.query.user.or(self.found.user.as_deref()).or(self.query.local_user).unwrap_or_default()
    }

    fn matches(&mut self, criteria: &[String], place: Place<'_>) -> Result<bool> {
        let mut words = criteria.iter().map(String::as_str);
        let mut holds = true;
        let mut unknown = None;
        while let Some(word) = words.next() {
            let (word, given) =
                word.split_once('=').map_or((word, None), |(word, value)| (word, Some(value)));
            let (criterion, negated) = word.strip_prefix('!').map_or((word, false), |rest| (rest, true));
            let mut value = || given.or_else(|| words.next()).unwrap_or_default();
            let mut is_listed = |text: &str| pattern::any_matches(value().split(','), text);
            let found = match criterion.to_ascii_lowercase().as_str() {
                "all" => true,
                // Names are not made canonical.
                "canonical" => false,
                "final" => {
                    self.wants_final = true;
                    self.is_final
                }
                "host" => is_listed(&self.host()),
                "originalhost" => is_listed(self.query.host),
                "user" => is_listed(self.user()),
                "localuser" => is_listed(self.query.local_user.unwrap_or_default()),
                _ => {
                    // Those that OpenSSH has beyond these take a value each.
                    value();
                    unknown.get_or_insert(criterion);
                    continue;
                }
            };
            holds &= found != negated;
        }
        match unknown {
            // It cannot make the line hold.
            Some(_) if !holds => Ok(false),
            Some(criterion) => {
                Err(place.refuse(format!("Match with the criterion {criterion:?} is not supported")))
            }
            None if criteria.is_empty() => Err(place.refuse("Match has no criterion")),
            None => Ok(holds),
        }
    }

    fn take(&mut self, keyword: &str, values: &[String], place: Place<'_>) -> Result<()> {
        let found = &mut self.found;
        let missing = || place.refuse(format!("{keyword} has no value"));
        let first = || values.first().cloned().ok_or_else(missing);
        match keyword {
            "hostname" => set(&mut found.host_name, first()?),
            "hostkeyalias" => set(&mut found.host_key_alias, first()?),
            "user" => set(&mut found.user, first()?),
            "port" => {
                let port = first()?.parse().ok().filter(|&port| port != 0);
                set(&mut found.port, port.ok_or_else(|| place.refuse("Port is not a port"))?);
            }
            "identityfile" => {
                let file = first()?;
                // The last pass finds those of the first once more.
                if !found.identity_files.contains(&file) {
                    found.identity_files.push(file);
                }
            }
            "identitiesonly" => set(&mut found.identities_only, switch(&first()?, place)?),
            "identityagent" => set(&mut found.identity_agent, first()?),
            "proxyjump" => {
                let jump = first()?;
                let is_none = jump.eq_ignore_ascii_case("none");
                set(&mut found.proxy, if is_none { Proxy::None } else { Proxy::Jump(jump) });
            }
            "proxycommand" => {
                let is_none = first()?.eq_ignore_ascii_case("none");
                set(&mut found.proxy, if is_none { Proxy::None } else { Proxy::Command(place.to_string()) });
            }
            "userknownhostsfile" => {
                first()?;
                set(&mut found.known_hosts_files, values.to_vec());
            }
            "globalknownhostsfile" => {
                first()?;
                set(&mut found.global_known_hosts_files, values.to_vec());
            }
            "revokedhostkeys" => {
                let is_none = first()?.eq_ignore_ascii_case("none");
                let revoked = if is_none { RevokedKeys::None } else { RevokedKeys::File(place.to_string()) };
                set(&mut found.revoked_host_keys, revoked);
            }
            "stricthostkeychecking" => {
                let value = match first()?.to_ascii_lowercase().as_str() {
                    // Nobody is there to be asked.
                    "yes" | "true" | "ask" => Strict::Yes,
                    "accept-new" => Strict::AcceptNew,
                    "no" | "off" | "false" => Strict::No(place.to_string()),
                    _ => return Err(place.refuse("StrictHostKeyChecking is yes, ask, accept-new or no")),
                };
                set(&mut found.strict_host_key_checking, value);
            }
            _ => {}
        }
        Ok(())
    }
}

/// The first value wins.
fn set<T>(place: &mut Option<T>, value: T) {
    place.get_or_insert(value);
}

fn switch(value: &str, place: Place<'_>) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(place.refuse(format!("{value:?} is neither yes nor no"))),
    }
}

/// A line's keyword in small letters, and its values; `None` where it says nothing.
fn split(line: &str) -> Result<Option<(String, Vec<String>)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Ok(Some((keyword.to_ascii_lowercase(), words(rest)?)))
}

/// Words, in quotation marks where they hold white space, up to a comment.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut letters = text.chars().peekable();
    loop {
        while letters.next_if(|c| c.is_whitespace()).is_some() {}
        match letters.peek() {
            None | Some('#') => return Ok(words),
            Some(_) => words.push(word(&mut letters)?),
        }
    }
}

fn word(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, &'static str> {
    let mut word = String::new();
    let mut quote = None;
    while let Some(letter) = letters.next_if(|c| quote.is_some() || !c.is_whitespace()) {
        match letter {
            '"' | '\'' if quote.is_none() => quote = Some(letter),
            _ if quote == Some(letter) => quote = None,
            '\\' => match letters.next_if(|next| matches!(next, '"' | '\'' | '\\')) {
                Some(escaped) => word.push(escaped),
                None => word.push(letter),
            },
            _ => word.push(letter),
        }
    }
    if quote.is_some() { Err("a quotation mark is not closed") } else { Ok(word) }
}

/// The files whose paths have this form, sorted, as a shell finds them.
fn files_like(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in path.components() {
        let name = part.as_os_str().to_string_lossy();
        if !name.contains(['*', '?']) {
            for path in &mut found {
                path.push(part);
            }
            continue;
        }
        found = found.iter().flat_map(|directory| children_like(directory, &name)).collect();
    }
    found
}

fn children_like(directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_meant =
        |name: &str| pattern::matches(pattern, name) && (pattern.starts_with('.') || !name.starts_with('.'));
    let mut children: Vec<_> = entries
        .filter(|entry| is_meant(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect();
    children.sort();
    children
}

/// What stands for `%` and a letter, `~` and `${VARIABLE}` in values.
#[derive(Clone, Debug)]
pub(crate) struct Tokens<'a> {
    /// `%h`: the host that is connected to.
    pub(crate) host: &'a str,
    /// `%n`: the host as it was named.
    pub(crate) original_host: &'a str,
    pub(crate) port: u16,
    pub(crate) user: &'a str,
    pub(crate) local_user: Option<&'a str>,
    pub(crate) home: Option<&'a Path>,
    pub(crate) env: &'a EnvSource,
}

impl Tokens<'_> {
    /// The value with all tokens replaced.
    pub(crate) fn expand(&self, value: &str) -> Result<String> {
        let refuse = |what: &str| {
            Error::new(ErrorKind::InvalidConfig, format!("{what} in {value:?} of the SSH configuration"))
                .with_help("write the value out, or name another file, or none, with MLFLOW_ARTIFACTS_SFTP_SSH_CONFIG")
        };
        let mut expanded = String::new();
        let mut rest = value;
        while let Some(at) = rest.find(['%', '$']) {
            expanded.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some((variable, after)) = rest.strip_prefix("${").and_then(|name| name.split_once('}')) {
                let set = self.env.get(variable);
                expanded += &set.ok_or_else(|| refuse(&format!("the variable {variable} is not set")))?;
                rest = after;
                continue;
            }
            let mut letters = rest.chars();
            if letters.next() == Some('$') {
                expanded.push('$');
            } else {
                let letter = letters.next().unwrap_or(' ');
                let token = self.token(letter);
                expanded += &token.ok_or_else(|| refuse(&format!("%{letter} is not supported")))?;
            }
            rest = letters.as_str();
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn token(&self, letter: char) -> Option<String> {
        Some(match letter {
            '%' => "%".to_owned(),
            'h' => self.host.to_owned(),
            'n' => self.original_host.to_owned(),
            'p' => self.port.to_string(),
            'r' => self.user.to_owned(),
            'u' => self.local_user?.to_owned(),
            'd' => self.home?.to_str()?.to_owned(),
            _ => return None,
        })
    }

    /// The value as a path. Fails where it is one of a home directory that is not known.
    pub(crate) fn path(&self, value: &str) -> Result<PathBuf> {
        let expanded = self.expand(value)?;
        let Some(below) = expanded.strip_prefix('~') else { return Ok(PathBuf::from(expanded)) };
        match (below.strip_prefix('/').or(Some("").filter(|_| below.is_empty())), self.home) {
            (Some(below), Some(home)) => Ok(home.join(below)),
            _ => Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("the home directory of {value:?} is not known"),
            )
            .with_help("write the path out in the SSH configuration")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluate(text: &str, host: &str) -> Result<HostConfig> {
        let query = Query { host, user: None, local_user: Some("me"), home: None };
        super::evaluate(&query, |evaluation| evaluation.text(text, Path::new("config"), true, 0))
    }

    #[test]
    fn the_first_value_wins_and_identities_add_up() {
        let text = "
            IdentityFile ~/.ssh/first
            Host other *.example.com !bad.example.com
                User=one
                Port = 2222
                hostname \"real %h\" # comment
                IdentityFile \"~/my keys/second\"
            # Host a.example.com
            HOST a.example.com
                User two
                Port 22
                ProxyJump jump:1,inner
                ProxyCommand ignored
                IdentitiesOnly yes
                UserKnownHostsFile a \"b c\"
                GlobalKnownHostsFile d e
                GlobalKnownHostsFile ignored
                RevokedHostKeys none
                RevokedHostKeys ignored
                StrictHostKeyChecking accept-new
                SomethingElse entirely \"different\"
            Match host=\"real a*\" user one,three
                IdentityAgent none
        ";
        let found = evaluate(text, "a.example.com").unwrap();
        let own = |text: &str| text.to_owned();
        let expected = HostConfig {
            host_name: Some(own("real %h")),
            host_key_alias: None,
            user: Some(own("one")),
            port: Some(2222),
            identity_files: vec![own("~/.ssh/first"), own("~/my keys/second")],
            identities_only: Some(true),
            identity_agent: Some(own("none")),
            proxy: Some(Proxy::Jump(own("jump:1,inner"))),
            known_hosts_files: Some(vec![own("a"), own("b c")]),
            global_known_hosts_files: Some(vec![own("d"), own("e")]),
            revoked_host_keys: Some(RevokedKeys::None),
            strict_host_key_checking: Some(Strict::AcceptNew),
        };
        assert_eq!(found, expected);
        let bad = evaluate(text, "bad.example.com").unwrap();
        assert_eq!(bad.identity_files, ["~/.ssh/first"]);
        assert_eq!(bad, HostConfig { identity_files: bad.identity_files.clone(), ..HostConfig::default() });
    }

    #[test]
    fn match_is_evaluated_or_refused() {
        let port = |criteria: &str| {
            let text = format!("Host a\n HostName b\nMatch {criteria}\n Port 1\n");
            evaluate(&text, "a").map(|found| found.port.is_some())
        };
        for (criteria, expected) in [
            ("all", true),
            ("host b", true),
            ("host a", false),
            ("!host a", true),
            ("originalhost a", true),
            ("originalhost x,a*", true),
            ("user me", true),
            ("user root", false),
            ("localuser me originalhost a", true),
            ("host a exec true", false),
            ("exec true host a", false),
            ("!exec true tagged x host=a", false),
            ("exec \"test a=b\" host a", false),
            ("canonical", false),
            ("host b !canonical", true),
            ("final", true),
            ("host b final", true),
            ("final host=a", false),
            ("final all", true),
        ] {
            assert_eq!(port(criteria).unwrap(), expected, "{criteria}");
        }
        for criteria in ["exec true", "exec=true host b", "final exec true", "tagged x", ""] {
            let error = port(criteria).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{criteria}");
            assert_eq!(error.path(), Some("config:3"), "{criteria}");
        }
    }

    #[test]
    fn the_last_pass_adds_to_the_first() {
        let text = "
            Match final all
                User last
                Port 1
                IdentityFile last
            Host b
                IdentityAgent real
            Match host b
                HostKeyAlias early
            Host a
                HostName b
                Port 2
                IdentityFile first
            Match host b
                IdentityFile first
                IdentityFile second
        ";
        let found = evaluate(text, "a").unwrap();
        // As `ssh -G` tells it.
        assert_eq!((found.user.as_deref(), found.port), (Some("last"), Some(2)));
        assert_eq!(found.identity_files, ["first", "second", "last"]);
        assert_eq!(found.identity_agent.as_deref(), Some("real"), "the real name is known by then");
        assert_eq!(found.host_key_alias.as_deref(), Some("early"));
        let without = evaluate(&text.replace("Match final all", "Host none"), "a").unwrap();
        assert_eq!((without.identity_agent, without.host_key_alias), (None, None), "one pass is enough");
    }

    #[test]
    fn what_cannot_be_honoured_keeps_its_place() {
        let found = evaluate("ProxyCommand nc %h %p\nStrictHostKeyChecking no", "a").unwrap();
        assert_eq!(found.proxy, Some(Proxy::Command("config:1".to_owned())));
        assert_eq!(found.strict_host_key_checking, Some(Strict::No("config:2".to_owned())));
        let found = evaluate("RevokedHostKeys /revoked", "a").unwrap();
        assert_eq!(found.revoked_host_keys, Some(RevokedKeys::File("config:1".to_owned())));
        let found = evaluate("ProxyCommand none\nProxyJump a", "a").unwrap();
        assert_eq!(found.proxy, Some(Proxy::None));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for text in
            ["Port x", "Port 0", "Port", "IdentitiesOnly perhaps", "User \"a", "StrictHostKeyChecking x"]
        {
            let error = evaluate(&format!("\n{text}"), "a").unwrap_err();
            assert_eq!((error.kind(), error.path()), (ErrorKind::InvalidConfig, Some("config:2")), "{text}");
        }
        assert_eq!(evaluate("Host b\nPort x", "a").unwrap(), HostConfig::default(), "others' are not ours");
    }

    #[test]
    fn files_include_others() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        std::fs::create_dir(directory.path().join("conf.d")).unwrap();
        std::fs::create_dir(directory.path().join("elsewhere")).unwrap();
        write(
            "elsewhere/config",
            "Include missing conf.d/*.conf\nHost b\nInclude inner\nHost a\nUser last\n",
        );
        write("conf.d/2.conf", "Port 2\n");
        write("conf.d/1.conf", "Host a\nInclude nested\nHost none\n");
        write("nested", "Port 1\n");
        write("conf.d/.3.conf", "User hidden\n");
        write("inner", "Host a\nHostName wrong\n");
        let read_from = |relative: Option<&Path>, host| {
            let home = directory.path();
            let query = Query { host, user: None, local_user: None, home: Some(home) };
            let source = |name| Source { file: home.join(name), directory: relative.map(Path::to_owned) };
            read(&query, &[source("elsewhere/config"), source("absent")])
        };
        let read = |host| read_from(Some(directory.path()), host);
        let found = read("a").unwrap();
        assert_eq!((found.port, found.user.as_deref(), found.host_name), (Some(1), Some("last"), None));
        assert_eq!(read("b").unwrap().port, Some(2));
        assert_eq!(read_from(None, "b").unwrap(), HostConfig::default(), "nobody knows where they are");
        write("elsewhere/config", "Include ~/elsewhere/config\n");
        assert_eq!(read("a").unwrap_err().kind(), ErrorKind::InvalidConfig);
    }

    #[test]
    fn tokens_are_replaced() {
        let env: EnvSource = [("KEYS", "/keys")].into_iter().collect();
        let tokens = Tokens {
            host: "h",
            original_host: "n",
            port: 1,
            user: "r",
            local_user: Some("u"),
            home: Some(Path::new("/home/u")),
            env: &env,
        };
        assert_eq!(tokens.expand("%h%n%p%r%u%d%%$x${KEYS}").unwrap(), "hn1ru/home/u%$x/keys");
        assert_eq!(tokens.path("~/.ssh/id_%r").unwrap(), Path::new("/home/u/.ssh/id_r"));
        assert_eq!(tokens.path("~").unwrap(), Path::new("/home/u/"));
        assert_eq!(tokens.path("a~").unwrap(), Path::new("a~"));
        for value in ["%C", "%", "${NOT_SET}", "~root/x"] {
            assert_eq!(tokens.path(value).unwrap_err().kind(), ErrorKind::InvalidConfig, "{value}");
        }
    }
}
