//! What stands where: with MLST and MLSD where the server has them, else with what every server has.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use mlflow_artifacts_core::{Error, ErrorKind, Result, Retry};
use mlflow_artifacts_file_server::{Child, Entry, EntryKind, MAX_CHILDREN};

use crate::connection::Connection;
use crate::data::Data;
use crate::error::{broken, protocol, refused};
use crate::listing::{self, Line, Unreadable};

/// No line of a listing is longer: it holds one name and a few columns.
const LONGEST_LINE: usize = 16 << 10;
/// A listing has the lines of its children and a few more.
const MOST_LINES: usize = MAX_CHILDREN + 16;
/// The most bytes of the names in a listing.
const MOST_BYTES: usize = 256 << 20;

/// How often it is looked once more what became of a directory that was missing and then was not.
const MOST_LOOKS: usize = 8;

const TOP: Entry = Entry { kind: EntryKind::Directory, size: 0, modified: None };

/// Reads a line of a listing.
type ReadLine = fn(&[u8]) -> Result<Line, Unreadable>;

/// The children of a directory.
#[derive(Default)]
struct Listing {
    children: Vec<Child>,
    lines: usize,
    bytes: usize,
    /// It names the directory itself.
    has_itself: bool,
}

impl Connection {
    /// What stands at a path, symbolic links followed.
    pub(crate) async fn stat(&mut self, path: &str) -> Result<Entry> {
        if path == "/" {
            return Ok(TOP);
        }
        if self.features.machine_listings {
            let reply = self.control.exchange("MLST", path).await?;
            if reply.is_success() {
                let entry = listing::machine_entry(&reply.lines)
                    .map_err(|Unreadable| protocol("the server's answer to MLST cannot be read"))?;
                return match entry.kind {
                    EntryKind::Link => self.follow(path).await,
                    // Of a link to a file some servers say that it is a file, of the link's size.
                    EntryKind::File => {
                        Ok(Entry { size: self.size(path).await?.unwrap_or(entry.size), ..entry })
                    }
                    _ => Ok(entry),
                };
            }
            return self.doubt(path, refused("MLST", path, &reply)).await;
        }
        self.follow(path).await
    }

    /// What stands at a path, by commands that follow links: only files have a size, only directories can be entered.
    async fn follow(&mut self, path: &str) -> Result<Entry> {
        if let Some(size) = self.size(path).await? {
            let modified = self.control.exchange("MDTM", path).await?;
            let modified = (modified.code == 213).then(|| listing::time(modified.first_line())).flatten();
            return Ok(Entry { kind: EntryKind::File, size, modified });
        }
        let reply = self.control.exchange("CWD", path).await?;
        if reply.is_success() {
            return Ok(TOP);
        }
        self.doubt(path, refused("CWD", path, &reply)).await
    }

    /// The size of a file, a symbolic link followed; `None` of what is no file.
    pub(crate) async fn size(&mut self, path: &str) -> Result<Option<u64>> {
        let reply = self.control.exchange("SIZE", path).await?;
        if reply.code != 213 {
            return Ok(None);
        }
        let size = reply.first_line().parse();
        size.map(Some).map_err(|_| protocol("the server's answer to SIZE is no number"))
    }

    /// What is to be made of a refusal, which may say "not there", "not allowed" or anything in between: the nearest directory above
    /// that can be listed shows it.
    async fn doubt(&mut self, path: &str, refusal: Error) -> Result<Entry> {
        let absent = || Error::new(ErrorKind::NotFound, "there is no such artifact");
        match refusal.kind() {
            ErrorKind::NotFound => return Err(absent()),
            _ if !self.is_refusal(&refusal) => return Err(refusal),
            _ => {}
        }
        let (mut below, mut looks) = (path, 0);
        while let Some((parent, name)) = split(below) {
            match self.children(parent).await {
                Ok(children) => {
                    let child = children.into_iter().find(|child| child.name == name);
                    let child = child.ok_or_else(absent)?;
                    let is_what_was_asked_for = below == path;
                    return match child.entry.kind {
                        // What it leads to is not there.
                        EntryKind::Link if is_what_was_asked_for => Err(absent()),
                        _ if is_what_was_asked_for => Ok(child.entry),
                        // Nothing stands below a file.
                        EntryKind::File | EntryKind::Other => Err(absent()),
                        // It was made meanwhile, or nobody may look into it.
                        EntryKind::Directory | EntryKind::Link if looks < MOST_LOOKS => {
                            (below, looks) = (path, looks + 1);
                            continue;
                        }
                        EntryKind::Directory | EntryKind::Link => Err(refusal),
                    };
                }
                Err(error) if error.retry() == Retry::Transient || !self.control.is_ready() => {
                    return Err(error);
                }
                Err(_) => below = parent,
            }
        }
        Err(refusal)
    }

