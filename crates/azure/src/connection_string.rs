//! Connection strings.
//!
//! Source: Microsoft Learn, "Configure Azure Storage connection strings".

use mlflow_artifacts_core::Secret;

use crate::sign::Key;

/// The account of every emulator, and the key that Microsoft publishes for it ("Use the Azurite emulator for local Azure Storage
/// development", section "Well-known storage account and key"): no secret.
const DEVELOPMENT: (&str, &str) = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
);
const DEVELOPMENT_HOST: &str = "http://127.0.0.1";
const DEVELOPMENT_PORT: u16 = 10_000;

/// What a connection string says of the Blob service.
#[derive(Debug, Default)]
pub(crate) struct ConnectionString {
    pub(crate) account: Option<String>,
    pub(crate) key: Option<Key>,
    pub(crate) signature: Option<Secret>,
    pub(crate) endpoint: Option<String>,
    pub(crate) suffix: Option<String>,
    /// `http` or `https`.
    pub(crate) protocol: Option<String>,
}

impl ConnectionString {
    /// Reads one. Fails with what is wrong about it, never with what stands in it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut parsed = ConnectionString::default();
        let (mut is_development, mut proxy) = (false, None);
        let text = text.trim().trim_end_matches(';');
        if text.is_empty() {
            return Err("is blank");
        }
        for setting in text.split(';') {
            let (name, value) = setting.split_once('=').ok_or("has a setting without an equals sign")?;
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            let value = value.to_owned();
            match name.trim().to_ascii_lowercase().as_str() {
                "accountname" => parsed.account = Some(value),
                "accountkey" => {
                    parsed.key = Some(Key::parse(&value).ok_or("has an AccountKey that is no base 64")?);
                }
                "sharedaccesssignature" => parsed.signature = Some(Secret::new(value)),
                "blobendpoint" => parsed.endpoint = Some(value),
                "endpointsuffix" => parsed.suffix = Some(value),
                "defaultendpointsprotocol" => {
                    let protocol = value.to_ascii_lowercase();
                    if !matches!(protocol.as_str(), "http" | "https") {
                        return Err("has a DefaultEndpointsProtocol that is neither http nor https");
                    }
                    parsed.protocol = Some(protocol);
                }
                "usedevelopmentstorage" => is_development = value.eq_ignore_ascii_case("true"),
                "developmentstorageproxyuri" => proxy = Some(value),
                // Those of the other services, and of whoever comes after them.
                _ => {}
            }
        }
        if is_development {
            return Ok(parsed.of_the_emulator(proxy));
        }
        if parsed.account.is_none() && parsed.endpoint.is_none() {
            return Err("has neither AccountName nor BlobEndpoint");
        }
        if parsed.key.is_some() && parsed.account.is_none() {
            return Err("has an AccountKey without its AccountName");
        }
        Ok(parsed)
    }

    fn of_the_emulator(self, proxy: Option<String>) -> Self {
        let (account, key) = DEVELOPMENT;
        let host = proxy.as_deref().unwrap_or(DEVELOPMENT_HOST).trim_end_matches('/');
        ConnectionString {
            endpoint: Some(format!("{host}:{DEVELOPMENT_PORT}/{account}")),
            key: Key::parse(key),
            account: Some(account.to_owned()),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_whatever_their_case_and_order() {
        let parsed = ConnectionString::parse(
            "DefaultEndpointsProtocol=HTTPS;accountname=acct1;AccountKey=Y2FuYXJ5;\
             EndpointSuffix=core.windows.net;QueueEndpoint=https://q;",
        )
        .unwrap();
        assert_eq!((parsed.account.as_deref(), parsed.protocol.as_deref()), (Some("acct1"), Some("https")));
        assert_eq!(parsed.suffix.as_deref(), Some("core.windows.net"));
        assert!(parsed.key.is_some() && !format!("{parsed:?}").contains("Y2FuYXJ5"));
        let parsed = ConnectionString::parse(
            "BlobEndpoint=https://acct1.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=canary%3D",
        )
        .unwrap();
        assert_eq!(parsed.signature.as_ref().map(Secret::expose), Some("sv=1&sig=canary%3D"));
        assert!(!format!("{parsed:?}").contains("canary"));
        let emulator = ConnectionString::parse("UseDevelopmentStorage=true").unwrap();
        assert_eq!(emulator.endpoint.as_deref(), Some("http://127.0.0.1:10000/devstoreaccount1"));
        let elsewhere =
            ConnectionString::parse("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite")
                .unwrap();
        assert_eq!(elsewhere.endpoint.as_deref(), Some("http://azurite:10000/devstoreaccount1"));
    }

    #[test]
    fn malformed_ones_are_refused_without_repeating_them() {
        for text in [
            "",
            " ; ",
            "canary",
            "AccountName=acct1;canary",
            "AccountName=acct1;AccountKey=canary!",
            "AccountKey=Y2FuYXJ5",
            "AccountKey=Y2FuYXJ5;BlobEndpoint=https://h",
            "AccountName=acct1;DefaultEndpointsProtocol=canary",
            "AccountName=;AccountKey=Y2FuYXJ5",
        ] {
            let defect = ConnectionString::parse(text).unwrap_err();
            assert!(!defect.contains("canary"), "{text}");
        }
    }
}
