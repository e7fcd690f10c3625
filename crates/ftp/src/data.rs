//! A data connection: the bytes of one file or one listing.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::control::Duplex;
use crate::deadline::within;

/// How much is read at once.
const CHUNK: usize = 256 << 10;
/// How long the server's end of a connection is waited for that we have closed.
const FAREWELL: Duration = Duration::from_secs(5);

/// A data connection.
#[derive(Debug)]
pub(crate) struct Data {
    stream: Box<dyn Duplex>,
    idle: Duration,
}

impl Data {
    /// Takes a connection over, on which nothing may stand still longer than `idle`.
    pub(crate) fn new(stream: Box<dyn Duplex>, idle: Duration) -> Self {
        Data { stream, idle }
    }

    /// Appends what comes next; 0 at the end.
    pub(crate) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        if buffer.capacity() - buffer.len() < CHUNK / 8 {
            buffer.reserve(CHUNK);
        }
        within(self.idle, self.stream.read_buf(buffer)).await
    }

    /// Writes all of it.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        // Piece by piece: what counts is that something moves.
        while !bytes.is_empty() {
            match within(self.idle, self.stream.write(bytes)).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => bytes = &bytes[written..],
            }
        }
        Ok(())
    }

    /// Tells the server that this is all.
    pub(crate) async fn close(mut self) -> io::Result<()> {
        within(self.idle, async {
            self.stream.flush().await?;
            self.stream.shutdown().await
        })
        .await?;
        // With TLS the server sends tickets for the sessions that follow; a connection that is closed before they are read is reset, and
        // what was sent with it.
        let mut rest = [0; 1024];
        let drain = async {
            while self.stream.read(&mut rest).await? > 0 {}
            Ok(())
        };
        // How it ends says nothing: the answer on the control connection does.
        let _ = within(FAREWELL, drain).await;
        Ok(())
    }
}
