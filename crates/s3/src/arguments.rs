//! The arguments of `MLFLOW_S3_UPLOAD_EXTRA_ARGS`: headers, and the requests that they go along with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use mlflow_artifacts_core::{Error, ErrorKind, Result};
use mlflow_artifacts_http::Method;
use mlflow_artifacts_http::header::{HeaderMap, HeaderName, HeaderValue};
use mlflow_artifacts_object_store::has_parameter;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// Where the arguments stand, for messages.
const VARIABLE: &str = "MLFLOW_S3_UPLOAD_EXTRA_ARGS";

/// Arguments whose value is a header's, for requests that make an object.
const PLAIN: [(&str, &str); 19] = [
    ("ACL", "x-amz-acl"),
    ("CacheControl", "cache-control"),
    ("ContentDisposition", "content-disposition"),
    ("ContentEncoding", "content-encoding"),
    ("ContentLanguage", "content-language"),
    ("ContentType", "content-type"),
    ("Expires", "expires"),
    ("GrantFullControl", "x-amz-grant-full-control"),
    ("GrantRead", "x-amz-grant-read"),
    ("GrantReadACP", "x-amz-grant-read-acp"),
    ("GrantWriteACP", "x-amz-grant-write-acp"),
    ("ObjectLockLegalHoldStatus", "x-amz-object-lock-legal-hold"),
    ("ObjectLockMode", "x-amz-object-lock-mode"),
    ("ObjectLockRetainUntilDate", "x-amz-object-lock-retain-until-date"),
    ("ServerSideEncryption", "x-amz-server-side-encryption"),
    ("SSEKMSKeyId", "x-amz-server-side-encryption-aws-kms-key-id"),
    ("SSEKMSEncryptionContext", "x-amz-server-side-encryption-context"),
    ("StorageClass", "x-amz-storage-class"),
    ("WebsiteRedirectLocation", "x-amz-website-redirect-location"),
];

/// A checksum that is computed of what is sent.
pub(crate) use object_store::aws::Checksum;

/// What goes along with requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    /// With every request.
    pub(crate) always: HeaderMap,
    /// With those that make an object.
    pub(crate) making: HeaderMap,
    /// With those that make, write or read an object: the customer's key.
    pub(crate) key: HeaderMap,
    pub(crate) checksum: Option<Checksum>,
}

impl Arguments {
    /// Reads the JSON object that the variable holds.
    pub(crate) fn parse(json: &str) -> Result<Self> {
        let Ok(Value::Object(arguments)) = serde_json::from_str::<Value>(json) else {
            return Err(refused("is no JSON object", "write {\"ServerSideEncryption\": \"aws:kms\"}"));
        };
        let mut parsed = Arguments::default();
        for (name, value) in &arguments {
            parsed.add(name, value)?;
        }
        // boto3 encodes a key that comes without its digest; one that comes with it is encoded already.
        if let (Some(Value::String(key)), Some(_)) =
            (arguments.get("SSECustomerKey"), arguments.get("SSECustomerKeyMD5"))
        {
            insert(&mut parsed.key, "x-amz-server-side-encryption-customer-key", key)?;
        }
        parsed.check_key()?;
        Ok(parsed)
    }

    /// The account that must own the bucket. Fails on what no header can carry.
    pub(crate) fn expect_owner(&mut self, account: &str) -> Result<()> {
        insert(&mut self.always, "x-amz-expected-bucket-owner", account)
    }

    fn add(&mut self, name: &str, value: &Value) -> Result<()> {
        if let Some((_, header)) = PLAIN.iter().find(|(known, _)| *known == name) {
            return insert(&mut self.making, header, &text(name, value)?);
        }
        match name {
            "BucketKeyEnabled" => insert(
                &mut self.making,
                "x-amz-server-side-encryption-bucket-key-enabled",
                &text(name, value)?,
            ),
            "Metadata" => {
                let entries = value.as_object().ok_or_else(|| wrong(name, "an object of texts"))?;
                entries.iter().try_for_each(|(key, value)| {
                    insert(&mut self.making, &format!("x-amz-meta-{key}"), &text(name, value)?)
                })
            }
            "Tagging" => insert(&mut self.making, "x-amz-tagging", &tagging(&text(name, value)?)),
            "RequestPayer" => insert(&mut self.always, "x-amz-request-payer", &text(name, value)?),
            "ExpectedBucketOwner" => self.expect_owner(&text(name, value)?),
            "SSECustomerAlgorithm" => {
                insert(&mut self.key, "x-amz-server-side-encryption-customer-algorithm", &text(name, value)?)
            }
            "SSECustomerKey" => {
                let key = text(name, value)?;
                insert(&mut self.key, "x-amz-server-side-encryption-customer-key", &BASE64.encode(&key))?;
                let digest = BASE64.encode(Md5::digest(&key));
                self.key
                    .entry("x-amz-server-side-encryption-customer-key-md5")
                    .or_insert(HeaderValue::from_str(&digest).map_err(|_| wrong(name, "a text"))?);
                Ok(())
            }
            "SSECustomerKeyMD5" => {
                insert(&mut self.key, "x-amz-server-side-encryption-customer-key-md5", &text(name, value)?)
            }
            "ChecksumAlgorithm" => {
                self.checksum =
                    Some(checksum(&text(name, value)?).ok_or_else(|| wrong(name, "SHA256 or CRC64NVME"))?);
                Ok(())
            }
            _ => Err(refused(
                &format!("has the argument {name:?}, which is unknown or cannot be honoured here"),
                "leave it out, or correct its spelling",
            )),
        }
    }

