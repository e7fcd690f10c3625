//! Repositories and their items. Everything here is done under one lock, and so is seen whole or not at all.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Weak};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::{Millis, now};
use crate::config::RepositoryKind;
use crate::error::Failure;
use crate::journal::{Journal, Record};
use crate::path::{Algorithm, Target, id};
use crate::storage::Blob;

/// The repository that deleted and replaced items go to.
pub(crate) const TRASH: &str = "auto-trashcan";

/// Keys with their values in the order they came in.
pub(crate) type Properties = BTreeMap<String, Vec<String>>;

/// Adds a value unless the key has it.
pub(crate) fn add_property(properties: &mut Properties, key: &str, value: String) {
    let values = properties.entry(key.to_owned()).or_default();
    if !values.contains(&value) {
        values.push(value);
    }
}

/// Checksums a client declared for a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Declared {
    pub(crate) sha1: Option<String>,
    pub(crate) sha256: Option<String>,
    pub(crate) md5: Option<String>,
}

impl Declared {
    pub(crate) fn slot(&mut self, algorithm: Algorithm) -> &mut Option<String> {
        match algorithm {
            Algorithm::Sha1 => &mut self.sha1,
            Algorithm::Sha256 => &mut self.sha256,
            Algorithm::Md5 => &mut self.md5,
        }
    }
}

/// The content of an item that is a file.
#[derive(Clone, Debug)]
pub(crate) struct FileNode {
    pub(crate) blob: Arc<Blob>,
    pub(crate) declared: Declared,
}

/// A file or a folder.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) details: Details,
    /// `None` for a folder.
    pub(crate) file: Option<FileNode>,
}

/// What every item has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Details {
    pub(crate) created: Millis,
    pub(crate) created_by: String,
    pub(crate) modified: Millis,
    pub(crate) modified_by: String,
    pub(crate) updated: Millis,
    #[serde(default)]
    pub(crate) properties: Properties,
    #[serde(default)]
    pub(crate) properties_changed: Option<Millis>,
    #[serde(skip)]
    pub(crate) downloads: u64,
    #[serde(skip)]
    pub(crate) last_downloaded: Option<(Millis, String)>,
}

impl Details {
    pub(crate) fn new(by: &str) -> Self {
        let at = now();
        Self {
            created: at,
            created_by: by.to_owned(),
            modified: at,
            modified_by: by.to_owned(),
            updated: at,
            properties: Properties::new(),
            properties_changed: None,
            downloads: 0,
            last_downloaded: None,
        }
    }
}

impl Item {
    pub(crate) fn folder(by: &str) -> Self {
        Self { details: Details::new(by), file: None }
    }
}

/// A repository with all its items by path; the empty path is its root.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    pub(crate) kind: RepositoryKind,
    /// Its configuration as the API shows it.
    pub(crate) settings: Map<String, Value>,
    pub(crate) items: BTreeMap<String, Item>,
}

impl Repository {
    pub(crate) fn new(kind: RepositoryKind, settings: Map<String, Value>) -> Self {
        let items = BTreeMap::from([(String::new(), Item::folder("admin"))]);
        Self { kind, settings, items }
    }

    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).and_then(Value::as_str)
    }

    /// All items below a path, in order, without itself.
    pub(crate) fn below<'a>(&'a self, path: &str) -> Box<dyn Iterator<Item = (&'a String, &'a Item)> + 'a> {
        if path.is_empty() {
            return Box::new(self.items.range::<str, _>((Bound::Excluded(""), Bound::Unbounded)));
        }
        // '0' is the character after '/'.
        Box::new(self.items.range(format!("{path}/")..format!("{path}0")))
    }

    /// The names right below a folder, and whether each is a folder.
    pub(crate) fn children(&self, path: &str) -> BTreeMap<String, bool> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut children = BTreeMap::new();
        let mut from = Bound::Included(prefix.clone());
        while let Some((key, item)) = self.items.range((from, Bound::Unbounded)).next() {
            let Some(rest) = key.strip_prefix(&prefix) else { break };
            from = match rest.split_once('/') {
                // Inside a child that was seen: on to what stands behind all it has.
                Some((child, _)) => Bound::Included(format!("{prefix}{child}0")),
                None => {
                    if !rest.is_empty() {
                        children.insert(rest.to_owned(), item.file.is_none());
                    }
                    Bound::Excluded(key.clone())
                }
            };
        }
        children
    }
}

