//! Listing: one request where the server allows it, parsed while it arrives.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactKind, ArtifactMeta, ArtifactPath, Digest, DigestAlgorithm, Error, ErrorKind, Result,
};
use mlflow_artifacts_http::{Method, Response};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::client::Client;
use crate::download::stat;
use crate::error::{absent, malformed, refusal};

/// How many entries may be parsed ahead of whoever reads them.
///
/// While nobody reads, the server's answer waits, and a server waits for a minute or so: few trees have more than this.
const PARSED_AHEAD: usize = 32_768;
/// How many folders or files are looked at together where nothing better is allowed.
const AT_ONCE: usize = 16;

/// How a directory is listed, the best first. A store goes on to the next when the edition or the user is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListMethod {
    /// `?list`: Pro, and not anonymous.
    FileList = 0,
    /// The query language: not anonymous.
    Aql = 1,
    /// Folder by folder, file by file.
    Walk = 2,
}

impl ListMethod {
    pub(crate) fn first(is_anonymous: bool) -> Self {
        if is_anonymous { ListMethod::Walk } else { ListMethod::FileList }
    }

    fn current(client: &Client) -> Self {
        match client.list_method.load(Ordering::Relaxed) {
            0 => ListMethod::FileList,
            1 => ListMethod::Aql,
            _ => ListMethod::Walk,
        }
    }

    fn worse(self, client: &Client) {
        let next = if self == ListMethod::FileList { ListMethod::Aql } else { ListMethod::Walk };
        client.list_method.fetch_max(next as u8, Ordering::Relaxed);
    }
}

/// What stands below `directory`.
pub(crate) fn list(
    client: Arc<Client>,
    directory: ArtifactPath,
    recursive: bool,
) -> BoxStream<'static, Result<ArtifactMeta>> {
    let begun = async move { begin(client, directory, recursive).await };
    stream::once(begun).try_flatten().boxed()
}

type Entries = BoxStream<'static, Result<ArtifactMeta>>;

async fn begin(client: Arc<Client>, directory: ArtifactPath, recursive: bool) -> Result<Entries> {
    loop {
        let method = ListMethod::current(&client);
        let listed = match method {
            ListMethod::FileList => file_list(&client, &directory, recursive).await,
            ListMethod::Aql => query(&client, &directory, recursive).await,
            ListMethod::Walk => return walk(&client, &directory, recursive).await,
        };
        match listed {
            // What the edition lacks it lacks for every directory.
            Err(error) if error.kind() == ErrorKind::Unsupported => method.worse(&client),
            // What this user may not see is another matter: folder by folder it is told, where a query leaves it out.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return walk(&client, &directory, recursive).await;
            }
            listed => return listed,
        }
    }
}

// --- ?list

/// An entry of `FileList+json`. The wire has numbers and booleans where the vendor's documents show strings: both are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileListEntry {
    uri: String,
    #[serde(default, deserialize_with = "number_or_text")]
    size: i64,
    #[serde(default, deserialize_with = "switch_or_text")]
    folder: bool,
    last_modified: Option<String>,
    sha1: Option<String>,
    sha2: Option<String>,
}

async fn file_list(client: &Arc<Client>, directory: &ArtifactPath, recursive: bool) -> Result<Entries> {
    let full = client.full(directory);
    let query = format!("?list&deep={}&listFolders=1", u8::from(recursive));
    let response = client.call(Method::GET, client.storage_url(&full, &query)?, &[200, 400, 404]).await?;
    match response.status() {
        200 => {}
        404 => return absent(response).await.map(|()| stream::empty().boxed()),
        _ => {
            let error = refusal(response).await;
            // A file where a folder is meant has no entries.
            return if error.kind() == ErrorKind::NotADirectory {
                Ok(stream::empty().boxed())
            } else {
                Err(error)
            };
        }
    }
    let directory = directory.clone();
    let entries = stream_array::<FileListEntry>(response, "files");
    Ok(entries.map(move |entry| file_list_meta(&directory, entry?)).boxed())
}

fn file_list_meta(directory: &ArtifactPath, entry: FileListEntry) -> Result<ArtifactMeta> {
    let path = directory.join(&below(entry.uri.strip_prefix('/').unwrap_or(&entry.uri))?);
    if entry.folder {
        return Ok(ArtifactMeta::directory(path));
    }
    file_meta(path, entry.size, entry.last_modified, entry.sha1, entry.sha2)
}

