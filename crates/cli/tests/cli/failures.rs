//! What is wrong, how it is said, and with which exit code.

use std::fs::{self, OpenOptions};
use std::process::Command;

use crate::support::{BINARY, Finished, Scratch, names, set_mode};

#[test]
fn arguments_that_make_no_sense() {
    let scratch = Scratch::new();
    scratch.write("file", "");
    for (arguments, messages) in [
        (&["ls", "hdfs://host/x"][..], &["hdfs", "known are: ", "file", "memory"][..]),
        (&["ls", "memroy:x"], &["did you mean \"memory\"?"]),
        (&["ls", "file:///a#b"], &["not an artifact URI", "%23"]),
        (&["ls", "ftp://user:canary@host:port/x"], &["port"]),
        (&["ls", ""], &["empty"]),
        (&["ls", "C:\\models"], &["Windows"]),
        (&["ls", "file://elsewhere/srv"], &["not a host"]),
        (&["ls", "file:///srv/x?color=red"], &["no option \"color\""]),
        (&["cat", "file:///srv/%2e%2e"], &["`..`"]),
        (&["cat", "file:///srv/..%2fpasswd"], &["`..`"]),
        (&["cat", "file:///srv/store/../passwd"], &["`..`"]),
        (&["cat", "file:///srv/a%2fb"], &["slash"]),
        (&["put", "-", "file:///srv/a%00"], &["percent-encoding"]),
        (&["put", "file", "store/"], &["directory", "name the file"]),
        (&["put", "file", "."], &["directory"]),
        (&["ls", ".", "--option", "canary"], &["NAME=VALUE"]),
        (&["ls", ".", "--option", "fsnyc=never"], &["did you mean \"fsync\"?"]),
        (&["ls", ".", "--option", "fsync=sometimes"], &["never, file, full"]),
        (&["cat", "."], &["directory", "ls"]),
    ] {
        let finished = scratch.run(arguments);
        assert!(!finished.errors.contains("canary"), "{}", finished.errors);
        finished.fails(2, messages);
    }
    for arguments in
        [&["cp", "a"][..], &["cp", "--files", "0", "a", "b"], &["cp", "--memory", "1 apple", "a", "b"], &[]]
    {
        assert_eq!(scratch.run(arguments).code, Some(2), "{arguments:?}");
    }
}

#[test]
fn files_and_directories_are_not_confused() {
    let scratch = Scratch::new();
    scratch.write("tree/file", "");
    for root in ["tree".to_owned(), scratch.uri("tree")] {
        for target in ["x".to_owned(), scratch.uri("x")] {
            scratch.run(&["cp", &root, &target]).fails(2, &["this is a directory", "use -r"]);
            scratch
                .run(&["cp", "-r", &format!("{root}/file"), &target])
                .fails(2, &["this is a file", "-r out"]);
            scratch
                .run(&["cp", "-r", &root, &format!("{root}/below")])
                .fails(2, &["a tree cannot be copied into itself"]);
        }
        scratch.run(&["cat", &root]).fails(2, &["directory"]);
    }
    assert!(!scratch.path("x").exists() && names(&scratch.path("tree")) == ["file"]);
    scratch.write("other", "content");
    scratch.run(&["cp", "-r", "tree", &scratch.uri("other")]).fails(2, &["Not a directory"]);
    scratch.run(&["cp", "-r", &scratch.uri("tree"), "other"]).fails(2, &["Not a directory"]);
}

#[test]
fn what_is_missing_is_not_found() {
    let scratch = Scratch::new();
    let (target, nothing) = (scratch.uri("target"), scratch.uri("nothing"));
    for arguments in [
        &["cp", "nothing", &target][..],
        &["cp", "-r", "nothing", &target],
        &["cp", &nothing, "target"],
        &["cp", "-r", &nothing, "target"],
        &["cp", "-r", &nothing, &target],
        &["put", "nothing", &target],
        &["cat", &nothing],
        &["ls", &nothing],
        &["stat", "no/such/thing"],
    ] {
        scratch.run(arguments).fails(3, &["no"]);
        assert!(!scratch.path("target").exists(), "{arguments:?}");
    }
    let missing = scratch.run(&["cp", "nothing", &target]).errors;
    assert_eq!(
        missing,
        "mlflow-artifacts: error: copy \"nothing\": No such file or directory (os error 2)\n"
    );
}

