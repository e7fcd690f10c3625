//! Identities of Microsoft Entra, in the order of Azure's own libraries: client secret, workload identity, managed identity,
//! Azure CLI.
//!
//! Sources: Azure Identity, "Credential chains"; Microsoft Entra, "OAuth 2.0 client credentials flow" and "Workload identity
//! federation"; "How to use managed identities for Azure resources on an Azure VM to acquire an access token"; "How to use managed
//! identities for App Service and Azure Functions", section "REST endpoint reference".

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mlflow_artifacts_core::{Error, ErrorKind, ResolvedConfig, Result, Retry, Secret};
use mlflow_artifacts_http::header::{HeaderMap, HeaderName, HeaderValue};
use mlflow_artifacts_http::{HttpClient, HttpOptions, Proxies};
use mlflow_artifacts_object_store::{Provider, connector, from_object_store};
use object_store::azure::{AzureCredential, AzureCredentialProvider, MicrosoftAzureBuilder};
use object_store::client::HttpRequest;
use object_store::{BackoffConfig, RetryConfig};
use tokio::sync::Mutex;

/// Where a machine without an identity has nothing, or somebody who never answers.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a service that hands out tokens is asked again.
const RETRIES: usize = 3;
/// Requests that were on their way with the old token are refused until then.
const OVERLAP: Duration = Duration::from_secs(2);
/// A token that is refused so soon after it was asked for is not asked for once more.
const ASKED_ONCE_IN: Duration = Duration::from_mins(1);

const IDENTITY_HEADER: HeaderName = HeaderName::from_static("x-identity-header");

/// Who may have an identity for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    ClientSecret,
    Workload,
    Managed,
    Cli,
}

impl Link {
    fn describe(self) -> &'static str {
        match self {
            Link::ClientSecret => "client secret",
            Link::Workload => "workload identity",
            Link::Managed => "managed identity",
            Link::Cli => "Azure CLI",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Link::ClientSecret => {
                "check AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET and AZURE_AUTHORITY_HOST"
            }
            Link::Workload => {
                "check AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE and AZURE_AUTHORITY_HOST"
            }
            Link::Managed => "check AZURE_CLIENT_ID, IDENTITY_ENDPOINT and IDENTITY_HEADER",
            Link::Cli => "run az login",
        }
    }
}

/// What the options say of identities.
#[derive(Clone)]
pub(crate) struct Identity {
    client: Option<String>,
    tenant: Option<String>,
    secret: Option<Secret>,
    authority: String,
    token_file: Option<String>,
    endpoint: Option<String>,
    header: Option<Secret>,
}

impl Identity {
    /// Reads the options. Fails with [`ErrorKind::InvalidConfig`] on a secret without whose it is.
    pub(crate) fn resolve(config: &ResolvedConfig, usual_authority: &str) -> Result<Self> {
        let text = |name| config.get(name).map(str::to_owned);
        let identity = Identity {
            client: text("client_id"),
            tenant: text("tenant_id"),
            secret: config.get("client_secret").map(Secret::new),
            authority: authority(config, usual_authority)?,
            token_file: text("federated_token_file"),
            endpoint: text("identity_endpoint"),
            header: config.get("identity_header").map(Secret::new),
        };
        if identity.secret.is_some() || identity.token_file.is_some() {
            for (name, value, what) in [
                ("client_id", &identity.client, "the application that the secret or the token file is of"),
                ("tenant_id", &identity.tenant, "the tenant of the application"),
            ] {
                if value.is_none() {
                    return Err(config.refuse(name, what));
                }
            }
        }
        Ok(identity)
    }

    fn links(&self) -> impl Iterator<Item = Link> + use<> {
        let (has_secret, has_file) = (self.secret.is_some(), self.token_file.is_some());
        [Link::ClientSecret, Link::Workload, Link::Managed, Link::Cli].into_iter().filter(move |link| {
            match link {
                Link::ClientSecret => has_secret,
                Link::Workload => has_file,
                Link::Managed | Link::Cli => true,
            }
        })
    }
}

