//! The C library: an archive by cargo, and the shared library that we link from it ourselves.
//!
//! rustc exports every `#[no_mangle]` symbol of every dependency from a `cdylib`, and a version script of ours cannot take
//! them back (DESIGN.md, "Linking"). So the shared library is linked here, with nothing but our own functions in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Outcome, cargo, command, fail, output, run};
use crate::{header, linked_crates, root, target};

/// The symbol version of all functions, until an incompatible change. GNU ld lists it among the symbols, so it has their prefix.
const VERSION_NODE: &str = "mlfa_0";

/// What a program that links the archive must link too. rustc says so (`--print native-static-libs`); a test compares.
pub(crate) const NATIVE_LIBRARIES: [&str; 6] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"];

/// A library that was built.
pub(crate) struct Library {
    /// Holds the archive, the shared library and its links.
    pub(crate) directory: PathBuf,
    pub(crate) archive: PathBuf,
    pub(crate) shared: PathBuf,
}

impl Library {
    /// A call of the C compiler that makes `program` of `source`, warnings being errors; it finds this library where it
    /// stands, if it uses it.
    pub(crate) fn compile(&self, source: &Path, program: &Path) -> Command {
        self.compile_as("c11", &root().join("include"), source, program)
    }

    /// The same in another standard of C or C++, against the header in another directory.
    pub(crate) fn compile_as(
        &self,
        standard: &str,
        include: &Path,
        source: &Path,
        program: &Path,
    ) -> Command {
        let compiler = if standard.starts_with("c++") { "c++" } else { "cc" };
        let mut compile = command(compiler, ["-Wall", "-Wextra", "-Werror"]);
        compile.arg(format!("-std={standard}")).arg("-o").arg(program).arg(source);
        compile.arg("-I").arg(include).arg("-L").arg(&self.directory);
        compile.args(["-Wl,--as-needed", "-lmlflow_artifacts"]);
        compile.arg(format!("-Wl,-rpath,{}", self.directory.display()));
        compile
    }
}

/// The version of the workspace's packages, such as `0.1.0`.
pub(crate) fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// What the versions of one interface begin with: while the version is 0.x, each minor version is a new interface.
pub(crate) fn series() -> String {
    let mut parts = version().split('.');
    match (parts.next(), parts.next()) {
        (Some("0"), Some(minor)) => format!("0.{minor}"),
        (major, _) => major.unwrap_or_default().to_owned(),
    }
}

/// The name that programs remember.
pub(crate) fn soname() -> String {
    format!("libmlflow_artifacts.so.{}", series())
}

/// The name of the shared library's file, to which the soname is a link.
pub(crate) fn shared_name() -> String {
    format!("libmlflow_artifacts.so.{}", version())
}

/// The target that the library is built for: this machine's.
pub(crate) fn host() -> Outcome<String> {
    let printed = output(&mut command("rustc", ["--version", "--verbose"]))?;
    match printed.lines().find_map(|line| line.strip_prefix("host: ")) {
        Some(host) => Ok(host.to_owned()),
        None => fail(format!("rustc names no host: {printed}")),
    }
}

/// Where the compiler and what comes with it stand.
pub(crate) fn sysroot() -> Outcome<PathBuf> {
    let printed = output(&mut command("rustc", ["--print", "sysroot"]))?;
    Ok(PathBuf::from(printed.trim()))
}

/// Builds the library with a cargo profile.
pub(crate) fn build(profile: &str) -> Outcome<Library> {
    build_with(profile, profile, &[])
}

/// Builds the library into `target/capi/NAME`, with more arguments for cargo.
pub(crate) fn build_with(profile: &str, name: &str, arguments: &[&str]) -> Outcome<Library> {
    let mut build = cargo(["build", "--quiet", "--package", "mlflow-artifacts-capi", "--profile", profile]);
    build.args(arguments);
    let cargo_target = if profile == "release" { forget_paths(&mut build)? } else { target() };
    run(build.arg("--target-dir").arg(&cargo_target))?;
    let directory = target().join("capi").join(name);
    std::fs::create_dir_all(&directory)?;
    let archive = directory.join("libmlflow_artifacts.a");
    let profile_directory = cargo_target.join(if profile == "dev" { "debug" } else { profile });
    std::fs::copy(profile_directory.join("libmlflow_artifacts.a"), &archive)?;
    // The C interface of a crate that object_store sums with, which cannot be switched off there: another library may have it too.
    let hide = ["--enable-deterministic-archives", "--wildcard", "--localize-symbol=crc_fast_*"];
    run(command("objcopy", hide).arg(&archive))?;
    let shared = link(&directory, &archive, profile)?;
    Ok(Library { directory, archive, shared })
}

/// Keeps the paths of this machine, which every panic message would have, out of the library. Answers the target directory for
/// such builds: in the common one they would take turns with those that have the paths, and make everything anew each time.
fn forget_paths(build: &mut Command) -> Outcome<PathBuf> {
    let cargo_target = target().join("library");
    // Sorted: of two that fit, compilers take the one that comes last.
    let mut names = BTreeMap::from([
        (root(), "mlflow-artifacts"),
        (cargo_target.clone(), "target"),
        (sysroot()?.join("lib/rustlib/src/rust"), "rust"),
    ]);
    for linked in linked_crates::find()?.values().filter(|linked| linked.is_foreign()) {
        names.insert(linked.directory.parent().map_or_else(PathBuf::new, PathBuf::from), "crates");
    }
    let flags = |variable, flag| {
        let given = std::env::var(variable).unwrap_or_default();
        let remaps = names.iter().map(|(path, name)| format!("{flag}={}={name}", path.display()));
        given.split_whitespace().map(str::to_owned).chain(remaps).collect::<Vec<_>>()
    };
    build.env("CARGO_ENCODED_RUSTFLAGS", flags("RUSTFLAGS", "--remap-path-prefix").join("\u{1f}"));
    // ring has parts in C.
    build.env("CFLAGS", flags("CFLAGS", "-ffile-prefix-map").join(" "));
    Ok(cargo_target)
}

