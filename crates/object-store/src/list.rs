//! Directories out of keys.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{ArtifactMeta, ArtifactPath, Result};
use object_store::list::PaginatedListOptions;
use object_store::{ListResult, ObjectMeta};

use crate::error::from_object_store;
use crate::store::{Bucket, Pages, next};

type Entries = BoxStream<'static, Result<ArtifactMeta>>;

/// Everything below a directory, each directory before its content.
pub(crate) fn below(bucket: Arc<Bucket>, directory: ArtifactPath) -> Entries {
    let objects = match bucket.prefix(&directory) {
        Ok(prefix) => bucket.objects.list(prefix.as_ref()),
        Err(error) => return stream::once(async { Err(error) }).boxed(),
    };
    let mut before = directory.clone();
    let entries = objects.map_err(from_object_store).map(move |object| {
        let object = object?;
        let path = bucket.path_of(&object.location)?;
        let mut found = new_directories(&before, &directory, &path);
        before = path.parent().unwrap_or_else(ArtifactPath::root);
        found.push(Bucket::meta(path, &object));
        Ok(stream::iter(found.into_iter().map(Ok)))
    });
    entries.try_flatten().boxed()
}

/// The directories that lead to `path` and not to what came before it: keys that share a directory follow each other.
fn new_directories(before: &ArtifactPath, top: &ArtifactPath, path: &ArtifactPath) -> Vec<ArtifactMeta> {
    let above = |path: &ArtifactPath| std::iter::successors(path.parent(), ArtifactPath::parent);
    let is_new = |directory: &ArtifactPath| {
        directory.strip_prefix(top).is_some_and(|below| !below.is_root())
            && before != directory
            && !above(before).any(|old| old == *directory)
    };
    let mut found: Vec<_> = above(path).filter(is_new).map(ArtifactMeta::directory).collect();
    found.reverse();
    found
}

/// The children of a directory, sorted.
pub(crate) fn children(bucket: Arc<Bucket>, directory: ArtifactPath) -> Entries {
    let prefix = match bucket.prefix(&directory) {
        Ok(prefix) => prefix,
        Err(error) => return stream::once(async { Err(error) }).boxed(),
    };
    let Some(Pages(pages)) = bucket.pages.clone() else {
        let page = async move {
            let page =
                bucket.objects.list_with_delimiter(prefix.as_ref()).await.map_err(from_object_store)?;
            let mut sorter = Sorter::default();
            sorter.take(&bucket, page)?;
            Ok(stream::iter(sorter.rest().map(Ok)))
        };
        return stream::once(page).try_flatten().boxed();
    };
    let prefix = prefix.map(|prefix| format!("{prefix}/"));
    let begin = Some((Sorter::default(), None));
    let found = stream::try_unfold(begin, move |state| {
        let (pages, prefix, bucket) = (Arc::clone(&pages), prefix.clone(), Arc::clone(&bucket));
        async move {
            let Some((mut sorter, page_token)) = state else { return Ok(None) };
            let options =
                PaginatedListOptions { delimiter: Some("/".into()), page_token, ..Default::default() };
            let page = pages.list_paginated(prefix.as_deref(), options).await.map_err(from_object_store)?;
            sorter.take(&bucket, page.result)?;
            Ok(Some(match next(page.page_token) {
                Some(token) => (sorter.settled(), Some((sorter, Some(token)))),
                None => (sorter.rest().collect(), None),
            }))
        }
    });
    found.map_ok(|entries: VecDeque<_>| stream::iter(entries.into_iter().map(Ok))).try_flatten().boxed()
}

/// Puts children in the order of their paths. They come in the order of their keys, in which a directory has a slash at its end:
/// `a-b` before `a/`.
#[derive(Default)]
struct Sorter {
    /// By path; a file before the directory of the same name.
    waiting: BTreeMap<(ArtifactPath, bool), ArtifactMeta>,
    /// The greatest key that has come.
    last: String,
}

