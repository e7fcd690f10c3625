//! The command with an Artifactory, which here is the emulator.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use artifactory_emulator::{Builder, Edition, Effect, Emulator, Fault, Permissions, RepositoryKind};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::{Finished, Scratch, names, signal, spawn, tree, wait_until};

/// Stands in every secret of these tests.
const CANARY: &str = "canary";
const PROBE: &str = ".mlflow-artifacts-doctor-";

/// A running emulator and a place to run the command in.
struct Setup {
    emulator: Emulator,
    scratch: Scratch,
    _runtime: Runtime,
}

impl Setup {
    fn new(configure: impl FnOnce(Builder) -> Builder) -> Self {
        let runtime = Runtime::new().unwrap();
        let virtual_one = |default: Option<&str>| RepositoryKind::Virtual {
            members: vec!["repo".to_owned()],
            default_deployment: default.map(str::to_owned),
        };
        let builder = Emulator::builder()
            .user("admin", "canary-password")
            .token("canary-token")
            .repository("repo", RepositoryKind::Local)
            .repository("shown", virtual_one(None))
            .repository("served", virtual_one(Some("repo")));
        let emulator = runtime.block_on(configure(builder).start()).unwrap();
        Setup { emulator, scratch: Scratch::new(), _runtime: runtime }
    }

    fn pro() -> Self {
        Self::new(|builder| builder)
    }

    fn uri(&self, path: &str) -> String {
        uri(self.emulator.address(), path)
    }

    /// The command with a token that may do everything.
    fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with(arguments, &[("ARTIFACTORY_AUTH_TOKEN", "canary-token")])
    }

    fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
        let finished = Finished::of(&mut command(&self.scratch, arguments, environment));
        assert!(!format!("{finished:?}").contains(CANARY), "{finished:?}");
        finished
    }

    fn probes(&self) -> Vec<String> {
        self.emulator.files().into_iter().filter(|file| file.contains(PROBE)).collect()
    }
}

fn uri(address: SocketAddr, path: &str) -> String {
    format!("artifactory://{address}/artifactory/{path}")
}

/// The command, with nothing of the credentials and options of whoever runs the tests.
fn command(scratch: &Scratch, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = scratch.command(arguments);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        let is_one = |prefix: &&str| text.starts_with(*prefix);
        if ["ARTIFACTORY_", "MLFLOW_", "NETRC"].iter().any(is_one)
            || text.ends_with("_PROXY")
            || text.ends_with("_CA_BUNDLE")
        {
            command.env_remove(name);
        }
    }
    command.env("HOME", scratch.path("")).env("ARTIFACTORY_NO_SSL", "True");
    command.envs(environment.iter().copied());
    command
}

/// A failing examination: the exit code, the step that failed, and words that must be said.
#[track_caller]
fn assert_diagnosis(finished: Finished, code: i32, step: &str, words: &[&str]) {
    let Finished { output, .. } = &finished;
    assert_eq!(finished.code, Some(code), "{finished:?}");
    assert!(output.contains(&format!("\nfailed   {step:9}")), "{step} did not fail in {output}");
    assert!(output.contains(&format!("It does not work: see {step:?}")), "{output}");
    for word in ["what to do: "].iter().chain(words) {
        assert!(output.contains(word), "{word:?} is not in {output}");
    }
    assert!(!finished.errors.contains("error"), "{finished:?}");
}

#[test]
fn the_model_of_the_examples_comes_back_as_it_went() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/model");
    let files = names(&model);
    for edition in [Edition::Pro, Edition::Oss] {
        let setup = Setup::new(|builder| builder.edition(edition));
        let target = setup.uri("repo/1/abc/artifacts/model");
        for _first_and_repeated_run in 0..2 {
            let stored = setup.run(&["cp", "-r", model.to_str().unwrap(), &target]);
            assert!(stored.errors.contains(&format!("{} files", files.len())), "{}", stored.errors);
            assert_eq!(stored.success(), "");
            setup.run(&["cp", "-r", &target, "back"]).success();
            assert!(tree(&setup.scratch.path("back")) == tree(&model), "{edition:?}");
        }
        let listed = setup.run(&["ls", "-r", "--json", &target]).success();
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let listed: Vec<_> = listed.as_array().unwrap().iter().map(|entry| &entry["path"]).collect();
        assert_eq!(json!(listed), json!(files), "{edition:?}");
        assert!(setup.run(&["cat", &format!("{target}/MLmodel")]).success().contains("flavors"));
        setup.run(&["rm", "-r", &target]).success();
        setup.run(&["ls", &target]).fails(3, &["no such artifact"]);
    }
}

