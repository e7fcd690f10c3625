//! The conformance suite over the Artifactory store, against the emulator: editions, users and ways of delivery.

mod common;

use std::sync::Arc;
use std::time::Duration;

use artifactory_emulator::{Builder, Edition, Emulator, Permissions, Redirect, RepositoryKind};
use mlflow_artifacts_core::{Capabilities, StoreConfig};
use mlflow_artifacts_testkit::{Deviation, Place, StoreUnderTest};

/// Names that Artifactory cannot hold: `facts/artifactory.md` §2.3.
const NAMES: &[Deviation] = &[
    refused("names::space_first", "a space beside a slash"),
    refused("names::space_last", "a space beside a slash"),
    refused("names::only_a_space", "a space beside a slash"),
    refused("names::spaces_are_not_trimmed", "a space beside a slash"),
    refused("names::question_mark", "? anywhere"),
    refused("names::asterisk", "* anywhere"),
    refused("names::pipe_and_caret", "| anywhere"),
    refused("names::double_quote", "\" anywhere"),
    refused("names::backslash", "\\ anywhere"),
    refused("names::backslash_dots", "\\ anywhere"),
    refused("names::an_encoded_name_is_another_name", "\\ anywhere"),
    refused("names::backup_looking", "*~ is among the default global excludes"),
    refused("names::tilde", "*~ is among the default global excludes"),
];

const fn refused(case: &'static str, reason: &'static str) -> Deviation {
    Deviation { case, reason }
}

const CANARY: &str = "canary-token-5f1c";

fn main() {
    // With and without checksums in the redirect itself: without, they are asked for.
    let redirect = |checksum_headers| {
        Some(Redirect { from_bytes: 1, valid_for: Duration::from_secs(30), checksum_headers })
    };
    let pro = || Emulator::builder().edition(Edition::Pro).token(CANARY);
    let oss = || Emulator::builder().edition(Edition::Oss).token(CANARY);
    mlflow_artifacts_testkit::main([
        subject("pro", pro, true),
        subject("oss", oss, true),
        subject("pro-redirect", move || pro().redirect(redirect(true)), true),
        subject("oss-redirect", move || oss().redirect(redirect(false)), true),
        // Neither the list nor a query: the walk.
        subject("anonymous", || Emulator::builder().anonymous(Permissions::ALL), false),
    ]);
}

fn subject(
    name: &str,
    builder: impl Fn() -> Builder + Send + Sync + 'static,
    with_token: bool,
) -> StoreUnderTest {
    let claims = Capabilities::DIRECTORIES
        | Capabilities::RANGE
        | Capabilities::IF_MATCH
        | Capabilities::COPY
        | Capabilities::SHA256
        | Capabilities::PROPERTIES;
    let builder = Arc::new(builder);
    let subject = StoreUnderTest::new(name, claims, async move || {
        let builder = builder().repository("generic-local", RepositoryKind::Local);
        let emulator = Arc::new(builder.start().await.expect("the emulator starts"));
        let config = if with_token { StoreConfig::new().with("token", CANARY) } else { StoreConfig::new() };
        let (server, seen) = (Arc::clone(&emulator), Arc::clone(&emulator));
        let open = async move || common::open(&server, "mlflow/root", &config);
        let root = "generic-local/mlflow/root/";
        Place::new(open)
            .inspected_by(async move || {
                let below =
                    |file: String| file.strip_prefix(root).filter(|name| !name.is_empty()).map(str::to_owned);
                seen.files().into_iter().filter_map(below).collect()
            })
            .keeping(emulator)
    });
    // Every file is a request or two on one connection each; a thousand say as much as ten.
    subject.deviations(NAMES).canary(CANARY).crowd(1_000)
}
