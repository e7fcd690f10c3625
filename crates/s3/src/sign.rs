//! AWS Signature Version 4, in headers and in queries.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SessionTokenMode, SignableBody, SignableRequest,
    SignatureLocation, SigningInstructions, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use mlflow_artifacts_core::{Error, ErrorKind, Result};
use mlflow_artifacts_http::header::HeaderMap;

/// Who signs, for where, and when.
pub(crate) struct Signer<'a> {
    pub(crate) credentials: &'a Credentials,
    pub(crate) region: &'a str,
    pub(crate) time: SystemTime,
}

impl Signer<'_> {
    /// What is to be added to a request that is sent now. Only a body in memory is signed.
    pub(crate) fn in_headers(
        &self,
        method: &str,
        url: &str,
        headers: &HeaderMap,
        body: Option<&[u8]>,
    ) -> Result<SigningInstructions> {
        let body = body.map_or(SignableBody::UnsignedPayload, SignableBody::Bytes);
        self.sign(method, url, headers, body, SignatureLocation::Headers, None)
    }

    /// What is to be added to a URL that others may use for a while.
    pub(crate) fn in_query(
        &self,
        method: &str,
        url: &str,
        headers: &HeaderMap,
        expires_in: Duration,
    ) -> Result<SigningInstructions> {
        let location = SignatureLocation::QueryParams;
        self.sign(method, url, headers, SignableBody::UnsignedPayload, location, Some(expires_in))
    }

    fn sign(
        &self,
        method: &str,
        url: &str,
        headers: &HeaderMap,
        body: SignableBody<'_>,
        location: SignatureLocation,
        expires_in: Option<Duration>,
    ) -> Result<SigningInstructions> {
        let mut settings = SigningSettings::default();
        // S3 signs keys as they are.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = match location {
            SignatureLocation::Headers => PayloadChecksumKind::XAmzSha256,
            _ => PayloadChecksumKind::NoHeader,
        };
        settings.session_token_mode = SessionTokenMode::Include;
        settings.signature_location = location;
        settings.expires_in = expires_in;
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name("s3")
            .time(self.time)
            .settings(settings)
            .build()
            .map_err(unsigned)?
            .into();
        let visible = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let request = SignableRequest::new(method, url, visible, body).map_err(unsigned)?;
        Ok(sign(request, &parameters).map_err(unsigned)?.into_parts().0)
    }
}

fn unsigned(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "the request cannot be signed").with_source(error)
}
