//! The Go binding, its example and its benchmark: formatted, vetted, and tested against every store at hand with the race
//! detector, with the checks of pointers that cross to C, for leaks, under load, and linked with the archive.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::install::{self, Layout};
use crate::library::{self, soname};
use crate::process::{Outcome, command, fail, output};
use crate::stores::Stores;
use crate::{root, target, tools};

const BINDING: &str = "bindings/go";
const EXAMPLE: &str = "examples/go";
const BENCHMARK: &str = "bench/go_calls";

/// What is in the lines of what tests have measured or counted.
const MEASURED: [&str; 3] = ["resident", "threads", "fstest.TestFS"];

/// What links the archive in place of the shared library.
const STATIC: [&str; 2] = ["-tags", "mlfa_static"];

/// Runs all of it; answers how many checks and tests passed.
pub(crate) fn run() -> Outcome<usize> {
    let go = Go::with_library()?;
    let mut passed = go.check_sources()?;
    passed += go.test_every_store()?;
    let (name, value) = go.pointer_checks()?;
    passed += go.test(BINDING, "pointers that cross to C", &["-short"], |test| test.env(name, value))?;
    passed += go.test(BINDING, "leaks", &["-run", "^TestLeak$", "-count", "100"], |test| test)?;
    passed += go.test(BINDING, "load", &["-run", "^TestLoad$"], |test| test)?;
    passed += go.test(EXAMPLE, "example", &["-race"], |test| test)?;
    Ok(passed + go.check_archive()?)
}

/// Prints what a test has measured or counted.
fn print_measured(event: &Value) {
    if let (Some(test), Some(text)) = (event["Test"].as_str(), event["Output"].as_str())
        && MEASURED.iter().any(|word| text.contains(word))
        // Behind the place in the source.
        && let Some((_, measured)) = text.split_once(": ")
    {
        println!("{test}: {}", measured.trim_end());
    }
}

/// Builds the program whose calls are measured. Answers where it is.
pub(crate) fn build_benchmark() -> Outcome<PathBuf> {
    let go = Go::with_library()?;
    let program = go.prefix.join("go_calls");
    output(go.command(BENCHMARK, &["build", "-o"]).arg(&program).arg("."))?;
    Ok(program)
}

/// Go with what it needs to find the library.
struct Go {
    program: PathBuf,
    prefix: PathBuf,
}

impl Go {
    /// Builds the library and installs it below the target directory.
    fn with_library() -> Outcome<Self> {
        let Some(program) = tools::find("go") else { return fail("there is no go: install golang-go") };
        let prefix = target().join("go/prefix");
        let layout = Layout::new(&prefix, Path::new("lib"), Path::new("include"))?;
        install::place(&library::build("release")?, &prefix, &layout, &prefix.display().to_string())?;
        Ok(Go { program, prefix })
    }

    fn command(&self, directory: &str, arguments: &[&str]) -> Command {
        let mut go = command(&self.program, arguments);
        let lib = self.prefix.join("lib");
        go.current_dir(root().join(directory));
        go.env("PKG_CONFIG_PATH", lib.join("pkgconfig")).env("LD_LIBRARY_PATH", lib);
        // Neither needs anything that is not here.
        go.envs([("GOPROXY", "off"), ("GOFLAGS", "-mod=mod"), ("GOTOOLCHAIN", "local")]);
        go
    }

    /// What both are written like, and what `go vet` finds with either way to link.
    fn check_sources(&self) -> Outcome<usize> {
        let gofmt = self.program.with_file_name("gofmt");
        let unformatted = output(&mut command(gofmt, ["-l", BINDING, EXAMPLE, BENCHMARK]))?;
        if !unformatted.is_empty() {
            return fail(format!("gofmt would change:\n{unformatted}"));
        }
        for directory in [BINDING, EXAMPLE, BENCHMARK] {
            output(&mut self.command(directory, &["vet", "./..."]))?;
            output(self.command(directory, &["vet"]).args(STATIC).arg("./..."))?;
        }
        println!("ok: gofmt, go vet");
        Ok(7)
    }

    /// The variable that has Go look at every pointer that is handed to C or stored in its memory.
    fn pointer_checks(&self) -> Outcome<(&'static str, &'static str)> {
        let version = output(&mut self.command(BINDING, &["env", "GOVERSION"]))?;
        let minor = version.trim().strip_prefix("go1.").and_then(|rest| rest.split('.').next());
        match minor.and_then(|minor| minor.parse::<u32>().ok()) {
            Some(minor) if minor < 21 => Ok(("GODEBUG", "cgocheck=2")),
            Some(_) => Ok(("GOEXPERIMENT", "cgocheck2")),
            None => fail(format!("which Go is this: {version}")),
        }
    }

    /// Runs the tests with stores behind servers, too.
    fn test_every_store(&self) -> Outcome<usize> {
        let stores = Stores::start()?;
        self.test(BINDING, "race detector", &["-short", "-race"], |test| {
            stores.tell(test);
            test
        })
    }

    /// Runs tests. One that is skipped is a failure.
    fn test(
        &self,
        directory: &str,
        name: &str,
        arguments: &[&str],
        prepare: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Outcome<usize> {
        // Go does not see that the library is another one: what passed with that is tested again.
        let mut test = self.command(directory, &["test", "-json", "-count", "1", "-timeout", "60m"]);
        prepare(test.args(arguments).arg("./..."));
        let started = Instant::now();
        let tested = test.output()?;
        let events: Vec<Value> = tested
            .stdout
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        let count = |action: &str| {
            events.iter().filter(|event| event["Action"] == action && event["Test"].is_string()).count()
        };
        let (passed, skipped) = (count("pass"), count("skip"));
        let printed = || events.iter().filter_map(|event| event["Output"].as_str()).collect::<String>();
        if !tested.status.success() || passed == 0 || skipped > 0 {
            let errors = String::from_utf8_lossy(&tested.stderr);
            return fail(format!(
                "{directory}, {name}: {passed} passed, {skipped} were skipped\n{}{errors}",
                printed()
            ));
        }
        for event in &events {
            print_measured(event);
        }
        println!("ok: {directory}, {name}: {passed} passed ({:.0} s)", started.elapsed().as_secs_f32());
        Ok(passed)
    }

    /// With the archive the tests pass, and need no library.
    fn check_archive(&self) -> Outcome<usize> {
        let program = self.prefix.join("static.test");
        // Or Go, which does not look at the archive, takes it for up to date.
        let _ = std::fs::remove_file(&program);
        output(self.command(BINDING, &["test", "-c", "-o"]).arg(&program).args(STATIC).arg("."))?;
        let dynamic = output(command("readelf", ["--dynamic", "--wide"]).arg(&program))?;
        if dynamic.contains(&soname()) {
            return fail(format!("linked with the archive, it needs the library: {dynamic}"));
        }
        let mut test = command(&program, ["-test.short", "-test.run", "FS|Reader|Writer|Example"]);
        output(test.current_dir(root().join(BINDING)))?;
        println!("ok: {BINDING}, linked with the archive");
        Ok(1)
    }
}
