//! Who may do what: every route asks, and every path that a request names is measured by the same rules.

#![allow(clippy::unwrap_used, reason = "helpers outside the tests, which the lint does not see as test code")]

mod common;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use common::{ARTIFACTS, Answer, Running, eventually};
use mlflow_artifacts_core::{ErrorKind, StoreConfig};
use mlflow_artifacts_server::{Access, Accounts, Authority, Flavour, Projects, ServerOptions};
use tempfile::TempDir;
use test_servers::{Nginx, Scripted};

/// As `htpasswd -nbB -C 4` writes it: alice has the password `wonderland`, bob `builder`.
const PASSWORDS: &str = "# users\n\
    alice:$2y$04$.MeH6ROQQHQjObw5gAHnSu32dlFfiBoHjJuaDmAYBqi5TNOLpdLwm\n\
    bob:$2y$04$KAvmMSGCuyiGhg/Oju7T2O/oOV6zXif407t.nbivM8cmiGNfBjygK\n";
const ALICE: &str = "Authorization: Basic YWxpY2U6d29uZGVybGFuZA==";
const BOB: &str = "Authorization: Basic Ym9iOmJ1aWxkZXI=";

/// Of `token-of-ci-0123456789abcdef`.
const TOKENS: &str = "ci:sha256:98f426dd48ae41c01de428f78c2c929ad4cc47c05c472d321d6c97fb7eabba32\n";
const CI: &str = "Authorization: Bearer token-of-ci-0123456789abcdef";

const RULES: &str = "alice 1 read,write,delete\n\
    alice shared read\n\
    bob 10/run read\n\
    ci * read,write\n";

