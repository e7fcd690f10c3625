//! Options of the stores of S3, and how a URI becomes a bucket at an endpoint.

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, LazyLock, Mutex, RwLock};

use mlflow_artifacts_core::{
    ArtifactPath, ArtifactUri, Capabilities, ConfigKey, Error, ErrorKind, PartLimits, ResolvedConfig, Result,
    Secret, SharedStore, StoreFactory, StoreInfo,
};
use mlflow_artifacts_http::{HttpClient, HttpOptions, Url};
use mlflow_artifacts_object_store::{BucketStore, Provider, connector, content_type, retries};
use object_store::aws::{AmazonS3Builder, Checksum, S3ConditionalPut, S3CopyIfNotExists};

use crate::arguments::{Arguments, checksum};
use crate::credentials::Source;
use crate::provider::S3Provider;

/// The schemes of S3 and of services that speak its protocol, as MLflow spells them.
pub const SCHEMES: &[&str] = &["s3", "r2", "b2", "oss"];

/// Where buckets are that are nowhere else: what AWS itself takes for no region.
const USUAL_REGION: &str = "us-east-1";

/// What the names of AWS's own hosts end with.
const AWS_DOMAINS: [&str; 2] = [".amazonaws.com", ".amazonaws.com.cn"];

/// Where instances and containers ask about themselves (Amazon EC2 User Guide, "Instance metadata"; Amazon ECS and EKS guides).
const LINK_LOCAL: &str = "169.254.169.254,169.254.170.2,169.254.170.23,fd00:ec2::254,fd00:ec2::23";

/// Amazon S3 User Guide, "Amazon S3 multipart upload limits".
const PARTS: PartLimits =
    PartLimits { min_size: 5 << 20, max_size: 5 << 30, max_count: 10_000, pays_from: Some(16 << 20) };