/// The same shared library with the names of its symbols.
pub(crate) fn link_with_symbols(release: &Library) -> Outcome<PathBuf> {
    let directory = target().join("capi/release-symbols");
    std::fs::create_dir_all(&directory)?;
    link(&directory, &release.archive, "with symbols")
}

fn link(directory: &Path, archive: &Path, profile: &str) -> Outcome<PathBuf> {
    let symbols = header::symbols()?;
    let script = directory.join("exports.map");
    let mut exports = format!("{VERSION_NODE} {{ global:");
    for symbol in &symbols {
        let _ = write!(exports, " {symbol};");
    }
    exports.push_str(" local: *; };\n");
    std::fs::write(&script, exports)?;

    let shared = directory.join(shared_name());
    let mut link = command(std::env::var_os("CC").unwrap_or_else(|| "cc".into()), ["-shared", "-o"]);
    link.arg(&shared);
    link.args(symbols.iter().map(|symbol| format!("-Wl,-u,{symbol}")));
    link.arg(archive);
    link.arg(format!("-Wl,--version-script={}", script.display()));
    link.arg(format!("-Wl,-soname,{}", soname()));
    // nodelete: the library's threads may outlive a dlclose.
    link.args(["-Wl,--gc-sections", "-Wl,-z,nodelete", "-Wl,-z,now", "-Wl,-z,relro", "-Wl,--no-undefined"]);
    if profile == "release" {
        link.arg("-Wl,--strip-all");
    }
    link.args(NATIVE_LIBRARIES).arg("-lc");
    run(&mut link)?;
    for name in ["libmlflow_artifacts.so".to_owned(), soname()] {
        replace_link(&directory.join(name), shared.file_name().unwrap_or_default().as_ref())?;
    }
    Ok(shared)
}

/// Makes `link` point to `to`, whatever stood there.
pub(crate) fn replace_link(link: &Path, to: &Path) -> Outcome {
    let _ = std::fs::remove_file(link);
    Ok(std::os::unix::fs::symlink(to, link)?)
}

/// Fails unless the shared library exports exactly the listed functions, has its soname, and nothing in its dynamic section that
/// makes it hard to load.
pub(crate) fn check(library: &Library) -> Outcome {
    let exported = output(command("nm", ["-D", "--defined-only", "--format=posix"]).arg(&library.shared))?;
    let exported: std::collections::BTreeSet<_> = exported
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter_map(|name| name.split("@@").next())
        .filter(|name| *name != VERSION_NODE)
        .map(str::to_owned)
        .collect();
    let listed = header::symbols()?;
    if exported != listed {
        let difference: Vec<_> = exported.symmetric_difference(&listed).cloned().collect();
        return fail(format!(
            "the exported symbols and include/symbols-in-versions.txt differ by: {}",
            difference.join(", ")
        ));
    }
    let relocations = output(command("readelf", ["--relocs", "--wide"]).arg(&library.shared))?;
    if let Some(relocation) = relocations.lines().find(|line| line.contains(" mlfa_")) {
        return fail(format!(
            "the library would call another copy's function, if one were loaded: {relocation}"
        ));
    }
    let dynamic = output(command("readelf", ["--dynamic", "--wide"]).arg(&library.shared))?;
    if !dynamic.contains(&format!("Library soname: [{}]", soname())) {
        return fail(format!("{} has no soname {}", library.shared.display(), soname()));
    }
    for unwanted in ["TEXTREL", "STATIC_TLS", "RPATH", "RUNPATH", "libssl", "libcrypto"] {
        if dynamic.contains(unwanted) {
            return fail(format!("{} has {unwanted}", library.shared.display()));
        }
    }
    check_native_libraries()
}

fn check_native_libraries() -> Outcome {
    // What the standard library needs: our dependencies link nothing of their own.
    let source = root().join("crates/capi/src/lib.rs");
    let probe = target().join("native-libraries");
    std::fs::create_dir_all(&probe)?;
    std::fs::write(probe.join("probe.rs"), "#[unsafe(no_mangle)] pub extern \"C\" fn probe() {}")?;
    let mut compile =
        command("rustc", ["--edition=2024", "--crate-type=staticlib", "--print=native-static-libs"]);
    let result = compile.arg("--out-dir").arg(&probe).arg(probe.join("probe.rs")).output()?;
    let printed = String::from_utf8_lossy(&result.stderr).into_owned();
    let note = printed.lines().find_map(|line| line.split_once("native-static-libs:"));
    let Some((_, libraries)) = note else {
        return fail(format!("rustc named no libraries for {}: {printed}", source.display()));
    };
    let named: Vec<_> = libraries.split_whitespace().filter(|name| *name != "-lc").collect();
    if named != NATIVE_LIBRARIES {
        return fail(format!("rustc asks for {named:?}, the pkg-config file names {NATIVE_LIBRARIES:?}"));
    }
    Ok(())
}
