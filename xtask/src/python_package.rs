//! The Python package: its wheel, and its tests with everything at hand and with every version of Python at hand.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Outcome, command, fail, output, run};
use crate::stores::Stores;
use crate::{header, library, root, suite, target, tools};

const PACKAGE: &str = "bindings/python";

/// Versions of Python 3 that the package is for. Those that are not at hand are not tested.
const MINORS: std::ops::RangeInclusive<u32> = 9..=15;

/// The tests that need neither `MLflow` nor fsspec, and those of the plugin.
const ALONE: &[&str] =
    &["tests/test_store.py", "tests/test_files.py", "tests/test_aio.py", "tests/test_processes.py"];
const PLUGIN: &[&str] = &[
    "tests/test_plugin.py",
    "tests/test_artifact_server.py::test_everything_a_client_does",
    "tests/test_upstream.py::test_a_client_needs_one_address",
];
const WITHOUT_MLFLOW: &str = "requirements-alone.txt";

/// Builds what the package contains, and prints where it is: the library, and the header as cffi reads it. The package's own build asks for this.
pub(crate) fn inputs() -> Outcome {
    let library = library::build("release")?.shared;
    let header = header::write_for_cffi()?;
    println!("{}\n{}", library.display(), header.display());
    Ok(())
}

/// Builds the wheel into `target/wheels`, with the oldest platform in its name that it fits. Answers where it is.
pub(crate) fn wheel() -> Outcome<PathBuf> {
    let python = tools::python()?;
    let (made, directory) = (target().join("wheels/made"), target().join("wheels"));
    let _ = std::fs::remove_dir_all(&directory);
    let build = ["-m", "build", "--wheel", "--no-isolation", "--outdir"];
    output(command(&python, build).arg(&made).arg(root().join(PACKAGE)))?;
    let programs = programs_of(&python);
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut repair = command(programs.join("auditwheel"), ["repair", "--wheel-dir"]);
    output(repair.arg(&directory).arg(only_file_of(&made)?).env("PATH", path))?;
    std::fs::remove_dir_all(made)?;
    only_file_of(&directory)
}

/// Unpacks the wheel into a directory and answers that, for PYTHONPATH. It is in no environment, where others would have it too: `MLflow` finds the
/// plugin by itself.
pub(crate) fn unpacked(wheel: &Path) -> Outcome<PathBuf> {
    let packages = target().join("wheels/packages");
    let mut install = command(tools::python()?, ["-m", "pip", "install", "--quiet", "--no-deps", "--target"]);
    run(install.arg(&packages).arg(wheel))?;
    Ok(packages)
}

/// Checks the sources, and runs the tests on what the wheel contains; answers how many passed.
pub(crate) fn run_tests() -> Outcome<usize> {
    let wheel = wheel()?;
    let mut passed = check_sources()?;
    passed += test_everything(&wheel)?;
    for version in Version::all() {
        passed += version.test(&wheel)?;
    }
    Ok(passed)
}

fn check_sources() -> Outcome<usize> {
    let programs = programs_of(&tools::python()?);
    let check = |program: &str, arguments: &[&str]| {
        output(command(programs.join(program), arguments).current_dir(root().join(PACKAGE)))
    };
    let sources = [".", "../../examples/python", "../../examples/scenarios"];
    check("ruff", &[&["check", "--quiet"], &sources[..]].concat())?;
    check("ruff", &[&["format", "--quiet", "--check"], &sources[..]].concat())?;
    check("mypy", &["--strict", "src/mlflow_artifacts"])?;
    println!("ok: ruff, mypy");
    Ok(3)
}

/// All tests, with stores of every kind, `MLflow` and its servers, fsspec, pandas and dask.
fn test_everything(wheel: &Path) -> Outcome<usize> {
    let stores = Stores::start()?;
    let mut tests = command(tools::python()?, ["-m", "pytest", "tests"]);
    tests.env("PYTHONPATH", unpacked(wheel)?);
    stores.tell(&mut tests);
    pytest("everything", &mut tests)
}

/// A version of Python at hand, and what its environment has: the last `MLflow` 2 where it is the oldest version, the newest `MLflow` 3 where
/// it is the newest, else none.
struct Version {
    minor: u32,
    interpreter: PathBuf,
    requirements: &'static str,
}

