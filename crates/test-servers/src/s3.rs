//! s3s-fs: S3 over a directory, in this process.

use std::net::SocketAddr;

use hyper::service::Service;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;

use crate::connection;
use crate::hosted::Hosted;
use crate::keys::Keys;

/// An S3 over a temporary directory. It checks signatures, checksums and `Content-MD5`, and knows `If-None-Match: *`.
///
/// What S3 has and it has not: `x` and `x/y` cannot both be there; conditions on a read are ignored; there is no list of the uploads
/// that have begun; a part's `ETag` is not compared when an upload is completed; an unknown access key is told `NotSignedUp`.
#[derive(Debug)]
pub struct S3s {
    hosted: Hosted,
    keys: Keys,
    /// Its content, which goes with it.
    root: TempDir,
}

impl S3s {
    /// Starts one that has these buckets.
    pub fn start(buckets: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for s3s: {error}"));
        let keys = Keys { id: "s3s-access-key".to_owned(), secret: "s3s-secret-key".to_owned() };
        let files =
            FileSystem::new(root.path()).unwrap_or_else(|error| panic!("s3s does not start: {error:?}"));
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(keys.id.clone(), keys.secret.clone()));
        let service = builder.build();
        let hosted = Hosted::start("s3s", |listener| {
            connection::accept(listener, move |request, _| Service::call(&service, request))
        });
        let server = S3s { hosted, keys, root };
        for bucket in buckets {
            server.create_bucket(bucket);
        }
        server
    }

    /// Makes one more bucket.
    pub fn create_bucket(&self, name: &str) {
        std::fs::create_dir(self.root.path().join(name))
            .unwrap_or_else(|error| panic!("s3s gets no bucket {name}: {error}"));
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.hosted.address()
    }

    /// Its endpoint: buckets are the first part of the path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The only keys it knows.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }
}
