//! Very large files in parts, straight to the server's object storage: the API of JFrog's own client
//! (jfrog-client-go, `multipartupload.go`), which servers offer from 7.82 on where their storage can do it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{Error, ErrorKind, PutOutcome, Result, Retry, Secret, SourceFile};
use mlflow_artifacts_http::{
    Body, Credential, Method, Progress, Request, Response, Url, observed, one_line, read_file,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use crate::client::Client;
use crate::error::{malformed, refusal};
use crate::upload::{Deploy, Known, deploy_by_checksum};

/// From this many bytes on. Below, the steps around the parts cost more than the parts gain.
pub(crate) const PAYS_FROM: u64 = 200 << 20;
const PART: u64 = 20 << 20;
/// The object storages behind it take no more.
const MOST_PARTS: u64 = 10_000;
const AT_ONCE: usize = 5;
/// Between two questions whether the server has joined the parts.
const FIRST_POLL: Duration = Duration::from_millis(200);
const SLOWEST_POLL: Duration = Duration::from_secs(5);
/// How often the server is told again to join the parts, when it says that it may.
const MOST_COMPLETES: u32 = 5;

#[derive(Deserialize)]
struct Config {
    supported: bool,
}

#[derive(Deserialize)]
struct Begun {
    token: String,
}

#[derive(Deserialize)]
struct PartUrl {
    url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Joining {
    status: String,
    error: Option<String>,
    checksum_token: Option<String>,
}

/// Writes a file in parts; `None` if this server takes none.
pub(crate) async fn put(
    client: &Client,
    deploy: &Deploy,
    known: &Known,
    source: &Arc<SourceFile>,
) -> Result<Option<PutOutcome>> {
    if !*client.takes_parts.get_or_init(|| ask(client)).await {
        return Ok(None);
    }
    let part = known.size.div_ceil(MOST_PARTS).max(PART).div_ceil(1 << 20);
    let Some(upload) = begin(client, deploy, part).await? else { return Ok(None) };
    let finished = async {
        put_parts(&upload, deploy, known, source, part << 20).await?;
        upload.join(deploy, known).await
    };
    let token = match finished.await {
        Ok(token) => token,
        Err(error) => {
            // The first error is the one to report.
            let _ = upload.step("abort", "").await;
            return Err(error);
        }
    };
    let deployed = client.http.retry(|| deploy_by_checksum(client, deploy, known, token.as_ref())).await?;
    deployed
        .map(Some)
        .ok_or_else(|| malformed("to the last step of an upload in parts is that it has no such content"))
}

/// Whether the server takes parts. One that cannot answer takes none.
async fn ask(client: &Client) -> bool {
    let answer = async {
        let response = client.call(Method::GET, client.url("/api/v1/uploads/config")?, &[200]).await?;
        json::<Config>(response).await
    };
    answer.await.is_ok_and(|config| config.supported)
}

async fn begin<'a>(client: &'a Client, deploy: &Deploy, part_mib: u64) -> Result<Option<InParts<'a>>> {
    let (repository, path) = Client::split(&deploy.full)?;
    let mut url = client.url("/api/v1/uploads/create")?;
    url.query_pairs_mut()
        .append_pair("repoKey", repository)
        .append_pair("repoPath", path)
        .append_pair("partSizeMB", &part_mib.to_string());
    let response = client.call(Method::POST, url, &[200, 400, 404, 501]).await?;
    if response.status() != 200 {
        return Ok(None);
    }
    let begun: Begun = json(response).await?;
    Ok(Some(InParts { client, token: Secret::new(begun.token) }))
}

/// An upload in parts that was begun.
struct InParts<'a> {
    client: &'a Client,
    token: Secret,
}

async fn put_parts(
    upload: &InParts<'_>,
    deploy: &Deploy,
    known: &Known,
    source: &Arc<SourceFile>,
    part: u64,
) -> Result<()> {
    let starts = (0..known.size).step_by(usize::try_from(part).unwrap_or(usize::MAX));
    let puts = (1_u32..).zip(starts).map(|(number, start)| async move {
        let length = part.min(known.size - start);
        let progress = Arc::default();
        upload.client.http.retry(|| upload.put_part(number, deploy, source, start, length, &progress)).await
    });
    stream::iter(puts).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    source.check_unchanged(known.size)
}