#[test]
fn credentials_in_a_uri_are_not_shown() {
    let setup = Setup::pro();
    setup.scratch.write("model/MLmodel", "flavors: {}");
    let uri = setup.uri("repo/1/model").replace("//", "//admin:canary-password@");
    let wrong = setup.uri("repo/1/model").replace("//", "//admin:canary-wrong@");
    let token_alone = setup.uri("repo/1/model").replace("//", "//canary-token@");
    for (arguments, place) in [
        (&["cp", "-r", "model"][..], "%"),
        (&["ls", "-r"], "%"),
        (&["stat"], "%/MLmodel"),
        (&["stat", "--json"], "%/MLmodel"),
        (&["cat"], "%/MLmodel"),
        (&["doctor"], "%"),
        (&["doctor", "--json"], "%"),
        (&["put", "model/MLmodel"], "%/a"),
        (&["rm"], "%/a"),
        (&["rm"], "%/a"),
    ] {
        let of = |uri: &str| [arguments, &[place.replace('%', uri).as_str()]].concat().join("\n");
        let run = |uri: &str| setup.run_with(&of(uri).split('\n').collect::<Vec<_>>(), &[]);
        let finished = run(&uri);
        assert_eq!(finished.code, Some(0), "{arguments:?} {finished:?}");
        assert_eq!(run(&wrong).code, Some(4), "{arguments:?}");
        assert_eq!(run(&token_alone).code, Some(2), "{arguments:?}");
    }
    let shown = setup.run_with(&["stat", "--json", &format!("{uri}/MLmodel")], &[]).success();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert!(shown["store"].as_str().unwrap().starts_with("artifactory://admin:***@127.0.0.1:"), "{shown}");
}

#[test]
fn properties_are_kept_and_shown() {
    let setup = Setup::pro();
    setup.scratch.write("model/MLmodel", "flavors: {}");
    setup.scratch.write("model/data/a", "x");
    let named = ["--property", "mlflow.run_id=a=b", "--property=stage=one", "--property", "stage=two, three"];
    let properties = |path: &str| -> Value {
        let shown = setup.run(&["stat", "--json", &setup.uri(path)]).success();
        serde_json::from_str::<Value>(&shown).unwrap()["properties"].take()
    };
    let kept = json!({"mlflow.run_id": ["a=b"], "stage": ["one", "two, three"]});
    setup.run(&[&["cp", "-r", "model", &setup.uri("repo/tree")][..], &named].concat()).success();
    setup.run(&[&["cp", "model/MLmodel", &setup.uri("repo/file")][..], &named].concat()).success();
    setup.run(&[&["put", "model/MLmodel", &setup.uri("repo/put")][..], &named].concat()).success();
    setup.run(&[&["put", "-", &setup.uri("repo/input")][..], &named].concat()).success();
    let copied = ["cp", &setup.uri("repo/tree/data/a"), &setup.uri("repo/copied"), "--property", "only=this"];
    setup.run(&copied).success();
    for path in ["repo/tree/MLmodel", "repo/tree/data/a", "repo/file", "repo/put", "repo/input"] {
        assert_eq!(properties(path), kept, "{path}");
    }
    assert_eq!(properties("repo/copied"), json!({"only": ["this"]}));
    assert_eq!(properties("repo/tree"), json!({}), "a directory has none");
    let text = setup.run(&["stat", &setup.uri("repo/put")]).success();
    assert!(
        text.contains("\nproperty mlflow.run_id  a=b\nproperty stage          one, two, three\n"),
        "{text}"
    );
}

