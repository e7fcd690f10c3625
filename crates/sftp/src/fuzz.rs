//! What the fuzz targets call: the parsers of what servers send and of files that others wrote. Each panics where something does not
//! hold that must.

use std::path::Path;

use bytes::Bytes;
use mlflow_artifacts_core::EnvSource;
use russh::keys::PublicKey;

use crate::known_hosts::{Files, KnownHost, Unknown};
use crate::list::child;
use crate::packet::{Answer, Malformed, Packets, free_blocks, limits, version};
use crate::route::Named;
use crate::ssh_config::{Proxy, Query, Tokens, read_text};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

/// A host, and on the next lines an SSH configuration.
pub fn ssh_config(input: &[u8]) {
    let (host, text) = first_line(input);
    let home = Some(Path::new("/home/me"));
    let query = Query { host: &host, user: None, local_user: Some("me"), home };
    // The value that comes first is the one that counts, whatever follows.
    let Ok(found) = read_text(&query, &format!("User first\n{text}")) else { return };
    assert_eq!(found.user.as_deref(), Some("first"));
    let env: EnvSource = [("VARIABLE", "value")].into_iter().collect();
    let port = found.port.unwrap_or(22);
    let (original_host, local_user) = (&host, Some("me"));
    let tokens = Tokens { host: &host, original_host, port, user: "first", local_user, home, env: &env };
    let values = found.host_name.iter().chain(&found.identity_agent);
    let files = found.known_hosts_files.iter().chain(&found.global_known_hosts_files).flatten();
    for value in values.chain(&found.identity_files).chain(files) {
        let _ = tokens.path(value);
    }
    if let Some(Proxy::Jump(jumps)) = &found.proxy
        && let Ok(jumps) = tokens.expand(jumps)
    {
        for jump in jumps.split(',') {
            let _ = Named::parse(jump);
        }
    }
}

/// A host, and on the next lines a file of known hosts.
pub fn known_hosts(input: &[u8]) {
    let (host, text) = first_line(input);
    let key = PublicKey::from_openssh(KEY).expect("it is a key");
    for port in [22, 2222] {
        let mut known = KnownHost::read(&host, port, &Files::default()).expect("no file is read");
        known.take(&text, Path::new("known_hosts"));
        known.algorithms();
        let is_trusted = known.verify(&key, Unknown::Refuse).is_ok();
        assert!(!is_trusted || text.contains("AAAAC3NzaC1lZDI1NTE5"), "a key is trusted that is not there");
        // What is revoked is refused, whatever was said before.
        known.take(&format!("@revoked * {KEY}"), Path::new("known_hosts"));
        assert!(known.verify(&key, Unknown::Refuse).is_err(), "a revoked key is trusted");
    }
}

/// What a server sends, after a byte that says in pieces of which length it arrives.
pub fn packets(input: &[u8]) {
    let Some((&length, stream)) = input.split_first() else { return };
    let whole = received(stream, stream.len().max(1));
    assert_eq!(received(stream, usize::from(length).max(1)), whole, "pieces change what is received");
    for packet in whole.0 {
        let _ = version(packet.clone());
        match Answer::decode(packet) {
            Ok((_, Answer::Names(names))) => {
                for child in names.into_iter().filter_map(child) {
                    assert!(!matches!(child.name.as_str(), "." | ".."), "a directory is its own child");
                }
            }
            Ok((_, Answer::Extended(told))) => {
                let _ = limits(told.clone());
                let _ = free_blocks(told);
            }
            _ => {}
        }
    }
}

/// The packets that come out, and what is wrong with the one after them.
fn received(stream: &[u8], length: usize) -> (Vec<Bytes>, Option<Malformed>) {
    let mut packets = Packets::default();
    let mut found = Vec::new();
    for piece in stream.chunks(length) {
        packets.push(Bytes::copy_from_slice(piece));
        loop {
            match packets.next() {
                Ok(Some(packet)) => found.push(packet),
                Ok(None) => break,
                Err(malformed) => return (found, Some(malformed)),
            }
        }
    }
    (found, None)
}

fn first_line(input: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(input);
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    (first.to_owned(), rest.to_owned())
}
