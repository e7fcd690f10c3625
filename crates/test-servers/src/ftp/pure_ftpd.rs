//! Pure-FTPd, from Debian's packages.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use crate::ftp::{FtpSecurity, FtpServer, Setting, write};
use crate::install::{run, unpacked};

const PACKAGES: &[&str] = &["pure-ftpd", "pure-ftpd-common"];
const USER: &str = "tester";
const PASSWORD: &str = "pure-ftpd-password";
const CRYPTED: &str =
    "$6$test$7Y1JSR1YDUBp7VKt.Ax4RsVlgd6A77Dos5lUzevpuPK2/ZrLUhpDdNqZSlb2qVJd9h.uJAIVXWgyBL0Ttj1SO.";
/// Who owns what its user writes: it lets in nobody whose number is too low.
const OWNER: u32 = 65_534;

/// An FTP server with MLSD and users of its own, for whom the served directory is the top. It must be started as root.
#[derive(Debug)]
pub struct PureFtpd;

impl PureFtpd {
    /// Starts one. It has no implicit TLS. The first use unpacks Debian's packages.
    pub fn start(security: FtpSecurity) -> FtpServer {
        let packages = unpacked("pure-ftpd", PACKAGES);
        FtpServer::start(security, |directory, _| {
            make_user(&packages, directory);
            let arguments = match security {
                FtpSecurity::Plain => without_tls,
                FtpSecurity::Explicit => with_tls,
                FtpSecurity::Implicit => panic!("Pure-FTPd has no implicit TLS"),
            };
            let program = packages.join("usr/sbin/pure-ftpd");
            Setting { program, packages, arguments, root: String::new(), user: USER, password: PASSWORD }
        })
    }
}

fn make_user(packages: &Path, directory: &Path) {
    let (files, users) = (directory.join("files"), directory.join("users"));
    let prepare = || {
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))?;
        chown(&files, Some(OWNER), Some(OWNER))
    };
    prepare().unwrap_or_else(|error| panic!("no directory for a user: {error}"));
    // Its own program would crypt the password so that each login takes seconds.
    let user = format!("{USER}:{CRYPTED}:{OWNER}:{OWNER}::{}/./::::::::::::\n", files.display());
    write(&users, &user);
    run(Command::new(packages.join("usr/bin/pure-pw"))
        .arg("mkdb")
        .arg(directory.join("users.pdb"))
        .arg("-f")
        .arg(users));
}

fn without_tls(directory: &Path, port: u16) -> Vec<String> {
    let users = format!("puredb:{}", directory.join("users.pdb").display());
    let fixed =
        ["--noanonymous", "--dontresolve", "--minuid=1", "--maxclientsnumber=100", "--maxclientsperip=100"];
    let mut arguments = fixed.map(str::to_owned).to_vec();
    arguments.extend([format!("--bind=127.0.0.1,{port}"), format!("--login={users}")]);
    arguments
}

fn with_tls(directory: &Path, port: u16) -> Vec<String> {
    let mut arguments = without_tls(directory, port);
    let certificate = directory.join("key-and-certificate.pem");
    arguments.extend(["--tls=3".to_owned(), format!("--certfile={}", certificate.display())]);
    arguments
}
