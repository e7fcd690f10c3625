//! What a URI names: a container, its account, the cloud that the account is in.

use mlflow_artifacts_core::{ArtifactPath, ArtifactUri, Error, ErrorKind, Result};

/// A cloud: what its hosts end in, and who signs its identities in.
///
/// Sources: Microsoft Learn, "Storage account overview", section "Storage account endpoints"; "Azure Government: developer
/// guide"; "Azure China: developer guide"; Microsoft Entra, "National clouds".
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cloud {
    pub(crate) suffix: &'static str,
    pub(crate) authority: &'static str,
}

const PUBLIC: &str = "https://login.microsoftonline.com";
/// The account of `OneLake`, whose containers are workspaces and have names of their own.
const ONELAKE: &str = "fabric.microsoft.com";
/// Accounts there have a zone in their names.
const ZONES: &str = "storage.azure.net";

const CLOUDS: [Cloud; 6] = [
    Cloud { suffix: "core.windows.net", authority: PUBLIC },
    Cloud { suffix: "core.chinacloudapi.cn", authority: "https://login.chinacloudapi.cn" },
    Cloud { suffix: "core.usgovcloudapi.net", authority: "https://login.microsoftonline.us" },
    Cloud { suffix: "core.cloudapi.de", authority: "https://login.microsoftonline.de" },
    Cloud { suffix: ZONES, authority: PUBLIC },
    Cloud { suffix: ONELAKE, authority: PUBLIC },
];

/// Who signs in where no cloud is known.
pub(crate) const USUAL_AUTHORITY: &str = PUBLIC;

/// What stands in a URI.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) container: String,
    pub(crate) account: String,
    pub(crate) prefix: ArtifactPath,
    /// Where the account is, if its cloud is known.
    pub(crate) host: Option<Host>,
}

/// The host of an account's blobs.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) cloud: &'static Cloud,
}

impl Named {
    /// Reads a URI. Fails with [`ErrorKind::InvalidUri`], saying how one looks.
    pub(crate) fn of(uri: &ArtifactUri) -> Result<Self> {
        let scheme = uri.scheme();
        let usual = match scheme {
            "abfs" | "abfss" => format!("write {scheme}://filesystem@account.dfs.core.windows.net/path"),
            _ => format!("write {scheme}://container@account.blob.core.windows.net/path"),
        };
        let refused = |defect: &str| {
            Error::new(ErrorKind::InvalidUri, format!("not a URI of Azure: {defect}"))
                .with_help(usual.clone())
        };
        let host = uri.host().ok_or_else(|| refused("it names no account"))?.to_ascii_lowercase();
        let container = uri.user().ok_or_else(|| refused("it names no container"))?;
        if uri.password().is_some() || uri.port().is_some() {
            return Err(refused("it has a password or a port"));
        }
        // MLflow decodes the path of the one service's URIs, and takes that of the other's as it is written.
        let path = if scheme.starts_with("abfs") { uri.path()? } else { uri.raw_path().to_owned() };
        let path = path.strip_prefix('/').unwrap_or(&path).trim_end_matches('/');
        let prefix = ArtifactPath::parse(path).map_err(|error| refused(error.message()))?;
        let account = host.split('.').next().unwrap_or_default().to_owned();
        let host = blob_host(&host);
        let is_onelake = host.as_ref().is_some_and(|host| host.cloud.suffix == ONELAKE);
        if !is_onelake {
            check_account(&account).map_err(refused)?;
            check_container(container).map_err(refused)?;
        }
        Ok(Named { container: container.to_owned(), account, prefix, host })
    }
}

/// The host of the blobs of the account that `host`, of either service, belongs to; `None` if that is in no cloud known here.
fn blob_host(host: &str) -> Option<Host> {
    let (account, rest) = host.split_once('.')?;
    CLOUDS.iter().find_map(|cloud| {
        let service = rest.strip_suffix(cloud.suffix)?.strip_suffix('.')?;
        let (zone, service) = match service.split_once('.') {
            Some((zone, service)) if cloud.suffix == ZONES && is_zone(zone) => (format!(".{zone}"), service),
            _ => (String::new(), service),
        };
        let is_known = matches!(service, "blob" | "dfs") && (cloud.suffix == ZONES) != zone.is_empty();
        is_known.then(|| Host { name: format!("{account}{zone}.blob.{}", cloud.suffix), cloud })
    })
}

/// "Azure DNS zone endpoints": `z` and two digits.
fn is_zone(text: &str) -> bool {
    text.strip_prefix('z').is_some_and(|rest| {
        !rest.is_empty() && rest.len() <= 2 && rest.bytes().all(|digit| digit.is_ascii_digit())
    })
}

/// "Storage account overview", section "Storage account name".
fn check_account(account: &str) -> Result<(), &'static str> {
    let is_fine = account.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if (3..=24).contains(&account.len()) && is_fine {
        return Ok(());
    }
    Err("an account's name has 3 to 24 letters and digits")
}

