//! What the tracking server would answer from artifacts, answered from ours: it is asked where they are, as whoever asks us, so that it
//! decides who may know. What is not in our store, or not clear, is passed on.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use mlflow_artifacts_core::ArtifactPath;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::access::{Actions, Caller};
use crate::observe::Notes;
use crate::path::{Requested, of_query};
use crate::refusal::{Refusal, json as answer};
use crate::routes::{children, entry};
use crate::upstream::place::in_store;
use crate::upstream::{Tracking, broken};
use crate::{download, multipart, upload as uploads};

/// What goes up by the web interface's own way (`mlflow/server/handlers.py`, `upload_artifact_handler`).
const LARGEST_UPLOAD: u64 = 10 << 20;

/// By this text the tracking server says that it would have taken the content, had there been any.
const WANTS_CONTENT: &str = "Request must specify data.";

type Answer = Result<Response, Refusal>;

/// What a request is about.
struct Wanted {
    /// The path and query that tell where the artifacts are.
    question: String,
    /// Which of them.
    artifact: Requested,
}

/// Where it is.
enum Place {
    Here(Found),
    Elsewhere,
    /// The tracking server does not tell: this is what it says.
    Untold(Response),
}

/// It is in our store.
struct Found {
    /// Where those of its run or model are.
    root: ArtifactPath,
    /// The same as the tracking server has it.
    uri: String,
    artifact: Requested,
}

impl Found {
    /// The artifact as one of the whole store's. The directory itself is no file, as one with a slash at its end is none.
    fn requested(self) -> Requested {
        let is_directory = self.artifact.is_directory || self.artifact.path.is_root();
        Requested { path: self.root.join(&self.artifact.path), is_directory }
    }
}

/// What of the answers to the questions is read.
#[derive(Deserialize)]
struct Told {
    /// Of a model's version.
    artifact_uri: Option<String>,
    run: Option<Described>,
    model: Option<Described>,
}

#[derive(Deserialize)]
struct Described {
    info: Info,
}

#[derive(Deserialize)]
struct Info {
    artifact_uri: Option<String>,
}

impl Told {
    fn uri(self) -> Option<String> {
        let described = self.run.or(self.model).and_then(|described| described.info.artifact_uri);
        self.artifact_uri.or(described)
    }
}

impl Tracking {
    /// Asks where artifacts are, each time anew: who may know can change.
    async fn place(&self, head: &Parts, wanted: Option<Wanted>) -> Result<Place, Refusal> {
        let Some(Wanted { question, artifact }) = wanted else { return Ok(Place::Elsewhere) };
        self.server.options.access.admit(head).await?;
        let told = self.upstream.ask(Method::GET, &question, head).await?;
        if told.status() != StatusCode::OK {
            return Ok(Place::Untold(told.map(Body::from)));
        }
        let told: Told = serde_json::from_slice(told.body()).map_err(|error| {
            log::error!("the tracking server does not say where artifacts are: {error}");
            broken()
        })?;
        let store = &self.server.store.info().root;
        let found = told.uri().and_then(|uri| Some(Found { root: in_store(store, &uri)?, uri, artifact }));
        Ok(found.map_or(Place::Elsewhere, Place::Here))
    }

    /// Passes a request on, if whoever decides about callers lets this one in.
    pub(super) async fn pass(&self, head: Parts, body: Body) -> Answer {
        self.server.options.access.admit(&head).await?;
        if let Some(notes) = head.extensions.get::<Arc<Notes>>() {
            notes.set_route("upstream");
        }
        self.upstream.pass(Request::from_parts(head, body)).await
    }

    fn run(&self, id: &str) -> String {
        format!("{}/api/2.0/mlflow/runs/get?run_id={}", self.upstream.prefix, encoded(id))
    }

    /// `None` for what is no model's id, and could be another route behind us.
    fn model(&self, id: &str) -> Option<String> {
        let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        is_plain.then(|| format!("{}/api/2.0/mlflow/logged-models/{id}", self.upstream.prefix))
    }

