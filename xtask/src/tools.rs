//! What the tests need beyond Rust, a C compiler, make and Python: found, or installed with a pinned version.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::process::{Outcome, cargo, command, fail, output, run};
use crate::{root, target};

/// Programs of the system, with the Debian package that has them.
const PROGRAMS: [(&str, &str); 12] = [
    ("c++", "g++"),
    ("valgrind", "valgrind"),
    ("abidiff", "abigail-tools"),
    ("pkg-config", "pkg-config"),
    ("cmake", "cmake"),
    ("readelf", "binutils"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("go", "golang-go"),
    // What the benchmarks compare with: that of S3.
    ("curl", "curl"),
    // And those of FTP and SFTP.
    ("lftp", "lftp"),
    ("sftp", "openssh-client"),
];

const CARGO_DENY: &str = "0.20.2";

/// Installs the system's programs that are missing.
pub(crate) fn install_programs() -> Outcome {
    let missing = PROGRAMS.iter().filter(|(program, _)| find(program).is_none());
    let mut packages: Vec<_> = missing.map(|(_, package)| *package).collect();
    // Debian's Python comes without what makes virtual environments.
    if !command("python3", ["-c", "import ensurepip, venv"]).status().is_ok_and(|status| status.success()) {
        packages.push("python3-venv");
    }
    if packages.is_empty() {
        return Ok(());
    }
    println!("installing {}", packages.join(" "));
    let install = || {
        run(&mut command("apt-get", ["update", "--quiet"]))?;
        run(command("apt-get", ["install", "--yes", "--quiet", "--no-install-recommends"]).args(&packages))
    };
    let name_them =
        |error| fail(format!("{error}\nInstall these packages and try again: {}", packages.join(" ")));
    install().or_else(name_them)
}

/// Where a program of the system stands.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // The last is where Go's own archive is unpacked to.
    let system = ["/usr/sbin".into(), "/sbin".into(), "/usr/local/go/bin".into()];
    std::env::split_paths(&path)
        .chain(system)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// nginx: the system's, or Debian's package unpacked below target/tools. Installed, it would listen on port 80.
pub(crate) fn nginx() -> Outcome<PathBuf> {
    let directory = target().join("tools/nginx");
    let unpacked = directory.join("usr/sbin/nginx");
    if let Some(found) = find("nginx").or_else(|| unpacked.is_file().then(|| unpacked.clone())) {
        return Ok(found);
    }
    println!("unpacking nginx into {}", directory.display());
    std::fs::create_dir_all(&directory)?;
    run(&mut command("apt-get", ["update", "--quiet"]))?;
    run(command("apt-get", ["download", "--quiet", "nginx"]).current_dir(&directory))?;
    run(command("sh", ["-c", "dpkg --extract nginx_*.deb ."]).current_dir(&directory))?;
    Ok(unpacked)
}

/// cargo-deny, built once below target/tools.
pub(crate) fn cargo_deny() -> Outcome<PathBuf> {
    let tools = target().join("tools");
    let program = tools.join("bin/cargo-deny");
    let version = format!("cargo-deny {CARGO_DENY}");
    let is_there = command(&program, ["--version"]).output();
    if is_there.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == version) {
        return Ok(program);
    }
    println!("building {version}");
    let build = tools.join("build");
    // Optimised, it takes three times as long to build, and no noticeable time less to run.
    run(cargo([
        "install",
        "--quiet",
        "--debug",
        "--locked",
        "--force",
        "cargo-deny",
        "--version",
        CARGO_DENY,
        "--root",
    ])
    .arg(&tools)
    .arg("--target-dir")
    .arg(&build)
    .env("CARGO_PROFILE_DEV_DEBUG", "none"))?;
    std::fs::remove_dir_all(build)?;
    Ok(program)
}

/// The Python of the virtual environment with `MLflow` and what the tests in Python need.
pub(crate) fn python() -> Outcome<PathBuf> {
    python_for("python-venv", &["tests/e2e/requirements.txt", "bindings/python/tests/requirements.txt"])
}

/// The Python of one that has other clients of Artifactory too. They stand apart: one of them is a plugin of `MLflow` for the scheme that ours
/// answers.
pub(crate) fn python_with_clients() -> Outcome<PathBuf> {
    let below = python()?;
    install_python(
        Path::new("python3"),
        Some(&below),
        "clients-venv",
        &["tests/e2e/requirements-clients.txt"],
    )
}

/// The Python of the virtual environment of this name with what these files pin.
pub(crate) fn python_for(name: &str, requirements: &[&str]) -> Outcome<PathBuf> {
    install_python(Path::new("python3"), None, name, requirements)
}

/// The Python of a virtual environment made by an interpreter, which finds the packages of another environment `below` it too.
pub(crate) fn install_python(
    interpreter: &Path,
    below: Option<&Path>,
    name: &str,
    requirements: &[&str],
) -> Outcome<PathBuf> {
    // One at a time: who needs an environment waits for `suite`, which makes them all ahead of the steps.
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let environment = target().join(name);
    let python = environment.join("bin/python");
    let requirements: Vec<_> = requirements.iter().map(|file| root().join(file)).collect();
    let wanted = requirements.iter().map(std::fs::read_to_string).collect::<Result<String, _>>()?;
    // Written last: what is there is complete.
    let installed = environment.join("installed-requirements.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
        return Ok(python);
    }
    println!("installing Python packages into {}", environment.display());
    run(command(interpreter, ["-m", "venv", "--clear"]).arg(&environment))?;
    if let Some(below) = below {
        std::fs::write(packages_of(&python)?.join("below.pth"), packages_of(below)?.display().to_string())?;
    }
    let files = requirements.iter().flat_map(|file| [OsStr::new("--requirement"), file.as_os_str()]);
    run(command(&python, ["-m", "pip", "install", "--quiet"]).args(files))?;
    std::fs::write(installed, wanted)?;
    Ok(python)
}

/// Where the packages of a virtual environment are.
fn packages_of(python: &Path) -> Outcome<PathBuf> {
    let asked =
        output(&mut command(python, ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]))?;
    Ok(asked.trim().into())
}
