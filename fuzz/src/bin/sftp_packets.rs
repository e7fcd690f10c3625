//! Packets of an SFTP server are taken apart.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mlflow_artifacts_sftp::fuzz::packets(input));