/// Who signs in. A secret goes there: only through TLS, or within this machine.
fn authority(config: &ResolvedConfig, usual: &str) -> Result<String> {
    let told = config.get("authority_host").unwrap_or(usual).trim_end_matches('/');
    let address = if told.contains("://") { told.to_owned() } else { format!("https://{told}") };
    if crate::config::is_confidential(&address) {
        return Ok(address);
    }
    Err(config.refuse("authority_host", "an address with TLS, such as https://login.microsoftonline.com"))
}

/// The identity that is found, and its token.
pub(crate) struct Chain {
    identity: Identity,
    /// For those who sign in.
    sign_in: Arc<HttpClient>,
    /// For those who are asked within the machine or its network.
    metadata: Arc<HttpClient>,
    found: Mutex<Option<AzureCredentialProvider>>,
    /// The token that was found was refused. Consumed by whoever holds the lock.
    is_refused: AtomicBool,
    /// When a refused token was forgotten.
    forgotten: std::sync::Mutex<Option<Instant>>,
}

impl Chain {
    /// Nothing is asked before the first request is made.
    pub(crate) fn new(identity: Identity, options: HttpOptions) -> Self {
        let metadata =
            HttpOptions { connect_timeout: METADATA_TIMEOUT, proxies: Proxies::default(), ..options.clone() };
        Chain {
            identity,
            sign_in: Arc::new(HttpClient::new(options)),
            metadata: Arc::new(HttpClient::new(metadata)),
            found: Mutex::new(None),
            is_refused: AtomicBool::new(false),
            forgotten: std::sync::Mutex::new(None),
        }
    }

    pub(crate) async fn credential(&self) -> Result<Arc<AzureCredential>> {
        // One at a time asks; the others wait for what it finds. A token that is there is answered at once.
        let mut found = self.found.lock().await;
        if self.is_refused.swap(false, Ordering::Relaxed) {
            *found = None;
        }
        if let Some(provider) = &*found {
            return ask(provider).await;
        }
        let mut told = Vec::new();
        for link in self.identity.links() {
            let provider = self.provider(link)?;
            let answer = match link {
                Link::Cli => ask_blocking(&provider).await,
                _ => ask(&provider).await,
            };
            match (link, answer) {
                (_, Ok(credential)) => {
                    *found = Some(provider);
                    return Ok(credential);
                }
                // Whether a machine has one is only known when it is asked.
                (Link::Managed | Link::Cli, Err(error)) => {
                    told.push(format!("{}: {}", link.describe(), error.message()));
                }
                (_, Err(error)) => return Err(error.with_help(link.help())),
            }
        }
        let message = format!("no Azure credentials were found ({})", told.join("; "));
        let help = "set AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_ACCESS_KEY or AZURE_STORAGE_SAS_TOKEN, \
                    or AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET, or run az login; for a public \
                    container set the option anonymous";
        Err(Error::new(ErrorKind::Unauthenticated, message).with_help(help))
    }

    /// Forgets the token. Answers whether another one may be accepted.
    pub(crate) fn forget(&self) -> bool {
        let mut forgotten = self.forgotten.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match forgotten.map(|at| at.elapsed()) {
            Some(since) if since < OVERLAP => return true,
            Some(since) if since < ASKED_ONCE_IN => return false,
            _ => *forgotten = Some(Instant::now()),
        }
        // Who holds the lock may be reading the old one: the next one who has it forgets.
        self.is_refused.store(true, Ordering::Relaxed);
        true
    }