    fn version(&self, name: &str, version: &str) -> String {
        let (name, version) = (encoded(name), encoded(version));
        let prefix = &self.upstream.prefix;
        format!("{prefix}/api/2.0/mlflow/model-versions/get-download-uri?name={name}&version={version}")
    }

    /// Answers with a file's content.
    async fn content(&self, request: Request, wanted: Option<Wanted>, may_be_signed: bool) -> Answer {
        let (head, body) = request.into_parts();
        let found = match self.place(&head, wanted).await? {
            Place::Here(found) => found,
            Place::Elsewhere => return self.pass(head, body).await,
            Place::Untold(answer) => return Ok(answer),
        };
        let server = &self.server;
        let is_signed = may_be_signed && query(&head.uri, "presigned")?.is_some_and(|value| value == "true");
        if is_signed && !server.signs() {
            return self.pass(head, body).await;
        }
        let path = server.readable(&Caller::of(server, &head)?, found.requested()).await?;
        if is_signed {
            return multipart::presign(server, path).await;
        }
        server.refuse_unless_proxied()?;
        download::file(server, &path, &head.method, &head.headers).await
    }

    /// Answers with a directory's children, as the run or the model sees them.
    async fn listing(&self, request: Request, wanted: Option<Wanted>) -> Answer {
        let (head, body) = request.into_parts();
        let Found { root, uri, artifact } = match self.place(&head, wanted).await? {
            Place::Here(found) => found,
            Place::Elsewhere => return self.pass(head, body).await,
            Place::Untold(answer) => return Ok(answer),
        };
        let caller = Caller::of(&self.server, &head)?;
        let within = |name: &str| match artifact.path.as_str() {
            "" => name.to_owned(),
            directory => format!("{directory}/{name}"),
        };
        // The semaphore is never closed.
        let _turn = self.server.listings.acquire().await;
        let children = children(&self.server, &caller, root.join(&artifact.path)).await?;
        let files: Vec<Value> = children.iter().map(|((name, _), meta)| entry(&within(name), meta)).collect();
        let mut told = Map::new();
        if !files.is_empty() {
            told.insert("files".to_owned(), files.into());
        }
        told.insert("root_uri".to_owned(), uri.into());
        Ok(answer(&told.into()))
    }

    /// What the tracking server says to a caller that may not add artifacts to a run. It is asked to take nothing, which it refuses to
    /// everybody, but not before it has looked at who asks.
    async fn refusal_of_upload(&self, head: &Parts, run: &str) -> Result<Option<Response>, Refusal> {
        let (prefix, run) = (&self.upstream.prefix, encoded(run));
        let target = format!("{prefix}/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=nothing");
        let told = self.upstream.ask(Method::POST, &target, head).await?;
        let message = serde_json::from_slice::<Value>(told.body()).ok();
        let message = message.as_ref().and_then(|told| told.get("message")).and_then(Value::as_str);
        let may = told.status() == StatusCode::BAD_REQUEST && message == Some(WANTS_CONTENT);
        Ok(if may { None } else { Some(told.map(Body::from)) })
    }
}

/// `GET /get-artifact?run_id=&path=`
pub(super) async fn of_run(State(tracking): State<Arc<Tracking>>, request: Request) -> Answer {
    let run = run_of(request.uri())?.map(|run| tracking.run(&run));
    let wanted = wanted(run, query(request.uri(), "path")?)?;
    tracking.content(request, wanted, false).await
}

/// `GET /model-versions/get-artifact?name=&version=&path=`
pub(super) async fn of_version(State(tracking): State<Arc<Tracking>>, request: Request) -> Answer {
    let named = query(request.uri(), "name")?.zip(query(request.uri(), "version")?);
    let question = named.map(|(name, version)| tracking.version(&name, &version));
    let wanted = wanted(question, query(request.uri(), "path")?)?;
    tracking.content(request, wanted, true).await
}

