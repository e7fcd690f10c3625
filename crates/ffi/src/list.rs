//! Listings.

use std::ffi::c_char;
use std::sync::{Arc, Mutex};

use futures_util::stream::{BoxStream, Fuse};
use futures_util::{StreamExt as _, TryStreamExt as _};
use mlflow_artifacts::blocking::PerProcess;
use mlflow_artifacts::{ArtifactMeta, ListOptions};

use crate::entry::{Failure, Out, call, call_in_callback};
use crate::error::mlfa_error;
use crate::handle::{Lent, free, give, handles, lend};
use crate::meta::{MetaObject, mlfa_meta};
use crate::objects::{Place, flag, place};
use crate::status::{MLFA_E_INVALID_ARGUMENT, mlfa_status};
use crate::store::{StoreObject, mlfa_store};
use crate::task::{Work, mlfa_task, start};
use crate::turn::{Turn, lock};

/// A listing that is being read. It holds a reference to its store.
pub struct mlfa_list {
    _opaque: (),
}

/// Entries of a listing.
pub struct mlfa_entries {
    _opaque: (),
}

handles! {
    mlfa_list => ListObject, Exclusive;
    mlfa_entries => EntriesObject, Exclusive;
}

/// In the flags of `mlfa_list_open`: everything below, not only the next level.
pub const MLFA_LIST_RECURSIVE: u32 = 1;

pub(crate) struct ListObject {
    open: PerProcess<OpenList>,
    /// What `mlfa_list_next` has lent.
    current: Mutex<Option<Box<Lent<mlfa_meta>>>>,
}

struct OpenList {
    store: Arc<StoreObject>,
    entries: Turn<Stream>,
}

/// `Mutex`: what the store makes need not be usable by two threads at once. `Fuse`: whoever got fewer entries than it asked for asks again.
type Stream = Mutex<Fuse<BoxStream<'static, mlflow_artifacts::Result<ArtifactMeta>>>>;

/// What reading a listing answers.
type Answer<T> = Result<T, Failure>;

pub(crate) struct EntriesObject(Vec<Lent<mlfa_meta>>);

impl ListObject {
    /// Reads up to `count` entries; fewer only at the end.
    fn next(&self, count: usize) -> Answer<Work<impl Future<Output = Answer<Vec<ArtifactMeta>>> + use<>>> {
        let OpenList { store, entries } = self.open.here()?;
        let mut entries = entries.take()?;
        let read = async move {
            let stream = entries.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
            let mut read = Vec::new();
            while read.len() < count {
                match stream.try_next().await? {
                    Some(entry) => read.push(entry),
                    None => break,
                }
            }
            Ok(read)
        };
        Ok(Work::new(Arc::clone(store), read))
    }

    fn next_entry(&self) -> Answer<Work<impl Future<Output = Answer<Option<MetaObject>>> + use<>>> {
        Ok(self.next(1)?.map(|read| read.first().map(MetaObject::new)))
    }

    fn next_batch(
        &self,
        count: usize,
    ) -> Answer<Work<impl Future<Output = Answer<Option<EntriesObject>>> + use<>>> {
        if count == 0 {
            return Err(Failure::new(MLFA_E_INVALID_ARGUMENT, "a batch has at least one entry"));
        }
        let lend = |entry: &ArtifactMeta| Lent::new(MetaObject::new(entry));
        let batch = move |read: Vec<ArtifactMeta>| {
            (!read.is_empty()).then(|| EntriesObject(read.iter().map(lend).collect()))
        };
        Ok(self.next(count)?.map(batch))
    }
}

/// Begins to list the directory at `path`; the empty path is the store's root. The listing is empty if there is nothing
/// or a file. One level comes sorted by path; a recursive listing has a directory before its content.
///
/// Ownership: free `*out` with `mlfa_list_free`. Thread safety: any thread. Callback-safe: yes. Blocking: no.
/// Errors: `MLFA_E_INVALID_PATH`. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_list_open(
    store: *mut mlfa_store,
    path: *const c_char,
    path_len: usize,
    flags: u32,
    out: *mut *mut mlfa_list,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, place) =
            unsafe { (Out::required(out, std::ptr::null_mut(), "list")?, place(store, path, path_len)?) };
        let Place { object, store, path } = place;
        let recursive = flag(flags, MLFA_LIST_RECURSIVE)?;
        let entries = Turn::new(Mutex::new(store.list(&path, ListOptions { recursive }).fuse()));
        let open = PerProcess::new(OpenList { store: object, entries });
        out.write(give(ListObject { open, current: Mutex::default() }));
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call_in_callback(err, body) }
}

