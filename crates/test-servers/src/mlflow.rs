//! MLflow's own server, which serves artifacts and nothing else, or everything else.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::install::python_environment;
use crate::keys::Keys;
use crate::plain_http::send;
use crate::process::Process;

const REQUIREMENTS: &str = include_str!("../mlflow-requirements.txt");

/// `mlflow server` with one worker: of artifacts alone, over files of this machine or over an S3, or without them.
#[derive(Debug)]
pub struct Mlflow {
    process: Process,
    /// Its database, and its artifacts where it keeps them itself; gone with it.
    directory: TempDir,
}

impl Mlflow {
    /// Starts one that keeps artifacts as files. The first use installs MLflow.
    pub fn start() -> Self {
        Self::over_files(&[])
    }

    /// The same as it was before it learned to stream: behind gunicorn, every request by its older handlers.
    pub fn behind_gunicorn() -> Self {
        Self::over_files(&["--gunicorn-opts", "--worker-class gthread --threads 8 --timeout 300"])
    }

    fn over_files(arguments: &[&str]) -> Self {
        let directory = directory();
        let destination = format!("file://{}", directory.path().join("artifacts").display());
        Self::artifacts_only(directory, &destination, arguments, &[])
    }

    /// Starts one that keeps artifacts in a bucket at this endpoint of S3, and lets clients move large files to and from it
    /// directly.
    pub fn over_s3(endpoint: &str, keys: &Keys, bucket: &str) -> Self {
        let variables = [
            ("MLFLOW_S3_ENDPOINT_URL", endpoint),
            ("AWS_ACCESS_KEY_ID", &keys.id),
            ("AWS_SECRET_ACCESS_KEY", &keys.secret),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true"),
            ("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "true"),
        ];
        Self::artifacts_only(directory(), &format!("s3://{bucket}/artifacts"), &[], &variables)
    }

    /// Starts one that tracks, and touches no artifacts: clients find those at `root`.
    pub fn tracking(root: &str) -> Self {
        let directory = directory();
        let database = format!("sqlite:///{}", directory.path().join("mlflow.db").display());
        let arguments =
            ["--no-serve-artifacts", "--default-artifact-root", root, "--backend-store-uri", &database];
        Self::start_in(directory, &arguments, &[])
    }

    fn artifacts_only(
        directory: TempDir,
        destination: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let only = ["--artifacts-only", "--artifacts-destination", destination];
        Self::start_in(directory, &[&only, arguments].concat(), variables)
    }

    fn start_in(directory: TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let program = python_environment("mlflow", REQUIREMENTS).join("bin/mlflow");
        let process = Process::start(&program, |command: &mut Command, port| {
            command
                .args(["server", "--workers", "1", "--host", "127.0.0.1", "--port", &port.to_string()])
                .args(arguments)
                // Where it makes a database, and looks for credentials.
                .current_dir(directory.path())
                .env("HOME", directory.path())
                .env("MLFLOW_DISABLE_TELEMETRY", "true")
                .env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
                .envs(variables.iter().copied());
        });
        // It makes its database for the first of these answers, which takes seconds.
        send(process.address(), "GET", "/api/3.0/mlflow/server-info", "", "");
        Mlflow { process, directory }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// Its address as a tracking URI.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Where it keeps artifacts, if it keeps them as files.
    pub fn files(&self) -> PathBuf {
        self.directory.path().join("artifacts")
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for MLflow: {error}"))
}
