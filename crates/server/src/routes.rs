//! The routes of MLflow's artifact server (`mlflow/protos/mlflow_artifacts.proto`, `mlflow/server/artifact_router.py`).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::http::header::{HeaderValue, SERVER};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{from_fn_with_state, map_request, map_response};
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactMeta, ArtifactPath, Capabilities, DeleteOptions, ErrorKind, ListOptions, SharedStore,
};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use crate::access::{Access, Actions, Caller, Listed, identify};
use crate::budget::Budget;
use crate::linger::lingering;
use crate::observe::note_route;
use crate::path::{Requested, check_writable, no_file_name, of_query};
use crate::refusal::{Code, Refusal, json as answer};
use crate::security::Rules;
use crate::upstream::Upstream;
use crate::workspace::Scoped;
use crate::{ServerOptions, download, info, multipart, security, upload, upstream, workspace};

/// Every path stands below both: the second is for the web interface.
pub(crate) const TWINS: [&str; 2] = ["/api", "/ajax-api"];

/// What clients ask before they move content, below both.
pub(crate) const SERVER_INFO: &str = "/3.0/mlflow/server-info";

/// How many decisions of another server are waited for at once.
const DECISIONS: usize = 16;

/// How many large messages are read and understood at once.
const LARGE_MESSAGES: usize = 2;

/// How many directories are listed at once: each listing is in memory.
const LISTINGS: usize = 64;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: SharedStore,
    pub(crate) options: ServerOptions,
    pub(crate) budget: Budget,
    /// Whose turn it is to send a large message.
    pub(crate) large_messages: Semaphore,
    /// Whose turn it is to be told what stands in a directory.
    pub(crate) listings: Semaphore,
}

impl Shared {
    pub(crate) fn new(store: SharedStore, options: ServerOptions) -> Self {
        let budget = Budget::new(options.upload_memory);
        Shared {
            store,
            options,
            budget,
            large_messages: Semaphore::new(LARGE_MESSAGES),
            listings: Semaphore::new(LISTINGS),
        }
    }

    /// Where in the store a file stands that the caller may read.
    pub(crate) async fn readable(
        &self,
        caller: &Caller,
        requested: Requested,
    ) -> Result<ArtifactPath, Refusal> {
        let scoped = workspace::scoped(caller.workspace.as_deref(), requested.into_file()?)?;
        if scoped.within.is_root() {
            return Err(no_file_name());
        }
        self.options.access.check(caller, Actions::READ, &scoped).await?;
        Ok(scoped.stored)
    }

    /// Where in the store something stands that the caller may write, or delete.
    pub(crate) async fn changeable(
        &self,
        caller: &Caller,
        action: Actions,
        path: ArtifactPath,
    ) -> Result<ArtifactPath, Refusal> {
        let scoped = workspace::scoped(caller.workspace.as_deref(), path)?;
        check_writable(&scoped.within)?;
        self.options.access.check(caller, action, &scoped).await?;
        Ok(scoped.stored)
    }

    /// Whether a request is answered before it is known who asks: what load balancers and clients need first, and what costs nothing.
    pub(crate) fn is_for_everybody(&self, method: &Method, uri: &Uri) -> bool {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return false;
        }
        let path = uri.path().strip_prefix(&self.options.static_prefix).unwrap_or_default();
        matches!(path, "/health" | "/version") && uri.query().is_none()
            || TWINS.iter().any(|twin| path.strip_prefix(twin) == Some(SERVER_INFO))
    }

    /// Refuses content that would pass through this server where it goes by signed requests only.
    pub(crate) fn refuse_unless_proxied(&self) -> Result<(), Refusal> {
        if !self.options.presigned_only {
            return Ok(());
        }
        let message = "this server hands out signed requests for content and passes none through itself";
        Err(Refusal::new(Code::PermissionDenied, message).with_field("artifacts_presigned_only", true))
    }

    /// Whether clients can fetch content by signed requests.
    pub(crate) fn signs(&self) -> bool {
        self.store.capabilities().contains(Capabilities::PRESIGN)
    }

    /// Whether clients can put parts by signed requests.
    pub(crate) fn signs_parts(&self) -> bool {
        let needed = Capabilities::PRESIGN | Capabilities::MULTIPART | Capabilities::RESUME_UPLOAD;
        self.store.capabilities().contains(needed)
    }
}

/// Everything that is served; what is not about artifacts, by a tracking server if there is one.
pub(crate) fn router(shared: Arc<Shared>, tracking: Option<Upstream>) -> Router {
    let rules = Arc::new(Rules::new(&shared.options));
    let prefix = shared.options.static_prefix.clone();
    let mut router = Router::new().route(&format!("{prefix}/health"), get(info::health));
    for twin in TWINS {
        let below = format!("{prefix}{twin}/2.0/mlflow-artifacts");
        router = router
            .route(&format!("{below}/artifacts"), get(list))
            .route(&format!("{below}/artifacts/"), artifact())
            .route(&format!("{below}/artifacts/{{*path}}"), artifact())
            .route(&format!("{below}/mpu/create/{{*directory}}"), post(multipart::create))
            .route(&format!("{below}/mpu/complete/{{*directory}}"), post(multipart::complete))
            .route(&format!("{below}/mpu/abort/{{*directory}}"), post(multipart::abort))
            .route(&format!("{below}/presigned/{{*path}}"), get(multipart::presigned));
        if !prefix.is_empty() {
            // As on MLflow's server, which serves these two by themselves.
            let path = format!("{twin}/2.0/mlflow-artifacts/artifacts/{{*path}}");
            router = router.route(&path, get(download::get).put(upload::put));
        }
    }
    let disable_security = shared.options.disable_security;
    let identified = from_fn_with_state(Arc::clone(&shared), identify);
    let router = match tracking {
        None => alone(router, &prefix).method_not_allowed_fallback(no_method).with_state(shared),
        Some(tracking) => {
            let ours = router.route_layer(map_request(note_route)).method_not_allowed_fallback(no_method);
            let ours = ours.with_state(Arc::clone(&shared));
            upstream::routes(ours, shared, tracking)
        }
    };
    let mut router = router.layer(identified);
    if !disable_security {
        // The last is the outermost: what is refused is labelled too.
        router = router
            .layer(rules.cors())
            .layer(from_fn_with_state(Arc::clone(&rules), security::guard))
            .layer(from_fn_with_state(rules, security::label));
    }
    router.layer(map_request(lingering)).layer(map_response(sign))
}