#[test]
fn the_open_source_edition_shows_no_properties() {
    let setup = Setup::new(|builder| builder.edition(Edition::Oss));
    setup.scratch.write("a", "x");
    setup.run(&["put", "a", &setup.uri("repo/a")]).success();
    let shown = setup.run(&["stat", &setup.uri("repo/a")]).success();
    assert!(shown.contains("kind      file") && !shown.contains("property"), "{shown}");
}

#[test]
fn properties_that_would_not_be_kept_are_refused() {
    let setup = Setup::pro();
    setup.scratch.write("model/a", "x");
    let store = setup.scratch.uri("store/a");
    for arguments in [
        &["put", "model/a", &store][..],
        &["put", "-", &store],
        &["put", "model/a", "store/a"],
        &["cp", "model/a", &store],
        &["cp", "-r", "model", &store],
        &["cp", "-r", &setup.scratch.uri("model"), &store],
    ] {
        setup
            .run(&[arguments, &["--property", "a=b"]].concat())
            .fails(1, &["file stores keep no properties", "leave --property out"]);
    }
    setup.run(&["put", "model/a", &setup.uri("repo/a")]).success();
    for arguments in [&["cp", &setup.uri("repo/a"), "store"][..], &["cp", "-r", "model", "store"]] {
        setup
            .run(&[arguments, &["--property", "a=b"]].concat())
            .fails(2, &["a local path keeps no properties", "leave --property out"]);
    }
    assert!(!setup.scratch.path("store").exists());
    for property in ["", "a", "=b"] {
        let finished = setup.run(&["put", "model/a", &setup.uri("repo/b"), "--property", property]);
        assert!(finished.errors.contains("give NAME=VALUE"), "{finished:?}");
        assert_eq!(finished.code, Some(2), "{property:?}");
    }
    for property in ["1a=b", "a b=c", "a="] {
        let refused = setup.run(&["put", "model/a", &setup.uri("repo/b"), "--property", property]);
        refused.fails(2, &["property"]);
    }
    assert_eq!(setup.emulator.files(), ["repo/a"]);
}

#[test]
fn bad_input_says_what_to_do() {
    let setup = Setup::new(|builder| builder.token_with("canary-reader", Permissions::READ));
    setup.scratch.write("model/a", "x");
    setup.run(&["put", "model/a", &setup.uri("repo/file")]).success();
    let good = ("ARTIFACTORY_AUTH_TOKEN", "canary-token");
    for (path, environment, code, words) in [
        ("repo/x", &[][..], 4, &["401", "set ARTIFACTORY_AUTH_TOKEN"][..]),
        ("repo/x", &[("ARTIFACTORY_AUTH_TOKEN", "canary-wrong")], 4, &["401"]),
        (
            "repo/x",
            &[good, ("ARTIFACTORY_CREDENTIALS_HOST", "art.example")],
            4,
            &["are for \"art.example\"", "ARTIFACTORY_CREDENTIALS_HOST", "correct the host"],
        ),
        ("missing/x", &[good], 3, &["local repository", "create the repository"]),
        ("shown/x", &[good], 1, &["405", "default deployment repository"]),
        ("repo/x", &[("ARTIFACTORY_AUTH_TOKEN", "canary-reader")], 4, &["403", "ask for the permission"]),
        ("repo/file/x", &[good], 2, &["file"]),
        ("repo/x.sha256", &[good], 2, &[".sha256", "give it another ending"]),
        ("repo/x%7Cy", &[good], 2, &["rename"]),
    ] {
        for arguments in [["put", "model/a"], ["cp", "model/a"]] {
            let finished = setup.run_with(&[&arguments[..], &[&setup.uri(path)]].concat(), environment);
            finished.fails(code, words);
        }
    }
    let wrong = [("ARTIFACTORY_AUTH_TOKEN", "canary-wrong")];
    let finished = setup.run_with(&["put", "model/a", &setup.uri("repo/x")], &wrong);
    finished.fails(4, &["does not know the token", "that of another host"]);
    setup.scratch.write("tree/x.sha256", "x");
    setup.run(&["cp", "-r", "tree", &setup.uri("repo/tree")]).fails(2, &["x.sha256", "another ending"]);
    assert_eq!(setup.emulator.files(), ["repo/file"]);
}

