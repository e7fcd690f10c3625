//! The Rust code under sanitizers: its own tests, and the C tests with the library and themselves instrumented.
//!
//! rustc's sanitizers are unstable. `RUSTC_BOOTSTRAP` lets the pinned compiler have them, here and nowhere else. The runtimes that
//! come with it are linked into the C programs as well: gcc's instrumentation calls the same functions.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::library::NATIVE_LIBRARIES;
use crate::process::{Outcome, cargo, command, fail, output, run};
use crate::{c_tests, root, target};

/// Instrumented code is always cross-compiled, so that build scripts and macros are not.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// How often the C tests do what they do often: instrumented, the streams take minutes otherwise.
const ROUNDS: &str = "10";

struct Sanitizer {
    /// As `-Zsanitizer` and `-fsanitize` have it.
    name: &'static str,
    /// In the name of its runtime.
    short: &'static str,
    /// More options for rustc.
    rust_flags: &'static str,
    link_flags: &'static [&'static str],
    /// A function that instrumented code calls.
    called: &'static str,
    /// Programs of tests/c that are left out.
    left_out: &'static [&'static str],
    /// Programs with a defect, and what must be reported of each.
    defects: &'static [(&'static str, &'static str)],
}

/// The standard library is not instrumented. Its allocations are seen all the same.
const ADDRESS: Sanitizer = Sanitizer {
    name: "address",
    short: "asan",
    rust_flags: "",
    link_flags: &[],
    called: "__asan_report_load8",
    // It loads the shared library; here all is one program.
    left_out: &["load"],
    defects: &[("use_after_free", "heap-use-after-free"), ("leak", "detected memory leaks")],
};

const THREAD: Sanitizer = Sanitizer {
    name: "thread",
    short: "tsan",
    // The standard library's part that matters is made anew, see `standard_library`.
    rust_flags: "-Cunsafe-allow-abi-mismatch=sanitizer",
    // See tests/sanitize/reference_counts.c.
    link_flags: &["-Wl,--wrap=__tsan_atomic64_fetch_sub", "-Wl,--wrap=__tsan_atomic64_compare_exchange_val"],
    called: "__tsan_read8",
    // ThreadSanitizer has no threads in the child of a process that had some, and does not see that epoll hands tokio's sockets
    // from one thread to another.
    left_out: &["fork", "fork_http", "load", "queue_load"],
    defects: &[("race", "WARNING: ThreadSanitizer: ")],
};

/// Runs everything; answers how many runs passed.
pub(crate) fn run_all() -> Outcome<usize> {
    ADDRESS.run_rust_tests()?;
    std::fs::create_dir_all(THREAD.directory())?;
    Ok(1 + ADDRESS.run_c_tests(&[])? + THREAD.run_c_tests(&[standard_library()?, reference_counts()?])?)
}

impl Sanitizer {
    fn directory(&self) -> PathBuf {
        target().join("sanitize").join(self.name)
    }

    /// A call of cargo that builds instrumented code.
    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = cargo(arguments);
        cargo.args(["--quiet", "--target", TARGET]).env("CARGO_TARGET_DIR", self.directory());
        cargo.env("RUSTC_BOOTSTRAP", "1");
        cargo.env("RUSTFLAGS", format!("-Zsanitizer={} {}", self.name, self.rust_flags));
        cargo
    }

    fn run_rust_tests(&self) -> Outcome {
        run(&mut self.cargo(&["test", "--package", "mlflow-artifacts-ffi"]))
    }

    /// Runs the C tests linked to the instrumented archive and to `more` objects, the programs with a defect first.
    fn run_c_tests(&self, more: &[PathBuf]) -> Outcome<usize> {
        let archive = self.build_archive()?;
        let defects = root().join("tests/sanitize");
        for (name, report) in self.defects {
            must_report(&self.compile(&defects.join(name).with_extension("c"), &archive, more)?, report)?;
        }
        let sources = c_tests::programs(&root().join("tests/c"))?;
        let is_left_out = |path: &PathBuf| {
            path.file_stem().is_some_and(|stem| self.left_out.iter().any(|left_out| stem == *left_out))
        };
        let mut passed = self.defects.len();
        for source in sources.iter().filter(|path| !is_left_out(path)) {
            let program = self.compile(source, &archive, more)?;
            let name = program.file_name().unwrap_or_default().display().to_string();
            c_tests::run_compiled(&mut Command::new(&program), &name, ROUNDS)?;
            passed += 1;
        }
        Ok(passed)
    }

    fn build_archive(&self) -> Outcome<PathBuf> {
        let mut build = self.cargo(&["build", "--package", "mlflow-artifacts-capi"]);
        // With debug assertions nothing that a handle points to is ever given back: no use of it afterwards would be seen.
        build.args(["--config", "profile.dev.package.mlflow-artifacts-ffi.debug-assertions = false"]);
        run(&mut build)?;
        let archive = self.directory().join(TARGET).join("debug/libmlflow_artifacts.a");
        let called = output(command("nm", ["--undefined-only"]).arg(&archive))?;
        if called.contains(self.called) {
            return Ok(archive);
        }
        fail(format!("{} is not instrumented: nothing in it calls {}", archive.display(), self.called))
    }

    /// Compiles a program with gcc's instrumentation and links it with rustc's runtime.
    fn compile(&self, source: &Path, archive: &Path, more: &[PathBuf]) -> Outcome<PathBuf> {
        let name = format!("{}-{}", source.file_stem().unwrap_or_default().display(), self.short);
        let program = self.directory().join(name);
        let object = program.with_extension("o");
        let instrument = format!("-fsanitize={}", self.name);
        let flags =
            ["-std=c11", "-Wall", "-Wextra", "-Werror", "-DNDEBUG", "-g", "-O1", &instrument, "-c", "-I"];
        let mut compile = command("cc", flags);
        compile.arg(root().join("include")).arg("-I").arg(root().join("tests/c"));
        output(compile.arg(source).arg("-o").arg(&object))?;
        let mut link = command("cc", ["-rdynamic", "-o"]);
        link.arg(&program).args(self.link_flags).arg(&object).args(more).arg(archive);
        let runtime = rust_file("librustc-", &format!("_rt.{}.a", self.short))?;
        link.arg("-Wl,--whole-archive").arg(runtime).arg("-Wl,--no-whole-archive");
        output(link.args(NATIVE_LIBRARIES))?;
        Ok(program)
    }
}

