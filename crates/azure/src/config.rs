//! Options of the stores of Azure, and how a URI becomes a container at an endpoint.

use std::net::IpAddr;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, LazyLock};

use mlflow_artifacts_core::{
    ArtifactPath, ArtifactUri, Capabilities, ConfigKey, Error, ErrorKind, PartLimits, ResolvedConfig, Result,
    SharedStore, StoreFactory, StoreInfo,
};
use mlflow_artifacts_http::{HttpClient, HttpOptions, TRANSFER_TIMEOUT, Url};
use mlflow_artifacts_object_store::{BucketStore, Provider, connector, content_type, retries};
use object_store::azure::MicrosoftAzureBuilder;
use tokio::sync::Mutex;

use crate::clouds::{Named, USUAL_AUTHORITY};
use crate::connection_string::ConnectionString;
use crate::credentials::Source;
use crate::identity::{Chain, Identity};
use crate::objects::AzureObjects;
use crate::provider::AzureProvider;
use crate::sign::Key;

/// The schemes of Azure, as MLflow and Hadoop spell them.
pub const SCHEMES: &[&str] = &["wasb", "wasbs", "abfs", "abfss"];

/// "Scalability and performance targets for Blob storage": blocks of at most 4,000 MiB, 50,000 of them.
pub(crate) const PARTS: PartLimits =
    PartLimits { min_size: 1, max_size: 4_000 << 20, max_count: 50_000, pays_from: Some(16 << 20) };

const OWN_KEYS: &[ConfigKey] = &[
    ConfigKey::secret(
        "connection_string",
        &["AZURE_STORAGE_CONNECTION_STRING"],
        "The account's connection string: its name, its key or a signature, and where it is.",
    ),
    ConfigKey::secret("access_key", &["AZURE_STORAGE_ACCESS_KEY"], "The account's key, in base 64."),
    ConfigKey::secret(
        "sas_token",
        &["AZURE_STORAGE_SAS_TOKEN"],
        "A shared access signature, with its question mark or without.",
    ),
    ConfigKey::plain(
        "anonymous",
        &[],
        Some("false"),
        "Ask without credentials, for a public container: true, yes, on or 1.",
    ),
    ConfigKey::plain(
        "endpoint",
        &[],
        None,
        "Where the account's containers are, if its name does not say: https://host, or http://host:port/account.",
    ),
    ConfigKey::plain(
        "client_id",
        &["AZURE_CLIENT_ID"],
        None,
        "The application, or the identity that was assigned by a user.",
    ),
    ConfigKey::plain("tenant_id", &["AZURE_TENANT_ID"], None, "The tenant of the application."),
    ConfigKey::secret("client_secret", &["AZURE_CLIENT_SECRET"], "The application's secret."),
    ConfigKey::plain(
        "authority_host",
        &["AZURE_AUTHORITY_HOST"],
        None,
        "Who signs in; without it the authority of the cloud that the URI names.",
    ),
    ConfigKey::plain(
        "federated_token_file",
        &["AZURE_FEDERATED_TOKEN_FILE"],
        None,
        "A file with the token of a workload, for which the application's is given.",
    ),
    ConfigKey::plain(
        "identity_endpoint",
        &["IDENTITY_ENDPOINT", "MSI_ENDPOINT"],
        None,
        "Who knows the managed identity; without it the instance's metadata service.",
    ),
    ConfigKey::secret("identity_header", &["IDENTITY_HEADER"], "What that endpoint wants to be shown."),
    ConfigKey::plain(
        "ignore_tls",
        &["MLFLOW_TRACKING_INSECURE_TLS"],
        Some("false"),
        "Trust every certificate of the storage: true, yes, on or 1.",
    ),
    TRANSFER_TIMEOUT,
];

/// Where MLflow looks for the authorities that are trusted.
const TRACKING_CERTIFICATE: &str = "MLFLOW_TRACKING_SERVER_CERT_PATH";

