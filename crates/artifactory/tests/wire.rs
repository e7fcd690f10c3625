//! The facts about Artifactory that are data, `tests/wire/*.json`, one test for each case that a client meets: the emulator's
//! test of the same name proves that the emulator answers so, this one that the store understands it.
//!
//! A case, or one of its later steps, has a field `client`, an object or a list of such:
//!
//! - `operation`, and what it takes: `path`, `to`, `range` (`{"between": [1, 4]}`, `{"from": 2}`, `{"last": 2}`), `if_match`,
//!   `given` (`content`, so many `times`, and `properties` of a `put`; its content is the case's body else).
//! - `outcome`: `ok`, or the name of the error's kind; then `says` has words that its message or help must have.
//! - `query` and `headers`: what the client sends where it is something else than in the case (`?list` and `?list&deep=1`; the
//!   right checksum where the case declares a wrong one). `asks_nothing`: it knows the answer, and does not ask.
//! - `variant`: what differs in this one, if there are several; then `answer`, with `status`, `headers`, and `json` or `text`, is
//!   laid over the case's response. `answer` also completes a response of which the case names only a part.
//! - `others`: `method`, `path` and `response` of the requests that the operation makes beside the case's; with `headers` or a
//!   `body` only such a request is meant (a `PUT` has what is given). A path below `/storage/` is asked of another origin,
//!   `${storage}`, without credentials.
//! - Any other field is compared with what the operation told: `size`, `sha256`, `etag`, `modified`, `directory`, `content`,
//!   `entries` (`a/` is a directory), `sizes`, `sha256s` and `times` by entry, `properties`, `deleted`, `server`, `edition`.
//!
//! A replay server has nothing but these answers. The case's request must arrive once, with its method, path, body,
//! credentials, and headers that matter; each of the others at least once; and nothing else. Where the case leaves open what
//! Artifactory sends (`any`, `matches`, an unnamed field of a 201, `X-Jfrog-Version`), there is an example of it.

#![allow(clippy::unwrap_used, reason = "no libtest: the lint does not see that all of it is test code")]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use base64::Engine as _;
use bytes::Bytes;
use libtest_mimic::{Arguments, Failed, Trial};
use mlflow_artifacts_core::{
    ArtifactMeta, ArtifactStoreExt as _, ByteRange, CopyOptions, DeleteOptions, Deleted, DigestAlgorithm,
    Download, GetOptions, Hasher, ListOptions, Properties, PutBody, PutOptions, PutOutcome,
    Result as StoreResult, SharedStore, StoreConfig,
};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const TIME: &str = "2026-11-20T10:00:00.000Z";
const DATE: &str = "Fri, 20 Nov 2026 10:00:00 GMT";
/// Of `hello`, which most cases are about.
const SHA1: &str = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";
const SHA256: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

// --- the data

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(default)]
    setup: Setup,
    #[serde(flatten)]
    first: Step,
    #[serde(default)]
    then: Vec<Step>,
}

#[derive(Clone, Default, Deserialize)]
struct Setup {
    context: Option<String>,
}

#[derive(Clone, Deserialize)]
struct Step {
    #[serde(default)]
    r#as: Option<String>,
    request: Request,
    response: Response,
    /// One [`Client`], or several.
    #[serde(default)]
    client: Value,
}

