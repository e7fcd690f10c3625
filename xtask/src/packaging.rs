//! Checks of what packagers and users get: the installed tree, a distribution's layout, the tarball.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::emulator::Emulator;
use crate::library::{self, soname, version};
use crate::process::{self, Outcome, command, fail, output};
use crate::{archive, demo, dist, install, root, size};

/// Both of the steps below; answers how many checks passed.
pub(crate) fn run() -> Outcome<usize> {
    Ok(installation()? + distribution()?)
}

/// What `make install` puts somewhere is what a C program needs, shared and static, also where a distribution has it.
pub(crate) fn installation() -> Outcome<usize> {
    let release = library::build("release")?;
    library::check(&release)?;
    size::check(&release)?;
    archive::check_globals(&release)?;
    let prefix = tempfile::tempdir()?;
    install::run(prefix.path(), None, Path::new("lib"), Path::new("include"))?;
    let tree = Tree { top: prefix.path().to_owned(), lib: prefix.path().join("lib") };
    tree.check_pkg_config_shared()?;
    tree.check_pkg_config_static()?;
    check_distribution_layout()?;
    println!(
        "the installed library {} works, shared and static, on a directory and on Artifactory",
        version()
    );
    Ok(7)
}

/// The tarball holds what a C program needs, wherever it is unpacked, and says what is in the library.
pub(crate) fn distribution() -> Outcome<usize> {
    let tarball = dist::make()?;
    let bytes = std::fs::read(&tarball)?;
    if std::fs::read(dist::make()?)? != bytes {
        return fail(format!("{} is another each time it is made", tarball.display()));
    }
    let directory = tempfile::tempdir()?;
    process::run(
        command("tar", ["--extract", "--file"]).arg(&tarball).arg("--directory").arg(directory.path()),
    )?;
    let name = tarball.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let top = directory.path().join(name.trim_end_matches(".tar.gz"));
    check_documents(&top)?;
    check_no_paths(&top)?;
    let tree = Tree { lib: top.join("lib"), top };
    tree.check_cmake()?;
    tree.check_pkg_config_shared()?;
    println!("{name} has {} bytes; its library works by pkg-config and by CMake", bytes.len());
    Ok(5)
}

/// Debian's layout, below a DESTDIR. There `/lib` is a link to `/usr/lib`, and `CMake` looks below `/lib` too.
fn check_distribution_layout() -> Outcome {
    let destdir = tempfile::tempdir()?;
    let triplet = output(&mut command("cc", ["-print-multiarch"]))?;
    let lib = match triplet.trim() {
        "" => "lib64".to_owned(),
        triplet => format!("lib/{triplet}"),
    };
    install::run(Path::new("/usr"), Some(destdir.path()), Path::new(&lib), Path::new("include"))?;
    std::os::unix::fs::symlink("usr/lib", destdir.path().join("lib"))?;
    let tree = Tree { top: destdir.path().to_owned(), lib: destdir.path().join("usr").join(&lib) };
    let libdir = output(tree.pkg_config().arg("--variable=libdir"))?;
    if libdir.trim() != format!("/usr/{lib}") {
        return fail(format!("the pkg-config file says that the libraries are in {libdir}"));
    }
    tree.check_cmake()
}

/// A place where the library was put, to be used as its users do.
struct Tree {
    /// What `CMake` is told to look below.
    top: PathBuf,
    lib: PathBuf,
}

impl Tree {
    fn pkg_config(&self) -> Command {
        let mut pkg_config = command("pkg-config", ["mlflow_artifacts"]);
        pkg_config.env("PKG_CONFIG_PATH", self.lib.join("pkgconfig"));
        pkg_config
    }

    /// Builds the example with what pkg-config says.
    fn compile(&self, program: &Path, more: &[&str]) -> Outcome {
        let flags = output(self.pkg_config().args(["--cflags", "--libs"]).args(more))?;
        let mut compile = command("cc", ["-std=c11", "-Wall", "-Wextra", "-Werror", "-o"]);
        compile.arg(program).arg(root().join("examples/c/log_model.c")).args(flags.split_whitespace());
        output(&mut compile)?;
        Ok(())
    }

    fn check_pkg_config_shared(&self) -> Outcome {
        let work = tempfile::tempdir()?;
        let program = work.path().join("log_model");
        self.compile(&program, &[])?;
        let on_model = || {
            let mut command = command(&program, [demo::MODEL]);
            command.env("LD_LIBRARY_PATH", &self.lib);
            command
        };
        demo::run_on_model(&mut on_model(), None)?;
        // Only the URI is another.
        let emulator = Emulator::start(&[])?;
        demo::run_on_model(on_model().envs(Emulator::ENVIRONMENT), Some(emulator.uri("mlflow")))
    }

