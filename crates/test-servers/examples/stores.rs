//! Servers of every kind that stores are opened on, for the tests of the bindings.
//!
//! Prints the stores as one line of JSON, a list with the URI of each and the environment variables and options that open it, and
//! ends with its standard input.

use std::io::Read as _;

use test_servers::{Azurite, FtpSecurity, OpenSsh, Radosgw, Vsftpd};

const BUCKET: &str = "artifacts";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let azure = Azurite::start(false, &[BUCKET]);
    let ftp = Vsftpd::start(FtpSecurity::Plain, &[]);
    let s3 = Radosgw::start(&[BUCKET]);
    let ssh = OpenSsh::start();
    let account = Azurite::ACCOUNT;
    let connection_string = format!(
        "DefaultEndpointsProtocol=http;AccountName={account};AccountKey={};BlobEndpoint={}/{account};",
        azure.key(),
        azure.url()
    );
    // The options are what there is no variable for.
    let stores = serde_json::json!([
        {
            "name": "azure",
            "uri": format!("wasbs://{BUCKET}@{account}.blob.core.windows.net"),
            "environment": { "AZURE_STORAGE_CONNECTION_STRING": connection_string },
            "options": {},
        },
        {
            "name": "ftp",
            "uri": format!("ftp://{}:{}@{}{}", ftp.user(), ftp.password(), ftp.address(), ftp.root()),
            "environment": {},
            "options": {},
        },
        {
            "name": "s3",
            "uri": format!("s3://{BUCKET}"),
            "environment": {
                "MLFLOW_S3_ENDPOINT_URL": s3.url(),
                "AWS_ACCESS_KEY_ID": s3.keys().id,
                "AWS_SECRET_ACCESS_KEY": s3.keys().secret,
            },
            // It refuses every If-Match of a PUT.
            "options": { "conditional_put": "false" },
        },
        {
            "name": "sftp",
            "uri": format!("sftp://{}{}", ssh.address(), ssh.root().display()),
            "environment": {
                "MLFLOW_ARTIFACTS_SFTP_USER": ssh.user(),
                "MLFLOW_ARTIFACTS_SFTP_KEY_FILE": ssh.key("ed25519"),
                "MLFLOW_ARTIFACTS_SFTP_KNOWN_HOSTS": ssh.known_hosts(),
                "MLFLOW_ARTIFACTS_SFTP_SSH_CONFIG": "none",
                "MLFLOW_ARTIFACTS_SFTP_AGENT": "none",
            },
            "options": {},
        },
    ]);
    println!("{stores}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