#[derive(Clone, Deserialize)]
struct Request {
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
struct Response {
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    #[serde(default)]
    json: Option<Value>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    text_contains: Option<String>,
}

#[derive(Clone, Deserialize)]
struct Client {
    variant: Option<String>,
    operation: Operation,
    #[serde(default)]
    path: String,
    #[serde(default)]
    to: String,
    range: Option<Range>,
    if_match: Option<String>,
    #[serde(default)]
    given: Given,
    query: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    asks_nothing: bool,
    #[serde(default)]
    answer: Response,
    #[serde(default)]
    others: Vec<Other>,
    outcome: String,
    #[serde(default)]
    says: Vec<String>,
    #[serde(flatten)]
    told: Map<String, Value>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Operation {
    Put,
    Get,
    GetRange,
    Stat,
    List,
    ListRecursive,
    Delete,
    DeleteTree,
    Properties,
    Describe,
    CreateDirectory,
    Copy,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Range {
    Between(u64, u64),
    From(u64),
    Last(u64),
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Given {
    content: Option<String>,
    times: Option<usize>,
    properties: Properties,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Other {
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    response: Response,
}

// --- one trial for each

struct Scene {
    setup: Setup,
    who: String,
    request: Request,
    response: Response,
    client: Client,
}

fn main() {
    let arguments = Arguments::from_args();
    let trials: Vec<_> = files().iter().flat_map(|file| trials(file)).collect();
    println!("{} cases for the client", trials.len());
    libtest_mimic::run(&arguments, trials).exit();
}

fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire");
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect();
    files.sort();
    files
}

fn trials(file: &Path) -> Vec<Trial> {
    let topic = file.file_stem().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(file).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{topic}: {error}"));
    let scenes = cases.into_iter().flat_map(scenes);
    scenes.map(|(name, scene)| Trial::test(format!("{topic}: {name}"), move || run(&scene))).collect()
}

fn scenes(case: Case) -> Vec<(String, Scene)> {
    let mut scenes = Vec::new();
    for (number, step) in (1..).zip(std::iter::once(case.first).chain(case.then)) {
        let clients = match step.client {
            Value::Null => Vec::new(),
            Value::Array(clients) => clients,
            client => vec![client],
        };
        for client in clients {
            let client: Client =
                serde_json::from_value(client).unwrap_or_else(|error| panic!("{}: {error}", case.name));
            let step_name = if number > 1 { format!(", step {number}") } else { String::new() };
            let variant = client.variant.as_deref().map(|variant| format!(", {variant}")).unwrap_or_default();
            let scene = Scene {
                setup: case.setup.clone(),
                who: step.r#as.clone().unwrap_or_else(|| "token".to_owned()),
                request: step.request.clone(),
                response: step.response.clone(),
                client,
            };
            scenes.push((format!("{}{step_name}{variant}", case.name), scene));
        }
    }
    scenes
}

fn run(scene: &Scene) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let (server, storage) =
            (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let script = Arc::new(Script::new(scene, &server, &storage)?);
        let store = open(scene, &script);
        tokio::spawn(serve(server, Arc::clone(&script), Origin::Server));
        tokio::spawn(serve(storage, Arc::clone(&script), Origin::Storage));
        let operation = tokio::time::timeout(Duration::from_secs(20), operate(scene, &store));
        let outcome = operation.await.map_err(|_| "the operation hangs")?;
        let told = check(&scene.client, outcome);
        script.check().map_err(|failed| match &told {
            Ok(()) => failed,
            Err(told) => format!("{failed}\n{told}"),
        })?;
        Ok(told?)
    })
}

// --- the client

fn open(scene: &Scene, script: &Script) -> SharedStore {
    let context = scene.setup.context.as_deref().unwrap_or("artifactory");
    let repository = scene.repository();
    let uri = format!("{}/{repository}", script.names["url"].replacen("http", "artifactory", 1));
    let config = StoreConfig::new().with("retries", "0").with("context", context);
    let config = match who(&scene.who) {
        ("anonymous", _) => config,
        ("admin", _) => config.with("user", "admin").with("password", "password"),
        ("basic", pair) => {
            let (user, password) = pair.split_once(':').unwrap();
            config.with("user", user).with("password", password)
        }
        ("bearer", token) => config.with("token", token),
        ("apikey", key) => config.with("api_key", key),
        _ => config.with("token", "test-token"),
    };
    common::open_uri(&uri, &config).unwrap()
}

fn who(text: &str) -> (&str, &str) {
    text.split_once(':').unwrap_or((text, ""))
}

/// The header that tells who asks.
fn credentials(text: &str) -> Option<(&'static str, String)> {
    let basic = |pair: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    match who(text) {
        ("anonymous", _) => None,
        ("admin", _) => Some(("authorization", basic("admin:password"))),
        ("basic", pair) => Some(("authorization", basic(pair))),
        ("bearer", token) => Some(("authorization", format!("Bearer {token}"))),
        ("apikey", key) => Some(("x-jfrog-art-api", key.to_owned())),
        _ => Some(("authorization", "Bearer test-token".to_owned())),
    }
}

impl Scene {
    /// The repository that the case's path names.
    fn repository(&self) -> String {
        let context = self.setup.context.as_deref().unwrap_or("artifactory");
        let below = self.request.path.trim_start_matches('/');
        let below = below.strip_prefix(context).unwrap_or(below).trim_start_matches('/');
        let below = below.strip_prefix("api/storage/").unwrap_or(below);
        let first = below.split(['/', '?', ';']).next().unwrap();
        // The query language and the version are not asked of a repository.
        if first == "api" { "generic-local".to_owned() } else { first.to_owned() }
    }