/// Everything that a client can ask about an artifact: what it is, and whether the answer is 200 where it is allowed.
const REQUESTS: [(&str, &str, &str, &[u8]); 10] = [
    ("read", "GET", "/api/2.0/mlflow-artifacts/artifacts?path={path}", b""),
    ("read", "GET", "/ajax-api/2.0/mlflow-artifacts/artifacts/{path}/a", b""),
    ("read", "HEAD", "/api/2.0/mlflow-artifacts/artifacts/{path}/a", b""),
    ("read", "GET", "/api/2.0/mlflow-artifacts/presigned/{path}/a", b""),
    ("write", "PUT", "/api/2.0/mlflow-artifacts/artifacts/{path}/b", b"new"),
    (
        "write",
        "POST",
        "/ajax-api/2.0/mlflow-artifacts/mpu/create/{path}",
        br#"{"path": "c", "num_parts": 1}"#,
    ),
    (
        "write",
        "POST",
        "/api/2.0/mlflow-artifacts/mpu/complete/{path}",
        br#"{"path": "c", "upload_id": "x", "parts": [{}]}"#,
    ),
    ("write", "POST", "/api/2.0/mlflow-artifacts/mpu/abort/{path}", br#"{"path": "c", "upload_id": "x"}"#),
    ("delete", "DELETE", "/api/2.0/mlflow-artifacts/artifacts/{path}/a", b""),
    ("delete", "DELETE", "/ajax-api/2.0/mlflow-artifacts/artifacts/{path}", b""),
];

/// A server whose users, tokens and rules stand in files of this directory.
fn with_accounts(rules: Option<&str>, options: ServerOptions) -> (Running, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| -> PathBuf {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let mut accounts = Accounts::new()
        .with_passwords(&file("passwords", PASSWORDS))
        .and_then(|accounts| accounts.with_tokens(&file("tokens", TOKENS)))
        .unwrap();
    if let Some(rules) = rules {
        accounts = accounts.with_rules(&file("rules", rules)).unwrap();
    }
    let server = Running::start(ServerOptions { access: Access::Accounts(Arc::new(accounts)), ..options });
    for path in ["1/a", "10/a", "10/run/a", "shared/a", "workspaces/team/1/a"] {
        std::fs::create_dir_all(server.root().join(path).parent().unwrap()).unwrap();
        std::fs::write(server.root().join(path), b"old").unwrap();
    }
    (server, directory)
}

fn ask(server: &Running, (method, target, body): (&str, &str, &[u8]), headers: &[&str]) -> Answer {
    server.ask(method, target, headers, body)
}

fn names(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let files = answer.json()["files"].as_array().cloned().unwrap_or_default();
    files.iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn nobody_comes_in_who_is_not_known() {
    let (server, _files) = with_accounts(None, ServerOptions::default());
    let before = server.files();
    let strangers = [
        "X: nothing",
        "Authorization: Basic YWxpY2U6d3Jvbmc=",
        "Authorization: Basic bWFsbG9yeTp3b25kZXJsYW5k",
        "Authorization: Basic YWxpY2U=",
        "Authorization: Basic !!!",
        "Authorization: Basic",
        "Authorization: Bearer wonderland",
        "Authorization: Bearer ",
        "Authorization: Bearer ci",
        "Authorization: Bearer 98f426dd48ae41c01de428f78c2c929ad4cc47c05c472d321d6c97fb7eabba32",
        "Authorization: Digest username=alice",
    ];
    let others = [
        ("GET", "/", &b""[..]),
        ("GET", "/health?detail", b""),
        ("POST", "/api/2.0/mlflow/runs/create", b"{}"),
    ];
    let all = REQUESTS.map(|(_, method, target, body)| (method, target.replace("{path}", "1"), body));
    let others = others.map(|(method, target, body)| (method, target.to_owned(), body));
    for (method, target, body) in all.into_iter().chain(others) {
        for stranger in strangers {
            let answer = ask(&server, (method, &target, body), &[stranger]);
            assert_eq!(answer.status, 401, "{method} {target} {stranger}");
            let challenges = answer.headers("www-authenticate");
            assert_eq!(challenges, ["Basic realm=\"mlflow\", charset=\"UTF-8\"", "Bearer realm=\"mlflow\""]);
            if method != "HEAD" {
                assert_eq!(answer.code(), "UNAUTHENTICATED", "{method} {target} {stranger}");
            }
        }
    }
    assert_eq!(server.files(), before);
    for target in ["/health", "/version", "/api/3.0/mlflow/server-info", "/ajax-api/3.0/mlflow/server-info"] {
        assert_eq!(server.ask("GET", target, &[], b"").status, 200, "{target}");
    }
    for known in [ALICE, BOB, CI] {
        assert_eq!(ask(&server, ("PUT", &format!("{ARTIFACTS}/9/x"), b"x"), &[known]).status, 200);
        assert_eq!(ask(&server, ("GET", &format!("{ARTIFACTS}/1/a"), b""), &[known]).body, b"old");
    }
}

#[test]
fn the_same_rule_holds_for_every_request() {
    let allowed = [
        (ALICE, "1", "read write delete"),
        (ALICE, "%31", "read write delete"),
        (ALICE, "shared", "read"),
        (ALICE, "10", ""),
        (ALICE, "10/run", ""),
        (ALICE, "workspaces/team/1", ""),
        (BOB, "10/run", "read"),
        (BOB, "1", ""),
        (CI, "10", "read write"),
        (CI, "workspaces/team/1", "read write"),
    ];
    for (who, path, actions) in allowed {
        let (server, _files) = with_accounts(Some(RULES), ServerOptions::default());
        for (action, method, target, body) in REQUESTS {
            let before = server.files();
            let target = target.replace("{path}", path);
            let answer = ask(&server, (method, &target, body), &[who]);
            if actions.contains(action) {
                assert!(!matches!(answer.status, 0 | 401 | 403), "{who} {method} {target}: {answer:?}");
            } else {
                assert_eq!(answer.status, 403, "{who} {method} {target}: {answer:?}");
                assert!(method == "HEAD" || answer.code() == "PERMISSION_DENIED", "{answer:?}");
                assert_eq!(server.files(), before, "{who} {method} {target}");
            }
        }
    }
}

#[test]
fn a_listing_tells_what_may_be_read_and_what_leads_there() {
    let (server, _files) = with_accounts(Some(RULES), ServerOptions::default());
    let list =
        |who: &str, path: &str| ask(&server, ("GET", &format!("{ARTIFACTS}?path={path}"), b""), &[who]);
    assert_eq!(names(&list(ALICE, "")), ["1", "shared"]);
    assert_eq!(names(&list(BOB, "")), ["10"]);
    assert_eq!(names(&list(BOB, "10")), ["run"]);
    assert_eq!(names(&list(BOB, "10/run")), ["a"]);
    assert_eq!(names(&list(CI, "")), ["1", "10", "shared", "workspaces"]);
    assert_eq!(list(BOB, "1").status, 403);
    assert_eq!(list(BOB, "absent").status, 403);
    assert_eq!(list(ALICE, "10").status, 403);
}

#[test]
fn a_rule_of_one_workspace_is_none_of_another() {
    let options = ServerOptions { workspaces: true, ..ServerOptions::default() };
    let rules = format!("{RULES}bob workspaces/team/1 read\n");
    let (server, _files) = with_accounts(Some(&rules), options);
    let get = |who, workspace: &str| {
        let workspace = format!("X-MLFLOW-WORKSPACE: {workspace}");
        ask(&server, ("GET", &format!("{ARTIFACTS}/1/a"), b""), &[who, &workspace]).status
    };
    assert_eq!((get(ALICE, "default"), get(ALICE, "team")), (200, 403));
    assert_eq!((get(BOB, "default"), get(BOB, "team")), (403, 200));
    let in_team = &[BOB, "X-MLFLOW-WORKSPACE: team"];
    assert_eq!(names(&ask(&server, ("GET", ARTIFACTS, b""), in_team)), ["1"]);
    let of_alice = &[ALICE, "X-MLFLOW-WORKSPACE: team"];
    assert!(names(&ask(&server, ("GET", ARTIFACTS, b""), of_alice)).is_empty());
}

#[test]
fn a_change_of_a_file_counts_while_the_server_runs() {
    let (server, files) = with_accounts(Some(RULES), ServerOptions::default());
    let status = |who: &str| ask(&server, ("GET", &format!("{ARTIFACTS}/1/a"), b""), &[who]).status;
    assert_eq!((status(ALICE), status(CI)), (200, 200));
    std::fs::write(files.path().join("rules"), "ci 1 read\n").unwrap();
    eventually("alice may no longer read", || status(ALICE) == 403);
    std::fs::write(files.path().join("tokens"), "").unwrap();
    eventually("the token counts no longer", || status(CI) == 401);
    std::fs::write(files.path().join("passwords"), "bob:plain\n").unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(status(ALICE), 403, "a file that means nothing changes nothing");
    std::fs::write(files.path().join("passwords"), PASSWORDS.replace("alice", "carol")).unwrap();
    eventually("alice is no longer known", || status(ALICE) == 401);
}

#[test]
fn what_a_file_says_is_refused_at_the_start_with_the_line_and_without_the_secret() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    let refused =
        |content: &str, open: &dyn Fn(&Path) -> mlflow_artifacts_core::Result<Accounts>, reason: &str| {
            std::fs::write(&file, content).unwrap();
            let error = open(&file).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            let text = format!("{error} {error:?}");
            assert!(text.contains(reason) && text.contains("file") && !text.contains("hunter2"), "{text}");
        };
    let passwords = |path: &Path| Accounts::new().with_passwords(path);
    let tokens = |path: &Path| Accounts::new().with_tokens(path);
    refused("a:hunter2", &passwords, "line 1: the hash is none of bcrypt's: make it with htpasswd -B");
    refused("hunter2", &passwords, "line 1: it is not user:hash");
    let costly = PASSWORDS.replace("$04$", "$31$");
    refused(&costly, &passwords, "line 2: the hash costs too much time");
    refused("\nci:hunter2", &tokens, "line 2: it is not name:sha256:");
    refused("ci:sha256:hunter2", &tokens, "line 1: it is not name:sha256:");
    let missing = Accounts::new().with_rules(&directory.path().join("missing")).unwrap_err();
    assert!(missing.to_string().contains("missing"), "{missing}");
    assert!(
        !format!("{:?}", {
            std::fs::write(&file, TOKENS).unwrap();
            tokens(&file)
        })
        .contains("token-of-ci")
    );
}

/// A server that asks one at this URL.
fn with_authority(url: &str, flavour: Flavour, remembered: Duration) -> Running {
    let authority = Authority::new(url.parse().unwrap(), flavour, remembered, &StoreConfig::new()).unwrap();
    let server = Running::start(ServerOptions {
        access: Access::Authority(Arc::new(authority)),
        ..ServerOptions::default()
    });
    for path in ["1/a", "2/a", "3/a"] {
        std::fs::create_dir_all(server.root().join(path).parent().unwrap()).unwrap();
        std::fs::write(server.root().join(path), b"old").unwrap();
    }
    server
}

const LONG: Duration = Duration::from_mins(5);

#[test]
fn nginx_decides_by_its_users_and_its_map() {
    let map = "map \"$remote_user $http_x_forwarded_method $http_x_forwarded_uri\" $verdict {\n\
        default refused;\n\
        \"~^alice (GET|PUT) /api/2.0/mlflow-artifacts/artifacts/1$\" allowed;\n\
        \"~^bob GET /api/2.0/mlflow-artifacts/artifacts/[12]$\" allowed;\n}";
    let decide =
        "location = /decide { auth_basic mlflow; auth_basic_user_file passwords; try_files /$verdict =403; }";
    let nginx = Nginx::start(map, decide, &[("passwords", PASSWORDS), ("allowed", "")]);
    let server = with_authority(&format!("{}/decide", nginx.url()), Flavour::Forward, LONG);
    for (who, path, actions) in
        [(ALICE, "1", "read write"), (ALICE, "2", ""), (BOB, "1", "read"), (BOB, "2", "read"), (BOB, "3", "")]
    {
        for (action, method, target, body) in REQUESTS {
            let target = target.replace("{path}", path);
            let status = ask(&server, (method, &target, body), &[who]).status;
            let is_refused = matches!(status, 401 | 403 | 503);
            assert_eq!(!is_refused, actions.contains(action), "{who} {method} {target}: {status}");
        }
    }
    let list = |who: &str| names(&ask(&server, ("GET", ARTIFACTS, b""), &[who]));
    assert_eq!((list(ALICE), list(BOB)), (vec!["1".to_owned()], vec!["1".to_owned(), "2".to_owned()]));
    let wrong = "Authorization: Basic YWxpY2U6d3Jvbmc=";
    for (_, method, target, body) in REQUESTS {
        assert_eq!(ask(&server, (method, &target.replace("{path}", "1"), body), &[wrong]).status, 401);
    }
    assert_eq!(ask(&server, ("GET", "/health?detail", b""), &[wrong]).status, 401);
    assert_eq!(
        ask(&server, ("GET", &format!("{ARTIFACTS}/1/a"), b""), &[ALICE]).header("cache-control"),
        Some("private, no-cache")
    );
    assert_eq!(ask(&server, ("GET", ARTIFACTS, b""), &[]).status, 401);
}

#[test]
fn what_was_decided_is_remembered_and_who_cannot_decide_allows_nothing() {
    let status = Arc::new(AtomicU16::new(204));
    let told = Arc::clone(&status);
    let authority = Scripted::start(move |_| match told.load(Ordering::Relaxed) {
        302 => Scripted::respond(302, &[("location", "http://127.0.0.1:9/")], ""),
        status => Scripted::respond(status, &[], ""),
    });
    let server = with_authority(&format!("{}/auth?x=1", authority.url()), Flavour::Forward, LONG);
    let get =
        |path: &str, headers: &[&str]| server.ask("GET", &format!("{ARTIFACTS}/{path}"), headers, b"").status;
    for _ in 0..5 {
        assert_eq!(get("1/a", &["Authorization: Bearer t", "Cookie: session=s"]), 200);
        assert_eq!(get("1/absent", &["Authorization: Bearer t", "Cookie: session=s"]), 404);
    }
    let asked = authority.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    let shown = ["authorization", "cookie", "x-forwarded-method", "x-forwarded-uri"]
        .map(|name| asked[0].header(name));
    let uri = "/api/2.0/mlflow-artifacts/artifacts/1";
    assert_eq!(shown, [Some("Bearer t"), Some("session=s"), Some("GET"), Some(uri)]);
    assert_eq!((asked[0].method.as_str(), asked[0].target.as_str()), ("GET", "/auth?x=1"));
    // Another caller, another place or another action is another question.
    assert_eq!(get("1/a", &["Authorization: Bearer u"]), 200);
    assert_eq!(get("1/a", &["Authorization: Bearer t"]), 200);
    assert_eq!(get("2%20x/a", &["Authorization: Bearer t"]), 404);
    assert_eq!(
        ask(&server, ("PUT", &format!("{ARTIFACTS}/1/b"), b"b"), &["Authorization: Bearer t"]).status,
        200
    );
    let asked = authority.asked();
    assert_eq!(asked.len(), 5);
    assert_eq!(asked[3].header("x-forwarded-uri"), Some("/api/2.0/mlflow-artifacts/artifacts/2%20x"));
    assert_eq!(asked[4].header("x-forwarded-method"), Some("PUT"));
    // What is no decision allows nothing, and is asked again.
    for (answer, expected) in [(500, 503), (302, 503), (404, 503), (403, 403), (401, 401)] {
        status.store(answer, Ordering::Relaxed);
        let caller = format!("Authorization: Bearer {answer}");
        assert_eq!(get("1/a", &[&caller]), expected, "{answer}");
        status.store(204, Ordering::Relaxed);
        assert_eq!(get("1/a", &[&caller]), if expected == 503 { 200 } else { expected }, "{answer}");
    }
    drop(authority);
    assert_eq!(get("1/a", &["Authorization: Bearer t"]), 200, "it is remembered");
    assert_eq!(get("1/a", &["Authorization: Bearer new"]), 503);
    assert_eq!(ask(&server, ("GET", ARTIFACTS, b""), &["Authorization: Bearer new"]).status, 503);
}

#[test]
fn what_is_not_to_be_remembered_is_asked_again() {
    let authority = Scripted::start(|_| Scripted::respond(204, &[], ""));
    let server = with_authority(&authority.url(), Flavour::Forward, Duration::ZERO);
    for _ in 0..3 {
        assert_eq!(server.get("1/a").status, 200);
    }
    assert_eq!(authority.asked().len(), 3);
}

const DEVELOPER: &str = "Authorization: Bearer glpat-dev";
/// The password of Basic is the token, as git gives it.
const LEAD: &str = "Authorization: Basic b2F1dGgyOmdscGF0LWxlYWQ=";

/// GitLab as its documentation describes it (REST API, "Projects"): three projects, and what two tokens are there.
fn gitlab() -> Scripted {
    let roles: HashMap<(&str, &str), &str> = [
        (
            ("/gitlab/api/v4/projects/1", "Bearer glpat-dev"),
            r#"{"project_access": {"access_level": 30}, "group_access": null}"#,
        ),
        (
            ("/gitlab/api/v4/projects/2", "Bearer glpat-dev"),
            r#"{"project_access": null, "group_access": {"access_level": 20}}"#,
        ),
        (
            ("/gitlab/api/v4/projects/3", "Bearer glpat-dev"),
            r#"{"project_access": null, "group_access": null}"#,
        ),
        (
            ("/gitlab/api/v4/projects/1", "Bearer glpat-lead"),
            r#"{"project_access": {"access_level": 40}, "group_access": null}"#,
        ),
        (
            ("/gitlab/api/v4/projects/team%2Fmodels", "Bearer glpat-lead"),
            r#"{"project_access": null, "group_access": {"access_level": 50}}"#,
        ),
    ]
    .into();
    Scripted::start(move |asked| {
        let token = asked.header("authorization").unwrap_or_default();
        match roles.get(&(asked.target.as_str(), token)) {
            Some(permissions) => {
                Scripted::respond(200, &[], format!(r#"{{"id": 1, "permissions": {permissions}}}"#))
            }
            None if token.contains("glpat-") => {
                Scripted::respond(404, &[], r#"{"message": "404 Project Not Found"}"#)
            }
            None => Scripted::respond(401, &[], r#"{"message": "401 Unauthorized"}"#),
        }
    })
}

#[test]
fn a_role_in_gitlab_says_what_may_be_done() {
    let gitlab = gitlab();
    let server =
        with_authority(&format!("{}/gitlab/", gitlab.url()), Flavour::GitLab(Projects::default()), LONG);
    let listed = names(&ask(&server, ("GET", ARTIFACTS, b""), &[DEVELOPER]));
    assert_eq!(listed, ["1", "2"]);
    for (who, path, actions) in [
        (DEVELOPER, "1", "read write"),
        ("PRIVATE-TOKEN: glpat-dev", "2", "read"),
        (DEVELOPER, "3", ""),
        (DEVELOPER, "4", ""),
        (DEVELOPER, "name", ""),
        (LEAD, "2", ""),
        (LEAD, "1", "read write delete"),
    ] {
        for (action, method, target, body) in REQUESTS {
            let target = target.replace("{path}", path);
            let status = ask(&server, (method, &target, body), &[who]).status;
            assert_eq!(
                !matches!(status, 401 | 403 | 503),
                actions.contains(action),
                "{who} {method} {target}: {status}"
            );
        }
    }
    // One question for each project and way to show a token, whatever is to be done.
    assert_eq!(gitlab.asked().len(), 8);
    let unknown = "Authorization: Bearer other";
    assert_eq!(ask(&server, ("GET", ARTIFACTS, b""), &[unknown]).status, 401);
    assert_eq!(ask(&server, ("GET", &format!("{ARTIFACTS}/1/a"), b""), &[unknown]).status, 401);
    assert_eq!(server.get("1/a").status, 401);
}

#[test]
fn a_file_says_which_project_of_gitlab_an_experiment_belongs_to() {
    let gitlab = gitlab();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("projects");
    std::fs::write(&file, "2 team/models\n").unwrap();
    let projects = Projects::in_file(&file).unwrap();
    let server = with_authority(&format!("{}/gitlab", gitlab.url()), Flavour::GitLab(projects), LONG);
    let delete = |path: &str| {
        let target = format!("{ARTIFACTS}/{path}");
        ask(&server, ("DELETE", &target, b""), &["Authorization: Bearer glpat-lead"]).status
    };
    assert_eq!((delete("1/a"), delete("2/a")), (403, 200));
}

#[test]
fn an_authority_is_a_plain_http_url() {
    for url in ["ftp://h/", "http://user@h/", "https://user:hunter2@h/"] {
        let error =
            Authority::new(url.parse().unwrap(), Flavour::Forward, LONG, &StoreConfig::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[test]
fn what_is_passed_on_is_asked_about_as_well() {
    let tracking = Scripted::start(|asked| Scripted::respond(200, &[], format!("{:?}", asked.head)));
    let upstream = || ServerOptions { upstream: Some(tracking.url()), ..ServerOptions::default() };
    let search = ("POST", "/api/2.0/mlflow/runs/search?secret=1", &b"{}"[..]);
    // Whom our files know may ask the tracking server anything. It is told the name, and neither a password nor what a client says of itself.
    let (server, _files) = with_accounts(Some(RULES), upstream());
    assert_eq!(ask(&server, search, &[]).status, 401);
    assert!(tracking.asked().is_empty());
    assert_eq!(ask(&server, search, &[BOB, "X-Forwarded-User: alice"]).status, 200);
    let asked = tracking.asked().pop().unwrap();
    assert_eq!((asked.header("x-forwarded-user"), asked.header("authorization")), (Some("bob"), None));
    // What a client makes of the headers does not change that.
    assert_eq!(
        ask(&server, search, &[BOB, "Connection: X-Forwarded-User", "X_Forwarded_User: alice"]).status,
        200
    );
    let asked = tracking.asked().pop().unwrap();
    assert_eq!(asked.header("x-forwarded-user"), Some("bob"));
    assert!(!asked.head.to_lowercase().contains("x_forwarded"), "{}", asked.head);
    // Strangers are told the version, and nothing that they send goes on.
    let before = tracking.asked().len();
    for target in ["/version", "/api/3.0/mlflow/server-info"] {
        assert_eq!(server.ask("POST", target, &[], b"much").status, 401, "{target}");
    }
    assert_eq!(tracking.asked().len(), before);
    let forged = ["X-Forwarded-User: alice", "Authorization: Basic eDp5", "Content-Length: 4"];
    assert_eq!(server.ask("GET", "/version", &forged, b"").status, 200);
    let asked = tracking.asked().pop().unwrap();
    assert_eq!((asked.header("x-forwarded-user"), asked.header("authorization")), (None, None));
    assert_eq!(asked.body, b"");
    // Another server is asked about each request, and the tracking server sees who asks as it does.
    let decides = Scripted::start(|asked| {
        let is_allowed = asked.header("authorization") == Some("Bearer t")
            && asked.header("x-forwarded-uri") == Some("/api/2.0/mlflow/runs/search")
            && asked.header("x-forwarded-method") == Some("POST");
        Scripted::respond(if is_allowed { 200 } else { 403 }, &[], "")
    });
    let authority = |flavour| {
        Access::Authority(Arc::new(
            Authority::new(decides.url().parse().unwrap(), flavour, LONG, &StoreConfig::new()).unwrap(),
        ))
    };
    let server = Running::start(ServerOptions { access: authority(Flavour::Forward), ..upstream() });
    let before = tracking.asked().len();
    assert_eq!(ask(&server, search, &["Authorization: Bearer u"]).status, 403);
    assert_eq!(
        server.ask("GET", "/api/2.0/mlflow/runs/search", &["Authorization: Bearer t"], b"").status,
        403
    );
    assert_eq!(tracking.asked().len(), before);
    assert_eq!(ask(&server, ("GET", "/get-artifact?run_id=1&path=x", b""), &[]).status, 403);
    assert_eq!(ask(&server, ("GET", "/health?detail", b""), &[]).status, 403);
    assert_eq!(tracking.asked().len(), before);
    let known = ["Authorization: Bearer t", "X-Forwarded-User: alice", "X-MLFLOW-WORKSPACE: team"];
    assert_eq!(ask(&server, search, &known).status, 200);
    let asked = tracking.asked().pop().unwrap();
    assert_eq!((asked.header("authorization"), asked.header("x-forwarded-user")), (Some("Bearer t"), None));
    assert_eq!(decides.asked().pop().unwrap().header("x-mlflow-workspace"), Some("team"));
    assert_eq!(ask(&server, search, &known[..1]).status, 200);
    assert_eq!(decides.asked().pop().unwrap().header("x-mlflow-workspace"), None, "it is another question");
    // GitLab knows nothing of the tracking server's requests.
    let options = ServerOptions { access: authority(Flavour::GitLab(Projects::default())), ..upstream() };
    let store = Arc::new(mlflow_artifacts_core::MemoryStore::new());
    let error = mlflow_artifacts_server::Server::new(store, options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
}

#[test]
fn where_a_runs_artifacts_are_is_no_way_around_the_rules() {
    let tracking = Scripted::start(|asked| {
        let run = if asked.target.contains("run_id=mine") { "1" } else { "10" };
        let told = format!(r#"{{"run": {{"info": {{"artifact_uri": "mlflow-artifacts:/{run}"}}}}}}"#);
        Scripted::respond(200, &[("content-type", "application/json")], told)
    });
    let options = ServerOptions { upstream: Some(tracking.url()), ..ServerOptions::default() };
    let (server, _files) = with_accounts(Some(RULES), options);
    let of_run = |run: &str, who: &str| {
        let get = ask(&server, ("GET", &format!("/get-artifact?run_id={run}&path=a"), b""), &[who]);
        let list =
            ask(&server, ("GET", &format!("/api/2.0/mlflow/artifacts/list?run_id={run}"), b""), &[who]);
        (get.status, list.status)
    };
    assert_eq!((of_run("mine", ALICE), of_run("other", ALICE)), ((200, 200), (403, 403)));
    // What leads to something that may be read is listed, as far as it does.
    assert_eq!((of_run("mine", BOB), of_run("other", BOB)), ((403, 403), (403, 200)));
    // Nor are other spellings, or a run that is named elsewhere than where it is looked for.
    let asked = tracking.asked().len();
    for target in [
        "/get%2Dartifact?run_id=other&path=a",
        "/get-artifac%74?run_id=other&path=a",
        "/api/2.0/mlflow/artifacts%2Flist?run_id=other",
        "/ajax-api/2.0/mlflow/upload%2Dartifact?run_uuid=other&path=a",
    ] {
        assert_eq!(ask(&server, ("GET", target, b""), &[ALICE]).status, 404, "{target}");
    }
    let named = ("GET", "/api/2.0/mlflow/artifacts/list", &br#"{"run_id": "other"}"#[..]);
    assert_eq!(
        ask(&server, named, &[ALICE, "Content-Type: application/json", "Content-Length: 19"]).status,
        400
    );
    assert_eq!(tracking.asked().len(), asked);
    let put = |run: &str, who: &str| {
        let target = format!("/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=new");
        ask(&server, ("POST", &target, b"new"), &[who]).status
    };
    assert_eq!((put("other", ALICE), put("mine", BOB)), (403, 403));
    assert!(!server.root().join("10/new").exists() && !server.root().join("1/new").exists());
}
