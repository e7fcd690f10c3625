//! Options of the stores of Google Cloud Storage, and how a URI becomes a bucket.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use mlflow_artifacts_core::{
    ArtifactPath, ArtifactUri, Capabilities, ConfigKey, Error, ErrorKind, PartLimits, ResolvedConfig, Result,
    Secret, SharedStore, StoreFactory, StoreInfo,
};
use mlflow_artifacts_http::{HttpClient, HttpOptions, Url};
use mlflow_artifacts_object_store::{BucketStore, Provider, connector, content_type, retries};
use object_store::gcp::{GcpCredential, GcpSigningCredential, GoogleCloudStorageBuilder};
use object_store::{Attribute, Attributes, StaticCredentialProvider};

use crate::credentials::{Defaults, Source};
use crate::file::is_loopback;
use crate::generations::Generations;
use crate::metadata::Metadata;
use crate::provider::GcsProvider;

/// The scheme, as MLflow spells it.
pub const SCHEMES: &[&str] = &["gs"];

const ENDPOINT: &str = "https://storage.googleapis.com";

/// The smallest and the largest part (Cloud Storage documentation, "Quotas & limits", XML API multipart uploads).
const SMALLEST_PART: u64 = 5 << 20;
const LARGEST_PART: u64 = 5 << 30;
/// The size of parts where nobody chose one.
const USUAL_PART: u64 = 8 << 20;

/// The least and the most bytes of one request of a download: a unit of Google's library, and as much as an object can have.
const DOWNLOAD_CHUNKS: std::ops::RangeInclusive<u64> = 256 << 10..=5 << 40;

/// Instead of no deadline at all: the longest silence that the system can watch a connection for.
const FOREVER: Duration = Duration::from_hours(20 * 24);

const OWN_KEYS: &[ConfigKey] = &[
    ConfigKey::plain(
        "application_credentials",
        &["GOOGLE_APPLICATION_CREDENTIALS"],
        None,
        "A file with credentials: service_account, authorized_user, external_account or impersonated_service_account; without it \
         gcloud's file, or the metadata server.",
    ),
    ConfigKey::secret(
        "access_token",
        &[],
        "An OAuth 2.0 access token, used as it is instead of all other credentials.",
    ),
    ConfigKey::plain(
        "anonymous",
        &[],
        Some("false"),
        "Ask without credentials, for public buckets: true, yes, on or 1.",
    ),
    ConfigKey::plain(
        "emulator_host",
        &["STORAGE_EMULATOR_HOST"],
        None,
        "An emulator's address, http://host:port or host:port, which is asked without credentials.",
    ),
    ConfigKey::plain(
        "endpoint",
        &[],
        None,
        "The service's address if it is not https://storage.googleapis.com.",
    ),
    ConfigKey::plain(
        "user_project",
        &["GOOGLE_CLOUD_QUOTA_PROJECT"],
        None,
        "The project that requests are charged to, as a bucket whose readers pay wants it; without it the one in the credentials' \
         file.",
    ),
    ConfigKey::plain(
        "gcloud_directory",
        &["CLOUDSDK_CONFIG"],
        None,
        "Where gcloud keeps its files; without it ~/.config/gcloud.",
    ),
    ConfigKey::plain(
        "metadata_host",
        &["GCE_METADATA_HOST", "GCE_METADATA_ROOT"],
        None,
        "The metadata server's host or host:port, which is asked for tokens.",
    ),
    ConfigKey::plain(
        "metadata_ip",
        &["GCE_METADATA_IP"],
        None,
        "The metadata server's address, with a port or without one, which is asked whether it is there.",
    ),
    ConfigKey::plain(
        "no_gce_check",
        &["NO_GCE_CHECK"],
        Some("false"),
        "Do not look for a metadata server: true, yes, on or 1.",
    ),
    ConfigKey::plain(
        "upload_chunk_size",
        &["MLFLOW_GCS_UPLOAD_CHUNK_SIZE"],
        None,
        "Bytes of each part of an upload, 5 MiB to 5 GiB; what is not larger goes in one request.",
    ),
    ConfigKey::plain(
        "download_chunk_size",
        &["MLFLOW_GCS_DOWNLOAD_CHUNK_SIZE"],
        None,
        "The most bytes that one request of a download asks for, from 256 KiB.",
    ),
    ConfigKey::plain(
        "timeout",
        // The second is what older versions of MLflow call it.
        &["MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", "MLFLOW_GCS_DEFAULT_TIMEOUT"],
        None,
        "Seconds of silence after which a request is given up, before its answer and within it; -1 for no end. Goes before \
         MLFLOW_HTTP_REQUEST_TIMEOUT.",
    ),
];