    /// What a `put` writes.
    fn content(&self) -> Bytes {
        let given = &self.client.given;
        let once = given.content.as_deref().or(self.request.body.as_deref()).unwrap_or_default();
        once.repeat(given.times.unwrap_or(1)).into()
    }
}

async fn operate(scene: &Scene, store: &SharedStore) -> StoreResult<Value> {
    let client = &scene.client;
    let path = common::path(&client.path);
    match client.operation {
        Operation::Put => {
            let options = PutOptions { properties: client.given.properties.clone(), ..Default::default() };
            store.put(&path, PutBody::Bytes(scene.content()), options).await.map(put)
        }
        Operation::Get | Operation::GetRange => {
            let range = client.range.map_or(ByteRange::Full, ByteRange::from);
            let options = GetOptions { range, if_match: client.if_match.clone(), ..Default::default() };
            got(store.get(&path, options).await?).await
        }
        Operation::Stat => store.stat(&path).await.map(|meta| described(&meta)),
        Operation::List => store.list_all(&path, ListOptions::default()).await.map(|list| listed(&list)),
        Operation::ListRecursive => {
            store.list_all(&path, ListOptions { recursive: true }).await.map(|list| listed(&list))
        }
        Operation::Delete => store.delete(&path, DeleteOptions::default()).await.map(deleted),
        Operation::DeleteTree => store.delete_tree(&path).await.map(deleted),
        Operation::Properties => {
            store.properties(&path).await.map(|properties| json!({"properties": properties}))
        }
        Operation::Describe => {
            let told = store.describe().await?.into_iter();
            Ok(told.map(|(name, value)| (name.to_owned(), value)).collect())
        }
        Operation::CreateDirectory => store.create_directory(&path).await.map(|()| json!({})),
        Operation::Copy => {
            store.copy(&path, &common::path(&client.to), CopyOptions::default()).await.map(put)
        }
    }
}

impl From<Range> for ByteRange {
    fn from(range: Range) -> Self {
        match range {
            Range::Between(start, end) => ByteRange::Between(start, end),
            Range::From(start) => ByteRange::From(start),
            Range::Last(count) => ByteRange::Last(count),
        }
    }
}

fn put(outcome: PutOutcome) -> Value {
    let sha256 = outcome.digest.map(|digest| digest.hex());
    json!({"size": outcome.size, "etag": outcome.etag, "sha256": sha256})
}

async fn got(download: Download) -> StoreResult<Value> {
    let mut told = described(&download.meta);
    let content = download.bytes().await?;
    told["content"] = String::from_utf8_lossy(&content).into();
    Ok(told)
}

fn described(meta: &ArtifactMeta) -> Value {
    json!({
        "directory": meta.is_directory(),
        "size": meta.size,
        "etag": meta.etag,
        "sha256": meta.digest.map(|digest| digest.hex()),
        "modified": meta.modified.map(seconds),
    })
}

fn seconds(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).unwrap().to_string()
}

fn listed(entries: &[ArtifactMeta]) -> Value {
    let name = |meta: &ArtifactMeta| format!("{}{}", meta.path, if meta.is_directory() { "/" } else { "" });
    let names: Vec<_> = entries.iter().map(name).collect();
    let by_name = |field: &str| {
        let field = |meta: &ArtifactMeta| (name(meta), described(meta)[field].clone());
        entries.iter().filter(|meta| !meta.is_directory()).map(field).collect::<Map<_, _>>()
    };
    json!({
        "entries": names,
        "sizes": by_name("size"),
        "sha256s": by_name("sha256"),
        "times": by_name("modified"),
    })
}

fn deleted(deleted: Deleted) -> Value {
    json!({"deleted": format!("{deleted:?}").to_lowercase()})
}

fn check(client: &Client, outcome: StoreResult<Value>) -> Result<(), String> {
    let actual = outcome.as_ref().map_or_else(|error| error.kind().name(), |_| "ok");
    if actual != client.outcome {
        return Err(format!("{actual} instead of {}: {outcome:?}", client.outcome));
    }
    match outcome {
        Ok(told) => client.told.iter().try_for_each(|(field, wanted)| match told.get(field) {
            Some(actual) if actual == wanted => Ok(()),
            actual => Err(format!("{field} is {actual:?} instead of {wanted}")),
        }),
        Err(error) => {
            let (told, missing) = (error.to_string(), client.told.keys().next());
            if let Some(word) = client.says.iter().find(|word| !told.contains(*word)) {
                return Err(format!("{word:?} is not in: {told}"));
            }
            missing.map_or(Ok(()), |field| Err(format!("an error tells no {field}")))
        }
    }
}

// --- the replay server

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Server,
    Storage,
}

