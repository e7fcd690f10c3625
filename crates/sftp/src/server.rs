//! What an SFTP server offers, as a server of files.

use std::sync::Arc;

use async_trait::async_trait;
use mlflow_artifacts_core::{
    ArtifactUri, ByteStream, Capabilities, Digest, Error, ErrorKind, ResolvedConfig, Result, Retry,
};
use mlflow_artifacts_file_server::{Child, ChooseRange, Entry, EntryKind, FileServer, Opened};

use crate::config::Settings;
use crate::file::{WINDOW, entry};
use crate::packet::{Request, extension};
use crate::pool::{Lease, Pool};
use crate::{list, read, write};

/// A server that is reached by SFTP.
#[derive(Debug)]
pub struct SftpServer {
    pool: Arc<Pool>,
}

impl SftpServer {
    /// The server that `uri` names, with options that were resolved with [`KEYS`](crate::KEYS). Nothing is connected to. Fails with
    /// [`InvalidUri`](ErrorKind::InvalidUri) or [`InvalidConfig`](ErrorKind::InvalidConfig).
    pub fn new(uri: &ArtifactUri, config: &ResolvedConfig) -> Result<Self> {
        Ok(SftpServer { pool: Arc::new(Pool::new(Settings::new(uri, config)?)) })
    }

    async fn lease(&self) -> Result<Lease> {
        self.pool.lease().await
    }

    /// Asks for what is answered by success alone.
    async fn ask(&self, request: Request<'_>, doing: &str) -> Result<()> {
        self.lease().await?.requests().send(&request).done(doing).await
    }

    /// Renames in one step where the server can replace.
    async fn replace(&self, from: &str, to: &str) -> Result<()> {
        const DOING: &str = "rename the file";
        let lease = self.lease().await?;
        let requests = lease.requests();
        if lease.features().has(extension::POSIX_RENAME) {
            return requests.send(&Request::PosixRename { from, to }).done(DOING).await;
        }
        // Some replace nevertheless; the draft wants them to refuse.
        let Err(refused) = requests.send(&Request::Rename { from, to }).done(DOING).await else {
            return Ok(());
        };
        if !matches!(refused.kind(), ErrorKind::Io | ErrorKind::AlreadyExists) {
            return Err(refused);
        }
        // What has the name is perhaps this very file, renamed by a request whose answer was lost.
        let source = requests.send(&Request::StatLink { path: from });
        let target = requests.send(&Request::StatLink { path: to });
        if source.attributes(DOING).await.is_err() || target.attributes(DOING).await.is_err() {
            return Err(refused);
        }
        // Sent together: nobody finds neither of them for longer than the server needs.
        let removed = requests.send(&Request::Remove { path: to });
        let renamed = requests.send(&Request::Rename { from, to });
        let removed = removed.done(DOING).await;
        renamed.done(DOING).await.map_err(|error| match removed {
            // What somebody else removed meanwhile was not in the way.
            Err(refused) if refused.kind() != ErrorKind::NotFound => refused,
            // Nothing is in the way any more.
            _ => error.with_retry(Retry::Transient),
        })
    }

    /// Renames unless there is something.
    async fn rename_new(&self, from: &str, to: &str) -> Result<()> {
        const DOING: &str = "rename the file";
        let lease = self.lease().await?;
        let requests = lease.requests();
        let is_there = async || match requests.send(&Request::StatLink { path: to }).attributes(DOING).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        let exists = || Error::new(ErrorKind::AlreadyExists, "something is there already");
        // The draft wants the server to refuse, and OpenSSH does so in one step. Some replace.
        if is_there().await? {
            return Err(exists());
        }
        match requests.send(&Request::Rename { from, to }).done(DOING).await {
            Err(error) if error.kind() == ErrorKind::Io && is_there().await? => Err(exists()),
            outcome => outcome,
        }
    }
}

#[async_trait]
impl FileServer for SftpServer {
    fn capabilities(&self) -> Capabilities {
        Capabilities::CREATE_NEW
    }

    async fn stat(&self, path: &str) -> Result<Entry> {
        let lease = self.lease().await?;
        entry(lease.requests().send(&Request::Stat { path }).attributes("look at the path").await?)
    }

    async fn list(&self, directory: &str) -> Result<Vec<Child>> {
        list::list(self.lease().await?, directory).await
    }

    async fn read(&self, path: &str, choose: ChooseRange) -> Result<Opened> {
        read::read(self.lease().await?, path, choose).await
    }

    async fn is_link(&self, path: &str) -> Result<bool> {
        const DOING: &str = "look at the path";
        let lease = self.lease().await?;
        match lease.requests().send(&Request::StatLink { path }).attributes(DOING).await {
            Ok(attributes) => Ok(entry(attributes)?.kind == EntryKind::Link),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write_window(&self) -> u64 {
        WINDOW as u64
    }

    async fn write(&self, path: &str, offset: u64, data: ByteStream) -> Result<Entry> {
        write::write(self.lease().await?, path, offset, data, self.pool.settings().fsync).await
    }

    async fn rename(&self, from: &str, to: &str, replace: bool) -> Result<()> {
        if replace { self.replace(from, to).await } else { self.rename_new(from, to).await }
    }

    async fn remove_file(&self, path: &str) -> Result<()> {
        self.ask(Request::Remove { path }, "remove the file").await
    }

    async fn remove_directory(&self, path: &str) -> Result<()> {
        self.ask(Request::RemoveDirectory { path }, "remove the directory").await
    }

    async fn create_directory(&self, path: &str) -> Result<()> {
        self.ask(Request::MakeDirectory { path }, "make the directory").await
    }

    async fn tells_digests(&self) -> Result<bool> {
        Ok(false)
    }

    async fn digest(&self, _path: &str) -> Result<Digest> {
        Err(Error::new(ErrorKind::Unsupported, "SFTP servers compute no digests"))
    }

    async fn describe(&self) -> Result<Vec<(&'static str, String)>> {
        let lease = self.lease().await?;
        let mut told = lease.describe();
        told.push(("connections", format!("{} of {}", self.pool.size(), self.pool.settings().connections)));
        Ok(told)
    }

    async fn close(&self) -> Result<()> {
        self.pool.close().await;
        Ok(())
    }
}
