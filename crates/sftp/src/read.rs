//! Reading a file: many requests at once, their answers in order.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use mlflow_artifacts_core::{Error, ErrorKind, Result};
use mlflow_artifacts_file_server::{ChooseRange, EntryKind, Opened};

use crate::file::{OpenFile, WINDOW, entry};
use crate::packet::{OpenMode, Request};
use crate::pool::Lease;
use crate::session::Pending;

/// What is asked for together with the size: small files are there after two answers.
const FIRST_LENGTH: u32 = 64 << 10;
/// A server that always answers with less than this is slow anyway.
const SHORTEST_LENGTH: u32 = 4 << 10;

const DOING: &str = "read the file";

/// Opens a file and begins to read what `choose` says.
pub(crate) async fn read(lease: Lease, path: &str, choose: ChooseRange) -> Result<Opened> {
    let file = OpenFile::open(lease, &Request::Open { path, mode: OpenMode::Read }, "open the file").await?;
    let told = file.ask(|handle| Request::StatHandle { handle });
    let first = Piece::ask(&file, 0..u64::from(FIRST_LENGTH.min(file.features().read_length)));
    let entry = entry(told.attributes(DOING).await?)?;
    let range = choose(&entry)?;
    if entry.kind != EntryKind::File {
        return Err(Error::new(ErrorKind::IsADirectory, "only files can be read"));
    }
    let reading = Reading::new(file, range.clone(), first);
    let stream = stream::try_unfold(reading, |mut reading| async move {
        Ok(reading.next().await?.map(|data| (data, reading)))
    });
    Ok(Opened { entry, range, stream: stream.boxed() })
}

/// A part of a file that was asked for.
#[derive(Debug)]
struct Piece {
    range: Range<u64>,
    answer: Pending,
}

impl Piece {
    /// The range has at most the length of a request.
    fn ask(file: &OpenFile, range: Range<u64>) -> Self {
        let length = u32::try_from(range.end - range.start).unwrap_or(u32::MAX);
        let answer = file.ask(|handle| Request::Read { handle, offset: range.start, length });
        Piece { range, answer }
    }

    fn length(&self) -> u64 {
        self.range.end - self.range.start
    }
}

#[derive(Debug)]
struct Reading {
    file: OpenFile,
    /// In the order of the file, without gaps.
    asked: VecDeque<Piece>,
    /// What is still to be asked for.
    rest: Range<u64>,
    /// Where the content ends that is wanted.
    end: u64,
    /// The length of a request.
    length: u32,
}

impl Reading {
    fn new(mut file: OpenFile, range: Range<u64>, first: Piece) -> Self {
        let length = file.features().read_length;
        let mut asked = VecDeque::new();
        let mut rest = range.clone();
        if rest.is_empty() {
            drop(file.close());
        } else if rest.start == 0 {
            rest.start = first.range.end.min(rest.end);
            asked.push_back(first);
        }
        Reading { file, asked, rest, end: range.end, length }
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        self.ask_ahead();
        let Some(piece) = self.asked.pop_front() else { return Ok(None) };
        let (offset, length) = (piece.range.start, piece.length());
        let Some(mut data) = piece.answer.data(DOING).await? else { return Err(ended_early(offset)) };
        if data.is_empty() || data.len() as u64 > length {
            let message = "the SFTP server answered a read with nothing, or with more than was asked for";
            return Err(Error::new(ErrorKind::Protocol, message));
        }
        let reached = offset + data.len() as u64;
        // What was asked for first may be more than is wanted.
        data.truncate(usize::try_from(self.end - offset).unwrap_or(usize::MAX));
        let wanted = piece.range.end.min(self.end);
        if reached < wanted {
            self.shorten(data.len());
            self.asked.push_front(Piece::ask(&self.file, reached..wanted));
        } else if self.asked.is_empty() && self.rest.is_empty() {
            drop(self.file.close());
        }
        Ok(Some(data))
    }

    fn ask_ahead(&mut self) {
        let mut ahead: u64 = self.asked.iter().map(Piece::length).sum();
        while !self.rest.is_empty() && ahead < WINDOW as u64 {
            let end = (self.rest.start + u64::from(self.length)).min(self.rest.end);
            ahead += end - self.rest.start;
            self.asked.push_back(Piece::ask(&self.file, self.rest.start..end));
            self.rest.start = end;
        }
    }

    /// A server that gives less than it was asked for is asked for less from now on: every rest costs a round trip.
    fn shorten(&mut self, given: usize) {
        let given = u32::try_from(given).unwrap_or(u32::MAX);
        self.length = self.length.min(given.max(SHORTEST_LENGTH));
    }
}

fn ended_early(offset: u64) -> Error {
    let message = format!("the file ended at byte {offset}, earlier than the server had said");
    Error::new(ErrorKind::SizeMismatch, message).with_help("try again when nobody writes it")
}