#[test]
fn what_may_not_be_deleted_is_said_to_be_kept() {
    let setup = Setup::pro();
    setup.scratch.write("a", "x");
    setup.run(&["put", "a", &setup.uri("repo/a")]).success();
    let environment =
        [("ARTIFACTORY_AUTH_TOKEN", "canary-token"), ("ARTIFACTORY_ARTIFACTS_DELETE_SKIP", "1")];
    let removed = setup.run_with(&["rm", &setup.uri("repo/a")], &environment);
    assert!(removed.errors.contains("kept, because this store is configured"), "{removed:?}");
    removed.success();
    assert_eq!(setup.emulator.files(), ["repo/a"]);
}

#[test]
fn the_doctor_finds_nothing_wrong() {
    for (edition, name) in [
        (Edition::Pro, "edition      licensed (Pro or above)\n"),
        (Edition::Oss, "edition      Artifactory OSS\n"),
    ] {
        let setup = Setup::new(|builder| builder.edition(edition));
        let output = setup.run(&["doctor", &setup.uri("repo")]).success();
        for words in [
            "token   set, from the environment variable ARTIFACTORY_AUTH_TOKEN\n",
            "no_ssl  \"True\", from the environment variable ARTIFACTORY_NO_SSL\n",
            "repository             repo\n",
            "credentials  a token from the environment variable ARTIFACTORY_AUTH_TOKEN\n",
            "server       Artifactory 7.",
            name,
            "ok       write ",
            "ok       replace  ",
            "ok       gone ",
            "\nEverything works.\n",
        ] {
            assert!(output.contains(words), "{words:?} is not in {output}");
        }
        assert!(!output.contains("failed") && !output.contains("skipped"), "{output}");
        assert_eq!(setup.emulator.files(), [""; 0]);
    }
}

#[test]
fn the_doctor_says_what_it_made() {
    let setup = Setup::pro();
    setup.scratch.write("a", "x");
    setup.run(&["put", "a", &setup.uri("repo/there/a")]).success();
    let output = setup.run(&["doctor", &setup.uri("repo/there")]).success();
    assert!(output.contains("a directory stands there") && !output.contains("stays"), "{output}");
    let output = setup.run(&["doctor", &setup.uri("repo/new/below")]).success();
    assert!(output.contains("nothing stands there yet"), "{output}");
    assert!(output.contains("artifactory/repo/new was made for it, and stays"), "{output}");
    assert_eq!(setup.probes(), [""; 0]);
}

#[test]
fn the_doctor_in_json() {
    let setup = Setup::pro();
    let document = |arguments: &[&str], code| -> Value {
        let finished = setup.run(arguments);
        assert_eq!((finished.code, finished.errors.as_str()), (Some(code), ""), "{finished:?}");
        serde_json::from_str(&finished.output).unwrap()
    };
    let uri = setup.uri("repo");
    let good = document(&["doctor", "--json", &uri], 0);
    assert_eq!((&good["ok"], &good["uri"], &good["left"]), (&json!(true), &json!(uri), &Value::Null));
    let steps = good["steps"].as_array().unwrap();
    assert!(steps.len() == 12 && steps.iter().all(|step| step["outcome"] == "ok"), "{good}");
    assert_eq!(steps[2]["facts"]["repository"], "repo");

    let bad = document(&["doctor", "--json", &setup.uri("missing")], 3);
    let step = |name: &str| {
        let found = bad["steps"].as_array().unwrap().iter().find(|step| step["step"] == name);
        found.unwrap().clone()
    };
    assert_eq!((&bad["ok"], &step("look")["kind"]), (&json!(false), &json!("not_found")));
    assert!(step("look")["help"].as_str().unwrap().contains("create the repository"));
    assert_eq!(step("write")["outcome"], "skipped");
}

#[test]
fn the_doctor_writes_nothing_when_told() {
    let setup = Setup::pro();
    let output = setup.run(&["doctor", "--read-only", &setup.uri("repo")]).success();
    assert!(output.contains("skipped  write, ") && output.contains("--read-only writes nothing"), "{output}");
    assert!(output.contains("What was tried works."), "{output}");
    let puts = setup.run(&["doctor", "--read-only", &setup.uri("missing/a/b")]);
    assert_diagnosis(puts, 3, "look", &["\"missing\"", "create the repository"]);
    assert_eq!(setup.emulator.files(), [""; 0]);
}

