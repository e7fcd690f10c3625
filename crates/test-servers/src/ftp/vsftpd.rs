//! vsftpd, from Debian's packages.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use crate::certificate::IdentityFiles;
use crate::ftp::{FtpSecurity, FtpServer, Setting, write};
use crate::install::unpacked;

const PACKAGES: &[&str] = &["vsftpd", "libwrap0"];
/// A user of every Debian, and its number: who is anonymous is this one, in a directory that is not his.
const OWNER: (&str, u32) = ("daemon", 1);

/// An FTP server without MLSD, with anonymous users only: others would have to be users of this machine. It demands that a data connection
/// resumes a TLS session, and must be started as root.
#[derive(Debug)]
pub struct Vsftpd;

impl Vsftpd {
    /// Starts one, with more lines of configuration. The first use unpacks Debian's packages.
    pub fn start(security: FtpSecurity, lines: &[&str]) -> FtpServer {
        let packages = unpacked("vsftpd", PACKAGES);
        FtpServer::start(security, |directory, identity| {
            give_away(directory);
            write(&directory.join("vsftpd.conf"), &configuration(directory, identity, security, lines));
            let program = packages.join("usr/sbin/vsftpd");
            let root = "/files".to_owned();
            Setting { program, packages, arguments, root, user: "anonymous", password: "tester@" }
        })
    }
}

fn arguments(directory: &Path, port: u16) -> Vec<String> {
    vec![directory.join("vsftpd.conf").display().to_string(), format!("-olisten_port={port}")]
}

/// The top of what an anonymous user sees must not be his, but the directory below it must.
fn give_away(directory: &Path) {
    let give = || {
        std::fs::create_dir(directory.join("empty"))?;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))?;
        chown(directory.join("files"), Some(OWNER.1), Some(OWNER.1))
    };
    give().unwrap_or_else(|error: std::io::Error| panic!("no directory for anonymous users: {error}"));
}

fn configuration(
    directory: &Path,
    identity: &IdentityFiles,
    security: FtpSecurity,
    lines: &[&str],
) -> String {
    let (owner, directory) = (OWNER.0, directory.display());
    let mut text = format!(
        "listen=YES
listen_address=127.0.0.1
background=NO
anonymous_enable=YES
local_enable=NO
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
anon_world_readable_only=NO
anon_umask=022
ftp_username={owner}
nopriv_user={owner}
anon_root={directory}
secure_chroot_dir={directory}/empty
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
xferlog_enable=NO
"
    );
    if security != FtpSecurity::Plain {
        let (certificate, key) = (identity.certificate.display(), identity.key.display());
        let certificates = format!("rsa_cert_file={certificate}\nrsa_private_key_file={key}\n");
        text += "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_data_ssl=YES\nforce_anon_logins_ssl=YES\n";
        text += "require_ssl_reuse=YES\nssl_ciphers=HIGH\n";
        text += &certificates;
    }
    if security == FtpSecurity::Implicit {
        text += "implicit_ssl=YES\n";
    }
    lines.iter().fold(text, |text, line| text + line + "\n")
}