    /// `object_store`'s own way of asking, with our requests.
    fn provider(&self, link: Link) -> Result<AzureCredentialProvider> {
        let Identity { client, tenant, secret, token_file, endpoint, .. } = &self.identity;
        let (kind, sender) = match link {
            Link::ClientSecret => ("client_secret", &self.sign_in),
            Link::Workload => ("workload_identity", &self.sign_in),
            Link::Managed => ("managed_identity", &self.metadata),
            Link::Cli => ("azure_cli", &self.sign_in),
        };
        let header = self.identity.header.clone().filter(|_| link == Link::Managed);
        let asking = Arc::new(Asking { link, header });
        let mut builder = MicrosoftAzureBuilder::new()
            // These are not asked about; the builder wants them.
            .with_account("account")
            .with_container_name("container")
            .with_credential_type(kind)
            .with_authority_host(&self.identity.authority)
            .with_allow_http(true)
            .with_retry(RetryConfig {
                max_retries: RETRIES.min(sender.options().retries),
                backoff: BackoffConfig::default(),
                retry_timeout: Duration::from_mins(5),
            })
            .with_http_connector(connector(Arc::clone(sender), asking));
        if let Some(client) = client {
            builder = builder.with_client_id(client);
        }
        if let Some(tenant) = tenant {
            builder = builder.with_tenant_id(tenant);
        }
        if let Some(secret) = secret {
            builder = builder.with_client_secret(secret.expose());
        }
        if let Some(file) = token_file {
            builder = builder.with_federated_token_file(file);
        }
        if let Some(endpoint) = endpoint {
            builder = builder.with_msi_endpoint(endpoint);
        }
        let built = builder.build().map_err(|error| {
            let message = format!("the {} cannot be asked for: {error}", link.describe());
            Error::new(ErrorKind::InvalidConfig, message).with_help(link.help())
        })?;
        Ok(Arc::clone(built.credentials()))
    }
}

async fn ask(provider: &AzureCredentialProvider) -> Result<Arc<AzureCredential>> {
    provider.get_credential().await.map_err(|error| unanswered(from_object_store(error)))
}

/// The command line is run by a thread that may wait for it.
async fn ask_blocking(provider: &AzureCredentialProvider) -> Result<Arc<AzureCredential>> {
    let provider = Arc::clone(provider);
    let asked = tokio::task::spawn_blocking(move || {
        tokio::runtime::Handle::current().block_on(async move { ask(&provider).await })
    });
    asked.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Cancelled, "the runtime was shut down")))
}

/// What is no answer is not one about the artifact either.
fn unanswered(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Connection
        | ErrorKind::Timeout
        | ErrorKind::Tls
        | ErrorKind::Unavailable
        | ErrorKind::RateLimited => error,
        _ => error.into_kind(ErrorKind::Unauthenticated),
    }
}

/// A request for a token.
struct Asking {
    link: Link,
    header: Option<Secret>,
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("link", &self.link).finish_non_exhaustive()
    }
}

#[async_trait]
impl Provider for Asking {
    async fn prepare(&self, request: &mut HttpRequest) -> Result<()> {
        // What object_store reads in the environment of the process is not what the options say.
        request.headers_mut().remove(IDENTITY_HEADER);
        if let Some(header) = &self.header {
            let mut value = HeaderValue::from_str(header.expose()).map_err(|_| {
                Error::new(ErrorKind::InvalidConfig, "IDENTITY_HEADER holds what no header can carry")
            })?;
            value.set_sensitive(true);
            request.headers_mut().insert(IDENTITY_HEADER, value);
        }
        Ok(())
    }

    fn refine(&self, error: Error, _headers: &HeaderMap) -> Error {
        if error.retry() == Retry::Transient {
            return error;
        }
        error.into_kind(ErrorKind::Unauthenticated).with_help(self.link.help())
    }
}

#[cfg(test)]
mod tests {
    use mlflow_artifacts_core::{ArtifactUri, StoreConfig};
    use object_store::StaticCredentialProvider;

    use super::*;

    #[tokio::test]
    async fn a_refused_token_is_forgotten_whoever_reads_it() {
        let uri = ArtifactUri::parse("wasbs://models@acct1.blob.core.windows.net/a").unwrap();
        let config = StoreConfig::new()
            .with("client_id", "application")
            .with("tenant_id", "tenant")
            .with("client_secret", "secret")
            .with("authority_host", "http://127.0.0.1:1")
            .with("retries", "0")
            .resolve(&uri, &crate::KEYS)
            .unwrap();
        let identity = Identity::resolve(&config, "").unwrap();
        let chain = Chain::new(identity, HttpOptions::resolve(&config).unwrap());
        let old = AzureCredential::BearerToken("old".to_owned());
        *chain.found.lock().await = Some(Arc::new(StaticCredentialProvider::new(old)));
        assert!(chain.credential().await.is_ok());
        let reader = chain.found.lock().await;
        assert!(chain.forget());
        drop(reader);
        // A new one is asked for, where nobody answers.
        assert_eq!(chain.credential().await.unwrap_err().kind(), ErrorKind::Connection);
    }
}