/// "Naming and referencing containers, blobs, and metadata", section "Container names".
fn check_container(container: &str) -> Result<(), &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_fine = (3..=63).contains(&container.len())
        && container.bytes().all(|byte| is_plain(byte) || byte == b'-')
        && !container.starts_with('-')
        && !container.ends_with('-')
        && !container.contains("--");
    if is_fine || matches!(container, "$root" | "$web" | "$logs") {
        return Ok(());
    }
    Err("a container's name has 3 to 63 lower-case letters, digits and single hyphens")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(uri: &str) -> Result<Named> {
        Named::of(&ArtifactUri::parse(uri)?)
    }

    #[test]
    fn a_uri_names_a_container_of_an_account() {
        for (uri, account, host) in [
            ("wasbs://models@acct1.blob.core.windows.net/a b/c/", "acct1", "acct1.blob.core.windows.net"),
            ("wasb://models@acct1.blob.core.windows.net/a b/c", "acct1", "acct1.blob.core.windows.net"),
            ("abfss://models@acct1.dfs.core.windows.net/a%20b/c", "acct1", "acct1.blob.core.windows.net"),
            ("abfs://models@ACCT1.blob.core.windows.net/a%20b/c", "acct1", "acct1.blob.core.windows.net"),
            (
                "abfss://models@acct1.dfs.core.chinacloudapi.cn/a%20b/c",
                "acct1",
                "acct1.blob.core.chinacloudapi.cn",
            ),
            (
                "wasbs://models@acct1.blob.core.usgovcloudapi.net/a b/c",
                "acct1",
                "acct1.blob.core.usgovcloudapi.net",
            ),
            ("wasbs://models@acct1.blob.core.cloudapi.de/a b/c", "acct1", "acct1.blob.core.cloudapi.de"),
            (
                "abfss://models@acct1.z7.dfs.storage.azure.net/a%20b/c",
                "acct1",
                "acct1.z7.blob.storage.azure.net",
            ),
            (
                "abfss://models@onelake.dfs.fabric.microsoft.com/a%20b/c",
                "onelake",
                "onelake.blob.fabric.microsoft.com",
            ),
        ] {
            let named = named(uri).unwrap();
            assert_eq!((named.container.as_str(), named.account.as_str()), ("models", account), "{uri}");
            assert_eq!(named.prefix.as_str(), "a b/c", "{uri}");
            assert_eq!(named.host.unwrap().name, host, "{uri}");
        }
        assert!(named("abfss://My%20Space@onelake.dfs.fabric.microsoft.com/a").is_ok());
        assert!(named("wasbs://$web@acct1.blob.core.windows.net").is_ok());
    }

    /// As MLflow has it: what it wrote is found only under the same name.
    #[test]
    fn the_path_is_decoded_in_uris_of_data_lake_storage_only() {
        for (scheme, prefix) in
            [("wasb", "a%20b%2Fc"), ("wasbs", "a%20b%2Fc"), ("abfs", "a b/c"), ("abfss", "a b/c")]
        {
            let uri = format!("{scheme}://models@acct1.blob.core.windows.net/a%20b%2Fc");
            assert_eq!(named(&uri).unwrap().prefix.as_str(), prefix, "{uri}");
        }
        for scheme in ["wasbs", "abfss"] {
            let uri = format!("{scheme}://models@acct1.blob.core.windows.net//a");
            assert_eq!(named(&uri).unwrap_err().kind(), ErrorKind::InvalidUri, "{uri}");
        }
    }

    #[test]
    fn other_hosts_are_of_no_known_cloud() {
        for uri in [
            "wasbs://models@acct1.blob.core.windows.net.evil.example/a",
            "wasbs://models@acct1.file.core.windows.net/a",
            "wasbs://models@acct1.evilcore.windows.net/a",
            "wasbs://models@acct1.z1.blob.core.windows.net/a",
            "wasbs://models@acct1.blob.storage.azure.net/a",
            "wasbs://models@acct1/a",
        ] {
            assert!(named(uri).unwrap().host.is_none(), "{uri}");
        }
    }

    #[test]
    fn malformed_uris_are_refused() {
        for uri in [
            "wasbs:",
            "wasbs:///a",
            "wasbs://acct1.blob.core.windows.net/a",
            "wasbs://models:secret@acct1.blob.core.windows.net/a",
            "wasbs://models@acct1.blob.core.windows.net:443/a",
            "wasbs://models@acct1.blob.core.windows.net/a//b",
            "wasbs://models@ac.blob.core.windows.net/a",
            "wasbs://models@ac-ct.blob.core.windows.net/a",
            "wasbs://Models@acct1.blob.core.windows.net/a",
            "wasbs://mo--dels@acct1.blob.core.windows.net/a",
            "wasbs://mo@acct1.blob.core.windows.net/a",
            "abfss://$system@acct1.blob.core.windows.net/a",
        ] {
            let error = named(uri).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidUri, "{uri}");
            assert!(
                error.to_string().contains(".core.windows.net/path") && !error.to_string().contains("secret")
            );
        }
    }
}