/// Everything the server holds.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) repositories: BTreeMap<String, Repository>,
    /// Content by each of its digests, as long as some item holds it.
    known: HashMap<String, Weak<Blob>>,
    journal: Option<Journal>,
    trash: bool,
}

impl State {
    pub(crate) fn new(journal: Option<Journal>, trash: bool) -> Self {
        let mut state = Self { repositories: BTreeMap::new(), known: HashMap::new(), journal, trash };
        state.repositories.insert(TRASH.to_owned(), Repository::new(RepositoryKind::Local, Map::new()));
        state
    }

    pub(crate) fn with_journal(mut self, journal: Journal) -> Self {
        self.journal = Some(journal);
        self
    }

    pub(crate) fn note(&mut self, record: impl FnOnce() -> Record) {
        if let Some(journal) = &mut self.journal {
            journal.append(&record());
        }
    }

    /// Puts an item back that the journal had.
    pub(crate) fn restore(&mut self, repo: &str, path: &str, mut item: Item) {
        self.learn(&mut item);
        if let Some(repository) = self.repositories.get_mut(repo) {
            repository.items.insert(path.to_owned(), item);
        }
    }

    /// Content that some item holds already is held once.
    fn learn(&mut self, item: &mut Item) {
        if let Some(file) = &mut item.file {
            if let Some(known) = self.content(&file.blob.digests.sha256) {
                file.blob = known;
                return;
            }
            let digests = &file.blob.digests;
            for digest in [&digests.sha1, &digests.sha256, &digests.md5] {
                self.known.insert(digest.clone(), Arc::downgrade(&file.blob));
            }
        }
    }

    /// Content that some item holds.
    pub(crate) fn content(&self, digest: &str) -> Option<Arc<Blob>> {
        self.known.get(digest).and_then(Weak::upgrade)
    }

    /// The size of everything, trash included.
    pub(crate) fn used(&self) -> u64 {
        let items = self.repositories.values().flat_map(|repository| repository.items.values());
        items.filter_map(|item| item.file.as_ref()).map(|file| file.blob.digests.size).sum()
    }

