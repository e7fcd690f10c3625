//! Listing, one level at a time, and what stands at a path, which only the listing of its directory tells.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_core::stream::BoxStream;
use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{ArtifactKind, ArtifactMeta, ArtifactPath, ErrorKind, Result};
use serde::{Deserialize, Deserializer, de};

use crate::client::Client;
use crate::error::not_found;
use crate::names::{defect, prefixes};

/// How many directories of a tree are listed together.
const AT_ONCE: usize = 8;

/// What a listing answers; nothing of what is not there, and of a file.
#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    files: Vec<Listed>,
}

/// An entry of a directory. A file of no bytes comes without a size.
#[derive(Deserialize)]
struct Listed {
    path: String,
    #[serde(default)]
    is_dir: bool,
    #[serde(default, deserialize_with = "number_or_text")]
    file_size: u64,
}

/// Protobuf's JSON has 64-bit numbers as text; MLflow makes numbers of them.
fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
        Nothing(()),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.parse().map_err(de::Error::custom),
        Either::Nothing(()) => Ok(0),
    }
}

impl Client {
    /// What stands in a directory, in the order of paths; nothing of what is no directory.
    pub(crate) async fn children(&self, directory: &ArtifactPath) -> Result<Vec<ArtifactMeta>> {
        let mut children = self.listed(directory).await?;
        if let [only] = &children[..]
            && !only.is_directory()
            && only.path.file_name() == self.full(directory).file_name()
            && !directory.is_root()
            && self.look(directory).await?.is_some_and(|found| !found.is_directory())
        {
            // Some destinations list a file as if it were in itself.
            children.clear();
        }
        Ok(children)
    }

    async fn listed(&self, directory: &ArtifactPath) -> Result<Vec<ArtifactMeta>> {
        let url = self.list_url(&self.full(directory))?;
        let Listing { files } = self.get_json(&url).await?;
        let mut children: Vec<_> = files.into_iter().filter_map(|listed| child(directory, listed)).collect();
        children.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(children)
    }

    /// What stands at `path`, if anything does. Of a file and a directory of one name, which object storages can have, the file.
    pub(crate) async fn look(&self, path: &ArtifactPath) -> Result<Option<ArtifactMeta>> {
        let found = self.named(path).await?;
        let file = found.iter().find(|entry| !entry.is_directory()).cloned();
        Ok(file.or_else(|| found.into_iter().next()))
    }

    /// All that has this path: one entry, or a file and a directory of one name.
    pub(crate) async fn named(&self, path: &ArtifactPath) -> Result<Vec<ArtifactMeta>> {
        let Some(parent) = path.parent() else { return Ok(vec![ArtifactMeta::directory(path.clone())]) };
        if !self.can_ask(&parent).await? {
            return Ok(Vec::new());
        }
        // It asks for the directory itself where that could be a file.
        let mut siblings = Box::pin(self.children(&parent)).await?;
        siblings.retain(|entry| entry.path == *path);
        Ok(siblings)
    }

    /// Whether the server can be asked for `path`. If it would take it for another one, nothing can be there, or, where somebody
    /// put it there behind the server's back, this fails with [`ErrorKind::InvalidPath`].
    pub(crate) async fn can_ask(&self, path: &ArtifactPath) -> Result<bool> {
        let full = self.full(path);
        let refused = match self.check_name(&full).await {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::InvalidPath => error,
            Err(error) => return Err(error),
        };
        // The first that cannot be asked for, and its directory, which can.
        let first = prefixes(path).find(|prefix| defect(&self.full(prefix)).is_some());
        let Some((first, parent)) = first.and_then(|first| Some((first.clone(), first.parent()?))) else {
            return Err(refused);
        };
        if defect(&self.full(&parent)).is_some() {
            return Err(refused);
        }
        let is_there = self.listed(&parent).await?.iter().any(|entry| entry.path == first);
        if is_there { Err(refused) } else { Ok(false) }
    }
}

/// The entry as an artifact. A name that leads elsewhere, or is none, is left out: it must not spoil the rest.
fn child(directory: &ArtifactPath, listed: Listed) -> Option<ArtifactMeta> {
    let Ok(path) = directory.child(&listed.path) else {
        let name = &listed.path;
        log::warn!("the server lists a name in {directory:?} that is none, and is left out: {name:?}");
        return None;
    };
    if listed.is_dir {
        return Some(ArtifactMeta::directory(path));
    }
    let size = listed.file_size;
    Some(ArtifactMeta { path, kind: ArtifactKind::File, size, modified: None, etag: None, digest: None })
}

/// What stands at `path`.
pub(crate) async fn stat(client: &Client, path: &ArtifactPath) -> Result<ArtifactMeta> {
    client.look(path).await?.ok_or_else(not_found)
}

/// What stands below `directory`.
pub(crate) fn list(
    client: Arc<Client>,
    directory: ArtifactPath,
    recursive: bool,
) -> BoxStream<'static, Result<ArtifactMeta>> {
    let waiting = VecDeque::from([directory]);
    let levels = stream::try_unfold((client, waiting), move |(client, mut waiting)| async move {
        let directories: Vec<_> = waiting.drain(..waiting.len().min(AT_ONCE)).collect();
        if directories.is_empty() {
            return Ok(None);
        }
        let found = try_join_all(directories.into_iter().map(|directory| below(&client, directory))).await?;
        let found = found.concat();
        if recursive {
            let directories = found.iter().filter(|entry| entry.is_directory());
            waiting.extend(directories.map(|entry| entry.path.clone()));
        }
        let entries = stream::iter(found.into_iter().map(Ok));
        Ok(Some((entries, (client, waiting))))
    });
    levels.try_flatten().boxed()
}

/// The children of a directory, whatever its name.
pub(crate) async fn below(client: &Client, directory: ArtifactPath) -> Result<Vec<ArtifactMeta>> {
    let children = async {
        if client.can_ask(&directory).await? { client.children(&directory).await } else { Ok(Vec::new()) }
    };
    children.await.map_err(|error| error.with_path(&directory))
}