/// A request that has its answer.
struct Line {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    /// `None` for any.
    body: Option<Bytes>,
    response: Response,
    /// How often it was asked.
    asked: Mutex<u32>,
}

struct Script {
    /// The case's request, and the others.
    lines: Vec<Line>,
    credentials: Option<(&'static str, String)>,
    content: Bytes,
    names: BTreeMap<&'static str, String>,
    /// How often the case's request is to arrive.
    wanted: u32,
    unexpected: Mutex<Vec<String>>,
}

impl Script {
    fn new(scene: &Scene, server: &TcpListener, storage: &TcpListener) -> io::Result<Self> {
        let client = &scene.client;
        let context = scene.setup.context.as_deref().unwrap_or("artifactory");
        let origin = format!("http://{}", server.local_addr()?);
        let url = format!("{origin}/{context}").trim_end_matches('/').to_owned();
        let storage = format!("http://{}/storage", storage.local_addr()?);
        let others = client.others.iter().map(|other| Line::of_other(other, scene));
        Ok(Script {
            lines: std::iter::once(Line::of_case(scene)).chain(others).collect(),
            credentials: credentials(&scene.who),
            content: scene.content(),
            names: BTreeMap::from([("origin", origin), ("url", url), ("storage", storage)]),
            wanted: u32::from(!client.asks_nothing),
            unexpected: Mutex::default(),
        })
    }

    /// Whether what must be asked was, and nothing else.
    fn check(&self) -> Result<(), String> {
        if let Some(unexpected) = self.unexpected.lock().unwrap().first() {
            return Err(format!("nobody expects {unexpected}"));
        }
        let asked: Vec<_> = self.lines.iter().map(|line| *line.asked.lock().unwrap()).collect();
        if asked[0] != self.wanted {
            return Err(format!("the case's request arrived {} times", asked[0]));
        }
        match self.lines.iter().zip(asked).skip(1).find(|(_, asked)| *asked == 0) {
            Some((line, _)) => Err(format!("nobody asked {} {}", line.method, line.path)),
            None => Ok(()),
        }
    }

    fn answer(&self, asked: &Asked, origin: Origin) -> Vec<u8> {
        if let Err(problem) = self.check_asker(asked, origin) {
            return self.refuse(asked, &problem);
        }
        let mut problem = "such a request".to_owned();
        for line in &self.lines {
            match line.compare(asked) {
                Ok(()) => {
                    *line.asked.lock().unwrap() += 1;
                    return self.written(&line.response, asked);
                }
                Err(Some(better)) => problem = better,
                Err(None) => {}
            }
        }
        self.refuse(asked, &problem)
    }

    fn check_asker(&self, asked: &Asked, origin: Origin) -> Result<(), String> {
        let sent =
            ["authorization", "x-jfrog-art-api"].map(|name| asked.headers.get(name).map(String::as_str));
        let wanted = self.credentials.as_ref().filter(|_| origin == Origin::Server);
        let wanted = ["authorization", "x-jfrog-art-api"]
            .map(|name| wanted.filter(|(has, _)| *has == name).map(|(_, value)| value.as_str()));
        if sent != wanted {
            return Err(format!("the credentials {sent:?} instead of {wanted:?}"));
        }
        let is_storage = asked.path.starts_with("/storage/");
        if is_storage == (origin == Origin::Storage) { Ok(()) } else { Err("this origin".to_owned()) }
    }

    fn refuse(&self, asked: &Asked, problem: &str) -> Vec<u8> {
        let Asked { method, path, headers, body } = asked;
        let body = String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned();
        self.unexpected.lock().unwrap().push(format!("{problem}: {method} {path} {headers:?}\n{body}"));
        b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
    }

