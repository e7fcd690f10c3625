//! A file of known hosts is read for a host, and a key looked up.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mlflow_artifacts_sftp::fuzz::known_hosts(input));
