//! The conformance suite over FTP, against servers of different origin.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mlflow_artifacts_core::{Capabilities, Registry, SharedStore, StoreConfig};
use mlflow_artifacts_testkit::{Deviation, Place, StoreUnderTest};
use test_servers::{FtpHabit, FtpSecurity, FtpServer, Proftpd, PureFtpd, Pyftpdlib, Vsftpd};

const CLAIMS: Capabilities = Capabilities::DIRECTORIES.union(Capabilities::RANGE);

const NO_ASTERISK: &[Deviation] = &[Deviation {
    case: "names::asterisk",
    reason: "ProFTPD makes no directory with an asterisk in its name (550 Invalid directory name)",
}];

const NOT_AT_ONCE: &[Deviation] = &[
    Deviation { case: "concurrency::a_reader_sees_old_or_new_and_never_a_mix", reason: GONE_FOR_A_MOMENT },
    Deviation { case: "concurrency::a_parent_may_come_and_go", reason: GONE_FOR_A_MOMENT },
];
const GONE_FOR_A_MOMENT: &str = "ProFTPD replaces no file unless AllowOverwrite is on: it is deleted, and for a moment nothing stands there";

const NAMES_OF_PURE_FTPD: &[Deviation] = &[
    Deviation { case: "names::an_encoded_name_is_another_name", reason: PROHIBITED },
    Deviation { case: "names::backslash", reason: PROHIBITED },
    Deviation { case: "names::backslash_dots", reason: PROHIBITED },
    Deviation { case: "names::spaces_are_not_trimmed", reason: TRIMMED },
    Deviation { case: "names::space_last", reason: TRIMMED },
    Deviation { case: "names::only_a_space", reason: TRIMMED },
];
const PROHIBITED: &str = "Pure-FTPd prohibits backslashes in names (553 Prohibited file name)";
const TRIMMED: &str = "Pure-FTPd cuts the spaces at the end of a command off";

const NAMES_OF_DOS: &[Deviation] = &[
    Deviation { case: "names::space_first", reason: PADDED },
    Deviation { case: "names::only_a_space", reason: PADDED },
];
const PADDED: &str =
    "DOS puts spaces before the names of directories, which nobody can tell from those of the name";

fn main() {
    mlflow_artifacts_testkit::main([
        subject("proftpd", Proftpd::start(FtpSecurity::Plain, Proftpd::CAUTIOUS))
            .deviations(NO_ASTERISK)
            .races(NOT_AT_ONCE),
        subject("proftpd-tls", Proftpd::start(FtpSecurity::Explicit, &[])).deviations(NO_ASTERISK),
        subject("vsftpd", Vsftpd::start(FtpSecurity::Plain, &[])),
        subject("vsftpd-implicit-tls", Vsftpd::start(FtpSecurity::Implicit, &[])),
        subject("pure-ftpd", PureFtpd::start(FtpSecurity::Plain)).deviations(NAMES_OF_PURE_FTPD),
        subject("pyftpdlib", Pyftpdlib::start(FtpHabit::Modern)),
        subject("pyftpdlib-old", Pyftpdlib::start(FtpHabit::Old)),
        subject("pyftpdlib-dos", Pyftpdlib::start(FtpHabit::Dos)).deviations(NAMES_OF_DOS),
    ]);
}

fn subject(name: &str, server: FtpServer) -> StoreUnderTest {
    let (places, password) = (AtomicU32::new(0), server.password().to_owned());
    let server = Arc::new(server);
    let subject = StoreUnderTest::new(name, CLAIMS, async move || {
        // Each case has a directory of its own: what one leaves no other sees.
        let directory = format!("run/{}", places.fetch_add(1, Ordering::Relaxed));
        let (opened, files) = (Arc::clone(&server), server.files().join(&directory));
        let open = async move || open(&opened, &directory);
        Place::new(open).inspected_by(async move || everything_below(&files))
    });
    // Every file is a connection for its data.
    subject.canary(password).crowd(500)
}

fn open(server: &FtpServer, directory: &str) -> SharedStore {
    let mut registry = Registry::new();
    mlflow_artifacts_ftp::register(&mut registry).expect("the schemes are free");
    let config = StoreConfig::new()
        .with("user", server.user())
        .with("password", server.password())
        .with("ca_bundle", server.bundle().display().to_string());
    registry.open(&server.uri_of(directory), &config).expect("the options are fine")
}

/// Every name below `root`, hidden ones included.
fn everything_below(root: &Path) -> Vec<String> {
    let below = |path: PathBuf| path.strip_prefix(root).ok()?.to_str().map(str::to_owned);
    let entries = walkdir::WalkDir::new(root).min_depth(1).into_iter().filter_map(Result::ok);
    entries.filter_map(|entry| below(entry.into_path())).collect()
}