/// Reads the next entry. `*out` is NULL at the end. After an error the listing is at its end.
///
/// Ownership: `*out` belongs to the list and lives until the next call with it; do not free it.
/// Thread safety: one thread at a time. Callback-safe: no. Blocking: yes. Errors: those of the store; `MLFA_E_BUSY` while another
/// call reads, `MLFA_E_FORKED`. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_list_next(
    list: *mut mlfa_list,
    out: *mut *const mlfa_meta,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, list) = unsafe { (Out::required(out, std::ptr::null(), "meta")?, lend(list)?) };
        let entry = list.next_entry()?.wait()?.map(|entry| Box::new(Lent::new(entry)));
        let mut current = lock(&list.current);
        out.write(entry.as_ref().map_or(std::ptr::null(), |entry| entry.as_pointer()));
        *current = entry;
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins to read the next entry; it is taken with `mlfa_task_take_meta`, NULL at the end. The list may be freed meanwhile.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: one thread at a time. Callback-safe: yes. Blocking: no.
/// Errors: `MLFA_E_BUSY` while another call reads; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_list_next_start(
    list: *mut mlfa_list,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || lend(list)?.next_entry()) }
}

/// Reads up to `count` entries at once; fewer only at the end, and there `*out` is NULL. After an error the listing is at its end.
///
/// Ownership: free `*out` with `mlfa_entries_free`. Thread safety: one thread at a time. Callback-safe: no. Blocking: yes.
/// Errors: those of the store; `MLFA_E_INVALID_ARGUMENT` if `count` is 0, `MLFA_E_BUSY` while another call reads,
/// `MLFA_E_FORKED`. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_list_next_batch(
    list: *mut mlfa_list,
    count: usize,
    out: *mut *mut mlfa_entries,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    let body = || {
        // SAFETY: passed on from the caller.
        let (out, list) = unsafe { (Out::required(out, std::ptr::null_mut(), "entries")?, lend(list)?) };
        if let Some(entries) = list.next_batch(count)?.wait()? {
            out.write(give(entries));
        }
        Ok(())
    };
    // SAFETY: passed on from the caller.
    unsafe { call(err, body) }
}

/// Begins `mlfa_list_next_batch`; the entries are taken with `mlfa_task_take_entries`. The list may be freed meanwhile.
///
/// Ownership: free `*out` with `mlfa_task_free`. Thread safety: one thread at a time. Callback-safe: yes. Blocking: no.
/// Errors: those of the arguments, `MLFA_E_BUSY` while another call reads; the operation's own are the task's. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_list_next_batch_start(
    list: *mut mlfa_list,
    count: usize,
    out: *mut *mut mlfa_task,
    err: *mut *mut mlfa_error,
) -> mlfa_status {
    // SAFETY: passed on from the caller.
    unsafe { start(out, err, || lend(list)?.next_batch(count)) }
}

/// Frees a listing, at its end or before, with the entry that it lent. NULL is fine.
///
/// Thread safety: one thread at a time. Blocking: no. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_list_free(list: *mut mlfa_list) {
    // SAFETY: passed on from the caller.
    unsafe { free(list) }
}

/// How many entries there are; 0 for NULL.
///
/// Thread safety: any thread. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_entries_count(entries: *const mlfa_entries) -> usize {
    // SAFETY: passed on from the caller.
    unsafe { lend(entries) }.map_or(0, |entries| entries.0.len())
}

/// The entry with this index; NULL if there is none.
///
/// Ownership: it belongs to the entries; do not free it. Thread safety: any thread. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_entries_at(entries: *const mlfa_entries, index: usize) -> *const mlfa_meta {
    // SAFETY: passed on from the caller.
    let entries = unsafe { lend(entries) };
    entries
        .map_or(std::ptr::null(), |entries| entries.0.get(index).map_or(std::ptr::null(), Lent::as_pointer))
}

/// Frees entries with their metas. NULL is fine.
///
/// Thread safety: one thread at a time. Blocking: no. Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlfa_entries_free(entries: *mut mlfa_entries) {
    // SAFETY: passed on from the caller.
    unsafe { free(entries) }
}
