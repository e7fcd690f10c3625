//! What the server says of itself.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures_util::TryStreamExt as _;
use mlflow_artifacts_core::{ArtifactPath, ListOptions};
use serde_json::{Map, Value, json};

use crate::refusal::{Code, generally, json as answer, meaning};
use crate::routes::Shared;
use crate::security::text;

/// `GET /health`: that this process serves. With `?detail` whether its store can be reached, too.
pub(crate) async fn health(State(server): State<Arc<Shared>>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    if !query.split('&').any(|name| name.starts_with("detail")) {
        return text(StatusCode::OK, "OK");
    }
    if let Err(refusal) = server.options.access.admit(&request.into_parts().0).await {
        return refusal.into_response();
    }
    let scheme = &server.store.info().scheme;
    // Not every store is asked whether its root is there; what stands in it, every one.
    match server.store.list(&ArtifactPath::root(), ListOptions::default()).try_next().await {
        Ok(_) => answer(&json!({"status": "ok", "store": scheme})),
        Err(error) => {
            log::error!("the store does not answer: {error}");
            let detail = json!({
                "status": "unavailable",
                "store": scheme,
                "error": error.kind().name(),
                "message": generally(meaning(error.kind()).0).or(generally(Code::InternalError)),
            });
            (StatusCode::SERVICE_UNAVAILABLE, answer(&detail)).into_response()
        }
    }
}

/// `GET /version`
pub(crate) async fn version() -> Response {
    text(StatusCode::OK, env!("CARGO_PKG_VERSION"))
}

/// `GET /api/3.0/mlflow/server-info`: by what clients decide how to move content. It is told to everybody.
pub(crate) async fn server_info(State(server): State<Arc<Shared>>) -> Response {
    answer(&of_this_server(&server).into())
}

/// What is said where there is no tracking server, or one that says nothing.
pub(crate) fn of_this_server(server: &Shared) -> Map<String, Value> {
    let told = json!({
        "store_type": null,
        "workspaces_enabled": server.options.workspaces,
        "trace_archival_enabled": false,
        "presigned_upload_run_id_supported": false,
        "presigned_upload_model_id_supported": false,
        "model_artifact_presigned_downloads_supported": false,
        "features_enabled": {"gateway": false, "scheduled_issue_detection": false},
        "tracking_auth": null,
    });
    fields(told).chain(of_artifacts(server)).collect()
}

/// How artifacts are moved here.
pub(crate) fn of_artifacts(server: &Shared) -> Map<String, Value> {
    let options = &server.options;
    let told = json!({
        "multipart_uploads_enabled": options.multipart_upload && server.signs_parts(),
        "multipart_downloads_enabled": options.multipart_download && server.signs(),
        "artifact_serving_enabled": true,
        "artifacts_presigned_only": options.presigned_only,
    });
    fields(told).collect()
}

fn fields(object: Value) -> impl Iterator<Item = (String, Value)> {
    object.as_object().cloned().into_iter().flatten()
}
