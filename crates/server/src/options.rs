//! How a server is set up.

use std::path::PathBuf;
use std::time::Duration;

use crate::Access;

/// How a server is set up. The names and defaults are those of `mlflow server`.
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of MLflow's own")]
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Stands before the path of every route, such as `/mlflow`; empty for none. As on MLflow's server, artifacts are got and put
    /// without it too. `MLFLOW_STATIC_PREFIX`.
    pub static_prefix: String,
    /// The values of `Host` that are answered, with `*` and `?` as wildcards; with none of them, what names this machine or one of a
    /// private network. `MLFLOW_SERVER_ALLOWED_HOSTS`.
    pub allowed_hosts: Vec<String>,
    /// The origins whose pages may change something, with wildcards, beside those of this machine.
    /// `MLFLOW_SERVER_CORS_ALLOWED_ORIGINS`.
    pub cors_allowed_origins: Vec<String>,
    /// `X-Frame-Options` of every answer; `NONE` for none. `MLFLOW_SERVER_X_FRAME_OPTIONS`.
    pub x_frame_options: String,
    /// Neither hosts nor origins are looked at. `MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE`.
    pub disable_security: bool,
    /// Clients are told that they may send large files in parts to where the store has signed requests for them.
    /// `MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD`.
    pub multipart_upload: bool,
    /// Clients are told that they may fetch large files by signed requests. `MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD`.
    pub multipart_download: bool,
    /// Content goes by signed requests only, and never through this server. `MLFLOW_ARTIFACTS_PRESIGNED_ONLY`.
    pub presigned_only: bool,
    /// How long a signed request for a download is good. `MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS`.
    pub presigned_expiry: Duration,
    /// Each workspace has artifacts of its own, below `workspaces/`. `MLFLOW_ENABLE_WORKSPACES`.
    pub workspaces: bool,
    /// How it is found out who asks, and what they may do.
    pub access: Access,
    /// A tracking server, such as `http://127.0.0.1:5001`, that answers at this server's address what is not about artifacts. It shows a
    /// certificate, if it speaks TLS, that is verified. `MLFLOW_ARTIFACTS_UPSTREAM`.
    pub upstream: Option<String>,
    /// A PEM file, or a directory of them, with the only authorities to trust for the tracking server; without it those of the system are.
    /// `MLFLOW_TRACKING_SERVER_CERT_PATH`.
    pub upstream_ca_bundle: Option<PathBuf>,
    /// How long the tracking server may say nothing while it is waited for.
    pub upstream_timeout: Duration,
    /// Connections at once. Who comes then waits until another one goes.
    pub max_connections: usize,
    /// How much content of uploads is held in memory at once, over all connections, in bytes of what it was read into. One
    /// upload more may hold what its store needs.
    pub upload_memory: usize,
    /// How long a client may take for the head of a request, and say nothing between two.
    pub header_timeout: Duration,
    /// How long a client may say nothing within the body of a request.
    pub body_timeout: Duration,
    /// How long requests under way have when the server stops.
    pub drain_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            static_prefix: String::new(),
            allowed_hosts: Vec::new(),
            cors_allowed_origins: Vec::new(),
            x_frame_options: "SAMEORIGIN".to_owned(),
            disable_security: false,
            multipart_upload: false,
            multipart_download: false,
            presigned_only: false,
            presigned_expiry: Duration::from_mins(5),
            workspaces: false,
            access: Access::Open,
            upstream: None,
            upstream_ca_bundle: None,
            upstream_timeout: Duration::from_mins(5),
            max_connections: 4096,
            upload_memory: 32 << 20,
            header_timeout: Duration::from_mins(1),
            body_timeout: Duration::from_mins(2),
            drain_timeout: Duration::from_secs(30),
        }
    }
}
