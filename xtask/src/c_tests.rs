//! The C tests: every program of tests/c, compiled against the header and the debug library, run plain, with
//! AddressSanitizer and under valgrind.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::emulator::Emulator;
use crate::library::{self, Library};
use crate::process::{Outcome, VALGRIND, cargo, command, fail, output, run_under, side_by_side};
use crate::{root, target};

/// How a program is compiled and run.
pub(crate) struct Way {
    name: &'static str,
    compiler_flags: &'static [&'static str],
    /// What the program runs under, with its arguments.
    under: &'static [&'static str],
    /// How often the programs do what they do often: the instruments make them slow.
    rounds: &'static str,
}

pub(crate) const PLAIN: Way = Way { name: "plain", compiler_flags: &["-O1"], under: &[], rounds: "100" };

const INSTRUMENTED: [Way; 2] = [
    Way {
        name: "asan",
        compiler_flags: &["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
        under: &[],
        rounds: "20",
    },
    Way { name: "valgrind", compiler_flags: &["-O1"], under: &VALGRIND, rounds: "5" },
];

/// The programs that are given the URI of a store that is reached by HTTP, and how its server is started.
const SERVED: [(&str, &[&str]); 2] = [("fork_http", &[]), ("queue_load", &["--request-delay", "500"])];

/// Runs all of them; answers how many runs passed.
pub(crate) fn run() -> Outcome<usize> {
    let library = library::build("dev")?;
    library::check(&library)?;
    let directory = directory()?;
    let headers = check_headers(&directory)?;
    let programs = programs(&root().join("tests/c"))?;
    let run =
        |source: &Path, way: &Way| run_program(&library, &root().join("include"), source, way, &directory);
    // One of them measures what many operations at once cost: nothing else runs meanwhile.
    for source in &programs {
        run(source, &PLAIN)?;
    }
    let instrumented: Vec<_> =
        programs.iter().flat_map(|source| INSTRUMENTED.iter().map(move |way| (source, way))).collect();
    side_by_side(&instrumented, |(source, way)| run(source, way))?;
    Ok(headers + programs.len() + instrumented.len())
}

/// Where the programs are compiled to.
pub(crate) fn directory() -> Outcome<PathBuf> {
    let directory = target().join("c-tests");
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// The programs that are run, sorted: each `*.c` of a directory but the one that only shows that the header compiles.
pub(crate) fn programs(directory: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found: Vec<_> = std::fs::read_dir(directory)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .filter(|path| path.file_stem().is_some_and(|stem| stem != "header"))
        .collect();
    found.sort();
    if found.is_empty() {
        return fail(format!("there are no C tests in {}", directory.display()));
    }
    Ok(found)
}

/// The header compiles as C11, C23 (as GCC 12 knows it) and C++17, without padding in its structs, and they are laid out as in
/// Rust.
fn check_headers(directory: &Path) -> Outcome<usize> {
    let sources = root().join("tests/c");
    let layout = directory.join("layout.c");
    std::fs::write(
        &layout,
        output(&mut cargo(["run", "-q", "-p", "mlflow-artifacts-ffi", "--example", "layout"]))?,
    )?;
    let checks = [
        ("cc", "-std=c11", sources.join("header.c")),
        ("cc", "-std=c2x", sources.join("header.c")),
        ("c++", "-std=c++17", sources.join("header.cpp")),
        ("cc", "-std=c11", layout),
    ];
    for (program, standard, source) in &checks {
        let flags =
            ["-Wall", "-Wextra", "-Wpedantic", "-Wpadded", "-Werror", "-fsyntax-only", standard, "-I"];
        output(command(program, flags).arg(root().join("include")).arg(source))?;
        println!("ok {} as {}", source.file_name().unwrap_or_default().display(), standard);
    }
    Ok(checks.len())
}

/// Compiles a program against the header in `include` and runs it with the library.
pub(crate) fn run_program(
    library: &Library,
    include: &Path,
    source: &Path,
    way: &Way,
    directory: &Path,
) -> Outcome {
    let name = format!("{}-{}", source.file_stem().unwrap_or_default().display(), way.name);
    let program = directory.join(&name);
    let mut compile = library.compile_as("c11", include, source, &program);
    output(compile.args(["-g", "-Wpedantic", "-lpthread", "-ldl"]).args(way.compiler_flags))?;
    if way.name == "asan"
        && !output(command("nm", ["--undefined-only"]).arg(&program))?.contains("__asan_init")
    {
        return fail(format!("{name} was not compiled with AddressSanitizer"));
    }

    let mut under = way.under.to_vec();
    if !under.is_empty() && name.starts_with("fork") {
        // In a forked child everything that the parent's other threads held is lost: it would be reported as a leak.
        under.push("--leak-check=no");
    }
    run_compiled(run_under(&under, &program).env("MLFA_LIBRARY", &library.shared), &name, way.rounds)
}

/// Runs a compiled program, without its arguments so far, in an empty directory. It must say that it is ok.
pub(crate) fn run_compiled(run: &mut Command, name: &str, rounds: &str) -> Outcome {
    let work = tempfile::tempdir()?;
    run.arg(work.path()).env("MLFA_TEST_ROUNDS", rounds);
    let served = SERVED.iter().find(|(program, _)| name.starts_with(program));
    let emulator = served.map(|(_, arguments)| Emulator::start(arguments)).transpose()?;
    if let Some(emulator) = &emulator {
        run.envs(Emulator::ENVIRONMENT).env("MLFA_TEST_HTTP_STORE", emulator.uri("c"));
    }
    let started = std::time::Instant::now();
    let printed = output(run)?;
    match printed.lines().last() {
        Some(last) if last.starts_with("ok: ") => {
            let measured = printed.trim_end().trim_end_matches(last);
            println!("{measured}{last} in {name} ({:.1} s)", started.elapsed().as_secs_f32());
            Ok(())
        }
        _ => fail(format!("{name} did not say that it is ok:\n{printed}")),
    }
}