/// The options of the stores of Google Cloud Storage: their own and those of HTTP.
pub static KEYS: LazyLock<Vec<ConfigKey>> =
    LazyLock::new(|| OWN_KEYS.iter().chain(mlflow_artifacts_http::KEYS).copied().collect());

/// Opens the stores of Google Cloud Storage.
#[derive(Clone, Copy, Debug)]
pub struct GcsFactory;

impl StoreFactory for GcsFactory {
    fn schemes(&self) -> &'static [&'static str] {
        SCHEMES
    }

    fn keys(&self) -> &'static [ConfigKey] {
        &KEYS
    }

    fn open(&self, uri: &ArtifactUri, config: &ResolvedConfig) -> Result<SharedStore> {
        let place = Place::of(uri, config)?;
        let http = http_options(config)?;
        let max_retries = http.retries;
        let client = Arc::new(HttpClient::new(http));
        let source = source(config, &place, &client)?;
        let describes = place.describe(&source);
        let provider = Arc::new(GcsProvider {
            client: Arc::clone(&client),
            source,
            base: format!("{}/{}", place.endpoint, place.bucket),
            user_project: config.get("user_project").map(str::to_owned),
        });
        let sending = connector(client, Arc::clone(&provider) as Arc<dyn Provider>);
        let objects = GoogleCloudStorageBuilder::new()
            .with_bucket_name(&place.bucket)
            .with_base_url(&place.endpoint)
            // The provider has the credentials, and finds them when they are needed: these keep object_store from looking itself.
            .with_credentials(Arc::new(StaticCredentialProvider::new(GcpCredential {
                bearer: String::new(),
            })))
            .with_signing_credentials(Arc::new(StaticCredentialProvider::new(GcpSigningCredential {
                email: String::new(),
                private_key: None,
            })))
            .with_skip_signature(true)
            .with_retry(retries(max_retries))
            .with_http_connector(Generations { inner: sending, provider: Arc::clone(&provider) });
        let objects = Arc::new(objects.build().map_err(|error| {
            Error::new(
                ErrorKind::InvalidConfig,
                format!("no client of Google Cloud Storage can be made: {error}"),
            )
        })?);
        let info = StoreInfo { scheme: uri.scheme().to_owned(), root: uri.to_string() };
        let can_sign = provider.source.can_sign();
        let store = BucketStore::new(info, place.prefix, Arc::clone(&objects) as _)?
            .with_parts(Arc::clone(&objects) as _, parts(config)?)
            .with_pages(objects)
            .with_pending_uploads(Arc::clone(&provider) as _)
            .with_conditions(Capabilities::CREATE_NEW | Capabilities::REPLACE_IF_MATCH)
            .with_versions_for_etags()
            .with_conditional_copies()
            .with_unconditional_parts()
            .with_description(describes)
            .with_attributes(attributes);
        let store = if can_sign { store.with_signing(provider) } else { store };
        Ok(Arc::new(match config.number("download_chunk_size", DOWNLOAD_CHUNKS)? {
            Some(most) => store.with_reads_of_at_most(most),
            None => store,
        }))
    }
}

/// The content type as Google's library guesses it for MLflow: without a content encoding, for what has one may be unpacked on its way
/// to others.
fn attributes(path: &ArtifactPath) -> Attributes {
    let guessed = content_type(path);
    let kept = guessed.iter().filter(|(attribute, _)| **attribute != Attribute::ContentEncoding);
    kept.map(|(attribute, value)| (attribute.clone(), value.clone())).collect()
}