const OWN_KEYS: &[ConfigKey] = &[
    ConfigKey::plain(
        "endpoint",
        &["MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
        None,
        "The service's address, http://host:port; without it AWS's, or the one in the URI of r2 and b2.",
    ),
    ConfigKey::plain(
        "oss_endpoint",
        &["MLFLOW_OSS_ENDPOINT_URL"],
        None,
        "The address of Alibaba Cloud OSS, for oss URIs.",
    ),
    ConfigKey::plain(
        "region",
        &["AWS_DEFAULT_REGION", "AWS_REGION"],
        None,
        "The bucket's region; AWS is asked for it if this one is wrong.",
    ),
    ConfigKey::plain("access_key_id", &["AWS_ACCESS_KEY_ID"], None, "The access key."),
    ConfigKey::secret(
        "secret_access_key",
        &["AWS_SECRET_ACCESS_KEY"],
        "The secret that belongs to the access key.",
    ),
    ConfigKey::secret("session_token", &["AWS_SESSION_TOKEN"], "The token that belongs to temporary keys."),
    ConfigKey::plain("oss_key_id", &["MLFLOW_OSS_KEY_ID"], None, "The access key, for oss URIs."),
    ConfigKey::secret("oss_key_secret", &["MLFLOW_OSS_KEY_SECRET"], "The secret that belongs to it."),
    ConfigKey::plain(
        "profile",
        &["AWS_PROFILE", "AWS_DEFAULT_PROFILE"],
        None,
        "The profile of the shared configuration and credentials files.",
    ),
    ConfigKey::plain(
        "signature",
        &["MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION"],
        Some("s3v4"),
        "s3v4, or unsigned for a public bucket.",
    ),
    ConfigKey::plain(
        "addressing",
        &["MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE"],
        Some("auto"),
        "Whether the bucket stands in the host's name (virtual) or in the path (path); auto: virtual at AWS.",
    ),
    ConfigKey::plain(
        "ignore_tls",
        &["MLFLOW_S3_IGNORE_TLS"],
        Some("false"),
        "Trust every certificate: true, yes, on or 1.",
    ),
    ConfigKey::secret(
        "upload_extra_args",
        &["MLFLOW_S3_UPLOAD_EXTRA_ARGS"],
        "A JSON object with boto3's arguments of uploads: encryption, ACL, storage class, tags, metadata, content type...",
    ),
    ConfigKey::plain(
        "expected_bucket_owner",
        &["MLFLOW_S3_EXPECTED_BUCKET_OWNER"],
        None,
        "The account that must own the bucket.",
    ),
    ConfigKey::plain(
        "checksum",
        &[],
        None,
        "The checksum sent with what is written: crc64nvme, sha256 or none; without it crc64nvme at AWS, none elsewhere.",
    ),
    ConfigKey::plain(
        "conditional_put",
        &[],
        Some("true"),
        "Whether the service keeps If-None-Match and If-Match of a PUT: false, no, off or 0 if not.",
    ),
];

/// The options of the stores of S3: their own and those of HTTP, whose `ca_bundle` has boto3's variable first.
pub static KEYS: LazyLock<Vec<ConfigKey>> = LazyLock::new(|| {
    let of_http = mlflow_artifacts_http::KEYS.iter().copied().map(|key| match key.name {
        "ca_bundle" => ConfigKey { env: &["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"], ..key },
        _ => key,
    });
    OWN_KEYS.iter().copied().chain(of_http).collect()
});

/// Opens the stores of S3.
#[derive(Clone, Copy, Debug)]
pub struct S3Factory;

impl StoreFactory for S3Factory {
    fn schemes(&self) -> &'static [&'static str] {
        SCHEMES
    }

    fn keys(&self) -> &'static [ConfigKey] {
        &KEYS
    }

    fn open(&self, uri: &ArtifactUri, config: &ResolvedConfig) -> Result<SharedStore> {
        let place = Place::of(uri, config)?;
        let http = HttpOptions { ignore_tls: config.switch("ignore_tls")?, ..HttpOptions::resolve(config)? };
        let max_retries = http.retries;
        let http_of_the_chain = of_the_chain(&http);
        let client = Arc::new(HttpClient::new(http));
        let arguments = arguments(config)?;
        let source = source(uri, config, &place, http_of_the_chain)?;
        let checksum = match (config.get("checksum"), arguments.checksum) {
            (_, Some(asked)) => Some(asked),
            (Some("none"), None) => None,
            (Some(told), None) => {
                let known = checksum(told);
                Some(known.ok_or_else(|| config.refuse("checksum", "crc64nvme, sha256 or none"))?)
            }
            (None, None) => place.is_aws.then_some(Checksum::CRC64NVME),
        };
        let describes = place.describe(&source);
        let provider = Arc::new(S3Provider {
            client: Arc::clone(&client),
            source,
            arguments,
            base: place.base(),
            is_aws: place.is_aws,
            region: RwLock::new(place.region.clone()),
            base_region: place.region.clone(),
            skew: AtomicI64::new(0),
            learned: Mutex::new(None),
        });
        let conditional = config.switch("conditional_put")?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&place.bucket)
            .with_region(&place.region)
            .with_endpoint(&place.endpoint)
            .with_virtual_hosted_style_request(place.is_virtual)
            .with_allow_http(true)
            // Signed by the provider, for each attempt anew.
            .with_skip_signature(true)
            .with_conditional_put(if conditional {
                S3ConditionalPut::ETagMatch
            } else {
                S3ConditionalPut::Disabled
            })
            .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
            .with_retry(retries(max_retries))
            .with_http_connector(connector(client, Arc::clone(&provider) as Arc<dyn Provider>));
        if let Some(checksum) = checksum {
            builder = builder.with_checksum_algorithm(checksum);
        }
        let objects = Arc::new(builder.build().map_err(|error| {
            Error::new(ErrorKind::InvalidConfig, format!("no S3 client can be made: {error}"))
        })?);
        let info = StoreInfo { scheme: uri.scheme().to_owned(), root: uri.to_string() };
        let conditions = if conditional {
            Capabilities::CREATE_NEW | Capabilities::REPLACE_IF_MATCH
        } else {
            Capabilities::empty()
        };
        let store = BucketStore::new(info, place.prefix, Arc::clone(&objects) as _)?
            .with_parts(Arc::clone(&objects) as _, PARTS)
            .with_pages(objects)
            .with_pending_uploads(Arc::clone(&provider) as _)
            .with_signing(provider)
            .with_conditions(conditions)
            .with_description(describes)
            .with_attributes(content_type);
        Ok(Arc::new(if place.is_aws { store } else { store.with_doubtful_conditions() }))
    }
}

