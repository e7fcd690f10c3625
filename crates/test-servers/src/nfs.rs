//! Linux's own NFS, server and client, in a Linux of its own.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::install::{installed, run, unpack};
use crate::process::within_script;

/// User-Mode Linux of Debian, what serves and mounts NFS, what shapes the network, and their libraries.
const PACKAGES: [&str; 21] = [
    "user-mode-linux",
    "nfs-kernel-server",
    "nfs-common",
    "rpcbind",
    "kmod",
    "iproute2",
    "keyutils",
    "libbpf1",
    "libbsd0",
    "libcap2",
    "libdevmapper1.02.1",
    "libelf1",
    "libevent-core-2.1-7",
    "libkmod2",
    "libmnl0",
    "libnfsidmap1",
    "libtirpc3",
    "libtirpc-common",
    "libnsl2",
    "libwrap0",
    "libxtables12",
];
const INIT: &str = include_str!("../nfs/init.sh");
const FLOATING_POINT: &str = include_str!("../nfs/floating_point.c");
const LONGEST_RUN: Duration = Duration::from_mins(40);

/// A Linux that exports directories by NFS and mounts them itself, with the same files otherwise as this machine: `nfs/init.sh` says
/// which variables name what is exported and mounted.
#[derive(Debug)]
pub struct Nfs;

impl Nfs {
    /// Boots it, runs a line of shell with these variables in it as root, and answers all that was printed; `Err` if the line fails, or
    /// the system does. The first use installs Debian's packages below the target directory.
    pub fn run(line: &str, env: &[(&str, &str)]) -> Result<String, String> {
        let packages = installed("nfs", &format!("{}\n{FLOATING_POINT}", PACKAGES.join(" ")), install);
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for NFS: {error}"));
        let printed = directory.path().join("printed");
        let machine = Machine::boot(&packages, &directory, &printed, line, env);
        let in_time = machine.wait();
        let printed = std::fs::read(&printed).unwrap_or_default();
        let printed = String::from_utf8_lossy(&printed).into_owned();
        let succeeded = in_time && printed.lines().any(|line| line.trim_end() == "NFS: ended with 0");
        if succeeded { Ok(printed) } else { Err(printed) }
    }
}

fn install(directory: &Path) {
    unpack(directory, &PACKAGES);
    let source = directory.join("floating_point.c");
    std::fs::write(&source, FLOATING_POINT).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    let library = directory.join("floating_point.so");
    run(Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(library).arg(source));
}

/// A system that is killed when it is dropped.
struct Machine(Child);

impl Machine {
    fn boot(packages: &Path, directory: &TempDir, printed: &Path, line: &str, env: &[(&str, &str)]) -> Self {
        let begin = || -> std::io::Result<Child> {
            let packages = packages.canonicalize()?;
            let init = directory.path().join("init.sh");
            std::fs::write(&init, INIT)?;
            run(Command::new("chmod").arg("+x").arg(&init));
            let log = File::create(printed)?;
            let mut command = within_script(&packages.join("usr/bin/linux.uml"), &log)?;
            command
                .args(["mem=1024M", "rootfstype=hostfs", "rootflags=/", "rw", "quiet", "umid=nfs"])
                .args(["con=null", "con0=null,fd:1", "con1=null,fd:1"])
                .arg(format!("uml_dir={}/", directory.path().display()))
                .arg(format!("init={}", init.display()))
                .env("LD_PRELOAD", packages.join("floating_point.so"))
                // Its memory is a file there.
                .env("TMPDIR", "/dev/shm");
            // What the kernel does not know is the environment of its first process; a script has what does not fit there.
            let script = directory.path().join("run.sh");
            std::fs::write(&script, script_of(&packages, line, env))?;
            command.arg(format!("BASH_ENV={}", script.display()));
            command.spawn()
        };
        Machine(begin().unwrap_or_else(|error| panic!("User-Mode Linux cannot be started: {error}")))
    }

    /// Whether it ended by itself.
    fn wait(mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < LONGEST_RUN {
            if let Ok(Some(_)) = self.0.try_wait() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It fails only for a process that is gone.
        let _ = self.0.wait();
    }
}

fn script_of(packages: &Path, line: &str, env: &[(&str, &str)]) -> String {
    let own = [("NFS_PACKAGES", packages.display().to_string()), ("NFS_RUN", line.to_owned())];
    let env = env.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let quoted = |value: &str| format!("'{}'", value.replace('\'', r"'\''"));
    let exports =
        own.into_iter().chain(env).map(|(name, value)| format!("export {name}={}\n", quoted(&value)));
    // What init.sh runs is no shell that reads this once more.
    std::iter::once("unset BASH_ENV\n".to_owned()).chain(exports).collect()
}
