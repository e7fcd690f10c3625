//! An SSH configuration is read for a host.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mlflow_artifacts_sftp::fuzz::ssh_config(input));