    /// The children of a directory.
    pub(crate) async fn list(&mut self, directory: &str) -> Result<Vec<Child>> {
        let mut looks = 0;
        loop {
            let refusal = match self.children(directory).await {
                Err(error) if self.is_refusal(&error) => error,
                listed => return listed,
            };
            match self.stat(directory).await?.kind {
                // It was made meanwhile, or nobody may look into it.
                EntryKind::Directory if looks < MOST_LOOKS => looks += 1,
                EntryKind::Directory => return Err(refusal),
                _ => {
                    let message = "this is a file where a directory is meant";
                    return Err(Error::new(ErrorKind::NotADirectory, message));
                }
            }
        }
    }

    /// Whether a symbolic link stands at a path: only the listing of its directory tells.
    pub(crate) async fn is_link(&mut self, path: &str) -> Result<bool> {
        let Some((parent, name)) = split(path) else { return Ok(false) };
        match self.children(parent).await {
            Ok(children) => {
                Ok(children.iter().any(|child| child.name == name && child.entry.kind == EntryKind::Link))
            }
            Err(error) if self.is_refusal(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether this is the server's last word on what it was asked, and something else can be asked.
    pub(crate) fn is_refusal(&self, error: &Error) -> bool {
        error.provider_code().is_some() && error.retry() == Retry::Never && self.control.is_ready()
    }

    /// The children of what is a directory: a refusal is the server's word.
    async fn children(&mut self, directory: &str) -> Result<Vec<Child>> {
        if self.features.machine_listings {
            return Ok(self.listing("MLSD", directory, listing::machine_line).await?.children);
        }
        // Not as an argument: some servers take it for a pattern, or end it at a space.
        self.control.demand("CWD", directory).await?;
        let learned = Arc::clone(&self.endpoint.learned);
        if !learned.refuses_list_all.load(Ordering::Relaxed) {
            match self.listing("LIST", "-a", listing::list_line).await {
                // Without -a many leave out names that begin with a dot. Who knows it shows the directory itself.
                Ok(listing) if listing.has_itself => return Ok(listing.children),
                Err(error) if error.provider_code().is_none() || !self.control.is_ready() => {
                    return Err(error);
                }
                _ => {}
            }
        }
        let children = self.listing("LIST", "", listing::list_line).await?.children;
        learned.refuses_list_all.store(true, Ordering::Relaxed);
        Ok(children)
    }

    async fn listing(&mut self, verb: &'static str, argument: &str, read: ReadLine) -> Result<Listing> {
        let mut data = self.transfer(verb, argument, 0).await?;
        let mut listing = Listing::default();
        match listing.fill(&mut data, read).await {
            Ok(()) => {}
            Err(error) if error.retry() == Retry::Transient => {
                drop(data);
                return Err(self.last_words(verb, error).await);
            }
            Err(error) => return Err(error),
        }
        drop(data);
        self.finish_read(verb, argument).await?;
        Ok(listing)
    }
}

impl Listing {
    async fn fill(&mut self, data: &mut Data, read: ReadLine) -> Result<()> {
        let mut buffer = BytesMut::new();
        loop {
            let count = data.read(&mut buffer).await;
            let count = count.map_err(|error| broken("the listing broke off", error))?;
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line = buffer.split_to(end + 1);
                self.add(&line[..end], read)?;
            }
            if buffer.len() > LONGEST_LINE {
                return Err(protocol("a line of the server's listing does not end"));
            }
            if count == 0 {
                return if buffer.is_empty() { Ok(()) } else { self.add(&buffer, read) };
            }
        }
    }

    fn add(&mut self, line: &[u8], read: ReadLine) -> Result<()> {
        (self.lines, self.bytes) = (self.lines + 1, self.bytes + line.len());
        if self.lines > MOST_LINES || self.bytes > MOST_BYTES {
            return Err(protocol("the server's listing does not end"));
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let read = read(line).map_err(|Unreadable| {
            protocol("the server's listing has a form that is not known")
                .with_help("have the server offer MLSD, or list as Unix or DOS do")
        })?;
        match read {
            Line::Child(child) => self.children.push(child),
            Line::Itself => self.has_itself = true,
            Line::Other => {}
        }
        Ok(())
    }
}

/// A path as its directory and its name; `None` for the top.
fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/')?;
    (!name.is_empty()).then_some((if parent.is_empty() { "/" } else { parent }, name))
}
