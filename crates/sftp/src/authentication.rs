//! Logging in: passwords, questions, keys from files and of an agent.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mlflow_artifacts_core::{Error, ErrorKind, Result, Retry, Secret};
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse, Prompt};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{
    Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, decode_secret_key, load_public_key,
};
use russh::{MethodKind, MethodSet};
use tokio::net::UnixStream;

use crate::known_hosts::print;
use crate::route::{Credentials, Hop};
use crate::watcher::{Shared, Watcher};

/// The rounds of questions that a server may ask.
const MOST_QUESTIONS: usize = 8;

/// A way to log in.
#[derive(Debug)]
enum Way {
    /// A key that was named for the store.
    NamedKey(PathBuf),
    Password(Secret),
    /// The same password, in answer to a question.
    Answer(Secret),
    AgentKey(PublicKey),
    KeyFile(PathBuf),
}

impl Way {
    fn method(&self) -> MethodKind {
        match self {
            Way::Password(_) => MethodKind::Password,
            Way::Answer(_) => MethodKind::KeyboardInteractive,
            Way::NamedKey(_) | Way::AgentKey(_) | Way::KeyFile(_) => MethodKind::PublicKey,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Password(_) => f.write_str("the password"),
            Way::Answer(_) => f.write_str("the password when asked for it"),
            Way::AgentKey(key) => write!(f, "the agent's key {}", print(key)),
            Way::NamedKey(file) | Way::KeyFile(file) => write!(f, "the key {}", file.display()),
        }
    }
}

/// How the server took one way.
enum Outcome {
    Accepted,
    /// It goes on with these.
    Refused(MethodSet),
    /// It was not asked, and why.
    Skipped(String),
}

impl From<AuthResult> for Outcome {
    fn from(result: AuthResult) -> Self {
        match result {
            AuthResult::Success => Outcome::Accepted,
            AuthResult::Failure { remaining_methods, .. } => Outcome::Refused(remaining_methods),
        }
    }
}

/// Logs in, and says by what. Fails with [`Unauthenticated`](ErrorKind::Unauthenticated) where nothing is accepted.
pub(crate) async fn authenticate(handle: &mut Handle<Watcher>, hop: &Hop, about: &Shared) -> Result<String> {
    let mut login = Login { handle, hop, about, tried: Vec::new(), gave_password: false };
    login.run().await
}

struct Login<'a> {
    handle: &'a mut Handle<Watcher>,
    hop: &'a Hop,
    about: &'a Shared,
    /// What was tried, and what became of it.
    tried: Vec<String>,
    /// Whether a password, or an answer to a question, was given: a server that hangs up after that may have taken it for
    /// wrong, and must not be given it again and again.
    gave_password: bool,
}

