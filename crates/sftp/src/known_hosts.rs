//! The keys by which servers are known (`known_hosts`, as sshd(8) has it): a key that is not among them is not trusted.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{ErrorKind as Io, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use mlflow_artifacts_core::{Error, ErrorKind, Result};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey, parse_public_key_base64};
use sha1::Sha1;

use crate::pattern::any_matches;

/// The port whose servers are known by their name alone.
pub(crate) const USUAL_PORT: u16 = 22;

/// What becomes of a server that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// It is refused.
    #[default]
    Refuse,
    /// Its key is written down, and it is known from then on.
    Record,
}

/// Where the keys of servers are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files {
    /// The user's, the first of which is where a new key is written down.
    pub(crate) own: Vec<PathBuf>,
    /// Those of the whole machine, which are read and never written.
    pub(crate) machine: Vec<PathBuf>,
}

/// The lines of all files that name one server.
#[derive(Clone, Debug)]
pub(crate) struct KnownHost {
    host: String,
    port: u16,
    lines: Vec<Line>,
    /// The files that were looked at.
    files: Files,
}

/// A key that a file has for a server.
#[derive(Clone, Debug)]
struct Line {
    file: PathBuf,
    number: usize,
    marker: Marker,
    /// Whether it names the port too, where that is not the usual one.
    names_port: bool,
    key: PublicKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    None,
    Revoked,
    Authority,
}

impl Files {
    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.own.iter().chain(&self.machine)
    }
}

impl KnownHost {
    /// What the files say of a server. Those that are not there say nothing; one that cannot be read is an error.
    pub(crate) fn read(host: &str, port: u16, files: &Files) -> Result<Self> {
        let mut known = KnownHost { host: host.to_owned(), port, lines: Vec::new(), files: files.clone() };
        for file in files.all() {
            match std::fs::read(file) {
                Ok(bytes) => known.take(&String::from_utf8_lossy(&bytes), file),
                Err(error) if matches!(error.kind(), Io::NotFound | Io::NotADirectory) => {}
                Err(error) => {
                    return Err(Error::new(ErrorKind::InvalidConfig, "the known hosts cannot be read")
                        .with_path(file.display())
                        .with_source(error));
                }
            }
        }
        Ok(known)
    }

    /// Takes what the text of a file says of the server.
    pub(crate) fn take(&mut self, text: &str, file: &Path) {
        let numbered = text.lines().enumerate();
        let lines = numbered.filter_map(|(index, line)| parse(line, &self.host, self.port, file, index + 1));
        self.lines.extend(lines);
    }

    /// The algorithms of host keys to ask for, those first by which the server is known: a server has several keys, and one that
    /// is not the known one would look like that of somebody else.
    pub(crate) fn algorithms(&self) -> Vec<Algorithm> {
        let rsa = |hash| Algorithm::Rsa { hash: Some(hash) };
        let curve = |curve| Algorithm::Ecdsa { curve };
        let mut algorithms = vec![
            Algorithm::Ed25519,
            curve(EcdsaCurve::NistP256),
            curve(EcdsaCurve::NistP384),
            curve(EcdsaCurve::NistP521),
            rsa(HashAlg::Sha512),
            rsa(HashAlg::Sha256),
        ];
        // A line without the port may be about another server, and is looked at where no line says it better.
        let is_exact = self.trusted().any(|line| line.names_port);
        let is_known = |algorithm: &Algorithm| {
            let counted = self.trusted().filter(|line| line.names_port == is_exact);
            counted.map(|line| line.key.algorithm()).any(|known| is_same_type(&known, algorithm))
        };
        algorithms.sort_by_key(|algorithm| !is_known(algorithm));
        algorithms
    }

