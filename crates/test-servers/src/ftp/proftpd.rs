//! ProFTPD, from Debian's packages.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::certificate::IdentityFiles;
use crate::ftp::{FtpSecurity, FtpServer, Setting, write};
use crate::install::unpacked;

/// ProFTPD with the libraries that it needs.
const PACKAGES: &[&str] = &[
    "proftpd-core",
    "proftpd-mod-crypto",
    "libhashkit2",
    "libhiredis0.14",
    "libmemcached11",
    "libmemcachedutil2",
    "libpcre2-posix3",
];
/// The user of its own file of users, whose password is `proftpd-password`.
const USER: &str = "tester";
const PASSWORD: &str = "proftpd-password";
/// The configuration without the port.
const TEMPLATE: &str = "proftpd.template";
const CRYPTED: &str = "$5$uBa7R4TUy4J39NRE$MWBouAbhQlwJ6w9sB.peygd/0DB1c2oCe1/MVqjnVN1";

/// An FTP server with MLSD, HASH and TLS. It demands that a data connection resumes the TLS session of its control connection.
#[derive(Debug)]
pub struct Proftpd;

impl Proftpd {
    /// Lets it be as it is by default: it replaces no file and goes on in the middle of none.
    pub const CAUTIOUS: &[&str] = &["AllowOverwrite off", "AllowStoreRestart off"];

    /// Starts one, with more lines of configuration, which come before those that it has otherwise. The first use unpacks Debian's
    /// packages.
    pub fn start(security: FtpSecurity, lines: &[&str]) -> FtpServer {
        let packages = unpacked("proftpd", PACKAGES);
        FtpServer::start(security, |directory, identity| {
            let root = directory.join("files").display().to_string();
            write_users(directory, &root);
            let configuration = configuration(&packages, directory, identity, security, lines);
            write(&directory.join(TEMPLATE), &configuration);
            let program = packages.join("usr/sbin/proftpd");
            Setting { program, packages, arguments, root, user: USER, password: PASSWORD }
        })
    }
}

fn arguments(directory: &Path, port: u16) -> Vec<String> {
    let template = directory.join(TEMPLATE);
    let template = std::fs::read_to_string(&template)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", template.display()));
    let file = directory.join("proftpd.conf");
    write(&file, &format!("Port {port}\n{template}"));
    vec!["--nodaemon".to_owned(), "--config".to_owned(), file.display().to_string()]
}

/// Whoever runs the tests is the user.
fn write_users(directory: &Path, root: &str) {
    let file = directory.join("users");
    let owner = std::fs::metadata(directory).unwrap_or_else(|error| panic!("no directory: {error}"));
    write(&file, &format!("{USER}:{CRYPTED}:{}:{}::{root}:/bin/sh\n", owner.uid(), owner.gid()));
    std::fs::set_permissions(&file, Permissions::from_mode(0o600))
        .unwrap_or_else(|error| panic!("{} cannot be protected: {error}", file.display()));
}

fn configuration(
    packages: &Path,
    directory: &Path,
    identity: &IdentityFiles,
    security: FtpSecurity,
    lines: &[&str],
) -> String {
    let (packages, directory) = (packages.display(), directory.display());
    let mut text = format!(
        "ServerType standalone
ServerName test
DefaultAddress 127.0.0.1
SocketBindTight on
UseIPv6 off
ModulePath {packages}/usr/lib/proftpd
LoadModule mod_tls.c
LoadModule mod_digest.c
User root
Group root
RootLogin on
PidFile {directory}/pid
ScoreboardFile {directory}/scoreboard
DelayEngine off
TransferLog none
WtmpLog off
UseReverseDNS off
AuthUserFile {directory}/users
AuthOrder mod_auth_file.c
RequireValidShell off
MaxInstances 100
"
    );
    // Of two lines the first counts.
    for line in lines.iter().chain(&["AllowOverwrite on", "AllowStoreRestart on"]) {
        text += line;
        text += "\n";
    }
    if security != FtpSecurity::Plain {
        let (certificate, key) = (identity.certificate.display(), identity.key.display());
        let authority = identity.bundle.display();
        let certificates = format!(
            "TLSECCertificateFile {certificate}\nTLSECCertificateKeyFile {key}\nTLSCACertificateFile {authority}\n"
        );
        text += "TLSEngine on\nTLSRequired on\n";
        text += &certificates;
    }
    if security == FtpSecurity::Implicit {
        text += "TLSOptions UseImplicitSSL\n";
    }
    text
}