impl Login<'_> {
    async fn run(&mut self) -> Result<String> {
        let credentials = &self.hop.credentials;
        // Tells which methods there are.
        let first = self.handle.authenticate_none(&credentials.user).await;
        let Outcome::Refused(mut accepted) = first.map_err(|error| self.broken(&error))?.into() else {
            return Ok("nothing".to_owned());
        };
        let mut ways = self.ways().await;
        while let Some(next) = ways.iter().position(|way| accepted.contains(&way.method())) {
            if self.handle.is_closed() {
                break;
            }
            let way = ways.remove(next);
            match self.attempt(&way).await? {
                Outcome::Accepted => return Ok(way.to_string()),
                Outcome::Refused(methods) => {
                    self.tried.push(way.to_string());
                    accepted = methods;
                    // Asked for, it would be refused once more, and count as another failure.
                    if matches!(way, Way::Password(_)) && accepted.contains(&MethodKind::Password) {
                        ways.retain(|way| !matches!(way, Way::Answer(_)));
                    }
                }
                Outcome::Skipped(why) => self.tried.push(format!("{way} ({why})")),
            }
        }
        Err(self.refused(&accepted))
    }

    /// The ways to try, what was named for the store first.
    async fn ways(&mut self) -> Vec<Way> {
        let Credentials { key_file, password, agent, identity_files, identities_only, .. } =
            &self.hop.credentials;
        let mut ways: Vec<_> = key_file.iter().cloned().map(Way::NamedKey).collect();
        if let Some(password) = password {
            ways.extend([Way::Password(password.clone()), Way::Answer(password.clone())]);
        }
        let mut files: Vec<_> = identity_files.iter().filter(|file| file.exists()).cloned().collect();
        if let Some(agent) = agent {
            let named: Vec<_> = files.iter().filter_map(|file| public_half(file)).collect();
            match agent_keys(agent).await {
                Ok(mut keys) => {
                    keys.retain(|key| !identities_only || named.contains(key));
                    // Servers hang up after a few wrong ones.
                    keys.sort_by_key(|key| !named.contains(key));
                    files.retain(|file| !public_half(file).is_some_and(|half| keys.contains(&half)));
                    ways.extend(keys.into_iter().map(Way::AgentKey));
                }
                Err(why) => self.tried.push(format!("the agent {} ({why})", agent.display())),
            }
        }
        ways.extend(files.into_iter().map(Way::KeyFile));
        ways
    }

    async fn attempt(&mut self, way: &Way) -> Result<Outcome> {
        let Hop { credentials: Credentials { user, passphrase, agent, .. }, .. } = self.hop;
        match way {
            Way::Password(password) => {
                self.gave_password = true;
                let result = self.handle.authenticate_password(user, password.expose()).await;
                Ok(result.map_err(|error| self.broken(&error))?.into())
            }
            Way::Answer(password) => self.answer(user, password).await,
            Way::NamedKey(file) => match load(file, passphrase.as_ref()).await {
                Ok(key) => self.offer(user, key).await,
                Err(unusable) => Err(unusable.error(file)),
            },
            Way::KeyFile(file) => match load(file, passphrase.as_ref()).await {
                Ok(key) => self.offer(user, key).await,
                Err(unusable) => Ok(Outcome::Skipped(unusable.to_string())),
            },
            Way::AgentKey(key) => {
                let hash = match self.hash(&key.algorithm()).await? {
                    Ok(hash) => hash,
                    Err(why) => return Ok(Outcome::Skipped(why)),
                };
                let Some(Ok(mut signer)) = connect_agent(agent.as_deref()).await else {
                    return Ok(Outcome::Skipped("the agent is gone".to_owned()));
                };
                match self.handle.authenticate_publickey_with(user, key.clone(), hash, &mut signer).await {
                    Ok(result) => Ok(result.into()),
                    Err(error) => Ok(Outcome::Skipped(format!("the agent does not sign: {error}"))),
                }
            }
        }
    }

    async fn offer(&mut self, user: &str, key: PrivateKey) -> Result<Outcome> {
        let hash = match self.hash(&key.algorithm()).await? {
            Ok(hash) => hash,
            Err(why) => return Ok(Outcome::Skipped(why)),
        };
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        let result = self.handle.authenticate_publickey(user, key).await;
        Ok(result.map_err(|error| self.broken(&error))?.into())
    }

    /// With which hash an RSA key signs, or why it cannot.
    async fn hash(&self, algorithm: &Algorithm) -> Result<Result<Option<HashAlg>, String>> {
        if !matches!(algorithm, Algorithm::Rsa { .. }) {
            return Ok(Ok(None));
        }
        Ok(match self.handle.best_supported_rsa_hash().await.map_err(|error| self.broken(&error))? {
            Some(Some(hash)) => Ok(Some(hash)),
            Some(None) => Err("the server takes RSA keys with SHA-1 only, which is not safe".to_owned()),
            // It does not say.
            None => Ok(Some(HashAlg::Sha256)),
        })
    }

    /// Gives the password in answer to the first hidden question, and nothing to any other.
    async fn answer(&mut self, user: &str, password: &Secret) -> Result<Outcome> {
        let mut password = Some(password);
        let mut unanswered = None;
        let mut response = self.handle.authenticate_keyboard_interactive_start(user, None).await;
        for _ in 0..MOST_QUESTIONS {
            let remaining = match response {
                Ok(KeyboardInteractiveAuthResponse::Success) => return Ok(Outcome::Accepted),
                Ok(KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. }) => {
                    let answers = prompts.iter().map(|Prompt { prompt, echo }| {
                        let answer = password.take_if(|_| !echo);
                        if answer.is_none() {
                            unanswered.get_or_insert_with(|| prompt.clone());
                        }
                        answer.map_or_else(String::new, |password| password.expose().to_owned())
                    });
                    let answers = answers.collect();
                    self.gave_password = true;
                    response = self.handle.authenticate_keyboard_interactive_respond(answers).await;
                    continue;
                }
                Ok(KeyboardInteractiveAuthResponse::Failure { remaining_methods, .. }) => remaining_methods,
                // It hung up.
                Err(_) if self.gave_password => MethodSet::empty(),
                Err(error) => return Err(self.broken(&error)),
            };
            if let Some(question) = unanswered {
                self.tried.push(format!("no answer to the server's question {question:?}"));
            }
            return Ok(Outcome::Refused(remaining));
        }
        Err(Error::new(ErrorKind::Protocol, "the SSH server does not stop asking questions"))
    }

    fn broken(&self, error: &russh::Error) -> Error {
        if self.gave_password {
            return self.refused(&MethodSet::empty());
        }
        let ended = self.about.farewell();
        let message = format!("{} ({error})", ended.message);
        Error::new(ended.kind, message).with_retry(Retry::Transient)
    }

    fn refused(&self, accepted: &MethodSet) -> Error {
        let Hop { host, credentials: Credentials { user, .. }, .. } = self.hop;
        let farewell = self.about.get().farewell.clone();
        let is_closed = self.handle.is_closed();
        if is_closed && farewell.is_none() && !self.gave_password {
            return self.about.farewell().error();
        }
        let tried = if self.tried.is_empty() {
            "there was nothing to try".to_owned()
        } else {
            format!("tried {}", self.tried.join(", "))
        };
        let next = match (farewell, accepted.iter().map(Into::into).collect::<Vec<&str>>()) {
            (Some(told), _) => format!("it hung up: {told}"),
            (None, _) if is_closed => "it hung up".to_owned(),
            (None, methods) => format!("it takes {}", methods.join(", ")),
        };
        let message = format!("{host} does not let the user {user:?} in: {tried}; {next}");
        Error::new(ErrorKind::Unauthenticated, message).with_help(
            "give a password in the URI or in MLFLOW_ARTIFACTS_SFTP_PASSWORD, a key in MLFLOW_ARTIFACTS_SFTP_KEY_FILE or \
             IdentityFile of the SSH configuration, or start an agent that has one",
        )
    }
}

