//! Whose credentials are used.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mlflow_artifacts_core::{Error, ErrorKind, Result};
use object_store::CredentialProvider;
use object_store::azure::{AzureAccessKey, AzureCredential};
use percent_encoding::percent_decode_str;

use crate::identity::Chain;
use crate::sign::Key;

/// The names and values of a shared access signature's query, decoded.
pub(crate) type Pairs = Vec<(String, String)>;

/// Where the credentials come from.
pub(crate) enum Source {
    /// Requests are anonymous.
    None,
    /// The account's key.
    Key(Key, Arc<AzureCredential>),
    /// A shared access signature.
    Signature(Arc<AzureCredential>),
    /// An identity of Microsoft Entra.
    Chain(Box<Chain>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is inside shows its secrets.
        f.write_str(self.describe())
    }
}

impl Source {
    pub(crate) fn of_key(key: Key) -> Result<Self> {
        let theirs = AzureAccessKey::try_new(key.expose()).map_err(|_| {
            // It was decoded once already.
            Error::new(ErrorKind::Internal, "the account's key cannot be used")
        })?;
        Ok(Source::Key(key, Arc::new(AzureCredential::AccessKey(theirs))))
    }

    /// The signature that this query is, with its question mark or without; `None` if it is none.
    pub(crate) fn of_signature(query: &str) -> Option<Self> {
        let decoded = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            Some((decoded(name)?, decoded(value)?))
        };
        let query = query.trim().trim_start_matches('?');
        let pairs = query.split('&').filter(|part| !part.is_empty()).map(pair).collect::<Option<Pairs>>()?;
        let is_signed = pairs.iter().any(|(name, _)| name == "sig");
        is_signed.then(|| Source::Signature(Arc::new(AzureCredential::SASToken(pairs))))
    }

    /// The credentials for a request that is made now; `None` for one that is anonymous.
    pub(crate) async fn credential(&self) -> Result<Option<Arc<AzureCredential>>> {
        match self {
            Source::None => Ok(None),
            Source::Key(_, credential) | Source::Signature(credential) => Ok(Some(Arc::clone(credential))),
            Source::Chain(chain) => chain.credential().await.map(Some),
        }
    }

    /// What the server refuses is not used again. Answers whether others may be found.
    pub(crate) fn forget(&self) -> bool {
        match self {
            Source::Chain(chain) => chain.forget(),
            _ => false,
        }
    }

    /// What it is, for people.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Source::None => "none: requests are anonymous",
            Source::Key(..) => "the account's key",
            Source::Signature(_) => "a shared access signature, which cannot sign for others",
            Source::Chain(_) => {
                "an identity: client secret, workload identity, managed identity or Azure CLI"
            }
        }
    }

    /// What to look at when they are refused.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            Source::None => {
                "the store was opened with the option anonymous: leave it out, and set \
                 AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_ACCESS_KEY or AZURE_STORAGE_SAS_TOKEN"
            }
            Source::Key(..) => {
                "check the key in AZURE_STORAGE_ACCESS_KEY or AZURE_STORAGE_CONNECTION_STRING, and that \
                 it is this account's"
            }
            Source::Signature(_) => {
                "check AZURE_STORAGE_SAS_TOKEN, or the signature in AZURE_STORAGE_CONNECTION_STRING: when it \
                 expires, what it allows, and that it is for this container"
            }
            Source::Chain(_) => {
                "check the identity (AZURE_CLIENT_ID, AZURE_TENANT_ID) and its role: reading wants Storage \
                 Blob Data Reader, writing Storage Blob Data Contributor"
            }
        }
    }
}

/// For what `object_store` signs itself: the requests inside a batch.
#[async_trait]
impl CredentialProvider for Source {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        let found = self
            .credential()
            .await
            .map_err(|error| object_store::Error::Generic { store: "Azure", source: Box::new(error) })?;
        // Anonymous stores do not ask.
        found.ok_or(object_store::Error::NotImplemented {
            operation: "signing".to_owned(),
            implementer: "an anonymous store".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_a_query_with_its_mark_or_without() {
        for query in ["?sv=2023&sig=a%2Fb%3D", "sv=2023&sig=a%2Fb%3D", " ?sv=2023&sig=a/b= "] {
            let source = Source::of_signature(query).unwrap();
            assert!(!format!("{source:?}").contains("a/b"), "{query}");
            let Source::Signature(credential) = source else { panic!("{query} is a signature") };
            let AzureCredential::SASToken(pairs) = &*credential else { panic!("{query} is a signature") };
            assert_eq!(pairs[1], ("sig".to_owned(), "a/b=".to_owned()), "{query}");
        }
        for query in ["", "?", "canary", "sv=2023", "sv=2023&canary"] {
            assert!(Source::of_signature(query).is_none(), "{query}");
        }
    }
}
