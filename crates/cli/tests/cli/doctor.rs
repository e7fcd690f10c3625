//! `doctor` on stores of this machine.

use crate::support::{Finished, Scratch, names, set_mode};

fn works(output: &str) {
    assert!(output.contains("\nok       gone ") && output.ends_with("\nEverything works.\n"), "{output}");
    assert!(!output.contains("failed") && !output.contains("skipped"), "{output}");
}

#[test]
fn a_store_that_works() {
    let scratch = Scratch::new();
    scratch.write("store/a", "x");
    works(&scratch.run(&["doctor", "memory:"]).success());
    works(&scratch.run(&["doctor", "store"]).success());
    let output = scratch.run(&["doctor", "-o", "fsync=full", &scratch.uri("store/new/below")]).success();
    assert!(output.contains("fsync  \"full\", from the option fsync"), "{output}");
    assert!(output.contains("store/new was made for it, and stays"), "{output}");
    works(&output);
    assert_eq!(names(&scratch.path("store")), ["a", "new", "new/below"]);
}

#[test]
fn a_link_to_a_directory_elsewhere_is_a_root() {
    let scratch = Scratch::new();
    scratch.directory("elsewhere");
    std::os::unix::fs::symlink(scratch.path("elsewhere"), scratch.path("store")).unwrap();
    works(&scratch.run(&["doctor", &scratch.uri("store")]).success());
    assert_eq!(names(&scratch.path("elsewhere")), [""; 0]);
}

#[test]
fn a_place_that_cannot_be_used() {
    let scratch = Scratch::new();
    scratch.write("file", "x");
    for (arguments, step, words) in [
        (&["hdfs://host/x"][..], "options", "known are: "),
        (&["ftp://user:canary@host:port/x"], "uri", "port"),
        (&["--option", "fsnyc=never", "file"], "options", "did you mean \"fsync\"?"),
        (&["--option", "fsync=sometimes", "file"], "open", "never, file, full"),
        (&["file"], "list", "a file stands where a directory is meant"),
        (&["file/below"], "list", "a file stands where a directory is meant"),
    ] {
        let finished = scratch.run(&[&["doctor"], arguments].concat());
        let Finished { code, output, .. } = &finished;
        assert!(!format!("{finished:?}").contains("canary"), "{finished:?}");
        assert_eq!(*code, Some(2), "{finished:?}");
        assert!(output.contains(&format!("failed   {step:9}")) && output.contains(words), "{output}");
        assert!(output.contains("what to do: ") && output.contains("skipped  "), "{output}");
    }
    assert_eq!(names(&scratch.path("")), ["file"]);
}

#[test]
fn a_directory_that_the_user_may_not_write() {
    let scratch = Scratch::new();
    scratch.write("store/kept", "x");
    let run = |arguments: &[&str]| Finished::of(&mut scratch.command_as_nobody(arguments));
    let store = scratch.uri("store");
    let finished = run(&["doctor", &store]);
    assert_eq!(finished.code, Some(4), "{finished:?}");
    for words in ["ok       list ", "failed   write ", "Permission denied", "what to do: let this user"] {
        assert!(finished.output.contains(words), "{}", finished.output);
    }
    run(&["doctor", "--read-only", &store]).success();
    set_mode(&scratch.path("store"), 0o700);
    let closed = run(&["doctor", &store]);
    assert_eq!(closed.code, Some(4), "{closed:?}");
    assert!(
        closed.output.contains("failed   list ") && closed.output.contains("failed   write "),
        "{closed:?}"
    );
    assert_eq!(names(&scratch.path("store")), ["kept"]);
}
