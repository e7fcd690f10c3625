//! Requests to services that hand out tokens, and what they answer: JSON.

use std::time::Duration;

use mlflow_artifacts_core::{Error, ErrorKind, Result, Secret};
use mlflow_artifacts_http::{Body, Credential, HttpClient, Method, Request, Response, Url, one_line};
use mlflow_artifacts_object_store::VALUE;
use percent_encoding::utf8_percent_encode;
use serde_json::Value;

use crate::errors::CREDENTIALS;

/// The longest answer of such a service.
const LONGEST_ANSWER: usize = 1 << 20;
/// How long a token is taken to be good for whose service does not say.
const USUAL_LIFETIME: Duration = Duration::from_hours(1);

/// A service that hands out tokens, and what is sent to it.
pub(crate) struct Asking<'a> {
    pub(crate) client: &'a HttpClient,
    /// What it is, for messages.
    pub(crate) service: &'static str,
    pub(crate) url: &'a Url,
}

impl Asking<'_> {
    /// Sends a form.
    pub(crate) async fn form(
        &self,
        pairs: &[(&str, &str)],
        credential: Option<&Credential>,
    ) -> Result<Value> {
        let encode = |text| utf8_percent_encode(text, VALUE).to_string();
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        self.post("application/x-www-form-urlencoded", pairs.join("&"), credential).await
    }

    /// Sends JSON, as whoever has this token.
    pub(crate) async fn json(&self, body: &Value, token: &Secret) -> Result<Value> {
        let credential = Credential::Bearer(token.clone());
        self.post("application/json", body.to_string(), Some(&credential)).await
    }

    async fn post(
        &self,
        content_type: &'static str,
        body: String,
        credential: Option<&Credential>,
    ) -> Result<Value> {
        let text = self
            .client
            .retry(|| async {
                let request = Request::new(Method::POST, self.url.clone())
                    .with_header("content-type", content_type)
                    .with_credential(credential.cloned())
                    .with_body(Body::Bytes(body.clone().into()));
                self.read(self.client.send(request).await?).await
            })
            .await?;
        serde_json::from_str(&text)
            .map_err(|_| Error::new(ErrorKind::Protocol, format!("{} did not answer in JSON", self.service)))
    }

    /// The text of a good answer, or the error that another one is.
    pub(crate) async fn read(&self, response: Response) -> Result<String> {
        let status = response.status();
        if status == 200 {
            return response.text(LONGEST_ANSWER).await;
        }
        if status >= 500 || matches!(status, 408 | 429) {
            return Err(response.into_error().await);
        }
        let text = response.text(LONGEST_ANSWER).await.unwrap_or_default();
        let (code, told) = refusal(&text);
        let kind = if status == 403 { ErrorKind::PermissionDenied } else { ErrorKind::Unauthenticated };
        let error = Error::new(kind, format!("{} answered {status}{told}", self.service))
            .with_http_status(status)
            .with_help(CREDENTIALS);
        Err(match code {
            Some(code) => error.with_provider_code(code),
            None => error,
        })
    }

    /// A field that the answer must have.
    pub(crate) fn field<'a>(&self, answer: &'a Value, name: &str) -> Result<&'a str> {
        let value = answer.get(name).and_then(Value::as_str);
        value.ok_or_else(|| {
            Error::new(ErrorKind::Protocol, format!("{} answered without {name:?}", self.service))
        })
    }
}

/// For how long the token in an answer is good (RFC 6749, section 5.1).
pub(crate) fn lifetime(answer: &Value) -> Duration {
    answer.get("expires_in").and_then(Value::as_u64).map_or(USUAL_LIFETIME, Duration::from_secs)
}

/// What a refusal says: the error of RFC 6749, section 5.2, or that of a Google API (AIP-193). The rest of it is not told: it may
/// repeat what was sent.
fn refusal(text: &str) -> (Option<String>, String) {
    let answer: Value = serde_json::from_str(text).unwrap_or_default();
    let of = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).map(one_line);
    let (code, message) = match of("/error") {
        Some(code) => (Some(code), of("/error_description")),
        None => (of("/error/status"), of("/error/message")),
    };
    let told = [code.clone(), message].into_iter().flatten();
    let told = told.fold(String::new(), |told, part| told + ": " + &part);
    (code, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_without_what_else_they_hold() {
        let told = |text: &str| refusal(text).1;
        assert_eq!(
            told(r#"{"error": "invalid_grant", "error_description": "Bad\nRequest", "sent": "canary"}"#),
            ": invalid_grant: Bad Request"
        );
        assert_eq!(
            told(r#"{"error": {"code": 403, "message": "not yours", "status": "PERMISSION_DENIED"}}"#),
            ": PERMISSION_DENIED: not yours"
        );
        assert_eq!(told("<html>canary</html>"), "");
    }
}
