//! Every command when nothing is wrong.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Scratch, names, spawn, tree};

/// Names that some shell, URI parser or server has stumbled over.
const HOSTILE: &[&str] = &[
    "with space",
    " lead",
    "trail ",
    "hash#tag",
    "100%",
    "%2e%2e",
    "a+b",
    "semi;colon",
    "quo'te",
    "dou\"ble",
    "`tick`",
    "$HOME",
    "*?[x]",
    "back\\slash",
    "co:lon",
    "a=b&c",
    "-rf",
    "--help",
    ".hidden",
    "...",
    "naïve-模型-🤖",
    "~",
    "!",
];

fn make_model(scratch: &Scratch) {
    scratch.write("model/MLmodel", "flavors: {}\n");
    scratch.write("model/data/weights.bin", vec![7; 3 << 20]);
    scratch.write("model/.config/.secret", "hidden");
    scratch.write("model/empty.txt", "");
    scratch.directory("model/no files/at all");
    for name in HOSTILE {
        scratch.write(&format!("model/{name}/{name}"), name);
    }
}

#[test]
fn a_tree_comes_back_as_it_went() {
    let scratch = Scratch::new();
    make_model(&scratch);
    let (store, copied) = (scratch.uri("store/1/abc/artifacts"), scratch.uri("copied"));
    for _first_and_repeated_run in 0..2 {
        let stored = scratch.run(&["cp", "-r", "model", &store]);
        let files = tree(&scratch.path("model")).values().flatten().count();
        assert!(stored.errors.contains(&format!("{files} files, 3.00 MiB, ")), "{}", stored.errors);
        assert_eq!(stored.success(), "");
        scratch.run(&["cp", "-r", "--verify", "-q", &store, &copied]).success();
        scratch.run(&["cp", "-r", &copied, "back"]).success();
        scratch.run(&["cp", "-r", "back/", "local/copy"]).success();
        for copy in ["store/1/abc/artifacts", "copied", "back", "local/copy"] {
            assert!(tree(&scratch.path(copy)) == tree(&scratch.path("model")), "{copy}");
        }
    }
}

#[test]
fn an_empty_tree_is_a_tree() {
    let scratch = Scratch::new();
    scratch.directory("nothing");
    scratch.run(&["cp", "-r", "nothing", &scratch.uri("store/empty")]).success();
    scratch.run(&["cp", "-r", &scratch.uri("store/empty"), "back"]).success();
    assert_eq!(names(&scratch.path("back")), [""; 0]);
}

#[test]
fn a_file_goes_into_a_directory_or_is_the_target() {
    let scratch = Scratch::new();
    scratch.write("a", "content");
    let (local, stored) = ("a".to_owned(), scratch.uri("a"));
    let sides = [
        ("up", &local, scratch.uri("up")),
        ("down", &stored, "down".to_owned()),
        ("across", &stored, scratch.uri("across")),
        ("beside", &local, "beside".to_owned()),
    ];
    for (top, source, target) in sides {
        scratch.directory(&format!("{top}/there"));
        for (name, file) in
            [("new", "new"), ("there", "there/a"), ("made/", "made/a"), ("", "a"), ("new", "new")]
        {
            scratch.run(&["cp", source, &format!("{target}/{name}")]).success();
            assert_eq!(fs::read(scratch.path(top).join(file)).unwrap(), b"content", "{target}/{name}");
        }
        assert_eq!(names(&scratch.path(top)), ["a", "made", "made/a", "new", "there", "there/a"]);
    }
}

#[test]
fn the_limits_of_a_transfer_can_be_set() {
    let scratch = Scratch::new();
    scratch.write("model/a", vec![1; 1 << 20]);
    let limits =
        ["--files", "1", "--parts=2", "--memory", "2MiB", "--part-size", "1M", "--option", "fsync=full"];
    let store = scratch.uri("store");
    scratch.run(&[&["cp", "-r", "model", &store][..], &limits].concat()).success();
    assert!(tree(&scratch.path("store")) == tree(&scratch.path("model")));
}

