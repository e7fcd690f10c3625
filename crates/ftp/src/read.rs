//! A file on its way from the server.

use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use mlflow_artifacts_core::{ByteStream, Error, ErrorKind, Result};

use crate::data::Data;
use crate::error::broken;
use crate::pool::{Lease, OurTurn};

/// A transfer that is read.
pub(crate) struct Reading {
    lease: Lease,
    /// Between the pieces that are taken.
    our_turn: Option<OurTurn>,
    /// Gone once the server is waited for: many say nothing before it is closed.
    data: Option<Data>,
    path: String,
    buffer: BytesMut,
    /// How many bytes are still to come.
    left: u64,
    /// Nothing comes behind them: the server must say that it has sent all.
    is_to_the_end: bool,
}

impl Reading {
    /// Takes over a transfer of which `length` bytes are wanted.
    pub(crate) fn new(lease: Lease, data: Data, path: &str, length: u64, is_to_the_end: bool) -> Self {
        Reading {
            our_turn: Some(lease.our_turn()),
            lease,
            data: Some(data),
            path: path.to_owned(),
            buffer: BytesMut::new(),
            left: length,
            is_to_the_end,
        }
    }

    /// The bytes. If the stream is dropped before its end, the data connection is closed and the session given up.
    pub(crate) fn into_stream(self) -> ByteStream {
        stream::try_unfold(Some(self), async |reading| {
            let Some(mut reading) = reading else { return Ok(None) };
            reading.our_turn = None;
            if reading.left > 0 {
                let chunk = reading.next().await?;
                reading.our_turn = Some(reading.lease.our_turn());
                return Ok(Some((chunk, Some(reading))));
            }
            reading.end().await?;
            Ok(None)
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Bytes> {
        if let Err(error) = self.fill().await {
            self.data = None;
            return Err(self.lease.last_words("RETR", broken("the file broke off", error)).await);
        }
        if self.buffer.is_empty() {
            self.data = None;
            // The server knows whether the file is shorter than it was or the transfer failed.
            return Err(match self.lease.finish_read("RETR", &self.path).await {
                Ok(()) => changed(),
                Err(error) => error,
            });
        }
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.buffer.len());
        self.left -= wanted as u64;
        Ok(self.buffer.split_to(wanted).freeze())
    }

    async fn fill(&mut self) -> io::Result<()> {
        match &mut self.data {
            Some(data) => data.read(&mut self.buffer).await.map(drop),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// All that was wanted is there.
    async fn end(mut self) -> Result<()> {
        if self.is_to_the_end && self.buffer.is_empty() {
            // How TLS ends says nothing that the size does not.
            let _ = self.fill().await;
        }
        self.data = None;
        if self.is_to_the_end && self.buffer.is_empty() {
            return self.lease.finish_read("RETR", &self.path).await;
        }
        self.lease.give_up_transfer().await;
        if self.is_to_the_end { Err(changed()) } else { Ok(()) }
    }
}

/// The server opens a file after it has told its size: it may be another one by then.
fn changed() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "the artifact was replaced while it was read")
        .with_help("read it once more from its beginning")
}