/// Why a file has no key that can be used.
#[derive(Debug)]
enum Unusable {
    Unreadable(String),
    NeedsPassphrase,
    WrongPassphrase,
    Malformed(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Unreadable(why) => write!(f, "it cannot be read: {why}"),
            Unusable::NeedsPassphrase => f.write_str("it is encrypted, and there is no passphrase"),
            Unusable::WrongPassphrase => f.write_str("its passphrase is wrong"),
            Unusable::Malformed(why) => write!(f, "it is no private key that is understood: {why}"),
        }
    }
}

impl Unusable {
    fn error(&self, file: &Path) -> Error {
        let (kind, help) = match self {
            Unusable::NeedsPassphrase | Unusable::WrongPassphrase => (
                ErrorKind::Unauthenticated,
                "set its passphrase in MLFLOW_ARTIFACTS_SFTP_KEY_PASSPHRASE, or give the key to an agent",
            ),
            Unusable::Unreadable(_) | Unusable::Malformed(_) => {
                (ErrorKind::InvalidConfig, "name a private key in MLFLOW_ARTIFACTS_SFTP_KEY_FILE")
            }
        };
        Error::new(kind, format!("the key {} cannot be used: {self}", file.display())).with_help(help)
    }
}

/// Reads a private key. What decrypts it takes its time.
async fn load(file: &Path, passphrase: Option<&Secret>) -> Result<PrivateKey, Unusable> {
    let (file, passphrase) = (file.to_owned(), passphrase.cloned());
    let loading = tokio::task::spawn_blocking(move || {
        let text = std::fs::read_to_string(&file).map_err(|error| Unusable::Unreadable(error.to_string()))?;
        let text = Secret::new(text);
        decode(text.expose(), passphrase.as_ref())
    });
    loading.await.unwrap_or_else(|error| Err(Unusable::Unreadable(error.to_string())))
}

fn decode(text: &str, passphrase: Option<&Secret>) -> Result<PrivateKey, Unusable> {
    // The passphrase of one key is none of another's business.
    let plain = decode_secret_key(text, None);
    let is_encrypted = match &plain {
        Ok(key) => key.is_encrypted(),
        Err(russh::keys::Error::KeyIsEncrypted) => true,
        Err(_) => text.contains("ENCRYPTED") || text.contains("Encryption: aes"),
    };
    match (plain, passphrase) {
        (_, None) if is_encrypted => Err(Unusable::NeedsPassphrase),
        (_, Some(passphrase)) if is_encrypted => {
            decode_secret_key(text, Some(passphrase.expose())).map_err(|_| Unusable::WrongPassphrase)
        }
        (plain, _) => plain.map_err(|error| Unusable::Malformed(error.to_string())),
    }
}

/// The public half of a key, from the file beside it or from its own open part.
fn public_half(file: &Path) -> Option<PublicKey> {
    let beside = PathBuf::from(format!("{}.pub", file.display()));
    let bare = |key: PublicKey| PublicKey::from(key.key_data().clone());
    load_public_key(beside)
        .ok()
        .or_else(|| load_public_key(file).ok())
        .or_else(|| PrivateKey::read_openssh_file(file).ok().map(|key| key.public_key().clone()))
        .map(bare)
}

async fn connect_agent(socket: Option<&Path>) -> Option<Result<AgentClient<UnixStream>, russh::keys::Error>> {
    Some(AgentClient::connect_uds(socket?).await)
}

/// The keys that the agent has, without their comments.
async fn agent_keys(socket: &Path) -> Result<Vec<PublicKey>, russh::keys::Error> {
    let mut agent = AgentClient::connect_uds(socket).await?;
    let keys = agent.request_identities().await?.into_iter().filter_map(|identity| match identity {
        AgentIdentity::PublicKey { key, .. } => Some(PublicKey::from(key.key_data().clone())),
        AgentIdentity::Certificate { .. } => None,
    });
    Ok(keys.collect())
}