    fn trusted(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.marker == Marker::None)
    }

    /// Whether the server that showed `key` is the one that is known. What is not is refused with
    /// [`Tls`](ErrorKind::Tls), each case in words of its own.
    pub(crate) fn verify(&self, key: &PublicKey, unknown: Unknown) -> Result<()> {
        let same = |line: &&Line| line.key.key_data() == key.key_data();
        if let Some(line) = self.lines.iter().filter(same).find(|line| line.marker == Marker::Revoked) {
            return Err(self.revoked(key, line));
        }
        if self.trusted().any(|line| same(&line)) {
            return Ok(());
        }
        // A key for the name without the port is as good as one with it, but a server at another port may be another one.
        let others: Vec<_> = self.trusted().filter(|line| line.names_port).collect();
        if !others.is_empty() {
            return Err(self.changed(key, &others));
        }
        if let Some(line) = self.lines.iter().find(|line| line.marker == Marker::Authority) {
            return Err(self.vouched_for(key, line));
        }
        match unknown {
            Unknown::Refuse => Err(self.unknown(key)),
            Unknown::Record => self.write_down(key),
        }
    }

    /// The server as its lines name it.
    fn name(&self) -> String {
        if self.port == USUAL_PORT { self.host.clone() } else { with_port(&self.host, self.port) }
    }

    fn refused(&self, what: &str) -> Error {
        Error::new(ErrorKind::Tls, format!("the host key of {} {what}", self.name()))
    }

    fn changed(&self, key: &PublicKey, known: &[&Line]) -> Error {
        let mut what = format!(
            "HAS CHANGED: somebody may be listening in, or the server was set up anew. It shows {}",
            print(key)
        );
        for Line { file, number, key, .. } in known {
            // Writing to a String cannot fail.
            let _ = write!(what, ", {} line {number} has {}", file.display(), print(key));
        }
        let help = "ask the server's administrator for the fingerprint; if it is right, take the old lines out and add the new key";
        self.refused(&what).with_help(help)
    }

    fn revoked(&self, key: &PublicKey, line: &Line) -> Error {
        let place = format!("{} line {}", line.file.display(), line.number);
        self.refused(&format!("is revoked by {place}: {}", print(key)))
            .with_help("do not connect; ask the server's administrator for its new key")
    }

    fn vouched_for(&self, key: &PublicKey, line: &Line) -> Error {
        let place = format!("{} line {}", line.file.display(), line.number);
        self.refused(&format!(
            "is known by a certificate authority only ({place}), and certificates of hosts are not supported"
        ))
        .with_help(format!("add a line with the host's own key, {}", print(key)))
    }

    fn unknown(&self, key: &PublicKey) -> Error {
        let files: Vec<_> = self.files.all().map(|file| file.display().to_string()).collect();
        let place = if files.is_empty() { "no file of known hosts".to_owned() } else { files.join(", ") };
        let port = if self.port == USUAL_PORT { String::new() } else { format!("-p {} ", self.port) };
        self.refused(&format!("is not known: it shows {}, and {place} has no key for it", print(key))).with_help(
            format!(
                "compare the fingerprint with the server's, then add what `ssh-keyscan {port}{}` prints to ~/.ssh/known_hosts, or to \
                 the file that MLFLOW_ARTIFACTS_SFTP_KNOWN_HOSTS names",
                self.host
            ),
        )
    }

    fn write_down(&self, key: &PublicKey) -> Result<()> {
        let Some(file) = self.files.own.first() else { return Err(self.unknown(key)) };
        let fails = |error: &std::io::Error| {
            self.refused(&format!("is new and cannot be written to {}: {error}", file.display()))
                .with_help("make the file writable, or add the key yourself")
        };
        let encoded =
            key.to_openssh().map_err(|error| self.refused(&format!("cannot be spelled: {error}")))?;
        append(file, &format!("{} {encoded}\n", self.name())).map_err(|error| fails(&error))?;
        log::warn!("the host key of {} is new and trusted from now on: {}", self.name(), print(key));
        Ok(())
    }
}

/// Adds a line with one write, so that those of two processes do not mix; after one that has no end, on the next.
fn append(file: &Path, line: &str) -> std::io::Result<()> {
    if let Some(directory) = file.parent() {
        create_private_directory(directory)?;
    }
    let has_end = std::fs::read(file).map_or(true, |bytes| bytes.last().is_none_or(|&last| last == b'\n'));
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let line = if has_end { line.to_owned() } else { format!("\n{line}") };
    options.open(file)?.write_all(line.as_bytes())
}