impl Version {
    fn all() -> Vec<Version> {
        let found = interpreters();
        let newest = found.last().map_or(0, |(minor, _)| *minor);
        let version = |(minor, interpreter)| {
            let requirements = match minor {
                9 => "requirements-mlflow-2.txt",
                minor if minor == newest => "requirements-mlflow-3.txt",
                _ => WITHOUT_MLFLOW,
            };
            Version { minor, interpreter, requirements }
        };
        found.into_iter().map(version).collect()
    }

    /// The Python of its environment, without the wheel.
    fn environment(&self) -> Outcome<PathBuf> {
        let requirements = format!("{PACKAGE}/tests/{}", self.requirements);
        let name = format!("python3.{}-venv", self.minor);
        tools::install_python(&self.interpreter, None, &name, &[&requirements])
    }

    /// Installs the wheel into the environment, and runs the tests that it has what is needed for.
    fn test(&self, wheel: &Path) -> Outcome<usize> {
        let python = self.environment()?;
        run(command(&python, ["-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps"])
            .arg(wheel))?;
        let plugin = if self.requirements == WITHOUT_MLFLOW { &[] } else { PLUGIN };
        let tests = [ALONE, plugin].concat();
        pytest(&format!("Python 3.{}", self.minor), command(&python, ["-m", "pytest"]).args(tests))
    }
}

/// Makes the environments of all versions.
pub(crate) fn environments() -> Outcome {
    Version::all().iter().try_for_each(|version| version.environment().map(drop))
}

/// Runs tests; answers how many passed. One that is skipped is a failure.
fn pytest(name: &str, tests: &mut Command) -> Outcome<usize> {
    tests.args(["--quiet", "-p", "no:cacheprovider"]).current_dir(root().join(PACKAGE));
    tests.env("MLFA_COMMAND", suite::command_line()?).env("MLFA_SERVER_PYTHON", tools::python()?);
    let tested = tests.envs([("MLFLOW_DISABLE_TELEMETRY", "true"), ("DO_NOT_TRACK", "true")]).output()?;
    let printed = String::from_utf8_lossy(&tested.stdout).into_owned();
    let last = printed.trim_end().lines().last().unwrap_or_default();
    let counted = last.split(" passed").next().and_then(|before| before.rsplit(' ').next());
    let passed = counted.and_then(|count| count.parse::<usize>().ok());
    match passed.filter(|_| tested.status.success() && !last.contains("skipped")) {
        Some(passed) => {
            println!("ok: {name}: {last}");
            Ok(passed)
        }
        None => fail(format!("{name}:\n{printed}{}", String::from_utf8_lossy(&tested.stderr))),
    }
}

/// The versions of Python at hand, by their minor number: of the system, or of pyenv.
fn interpreters() -> Vec<(u32, PathBuf)> {
    MINORS.filter_map(|minor| Some((minor, interpreter(minor)?))).collect()
}

fn interpreter(minor: u32) -> Option<PathBuf> {
    let name = format!("python3.{minor}");
    let of_pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let of_pyenv =
        of_pyenv.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")))?.join("versions");
    let versions = std::fs::read_dir(of_pyenv).into_iter().flatten().flatten();
    let of_pyenv = versions.map(|version| version.path().join("bin").join(&name));
    // pyenv puts programs into the path that only say that they are not chosen.
    let runs =
        |program: &PathBuf| command(program, ["--version"]).output().is_ok_and(|told| told.status.success());
    tools::find(&name).into_iter().chain(of_pyenv).find(runs)
}

fn programs_of(python: &Path) -> PathBuf {
    python.parent().unwrap_or(Path::new("")).to_owned()
}

fn only_file_of(directory: &Path) -> Outcome<PathBuf> {
    let files: Vec<_> = std::fs::read_dir(directory)?.collect::<Result<_, _>>()?;
    let files: Vec<_> = files.iter().map(std::fs::DirEntry::path).filter(|path| path.is_file()).collect();
    match &files[..] {
        [file] => Ok(file.clone()),
        _ => fail(format!("{} files stand in {} in the place of one", files.len(), directory.display())),
    }
}