#[test]
fn listings() {
    let scratch = Scratch::new();
    scratch.write("store/b.bin", vec![0; 1536]);
    scratch.write("store/a/c", "");
    let store = scratch.uri("store");
    let lines = scratch.run(&["ls", "-r", &store]).success();
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines[0], format!("{:>11}  {:20}  a/", "-", ""));
    assert!(lines[1].starts_with("        0 B  2") && lines[1].ends_with("Z  a/c"), "{}", lines[1]);
    assert!(lines[2].starts_with("   1.50 KiB  2") && lines[2].ends_with("Z  b.bin"), "{}", lines[2]);

    let entries: Value = serde_json::from_str(&scratch.run(&["ls", "--json", &store]).success()).unwrap();
    assert_eq!(entries[0], json!({"path": "a", "is_dir": true, "size": null, "modified": null}));
    assert_eq!(entries[1]["path"], "b.bin");
    assert_eq!((&entries[1]["is_dir"], &entries[1]["size"]), (&json!(false), &json!(1536)));
    assert!(entries[1]["modified"].as_f64().unwrap() > 1.7e9 && entries[1]["etag"].is_string());
    assert_eq!(entries.as_array().unwrap().len(), 2, "not recursive");

    let file: Value = serde_json::from_str(&scratch.run(&["ls", "--json", "store/a/c"]).success()).unwrap();
    assert_eq!(file[0]["path"], "c");
    let below: Value = serde_json::from_str(&scratch.run(&["ls", "--json", "store/a"]).success()).unwrap();
    assert_eq!(below[0]["path"], "c", "relative to what is listed");
    assert_eq!(scratch.run(&["ls", "--json", "memory:"]).success(), "[]\n");
    assert_eq!(scratch.run(&["ls", "memory:"]).success(), "");
}

#[test]
fn a_file_is_printed_as_it_is() {
    let scratch = Scratch::new();
    let content = "a line of some text\n".repeat(200_000);
    scratch.write("store/big", &content);
    scratch.write("-dash", "dash");
    scratch.write("empty", "");
    assert!(scratch.run(&["cat", &scratch.uri("store/big")]).success() == content);
    assert_eq!(scratch.run(&["cat", "--", "-dash"]).success(), "dash");
    assert_eq!(scratch.run(&["cat", "empty"]).success(), "");
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    let scratch = Scratch::new();
    scratch.write("store/big", vec![b'x'; 8 << 20]);
    for count in 0..3000 {
        scratch.write(&format!("store/many/a file with quite a long name, number {count}"), "");
    }
    for arguments in [&["cat", "store/big"][..], &["ls", "store/many"], &["ls", "--json", "store/many"]] {
        let mut child = spawn(&mut scratch.command(arguments));
        let mut start = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut start).unwrap();
        let finished = child.wait_with_output().unwrap();
        assert_eq!(
            (finished.status.code(), finished.stderr.as_slice()),
            (Some(0), &b""[..]),
            "{arguments:?}"
        );
    }
}

#[test]
fn standard_input_becomes_a_file() {
    let scratch = Scratch::new();
    for (name, content) in
        [("text", &b"some text"[..]), ("empty", b""), ("big", &"9".repeat(3_000_000).into_bytes())]
    {
        scratch.run_with_input(&["put", "-", &scratch.uri(&format!("store/{name}"))], content).success();
        assert!(fs::read(scratch.path("store").join(name)).unwrap() == content, "{name}");
    }
    scratch.write("local", "from a file");
    scratch.run(&["put", "local", &scratch.uri("store/text")]).success();
    assert_eq!(fs::read(scratch.path("store/text")).unwrap(), b"from a file");
}

#[test]
fn standard_input_passes_through_bounded_memory() {
    let scratch = Scratch::new();
    let mut command = scratch.command(&["put", "-", &scratch.uri("store/big")]);
    let mut child = spawn(command.stdin(Stdio::piped()));
    let mut input = child.stdin.take().unwrap();
    let chunk = vec![5; 1 << 20];
    for _ in 0..192 {
        input.write_all(&chunk).unwrap();
    }
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kibibytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kibibytes < 64 << 10, "{kibibytes} KiB");
    drop(input);
    assert!(child.wait().unwrap().success());
    assert_eq!(fs::metadata(scratch.path("store/big")).unwrap().len(), 192 << 20);
}

