//! The servers of the benchmark of FTP and SFTP.
//!
//! Prints where they are and who may log in, as one line of JSON, and ends with its standard input.

use std::io::Read as _;

use test_servers::{FtpSecurity, OpenSsh, Vsftpd};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ssh = OpenSsh::start();
    let root = ssh.root();
    let ftp = Vsftpd::start(FtpSecurity::Plain, &[]);
    let told = serde_json::json!({
        "sftp": {
            "port": ssh.address().port(),
            "user": ssh.user(),
            "key": ssh.key("rsa"),
            "known_hosts": ssh.known_hosts(),
            "directory": root,
            "path": root,
        },
        "ftp": {
            "port": ftp.address().port(),
            "user": ftp.user(),
            "password": ftp.password(),
            "directory": ftp.files(),
            "path": ftp.root(),
        },
    });
    println!("{told}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