    /// The repositories that a read of this one looks into, in order.
    pub(crate) fn readable<'a>(&'a self, key: &'a str) -> Vec<(&'a str, &'a Repository)> {
        let Some(repository) = self.repositories.get(key) else { return Vec::new() };
        match &repository.kind {
            RepositoryKind::Virtual { members, .. } => {
                members.iter().flat_map(|member| self.readable(member)).collect()
            }
            _ => vec![(key, repository)],
        }
    }

    /// The item a read finds, with the repository that has it.
    pub(crate) fn find<'a>(&'a self, target: &'a Target) -> Option<(&'a str, &'a Item)> {
        self.readable(&target.repo)
            .into_iter()
            .find_map(|(key, repository)| repository.items.get(&target.path).map(|item| (key, item)))
    }

    /// The very item of a repository that holds items itself.
    pub(crate) fn item(&self, repo: &str, path: &str) -> Option<&Item> {
        self.repositories.get(repo)?.items.get(path)
    }

    /// Changes an item in its place.
    pub(crate) fn change(&mut self, repo: &str, path: &str, change: impl FnOnce(&mut Item)) -> bool {
        let Some(item) = self.repositories.get_mut(repo).and_then(|found| found.items.get_mut(path)) else {
            return false;
        };
        change(item);
        let item = item.clone();
        self.note(|| Record::put(repo, path, &item));
        true
    }

    /// Counts a download, which the journal does not need to know.
    pub(crate) fn count_download(&mut self, repo: &str, path: &str, by: &str) {
        if let Some(item) = self.repositories.get_mut(repo).and_then(|found| found.items.get_mut(path)) {
            item.details.downloads += 1;
            item.details.last_downloaded = Some((now(), by.to_owned()));
        }
    }

    /// Refuses a file where a folder is, a folder where a file is, and anything below a file.
    pub(crate) fn check_kind(&self, repo: &str, path: &str, folder: bool) -> Result<(), Failure> {
        // The clash is a 500 in 6.20 [S]; the code of 7.x is an open point, the phrase is what counts.
        if let Some(item) = self.item(repo, path) {
            match (item.file.is_some(), folder) {
                (false, false) => {
                    return Err(Failure::internal(format!(
                        "Expected a file but found a folder, at: {}",
                        id(repo, path)
                    )));
                }
                (true, true) => return Err(not_a_folder(repo, path)),
                _ => {}
            }
        }
        let mut parent = path;
        while let Some((above, _)) = parent.rsplit_once('/') {
            if self.item(repo, above).is_some_and(|item| item.file.is_some()) {
                return Err(not_a_folder(repo, above));
            }
            parent = above;
        }
        Ok(())
    }

    /// Puts an item in its place, with the parents it needs. What was there goes to the trash if it was different.
    pub(crate) fn put(&mut self, repo: &str, path: &str, item: Item) -> Result<(), Failure> {
        self.check_kind(repo, path, item.file.is_none())?;
        // Not a moment later than what they are made for: that is the newest of them.
        self.make_parents(repo, path, &item.details.modified_by, item.details.updated);
        if let Some(old) = self.item(repo, path).cloned()
            && sha1_of(&old) != sha1_of(&item)
        {
            self.throw_away(repo, path, &old, &item.details.modified_by);
        }
        self.insert(repo, path, item);
        Ok(())
    }

    fn insert(&mut self, repo: &str, path: &str, mut item: Item) {
        self.learn(&mut item);
        self.note(|| Record::put(repo, path, &item));
        if let Some(repository) = self.repositories.get_mut(repo) {
            repository.items.insert(path.to_owned(), item);
        }
    }

    fn make_parents(&mut self, repo: &str, path: &str, by: &str, at: Millis) {
        let mut missing = Vec::new();
        let mut rest = path;
        while let Some((above, _)) = rest.rsplit_once('/') {
            if self.item(repo, above).is_some() {
                break;
            }
            missing.push(above.to_owned());
            rest = above;
        }
        for folder in missing.into_iter().rev() {
            let details = Details { created: at, modified: at, updated: at, ..Details::new(by) };
            self.insert(repo, &folder, Item { details, file: None });
        }
    }

    fn throw_away(&mut self, repo: &str, path: &str, item: &Item, by: &str) {
        if !self.trash || repo == TRASH {
            return;
        }
        let mut item = item.clone();
        let properties = &mut item.details.properties;
        add_property(properties, "trash.time", now().to_string());
        add_property(properties, "trash.deletedBy", by.to_owned());
        add_property(properties, "trash.originalRepository", repo.to_owned());
        add_property(properties, "trash.originalPath", path.to_owned());
        let place = format!("{repo}/{path}");
        self.make_parents(TRASH, &place, by, now());
        self.insert(TRASH, &place, item);
    }

    /// Removes an item and all below it. The root of a repository stays, empty.
    pub(crate) fn remove(&mut self, repo: &str, path: &str, by: &str) -> bool {
        self.take_away(repo, path, Some(by))
    }

    /// Removes an item and all below it, past the trash.
    pub(crate) fn remove_for_good(&mut self, repo: &str, path: &str) -> bool {
        self.take_away(repo, path, None)
    }

    fn take_away(&mut self, repo: &str, path: &str, to_trash_by: Option<&str>) -> bool {
        let Some(repository) = self.repositories.get(repo) else { return false };
        if !repository.items.contains_key(path) {
            return false;
        }
        let mut paths: Vec<String> = repository.below(path).map(|(path, _)| path.clone()).collect();
        if !path.is_empty() {
            paths.insert(0, path.to_owned());
        }
        for path in &paths {
            let item = self.repositories.get_mut(repo).and_then(|found| found.items.remove(path));
            if let (Some(item), Some(by)) = (item, to_trash_by) {
                self.throw_away(repo, path, &item, by);
            }
            self.note(|| Record::Remove { repo: repo.to_owned(), path: path.clone() });
        }
        true
    }

    pub(crate) fn add_repository(&mut self, key: &str, repository: Repository) {
        self.note(|| Record::repository(key, &repository));
        self.repositories.insert(key.to_owned(), repository);
    }

    pub(crate) fn remove_repository(&mut self, key: &str) -> bool {
        self.note(|| Record::RemoveRepository { key: key.to_owned() });
        self.repositories.remove(key).is_some()
    }
}

fn sha1_of(item: &Item) -> Option<&str> {
    item.file.as_ref().map(|file| file.blob.digests.sha1.as_str())
}

/// The answer to a file where a folder should be.
pub(crate) fn not_a_folder(repo: &str, path: &str) -> Failure {
    Failure::internal(format!("Expected a folder but found a file, at: {}", id(repo, path)))
}
