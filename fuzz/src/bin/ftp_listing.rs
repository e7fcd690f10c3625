//! A listing of a server of FTP is read.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mlflow_artifacts_ftp::fuzz::listing(input));