#[test]
fn the_doctor_leaves_no_probe_where_nothing_is_deleted() {
    let setup = Setup::pro();
    let environment =
        [("ARTIFACTORY_AUTH_TOKEN", "canary-token"), ("ARTIFACTORY_ARTIFACTS_DELETE_SKIP", "Yes")];
    let output = setup.run_with(&["doctor", &setup.uri("repo")], &environment).success();
    assert!(
        output.contains("skipped  write, ") && output.contains("configured to delete nothing"),
        "{output}"
    );
    assert_eq!(setup.emulator.files(), [""; 0]);
}

#[test]
fn the_doctor_finds_what_is_wrong_with_the_credentials() {
    let setup = Setup::pro();
    let uri = setup.uri("repo");
    let run = |environment: &[(&str, &str)]| setup.run_with(&["doctor", &uri], environment);
    assert_diagnosis(run(&[]), 4, "list", &["none: anonymous", "401", "set ARTIFACTORY_AUTH_TOKEN"]);
    let wrong = run(&[("ARTIFACTORY_AUTH_TOKEN", "canary-wrong")]);
    assert_diagnosis(wrong, 4, "server", &["401", "this server does not know the token"]);
    let wrong = run(&[("ARTIFACTORY_USER", "admin"), ("ARTIFACTORY_PASSWORD", "canary-wrong")]);
    assert_diagnosis(
        wrong,
        4,
        "server",
        &["user      \"admin\"", "password  set, from", "check the user and the password"],
    );
    let token = ("ARTIFACTORY_AUTH_TOKEN", "canary-token");
    let foreign = run(&[token, ("ARTIFACTORY_CREDENTIALS_HOST", "art.example")]);
    let words =
        ["the credentials are for \"art.example\"", "ARTIFACTORY_CREDENTIALS_HOST", "correct the host"];
    assert_diagnosis(foreign, 4, "open", &words);
    let file = run(&[("ARTIFACTORY_AUTH_TOKEN_PATH", "no/such/file")]);
    assert_diagnosis(file, 2, "server", &["\"no/such/file\"", "give a readable file"]);
    setup.emulator.expire_tokens();
    assert_diagnosis(run(&[token]), 4, "server", &["the token has expired: get a new one"]);
    assert_eq!(setup.emulator.files(), [""; 0]);
}

#[test]
fn the_doctor_finds_what_is_not_permitted() {
    let no_delete = Permissions { delete: false, ..Permissions::ALL };
    let no_read = Permissions { read: false, ..Permissions::ALL };
    let setup = Setup::new(|builder| {
        builder
            .token_with("canary-reader", Permissions::READ)
            .token_with("canary-writer", no_delete)
            .token_with("canary-blind", no_read)
    });
    let run = |token| setup.run_with(&["doctor", &setup.uri("repo")], &[("ARTIFACTORY_AUTH_TOKEN", token)]);
    assert_diagnosis(run("canary-reader"), 4, "write", &["403", "ask for the permission", "skipped  read, "]);
    let blind = run("canary-blind");
    assert_eq!(blind.code, Some(4), "{blind:?}");
    for words in ["failed   look ", "failed   read ", "ok       delete ", "failed   gone "] {
        assert!(blind.output.contains(words), "{}", blind.output);
    }
    assert_eq!(setup.emulator.files(), [""; 0], "{blind:?}");

    let finished = run("canary-writer");
    let stays = format!("The probe stays, and is to be removed: {}", setup.uri(&format!("repo/{PROBE}")));
    assert_diagnosis(
        finished,
        4,
        "replace",
        &["replacing a file needs Delete too", "failed   delete ", &stays],
    );
    assert_eq!(setup.probes().len(), 1, "it may not remove it");
}