/// What is answered where no tracking server does.
fn alone(mut router: Router<Arc<Shared>>, prefix: &str) -> Router<Arc<Shared>> {
    router = router.route(&format!("{prefix}/version"), get(info::version));
    for twin in TWINS {
        router = router.route(&format!("{prefix}{twin}{SERVER_INFO}"), get(info::server_info));
    }
    router.route_layer(map_request(note_route)).fallback(async |request: Request| nothing(request.uri()))
}

fn artifact() -> axum::routing::MethodRouter<Arc<Shared>> {
    get(download::get).put(upload::put).delete(delete)
}

/// Says who answers.
async fn sign(mut response: Response) -> Response {
    const NAME: &str = concat!("mlflow-artifacts/", env!("CARGO_PKG_VERSION"));
    response.headers_mut().insert(SERVER, HeaderValue::from_static(NAME));
    response
}

pub(crate) fn nothing(uri: &Uri) -> Refusal {
    Refusal::new(Code::EndpointNotFound, format!("there is no {} here", uri.path()))
}

async fn no_method(request: Request) -> Refusal {
    let message = format!("{} is no method of {}", request.method(), request.uri().path());
    Refusal::invalid(message).with_status(StatusCode::METHOD_NOT_ALLOWED)
}

/// What follows a route in a URL's path, as it is written there.
pub(crate) fn after<'a>(path: &'a str, route: &str) -> &'a str {
    path.split_once(route).map_or("", |(_, rest)| rest)
}

/// `GET /mlflow-artifacts/artifacts?path=<directory>`
async fn list(
    State(server): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    caller: Caller,
) -> Result<Response, Refusal> {
    let wanted = of_query(&query.unwrap_or_default(), "path")?.unwrap_or_default();
    let wanted = Requested::of_text(&wanted)?.path;
    // The semaphore is never closed.
    let _turn = server.listings.acquire().await;
    let files = children(&server, &caller, wanted).await?;
    let files: Vec<_> = files.iter().map(|((name, _), meta)| entry(name, meta)).collect();
    Ok(answer(&if files.is_empty() { json!({}) } else { json!({"files": files}) }))
}

/// What stands in a directory, as far as the caller may know.
pub(crate) async fn children(
    server: &Shared,
    caller: &Caller,
    directory: ArtifactPath,
) -> Result<Children, Refusal> {
    let directory = workspace::scoped(caller.workspace.as_deref(), directory)?;
    let access = &server.options.access;
    let listed = access.listed(caller, &directory).await?;
    let mut children = BTreeMap::new();
    let mut entries = server.store.list(&directory.stored, ListOptions::default());
    while let Some(meta) = entries.try_next().await? {
        let name = meta.path.file_name().unwrap_or_default().to_owned();
        children.insert((name, meta.is_directory()), meta);
    }
    match listed {
        Listed::All => Ok(children),
        Listed::Some => told(access, caller, &directory, children).await,
    }
}

/// By name, and whether it is a directory: where a store has a file and a directory of one name, both are told.
pub(crate) type Children = BTreeMap<(String, bool), ArtifactMeta>;

/// Those that the caller may know of. Several are asked about at once: another server may have to decide.
async fn told(
    access: &Access,
    caller: &Caller,
    directory: &Scoped,
    children: Children,
) -> Result<Children, Refusal> {
    let asked = stream::iter(children).map(async |(key, meta)| {
        let entry = directory.child(&key.0)?;
        Ok::<_, Refusal>(access.tells(caller, &entry).await?.then_some((key, meta)))
    });
    asked.buffer_unordered(DECISIONS).try_filter_map(async |told| Ok(told)).try_collect().await
}

/// An artifact of a listing, by the name it is told with.
pub(crate) fn entry(name: &str, meta: &ArtifactMeta) -> Value {
    let mut entry = Map::new();
    entry.insert("path".to_owned(), name.into());
    entry.insert("is_dir".to_owned(), meta.is_directory().into());
    if !meta.is_directory() {
        entry.insert("file_size".to_owned(), meta.size.into());
    }
    Value::Object(entry)
}

/// `DELETE /mlflow-artifacts/artifacts/<path>`
async fn delete(State(server): State<Arc<Shared>>, caller: Caller, uri: Uri) -> Result<Response, Refusal> {
    let requested = Requested::of_url(after(uri.path(), "/mlflow-artifacts/artifacts/"))?;
    let path = server.changeable(&caller, Actions::DELETE, requested.path).await?;
    if requested.is_directory && is_file(&server, &path).await? {
        // No file has a slash at its end: nothing is there.
        return Ok(answer(&json!({})));
    }
    server.store.delete(&path, DeleteOptions { recursive: true }).await?;
    Ok(answer(&json!({})))
}

async fn is_file(server: &Shared, path: &ArtifactPath) -> Result<bool, Refusal> {
    match server.store.stat(path).await {
        Ok(meta) => Ok(!meta.is_directory()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}