fn arguments(config: &ResolvedConfig) -> Result<Arguments> {
    let mut arguments =
        config.get("upload_extra_args").map(Arguments::parse).transpose()?.unwrap_or_default();
    if let Some(account) = config.get("expected_bucket_owner") {
        arguments
            .expect_owner(account)
            .map_err(|_| config.refuse("expected_bucket_owner", "the number of an account"))?;
    }
    Ok(arguments)
}

fn source(uri: &ArtifactUri, config: &ResolvedConfig, place: &Place, http: HttpOptions) -> Result<Source> {
    let signature = config.choice("signature", &[("s3v4", true), ("v4", true), ("unsigned", false)])?;
    if signature == Some(false) {
        return Ok(Source::None);
    }
    let names = if uri.scheme() == "oss" {
        ("oss_key_id", "oss_key_secret")
    } else {
        ("access_key_id", "secret_access_key")
    };
    match (config.get(names.0), config.get(names.1)) {
        (Some(key), Some(secret)) => {
            let token = config.get("session_token").filter(|_| uri.scheme() != "oss");
            Ok(Source::given(key, &Secret::new(secret), token))
        }
        // Nobody's keys for AWS are for another company.
        (None, None) if uri.scheme() == "oss" => {
            Err(config.refuse(names.0, "the access key, or signature=unsigned for a public bucket"))
        }
        (None, None) => {
            Ok(Source::chain(config.get("profile"), &place.region, Arc::new(HttpClient::new(http))))
        }
        (Some(_), None) => Err(config.refuse(names.1, "the secret that belongs to the access key")),
        (None, Some(_)) => Err(config.refuse(names.0, "the access key that belongs to the secret")),
    }
}

/// How those are asked who hand out credentials: what is trusted without a certificate is the storage, and no proxy is between this
/// machine and what it asks about itself.
fn of_the_chain(http: &HttpOptions) -> HttpOptions {
    let mut http = HttpOptions { ignore_tls: false, ..http.clone() };
    let none_for = http.proxies.none_for.into_iter().chain([LINK_LOCAL.to_owned()]);
    http.proxies.none_for = Some(none_for.collect::<Vec<_>>().join(","));
    http
}

/// A bucket, where it is, and what of it is the store's root.
#[derive(Clone, Debug)]
struct Place {
    bucket: String,
    prefix: ArtifactPath,
    region: String,
    /// With the bucket in its host, if it stands there.
    endpoint: String,
    is_virtual: bool,
    is_aws: bool,
}