fn create_private_directory(directory: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// A line, if it is about this server and can be read: others' mistakes are no reason to connect to nobody.
fn parse(line: &str, host: &str, port: u16, file: &Path, number: usize) -> Option<Line> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let mut fields = line.split_ascii_whitespace();
    let mut hosts = fields.next()?;
    let marker = match hosts {
        "@revoked" => Marker::Revoked,
        "@cert-authority" => Marker::Authority,
        _ => Marker::None,
    };
    if marker != Marker::None {
        hosts = fields.next()?;
    }
    let is_usual = port == USUAL_PORT;
    let names_port = names(hosts, &if is_usual { host.to_owned() } else { with_port(host, port) });
    if !names_port && (is_usual || !names(hosts, host)) {
        return None;
    }
    let kind = fields.next()?;
    match fields.next().map(parse_public_key_base64) {
        Some(Ok(key)) => Some(Line { file: file.to_owned(), number, marker, names_port, key }),
        _ => {
            log::warn!("{} line {number} has no key that can be read ({kind})", file.display());
            None
        }
    }
}

fn with_port(host: &str, port: u16) -> String {
    format!("[{host}]:{port}")
}

/// Whether the first field of a line names a server: patterns, or the hash of a name.
fn names(hosts: &str, name: &str) -> bool {
    match hosts.strip_prefix("|1|") {
        Some(hashed) => is_hash_of(hashed, &name.to_lowercase()).unwrap_or(false),
        None => any_matches(hosts.split(','), name),
    }
}

fn is_hash_of(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let mut mac = Hmac::<Sha1>::new_from_slice(&STANDARD.decode(salt).ok()?).ok()?;
    mac.update(name.as_bytes());
    Some(mac.verify_slice(&STANDARD.decode(hash).ok()?).is_ok())
}

/// Whether keys of one algorithm are those of the other; RSA keys sign with several.
fn is_same_type(a: &Algorithm, b: &Algorithm) -> bool {
    a == b || matches!((a, b), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }))
}

