//! Signals: what is not whole does not stay.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use crate::support::{BINARY, Scratch, names, send, signal, spawn, tree, wait_until};

#[test]
fn an_interrupted_put_leaves_what_was_there() {
    for name in ["INT", "TERM", "HUP"] {
        let scratch = Scratch::new();
        scratch.write("store/big", "old");
        scratch.write("store/other", "kept");
        let mut command = scratch.command(&["put", "-", &scratch.uri("store/big")]);
        let mut child = spawn(command.stdin(Stdio::piped()));
        let mut input = child.stdin.take().unwrap();
        input.write_all(&vec![1; 1 << 20]).unwrap();
        // Under a temporary name.
        wait_until("the bytes are in the store", || {
            let sizes = tree(&scratch.path("store")).into_values().flatten().map(|content| content.len());
            sizes.max() == Some(1 << 20)
        });
        // As a closed terminal does: the same once more before it can have cleaned up.
        send(&child, name);
        // The input stays open: nothing but the signal ends the command.
        signal(child, name).fails(130, &["stopping and cleaning up", "cancelled"]);
        drop(input);
        assert_eq!(names(&scratch.path("store")), ["big", "other"], "{name}");
        assert_eq!(fs::read(scratch.path("store/big")).unwrap(), b"old");
    }
}

#[test]
fn an_interrupted_tree_has_whole_files_only() {
    const FILES: usize = 4000;
    let scratch = Scratch::new();
    let content = vec![7; 10_000];
    for file in 0..FILES {
        scratch.write(&format!("model/{file}"), &content);
    }
    for (source, target) in
        [("model".to_owned(), scratch.uri("up")), (scratch.uri("model"), "down".to_owned())]
    {
        let child = spawn(&mut scratch.command(&["cp", "-r", "--files", "1", &source, &target]));
        let directory = scratch.path(target.rsplit('/').next().unwrap());
        wait_until("something is there", || {
            fs::read_dir(&directory).is_ok_and(|entries| entries.count() > 10)
        });
        signal(child, "INT").fails(130, &["cancelled"]);
        let copied = tree(&directory);
        assert!(copied.len() < FILES, "{target}: it was over too soon");
        for (name, copy) in copied {
            assert!(!name.to_string_lossy().starts_with('.') && copy.as_ref() == Some(&content), "{name:?}");
        }
    }
}

#[test]
fn a_reader_ends_at_once() {
    let scratch = Scratch::new();
    scratch.write("big", vec![7; 4 << 20]);
    let mut child = spawn(&mut scratch.command(&["cat", "big"]));
    // Nobody reads the rest: it is stuck in the middle.
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let finished = signal(child, "INT");
    assert_eq!(finished.code, Some(130), "{}", finished.errors);
}

/// `nohup` lets the command ignore a hangup, a shell an interrupt of what it runs in the background.
#[test]
fn what_shall_survive_a_signal_does_and_heeds_the_others() {
    for (ignored, heeded) in [("HUP", "TERM"), ("INT", "HUP")] {
        let scratch = Scratch::new();
        let survivor = |name: &str| {
            let mut command = Command::new("env");
            command.args(["--default-signal=INT,HUP", &format!("--ignore-signal={ignored}"), BINARY]);
            let mut child =
                spawn(command.args(["put", "-", &scratch.uri(&format!("{name}/a"))]).stdin(Stdio::piped()));
            let mut input = child.stdin.take().unwrap();
            input.write_all(&vec![1; 1 << 20]).unwrap();
            wait_until("it writes", || scratch.path(name).is_dir());
            send(&child, ignored);
            input.write_all(&vec![1; 1 << 20]).unwrap();
            (child, input)
        };
        let (mut child, input) = survivor("whole");
        drop(input);
        assert!(child.wait().unwrap().success());
        assert_eq!(fs::metadata(scratch.path("whole/a")).unwrap().len(), 2 << 20);

        let (child, _input) = survivor("stopped");
        signal(child, heeded).fails(130, &["stopping and cleaning up", "cancelled"]);
        assert!(!scratch.path("stopped").exists());
    }
}