impl Place {
    fn of(uri: &ArtifactUri, config: &ResolvedConfig) -> Result<Self> {
        let scheme = uri.scheme();
        let usual = match scheme {
            "r2" => "write r2://bucket@account.r2.cloudflarestorage.com/path",
            "b2" => "write b2://bucket@s3.region.backblazeb2.com/path",
            "oss" => "write oss://bucket/path",
            _ => "write s3://bucket/path",
        };
        let refused = |defect: &str| {
            Error::new(ErrorKind::InvalidUri, format!("not a URI of S3: {defect}")).with_help(usual)
        };
        let host = uri.host().ok_or_else(|| refused("it names no bucket"))?;
        // As MLflow takes it: nothing is decoded, and one slash belongs to the bucket.
        let path = uri.raw_path();
        let path = path.strip_prefix('/').unwrap_or(path).trim_end_matches('/');
        let prefix = ArtifactPath::parse(path).map_err(|error| refused(error.message()))?;
        let names_host = matches!(scheme, "r2" | "b2");
        let bucket = if names_host { uri.user().ok_or_else(|| refused("it names no bucket"))? } else { host };
        if uri.password().is_some() || (!names_host && (uri.user().is_some() || uri.port().is_some())) {
            return Err(refused("a bucket has no user, password and port"));
        }
        check_bucket(bucket).map_err(refused)?;
        let region = match (config.get("region"), scheme) {
            (_, "r2") => "auto".to_owned(),
            (_, "b2") => host.split('.').nth(1).unwrap_or(USUAL_REGION).to_owned(),
            (Some(region), _) => region.to_owned(),
            (None, _) => USUAL_REGION.to_owned(),
        };
        let told = match scheme {
            "r2" | "b2" => Some(format!(
                "https://{host}{}",
                uri.port().map(|port| format!(":{port}")).unwrap_or_default()
            )),
            "oss" => {
                let told = config.get("oss_endpoint").or_else(|| config.get("endpoint"));
                Some(
                    told.ok_or_else(|| config.refuse("oss_endpoint", "the address of the service"))?
                        .to_owned(),
                )
            }
            _ => config.get("endpoint").map(str::to_owned),
        };
        let is_told = told.is_some();
        let service = told.unwrap_or_else(|| aws_endpoint(&region));
        let refuse = || config.refuse("endpoint", "an address such as http://host:port");
        let url: Url = service.parse().map_err(|_| refuse())?;
        if !url.username().is_empty() || url.password().is_some() {
            // Not shown: it may be a password.
            let message = "the endpoint (MLFLOW_S3_ENDPOINT_URL) has a user or a password in it";
            let help = "leave them out: the keys are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
            return Err(Error::new(ErrorKind::InvalidConfig, message).with_help(help));
        }
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || url.query().is_some() {
            return Err(refuse());
        }
        let service = url.as_str().trim_end_matches('/');
        let is_aws = url.host_str().is_some_and(is_of_aws);
        let is_virtual = match config
            .choice("addressing", &[("auto", None), ("virtual", Some(true)), ("path", Some(false))])?
        {
            Some(Some(told)) => told,
            _ => match scheme {
                "r2" | "oss" => true,
                "b2" => false,
                // A certificate for *.s3.amazonaws.com is none for a name with another dot; hosts know no capitals.
                _ => !is_told && !bucket.contains(['.', '_']) && !bucket.contains(char::is_uppercase),
            },
        };
        let endpoint = if is_virtual {
            service.replacen("://", &format!("://{bucket}."), 1)
        } else {
            service.to_owned()
        };
        Ok(Place { bucket: bucket.to_owned(), prefix, region, endpoint, is_virtual, is_aws })
    }

    /// Where keys begin, without the slash.
    fn base(&self) -> String {
        if self.is_virtual { self.endpoint.clone() } else { format!("{}/{}", self.endpoint, self.bucket) }
    }

    fn describe(&self, source: &Source) -> Vec<(&'static str, String)> {
        let credentials = match source {
            Source::None => "none: requests are not signed",
            Source::Given(_) => "the access key that was given",
            Source::Chain(_) => "found by AWS's chain: profile, role, container or instance",
        };
        vec![
            ("endpoint", self.endpoint.clone()),
            ("bucket", self.bucket.clone()),
            ("region", self.region.clone()),
            ("credentials", credentials.to_owned()),
        ]
    }
}

/// Amazon S3 User Guide, "General purpose bucket naming rules"; others allow capitals and underscores too.
fn check_bucket(bucket: &str) -> Result<(), &'static str> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if (3..=255).contains(&bucket.len()) && bucket.chars().all(is_fine) && !bucket.contains("..") {
        return Ok(());
    }
    Err("a bucket's name has 3 to 63 letters, digits, dots and hyphens")
}

/// Whether S3 itself answers there, and not a machine that is rented from AWS.
fn is_of_aws(host: &str) -> bool {
    AWS_DOMAINS
        .iter()
        .filter_map(|domain| host.strip_suffix(domain))
        .any(|service| service.split('.').any(|label| label == "s3" || label.starts_with("s3-")))
}

fn aws_endpoint(region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://s3.{region}.{domain}")
}

#[cfg(test)]
mod tests {
    use mlflow_artifacts_core::{EnvSource, StoreConfig};

    use super::*;

    fn place(uri: &str, env: &[(&str, &str)]) -> Result<Place> {
        let uri = ArtifactUri::parse(uri)?;
        let env: EnvSource = env.iter().copied().collect();
        Place::of(&uri, &StoreConfig::new().with_env(env).resolve(&uri, &KEYS)?)
    }

