//! Where credentials come from, as boto3 finds them. What AWS's own crate looks for it looks for in the environment of the process:
//! each case runs this program once more, in an environment of its own.

#![allow(clippy::unwrap_used, reason = "no libtest: the lint does not see that all of it is test code")]

mod common;

use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use libtest_mimic::{Arguments, Failed, Trial};
use mlflow_artifacts_core::{ArtifactStoreExt as _, EnvSource, PutBody, PutOptions, Result, StoreConfig};
use tempfile::TempDir;
use test_servers::{Effect, Fault, Recorded, Recorder, S3s};

use common::{BUCKET, MOTO, header, open_with, path, refusal};

/// That this program is the client, not the test: the URI of its store.
const CLIENT: &str = "MLFLOW_ARTIFACTS_TEST_CLIENT";

fn main() -> ExitCode {
    if let Ok(uri) = std::env::var(CLIENT) {
        return match client(&uri) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                println!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let cases: [(&str, fn()); 11] = [
        ("the_environment_comes_first", the_environment_comes_first),
        ("a_profile_is_chosen", a_profile_is_chosen),
        ("a_role_of_a_profile_is_assumed", a_role_of_a_profile_is_assumed),
        ("a_process_is_asked", a_process_is_asked),
        ("a_web_identity_is_exchanged", a_web_identity_is_exchanged),
        ("a_sign_in_is_used", a_sign_in_is_used),
        ("a_container_is_asked", a_container_is_asked),
        ("a_pod_is_asked_with_its_token", a_pod_is_asked_with_its_token),
        ("an_instance_is_asked", an_instance_is_asked),
        ("expired_ones_are_renewed_within_a_transfer", expired_ones_are_renewed_within_a_transfer),
        ("that_there_are_none_is_said", that_there_are_none_is_said),
    ];
    let trials = cases.map(|(name, case)| {
        Trial::test(name, move || {
            case();
            Ok::<_, Failed>(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

/// Puts a file in parts and reads it back, with the options of the process's environment.
#[tokio::main]
async fn client(uri: &str) -> Result<()> {
    let store = open_with(uri, &StoreConfig::new().with_env(EnvSource::process()))?;
    let file = path("file");
    store.put(&file, PutBody::Bytes(vec![7; 17 << 20].into()), PutOptions::default()).await?;
    assert_eq!(store.get_bytes(&file).await?.len(), 17 << 20);
    Ok(())
}

/// A service with one pair of keys, which takes any token for them.
static S3S: LazyLock<S3s> = LazyLock::new(|| S3s::start(&[BUCKET]));

/// An environment with a service of S3 behind a recorder, and a home directory.
struct Setting {
    storage: Recorder,
    home: TempDir,
    variables: Vec<(String, String)>,
}

impl Setting {
    fn new() -> Self {
        Self::at(S3S.address())
    }

    fn at(server: SocketAddr) -> Self {
        let storage = Recorder::before(server);
        let home = tempfile::tempdir().unwrap();
        let mut setting = Setting { storage, home, variables: Vec::new() };
        setting.set("HOME", setting.home.path().to_str().unwrap().to_owned());
        setting.set("MLFLOW_S3_ENDPOINT_URL", setting.storage.url());
        // No test asks the machine it runs on.
        setting.set("AWS_EC2_METADATA_DISABLED", "true");
        setting
    }

    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.retain(|(there, _)| there != name);
        self.variables.push((name.to_owned(), value.into()));
    }

    /// A file below the home directory.
    fn write(&self, name: &str, content: &str) -> String {
        let file = self.home.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, content).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// What the client does in this environment; what it says if it fails.
    fn run(&self) -> Result<(), String> {
        let output = Command::new(std::env::current_exe().unwrap())
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env(CLIENT, format!("s3://{BUCKET}/credentials"))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(said) }
    }

    /// That it works, and who signed.
    #[track_caller]
    fn signs_as(&self, key: &str) {
        self.run().unwrap();
        let requests = self.storage.requests();
        assert!(requests.len() > 4, "{requests:?}");
        for request in requests {
            let authorization = header(&request, "authorization");
            assert!(authorization.contains(&format!("Credential={key}/")), "{authorization}");
        }
    }
}

fn profile(name: &str, key: &str, secret: &str) -> String {
    format!("[{name}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
}

/// A service that hands out the keys.
fn service() -> Recorder {
    let recorder = Recorder::before("127.0.0.1:9".parse().unwrap());
    recorder.inject(Fault { times: usize::MAX, ..Fault::next(keys()) });
    recorder
}

/// The keys, as containers and instances hand them out.
fn keys() -> Effect {
    let keys = S3S.keys();
    let end = after(Duration::from_hours(1));
    let body = format!(
        r#"{{"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "{}", "SecretAccessKey": "{}", "Token": "token",
            "Expiration": "{end}", "LastUpdated": "2026-01-01T00:00:00Z"}}"#,
        keys.id, keys.secret
    );
    Effect::Answer { status: 200, headers: vec![("content-type", "application/json".to_owned())], body }
}

/// The time in so long, as AWS writes it.
fn after(time: Duration) -> String {
    format!("{:.0}", jiff::Timestamp::try_from(SystemTime::now() + time).unwrap())
}

fn the_environment_comes_first() {
    let mut setting = Setting::new();
    setting.write(".aws/credentials", &profile("default", "AKIAOTHER", "other"));
    setting.set("AWS_ACCESS_KEY_ID", &S3S.keys().id);
    setting.set("AWS_SECRET_ACCESS_KEY", &S3S.keys().secret);
    setting.signs_as(&S3S.keys().id);
}

fn a_profile_is_chosen() {
    let keys = S3S.keys();
    let all = profile("default", "AKIAOTHER", "other") + &profile("team", &keys.id, &keys.secret);
    for variable in ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"] {
        let mut setting = Setting::new();
        let file = setting.write("elsewhere/credentials", &all);
        setting.set("AWS_SHARED_CREDENTIALS_FILE", file);
        assert!(setting.run().unwrap_err().contains("AWS_ACCESS_KEY_ID"));
        setting.storage.forget();
        setting.set(variable, "team");
        setting.signs_as(&keys.id);
    }
    let mut setting = Setting::new();
    setting.write(".aws/credentials", &all);
    setting.set("AWS_PROFILE", "nobody");
    let said = setting.run().unwrap_err();
    assert!(said.contains("nobody") && said.contains("AWS_PROFILE"), "{said}");
}

fn a_role_of_a_profile_is_assumed() {
    let mut setting = Setting::at(MOTO.address());
    let keys = MOTO.keys();
    setting.write(".aws/credentials", &profile("base", &keys.id, &keys.secret));
    let role = MOTO.role();
    let config = format!("[profile visitor]\nrole_arn = {role}\nsource_profile = base\nregion = us-east-1\n");
    let file = setting.write("config", &config);
    setting.set("AWS_CONFIG_FILE", file);
    setting.set("AWS_PROFILE", "visitor");
    let service = Recorder::before(MOTO.address());
    setting.set("AWS_ENDPOINT_URL_STS", service.url());
    setting.run().unwrap();
    assert_eq!(service.requests().len(), 1);
    for request in setting.storage.requests() {
        assert_ne!(header(&request, "x-amz-security-token"), "");
        assert!(header(&request, "authorization").contains("Credential=ASIA"), "{request:?}");
    }
}

fn a_web_identity_is_exchanged() {
    let mut setting = Setting::new();
    let keys = S3S.keys();
    let service = Recorder::before("127.0.0.1:9".parse().unwrap());
    let body = format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{}</AccessKeyId>\
         <SecretAccessKey>{}</SecretAccessKey><SessionToken>token</SessionToken><Expiration>{}</Expiration></Credentials>\
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        keys.id,
        keys.secret,
        after(Duration::from_hours(1))
    );
    service.inject(Fault::next(Effect::Answer { status: 200, headers: Vec::new(), body }));
    let token = setting.write("token", "the identity");
    setting.set("AWS_WEB_IDENTITY_TOKEN_FILE", token);
    setting.set("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/visitor");
    setting.set("AWS_ROLE_SESSION_NAME", "test");
    setting.set("AWS_REGION", "us-east-1");
    setting.set("AWS_ENDPOINT_URL_STS", service.url());
    setting.signs_as(&keys.id);
    asked_once(&service.requests(), "/", "");
}

fn a_process_is_asked() {
    let mut setting = Setting::new();
    let keys = S3S.keys();
    let told =
        format!(r#"{{"Version": 1, "AccessKeyId": "{}", "SecretAccessKey": "{}"}}"#, keys.id, keys.secret);
    let told = setting.write("told.json", &told);
    setting.write(".aws/config", &format!("[default]\ncredential_process = /bin/cat {told}\n"));
    setting.set("AWS_REGION", "us-east-1");
    setting.signs_as(&keys.id);
}

/// What `aws sso login` has left.
fn a_sign_in_is_used() {
    const SHA1_OF_TEAM: &str = "d25187dc137f35c88bc80ec8c3ffbdb17b5eb873";
    let mut setting = Setting::new();
    let config = "[default]\nsso_session = team\nsso_account_id = 123456789012\nsso_role_name = visitor\n\
                  [sso-session team]\nsso_region = us-east-1\nsso_start_url = https://team.example/start\n";
    setting.write(".aws/config", config);
    let token = format!(
        r#"{{"accessToken": "signed-in", "expiresAt": "{}", "region": "us-east-1", "startUrl": "https://team.example/start"}}"#,
        after(Duration::from_hours(1))
    );
    setting.write(&format!(".aws/sso/cache/{SHA1_OF_TEAM}.json"), &token);
    let portal = Recorder::before("127.0.0.1:9".parse().unwrap());
    let keys = S3S.keys();
    let end = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_hours(1);
    let body = format!(
        r#"{{"roleCredentials": {{"accessKeyId": "{}", "secretAccessKey": "{}", "sessionToken": "token", "expiration": {}}}}}"#,
        keys.id,
        keys.secret,
        end.as_millis()
    );
    portal.inject(Fault::next(Effect::Answer { status: 200, headers: Vec::new(), body }));
    setting.set("AWS_ENDPOINT_URL_SSO", portal.url());
    setting.set("AWS_REGION", "us-east-1");
    setting.signs_as(&keys.id);
    let asked = portal.requests();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].target, "/federation/credentials?role_name=visitor&account_id=123456789012");
    assert_eq!(header(&asked[0], "x-amz-sso_bearer_token"), "signed-in");
}

fn a_container_is_asked() {
    let mut setting = Setting::new();
    let service = service();
    setting.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/role", service.url()));
    setting.set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic of-the-container");
    setting.signs_as(&S3S.keys().id);
    asked_once(&service.requests(), "/role", "Basic of-the-container");
}

fn a_pod_is_asked_with_its_token() {
    let mut setting = Setting::new();
    let service = service();
    let token = setting.write("pod-token", "of-the-pod");
    setting.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/v1/credentials", service.url()));
    setting.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token);
    setting.signs_as(&S3S.keys().id);
    asked_once(&service.requests(), "/v1/credentials", "of-the-pod");
}