/// How uploads are cut.
fn parts(config: &ResolvedConfig) -> Result<PartLimits> {
    let limits = PartLimits {
        min_size: SMALLEST_PART,
        max_size: LARGEST_PART,
        max_count: 10_000,
        pays_from: Some(2 * USUAL_PART),
    };
    let Some(size) = config.number("upload_chunk_size", SMALLEST_PART..=LARGEST_PART)? else {
        return Ok(limits);
    };
    // Parts that are smaller than the usual ones are had by forbidding larger ones: then no file has more than 10,000 of them.
    let max_size = if size < USUAL_PART { size } else { LARGEST_PART };
    Ok(PartLimits { min_size: size, max_size, pays_from: Some(size + 1), ..limits })
}

fn http_options(config: &ResolvedConfig) -> Result<HttpOptions> {
    let options = HttpOptions::resolve(config)?;
    let Some(told) = config.get("timeout") else { return Ok(options) };
    let patience = match told.trim().parse::<i64>() {
        Ok(-1) => FOREVER,
        Ok(seconds @ 1..=86_400) => Duration::from_secs(seconds.unsigned_abs()),
        _ => return Err(config.refuse("timeout", "seconds from 1 to 86,400, or -1")),
    };
    let told = |name, resolved| if config.is_explicit(name) { resolved } else { patience };
    Ok(HttpOptions {
        read_timeout: told("read_timeout", options.read_timeout),
        commit_timeout: told("commit_timeout", options.commit_timeout),
        ..options
    })
}

fn source(config: &ResolvedConfig, place: &Place, client: &Arc<HttpClient>) -> Result<Source> {
    if place.is_emulator || config.switch("anonymous")? {
        return Ok(Source::None);
    }
    if !place.is_private {
        return Err(config.refuse("endpoint", "an address with https: credentials are sent to it"));
    }
    if let Some(token) = config.get("access_token") {
        return Ok(Source::Given(Secret::new(token)));
    }
    let path = |name| config.get(name).map(PathBuf::from);
    let named = path("application_credentials")
        .map(|path| (path, config.origin("application_credentials").unwrap_or_default()));
    let metadata = (!config.switch("no_gce_check")?)
        .then(|| Metadata::new(client.options(), config.get("metadata_host"), config.get("metadata_ip")));
    let home = config.env().get("HOME").map(PathBuf::from);
    let defaults = Defaults::new(Arc::clone(client), named, path("gcloud_directory"), home, metadata);
    Ok(Source::Default(Box::new(defaults)))
}

/// A bucket, where it is, and what of it is the store's root.
#[derive(Clone, Debug)]
struct Place {
    bucket: String,
    prefix: ArtifactPath,
    /// Without a slash at the end.
    endpoint: String,
    is_emulator: bool,
    /// Nobody on the way there can read what is sent.
    is_private: bool,
}

impl Place {
    fn of(uri: &ArtifactUri, config: &ResolvedConfig) -> Result<Self> {
        let refused = |defect: &str| {
            Error::new(ErrorKind::InvalidUri, format!("not a URI of Google Cloud Storage: {defect}"))
                .with_help("write gs://bucket/path")
        };
        let bucket = uri.host().ok_or_else(|| refused("it names no bucket"))?;
        if uri.user().is_some() || uri.password().is_some() || uri.port().is_some() {
            return Err(refused("a bucket has no user, password and port"));
        }
        check_bucket(bucket).map_err(refused)?;
        // As MLflow has it, which takes the path as it is written.
        let path = uri.raw_path();
        let path = path.strip_prefix('/').unwrap_or(path).trim_end_matches('/');
        let prefix = ArtifactPath::parse(path).map_err(|error| refused(error.message()))?;
        let (name, told) = match (config.get("emulator_host"), config.get("endpoint")) {
            (Some(host), _) if host.contains("://") => ("emulator_host", host.to_owned()),
            (Some(host), _) => ("emulator_host", format!("http://{host}")),
            (None, told) => ("endpoint", told.unwrap_or(ENDPOINT).to_owned()),
        };
        let endpoint = told.trim_end_matches('/');
        let url = endpoint.parse().ok().filter(is_service);
        let url = url.ok_or_else(|| config.refuse(name, "an address such as http://host:port"))?;
        Ok(Place {
            bucket: bucket.to_owned(),
            prefix,
            endpoint: endpoint.to_owned(),
            is_emulator: name == "emulator_host",
            is_private: url.scheme() == "https" || is_loopback(&url),
        })
    }

