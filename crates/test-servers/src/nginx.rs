//! nginx: as what stands beside other servers, and decides for them.

use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use crate::install::unpacked;
use crate::process::Process;

/// Debian's package that is unpacked, not installed: an installed server would listen to everybody.
const PACKAGES: [&str; 1] = ["nginx"];

/// nginx with one server, whose root is a directory of its own.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    _directory: TempDir,
}

impl Nginx {
    /// Starts one with these directives of `http` and of `server`, and these files in the root. The first use unpacks Debian's package.
    pub fn start(http: &str, server: &str, files: &[(&str, &str)]) -> Self {
        let program = unpacked("nginx", &PACKAGES).join("usr/sbin/nginx");
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for nginx: {error}"));
        let root = directory.path();
        let write = |name: &str, content: &str| {
            std::fs::write(root.join(name), content)
                .unwrap_or_else(|error| panic!("{name} cannot be written: {error}"));
        };
        for (name, content) in files {
            write(name, content);
        }
        let process = Process::start(&program, |command: &mut Command, port| {
            write("nginx.conf", &configuration(http, server, port));
            command.arg("-p").arg(root).args(["-c", "nginx.conf", "-e", "stderr"]);
        });
        Nginx { process, _directory: directory }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// Its URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }
}

/// Everything that it writes stays in its directory.
fn configuration(http: &str, server: &str, port: u16) -> String {
    let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path temporary_{name};\n"))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nevents {{}}\nhttp {{\n  access_log off;\n{places}  {http}\n  \
         server {{\n    listen 127.0.0.1:{port};\n    root .;\n    {server}\n  }}\n}}\n"
    )
}