#[track_caller]
fn asked_once(requests: &[Recorded], target: &str, authorization: &str) {
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0].target, target);
    assert_eq!(header(&requests[0], "authorization"), authorization);
}

fn an_instance_is_asked() {
    let mut setting = Setting::new();
    let metadata = Recorder::before("127.0.0.1:9".parse().unwrap());
    let told = |target_contains, method, effect| Fault {
        method: Some(method),
        target_contains,
        times: usize::MAX,
        ..Fault::next(effect)
    };
    let text = |body: &str, headers| Effect::Answer { status: 200, headers, body: body.to_owned() };
    let lifetime = vec![("x-aws-ec2-metadata-token-ttl-seconds", "21600".to_owned())];
    metadata.inject(told("/latest/api/token", "PUT", text("session", lifetime)));
    metadata.inject(told("security-credentials/visitor", "GET", keys()));
    metadata.inject(told("security-credentials", "GET", text("visitor", Vec::new())));
    setting.set("AWS_EC2_METADATA_DISABLED", "false");
    setting.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url());
    setting.signs_as(&S3S.keys().id);
    let asked = metadata.requests();
    assert_eq!(header(asked.last().unwrap(), "x-aws-ec2-metadata-token"), "session", "{asked:?}");
}

fn expired_ones_are_renewed_within_a_transfer() {
    let mut setting = Setting::new();
    let service = service();
    setting.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/role", service.url()));
    setting.storage.inject(Fault {
        method: Some("PUT"),
        target_contains: "partNumber=2&",
        ..Fault::next(refusal(400, "ExpiredToken", Vec::new()))
    });
    setting.signs_as(&S3S.keys().id);
    assert_eq!(setting.storage.waiting_faults(), []);
    assert_eq!(service.requests().len(), 2);
}

fn that_there_are_none_is_said() {
    let setting = Setting::new();
    let said = setting.run().unwrap_err();
    for variable in ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION=unsigned"]
    {
        assert!(said.contains(variable), "{said}");
    }
    assert_eq!(setting.storage.requests().len(), 0);
}
