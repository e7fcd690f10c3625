//! Users with passwords and tokens, in files.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use mlflow_artifacts_core::{Result, Secret};
use moka::future::Cache;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::rules::Rules;
use super::watched::{Watched, lines};
use super::{BASIC, BEARER, Credentials, credentials, unauthenticated};
use crate::refusal::{Code, Refusal};

/// How long a password that was right and is not used is not computed again, how many are remembered, and how long one may wait until it
/// is computed.
const REMEMBERED: Duration = Duration::from_hours(12);
const LONGEST_QUEUE: Duration = Duration::from_secs(15);
const MOST_REMEMBERED: u64 = 10_000;

/// Each more doubles the time: 16 is some four seconds.
const HIGHEST_COST: u32 = 16;

/// Of a random text that nobody kept, for users that there are not: to find out who there is by the time it takes.
const NOBODY: &str = "$2y$10$9uuoTWYAJ6Uejf1xIyrih.ZXP9H30IEQSmrC3HhOQc9kKxzgL54DO";

/// Users with passwords and tokens, and what each may do.
#[derive(Default)]
pub struct Accounts {
    passwords: Option<Passwords>,
    tokens: Option<Watched<Tokens>>,
    rules: Option<Watched<Rules>>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the hashes: short passwords could be found by them.
        f.debug_struct("Accounts").finish_non_exhaustive()
    }
}

impl Accounts {
    /// None yet: nobody comes in.
    pub fn new() -> Self {
        Accounts::default()
    }

    /// Users of `Basic`: a line `user:hash` each, as `htpasswd -B` writes it (bcrypt), for passwords of at most 71 bytes. A change of the file counts within seconds, and
    /// so it is for the others.
    ///
    /// This and the others fail with [`InvalidConfig`](mlflow_artifacts_core::ErrorKind::InvalidConfig) if the file cannot be read or
    /// a line of it means nothing.
    pub fn with_passwords(mut self, file: &Path) -> Result<Self> {
        self.passwords = Some(Passwords::new(Watched::open(file, hashes)?));
        Ok(self)
    }

    /// Bearers of tokens: a line `name:sha256:digest` each, the digest of the token in hexadecimal. A token must be random and long:
    /// whoever reads the file can try short ones.
    pub fn with_tokens(mut self, file: &Path) -> Result<Self> {
        self.tokens = Some(Watched::open(file, tokens)?);
        Ok(self)
    }

    /// What each may do: a line `who prefix read,write,delete` each, where `*` is everybody who comes in, or every path, and what no line
    /// allows is refused. The prefix is one of whole names: `12` is the experiment 12 with all that is below it. In a workspace other
    /// than `default` it begins with `workspaces/<name>/`. Without such a file everybody who comes in may do everything.
    pub fn with_rules(mut self, file: &Path) -> Result<Self> {
        self.rules = Some(Watched::open(file, Rules::parse)?);
        Ok(self)
    }

    pub(super) fn rules(&self) -> Option<Arc<Rules>> {
        self.rules.as_ref().map(Watched::current)
    }

    /// The name of who asks.
    pub(super) async fn identify(&self, headers: &HeaderMap) -> Result<Arc<str>, Refusal> {
        let known = match (credentials(headers), &self.passwords, &self.tokens) {
            (Some(Credentials::Basic { user, password }), Some(passwords), _) => {
                passwords.check(&user, &password).await?.then(|| user.into())
            }
            (Some(Credentials::Bearer(token)), _, Some(tokens)) => tokens.current().bearer(&token),
            _ => None,
        };
        known.ok_or_else(|| {
            let ways = [(BASIC, self.passwords.is_some()), (BEARER, self.tokens.is_some())];
            let ways: Vec<_> = ways.into_iter().filter_map(|(way, is_open)| is_open.then_some(way)).collect();
            unauthenticated(&ways)
        })
    }
}