    /// The answer as bytes.
    fn written(&self, response: &Response, asked: &Asked) -> Vec<u8> {
        let status = response.status.unwrap_or(200);
        let json = self.json(response, asked);
        let mut headers = self.headers(response, json.is_some());
        let text = response.text.as_ref().or(response.text_contains.as_ref());
        let mut body = json.map_or_else(|| text.cloned().unwrap_or_default(), |json| format!("{json:#}"));
        if headers.contains_key("transfer-encoding") {
            body = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        } else if status != 204 && asked.method != "HEAD" {
            headers.insert("content-length".to_owned(), body.len().to_string());
        }
        let mut answer = format!("HTTP/1.1 {status} Told\r\n");
        for (name, value) in headers {
            let _ = write!(answer, "{name}: {value}\r\n");
        }
        answer.push_str("\r\n");
        answer.push_str(if asked.method == "HEAD" { "" } else { &body });
        answer.into_bytes()
    }

    fn json(&self, response: &Response, asked: &Asked) -> Option<Value> {
        let is_item = response.status == Some(201) && asked.method == "PUT" && !asked.path.ends_with('/');
        let told = response.json.as_ref().and_then(|json| self.example("", json));
        if !is_item {
            return told;
        }
        let mut json = self.created(&asked.path);
        merge(&mut json, told.unwrap_or_else(|| json!({})));
        Some(json)
    }

    fn headers(&self, response: &Response, is_json: bool) -> BTreeMap<String, String> {
        let version = ("x-jfrog-version", "Artifactory/7.161.26 86126900");
        let usual = [version, ("connection", "close"), ("content-type", "application/json")];
        let usual = usual.into_iter().filter(|(name, _)| is_json || *name != "content-type");
        let mut headers: BTreeMap<_, _> =
            usual.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (name, value) in &response.headers {
            if let Some(Value::String(value)) = self.example(name, value) {
                headers.insert(name.to_ascii_lowercase(), value);
            }
        }
        headers
    }

    /// What a 201 says of the content, by all the facts.
    fn created(&self, path: &str) -> Value {
        let (path, _) = path.split_once(';').unwrap_or((path, ""));
        json!({
            "repo": "generic-local",
            "path": path,
            "created": TIME,
            "createdBy": "admin",
            "mimeType": "application/octet-stream",
            "size": self.content.len().to_string(),
            "checksums": {
                "sha1": hex(DigestAlgorithm::Sha1, &self.content),
                "sha256": hex(DigestAlgorithm::Sha256, &self.content),
            },
            "originalChecksums": {"sha256": hex(DigestAlgorithm::Sha256, &self.content)},
        })
    }

    /// A value that is as the case wants it; `None` for one that is to be absent.
    fn example(&self, name: &str, wanted: &Value) -> Option<Value> {
        match wanted {
            Value::Null => None,
            Value::Object(pairs) if pairs.contains_key("absent") => None,
            Value::Object(pairs) if pairs.contains_key("any") || pairs.contains_key("matches") => {
                let pattern = pairs.get("matches").and_then(Value::as_str).unwrap_or("7");
                Some(
                    named_example(name)
                        .unwrap_or_else(|| pattern.trim_end_matches('*').replace('*', "7").into()),
                )
            }
            Value::Object(pairs) => {
                let pair = |(name, value): (&String, _)| Some((name.clone(), self.example(name, value)?));
                Some(pairs.iter().filter_map(pair).collect())
            }
            Value::Array(values) => {
                Some(values.iter().filter_map(|value| self.example(name, value)).collect())
            }
            Value::String(text) => Some(self.filled(text).into()),
            other => Some(other.clone()),
        }
    }

    fn filled(&self, text: &str) -> String {
        let fill =
            |text: String, (name, value): (&&str, &String)| text.replace(&format!("${{{name}}}"), value);
        self.names.iter().fold(text.to_owned(), fill)
    }
}

fn named_example(name: &str) -> Option<Value> {
    Some(match name {
        "Last-Modified" => DATE.into(),
        "created" | "modified" | "updated" | "lastModified" | "lastUpdated" => TIME.into(),
        "sha1" | "actual_sha1" => SHA1.into(),
        "sha2" | "sha256" => SHA256.into(),
        "version" => "7.161.26".into(),
        _ => return None,
    })
}

fn hex(algorithm: DigestAlgorithm, content: &[u8]) -> String {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(content);
    hasher.finish().hex()
}

/// The response with what differs from it.
fn overlaid(response: &Response, over: &Response) -> Response {
    let mut response = response.clone();
    response.status = over.status.or(response.status);
    response.headers.extend(over.headers.clone());
    if over.text.is_some() {
        (response.json, response.text) = (None, over.text.clone());
    }
    if let Some(json) = &over.json {
        merge(response.json.get_or_insert(Value::Null), json.clone());
    }
    response
}

/// Objects have the pairs of both; of anything else, `over` is what stays.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                merge(base.entry(name).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

/// A request as it arrived, with header names in lower case.
struct Asked {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Line {
    fn of_case(scene: &Scene) -> Self {
        let (request, client) = (&scene.request, &scene.client);
        let path = match (request.path.split_once('?'), &client.query) {
            (Some((path, _)), Some(query)) => format!("{path}?{query}"),
            (None, Some(query)) => format!("{}?{query}", request.path),
            (_, None) => request.path.clone(),
        };
        Line {
            method: request.method.clone(),
            path,
            headers: client.headers.as_ref().unwrap_or(&request.headers).clone(),
            body: Some(request.body.clone().unwrap_or_default().into()),
            response: overlaid(&scene.response, &client.answer),
            asked: Mutex::default(),
        }
    }