    /// Removes the shared library: a linker takes the archive where there is no other.
    fn check_pkg_config_static(&self) -> Outcome {
        for entry in std::fs::read_dir(&self.lib)? {
            let path = entry?.path();
            if path.to_string_lossy().contains(".so") {
                std::fs::remove_file(path)?;
            }
        }
        let work = tempfile::tempdir()?;
        let program = work.path().join("log_model_static");
        self.compile(&program, &["--static"])?;
        demo::run_on_model(&mut command(&program, [demo::MODEL]), None)
    }

    /// Both targets of the `CMake` package make a program that works, and only the shared one needs the library then.
    fn check_cmake(&self) -> Outcome {
        let work = tempfile::tempdir()?;
        let (accepted, refused) = versions()?;
        let mut configure = command("cmake", ["-S", "tests/cmake", "-B"]);
        configure.arg(work.path()).arg(format!("-DCMAKE_PREFIX_PATH={}", self.top.display()));
        configure.arg(format!("-DACCEPTED={accepted}")).arg(format!("-DREFUSED={refused}"));
        output(&mut configure)?;
        output(command("cmake", ["--build"]).arg(work.path()))?;
        for (name, needs_library) in [("log_model", true), ("log_model_static", false)] {
            let program = work.path().join(name);
            demo::run_on_model(&mut command(&program, [demo::MODEL]), None)?;
            let dynamic = output(command("readelf", ["--dynamic", "--wide"]).arg(&program))?;
            if dynamic.contains(&soname()) != needs_library {
                return fail(format!("{name}, made by CMake, has not what it should need: {dynamic}"));
            }
        }
        Ok(())
    }
}

/// Versions that the library is compatible with, and versions that it is not, as `CMake`'s lists.
fn versions() -> Outcome<(String, String)> {
    let numbers: Vec<u32> = version().split('.').filter_map(|number| number.parse().ok()).collect();
    let [major, minor, patch] = numbers[..] else { return fail(format!("{} is no version", version())) };
    let (next_major, next_minor, next_patch) = (major + 1, minor + 1, patch + 1);
    // The only one that is refused for its soname alone.
    let earlier = match major {
        0 => format!("0.{}", minor.saturating_sub(1)),
        _ => format!("{}.{minor}", major - 1),
    };
    Ok((
        format!("{major}.{minor};{major}.{minor}.{patch}"),
        format!("{earlier};{major}.{minor}.{next_patch};{major}.{next_minor};{next_major}.{minor}"),
    ))
}

/// The bill of materials and the licences name what is linked, and not what only builds or tests.
fn check_documents(top: &Path) -> Outcome {
    let bill = std::fs::read_to_string(top.join(dist::SBOM))?;
    let Ok(bill) = serde_json::from_str::<serde_json::Value>(&bill) else {
        return fail(format!("{} is no JSON", dist::SBOM));
    };
    let components = bill["components"].as_array().map_or(&[][..], Vec::as_slice);
    let licences = std::fs::read_to_string(top.join(dist::LICENCES))?;
    let is_named = |name: &str| {
        let in_bill = components.iter().any(|component| component["name"] == name);
        (in_bill, licences.lines().any(|line| line.starts_with(&format!("{name} "))))
    };
    for linked in ["ring", "rustls", "tokio", "serde_json"] {
        if is_named(linked) != (true, true) {
            return fail(format!("the tarball's documents do not name {linked}"));
        }
    }
    for not_linked in ["axum", "cbindgen", "cc", "clap", "libtest-mimic", "serde_derive", "syn"] {
        if is_named(not_linked) != (false, false) {
            return fail(format!("the tarball's documents name {not_linked}, which is not linked"));
        }
    }
    for document in ["ABI.md", "LICENSE", "README.md"] {
        if !top.join(document).is_file() {
            return fail(format!("the tarball has no {document}"));
        }
    }
    Ok(())
}

/// Nothing in the tree has a path of the machine that it was made on.
fn check_no_paths(directory: &Path) -> Outcome {
    let home = std::env::var("HOME").unwrap_or_default();
    let paths = [root().display().to_string(), format!("{home}/.cargo"), format!("{home}/.rustup")];
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            check_no_paths(&path)?;
            continue;
        }
        let content = std::fs::read(&path)?;
        for unwanted in &paths {
            if content.windows(unwanted.len()).any(|bytes| bytes == unwanted.as_bytes()) {
                return fail(format!("{} has the path {unwanted}", path.display()));
            }
        }
    }
    Ok(())
}
