//! The metadata server of a machine at Google, which knows the machine's service account.
//!
//! Sources: Compute Engine documentation, "About VM metadata"; google-auth for Python, `google.auth.compute_engine`: variables, the
//! search for the server, and how patient it is.

use std::sync::Arc;
use std::time::Duration;

use mlflow_artifacts_core::{Error, ErrorKind, Result};
use mlflow_artifacts_http::{HttpClient, HttpOptions, Method, Proxies, Request, Url};
use tokio::time::{sleep, timeout};

use crate::answer::Asking;
use crate::token::{Fresh, SCOPE, bearer};

const HOST: &str = "metadata.google.internal";
const IP: &str = "169.254.169.254";
const SIGNING: &str = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts";

/// How long it may take to answer whether it is there, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(3);
const ATTEMPTS: u32 = 3;
/// How long is waited before the next attempt; each time twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(300);

/// Where the metadata server is.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    client: Arc<HttpClient>,
    host: String,
    ip: String,
}

impl Metadata {
    pub(crate) fn new(options: &HttpOptions, host: Option<&str>, ip: Option<&str>) -> Self {
        // It is beside the machine: no proxy reaches it.
        let options =
            HttpOptions { proxies: Proxies::default(), connect_timeout: PATIENCE, ..options.clone() };
        Metadata {
            client: Arc::new(HttpClient::new(options)),
            host: host.unwrap_or(HOST).to_owned(),
            ip: ip.unwrap_or(IP).to_owned(),
        }
    }

    /// Whether it answers at its address and says what it is.
    pub(crate) async fn is_there(&self) -> Result<bool> {
        let url = address(&self.ip, "/")?;
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=ATTEMPTS {
            let asked = timeout(PATIENCE, self.client.send(flavoured(url.clone()))).await;
            if let Ok(Ok(response)) = asked {
                // Also if it is busy: then it is asked for tokens as often as is needed.
                return Ok(response.header("metadata-flavor") == Some("Google"));
            }
            if attempt < ATTEMPTS {
                sleep(pause).await;
                pause *= 2;
            }
        }
        Ok(false)
    }

    pub(crate) async fn token(&self) -> Result<Fresh> {
        let mut url = self.about("token")?;
        url.query_pairs_mut().append_pair("scopes", SCOPE);
        let asking = self.asking(&url);
        let text = self.ask(&asking).await?;
        let answer = serde_json::from_str(&text)
            .map_err(|_| Error::new(ErrorKind::Protocol, "the metadata server did not answer in JSON"))?;
        bearer(&asking, &answer)
    }

    /// The machine's service account.
    pub(crate) async fn email(&self) -> Result<String> {
        let url = self.about("email")?;
        self.ask(&self.asking(&url)).await.map(|text| text.trim().to_owned())
    }

    /// Where that account signs.
    pub(crate) fn signing_url(email: &str) -> Result<Url> {
        let url = format!("{SIGNING}/{email}:signBlob").parse();
        url.map_err(|_| Error::new(ErrorKind::Protocol, "the metadata server named no service account"))
    }

    fn about(&self, what: &str) -> Result<Url> {
        address(&self.host, &format!("/computeMetadata/v1/instance/service-accounts/default/{what}"))
    }

    fn asking<'a>(&'a self, url: &'a Url) -> Asking<'a> {
        Asking { client: &self.client, service: "the metadata server", url }
    }

    async fn ask(&self, asking: &Asking<'_>) -> Result<String> {
        let ask = || async { asking.read(self.client.send(flavoured(asking.url.clone())).await?).await };
        self.client.retry(ask).await
    }
}

fn flavoured(url: Url) -> Request {
    // Without it the server does not answer: a page of somebody else's cannot make a browser send it.
    Request::new(Method::GET, url).with_header("metadata-flavor", "Google")
}

fn address(host: &str, path: &str) -> Result<Url> {
    format!("http://{host}{path}").parse().map_err(|_| {
        Error::new(ErrorKind::InvalidConfig, "the address of the metadata server is none")
            .with_help("give host or host:port in GCE_METADATA_HOST and GCE_METADATA_IP")
    })
}
