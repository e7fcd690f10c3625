//! Answers of a server of FTP are read.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mlflow_artifacts_ftp::fuzz::replies(input));