    #[test]
    fn a_uri_names_a_bucket_at_an_endpoint() {
        let minio = [("MLFLOW_S3_ENDPOINT_URL", "http://minio:9000/")];
        for (uri, env, base, prefix) in [
            ("s3://bucket", &[][..], "https://bucket.s3.us-east-1.amazonaws.com", ""),
            (
                "s3://bucket/1/abc/",
                &[("AWS_DEFAULT_REGION", "eu-central-1")],
                "https://bucket.s3.eu-central-1.amazonaws.com",
                "1/abc",
            ),
            (
                "s3://bucket/a",
                &[("AWS_REGION", "cn-north-1")],
                "https://bucket.s3.cn-north-1.amazonaws.com.cn",
                "a",
            ),
            ("s3://dotted.bucket/a", &[], "https://s3.us-east-1.amazonaws.com/dotted.bucket", "a"),
            // As MLflow has it: what is encoded stays so.
            ("s3://bucket/a%20b", &minio, "http://minio:9000/bucket", "a%20b"),
            (
                "s3://bucket/a b",
                &[("AWS_ENDPOINT_URL", "http://MinIO:9000")],
                "http://minio:9000/bucket",
                "a b",
            ),
            (
                "s3://bucket/a",
                &[("AWS_ENDPOINT_URL", "https://ec2-1-2-3-4.compute-1.amazonaws.com:9000")],
                "https://ec2-1-2-3-4.compute-1.amazonaws.com:9000/bucket",
                "a",
            ),
            (
                "s3://bucket/a",
                &[("AWS_ENDPOINT_URL", "http://one:1"), ("AWS_ENDPOINT_URL_S3", "http://two:2")],
                "http://two:2/bucket",
                "a",
            ),
            (
                "s3://bucket/a",
                &[minio[0], ("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "virtual")],
                "http://bucket.minio:9000",
                "a",
            ),
            (
                "s3://bucket/a",
                &[("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "path")],
                "https://s3.us-east-1.amazonaws.com/bucket",
                "a",
            ),
            (
                "r2://bucket@account.r2.cloudflarestorage.com/a",
                &[],
                "https://bucket.account.r2.cloudflarestorage.com",
                "a",
            ),
            (
                "b2://bucket@s3.us-west-004.backblazeb2.com/a",
                &[],
                "https://s3.us-west-004.backblazeb2.com/bucket",
                "a",
            ),
            (
                "oss://bucket/a",
                &[("MLFLOW_OSS_ENDPOINT_URL", "https://oss-cn-x.aliyuncs.com")],
                "https://bucket.oss-cn-x.aliyuncs.com",
                "a",
            ),
        ] {
            let place = place(uri, env).unwrap();
            assert_eq!((place.base().as_str(), place.prefix.as_str()), (base, prefix), "{uri} {env:?}");
        }
        assert_eq!(place("b2://bucket@s3.us-west-004.backblazeb2.com", &[]).unwrap().region, "us-west-004");
    }

    #[test]
    fn other_uris_and_endpoints_are_refused() {
        for uri in [
            "s3:",
            "s3:///a",
            "s3://user@bucket/a",
            "s3://bucket:9000/a",
            "s3://bucket/a//b",
            "s3://bucket//a",
            "s3://b/a",
            "s3://bu cket/a",
            "r2://bucket/a",
        ] {
            assert_eq!(place(uri, &[]).unwrap_err().kind(), ErrorKind::InvalidUri, "{uri}");
        }
        for endpoint in
            ["minio:9000", "ftp://minio", "http://", "http://minio?x=1", "http://user:canary@minio:9000"]
        {
            let error = place("s3://bucket/a", &[("MLFLOW_S3_ENDPOINT_URL", endpoint)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{endpoint}");
            assert!(error.to_string().contains("MLFLOW_S3_ENDPOINT_URL"), "{error}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        let error = place("oss://bucket/a", &[]).unwrap_err();
        assert!(error.to_string().contains("MLFLOW_OSS_ENDPOINT_URL"), "{error}");
    }

    #[test]
    fn half_of_a_key_is_refused() {
        let open = |env: &[(&str, &str)]| {
            let mut registry = mlflow_artifacts_core::Registry::new();
            crate::register(&mut registry).unwrap();
            registry.open("s3://bucket/a", &StoreConfig::new().with_env(env.iter().copied().collect()))
        };
        let (key, secret) = (("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "canary"));
        assert!(open(&[key, secret]).is_ok());
        assert!(open(&[]).is_ok());
        for (env, missing) in [([key], "AWS_SECRET_ACCESS_KEY"), ([secret], "AWS_ACCESS_KEY_ID")] {
            let error = open(&env).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains(missing) && !error.to_string().contains("canary"), "{error}");
        }
    }
}