/// The options of the stores of Azure: their own and those of HTTP, whose `ca_bundle` has MLflow's variable first.
pub static KEYS: LazyLock<Vec<ConfigKey>> = LazyLock::new(|| {
    let of_http = mlflow_artifacts_http::KEYS.iter().copied().map(|key| match key.name {
        "ca_bundle" => {
            ConfigKey { env: &[TRACKING_CERTIFICATE, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"], ..key }
        }
        _ => key,
    });
    OWN_KEYS.iter().copied().chain(of_http).collect()
});

/// Opens the stores of Azure.
#[derive(Clone, Copy, Debug)]
pub struct AzureFactory;

impl StoreFactory for AzureFactory {
    fn schemes(&self) -> &'static [&'static str] {
        SCHEMES
    }

    fn keys(&self) -> &'static [ConfigKey] {
        &KEYS
    }

    fn open(&self, uri: &ArtifactUri, config: &ResolvedConfig) -> Result<SharedStore> {
        let connection = connection_string(config)?;
        let place = Place::of(uri, config, connection.as_ref())?;
        let http = HttpOptions { ignore_tls: config.switch("ignore_tls")?, ..HttpOptions::resolve(config)? };
        let source = Arc::new(source(config, &place, connection, &http)?);
        let max_retries = http.retries;
        let client = Arc::new(HttpClient::new(http));
        let provider = Arc::new(AzureProvider {
            client: Arc::clone(&client),
            source: Arc::clone(&source),
            account: place.account.clone(),
            container: place.container.clone(),
            endpoint: place.endpoint.clone(),
            skew: AtomicI64::new(0),
            granted: Mutex::new(None),
        });
        let builder = MicrosoftAzureBuilder::new()
            .with_account(&place.account)
            .with_container_name(&place.container)
            .with_endpoint(place.endpoint.clone())
            .with_allow_http(true)
            // The provider signs each attempt anew; this signs what is inside a batch.
            .with_credentials(Arc::clone(&source) as _)
            .with_skip_signature(matches!(*source, Source::None))
            .with_retry(retries(max_retries))
            .with_http_connector(connector(client, Arc::clone(&provider) as Arc<dyn Provider>));
        let inner = builder.build().map_err(|error| {
            Error::new(ErrorKind::InvalidConfig, format!("no client of Azure can be made: {error}"))
        })?;
        let objects = Arc::new(AzureObjects { inner, provider: Arc::clone(&provider) });
        let info = StoreInfo { scheme: uri.scheme().to_owned(), root: shown(uri, &place.container) };
        let describes = place.describe(&source);
        let store = BucketStore::new(info, place.prefix, Arc::clone(&objects) as _)?
            .with_parts(Arc::clone(&objects) as _, PARTS)
            .with_pages(objects)
            .with_pending_uploads(Arc::clone(&provider) as _)
            .with_conditions(Capabilities::CREATE_NEW | Capabilities::REPLACE_IF_MATCH)
            .with_description(describes)
            .with_attributes(content_type);
        Ok(Arc::new(match *source {
            Source::Key(..) | Source::Chain(_) => store.with_signing(provider),
            // They cannot sign for others.
            Source::Signature(_) | Source::None => store,
        }))
    }
}

/// The URI with its container, which stands where others have a user and is no secret.
fn shown(uri: &ArtifactUri, container: &str) -> String {
    format!("{}://{container}@{}{}", uri.scheme(), uri.host().unwrap_or_default(), uri.raw_path())
}

/// Whether these credentials may be used: what the program set goes before what the environment has.
fn counts(config: &ResolvedConfig, name: &str) -> bool {
    let some_explicit =
        ["connection_string", "access_key", "sas_token"].into_iter().any(|name| config.is_explicit(name));
    !some_explicit || config.is_explicit(name)
}

/// The connection string, if it counts.
fn connection_string(config: &ResolvedConfig) -> Result<Option<ConnectionString>> {
    // One that does not count does not say where the account is either.
    let Some(text) = config.get("connection_string").filter(|_| counts(config, "connection_string")) else {
        return Ok(None);
    };
    let parsed = ConnectionString::parse(text).map_err(|defect| {
        let origin = config.origin("connection_string").unwrap_or_default();
        Error::new(ErrorKind::InvalidConfig, format!("the connection string of {origin} {defect}"))
            .with_help("copy it from the account's page \"Access keys\" into AZURE_STORAGE_CONNECTION_STRING")
    })?;
    Ok(Some(parsed))
}