fn file_meta(
    path: ArtifactPath,
    size: i64,
    modified: Option<String>,
    sha1: Option<String>,
    sha256: Option<String>,
) -> Result<ArtifactMeta> {
    Ok(ArtifactMeta {
        path,
        kind: ArtifactKind::File,
        size: u64::try_from(size).map_err(|_| malformed("lists a file without a size"))?,
        modified: modified.as_deref().and_then(time),
        etag: sha1,
        digest: sha256.and_then(|hex| Digest::parse(DigestAlgorithm::Sha256, &hex).ok()),
    })
}

/// A name that the server told, as a path. One that leads elsewhere is refused, not cleaned up.
fn below(name: &str) -> Result<ArtifactPath> {
    match ArtifactPath::parse(name) {
        Ok(path) if !path.is_root() => Ok(path),
        _ => Err(malformed(&format!("lists a name that is none: {name:?}"))),
    }
}

/// The time, to the second: as the headers of the file tell it.
fn time(text: &str) -> Option<SystemTime> {
    let stamp: jiff::Timestamp = text.parse().ok()?;
    let seconds = u64::try_from(stamp.as_second()).ok()?;
    Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
}

fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.parse().map_err(de::Error::custom),
    }
}

fn switch_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Switch(bool),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Switch(switch) => Ok(switch),
        Either::Text(text) => Ok(text.eq_ignore_ascii_case("true")),
    }
}

// --- the query language

/// A row of an answer. A directory's own path is `.` at the top of a repository.
#[derive(Deserialize)]
struct Row {
    path: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    size: i64,
    modified: Option<String>,
    actual_sha1: Option<String>,
    sha256: Option<String>,
}

/// The whole answer is sorted here: this edition's server does not, and none says in which order.
async fn query(client: &Arc<Client>, directory: &ArtifactPath, recursive: bool) -> Result<Entries> {
    let full = client.full(directory);
    let (repository, path) = Client::split(&full)?;
    let parent = if path.is_empty() { "." } else { path };
    if parent.contains(['*', '?']) {
        // Wildcards of the query language, which has no escape for them.
        return walk(client, directory, recursive).await;
    }
    let place = match (recursive, path.is_empty()) {
        (true, true) => serde_json::json!({}),
        (true, false) => {
            serde_json::json!({"$or": [{"path": parent}, {"path": {"$match": format!("{parent}/*")}}]})
        }
        (false, _) => serde_json::json!({"path": parent}),
    };
    let find = serde_json::json!({"$and": [{"repo": repository}, {"type": "any"}, place]});
    // Who is no administrator must include repo, path and name.
    let text = format!(
        r#"items.find({find}).include("repo","path","name","type","size","modified","actual_sha1","sha256")"#
    );
    let headers = [("content-type", "text/plain")];
    let url = client.url("/api/search/aql")?;
    let response = client.call_with(Method::POST, url, &headers, &text, &[200, 400]).await?;
    if response.status() != 200 {
        // A query that is too long, or that this server does not understand.
        return Err(refusal(response).await.into_kind(ErrorKind::Unsupported));
    }
    let rows = stream_array::<Row>(response, "results");
    let entries = rows.try_filter_map(|row| {
        let (directory, full_path) = (directory.clone(), path.to_owned());
        async move { row_meta(&directory, &full_path, row) }
    });
    let mut entries: Vec<ArtifactMeta> = entries.try_collect().await?;
    if entries.is_empty() {
        // A query leaves out what the user may not see. Whether that is all there is, the folder tells.
        client.storage(&full, "").await?;
    }
    entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(stream::iter(entries.into_iter().map(Ok)).boxed())
}

fn row_meta(directory: &ArtifactPath, top: &str, row: Row) -> Result<Option<ArtifactMeta>> {
    let parent = if row.path == "." { "" } else { row.path.as_str() };
    let beyond = || malformed(&format!("lists a path outside of what was asked for: {parent:?}"));
    let parent = ArtifactPath::parse(parent).map_err(|_| beyond())?;
    // The repository itself is a row of its own.
    if row.name == "." {
        return Ok(None);
    }
    let relative = parent.strip_prefix(&ArtifactPath::parse(top)?).ok_or_else(beyond)?;
    let path = directory.join(&relative).join(&below(&row.name)?);
    if row.kind == "folder" {
        return Ok(Some(ArtifactMeta::directory(path)));
    }
    file_meta(path, row.size, row.modified, row.actual_sha1, row.sha256).map(Some)
}

// --- folder by folder

#[derive(Deserialize)]
struct FolderInfo {
    children: Option<Vec<Child>>,
}

#[derive(Deserialize)]
struct Child {
    uri: String,
    folder: bool,
}