    fn of_other(other: &Other, scene: &Scene) -> Self {
        let body = match &other.body {
            None if other.method == "PUT" => Some(scene.content()),
            body => body.clone().map(Bytes::from),
        };
        Line {
            method: other.method.clone(),
            path: other.path.clone(),
            headers: other.headers.clone(),
            body,
            response: other.response.clone(),
            asked: Mutex::default(),
        }
    }

    /// Whether this is asked; if only a header or the body differs, what does.
    fn compare(&self, asked: &Asked) -> Result<(), Option<String>> {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let (wanted_path, wanted_query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        if asked.method != self.method
            || query != wanted_query
            || structure(path) != structure(wanted_path)
            || !path.bytes().all(is_plain)
        {
            return Err(None);
        }
        for (name, wanted) in &self.headers {
            let actual = asked.headers.get(&name.to_ascii_lowercase());
            if actual != Some(wanted) {
                return Err(Some(format!("the header {name} as {actual:?} instead of {wanted:?}")));
            }
        }
        match &self.body {
            Some(body) if asked.body != *body => Err(Some("another body".to_owned())),
            _ => Ok(()),
        }
    }
}

/// What the server tells apart before it decodes: segments, matrix parameters, and their values.
fn structure(path: &str) -> Vec<Vec<Vec<Vec<u8>>>> {
    let decoded = |text: &str| percent_decode_str(text).collect();
    let parameter = |text: &str| text.split(['=', ',']).map(decoded).collect();
    path.split('/')
        .map(|segment| {
            // Before the parameters both characters belong to the name.
            let mut parts = segment.split(';');
            let name = vec![decoded(parts.next().unwrap_or_default())];
            std::iter::once(name).chain(parts.map(parameter)).collect()
        })
        .collect()
}

/// What the client leaves as it is.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%/;=,".contains(&byte)
}

async fn serve(listener: TcpListener, script: Arc<Script>, origin: Origin) {
    while let Ok((stream, _)) = listener.accept().await {
        let script = Arc::clone(&script);
        tokio::spawn(async move { exchange(stream, &script, origin).await });
    }
}

async fn exchange(mut stream: TcpStream, script: &Script, origin: Origin) -> io::Result<()> {
    let asked = read(&mut stream).await?;
    stream.write_all(&script.answer(&asked, origin)).await?;
    stream.shutdown().await
}

/// Reads a request whose body has a length; the client announces one wherever it knows it.
async fn read(stream: &mut TcpStream) -> io::Result<Asked> {
    let broken = || io::Error::from(io::ErrorKind::InvalidData);
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(broken());
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).map_err(|_| broken())?;
    let mut lines = head.split("\r\n");
    let mut start = lines.next().unwrap_or_default().split(' ');
    let (method, path) = start.next().zip(start.next()).ok_or_else(broken)?;
    let pair = |(name, value): (&str, &str)| (name.to_ascii_lowercase(), value.trim().to_owned());
    let headers: BTreeMap<_, _> = lines.filter_map(|line| line.split_once(':')).map(pair).collect();
    let length = headers.get("content-length").map_or(Ok(0), |length| length.parse::<u64>());
    let mut body = bytes.split_off(end + 4);
    let missing = length.map_err(|_| broken())?.saturating_sub(body.len() as u64);
    stream.take(missing).read_to_end(&mut body).await?;
    Ok(Asked { method: method.to_owned(), path: path.to_owned(), headers, body })
}
