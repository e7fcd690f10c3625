//! What a server says it can do, asked for once a minute.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mlflow_artifacts_http::Method;
use serde::Deserialize;
use tokio::time::timeout;

use crate::client::Client;

/// As MLflow's client (`mlflow/utils/server_info.py`).
const HOLDS: Duration = Duration::from_mins(1);
/// MLflow's client waits for 3 s, which is not enough for a server that has just been started: it makes its database first.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a server that did not answer is left in peace.
const SILENCE_HOLDS: Duration = Duration::from_secs(10);

/// What matters of a server's answer; nothing of one that has no answer.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServerInfo {
    pub(crate) multipart_uploads_enabled: bool,
    pub(crate) multipart_downloads_enabled: bool,
    /// It moves no content itself.
    pub(crate) artifacts_presigned_only: bool,
}

/// The last answer, and how long it holds.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Option<(ServerInfo, Instant)>>);

impl Known {
    /// What is known, asked for anew where that is old. Two that ask at once both ask.
    pub(crate) async fn get(&self, client: &Client) -> ServerInfo {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((info, end)) = known
            && Instant::now() < end
        {
            return info;
        }
        let answer = timeout(PATIENCE, ask(client)).await.ok().flatten();
        let holds = if answer.is_some() { HOLDS } else { SILENCE_HOLDS };
        let info = answer.unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((info, Instant::now() + holds));
        info
    }

    /// Forgets it: the server does not act as it said.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What the server answers; nothing if it does not. An old server, and one that is none of MLflow's, have nothing to offer.
async fn ask(client: &Client) -> Option<ServerInfo> {
    const LARGEST: usize = 1 << 20;
    let prefix = client.place.api.trim_end_matches("/2.0");
    let url = client.place.url(&format!("{prefix}/3.0/mlflow/server-info")).ok()?;
    let response = client.send(client.request(Method::GET, url)).await.ok()?;
    match response.status() {
        200 => Some(serde_json::from_str(&response.text(LARGEST).await.ok()?).unwrap_or_default()),
        500.. => None,
        _ => Some(ServerInfo::default()),
    }
}
