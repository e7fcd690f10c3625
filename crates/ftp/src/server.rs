//! The operations of a file server, in FTP.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ByteStream, Capabilities, Digest, DigestAlgorithm, Error, ErrorKind, Result, Retry,
};
use mlflow_artifacts_file_server::{Child, ChooseRange, Entry, EntryKind, FileServer, Opened};
use mlflow_artifacts_http::one_line;

use crate::connection::{Connection, Endpoint};
use crate::data::Data;
use crate::error::{broken, protocol, refused};
use crate::pool::Pool;
use crate::read::Reading;
use crate::rename::may_be_in_the_way;

/// A server of FTP, with the sessions that lead to it.
#[derive(Debug)]
pub(crate) struct FtpServer {
    pool: Arc<Pool>,
}

impl FtpServer {
    /// The server at `endpoint`, to which at most so many connections are made at once.
    pub(crate) fn new(endpoint: Endpoint, connections: usize) -> Self {
        FtpServer { pool: Pool::new(endpoint, connections) }
    }
}

#[async_trait]
impl FileServer for FtpServer {
    fn capabilities(&self) -> Capabilities {
        // RNTO replaces on most servers, and nobody can ask it not to.
        Capabilities::empty()
    }

    async fn stat(&self, path: &str) -> Result<Entry> {
        self.pool.lease().await?.stat(path).await
    }

    async fn list(&self, directory: &str) -> Result<Vec<Child>> {
        self.pool.lease().await?.list(directory).await
    }

    async fn read(&self, path: &str, choose: ChooseRange) -> Result<Opened> {
        let mut lease = self.pool.lease_to_read().await?;
        let entry = lease.stat(path).await?;
        let range = choose(&entry)?;
        if range.is_empty() {
            return Ok(Opened { entry, range, stream: stream::empty().boxed() });
        }
        let data = lease.transfer("RETR", path, range.start).await?;
        let is_to_the_end = range.end == entry.size;
        let reading = Reading::new(lease, data, path, range.end - range.start, is_to_the_end);
        Ok(Opened { entry, range, stream: reading.into_stream() })
    }

    async fn is_link(&self, path: &str) -> Result<bool> {
        self.pool.lease().await?.is_link(path).await
    }

    fn write_window(&self) -> u64 {
        0
    }

    async fn write(&self, path: &str, offset: u64, mut data: ByteStream) -> Result<Entry> {
        let mut lease = self.pool.lease().await?;
        let mut to = lease.begin_write(path, offset).await?;
        let mut size = offset;
        loop {
            let next = {
                let _our_turn = lease.our_turn();
                data.try_next().await
            };
            let written = match next {
                Ok(Some(chunk)) => {
                    size += chunk.len() as u64;
                    to.write(&chunk).await
                }
                Ok(None) => break,
                Err(error) => {
                    drop(to);
                    lease.give_up_transfer().await;
                    return Err(error);
                }
            };
            if let Err(error) = written {
                drop(to);
                return Err(lease.last_words("STOR", not_taken(error)).await);
            }
        }
        if let Err(error) = to.close().await {
            return Err(lease.last_words("STOR", not_taken(error)).await);
        }
        lease.finish_write("STOR", path).await?;
        let entry = match lease.size(path).await? {
            Some(size) => Entry { kind: EntryKind::File, size, modified: None },
            None => lease.stat(path).await?,
        };
        if (entry.kind, entry.size) == (EntryKind::File, size) {
            return Ok(entry);
        }
        let message = format!("the server has {} bytes of the {size} that it took", entry.size);
        Err(Error::new(ErrorKind::SizeMismatch, message).with_retry(Retry::Transient))
    }

    async fn rename(&self, from: &str, to: &str, replace: bool) -> Result<()> {
        if !replace {
            return Err(Error::unsupported("rename without replacing", "FTP"));
        }
        self.pool.lease().await?.rename(from, to).await
    }

    async fn remove_file(&self, path: &str) -> Result<()> {
        self.pool.lease().await?.control.demand("DELE", path).await.map(drop)
    }

    async fn remove_directory(&self, path: &str) -> Result<()> {
        self.pool.lease().await?.control.demand("RMD", path).await.map(drop)
    }

    async fn create_directory(&self, path: &str) -> Result<()> {
        self.pool.lease().await?.control.demand("MKD", path).await.map(drop)
    }