/// Runs a program with a defect, which must end with this report: a sanitizer that sees nothing would pass everything.
fn must_report(program: &Path, report: &str) -> Outcome {
    let ended = Command::new(program).output()?;
    let printed = String::from_utf8_lossy(&ended.stderr);
    if ended.status.success() || !printed.contains(report) {
        return fail(format!("{} did not end with \"{report}\":\n{printed}", program.display()));
    }
    println!("ok: {report} is reported of {}", program.file_name().unwrap_or_default().display());
    Ok(())
}

/// The standard library as an object whose atomic operations are instrumented. Without it every lock that a thread had to wait
/// for, and with it every handover between threads, looks like a race.
///
/// Building it from its sources takes a component of rustup's that not every machine has. But its objects hold their bitcode, and
/// the linker that comes with rustc can compile that and run LLVM's pass on it. What it reads and writes itself stays unseen.
fn standard_library() -> Outcome<PathBuf> {
    let directory = THREAD.directory();
    let library = rust_file("libstd-", ".rlib")?;
    let members = output(command("ar", ["t"]).arg(&library))?;
    let mut objects = members.lines().filter(|member| member.contains(".rcgu."));
    let (Some(member), None) = (objects.next(), objects.next()) else {
        return fail(format!("{} has not one object: {members}", library.display()));
    };
    output(command("ar", ["x"]).arg(&library).arg(member).current_dir(&directory))?;
    let bitcode = directory.join("std.bc");
    let extract = ["--output-target=binary", "--only-section=.llvmbc", "--set-section-flags=.llvmbc=alloc"];
    output(command("objcopy", extract).arg(directory.join(member)).arg(&bitcode))?;

    let object = directory.join("std.o");
    let linker = rust_directory()?.join("../bin/rust-lld");
    let mut compile =
        command(linker, ["-flavor", "gnu", "-r", "--lto-newpm-passes=tsan-module,function(tsan)"]);
    for option in ["-tsan-instrument-memory-accesses=0", "-tsan-instrument-func-entry-exit=0"] {
        compile.args(["-mllvm", option]);
    }
    output(compile.arg("-o").arg(&object).arg(&bitcode))?;
    Ok(object)
}

/// What makes the fences of reference counts visible, as an object.
fn reference_counts() -> Outcome<PathBuf> {
    let object = THREAD.directory().join("reference_counts.o");
    let source = root().join("tests/sanitize/reference_counts.c");
    output(
        command("cc", ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-c", "-o"])
            .arg(&object)
            .arg(source),
    )?;
    Ok(object)
}

/// Where rustc has its own libraries for the target.
fn rust_directory() -> Outcome<PathBuf> {
    let printed = output(&mut command("rustc", ["--print=target-libdir", "--target", TARGET]))?;
    Ok(PathBuf::from(printed.trim()))
}

/// The file there whose name begins and ends so.
fn rust_file(begin: &str, end: &str) -> Outcome<PathBuf> {
    let directory = rust_directory()?;
    for entry in std::fs::read_dir(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(begin) && name.ends_with(end) {
            return Ok(entry.path());
        }
    }
    fail(format!("{} has no file {begin}*{end}", directory.display()))
}
