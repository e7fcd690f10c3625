//! Writing a file: many requests at once, every answer looked at.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, StreamExt as _};
use mlflow_artifacts_core::{ByteStream, Error, ErrorKind, Result};
use mlflow_artifacts_file_server::Entry;

use crate::file::{OpenFile, WINDOW, entry};
use crate::packet::{Answer, OpenMode, Request, extension, free_blocks};
use crate::pool::Lease;
use crate::session::Pending;

const DOING: &str = "write the file";

/// Writes `data` into the file at `path` from `offset` on; at 0 the file is made. Answers what the server says of it in the end.
pub(crate) async fn write(
    lease: Lease,
    path: &str,
    offset: u64,
    data: ByteStream,
    fsync: bool,
) -> Result<Entry> {
    if fsync && !lease.features().has(extension::FSYNC) {
        let message = "the SFTP server cannot flush a file to its disk (it has no fsync@openssh.com)";
        return Err(Error::new(ErrorKind::Unsupported, message).with_help("set the option fsync to never"));
    }
    let mode = if offset == 0 { OpenMode::Create } else { OpenMode::Write };
    let opened =
        OpenFile::open(lease.clone(), &Request::Open { path, mode }, "open the file for writing").await?;
    let mut writing = Writing::new(opened, offset);
    match writing.all(data, fsync).await {
        // Some servers answer this while they still write: once the file is closed they do not.
        Ok(told) if told.size < writing.offset => {
            entry(lease.requests().send(&Request::Stat { path }).attributes(DOING).await?)
        }
        Ok(entry) => Ok(entry),
        Err(error) => {
            writing.give_up().await;
            Err(if error.kind() == ErrorKind::Io { explained(&lease, path, error).await } else { error })
        }
    }
}

#[derive(Debug)]
struct Writing {
    file: OpenFile,
    /// What was sent and not answered yet, in order.
    sent: VecDeque<(Pending, usize)>,
    /// The bytes of that.
    under_way: usize,
    offset: u64,
    /// Set once it was closed.
    closed: Option<Pending>,
}

impl Writing {
    fn new(file: OpenFile, offset: u64) -> Self {
        Writing { file, sent: VecDeque::new(), under_way: 0, offset, closed: None }
    }

    async fn all(&mut self, mut data: ByteStream, fsync: bool) -> Result<Entry> {
        let mut pieces = Pieces::new(self.file.features().write_length as usize);
        while let Some(chunk) = data.next().await {
            let mut chunk = chunk?;
            while let Some(piece) = pieces.take(&mut chunk) {
                self.send(piece).await?;
            }
        }
        let rest = pieces.rest();
        if !rest.is_empty() {
            self.send(rest).await?;
        }
        // Asked together: the draft wants the server to keep the order of what concerns one file.
        let synced = fsync.then(|| self.file.ask(|handle| Request::Fsync { handle }));
        let told = self.file.ask(|handle| Request::StatHandle { handle });
        self.closed = Some(self.file.close());
        while !self.sent.is_empty() {
            self.hear().await?;
        }
        if let Some(synced) = synced {
            synced.done("flush the file to the disk").await?;
        }
        let attributes = told.attributes(DOING).await?;
        if let Some(closed) = self.closed.take() {
            closed.done("close the file").await?;
        }
        entry(attributes)
    }

    /// Waits until the server does nothing more with the file.
    async fn give_up(&mut self) {
        let closed = self.closed.take().unwrap_or_else(|| self.file.close());
        while !self.sent.is_empty() {
            // What failed, failed.
            let _ = self.hear().await;
        }
        let _ = closed.await;
    }

    async fn send(&mut self, piece: Bytes) -> Result<()> {
        while self.under_way > 0 && self.under_way + piece.len() > WINDOW {
            self.hear().await?;
        }
        // A failure is noticed as soon as it is known.
        while let Some((answer, _)) = self.sent.front_mut()
            && let Some(answer) = answer.now_or_never()
        {
            self.took(Pending::check(answer, DOING))?;
        }
        let length = piece.len();
        let answer = self.file.ask(|handle| Request::Write { handle, offset: self.offset, data: piece });
        self.sent.push_back((answer, length));
        self.under_way += length;
        self.offset += length as u64;
        Ok(())
    }

    /// Waits for the answer to what was sent first.
    async fn hear(&mut self) -> Result<()> {
        let Some((answer, _)) = self.sent.front_mut() else { return Ok(()) };
        let answer = answer.await;
        self.took(Pending::check(answer, DOING))
    }

    fn took(&mut self, outcome: Result<()>) -> Result<()> {
        if let Some((_, length)) = self.sent.pop_front() {
            self.under_way -= length;
        }
        outcome
    }
}

/// Makes pieces of the length of a request of chunks of any length.
#[derive(Debug)]
struct Pieces {
    length: usize,
    gathered: BytesMut,
}

impl Pieces {
    fn new(length: usize) -> Self {
        Pieces { length, gathered: BytesMut::new() }
    }

    /// The next piece; `None` once all of `chunk` was taken.
    fn take(&mut self, chunk: &mut Bytes) -> Option<Bytes> {
        if self.gathered.is_empty() && chunk.len() >= self.length {
            return Some(chunk.split_to(self.length));
        }
        let missing = (self.length - self.gathered.len()).min(chunk.len());
        self.gathered.extend_from_slice(&chunk.split_to(missing));
        (self.gathered.len() == self.length).then(|| self.gathered.split().freeze())
    }

    fn rest(self) -> Bytes {
        self.gathered.freeze()
    }
}

/// OpenSSH says of a full disk that it failed, and no more; whether there is space, it says when it is asked.
async fn explained(lease: &Lease, path: &str, error: Error) -> Error {
    if !lease.features().has(extension::FILE_SYSTEM) {
        return error;
    }
    match lease.requests().send(&Request::FileSystem { path }).await {
        Ok(Answer::Extended(told)) if free_blocks(told.clone()) == Ok(0) => {
            error.into_kind(ErrorKind::NoSpace).with_help("its disk is full: free some space on the server")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_the_length_of_a_request() {
        for chunks in [&["abcdefgh"][..], &["a", "bc", "defg", "h"], &["abcd", "efgh"], &["abcde", "fgh"]] {
            let mut pieces = Pieces::new(3);
            let mut found = Vec::new();
            for chunk in chunks {
                let mut chunk = Bytes::from_static(chunk.as_bytes());
                found.extend(std::iter::from_fn(|| pieces.take(&mut chunk)));
            }
            found.push(pieces.rest());
            assert_eq!(found, ["abc", "def", "gh"], "{chunks:?}");
        }
    }
}