#[test]
fn removal() {
    let scratch = Scratch::new();
    scratch.write("store/foo/a", "");
    scratch.write("store/foobar/a", "");
    scratch.write("store/file", "");
    scratch.run(&["rm", &scratch.uri("store/file")]).success();
    let again = scratch.run(&["rm", &scratch.uri("store/file")]);
    assert!(again.errors.contains("nothing there"), "{}", again.errors);
    again.success();
    assert_eq!(scratch.run(&["rm", "-q", &scratch.uri("store/file")]).errors, "");
    scratch.run(&["rm", &scratch.uri("store/foo")]).fails(2, &["use -r"]);
    scratch.run(&["rm", "-r", &scratch.uri("store/foo")]).success();
    assert_eq!(names(&scratch.path("store")), ["foobar", "foobar/a"]);
    for location in [".", "..", "/", "file:///", "./", "file:."] {
        scratch.run(&["rm", "-r", location]).fails(2, &["is not removed"]);
    }
    assert!(scratch.path("store/foobar/a").exists());
}

#[test]
fn details() {
    let scratch = Scratch::new();
    scratch.write("store/dir/file", "12345");
    let text = scratch.run(&["stat", &scratch.uri("store/dir/file")]).success();
    assert!(text.contains("kind      file\nsize      5 B (5 bytes)\nmodified  2"), "{text}");
    let file: Value =
        serde_json::from_str(&scratch.run(&["stat", "--json", &scratch.uri("store/dir/file")]).success())
            .unwrap();
    assert_eq!((&file["path"], &file["size"], &file["digest"]), (&json!("file"), &json!(5), &Value::Null));
    assert_eq!(file["store"], json!(scratch.path("store/dir")));
    let directory = scratch.run(&["stat", &scratch.uri("store/dir/")]).success();
    assert!(directory.starts_with("path   dir\nkind   directory\nstore  /"), "{directory}");
    assert!(scratch.run(&["stat", "."]).success().contains("directory"));
}

#[test]
fn schemes_and_their_options() {
    let scratch = Scratch::new();
    assert!(scratch.run(&["schemes"]).success().lines().any(|line| line == "file"));
    let schemes: Value = serde_json::from_str(&scratch.run(&["schemes", "--json"]).success()).unwrap();
    assert!(schemes.as_array().unwrap().contains(&json!("memory")));
    let table = scratch.run(&["schemes", "--keys", "file"]).success();
    assert!(
        table.starts_with("OPTION ") && table.contains("\nfsync   MLFLOW_ARTIFACTS_FSYNC  never "),
        "{table}"
    );
    let keys: Value =
        serde_json::from_str(&scratch.run(&["schemes", "--keys", "file", "--json"]).success()).unwrap();
    assert_eq!((&keys[0]["name"], &keys[0]["secret"]), (&json!("fsync"), &json!(false)));
    scratch.run(&["schemes", "--keys", "nfs"]).fails(2, &["known are: "]);
}

#[test]
fn completions_and_help() {
    let scratch = Scratch::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(scratch.run(&["completions", shell]).success().contains("mlflow-artifacts"), "{shell}");
    }
    assert!(scratch.run(&["--help"]).success().contains("Exit codes:"));
    assert!(scratch.run(&["cp", "--help"]).success().contains("Examples:"));
    assert!(scratch.run(&["--version"]).success().starts_with("mlflow-artifacts "));
}

#[test]
fn links_follow_the_rules_for_local_trees() {
    let scratch = Scratch::new();
    scratch.write("elsewhere/file", "content");
    scratch.directory("model");
    std::os::unix::fs::symlink("../elsewhere/file", scratch.path("model/to file")).unwrap();
    std::os::unix::fs::symlink("../elsewhere", scratch.path("model/to directory")).unwrap();
    let stored = scratch.run(&["cp", "-r", "model", &scratch.uri("store")]);
    assert!(stored.errors.contains("skipped \"to directory\": a symbolic link"), "{}", stored.errors);
    stored.success();
    assert_eq!(names(&scratch.path("store")), ["to file"]);
    assert!(scratch.path("store/to file").symlink_metadata().unwrap().is_file());
}