fn source(
    config: &ResolvedConfig,
    place: &Place,
    connection: Option<ConnectionString>,
    http: &HttpOptions,
) -> Result<Source> {
    if config.switch("anonymous")? {
        return Ok(Source::None);
    }
    if let Some(ConnectionString { key, signature, .. }) = connection {
        if let Some(key) = key {
            return Source::of_key(key);
        }
        if let Some(signature) = signature {
            check_signature_goes_through_tls(config, place, "connection_string")?;
            return Source::of_signature(signature.expose())
                .ok_or_else(|| config.refuse("connection_string", "a signature that has sig="));
        }
    }
    if let Some(key) = config.get("access_key").filter(|_| counts(config, "access_key")) {
        let key =
            Key::parse(key).ok_or_else(|| config.refuse("access_key", "the account's key, in base 64"))?;
        return Source::of_key(key);
    }
    if let Some(signature) = config.get("sas_token").filter(|_| counts(config, "sas_token")) {
        check_signature_goes_through_tls(config, place, "sas_token")?;
        return Source::of_signature(signature)
            .ok_or_else(|| config.refuse("sas_token", "a query such as sv=...&sig=..."));
    }
    if !is_confidential(&place.endpoint) {
        let message = "a token may not be sent without TLS, and the endpoint has none";
        return Err(Error::new(ErrorKind::InvalidConfig, message)
            .with_help("set AZURE_STORAGE_ACCESS_KEY, or give the endpoint as https://host"));
    }
    let identity = Identity::resolve(config, place.authority)?;
    Ok(Source::Chain(Box::new(Chain::new(identity, sign_in_options(config, http)))))
}

/// A signature is a secret that stands in the address of every request.
fn check_signature_goes_through_tls(config: &ResolvedConfig, place: &Place, option: &str) -> Result<()> {
    if is_confidential(&place.endpoint) {
        return Ok(());
    }
    let origin = config.origin(option).unwrap_or_default();
    let message = format!(
        "the shared access signature of {origin} may not be sent without TLS, and the endpoint has none"
    );
    Err(Error::new(ErrorKind::InvalidConfig, message)
        .with_help("set AZURE_STORAGE_ACCESS_KEY, or give the endpoint as https://host"))
}

/// Who signs in is not the storage: what MLflow's variables say of the certificates of the one does not hold for the other.
fn sign_in_options(config: &ResolvedConfig, http: &HttpOptions) -> HttpOptions {
    let is_of_tracking =
        config.origin("ca_bundle").is_some_and(|origin| origin.contains(TRACKING_CERTIFICATE));
    let ca_bundle = if is_of_tracking {
        let env = config.env();
        env.get("REQUESTS_CA_BUNDLE").or_else(|| env.get("CURL_CA_BUNDLE")).map(Into::into)
    } else {
        http.ca_bundle.clone()
    };
    HttpOptions { ca_bundle, ignore_tls: false, transfer_timeout: None, ..http.clone() }
}

/// Whether what is sent there can be read by nobody else: through TLS, or within this machine.
pub(crate) fn is_confidential(address: &str) -> bool {
    let Ok(url) = address.parse::<Url>() else { return false };
    url.scheme() == "https" || (url.scheme() == "http" && is_here(&url))
}

fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A container, where it is, and what of it is the store's root.
#[derive(Clone, Debug)]
struct Place {
    account: String,
    container: String,
    prefix: ArtifactPath,
    /// Without a slash at its end.
    endpoint: String,
    authority: &'static str,
}