impl Sorter {
    fn take(&mut self, bucket: &Bucket, page: ListResult) -> Result<()> {
        for directory in page.common_prefixes {
            let path = bucket.path_of(&directory)?;
            self.last = format!("{path}/").max(std::mem::take(&mut self.last));
            self.waiting.insert((path.clone(), true), ArtifactMeta::directory(path));
        }
        for object in page.objects {
            let ObjectMeta { location, .. } = &object;
            let path = bucket.path_of(location)?;
            self.last = path.to_string().max(std::mem::take(&mut self.last));
            self.waiting.insert((path.clone(), false), Bucket::meta(path, &object));
        }
        Ok(())
    }

    /// What nothing that is still to come can precede.
    fn settled(&mut self) -> VecDeque<ArtifactMeta> {
        let mut settled = VecDeque::new();
        while let Some(entry) = self.waiting.first_entry() {
            let ((path, is_directory), last) = (entry.key(), self.last.as_str());
            let key = if *is_directory { format!("{path}/") } else { path.to_string() };
            if last_key_before(&key).as_str() > last {
                break;
            }
            settled.push_back(entry.remove());
        }
        settled
    }

    fn rest(self) -> impl Iterator<Item = ArtifactMeta> {
        self.waiting.into_values()
    }
}

/// The greatest key of what precedes this one as a path, or is it: of `a-b` that is `a/`.
fn last_key_before(key: &str) -> String {
    let name = key.trim_end_matches('/').rfind('/').map_or(0, |at| at + 1);
    // No name is empty: what comes before the slash is one character at least.
    match key[name..].char_indices().skip(1).find(|(_, c)| *c < '/') {
        Some((at, _)) => format!("{}/", &key[..name + at]),
        None => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use mlflow_artifacts_core::StoreInfo;
    use object_store::memory::InMemory;

    use super::*;
    use crate::BucketStore;

    fn path(text: &str) -> ArtifactPath {
        ArtifactPath::parse(text).unwrap()
    }

    #[test]
    fn what_may_still_be_preceded_waits() {
        for (key, until) in
            [("a", "a"), (".a", ".a"), ("a-b", "a/"), ("d/a-b-c", "d/a/"), ("d-e/a", "d-e/a"), ("a b/", "a/")]
        {
            assert_eq!(last_key_before(key), until, "{key}");
        }
    }

    #[test]
    fn directories_are_told_once() {
        let told = |before: &str, top: &str, at: &str| -> Vec<String> {
            let found = new_directories(&path(before), &path(top), &path(at));
            found.iter().map(|meta| meta.path.to_string()).collect()
        };
        assert_eq!(told("d", "d", "d/a/b/c"), ["d/a", "d/a/b"]);
        assert_eq!(told("d/a/b", "d", "d/a/c/e"), ["d/a/c"]);
        assert_eq!(told("d/a/b", "d", "d/a/f"), [""; 0]);
        assert_eq!(told("d/a/b", "d", "d/ab/f"), ["d/ab"]);
    }

    #[test]
    fn pages_come_in_the_order_of_paths() {
        let info = StoreInfo { scheme: "test".to_owned(), root: "test:".to_owned() };
        let store = BucketStore::new(info, ArtifactPath::root(), Arc::new(InMemory::new())).unwrap();
        let object = |key: &str| ObjectMeta {
            location: object_store::path::Path::parse(key).unwrap(),
            last_modified: std::time::SystemTime::UNIX_EPOCH.into(),
            size: 1,
            e_tag: None,
            version: None,
        };
        let directory = |key: &str| object_store::path::Path::parse(key).unwrap();
        let page = |objects: &[&str], directories: &[&str]| ListResult {
            objects: objects.iter().map(|key| object(key)).collect(),
            common_prefixes: directories.iter().map(|key| directory(key)).collect(),
            extensions: object_store::Extensions::default(),
        };
        let (mut sorter, mut names) = (Sorter::default(), Vec::new());
        for page in [page(&["a b", "a-b"], &[]), page(&["a.c"], &["a"]), page(&["ab", "b"], &[])] {
            sorter.take(store.bucket(), page).unwrap();
            names.push(sorter.settled().into_iter().map(|meta| meta.path.to_string()).collect::<Vec<_>>());
        }
        assert_eq!(names, [vec![], vec!["a", "a b", "a-b", "a.c"], vec!["ab", "b"]]);
        assert_eq!(sorter.rest().count(), 0);
    }
}