/// A key as people compare it.
pub(crate) fn print(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm().as_str(), key.fingerprint(HashAlg::Sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    fn key(text: &str) -> PublicKey {
        PublicKey::from_openssh(text).unwrap()
    }

    /// A key that is another one of the same type.
    fn other() -> PublicKey {
        let mut bytes = key(ED25519).key_data().ed25519().unwrap().0;
        bytes[0] ^= 1;
        let data = russh::keys::ssh_key::public::Ed25519PublicKey(bytes);
        PublicKey::from(russh::keys::ssh_key::public::KeyData::Ed25519(data))
    }

    fn verify(text: &str, host: &str, port: u16, key: &PublicKey) -> Result<()> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known_hosts");
        std::fs::write(&file, text).unwrap();
        read(host, port, &file).verify(key, Unknown::Refuse)
    }

    fn read(host: &str, port: u16, file: &Path) -> KnownHost {
        KnownHost::read(host, port, &Files { own: vec![file.to_owned()], machine: Vec::new() }).unwrap()
    }

    #[test]
    fn a_server_is_known_by_any_line_that_names_it() {
        for (hosts, host, port) in [
            ("host", "host", 22),
            ("HOST", "host", 22),
            ("other,host", "host", 22),
            ("*.example.com,!bad.example.com", "good.example.com", 22),
            ("[host]:2222", "host", 2222),
            ("host", "host", 2222),
            ("[*.example.com]:2222", "a.example.com", 2222),
            ("::1", "::1", 22),
            ("[::1]:2222", "::1", 2222),
        ] {
            let text = format!("# comment\n\nhost\nhost nonsense\n{hosts}\t {ED25519} comment\n");
            verify(&text, host, port, &key(ED25519)).unwrap();
        }
    }

    #[test]
    fn hashed_names_are_compared_by_their_hash() {
        // Made by `ssh-keygen -H` of a line for "host" and one for "[host]:2222".
        let plain = format!("|1|55pZwwHT++2WRnggs0DpCkfKlnM=|881yQGkCKyjCBVGD+LqOBzCzNY0= {ED25519}\n");
        let with_port = format!("|1|D0TUuBebkHohad/y/YzuV1+16OA=|VMCL37eT/2JcjdpWjSCoj091+dc= {ED25519}\n");
        verify(&plain, "HOST", 22, &key(ED25519)).unwrap();
        verify(&with_port, "host", 2222, &key(ED25519)).unwrap();
        assert!(verify(&plain, "hosts", 22, &key(ED25519)).is_err());
        assert!(verify(&with_port, "host", 2223, &key(ED25519)).is_err());
        assert!(verify("|1|x|y z\n|1|", "host", 22, &key(ED25519)).is_err());
    }

    #[test]
    fn each_refusal_has_its_own_words() {
        let line = |before: &str| format!("{before} {ED25519}\n");
        for (text, port, shown, words) in [
            (String::new(), 22, key(ED25519), "is not known"),
            (line("!host,*"), 22, key(ED25519), "is not known"),
            (line("[host]:2222"), 22, key(ED25519), "is not known"),
            (line("host"), 22, other(), "HAS CHANGED"),
            (line("[host]:2222"), 2222, other(), "HAS CHANGED"),
            (line("host"), 2222, other(), "is not known"),
            (line("@revoked *"), 22, key(ED25519), "is revoked by"),
            (line("host") + &line("@revoked host"), 22, key(ED25519), "is revoked by"),
            (line("@revoked host"), 22, other(), "is not known"),
            (line("@cert-authority *"), 22, key(ED25519), "certificate authority"),
        ] {
            let error = verify(&text, "host", port, &shown).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Tls, "{text}");
            assert!(error.to_string().contains(words), "{text}: {error}");
            assert!(error.to_string().contains("SHA256:"), "{error}");
        }
        let error = verify(&format!("\n{}", line("host")), "host", 22, &other()).unwrap_err();
        assert!(error.to_string().contains("known_hosts line 2 has ssh-ed25519 SHA256:"), "{error}");
    }

    #[test]
    fn one_of_several_keys_is_enough() {
        let text = format!("host {}\nhost {ED25519}\n", other().to_openssh().unwrap());
        verify(&text, "host", 22, &key(ED25519)).unwrap();
        verify(&text, "host", 22, &other()).unwrap();
    }

    #[test]
    fn known_algorithms_are_asked_for_first() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known_hosts");
        std::fs::write(&file, format!("host ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC2MN4l4HJiYxix1/wvUp4PLMMFcPPz74eqRwsHpBQZM91LHmAIIMtg/NTnzMbowkc3X2hlD7ncffXlVhT5W9JUdCX1LwfQ5oZnV+1yNfLh2wxFK3UgG61wUaTzdIiHSc6QOMKYMS9RTZRDQwUeXUv0wA2j/vm50ef787P4OOXZf4ty+iKCIarHPbZ8XsZwYQwKUbPto5MrDkOeMQwSJZhArDAlEDUgun3viEEHsXqVlsw3RW4FRccq+bEZ367F5a411fBFGYO9B2LuHcC5PJpH3P33Q8l6+uc57PFC6qZ/5gRxAfwgVgoFoeyMcG5vYruvwUCT5tJ37RAeL17NpZf3\nother {ED25519}\n@revoked host {ED25519}\n")).unwrap();
        let known = read("host", 22, &file);
        let rsa = |hash| Algorithm::Rsa { hash: Some(hash) };
        let expected = [rsa(HashAlg::Sha512), rsa(HashAlg::Sha256), Algorithm::Ed25519];
        assert_eq!(known.algorithms()[..3], expected);
    }

    #[test]
    fn lines_with_the_port_say_which_algorithms_are_known() {
        const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBLLoovN6ims0zkKIc4YHTYpTn7jAxDDGGEOwbMBrbDA1UsIMgWundrEHMarDj2905XudYmqVDzioGwBOsslUvGo=";
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known_hosts");
        std::fs::write(&file, format!("host {ED25519}\n[host]:2222 {ECDSA}\n")).unwrap();
        let first = |port| read("host", port, &file).algorithms().remove(0);
        assert_eq!(first(2222), Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 });
        assert_eq!((first(22), first(2223)), (Algorithm::Ed25519, Algorithm::Ed25519));
        std::fs::write(&file, format!("host {ECDSA}\n")).unwrap();
        assert_eq!(first(2222), Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }, "no line says it better");
    }

    #[test]
    fn new_servers_are_written_down_where_that_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("new/known_hosts");
        let known = |port| read("Host", port, &file);
        known(22).verify(&key(ED25519), Unknown::Record).unwrap();
        known(2222).verify(&other(), Unknown::Record).unwrap();
        assert!(known(22).verify(&other(), Unknown::Record).is_err(), "it has another key already");
        known(22).verify(&key(ED25519), Unknown::Refuse).unwrap();
        known(2222).verify(&other(), Unknown::Refuse).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, format!("Host {ED25519}\n[Host]:2222 {}\n", other().to_openssh().unwrap()));
    }
}