#[test]
fn the_doctor_finds_what_is_wrong_with_the_place() {
    let setup = Setup::pro();
    setup.scratch.write("a", "x");
    setup.run(&["put", "a", &setup.uri("repo/file")]).success();
    for (path, code, step, words) in [
        ("missing", 3, "look", &["has no \"missing\"", "create the repository"][..]),
        ("missing/1/abc", 3, "look", &["has no \"missing\"", "correct its name"]),
        ("shown", 1, "write", &["405", "default deployment repository"]),
        ("repo/file", 2, "look", &["a file stands there", "name the directory"]),
        ("repo/file/below", 2, "look", &["repo/file", "a file stands there", "name the directory"]),
        ("", 2, "list", &["names a repository", "write artifactory://host/artifactory/repository/path"]),
        ("repo/a%7Cb", 2, "write", &["cannot hold this name", "it holds one of"]),
    ] {
        assert_diagnosis(setup.run(&["doctor", &setup.uri(path)]), code, step, words);
    }
    assert_eq!(setup.emulator.files(), ["repo/file"]);
}

/// Uploads go to the repository behind it, deletes nowhere.
#[test]
fn the_doctor_finds_that_nothing_is_deleted_through_a_virtual_repository() {
    let setup = Setup::pro();
    let finished = setup.run(&["doctor", &setup.uri("served")]);
    assert_ne!(finished.code, Some(0), "{finished:?}");
    for words in ["ok       replace ", "virtual", "The probe stays, and is to be removed: "] {
        assert!(finished.output.contains(words), "{}", finished.output);
    }
    assert_eq!(setup.probes().len(), 1);
}

#[test]
fn the_doctor_finds_that_it_is_no_artifactory() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\ncontent-length: 13\r\nconnection: close\r\n\r\n<html></html>",
            );
        }
    });
    let scratch = Scratch::new();
    let environment = [("ARTIFACTORY_AUTH_TOKEN", "canary-token")];
    let finished = Finished::of(&mut command(&scratch, &["doctor", &uri(address, "repo")], &environment));
    assert!(!finished.output.contains(CANARY));
    assert_diagnosis(
        finished,
        1,
        "server",
        &["does not answer as an Artifactory", "check the host, the port"],
    );
}

#[test]
fn the_doctor_does_not_wait_long_for_nobody() {
    let scratch = Scratch::new();
    let start = Instant::now();
    let closed = SocketAddr::from(([127, 0, 0, 1], 1));
    let finished = Finished::of(&mut command(&scratch, &["doctor", &uri(closed, "repo")], &[]));
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_diagnosis(finished, 5, "server", &["no connection", "whether the server runs"]);
}

#[test]
fn the_doctor_removes_its_probe_whatever_happens() {
    let setup = Setup::pro();
    let fault = |method: &str, effect| Fault {
        method: Some(method.to_owned()),
        path_contains: PROBE.to_owned(),
        skip: 0,
        times: 100,
        effect,
    };
    for (method, effect, code, step) in [
        ("GET", Effect::CorruptBody, 1, "read"),
        ("PUT", Effect::WrongChecksumHeaders, 1, "write"),
        ("PUT", Effect::ResetAfterResponseBytes(0), 5, "write"),
    ] {
        setup.emulator.inject(fault(method, effect));
        let finished = setup.run(&["doctor", &setup.uri("repo")]);
        assert_diagnosis(finished, code, step, &[]);
        setup.emulator.clear_faults();
        assert_eq!(setup.emulator.files(), [""; 0], "{method} {step}");
    }
}

#[test]
fn the_doctor_removes_its_probe_when_it_is_interrupted() {
    let setup = Setup::pro();
    setup.emulator.inject(Fault {
        method: Some("GET".to_owned()),
        path_contains: PROBE.to_owned(),
        skip: 0,
        times: 1,
        effect: Effect::DelayHeaders(Duration::from_secs(20)),
    });
    let environment = [("ARTIFACTORY_AUTH_TOKEN", "canary-token")];
    let child = spawn(&mut command(&setup.scratch, &["doctor", &setup.uri("repo")], &environment));
    wait_until("the probe is there", || !setup.probes().is_empty());
    let finished = signal(child, "INT");
    assert_eq!(setup.emulator.files(), [""; 0], "{finished:?}");
    assert!(finished.output.contains("ok       delete "), "{finished:?}");
    finished.fails(130, &["stopping and cleaning up"]);
}