/// Hashes by the users' names.
type Hashes = HashMap<String, String>;

/// Users with passwords.
struct Passwords {
    hashes: Watched<Hashes>,
    /// Digests of what was right, with a random beginning: neither passwords nor what they could be guessed by.
    right: Cache<[u8; 32], ()>,
    salt: [u8; 16],
    /// Whoever guesses must not take all of the machine.
    turns: Arc<Semaphore>,
}

impl Passwords {
    fn new(hashes: Watched<Hashes>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let right = Cache::builder().max_capacity(MOST_REMEMBERED).time_to_idle(REMEMBERED).build();
        Passwords { hashes, right, salt: rand::random(), turns: Arc::new(Semaphore::new(cores.div_ceil(2))) }
    }

    async fn check(&self, user: &str, password: &Secret) -> Result<bool, Refusal> {
        let hashes = self.hashes.current();
        let is_known = hashes.contains_key(user);
        // A user who is not known takes as long as the one who takes longest.
        let costliest = || hashes.values().max_by_key(|hash| hash.get(4..6));
        let hash = hashes.get(user).or_else(costliest).map_or_else(|| NOBODY.to_owned(), Clone::clone);
        let digest = Sha256::new()
            .chain_update(self.salt)
            .chain_update(&hash)
            .chain_update(password.expose())
            .finalize()
            .into();
        if is_known && self.right.get(&digest).await.is_some() {
            return Ok(true);
        }
        let turn = timeout(LONGEST_QUEUE, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| Refusal::busy("too many passwords are being looked at", 15))?;
        let password = password.clone();
        // It takes a twentieth of a second and more: not on a thread that serves others. A client that goes away does not end it, and so
        // not the turn either.
        let verified = tokio::task::spawn_blocking(move || {
            let is_right = bcrypt::non_truncating_verify(password.expose(), &hash).unwrap_or(false);
            drop(turn);
            is_right
        });
        let is_right =
            verified.await.map_err(|_| Refusal::new(Code::InternalError, "the server is stopping"))?;
        if is_known && is_right {
            self.right.insert(digest, ()).await;
        } else {
            log::warn!("a password was wrong, or of a user who is not known");
        }
        Ok(is_known && is_right)
    }
}

fn hashes(text: &str) -> Result<Hashes, String> {
    let users = lines(text).map(|(number, line)| {
        let user = user_with_hash(line);
        user.map_err(|why| format!("line {number}: {why}"))
    });
    users.collect()
}

fn user_with_hash(line: &str) -> Result<(String, String), &'static str> {
    let (user, hash) = line.split_once(':').ok_or("it is not user:hash")?;
    let parts: bcrypt::HashParts =
        hash.parse().map_err(|_| "the hash is none of bcrypt's: make it with htpasswd -B")?;
    if parts.get_cost() > HIGHEST_COST {
        return Err("the hash costs too much time: 16 is the highest cost");
    }
    Ok((user.to_owned(), hash.to_owned()))
}

/// Names by the digests of their tokens.
struct Tokens(HashMap<[u8; 32], Arc<str>>);

impl Tokens {
    fn bearer(&self, token: &Secret) -> Option<Arc<str>> {
        let digest: [u8; 32] = Sha256::digest(token.expose()).into();
        self.0.get(&digest).cloned()
    }
}

fn tokens(text: &str) -> Result<Tokens, String> {
    let tokens = lines(text).map(|(number, line)| {
        let token = token_of(line).ok_or("it is not name:sha256: and 64 hexadecimal digits");
        token.map_err(|why| format!("line {number}: {why}"))
    });
    tokens.collect::<Result<_, _>>().map(Tokens)
}

fn token_of(line: &str) -> Option<([u8; 32], Arc<str>)> {
    let (name, digest) = line.split_once(":sha256:")?;
    if name.is_empty() || digest.len() != 64 || !digest.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(digest.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some((bytes, name.into()))
}
