//! The right to sign on behalf of an identity.
//!
//! Source: Azure Storage REST API, "Get User Delegation Key".

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use mlflow_artifacts_core::{Error, ErrorKind, Result};
use mlflow_artifacts_http::Method;
use mlflow_artifacts_http::header::HeaderMap;

use crate::provider::AzureProvider;
use crate::sign::{Delegation, Key, timestamp};

/// The longest that the service grants.
const LONGEST: Duration = Duration::from_hours(7 * 24);
/// A key is asked for so much longer than a signature needs it, and serves others too.
const SPARE: Duration = Duration::from_hours(1);
/// Clocks differ.
const BEFORE: Duration = Duration::from_mins(5);
const LONGEST_ANSWER: usize = 64 << 10;

/// A delegation, and until when it is good.
#[derive(Debug)]
pub(crate) struct Granted {
    delegation: Delegation,
    until: SystemTime,
}

impl AzureProvider {
    /// A delegation that is good for signatures until `expires`.
    pub(crate) async fn delegation(&self, expires_in: Duration) -> Result<Delegation> {
        if expires_in > LONGEST {
            let message = "a signature on behalf of an identity is good for seven days at most";
            return Err(Error::new(ErrorKind::InvalidArgument, message)
                .with_help("ask for less, or sign with the account's key (AZURE_STORAGE_ACCESS_KEY)"));
        }
        let now = self.time();
        // One at a time asks; the others take what it gets.
        let mut granted = self.granted.lock().await;
        if let Some(Granted { delegation, until }) = &*granted
            && *until >= now + expires_in
        {
            return Ok(delegation.clone());
        }
        let until = now + (expires_in + SPARE).min(LONGEST);
        let delegation = self.ask_for_delegation(now - BEFORE, until).await?;
        *granted = Some(Granted { delegation: delegation.clone(), until });
        Ok(delegation)
    }

    async fn ask_for_delegation(&self, start: SystemTime, expiry: SystemTime) -> Result<Delegation> {
        let wanted = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
             <KeyInfo><Start>{}</Start><Expiry>{}</Expiry></KeyInfo>",
            timestamp(start)?,
            timestamp(expiry)?
        );
        let address = format!("{}/?restype=service&comp=userdelegationkey", self.endpoint);
        let answer = self.call(Method::POST, &address, &HeaderMap::new(), Bytes::from(wanted).into()).await;
        let answer = answer.map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => error.with_help(
                "give the identity the role Storage Blob Delegator, or sign with the account's key",
            ),
            _ => error,
        })?;
        let text = answer.text(LONGEST_ANSWER).await?;
        let told = |name: &str| element(&text, name).map(str::to_owned);
        let read = || {
            Some(Delegation {
                key: Key::parse(element(&text, "Value")?)?,
                object: told("SignedOid")?,
                tenant: told("SignedTid")?,
                start: told("SignedStart")?,
                expiry: told("SignedExpiry")?,
                service: told("SignedService")?,
                version: told("SignedVersion")?,
            })
        };
        read().ok_or_else(|| Error::new(ErrorKind::Protocol, "the service answered no key for a delegation"))
    }
}

/// The text of the first element with this name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}
