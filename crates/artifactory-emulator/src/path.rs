//! Paths of items: the raw `;` split before anything is decoded, and the names the server refuses.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::Failure;
use crate::state::{Properties, add_property};

/// What stands in a path as it is; all else is escaped.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'+')
    .remove(b'@')
    .remove(b':');

/// Where a request points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// The repository's key.
    pub(crate) repo: String,
    /// The path below it, decoded, without slashes at the ends; empty for the root.
    pub(crate) path: String,
    /// Whether the path ended with a slash.
    pub(crate) slash: bool,
    /// The matrix parameters.
    pub(crate) matrix: Properties,
}

impl Target {
    /// From a raw path. The first raw `;` ends it, `%3B` is a semicolon of the name: it is split before it is decoded
    /// [S: path calculators].
    pub(crate) fn parse(raw: &str) -> Result<Self, Failure> {
        let (path, matrix) = raw.split_once(';').unwrap_or((raw, ""));
        let decoded = decode(path)?;
        if decoded.contains("://") {
            return Err(Failure::bad_request("Forbidden Url in path"));
        }
        let slash = decoded.ends_with('/');
        // Empty segments vanish, which is why a client's double slash does no harm.
        let mut segments = decoded.split('/').filter(|segment| !segment.is_empty());
        let repo = segments.next().unwrap_or_default().to_owned();
        let path = segments.collect::<Vec<_>>().join("/");
        Ok(Self { repo, path, slash, matrix: parse_matrix(matrix)? })
    }

    /// `repo:path`, as messages have it.
    pub(crate) fn id(&self) -> String {
        id(&self.repo, &self.path)
    }
}

/// `repo:path`, as messages have it.
pub(crate) fn id(repo: &str, path: &str) -> String {
    format!("{repo}:{path}")
}

fn decode(text: &str) -> Result<String, Failure> {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(Failure::bad_request("The path is not UTF-8")),
    }
}

/// As in an HTML form: `+` is a space, then percent escapes.
pub(crate) fn decode_form(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// A path with its segments escaped and its slashes kept.
pub(crate) fn encode(path: &str) -> String {
    path.split('/')
        .map(|segment| utf8_percent_encode(segment, SEGMENT).to_string())
        .collect::<Vec<_>>()
        .join("/")
}

/// One segment or a header's value, escaped.
pub(crate) fn encode_segment(segment: &str) -> String {
    utf8_percent_encode(segment, SEGMENT).to_string()
}

fn parse_matrix(raw: &str) -> Result<Properties, Failure> {
    let mut properties = Properties::new();
    for pair in raw.split(';').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key = decode_form(key);
        check_property_key(&key)?;
        for value in split_escaped(&decode_form(value), &[',']) {
            add_property(&mut properties, &key, unescape(&value));
        }
    }
    Ok(properties)
}

/// Splits at separators that have no backslash before them. The backslashes stay.
pub(crate) fn split_escaped(text: &str, separators: &[char]) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for character in text.chars() {
        if !escaped && separators.contains(&character) {
            parts.push(String::new());
            continue;
        }
        escaped = !escaped && character == '\\';
        if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts
}

/// Takes the backslash before `, ; | = \` away.
pub(crate) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let next_is_special = characters.peek().is_some_and(|next| ",;|=\\".contains(*next));
        if character == '\\' && next_is_special {
            plain.extend(characters.next());
        } else {
            plain.push(character);
        }
    }
    plain
}

/// Keys start with a letter and have none of the listed characters.
pub(crate) fn check_property_key(key: &str) -> Result<(), Failure> {
    const REFUSED: &str = ")(}{][*+^$\\/~`!@#%&<>;=,±§ ";
    let starts_well = key.chars().next().is_some_and(char::is_alphabetic);
    if starts_well && !key.contains(|character| REFUSED.contains(character)) {
        return Ok(());
    }
    Err(Failure::bad_request(format!("Property key: {key} is invalid due to illegal characters.")))
}

/// What Tomcat answers 400 to before Artifactory sees it: characters that must be escaped, and bytes beyond ASCII.
pub(crate) fn is_refused_by_tomcat(raw_path: &str) -> bool {
    raw_path.bytes().any(|byte| b"[]{}|^\\\"<>`".contains(&byte) || !byte.is_ascii_graphic())
}

/// The validator every new name goes through [S:PathValidator].
pub(crate) fn validate(path: &str) -> Result<(), Failure> {
    let refuse = |reason: &str| Err(Failure::bad_request(format!("Invalid path: {path}. {reason}")));
    if path.is_empty() {
        return refuse("The name is empty");
    }
    if path.contains(|character| "\\|*?\"".contains(character)) {
        return refuse("It holds one of the characters \\ | * ? \"");
    }
    for segment in path.split('/') {
        if segment == "." || segment == ".." {
            return refuse("A segment is . or ..");
        }
        if segment == "&" {
            return refuse("A segment is &");
        }
    }
    if path.contains(" /") || path.contains("/ ") {
        return refuse("A space stands next to a slash");
    }
    check_lengths(path)
}

/// The limits of the data base's columns.
fn check_lengths(path: &str) -> Result<(), Failure> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if folder.chars().count() > 1024 {
        return Err(Failure::bad_request("The path is longer than 1024 characters"));
    }
    if name.chars().count() > 255 {
        return Err(Failure::bad_request("The name is longer than 255 characters"));
    }
    Ok(())
}

/// The default global excludes of a server, as Ant has them.
pub(crate) fn is_excluded(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let surrounded = |by: char| name.len() >= 2 && name.starts_with(by) && name.ends_with(by);
    name.ends_with('~')
        || surrounded('#')
        || surrounded('%')
        || name.starts_with(".#")
        || name.starts_with("._")
        || name == ".DS_Store"
        || name == ".cvsignore"
        || name == "vssver.scc"
        || path.split('/').any(|segment| ["CVS", ".svn", "SCCS"].contains(&segment))
}

/// A name that stands for the checksum of another item: the item's path and the algorithm [B:L039,T-601].
pub(crate) fn sidecar(path: &str) -> Option<(&str, Algorithm)> {
    let (base, extension) = path.rsplit_once('.')?;
    let algorithm = match extension.to_ascii_lowercase().as_str() {
        "sha1" => Algorithm::Sha1,
        "md5" => Algorithm::Md5,
        "sha256" => Algorithm::Sha256,
        _ => return None,
    };
    (!base.is_empty()).then_some((base, algorithm))
}

/// A digest that items are known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha1,
    Sha256,
    Md5,
}