impl Place {
    fn of(uri: &ArtifactUri, config: &ResolvedConfig, connection: Option<&ConnectionString>) -> Result<Self> {
        let named = Named::of(uri)?;
        let told = connection.and_then(|connection| connection.account.clone());
        let mut place = Place {
            account: named.account.clone(),
            container: named.container.clone(),
            prefix: named.prefix.clone(),
            endpoint: String::new(),
            authority: named.host.as_ref().map_or(USUAL_AUTHORITY, |host| host.cloud.authority),
        };
        let of_connection = connection.and_then(|connection| connection.endpoint.as_deref());
        let url = match (config.get("endpoint"), of_connection) {
            (Some(endpoint), _) => checked(endpoint, config, "endpoint")?,
            (None, Some(endpoint)) => checked(endpoint, config, "connection_string")?,
            (None, None) => named_endpoint(&named, config, connection)?,
        };
        let in_path = url.path().trim_matches('/');
        // In a URI for an emulator any account may stand.
        let is_emulator = is_here(&url) || !in_path.is_empty();
        let host = url.host_str().filter(|host| of_connection.is_some() && host.contains(".blob."));
        let of_host = host.and_then(|host| host.split('.').next()).map(str::to_owned);
        if let Some(other) = told.clone().or(of_host).filter(|other| *other != named.account && !is_emulator)
        {
            let origin = config.origin("connection_string").unwrap_or_default();
            let message = format!(
                "the connection string of {origin} is for the account {other}, the URI for {}",
                named.account
            );
            return Err(Error::new(ErrorKind::InvalidConfig, message)
                .with_help("correct the URI, or set AZURE_STORAGE_CONNECTION_STRING to that account's"));
        }
        if is_emulator {
            place.account =
                told.unwrap_or(if in_path.is_empty() { place.account } else { in_path.to_owned() });
        }
        Ok(Place { endpoint: url.as_str().trim_end_matches('/').to_owned(), ..place })
    }

    fn describe(&self, source: &Source) -> Vec<(&'static str, String)> {
        vec![
            ("endpoint", self.endpoint.clone()),
            ("account", self.account.clone()),
            ("container", self.container.clone()),
            ("credentials", source.describe().to_owned()),
        ]
    }
}

/// The endpoint of an account in a cloud.
fn named_endpoint(
    named: &Named,
    config: &ResolvedConfig,
    connection: Option<&ConnectionString>,
) -> Result<Url> {
    let protocol = connection.and_then(|connection| connection.protocol.as_deref()).unwrap_or("https");
    let suffix = connection.and_then(|connection| connection.suffix.as_deref());
    let host = match (&named.host, suffix) {
        (Some(host), Some(suffix)) if host.cloud.suffix != suffix => {
            let origin = config.origin("connection_string").unwrap_or_default();
            let message = format!(
                "the connection string of {origin} has the EndpointSuffix {suffix}, the URI the cloud {}",
                host.cloud.suffix
            );
            return Err(Error::new(ErrorKind::InvalidConfig, message)
                .with_help("correct the URI, or set AZURE_STORAGE_CONNECTION_STRING to that cloud's"));
        }
        (Some(host), _) => host.name.clone(),
        (None, Some(suffix)) => format!("{}.blob.{suffix}", named.account),
        (None, None) => {
            let message =
                format!("not a URI of Azure: the host of the account {} is of no known cloud", named.account);
            return Err(Error::new(ErrorKind::InvalidUri, message).with_help(
                "write wasbs://container@account.blob.core.windows.net/path, or name the service by the option endpoint or by \
                 BlobEndpoint in AZURE_STORAGE_CONNECTION_STRING",
            ));
        }
    };
    checked(&format!("{protocol}://{host}"), config, "connection_string")
}

