//! The servers of the benchmark of FTP and SFTP.
//!
//! Prints where they are and who may log in, as one line of JSON, and ends with its standard input.

use std::io::Read as _;

use test_servers::OpenSsh;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ssh = OpenSsh::start();
    let root = ssh.root();
    let told = serde_json::json!({
        "sftp": {
            "port": ssh.address().port(),
            "user": ssh.user(),
            "key": ssh.key("rsa"),
            "known_hosts": ssh.known_hosts(),
            "directory": root,
            "path": root,
        },
    });
    println!("{told}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
