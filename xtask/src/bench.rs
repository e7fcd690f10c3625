//! Benchmarks: builds what is measured and runs the scripts of `bench`.

use std::path::{Path, PathBuf};

use crate::library::{self, Library};
use crate::process::{Outcome, cargo, command, run};
use crate::{emulator, go_binding, python_package, root, size, target, tools};

/// Where the results are written down.
const RESULTS: &str = "bench/RESULTS.md";

/// What can be measured alone.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Part {
    /// What the C interface costs beside the same in Rust.
    CInterface,
    /// The S3 store beside MLflow, obstore, rclone and s5cmd.
    S3,
    /// The stores of FTP and SFTP beside MLflow, OpenSSH, curl, lftp and rclone.
    FileServers,
    /// The plugin of MLflow beside what MLflow has without it, and calls from Python and Go beside C.
    Mlflow,
    /// The artifact server beside MLflow's own and nginx.
    Server,
}

/// Measures one part.
pub(crate) fn run_part(part: Part, dry_run: bool) -> Outcome {
    match part {
        Part::CInterface => c_interface(dry_run),
        Part::S3 => s3(dry_run),
        Part::FileServers => file_servers(dry_run),
        Part::Mlflow => mlflow(dry_run),
        Part::Server => server(dry_run),
    }
}

/// Measures everything, and unless it is a dry run writes `bench/RESULTS.md`.
pub(crate) fn run_all(dry_run: bool) -> Outcome {
    let library = library::build("release")?;
    run(&mut cargo(["build", "--quiet", "--release", "--package", "mlflow-artifacts-cli"]))?;
    compile(&library, "measure")?;
    let mut measure = command(tools::python()?, ["bench/local.py"]);
    measure.arg(target().join("release/mlflow-artifacts")).arg(library.directory.join("measure"));
    measure.args((!dry_run).then_some("--write")).env("MLFLOW_DISABLE_TELEMETRY", "true");
    run(&mut measure)?;
    let python = tools::python_with_clients()?;
    let mut artifactory = command(&python, ["bench/artifactory.py"]);
    artifactory.arg(emulator::build()?).arg(target().join("release/mlflow-artifacts")).arg(&python);
    artifactory.args(if dry_run { &[][..] } else { &["--append", RESULTS] });
    run(&mut artifactory)?;
    s3(dry_run)?;
    file_servers(dry_run)?;
    c_interface(dry_run)?;
    mlflow(dry_run)?;
    server(dry_run)
}

/// Measures the S3 store, and unless it is a dry run writes its section of `bench/RESULTS.md`.
fn s3(dry_run: bool) -> Outcome {
    beside_peers("s3", "s3_in_memory", dry_run)
}

/// Measures the stores of FTP and SFTP, and unless it is a dry run writes their section of `bench/RESULTS.md`.
fn file_servers(dry_run: bool) -> Outcome {
    tools::install_programs()?;
    beside_peers("file_servers", "file_servers", dry_run)
}

/// Runs a script that measures the command beside clients from the Python Package Index, against the servers of an example of `crates/test-servers`.
fn beside_peers(script: &str, servers: &str, dry_run: bool) -> Outcome {
    run(&mut cargo(["build", "--quiet", "--release", "--package", "mlflow-artifacts-cli"]))?;
    let server = build_servers(servers)?;
    let (venv, own) = (format!("bench-{script}-venv"), format!("bench/requirements-{script}.txt"));
    let python = tools::python_for(&venv, &["tests/e2e/requirements.txt", &own])?;
    let mut measure = command(&python, [format!("bench/{script}.py")]);
    measure.arg(server).arg(target().join("release/mlflow-artifacts")).arg(&python);
    measure.args(if dry_run { &[][..] } else { &["--write", RESULTS] });
    run(&mut measure)
}

/// Builds an example of `crates/test-servers`. Answers where it is.
fn build_servers(example: &str) -> Outcome<PathBuf> {
    let arguments = ["--package", "mlflow-artifacts-test-servers", "--example", example];
    run(cargo(["build", "--quiet", "--release"]).args(arguments))?;
    Ok(target().join("release/examples").join(example))
}

/// Measures the plugin of `MLflow` and the bindings, and unless it is a dry run writes their section of `bench/RESULTS.md`.
fn mlflow(dry_run: bool) -> Outcome {
    tools::install_programs()?;
    emulator::build()?;
    for servers in ["s3_in_memory", "file_servers"] {
        build_servers(servers)?;
    }
    let library = library::build("release")?;
    compile(&library, "c_calls")?;
    let mut measure = command(python_with_clients_of_mlflow()?, ["bench/mlflow.py"]);
    measure
        .arg(target().join("release"))
        .arg(python_package::unpacked(&python_package::wheel()?)?)
        .arg(tools::python_with_clients()?);
    measure.arg(library.directory.join("c_calls")).arg(go_binding::build_benchmark()?);
    measure.env("LD_LIBRARY_PATH", &library.directory);
    measure.args(if dry_run { &[][..] } else { &["--write", RESULTS] });
    run(&mut measure)
}

/// The Python of the virtual environment that also has what `MLflow` needs for S3 and SFTP.
fn python_with_clients_of_mlflow() -> Outcome<PathBuf> {
    let below = tools::python()?;
    let requirements = "bench/requirements-mlflow.txt";
    tools::install_python(Path::new("python3"), Some(&below), "bench-mlflow-venv", &[requirements])
}

/// Measures the artifact server, and unless it is a dry run writes its section of `bench/RESULTS.md`.
fn server(dry_run: bool) -> Outcome {
    run(&mut cargo(["build", "--quiet", "--release", "--package", "mlflow-artifacts-cli"]))?;
    let s3 = build_servers("s3_in_memory")?;
    let mut measure = command(python_with_clients_of_mlflow()?, ["bench/artifact_server.py"]);
    measure.arg(target().join("release/mlflow-artifacts")).arg(s3).arg(tools::nginx()?);
    measure.args(if dry_run { &[][..] } else { &["--write", RESULTS] });
    run(&mut measure)
}

/// Measures the C interface, and unless it is a dry run writes its section of `bench/RESULTS.md`.
fn c_interface(dry_run: bool) -> Outcome {
    let sizes = size::shares()?;
    let library = library::build("release")?;
    for program in ["c_interface", "first_byte", "measure"] {
        compile(&library, program)?;
    }
    let counter = library.directory.join("count_copies.so");
    run(library.compile(&source("count_copies"), &counter).args(["-shared", "-fPIC", "-O1"]))?;
    let example = ["--package", "mlflow-artifacts", "--example", "c_interface_peer"];
    run(cargo(["build", "--quiet", "--release"]).args(example))?;
    let mut measure = command("python3", ["bench/c_interface.py"]);
    measure.arg(&library.directory).arg(target().join("release/examples/c_interface_peer")).arg(sizes);
    measure.args(if dry_run { &[][..] } else { &["--write", RESULTS] });
    run(&mut measure)
}

fn source(program: &str) -> PathBuf {
    root().join("bench").join(program).with_extension("c")
}

/// Compiles a program of `bench`; it stands beside the library then.
fn compile(library: &Library, program: &str) -> Outcome {
    let mut compile = library.compile(&source(program), &library.directory.join(program));
    run(compile.args(["-O2", "-D_DEFAULT_SOURCE", "-ldl"]))
}
