//! A symbolic link that somebody planted in a store leads nowhere.

use std::os::unix::fs::symlink;

use crate::support::{Scratch, names, tree};

/// A store with a link to a file and one to a directory, both outside.
fn planted() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("outside/secret", "canary");
    scratch.write("store/honest", "content");
    symlink("../outside/secret", scratch.path("store/leak")).unwrap();
    symlink("../outside", scratch.path("store/out")).unwrap();
    scratch
}

#[test]
fn it_is_not_read() {
    let scratch = planted();
    for arguments in [
        &["cat", "leak"][..],
        &["stat", "leak"],
        &["ls", "out"],
        &["ls", "-r", "out"],
        &["stat", "out"],
        &["cp", "leak", "-"],
        &["cp", "-r", "out", "-"],
    ] {
        let mut arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        for argument in &mut arguments {
            if ["leak", "out"].contains(&argument.as_str()) {
                *argument = scratch.uri(&format!("store/{argument}"));
            } else if argument == "-" {
                *argument = "fetched".to_owned();
            }
        }
        let finished = scratch.run(&arguments);
        assert!(!finished.output.contains("canary") && !finished.output.contains("secret"), "{finished:?}");
        finished.fails(2, &["a symbolic link leads out"]);
        assert!(!scratch.path("fetched").exists());
    }
    assert!(!scratch.run(&["ls", "-r", &scratch.uri("store")]).success().contains("secret"));
    scratch.run(&["cp", "-r", &scratch.uri("store"), "copy"]).success();
    assert_eq!(names(&scratch.path("copy")), ["honest"]);
}

#[test]
fn it_is_not_written_through() {
    let scratch = planted();
    let before = tree(&scratch.path("outside"));
    scratch.write("model/out/secret", "overwritten");
    scratch.write("model/honest", "new");
    scratch.run(&["cp", "-r", "model", &scratch.uri("store")]).fails(1, &["leads out", "files failed"]);
    scratch.run(&["cp", "-r", &scratch.uri("model"), "store"]).fails(1, &["leads out", "files failed"]);
    let leak = scratch.uri("store/leak");
    scratch.run(&["cp", "model/honest", &leak]).fails(2, &["leads out"]);
    scratch.run_with_input(&["put", "-", &leak], b"overwritten").fails(2, &["leads out"]);
    assert!(tree(&scratch.path("outside")) == before);
}

#[test]
fn it_is_not_deleted_through() {
    let scratch = planted();
    let before = tree(&scratch.path("outside"));
    for arguments in [["rm", "leak"], ["rm", "out"]] {
        scratch
            .run(&[arguments[0], &scratch.uri(&format!("store/{}", arguments[1]))])
            .fails(2, &["leads out"]);
    }
    scratch.run(&["rm", "-r", &scratch.uri("store/out")]).fails(2, &["leads out"]);
    scratch.run(&["rm", "-r", &scratch.uri("store")]).success();
    assert!(!scratch.path("store").exists() && tree(&scratch.path("outside")) == before);
}