impl InParts<'_> {
    async fn put_part(
        &self,
        number: u32,
        deploy: &Deploy,
        source: &Arc<SourceFile>,
        start: u64,
        length: u64,
        progress: &Arc<Progress>,
    ) -> Result<()> {
        let response = self.once("urlPart", &format!("?partNumber={number}")).await?;
        let PartUrl { url } = json(ok(response, 200).await?).await?;
        let url = Url::parse(&url).ok().filter(|url| self.is_fit(url));
        let url = url.ok_or_else(|| malformed("names no address that a part may go to"))?;
        let body = observed(read_file(source, start, length), &deploy.options, start, progress);
        // Signed, and by whoever signed it meant for whoever holds it: our credentials stay here.
        let request = Request::new(Method::PUT, url).signed().with_body(Body::Stream(body, Some(length)));
        let response = self.client.http.send(request).await?;
        match response.status() {
            200 | 201 => Ok(()),
            // The signature may have expired: a new one is asked for.
            403 => Err(response.into_error().await.with_retry(Retry::Transient)),
            _ => Err(response.into_error().await),
        }
    }

    /// Whether content may go there: never without TLS if the server has it.
    fn is_fit(&self, url: &Url) -> bool {
        url.scheme() == "https" || (url.scheme() == "http" && self.client.place.base.starts_with("http:"))
    }

    /// Has the server join the parts, and waits until it has. Answers the token for the last step.
    async fn join(&self, deploy: &Deploy, known: &Known) -> Result<Option<Secret>> {
        let complete = format!("?sha1={}", known.sha1.hex());
        self.step("complete", &complete).await?;
        let (mut completes, mut delay) = (1, FIRST_POLL);
        loop {
            sleep(delay).await;
            deploy.options.advance(0)?;
            delay = (delay * 2).min(SLOWEST_POLL);
            let joining: Joining = self
                .client
                .http
                .retry(|| async { json(ok(self.once("status", "").await?, 200).await?).await })
                .await?;
            match joining.status.as_str() {
                "FINISHED" => return Ok(joining.checksum_token.map(Secret::new)),
                "RETRYABLE_ERROR" if completes < MOST_COMPLETES => {
                    completes += 1;
                    self.step("complete", &complete).await?;
                }
                "PARTS" | "QUEUED" | "PROCESSING" => {}
                other => {
                    let told = one_line(&joining.error.unwrap_or_default());
                    let told = told.replace(self.token.expose(), "***");
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        format!("the server could not join the parts: {other} {told}"),
                    ));
                }
            }
        }
    }

    /// A step that is repeated until it is accepted.
    async fn step(&self, name: &str, query: &str) -> Result<()> {
        let attempt = || async {
            let response = self.once(name, query).await?;
            if matches!(response.status(), 200 | 202 | 204) { Ok(()) } else { Err(refusal(response).await) }
        };
        self.client.http.retry(attempt).await
    }

    async fn once(&self, name: &str, query: &str) -> Result<Response> {
        let url = self.client.url(&format!("/api/v1/uploads/{name}{query}"))?;
        let request = Request::new(Method::POST, url)
            .with_credential(Some(Credential::Bearer(self.token.clone())))
            .with_body(Body::Bytes(bytes::Bytes::new()));
        self.client.http.send(request).await
    }
}

async fn ok(response: Response, expected: u16) -> Result<Response> {
    if response.status() == expected { Ok(response) } else { Err(refusal(response).await) }
}

async fn json<T: DeserializeOwned>(response: Response) -> Result<T> {
    const LARGEST: usize = 1 << 20;
    serde_json::from_str(&response.text(LARGEST).await?)
        .map_err(|_| malformed("to an upload in parts cannot be parsed"))
}