async fn walk(client: &Arc<Client>, directory: &ArtifactPath, recursive: bool) -> Result<Entries> {
    let (mut found, mut waiting) = (Vec::new(), VecDeque::from([directory.clone()]));
    while !waiting.is_empty() {
        let level: Vec<_> = waiting.drain(..).collect();
        let looks = stream::iter(level).map(|folder| async move {
            let children = children(client, &folder).await?;
            Ok::<_, Error>((folder, children))
        });
        let mut looks = looks.buffer_unordered(AT_ONCE);
        while let Some((folder, children)) = looks.try_next().await? {
            for child in children {
                let path = folder.join(&below(child.uri.trim_start_matches('/'))?);
                if child.folder && recursive {
                    waiting.push_back(path.clone());
                }
                found.push((path, child.folder));
            }
        }
    }
    found.sort_unstable();
    let client = Arc::clone(client);
    let entries = stream::iter(found).map(move |(path, is_folder)| {
        let client = Arc::clone(&client);
        async move {
            if is_folder {
                return Ok(Some(ArtifactMeta::directory(path)));
            }
            match stat(&client, &path).await {
                Ok(meta) => Ok(Some(meta)),
                // Removed since.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        }
    });
    Ok(entries.buffered(AT_ONCE).try_filter_map(async |meta| Ok(meta)).boxed())
}

/// The children of a folder; none of a file, or of nothing.
async fn children(client: &Client, folder: &ArtifactPath) -> Result<Vec<Child>> {
    let Some(info) = client.storage(&client.full(folder), "").await? else { return Ok(Vec::new()) };
    let info: FolderInfo = serde_json::from_value(info).map_err(|_| malformed("is no folder info"))?;
    Ok(info.children.unwrap_or_default())
}

// --- an array that arrives

/// The elements of the array `field` of the JSON object in `response`, while they arrive. They are parsed on a thread that may
/// block; an object that ends early, lacks the array or says that it was cut short ends the stream with an error.
fn stream_array<T: DeserializeOwned + Send + 'static>(
    response: Response,
    field: &'static str,
) -> BoxStream<'static, Result<T>> {
    let (parsed, elements) = mpsc::channel(PARSED_AHEAD);
    let closed = parsed.clone();
    // Whoever reads it no more does not leave a thread waiting for the server.
    let body = response.stream().take_until(async move { closed.closed().await });
    let reader = StreamReader::new(body.map_err(std::io::Error::other));
    let bridge = SyncIoBridge::new(Box::pin(reader));
    tokio::task::spawn_blocking(move || {
        let mut json =
            serde_json::Deserializer::from_reader(std::io::BufReader::with_capacity(64 << 10, bridge));
        let object = Object { field, parsed: &parsed, element: PhantomData };
        let outcome = json.deserialize_map(object).and_then(|()| json.end());
        // If nobody listens any more, nobody wants to know.
        let _ = parsed.blocking_send(outcome.map(|()| None).map_err(parse_error));
    });
    stream::try_unfold(elements, |mut elements| async {
        let lost = || Err(Error::new(ErrorKind::Internal, "the parser of the listing is gone"));
        let element = elements.recv().await.unwrap_or_else(lost)?;
        Ok(element.map(|element| (element, elements)))
    })
    .boxed()
}

/// The error of the connection, if it is what ended the text.
fn parse_error(error: serde_json::Error) -> Error {
    if !error.is_io() {
        return malformed(&format!("cannot be parsed: {error}")).with_source(error);
    }
    let io = std::io::Error::from(error);
    match io.downcast::<Error>() {
        Ok(error) => error,
        Err(io) => Error::from_io(io),
    }
}

/// Reads an object, and sends the elements of one of its arrays.
struct Object<'a, T> {
    field: &'static str,
    parsed: &'a mpsc::Sender<Result<Option<T>>>,
    element: PhantomData<T>,
}

impl<'de, T: DeserializeOwned> Visitor<'de> for Object<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an object with the array {:?}", self.field)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        #[derive(Deserialize)]
        struct Range {
            notification: Option<String>,
        }
        let mut is_found = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == self.field {
                is_found = true;
                map.next_value_seed(Elements { parsed: self.parsed, element: PhantomData })?;
            } else if key == "range" {
                // The query language says here that it left rows out.
                if let Some(notification) = map.next_value::<Range>()?.notification {
                    return Err(de::Error::custom(notification));
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if is_found { Ok(()) } else { Err(de::Error::custom(format!("there is no {:?}", self.field))) }
    }
}

struct Elements<'a, T> {
    parsed: &'a mpsc::Sender<Result<Option<T>>>,
    element: PhantomData<T>,
}

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for Elements<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for Elements<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while let Some(element) = array.next_element()? {
            if self.parsed.blocking_send(Ok(Some(element))).is_err() {
                return Err(de::Error::custom("nobody reads the listing any more"));
            }
        }
        Ok(())
    }
}