    async fn tells_digests(&self) -> Result<bool> {
        Ok(self.pool.lease().await?.features.digest.is_some())
    }

    async fn digest(&self, path: &str) -> Result<Digest> {
        let mut lease = self.pool.lease().await?;
        let Some(command) = lease.features.digest else {
            return Err(Error::unsupported("digest", "FTP"));
        };
        let patience = lease.endpoint.commit_timeout;
        lease.control.send(command.verb(), path).await?;
        let reply = lease.control.answer(patience).await?;
        if !reply.is_success() {
            return Err(refused(command.verb(), path, &reply));
        }
        // `SHA-256 0-6 <digits> name` (HASH), `<digits>` (XSHA256): the name may look like one, but comes last.
        let text = reply.text();
        let mut words = text.split_whitespace();
        let digest = words.find_map(|word| Digest::parse(DigestAlgorithm::Sha256, word).ok());
        digest.ok_or_else(|| protocol(format!("the server's answer to {} holds no SHA-256", command.verb())))
    }

    async fn describe(&self) -> Result<Vec<(&'static str, String)>> {
        let lease = self.pool.lease().await?;
        let endpoint = self.pool.endpoint();
        let greeting = endpoint.learned.greeting.get().map(|greeting| one_line(greeting));
        let listings = if lease.features.machine_listings { "MLSD" } else { "LIST" };
        let digests = lease.features.digest.map_or("none", crate::features::DigestCommand::verb);
        Ok(vec![
            ("server", format!("{}:{}", endpoint.host, endpoint.port)),
            ("greeting", greeting.unwrap_or_default()),
            ("user", endpoint.user.clone()),
            ("security", endpoint.security.name().to_owned()),
            ("listings", listings.to_owned()),
            ("digests", digests.to_owned()),
        ])
    }

    async fn close(&self) -> Result<()> {
        self.pool.close().await;
        Ok(())
    }
}

fn not_taken(error: std::io::Error) -> Error {
    broken("the server does not take the file", error)
}

impl Connection {
    /// Begins to write a file, or goes on.
    async fn begin_write(&mut self, path: &str, offset: u64) -> Result<Data> {
        match self.transfer("STOR", path, offset).await {
            Err(error) if offset > 0 && refuses_restart(&error) && self.control.is_ready() => {
                Err(no_restart(error))
            }
            begun => begun,
        }
    }
}

/// APPE would be no way out: it is refused for the same reason, and where it is not, the end of the file may have moved.
fn no_restart(error: Error) -> Error {
    Error::new(ErrorKind::Unsupported, "the server does not go on in the middle of a file")
        .with_help("write it from its beginning, or have the server allow it (AllowStoreRestart of ProFTPD)")
        .with_source(error)
}

/// ProFTPD says 451 where `AllowStoreRestart` is off and 550 where `AllowOverwrite` is, others do not know REST.
fn refuses_restart(error: &Error) -> bool {
    matches!(error.provider_code(), Some("451" | "500" | "501" | "502" | "504")) || may_be_in_the_way(error)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mlflow_artifacts_core::{ArtifactUri, StoreConfig};
    use test_servers::{FtpSecurity, Proftpd};

    use super::*;

    #[tokio::test]
    async fn a_server_that_does_not_go_on_in_the_middle_of_a_file_is_told() {
        for lines in [&["AllowStoreRestart off"], Proftpd::CAUTIOUS] {
            let proftpd = Proftpd::start(FtpSecurity::Plain, lines);
            is_told(&proftpd).await;
        }
    }

    async fn is_told(proftpd: &test_servers::FtpServer) {
        let uri = ArtifactUri::parse(&proftpd.uri_of("")).unwrap();
        let config = StoreConfig::new().with("user", proftpd.user()).with("password", proftpd.password());
        let server = FtpServer::open(&uri, &config.resolve(&uri, crate::KEYS).unwrap()).unwrap();
        let place = format!("{}/file", proftpd.root());
        let begin = stream::once(async { Ok(Bytes::from_static(b"some")) }).boxed();
        server.write(&place, 0, begin).await.unwrap();
        let rest = stream::once(async { panic!("the server has not opened the file") }).boxed();
        let error = server.write(&place, 4, rest).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unsupported, Retry::Never), "{error}");
        assert!(error.to_string().contains("from its beginning"), "{error}");
        assert_eq!(server.stat(&place).await.unwrap().size, 4);
    }
}
