//! Whose credentials sign: found as boto3 finds them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::http::{
    HttpClient as AwsHttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_types::region::Region;
use http_body_util::BodyExt as _;
use mlflow_artifacts_core::{Error, ErrorKind, Result, Secret};
use mlflow_artifacts_http::{Body, HttpClient, Request, Url};
use tokio::sync::{Mutex, OnceCell};

/// How long before they expire credentials are renewed.
const RENEWED_BEFORE: Duration = Duration::from_mins(5);
/// The longest answer of a service that hands out credentials.
const LONGEST_ANSWER: usize = 1 << 20;

/// Where the credentials come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Requests are not signed.
    None,
    /// They were given.
    Given(Credentials),
    /// The chain finds them: profiles, roles, web identity, container, instance.
    Chain(Chain),
}

/// The chain of AWS's own crate, whose requests go through our client.
#[derive(Debug)]
pub(crate) struct Chain {
    profile: Option<String>,
    region: String,
    client: Arc<HttpClient>,
    made: OnceCell<DefaultCredentialsChain>,
    found: Mutex<Option<Credentials>>,
}

impl Source {
    pub(crate) fn given(key: &str, secret: &Secret, token: Option<&str>) -> Self {
        let token = token.map(str::to_owned);
        Source::Given(Credentials::new(key, secret.expose(), token, None, "options"))
    }

    pub(crate) fn chain(profile: Option<&str>, region: &str, client: Arc<HttpClient>) -> Self {
        Source::Chain(Chain {
            profile: profile.map(str::to_owned),
            region: region.to_owned(),
            client,
            made: OnceCell::new(),
            found: Mutex::new(None),
        })
    }

    /// The credentials for a request that is made now; `None` for one that is not signed.
    pub(crate) async fn credentials(&self) -> Result<Option<Credentials>> {
        match self {
            Source::None => Ok(None),
            Source::Given(credentials) => Ok(Some(credentials.clone())),
            Source::Chain(chain) => chain.credentials().await.map(Some),
        }
    }

    /// What the server says is expired is not used again. Answers whether others may be found.
    pub(crate) fn forget(&self) -> bool {
        let Source::Chain(chain) = self else { return false };
        // Whoever holds the lock is finding new ones.
        if let Ok(mut found) = chain.found.try_lock() {
            *found = None;
        }
        true
    }
}

impl Chain {
    async fn credentials(&self) -> Result<Credentials> {
        // One at a time asks; the others wait for what it finds.
        let mut found = self.found.lock().await;
        let soon = SystemTime::now() + RENEWED_BEFORE;
        if let Some(credentials) = found.as_ref().filter(|found| found.expiry().is_none_or(|end| end > soon))
        {
            return Ok(credentials.clone());
        }
        let chain = self.made.get_or_init(|| self.make()).await;
        let credentials = chain.provide_credentials().await.map_err(|error| self.not_found(error))?;
        *found = Some(credentials.clone());
        Ok(credentials)
    }

    async fn make(&self) -> DefaultCredentialsChain {
        let region = Region::new(self.region.clone());
        let config = ProviderConfig::empty()
            .with_region(Some(region.clone()))
            .with_behavior_version(Some(BehaviorVersion::latest()))
            .with_sleep_impl(aws_smithy_async::rt::sleep::TokioSleep::new())
            .with_http_client(Bridge(Arc::clone(&self.client)));
        let chain = DefaultCredentialsChain::builder().configure(config).region(region);
        match &self.profile {
            Some(profile) => chain.profile_name(profile).build().await,
            None => chain.build().await,
        }
    }

    fn not_found(&self, error: CredentialsError) -> Error {
        let help = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for a public bucket set \
                    MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION=unsigned";
        let message = match (&error, &self.profile) {
            (CredentialsError::CredentialsNotLoaded(_), None) => "no AWS credentials were found".to_owned(),
            (CredentialsError::CredentialsNotLoaded(_), Some(profile)) => {
                format!("no AWS credentials were found: is there a profile \"{profile}\"?")
            }
            _ => format!("AWS credentials were not to be had{}", innermost(&error)),
        };
        Error::new(ErrorKind::Unauthenticated, message).with_help(help).with_source(error)
    }
}

/// What is at the bottom of an error, after a colon.
fn innermost(error: &CredentialsError) -> String {
    std::iter::successors(std::error::Error::source(error), |error| (*error).source())
        .last()
        .map(|cause| format!(": {}", mlflow_artifacts_http::one_line(&cause.to_string())))
        .unwrap_or_default()
}

/// Our client, as AWS's crates want one.
#[derive(Clone, Debug)]
struct Bridge(Arc<HttpClient>);

impl AwsHttpClient for Bridge {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Bridge {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move { send(&client, request).await })
    }
}

async fn send(client: &HttpClient, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    let url: Url = parts.uri.to_string().parse().map_err(|error| ConnectorError::user(Box::new(error)))?;
    let body = body.collect().await.map_err(ConnectorError::user)?.to_bytes();
    let body = if body.is_empty() { Body::None } else { Body::Bytes(body) };
    // Tokens stand in these requests, also in their addresses.
    let request = Request::new(parts.method, url).with_headers(parts.headers).with_body(body).signed();
    let response = client.send(request).await.map_err(connector_error)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text(LONGEST_ANSWER).await.map_err(connector_error)?;
    let mut answer = http::Response::new(SdkBody::from(text));
    *answer.status_mut() =
        http::StatusCode::from_u16(status).map_err(|error| ConnectorError::user(Box::new(error)))?;
    *answer.headers_mut() = headers;
    HttpResponse::try_from(answer).map_err(|error| ConnectorError::user(Box::new(error)))
}

fn connector_error(error: Error) -> ConnectorError {
    if error.kind() == ErrorKind::Timeout {
        return ConnectorError::timeout(Box::new(error));
    }
    ConnectorError::io(Box::new(error))
}