    fn describe(&self, source: &Source) -> Vec<(&'static str, String)> {
        vec![
            ("endpoint", self.endpoint.clone()),
            ("bucket", self.bucket.clone()),
            ("credentials", source.describe()),
        ]
    }
}

/// Whether a service can be at this address.
fn is_service(url: &Url) -> bool {
    let is_bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && is_bare
}

/// Cloud Storage documentation, "Bucket names": at most 63 letters, or 222 with dots between labels of at most 63.
fn check_bucket(bucket: &str) -> Result<(), &'static str> {
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    let ends_well = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !bucket.chars().all(is_fine) {
        return Err("a bucket's name has small letters, digits, hyphens, underscores and dots");
    }
    if !bucket.starts_with(ends_well) || !bucket.ends_with(ends_well) {
        return Err("a bucket's name begins and ends with a small letter or a digit");
    }
    if !(3..=222).contains(&bucket.len()) || bucket.split('.').any(|label| !(1..=63).contains(&label.len())) {
        return Err("a bucket's name has 3 to 63 characters, or 222 with dots between at most 63");
    }
    if bucket.parse::<std::net::Ipv4Addr>().is_ok() {
        return Err("a bucket's name is no IP address");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use mlflow_artifacts_core::{EnvSource, StoreConfig, UploadOptions};

    use super::*;

    fn resolve(uri: &str, env: &[(&str, &str)]) -> Result<(ArtifactUri, ResolvedConfig)> {
        let uri = ArtifactUri::parse(uri)?;
        let env: EnvSource = env.iter().copied().collect();
        let config = StoreConfig::new().with_env(env).resolve(&uri, &KEYS)?;
        Ok((uri, config))
    }

    fn place(uri: &str, env: &[(&str, &str)]) -> Result<Place> {
        let (uri, config) = resolve(uri, env)?;
        Place::of(&uri, &config)
    }

    #[test]
    fn a_uri_names_a_bucket() {
        let emulator = |host| [("STORAGE_EMULATOR_HOST", host)];
        for (uri, env, base, prefix) in [
            ("gs://bucket", &[][..], "https://storage.googleapis.com/bucket", ""),
            ("gs://my_bucket-1/1/abc/", &[], "https://storage.googleapis.com/my_bucket-1", "1/abc"),
            ("gs://data.example.com/a b", &[], "https://storage.googleapis.com/data.example.com", "a b"),
            ("gs://bucket/a%20b%2Fc", &[], "https://storage.googleapis.com/bucket", "a%20b%2Fc"),
            ("gs://bucket/a", &emulator("localhost:4443"), "http://localhost:4443/bucket", "a"),
            ("gs://bucket/a", &emulator("https://host:1/"), "https://host:1/bucket", "a"),
        ] {
            let place = place(uri, env).unwrap();
            let base_found = format!("{}/{}", place.endpoint, place.bucket);
            assert_eq!((base_found.as_str(), place.prefix.as_str()), (base, prefix), "{uri} {env:?}");
        }
    }

    #[test]
    fn other_uris_and_addresses_are_refused() {
        let long_label = format!("gs://{}.x/a", "a".repeat(64));
        let long_name = format!("gs://{}/a", "a".repeat(64));
        let longest =
            format!("gs://{}/a", ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(31)].join("."));
        for uri in [
            "gs:",
            "gs:///a",
            "gs://user@bucket/a",
            "gs://bucket:9000/a",
            "gs://bucket/a//b",
            "gs://bucket//a",
            "gs://ab/a",
            "gs://Bucket/a",
            "gs://-bucket/a",
            "gs://bucket_/a",
            "gs://a..b/a",
            "gs://192.168.5.4/a",
            "gs://bücket/a",
            &long_label,
            &long_name,
            &longest,
        ] {
            assert_eq!(place(uri, &[]).unwrap_err().kind(), ErrorKind::InvalidUri, "{uri}");
        }
        for host in ["ftp://host", "http://", "host:1?x=1", "http://user@host"] {
            let error = place("gs://bucket/a", &[("STORAGE_EMULATOR_HOST", host)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{host}");
            assert!(error.to_string().contains("STORAGE_EMULATOR_HOST"), "{error}");
        }
    }

    #[test]
    fn sizes_of_parts_are_what_was_asked_for() {
        let limits = |size: &str| {
            let (_, config) = resolve("gs://bucket", &[("MLFLOW_GCS_UPLOAD_CHUNK_SIZE", size)])?;
            parts(&config)
        };
        for size in [SMALLEST_PART, 6 << 20, USUAL_PART, 64 << 20, LARGEST_PART] {
            let limits = limits(&size.to_string()).unwrap();
            let told = limits.part_size(&UploadOptions::default(), USUAL_PART);
            assert_eq!((told, limits.pays_from), (size, Some(size + 1)));
        }
        for size in ["0", "-1", "5242879", "262144", "5368709121", "8MB"] {
            let error = limits(size).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{size}");
            assert!(error.to_string().contains("MLFLOW_GCS_UPLOAD_CHUNK_SIZE"), "{error}");
        }
    }

    #[test]
    fn patience_is_what_was_asked_for() {
        let options = |env: &[(&str, &str)]| http_options(&resolve("gs://bucket", env)?.1);
        let timeout = |seconds| ("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", seconds);
        let told = options(&[timeout("600"), ("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")]).unwrap();
        let minutes = Duration::from_mins(10);
        assert_eq!((told.read_timeout, told.commit_timeout), (minutes, minutes));
        assert_eq!(options(&[timeout("-1")]).unwrap().read_timeout, FOREVER);
        let former = options(&[("MLFLOW_GCS_DEFAULT_TIMEOUT", "600")]).unwrap();
        assert_eq!(former.read_timeout, minutes);
        assert_eq!(
            options(&[("MLFLOW_GCS_DEFAULT_TIMEOUT", "")]).unwrap().read_timeout,
            options(&[]).unwrap().read_timeout
        );
        for seconds in ["0", "-2", "1.5", "86401", "soon"] {
            let error = options(&[timeout(seconds)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{seconds}");
            assert!(error.to_string().contains("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT"), "{error}");
        }
    }

    #[test]
    fn credentials_are_not_sent_in_the_open() {
        let open = |config: StoreConfig| {
            let mut registry = mlflow_artifacts_core::Registry::new();
            crate::register(&mut registry).unwrap();
            registry.open("gs://bucket/a", &config)
        };
        let config =
            |endpoint: &str| StoreConfig::new().with("endpoint", endpoint).with("access_token", "canary");
        assert!(open(config("https://storage.example")).is_ok());
        assert!(open(config("http://127.0.0.1:1")).is_ok());
        assert!(open(config("http://storage.example").with("anonymous", "yes")).is_ok());
        let error = open(config("http://storage.example")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(!error.to_string().contains("canary"), "{error}");
    }

    #[test]
    fn types_are_guessed_by_the_name() {
        let told = |name: &str| {
            let attributes = attributes(&ArtifactPath::parse(name).unwrap());
            assert_eq!(attributes.get(&Attribute::ContentEncoding), None);
            attributes.get(&Attribute::ContentType).map(|value| value.to_string())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(told("a/metrics.json"), some("application/json"));
        assert_eq!(told("a.tar.gz"), some("application/x-tar"));
        assert_eq!(told("MLmodel"), None);
    }
}
