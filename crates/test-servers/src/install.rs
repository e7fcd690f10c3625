//! What has to be installed: once, below the target directory, for all test programs.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory of an installation. What was installed for anything but `wanted` is made anew by `install`, which gets the empty
/// directory; other test programs wait for it.
pub(crate) fn installed(name: &str, wanted: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let servers = target().join("test-servers");
    let directory = servers.join(name);
    let fails = |error: io::Error| -> ! { panic!("{name} cannot be installed: {error}") };
    let _locked = lock(name);
    // Written last: what is there is complete.
    let stamp = directory.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return directory;
    }
    eprintln!("installing {name} into {}", directory.display());
    let empty = || match std::fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir(&directory),
    };
    empty().unwrap_or_else(|error| fails(error));
    install(&directory);
    std::fs::write(&stamp, wanted).unwrap_or_else(|error| fails(error));
    directory
}

/// A virtual environment with the Python packages that these requirements pin, all of them.
pub(crate) fn python_environment(name: &str, requirements: &str) -> PathBuf {
    installed(name, requirements, |directory| {
        run(Command::new("python3").args(["-m", "venv"]).arg(directory));
        let file = directory.join("requirements.txt");
        std::fs::write(&file, requirements)
            .unwrap_or_else(|error| panic!("{} cannot be written: {error}", file.display()));
        run(Command::new(directory.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"])
            .arg(&file));
    })
}

/// The directory that Debian's packages are unpacked in, without being installed: Debian's archive names their versions, and nothing of
/// this machine changes.
pub(crate) fn unpacked(name: &str, packages: &[&str]) -> PathBuf {
    installed(name, &packages.join(" "), |directory| unpack(directory, packages))
}

/// Debian's archive names the versions; nothing of the machine changes.
pub(crate) fn unpack(directory: &Path, packages: &[&str]) {
    let download = || {
        let mut command = Command::new("apt-get");
        command.args(["download", "--quiet"]).args(packages).current_dir(directory);
        command
    };
    let is_done = || download().output().is_ok_and(|output| output.status.success());
    // Lists that are old name versions that are gone; somebody else may just be making them new.
    if !is_done() {
        let _locked = lock("apt");
        if !is_done() {
            run(Command::new("apt-get").args(["update", "--quiet"]));
            run(&mut download());
        }
    }
    let extract = "for package in *.deb; do dpkg --extract \"$package\" . && rm \"$package\" || exit 1; done";
    run(Command::new("sh").args(["-c", extract]).current_dir(directory));
}

/// Waits until no other test program, and no other thread, has this lock.
pub(crate) fn lock(name: &str) -> File {
    let servers = target().join("test-servers");
    let locked = || -> io::Result<File> {
        std::fs::create_dir_all(&servers)?;
        let lock = File::create(servers.join(name).with_extension("lock"))?;
        lock.lock()?;
        Ok(lock)
    };
    locked().unwrap_or_else(|error| panic!("{name} cannot be locked: {error}"))
}

/// Runs a step of an installation. One that fails is a panic with what it printed.
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Where cargo puts what it makes.
fn target() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    workspace.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}