/// `GET /ajax-api/2.0/mlflow/logged-models/<id>/artifacts/files?artifact_file_path=`
pub(super) async fn of_model(
    State(tracking): State<Arc<Tracking>>,
    Path(id): Path<String>,
    request: Request,
) -> Answer {
    let wanted = wanted(tracking.model(&id), query(request.uri(), "artifact_file_path")?)?;
    tracking.content(request, wanted, true).await
}

/// `GET /api/2.0/mlflow/artifacts/list?run_id=&path=`
pub(super) async fn list_run(State(tracking): State<Arc<Tracking>>, request: Request) -> Answer {
    // Where the query names none, the tracking server would look for one in the body.
    let missing = || Refusal::invalid("Missing value for required parameter 'run_id'.");
    let run = tracking.run(&run_of(request.uri())?.ok_or_else(missing)?);
    let wanted = wanted(Some(run), Some(query(request.uri(), "path")?.unwrap_or_default()))?;
    tracking.listing(request, wanted).await
}

/// `GET /api/2.0/mlflow/logged-models/<id>/artifacts/directories?artifact_directory_path=`
pub(super) async fn list_model(
    State(tracking): State<Arc<Tracking>>,
    Path(id): Path<String>,
    request: Request,
) -> Answer {
    let path = query(request.uri(), "artifact_directory_path")?.unwrap_or_default();
    let wanted = wanted(tracking.model(&id), Some(path))?;
    tracking.listing(request, wanted).await
}

/// `POST /ajax-api/2.0/mlflow/upload-artifact?run_uuid=&path=`
pub(super) async fn upload(State(tracking): State<Arc<Tracking>>, request: Request) -> Answer {
    let run = query(request.uri(), "run_uuid")?.unwrap_or_default();
    let question = Some(tracking.run(&run)).filter(|_| !run.is_empty());
    let wanted = wanted(question, query(request.uri(), "path")?)?;
    let (head, body) = request.into_parts();
    let found = match tracking.place(&head, wanted).await? {
        Place::Here(found) => found,
        Place::Elsewhere => return tracking.pass(head, body).await,
        Place::Untold(answer) => return Ok(answer),
    };
    let server = &tracking.server;
    server.refuse_unless_proxied()?;
    let caller = Caller::of(server, &head)?;
    let path = server.changeable(&caller, Actions::WRITE, found.requested().into_file()?).await?;
    check_size(body.size_hint().exact())?;
    if let Some(refusal) = tracking.refusal_of_upload(&head, &run).await? {
        return Ok(refusal);
    }
    uploads::store(server, path, &head.headers, body).await?;
    let mut stored = Response::new(Body::empty());
    stored.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(stored)
}

fn check_size(size: Option<u64>) -> Result<(), Refusal> {
    match size {
        Some(0) => Err(Refusal::invalid(WANTS_CONTENT)),
        Some(..=LARGEST_UPLOAD) => Ok(()),
        Some(_) => Err(Refusal::invalid("Artifact size is too large. Max size is 10MB.")),
        None => {
            let message = "the size of an artifact that comes by this way must be told";
            Err(Refusal::invalid(message).with_status(StatusCode::LENGTH_REQUIRED))
        }
    }
}

/// Refuses a path that leads out before anybody is asked. What lacks a part is the tracking server's to refuse.
fn wanted(question: Option<String>, path: Option<String>) -> Result<Option<Wanted>, Refusal> {
    let Some((question, path)) = question.zip(path) else { return Ok(None) };
    Ok(Some(Wanted { question, artifact: Requested::of_text(&path)? }))
}

fn run_of(uri: &Uri) -> Result<Option<String>, Refusal> {
    Ok(query(uri, "run_id")?.or(query(uri, "run_uuid")?))
}

/// The first of a name that a request has, unless it is empty.
fn query(uri: &Uri, name: &str) -> Result<Option<String>, Refusal> {
    Ok(of_query(uri.query().unwrap_or_default(), name)?.filter(|value| !value.is_empty()))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