    fn check_key(&self) -> Result<()> {
        let has = |name: &str| self.key.contains_key(name);
        let (algorithm, key) = (
            has("x-amz-server-side-encryption-customer-algorithm"),
            has("x-amz-server-side-encryption-customer-key"),
        );
        if algorithm == key {
            return Ok(());
        }
        Err(refused(
            "has only one of SSECustomerKey and SSECustomerAlgorithm",
            "give both, the algorithm being AES256",
        ))
    }

    /// The headers of a request.
    pub(crate) fn headers(&self, method: &Method, query: &str, is_copy: bool) -> HeaderMap {
        let mut headers = self.own_headers(method, query);
        headers.extend(self.always.clone());
        if is_copy {
            headers.extend(self.key.iter().filter_map(|(name, value)| {
                let name = name.as_str().replace("x-amz-server-side", "x-amz-copy-source-server-side");
                Some((HeaderName::try_from(name).ok()?, value.clone()))
            }));
        }
        headers
    }

    /// Those that are not with every request.
    pub(crate) fn own_headers(&self, method: &Method, query: &str) -> HeaderMap {
        let has = |name: &str| has_parameter(query, name);
        let is_part = method == Method::PUT && has("partNumber");
        let makes = (method == Method::PUT && !is_part) || (method == Method::POST && has("uploads"));
        let is_object = query.is_empty() || is_part || makes || has("uploadId");
        let mut headers = HeaderMap::new();
        if makes {
            headers.extend(self.making.clone());
        }
        if is_object && method != Method::DELETE && !(method == Method::POST && has("delete")) {
            headers.extend(self.key.clone());
        }
        headers
    }
}

/// The checksum of that name.
pub(crate) fn checksum(name: &str) -> Option<Checksum> {
    match name.to_ascii_uppercase().as_str() {
        "SHA256" => Some(Checksum::SHA256),
        "CRC64NVME" => Some(Checksum::CRC64NVME),
        _ => None,
    }
}

/// Tags as they stand in a header, `a=b&c=d`, whatever of it is encoded already.
fn tagging(told: &str) -> String {
    if told.bytes().all(|byte| byte.is_ascii_graphic()) {
        return told.to_owned();
    }
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs = told.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => format!("{}={}", encode(name), encode(value)),
        None => encode(pair),
    });
    pairs.collect::<Vec<_>>().join("&")
}

fn text(name: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(wrong(name, "a text")),
    }
}

fn insert(headers: &mut HeaderMap, name: &str, value: &str) -> Result<()> {
    // Others can be sent, but not signed.
    let is_plain = value.is_ascii();
    let (Ok(header), Ok(mut value), true) =
        (HeaderName::try_from(name), HeaderValue::from_str(value), is_plain)
    else {
        return Err(refused(&format!("has a value for {name} that no header can carry"), "use plain ASCII"));
    };
    value.set_sensitive(name.contains("customer-key"));
    headers.insert(header, value);
    Ok(())
}

fn wrong(name: &str, expected: &str) -> Error {
    refused(&format!("has an argument {name} that is not {expected}"), "correct the argument")
}

fn refused(defect: &str, help: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("{VARIABLE} {defect}")).with_help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn each_argument_goes_along_with_the_requests_that_take_it() {
        let arguments = Arguments::parse(
            r#"{"ACL": "private", "Metadata": {"team": "a"}, "RequestPayer": "requester", "SSECustomerAlgorithm": "AES256",
                "SSECustomerKey": "0123456789abcdef0123456789abcdef", "Tagging": "a=b&c=d e"}"#,
        )
        .unwrap();
        let key = [
            "x-amz-server-side-encryption-customer-algorithm",
            "x-amz-server-side-encryption-customer-key",
            "x-amz-server-side-encryption-customer-key-md5",
        ];
        let making = ["x-amz-acl", "x-amz-meta-team", "x-amz-tagging"];
        let payer = ["x-amz-request-payer"];
        let told = |method: Method, query: &str| names(&arguments.headers(&method, query, false)).join(" ");
        let expected = |parts: &[&[&str]]| {
            let mut names: Vec<_> = parts.concat();
            names.sort_unstable();
            names.join(" ")
        };
        for (method, query, headers) in [
            (Method::PUT, "", expected(&[&making, &key, &payer])),
            (Method::POST, "uploads", expected(&[&making, &key, &payer])),
            (Method::PUT, "partNumber=1&uploadId=x", expected(&[&key, &payer])),
            (Method::POST, "uploadId=x", expected(&[&key, &payer])),
            (Method::GET, "", expected(&[&key, &payer])),
            (Method::HEAD, "", expected(&[&key, &payer])),
            (Method::GET, "list-type=2&prefix=a", expected(&[&payer])),
            (Method::POST, "delete", expected(&[&payer])),
            (Method::DELETE, "", expected(&[&payer])),
        ] {
            assert_eq!(told(method.clone(), query), headers, "{method} {query}");
        }
        let headers = arguments.headers(&Method::PUT, "", true);
        assert!(headers.contains_key("x-amz-copy-source-server-side-encryption-customer-key"));
        assert_eq!(headers["x-amz-tagging"], "a=b&c=d%20e");
        assert!(
            headers[key[1]].is_sensitive() && !format!("{arguments:?}").contains("MDEyMzQ1"),
            "{arguments:?}"
        );
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        for json in [
            "",
            "[]",
            "{\"Unknown\": 1}",
            "{\"acl\": \"private\"}",
            "{\"ACL\": {}}",
            "{\"ACL\": \"a\\nb\"}",
            "{\"ChecksumAlgorithm\": \"CRC32\"}",
            "{\"SSECustomerKey\": \"k\"}",
            "{\"SSECustomerAlgorithm\": \"AES256\"}",
            "{\"Metadata\": \"a\"}",
        ] {
            let error = Arguments::parse(json).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{json}");
            assert!(error.to_string().contains(VARIABLE), "{error}");
        }
    }
}
