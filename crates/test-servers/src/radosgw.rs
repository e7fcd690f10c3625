//! radosgw: the S3 of Ceph, as it is run in production.

use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use crate::install::{installed, lock, run};
use crate::keys::Keys;
use crate::process::Process;

/// Debian's packages of Ceph, and what makes the buckets.
const PACKAGES: [&str; 5] = ["radosgw", "ceph-mon", "ceph-osd", "ceph-common", "curl"];
const SCRIPT: &str = include_str!("../radosgw/serve.sh");

/// A Ceph in memory. It checks signatures, the hash of the content, `Content-MD5`, both conditions of a write and of a read, the
/// smallest size of a part and the `ETag`s that complete an upload; `x` and `x/y` can both be there.
///
/// What S3 has and it has not: checksums (`x-amz-checksum-...`) are not looked at.
#[derive(Debug)]
pub struct Radosgw {
    process: Process,
    keys: Keys,
    /// Configuration and logs, which go with it.
    _directory: TempDir,
}

impl Radosgw {
    /// Starts one that has these buckets. The first use installs Debian's packages.
    pub fn start(buckets: &[&str]) -> Self {
        installed("radosgw", &PACKAGES.join(" "), |_| install());
        let directory =
            tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for radosgw: {error}"));
        let script = directory.path().join("serve.sh");
        std::fs::write(&script, SCRIPT)
            .unwrap_or_else(|error| panic!("{} cannot be written: {error}", script.display()));
        let keys = Keys { id: "radosgw-access-key".to_owned(), secret: "radosgw-secret-key".to_owned() };
        let process = Process::start("bash".as_ref(), |command, port| {
            let data = directory.path().join(port.to_string());
            command.arg(&script).arg(data).args([&keys.id, &keys.secret, "-p", &port.to_string()]);
        });
        let server = Radosgw { process, keys, _directory: directory };
        for bucket in buckets {
            server.create_bucket(bucket);
        }
        server
    }

    /// Makes one more bucket.
    pub fn create_bucket(&self, name: &str) {
        let user = format!("{}:{}", self.keys.id, self.keys.secret);
        let address = format!("{}/{name}", self.url());
        run(Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--retry", "3", "--request", "PUT"])
            .args(["--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"])
            .args(["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &user, &address]));
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// Its endpoint: buckets are the first part of the path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The keys of its only user.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }
}

/// Debian's archive names the version; nothing of what was there before changes.
fn install() {
    let is_there = Command::new("dpkg").arg("--status").args(PACKAGES).output();
    if is_there.is_ok_and(|output| output.status.success()) {
        return;
    }
    let _locked = lock("apt");
    run(Command::new("apt-get").args(["update", "--quiet"]));
    run(Command::new("apt-get")
        .args(["install", "--yes", "--quiet", "--no-install-recommends"])
        .args(PACKAGES)
        .env("DEBIAN_FRONTEND", "noninteractive"));
}
