//! What a server says it can do, asked for once a minute.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mlflow_artifacts_http::Method;
use serde::Deserialize;
use tokio::time::timeout;

use crate::client::Client;

/// As MLflow's client (`mlflow/utils/server_info.py`).
const HOLDS: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_secs(3);

/// What matters of a server's answer; nothing of one that has no answer.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServerInfo {
    pub(crate) multipart_uploads_enabled: bool,
    pub(crate) multipart_downloads_enabled: bool,
    /// It moves no content itself.
    pub(crate) artifacts_presigned_only: bool,
}

/// The last answer.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Option<(ServerInfo, Instant)>>);

impl Known {
    /// What is known, asked for anew where that is old. Two that ask at once both ask.
    pub(crate) async fn get(&self, client: &Client) -> ServerInfo {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((info, asked)) = known
            && asked.elapsed() < HOLDS
        {
            return info;
        }
        let info = timeout(PATIENCE, ask(client)).await.ok().flatten().unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((info, Instant::now()));
        info
    }

    /// Forgets it: the server does not act as it said.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// An old server, one that is no MLflow's, and one that cannot answer now have nothing to offer.
async fn ask(client: &Client) -> Option<ServerInfo> {
    const LARGEST: usize = 1 << 20;
    let prefix = client.place.api.trim_end_matches("/2.0");
    let url = client.place.url(&format!("{prefix}/3.0/mlflow/server-info")).ok()?;
    let response = client.send(client.request(Method::GET, url)).await.ok()?;
    if response.status() != 200 {
        return None;
    }
    serde_json::from_str(&response.text(LARGEST).await.ok()?).ok()
}
