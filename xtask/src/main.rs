//! What cargo and make cannot say: the header, the C library, its gates, installation, benchmarks, the whole test run.

mod abi;
mod archive;
mod bench;
mod c_tests;
mod demo;
mod dist;
mod emulator;
mod examples;
mod fuzz;
mod go_binding;
mod header;
mod install;
mod library;
mod licences;
mod linked_crates;
mod lint;
mod packaging;
mod process;
mod python_package;
mod released;
mod sanitize;
mod sbom;
mod scenarios;
mod size;
mod stores;
mod suite;
mod tools;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// The tasks of the project that are more than one command. `make` calls them.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write `include/mlflow_artifacts.h` from `crates/ffi`.
    Header {
        /// Change nothing; fail if the committed header differs.
        #[arg(long)]
        check: bool,
    },
    /// Build the C library into `target/capi/PROFILE` and print where it is.
    Library {
        /// The cargo profile.
        #[arg(long, default_value = "release")]
        profile: String,
    },
    /// Install the library, its headers, and what pkg-config and `CMake` read.
    Install {
        /// What the directories are relative to.
        #[arg(long, default_value = "/usr/local")]
        prefix: PathBuf,
        /// A directory before the prefix, for packagers.
        #[arg(long)]
        destdir: Option<PathBuf>,
        /// Where the libraries stand, such as Debian's lib/x86_64-linux-gnu.
        #[arg(long, default_value = "lib")]
        libdir: PathBuf,
        /// Where the headers stand.
        #[arg(long, default_value = "include")]
        includedir: PathBuf,
    },
    /// Make the tarball below `target/dist` and print where it is.
    Dist,
    /// Print how large the shared library is, and what each store adds.
    Size,
    /// Compare the library's binary interface with the committed baseline.
    Abi {
        /// Make the baseline anew instead.
        #[arg(long)]
        update: bool,
    },
    /// Run the C tests: plain, AddressSanitizer, valgrind.
    CTests,
    /// Compile and run the examples and the test of the C++ header, plain and under valgrind.
    Examples,
    /// Check the Go binding and its example, and run their tests.
    Go,
    /// Check what is installed, and the tarball.
    Packaging,
    /// Build the Python wheel into target/wheels and print where it is.
    Wheel,
    /// Build what the Python package contains and print where it is. Its build calls this.
    PythonInputs,
    /// Check the Python package and run its tests.
    Python,
    /// Run the C programs of released versions with today's library, and compare the binary interfaces.
    Released,
    /// Run the tests of the C interface under sanitizers that see both Rust and C.
    Sanitize,
    /// Feed the parsers of what others wrote with what no one writes.
    Fuzz {
        /// How long each target runs.
        #[arg(default_value_t = 60)]
        seconds: u32,
    },
    /// Build the C example and run it on the model in examples/data.
    Demo,
    /// Show scenario 4, 5 or 6 of `MLflow`'s tracking documentation, with real servers.
    Scenario {
        /// Which of them.
        #[arg(value_parser = clap::value_parser!(u8).range(4..=6))]
        number: u8,
    },
    /// Run every test and check, installing what they need, and print the counts.
    Test {
        /// Begin with this step, such as "C tests".
        #[arg(long)]
        from: Option<String>,
    },
    /// Measure beside `cp`, `MLflow` and others and write `bench/RESULTS.md`.
    Bench {
        /// Measure this alone.
        part: Option<bench::Part>,
        /// Print the results without writing them down.
        #[arg(long)]
        dry_run: bool,
    },
}

fn main() {
    let outcome = match Arguments::parse().task {
        Task::Header { check } => header::run(check),
        Task::Library { profile } => {
            library::build(&profile).map(|library| println!("{}", library.directory.display()))
        }
        Task::Install { prefix, destdir, libdir, includedir } => {
            install::run(&prefix, destdir.as_deref(), &libdir, &includedir)
        }
        Task::Dist => dist::make().map(|tarball| println!("{}", tarball.display())),
        Task::Size => size::shares().map(|table| print!("{table}")),
        Task::Abi { update } => abi::run(update),
        Task::CTests => c_tests::run().map(|passed| println!("{passed} C test programs passed")),
        Task::Examples => examples::run().map(|passed| println!("{passed} runs of examples passed")),
        Task::Go => go_binding::run().map(|passed| println!("{passed} tests of the Go binding passed")),
        Task::Wheel => python_package::wheel().map(|wheel| println!("{}", wheel.display())),
        Task::PythonInputs => python_package::inputs(),
        Task::Python => {
            python_package::run_tests().map(|passed| println!("{passed} tests of the Python package passed"))
        }
        Task::Packaging => {
            packaging::run().map(|passed| println!("{passed} checks of what is packaged passed"))
        }
        Task::Released => {
            released::run().map(|passed| println!("{passed} checks of released versions passed"))
        }
        Task::Sanitize => sanitize::run_all().map(|passed| println!("{passed} runs under sanitizers passed")),
        Task::Fuzz { seconds } => {
            fuzz::run_all(seconds).map(|passed| println!("{passed} fuzz targets found nothing"))
        }
        Task::Demo => demo::run(),
        Task::Scenario { number } => scenarios::show(number),
        Task::Test { from } => suite::run_from(from.as_deref()),
        Task::Bench { part: None, dry_run } => bench::run_all(dry_run),
        Task::Bench { part: Some(part), dry_run } => bench::run_part(part, dry_run),
    };
    if let Err(error) = outcome {
        eprintln!("xtask: error: {error}");
        std::process::exit(1);
    }
}

/// The top of the work tree.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, PathBuf::from)
}

/// Where everything goes that is made: where cargo puts it too.
fn target() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}
