//! The facts about Artifactory that are data, `tests/wire/*.json`, one test for each case.
//!
//! The emulator is asked over a socket with the very bytes of the case: no client may tidy a path up.

#![allow(clippy::unwrap_used, reason = "no libtest: the lint does not see that all of it is test code")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use artifactory_emulator::{Builder, Edition, Emulator, Permissions, Redirect, RepositoryKind};
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use support::{Answer, encode, exchange, glob};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    source: String,
    #[serde(default)]
    edition: Option<String>,
    #[serde(default)]
    setup: Setup,
    #[serde(default)]
    given: Vec<Given>,
    #[serde(default)]
    r#as: Option<String>,
    request: Request,
    response: Expected,
    #[serde(default)]
    then: Vec<Step>,
    /// What a client makes of it: for the test of the store.
    #[serde(default, rename = "client")]
    _client: IgnoredAny,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Setup {
    redirect: Option<RedirectSetup>,
    multipart: bool,
    anonymous: Option<String>,
    users: BTreeMap<String, Rights>,
    tokens: BTreeMap<String, Rights>,
    api_keys: BTreeMap<String, String>,
    repositories: BTreeMap<String, Value>,
    range_quirk: bool,
    quota: Option<u64>,
    lockout: u32,
    context: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RedirectSetup {
    from_bytes: u64,
    valid_for_ms: u64,
    checksum_headers: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rights {
    password: String,
    read: bool,
    deploy: bool,
    delete: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    #[serde(default)]
    file: Option<String>,
    #[serde(default)]
    folder: Option<String>,
    #[serde(default)]
    content: String,
    #[serde(default)]
    properties: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    #[serde(default)]
    r#as: Option<String>,
    request: Request,
    response: Expected,
    #[serde(default, rename = "client")]
    _client: IgnoredAny,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    #[serde(default)]
    absent_headers: Vec<String>,
    #[serde(default)]
    json: Option<Value>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    text_contains: Option<String>,
    /// Names for later steps: from `json:/pointer` or `header:name`.
    #[serde(default)]
    save: BTreeMap<String, String>,
}

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for file in files() {
        let topic = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        let cases: Vec<Case> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{topic}: {error}"));
        for case in cases {
            trials.push(Trial::test(format!("{topic}: {}", case.name), move || run(&case)));
        }
    }
    println!("{} wire cases", trials.len());
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

fn run(case: &Case) -> Result<(), Failed> {
    if case.source.is_empty() {
        return Err("a case without a source is no fact".into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let emulator = runtime.block_on(builder(case).start())?;
    emulator.lockout(case.setup.lockout);
    let origin = format!("http://{}", emulator.address());
    let mut names = BTreeMap::from([("origin".to_owned(), origin), ("url".to_owned(), emulator.url())]);
    for given in &case.given {
        give(&emulator, given)?;
    }
    step(&emulator, &mut names, case.r#as.as_deref(), &case.request, &case.response)?;
    for (number, next) in case.then.iter().enumerate() {
        step(&emulator, &mut names, next.r#as.as_deref(), &next.request, &next.response)
            .map_err(|failed| format!("step {}: {}", number + 2, failed.message().unwrap_or_default()))?;
    }
    Ok(())
}

fn builder(case: &Case) -> Builder {
    let setup = &case.setup;
    let mut builder = Emulator::builder()
        .edition(if case.edition.as_deref() == Some("oss") { Edition::Oss } else { Edition::Pro })
        .user("admin", "password")
        .token("test-token")
        .multipart(setup.multipart)
        .range_quirk(setup.range_quirk)
        .quota(setup.quota)
        .redirect(setup.redirect.as_ref().map(|redirect| Redirect {
            from_bytes: redirect.from_bytes,
            valid_for: std::time::Duration::from_millis(redirect.valid_for_ms),
            checksum_headers: redirect.checksum_headers,
        }))
        .repository("generic-local", RepositoryKind::Local);
    if setup.anonymous.as_deref() == Some("read") {
        builder = builder.anonymous(Permissions::READ);
    }
    if let Some(context) = &setup.context {
        builder = builder.context(context);
    }
    for (name, rights) in &setup.users {
        builder = builder.user_with(name, &rights.password, permissions(rights));
    }
    for (secret, rights) in &setup.tokens {
        builder = builder.token_with(secret, permissions(rights));
    }
    for (user, key) in &setup.api_keys {
        builder = builder.api_key(user, key);
    }
    for (key, kind) in &setup.repositories {
        builder = builder.repository(key, repository_kind(kind));
    }
    builder
}

fn permissions(rights: &Rights) -> Permissions {
    Permissions { read: rights.read, deploy: rights.deploy, delete: rights.delete }
}

fn repository_kind(kind: &Value) -> RepositoryKind {
    match kind.as_str() {
        Some("local") => RepositoryKind::Local,
        Some("remote") => RepositoryKind::Remote,
        _ => RepositoryKind::Virtual {
            members: serde_json::from_value(kind["virtual"].clone()).unwrap(),
            default_deployment: kind["default"].as_str().map(str::to_owned),
        },
    }
}

fn give(emulator: &Emulator, given: &Given) -> Result<(), Failed> {
    let path = match (&given.file, &given.folder) {
        (Some(file), None) => encode(file),
        (None, Some(folder)) => format!("{}/", encode(folder)),
        _ => return Err("given is either a file or a folder".into()),
    };
    let matrix: String =
        given.properties.iter().map(|(key, values)| [";", key, "=", &values.join(",")].concat()).collect();
    let mut headers = given.headers.clone();
    headers.insert("Authorization".to_owned(), "Bearer test-token".to_owned());
    let path = format!("{}/{path}{matrix}", context(emulator));
    let answer = exchange(emulator.address(), "PUT", &path, &headers, Some(given.content.as_bytes()))?;
    if answer.status == 201 { Ok(()) } else { Err(format!("given {path}: {}", answer.status).into()) }
}

fn context(emulator: &Emulator) -> String {
    let origin = format!("http://{}", emulator.address());
    emulator.url()[origin.len()..].to_owned()
}

fn step(
    emulator: &Emulator,
    names: &mut BTreeMap<String, String>,
    who: Option<&str>,
    request: &Request,
    expected: &Expected,
) -> Result<(), Failed> {
    let mut headers: BTreeMap<String, String> =
        request.headers.iter().map(|(name, value)| (name.clone(), fill(names, value))).collect();
    if let Some((name, value)) = credentials(&fill(names, who.unwrap_or("token"))) {
        headers.insert(name, value);
    }
    let target = fill(names, &request.path);
    let (address, path) = match target.strip_prefix("http://") {
        Some(rest) => {
            let (host, path) = rest.split_once('/').ok_or("a URL without a path")?;
            (host.parse()?, format!("/{path}"))
        }
        None => (emulator.address(), target),
    };
    let body = request.body.as_deref().map(|body| fill(names, body));
    let answer = exchange(address, &request.method, &path, &headers, body.as_deref().map(str::as_bytes))?;
    check(&answer, expected, names).map_err(|failed| {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let failed = failed.message().unwrap_or_default().to_owned();
        Failed::from(format!("{failed}\n{} {:?}\n{text}", answer.status, answer.headers))
    })?;
    for (name, place) in &expected.save {
        names.insert(name.clone(), find(&answer, place)?);
    }
    Ok(())
}

fn credentials(who: &str) -> Option<(String, String)> {
    let authorization = |value: String| Some(("Authorization".to_owned(), value));
    match who.split_once(':').unwrap_or((who, "")) {
        ("anonymous", _) => None,
        ("admin", _) => authorization(support::basic("admin:password")),
        ("basic", pair) => authorization(support::basic(pair)),
        ("bearer", token) => authorization(format!("Bearer {token}")),
        ("apikey", key) => Some(("X-JFrog-Art-Api".to_owned(), key.to_owned())),
        _ => authorization("Bearer test-token".to_owned()),
    }
}

fn fill(names: &BTreeMap<String, String>, text: &str) -> String {
    let replace =
        |text: String, (name, value): (&String, &String)| text.replace(&format!("${{{name}}}"), value);
    names.iter().fold(text.to_owned(), replace)
}

fn find(answer: &Answer, place: &str) -> Result<String, Failed> {
    let found = match place.split_once(':') {
        Some(("json", pointer)) => {
            let json: Value = serde_json::from_slice(&answer.body)?;
            json.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
        }
        Some(("header", name)) => answer.header(name).map(str::to_owned),
        _ => None,
    };
    found.ok_or_else(|| format!("{place} is not in the answer").into())
}

fn check(answer: &Answer, expected: &Expected, names: &BTreeMap<String, String>) -> Result<(), Failed> {
    if answer.status != expected.status {
        return Err(format!("status {} instead of {}", answer.status, expected.status).into());
    }
    for (name, wanted) in &expected.headers {
        let actual = answer.header(name).map_or(Value::Null, Value::from);
        matches(&actual, wanted, names).map_err(|problem| format!("header {name}: {problem}"))?;
    }
    if let Some(name) = expected.absent_headers.iter().find(|name| answer.header(name).is_some()) {
        return Err(format!("header {name} is there").into());
    }
    let text = String::from_utf8_lossy(&answer.body);
    if expected.text.as_ref().is_some_and(|wanted| text != fill(names, wanted)) {
        return Err("another text".into());
    }
    if expected.text_contains.as_ref().is_some_and(|wanted| !text.contains(&fill(names, wanted))) {
        return Err("the text has no such part".into());
    }
    if let Some(wanted) = &expected.json {
        let actual: Value = serde_json::from_slice(&answer.body)?;
        matches(&actual, wanted, names).map_err(|problem| format!("json{problem}"))?;
    }
    Ok(())
}

/// Whether a value has all that is wanted: objects may have more, arrays may not.
fn matches(actual: &Value, wanted: &Value, names: &BTreeMap<String, String>) -> Result<(), String> {
    match wanted {
        Value::Object(pairs) if pairs.contains_key("any") => {
            if actual.is_null() {
                Err(" is not there".to_owned())
            } else {
                Ok(())
            }
        }
        Value::Object(pairs) if pairs.contains_key("absent") => {
            if actual.is_null() {
                Ok(())
            } else {
                Err(format!(" is there: {actual}"))
            }
        }
        Value::Object(pairs) if pairs.contains_key("matches") => {
            let pattern = fill(names, pairs["matches"].as_str().unwrap_or_default());
            let fits = actual.as_str().is_some_and(|text| glob(&pattern, text));
            if fits { Ok(()) } else { Err(format!(" is {actual}, not like {pattern}")) }
        }
        Value::Object(pairs) => pairs.iter().try_for_each(|(key, wanted)| {
            matches(actual.get(key).unwrap_or(&Value::Null), wanted, names)
                .map_err(|problem| format!(".{key}{problem}"))
        }),
        Value::Array(values) => {
            let actual = actual.as_array().ok_or(" is no array")?;
            if actual.len() != values.len() {
                return Err(format!(" has {} elements instead of {}", actual.len(), values.len()));
            }
            let mut pairs = actual.iter().zip(values).enumerate();
            pairs.try_for_each(|(at, (actual, wanted))| {
                matches(actual, wanted, names).map_err(|problem| format!("[{at}]{problem}"))
            })
        }
        Value::String(text) => {
            let text = fill(names, text);
            if actual == &text { Ok(()) } else { Err(format!(" is {actual} instead of {text:?}")) }
        }
        wanted if actual == wanted => Ok(()),
        wanted => Err(format!(" is {actual} instead of {wanted}")),
    }
}