#[test]
fn what_the_user_may_not_read() {
    let scratch = Scratch::new();
    set_mode(&scratch.directory("store"), 0o777);
    set_mode(&scratch.write("model/secret", "x"), 0o600);
    let store = scratch.uri("store");
    let run = |arguments: &[&str]| Finished::of(&mut scratch.command_as_nobody(arguments));
    run(&["cp", "model/secret", &store]).fails(1, &["model/secret", "Permission denied"]);
    run(&["cp", "-r", "model", &store]).fails(1, &["\"secret\"", "Permission denied", "1 of 1 files failed"]);
    scratch.write("model/open", "x");
    run(&["cp", "-r", "model", &store]).fails(1, &["\"secret\"", "Permission denied", "1 of 2 files failed"]);
    assert_eq!(names(&scratch.path("store")), ["open"]);
    run(&["cat", &scratch.uri("model/secret")]).fails(4, &["Permission denied"]);
}

#[test]
fn where_the_user_may_not_write() {
    let scratch = Scratch::new();
    scratch.write("model/a", "x");
    scratch.write("store/kept", "x");
    let run = |arguments: &[&str]| Finished::of(&mut scratch.command_as_nobody(arguments));
    run(&["cp", "model/a", &scratch.uri("store/a")]).fails(4, &["Permission denied", "store"]);
    run(&["cp", "-r", "model", &scratch.uri("store")])
        .fails(4, &["Permission denied", "1 of 1 files failed"]);
    run(&["cp", "-r", &scratch.uri("model"), "store"]).fails(4, &["Permission denied"]);
    run(&["rm", &scratch.uri("store/kept")]).fails(4, &["Permission denied"]);
    set_mode(&scratch.path("store"), 0o700);
    run(&["ls", &scratch.uri("store")]).fails(4, &["Permission denied"]);
    assert_eq!(names(&scratch.path("store")), ["kept"]);
}

/// Runs the command in `script` (its name is `$0`) with a file system of one MiB at `$1`, and then prints what is there.
fn on_a_small_disk(scratch: &Scratch, script: &str) -> Finished {
    let mount = scratch.directory("disk");
    let script = format!(
        "mount -t tmpfs -o size=1m tmpfs \"$1\" || exit 99; cd \"$1/..\"; {script}; code=$?; cd \"$1\"; find . -type f; \
         exit $code"
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script, BINARY]).arg(mount);
    Finished::of(&mut command)
}

#[test]
fn a_full_disk() {
    let scratch = Scratch::new();
    scratch.write("model/big", vec![1; 4 << 20]);
    scratch.write("model/small", "x");
    for script in [
        "\"$0\" cp model/big file:disk/big",
        "\"$0\" cp file:model/big disk/big",
        "\"$0\" put - file:disk/a/b < model/big",
        "\"$0\" put - file:disk/a/b < /dev/zero",
    ] {
        let finished = on_a_small_disk(&scratch, script);
        assert_eq!(finished.output, "", "{script}: nothing stays");
        finished.fails(1, &["No space left"]);
    }
    let finished = on_a_small_disk(&scratch, "\"$0\" cp -r --files 1 model file:disk");
    assert_eq!(finished.output, "./small\n");
    finished.fails(1, &["\"big\"", "No space left", "1 of 2 files failed"]);
    let finished =
        on_a_small_disk(&scratch, "echo old > disk/big; \"$0\" cp model/big file:disk/big; cat disk/big");
    assert_eq!(finished.output, "old\n./big\n", "what was there is untouched");
}

#[test]
fn a_full_standard_output() {
    let scratch = Scratch::new();
    scratch.write("a", "x");
    for arguments in [&["cat", "a"][..], &["ls", "."], &["stat", "a"], &["schemes"], &["completions", "bash"]]
    {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let finished = scratch.command(arguments).stdout(full).output().unwrap();
        Finished::from(finished).fails(1, &["standard output: No space left"]);
    }
}

#[test]
fn what_is_no_regular_file() {
    let scratch = Scratch::new();
    scratch.write("model/a", "x");
    assert!(Command::new("mkfifo").arg(scratch.path("model/pipe")).status().unwrap().success());
    scratch.run(&["cp", "-r", "model", "copy"]).fails(1, &["\"pipe\"", "no regular file"]);
    assert_eq!(names(&scratch.path("copy")), ["a"]);
    scratch.run(&["cp", "model/pipe", "copy"]).fails(1, &["no regular file"]);
}

#[test]
fn a_name_that_is_no_artifact_path() {
    let scratch = Scratch::new();
    scratch.write("model/new\nline\u{1b}[31m", "x");
    scratch.write("model/a", "x");
    let finished = scratch.run(&["cp", "-r", "model", "copy"]);
    assert!(!finished.errors.contains('\u{1b}'), "no escape reaches the terminal");
    finished.fails(1, &["control character", "1 of 2 files failed"]);
    assert_eq!(fs::read(scratch.path("copy/a")).unwrap(), b"x");
}
