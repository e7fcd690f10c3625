//! The conformance suite over the stores of S3, against two servers of different origin.

use std::sync::atomic::{AtomicU32, Ordering};

use mlflow_artifacts_core::{Capabilities, Registry, SharedStore, StoreConfig};
use mlflow_artifacts_testkit::{Deviation, Place, StoreUnderTest};
use test_servers::{Keys, Moto, Radosgw};

const BUCKET: &str = "artifacts";

/// What S3 cannot do anywhere.
const COPY: Deviation = Deviation {
    case: "copy::only_the_current_etag_is_replaced",
    reason: "a copy compares its source; not every service compares its target",
};

/// moto 5.2.5.
const MOTO: &[Deviation] = &[
    COPY,
    gone("parts::an_upload_is_aborted_by_a_second_handle"),
    gone("parts::a_completed_upload_is_over"),
    gone("parts::wrong_receipts_are_refused_and_leave_nothing"),
    gone("parts::aborting_leaves_nothing"),
    gone("parts::aborting_leaves_no_new_directory"),
    gone("parts::an_upload_is_taken_up_by_its_token"),
    gone("parts::an_upload_is_taken_up_by_a_second_handle"),
    gone("parts::a_late_part_does_not_touch_the_artifact"),
];
const MOTO_RACES: &[Deviation] =
    &[Deviation { case: "write::of_two_creators_one_wins", reason: "it looks first and writes then" }];

const fn gone(case: &'static str) -> Deviation {
    Deviation { case, reason: "what is asked of an upload that is gone is answered with 500" }
}

/// radosgw 16.2.
const RADOSGW: &[Deviation] = &[
    COPY,
    quotes("write::the_current_etag_is_replaced"),
    quotes("write::of_two_replacers_one_wins"),
    Deviation {
        case: "parts::a_completed_upload_is_over",
        reason: "completing once more is answered as the first time, as AWS does for a while",
    },
];

const fn quotes(case: &'static str) -> Deviation {
    Deviation {
        case,
        reason: "it refuses every If-Match of a PUT, for it compares with an ETag without quotes",
    }
}

fn main() {
    let (moto, radosgw) = (Moto::start(&[BUCKET]), Radosgw::start(&[BUCKET]));
    let subjects = [
        // Both answer 500 to some of those who write one key at once. moto also where it should refuse, which asking again does not mend.
        subject("moto", moto.url(), moto.keys(), "4", MOTO).races(MOTO_RACES),
        subject("radosgw", radosgw.url(), radosgw.keys(), "5", RADOSGW),
    ];
    mlflow_artifacts_testkit::main(subjects);
}

fn subject(
    name: &str,
    url: String,
    keys: &Keys,
    retries: &str,
    deviations: &'static [Deviation],
) -> StoreUnderTest {
    let claims = Capabilities::RANGE
        | Capabilities::IF_MATCH
        | Capabilities::COPY
        | Capabilities::CREATE_NEW
        | Capabilities::REPLACE_IF_MATCH
        | Capabilities::MULTIPART
        | Capabilities::RESUME_UPLOAD
        | Capabilities::PRESIGN;
    let places = AtomicU32::new(0);
    let config = StoreConfig::new()
        .with("endpoint", url)
        .with("retries", retries)
        .with("access_key_id", &keys.id)
        .with("secret_access_key", &keys.secret);
    let secret = keys.secret.clone();
    let subject = StoreUnderTest::new(name, claims, async move || {
        // Each case has a prefix of its own: what one leaves no other sees.
        let uri = format!("s3://{BUCKET}/run/{}", places.fetch_add(1, Ordering::Relaxed));
        let config = config.clone();
        Place::new(async move || open(&uri, &config))
    });
    subject.deviations(deviations).canary(secret).crowd(1_000)
}

fn open(uri: &str, config: &StoreConfig) -> SharedStore {
    let mut registry = Registry::new();
    mlflow_artifacts_s3::register(&mut registry).expect("a new registry has no schemes");
    registry.open(uri, config).expect("the store opens")
}