/// An address of a service.
fn checked(endpoint: &str, config: &ResolvedConfig, option: &str) -> Result<Url> {
    let refused = || config.refuse(option, "a BlobEndpoint such as https://account.blob.core.windows.net");
    let url: Url = endpoint.parse().map_err(|_| refused())?;
    let is_fine = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if is_fine { Ok(url) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use mlflow_artifacts_core::{EnvSource, StoreConfig};

    use super::*;

    const URI: &str = "wasbs://models@acct1.blob.core.windows.net/a";

    fn place(uri: &str, env: &[(&str, &str)]) -> Result<Place> {
        let uri = ArtifactUri::parse(uri)?;
        let env: EnvSource = env.iter().copied().collect();
        let config = StoreConfig::new().with_env(env).resolve(&uri, &KEYS)?;
        Place::of(&uri, &config, connection_string(&config)?.as_ref())
    }

    fn connected(text: &str) -> Result<Place> {
        place(URI, &[("AZURE_STORAGE_CONNECTION_STRING", text)])
    }

    #[test]
    fn the_endpoint_is_that_of_the_cloud_or_the_one_that_is_told() {
        for (text, endpoint, account) in [
            ("AccountName=acct1;AccountKey=YQ==", "https://acct1.blob.core.windows.net", "acct1"),
            (
                "AccountName=acct1;AccountKey=YQ==;DefaultEndpointsProtocol=http",
                "http://acct1.blob.core.windows.net",
                "acct1",
            ),
            (
                "AccountName=acct1;AccountKey=YQ==;BlobEndpoint=https://files.example/",
                "https://files.example",
                "acct1",
            ),
            (
                "SharedAccessSignature=sig=a;BlobEndpoint=https://acct1.blob.core.windows.net/",
                "https://acct1.blob.core.windows.net",
                "acct1",
            ),
            ("UseDevelopmentStorage=true", "http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1"),
            (
                "AccountName=other;AccountKey=YQ==;BlobEndpoint=http://azurite:10000/other",
                "http://azurite:10000/other",
                "other",
            ),
        ] {
            let place = connected(text).unwrap();
            assert_eq!((place.endpoint.as_str(), place.account.as_str()), (endpoint, account), "{text}");
        }
        let stack = "AccountName=acct1;AccountKey=YQ==;EndpointSuffix=stack.example";
        let place =
            place("wasbs://models@acct1.blob.stack.example/a", &[("AZURE_STORAGE_CONNECTION_STRING", stack)])
                .unwrap();
        assert_eq!(place.endpoint, "https://acct1.blob.stack.example");
    }

    #[test]
    fn the_account_of_another_is_refused() {
        for text in [
            "AccountName=canary;AccountKey=c2VjcmV0",
            "AccountName=canary;AccountKey=c2VjcmV0;BlobEndpoint=https://files.example",
            "SharedAccessSignature=sig=c2VjcmV0;BlobEndpoint=https://canary.blob.core.windows.net/",
            "AccountName=acct1;AccountKey=c2VjcmV0;EndpointSuffix=core.chinacloudapi.cn",
            "AccountName=acct1;AccountKey=c2VjcmV0;BlobEndpoint=acct1.blob.core.windows.net",
            "AccountName=acct1;AccountKey=c2VjcmV0;BlobEndpoint=ftp://acct1.blob.core.windows.net",
        ] {
            let error = connected(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{text}");
            let told = error.to_string();
            assert!(told.contains("AZURE_STORAGE_CONNECTION_STRING") && !told.contains("c2VjcmV0"), "{told}");
        }
    }

    #[test]
    fn an_unknown_cloud_is_refused() {
        let error = place("wasbs://models@acct1.blob.core.windows.net.evil.example/a", &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidUri);
        assert!(error.to_string().contains("BlobEndpoint"), "{error}");
    }

    fn open(env: &[(&str, &str)]) -> Result<SharedStore> {
        let mut registry = mlflow_artifacts_core::Registry::new();
        crate::register(&mut registry).unwrap();
        registry.open(URI, &StoreConfig::new().with_env(env.iter().copied().collect()))
    }

    #[test]
    fn the_variables_come_in_the_order_of_mlflow() {
        let uri = ArtifactUri::parse(URI).unwrap();
        let told = |config: StoreConfig| {
            let config = config.resolve(&uri, &KEYS).unwrap();
            let connection = connection_string(&config).unwrap();
            let place = Place::of(&uri, &config, connection.as_ref()).unwrap();
            source(&config, &place, connection, &HttpOptions::default()).unwrap().describe()
        };
        let variables = [
            ("AZURE_STORAGE_CONNECTION_STRING", "SharedAccessSignature=sig=a;AccountName=acct1"),
            ("AZURE_STORAGE_ACCESS_KEY", "YQ=="),
            ("AZURE_STORAGE_SAS_TOKEN", "?sig=a"),
        ];
        let env = |from: usize| StoreConfig::new().with_env(variables[from..].iter().copied().collect());
        assert!(told(env(0)).contains("signature"));
        assert!(told(env(1)).contains("key"));
        assert!(told(env(2)).contains("signature"));
        assert!(told(env(3)).contains("identity"));
        // What the program sets goes first.
        assert!(told(env(0).with("access_key", "YQ==")).contains("key"));
        assert!(told(env(0).with("anonymous", "true")).contains("anonymous"));
    }

    /// The program's own key does not go where the environment's string leads to.
    #[test]
    fn a_connection_string_that_does_not_count_leads_nowhere() {
        let uri = ArtifactUri::parse(URI).unwrap();
        let text = "AccountName=acct1;AccountKey=YQ==;BlobEndpoint=https://files.example";
        let config =
            StoreConfig::new().with_env([("AZURE_STORAGE_CONNECTION_STRING", text)].into_iter().collect());
        let endpoint = |config: StoreConfig| {
            let config = config.resolve(&uri, &KEYS).unwrap();
            let connection = connection_string(&config).unwrap();
            Place::of(&uri, &config, connection.as_ref()).unwrap().endpoint
        };
        assert_eq!(endpoint(config.clone()), "https://files.example");
        for (name, value) in [("access_key", "YQ=="), ("sas_token", "sig=a")] {
            let endpoint = endpoint(config.clone().with(name, value));
            assert_eq!(endpoint, "https://acct1.blob.core.windows.net", "{name}");
        }
    }

    #[test]
    fn a_signature_is_not_sent_in_the_open() {
        let open = |config: StoreConfig| {
            let mut registry = mlflow_artifacts_core::Registry::new();
            crate::register(&mut registry).unwrap();
            registry.open(URI, &config)
        };
        let config = |endpoint: &str, name: &str, value: &str| {
            let env = [(name, value)].into_iter().collect();
            StoreConfig::new().with("endpoint", endpoint).with_env(env)
        };
        for (name, value) in [
            ("AZURE_STORAGE_SAS_TOKEN", "sig=canary"),
            ("AZURE_STORAGE_CONNECTION_STRING", "AccountName=acct1;SharedAccessSignature=sig=canary"),
        ] {
            for endpoint in ["https://files.example", "http://127.0.0.1:1/acct1", "http://localhost:1/acct1"]
            {
                assert!(open(config(endpoint, name, value)).is_ok(), "{endpoint} {name}");
            }
            let error = open(config("http://files.example", name, value)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            let told = error.to_string();
            assert!(told.contains(name) && told.contains("https://") && !told.contains("canary"), "{told}");
        }
        // A key stays here.
        assert!(open(config("http://files.example", "AZURE_STORAGE_ACCESS_KEY", "YQ==")).is_ok());
    }

    /// Who trusts any storage, or one of his own, does not tell everybody his secret.
    #[test]
    fn whoever_signs_in_is_verified_all_the_same() {
        let told = |config: StoreConfig| {
            let config = config.resolve(&ArtifactUri::parse(URI).unwrap(), &KEYS).unwrap();
            let http = HttpOptions { ignore_tls: true, ..HttpOptions::resolve(&config).unwrap() };
            let options = sign_in_options(&config, &http);
            assert!(http.ca_bundle.is_some() && !options.ignore_tls);
            options.ca_bundle
        };
        let variables = [(TRACKING_CERTIFICATE, "/tracking.pem"), ("REQUESTS_CA_BUNDLE", "/all.pem")];
        let env = |from: usize, to: usize| {
            StoreConfig::new().with_env(variables[from..to].iter().copied().collect())
        };
        assert_eq!(told(env(0, 1)), None);
        assert_eq!(told(env(0, 2)), Some("/all.pem".into()));
        assert_eq!(told(env(1, 2)), Some("/all.pem".into()));
        assert_eq!(told(env(0, 2).with("ca_bundle", "/own.pem")), Some("/own.pem".into()));
    }

    #[test]
    fn malformed_credentials_are_refused_by_the_name_of_their_variable() {
        for (env, missing) in [
            (&[("AZURE_STORAGE_CONNECTION_STRING", "canary")][..], "AZURE_STORAGE_CONNECTION_STRING"),
            (&[("AZURE_STORAGE_ACCESS_KEY", "canary!")], "AZURE_STORAGE_ACCESS_KEY"),
            (&[("AZURE_STORAGE_SAS_TOKEN", "canary")], "AZURE_STORAGE_SAS_TOKEN"),
            (&[("AZURE_CLIENT_SECRET", "canary"), ("AZURE_TENANT_ID", "t")], "AZURE_CLIENT_ID"),
            (&[("AZURE_FEDERATED_TOKEN_FILE", "/canary"), ("AZURE_CLIENT_ID", "c")], "AZURE_TENANT_ID"),
            (&[("AZURE_AUTHORITY_HOST", "http://login.example")], "AZURE_AUTHORITY_HOST"),
        ] {
            let error = open(env).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{missing}");
            assert!(error.to_string().contains(missing) && !error.to_string().contains("canary"), "{error}");
        }
    }
}
