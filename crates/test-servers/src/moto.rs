//! moto: an S3 with IAM and STS beside it, written in Python.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::install::python_environment;
use crate::keys::Keys;
use crate::plain_http::{element, send};
use crate::process::Process;

const REQUIREMENTS: &str = include_str!("../moto-requirements.txt");
/// The documents of a user and a role that may do everything, encoded for a form.
const ALLOW_ALL: &str = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A\
                         %22%2A%22%2C%22Resource%22%3A%22%2A%22%7D%5D%7D";

/// An S3 in memory that checks signatures as IAM would, and an STS on the same port. It knows `If-None-Match: *`, `If-Match`, versions
/// and the smallest size of a part.
///
/// What S3 has and it has not: no checksum, `Content-MD5` or hash of the content is compared.
#[derive(Debug)]
pub struct Moto {
    process: Process,
    keys: Keys,
    role: String,
}

impl Moto {
    /// Starts one that has these buckets, a user whose keys are [`keys`](Moto::keys), and a role. The first use installs moto.
    pub fn start(buckets: &[&str]) -> Self {
        let process = begin(buckets);
        let address = process.address();
        let keys = make_user(address);
        let role = make_role(address);
        // From here on it checks every request.
        send(address, "POST", "/moto-api/reset-auth", "", "0");
        Moto { process, keys, role }
    }

    /// Starts one that has these buckets and checks no request: where it checks, it fails for requests that are signed in their
    /// address.
    pub fn trusting(buckets: &[&str]) -> Self {
        let keys = Keys { id: "any".to_owned(), secret: "canary-any-secret".to_owned() };
        Moto { process: begin(buckets), keys, role: String::new() }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// Its endpoint for S3, where buckets are the first part of the path, and for STS.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The keys of a user that may do everything.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The ARN of a role that the user may assume, and that may do everything.
    pub fn role(&self) -> &str {
        &self.role
    }
}

fn begin(buckets: &[&str]) -> Process {
    let process = Process::start(&program(), |command, port| {
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    });
    for bucket in buckets {
        send(process.address(), "PUT", &format!("/{bucket}"), &unchecked("s3"), "");
    }
    process
}

fn program() -> PathBuf {
    python_environment("moto", REQUIREMENTS).join("bin/moto_server")
}

/// A header that says which service is meant. Its signature is none: nothing is checked yet.
fn unchecked(service: &str) -> String {
    format!(
        "Authorization: AWS4-HMAC-SHA256 Credential=none/20260101/us-east-1/{service}/aws4_request, \
         SignedHeaders=host, Signature=none\r\n"
    )
}

fn iam(address: SocketAddr, form: &str) -> String {
    let headers = unchecked("iam") + "Content-Type: application/x-www-form-urlencoded\r\n";
    send(address, "POST", "/", &headers, &format!("{form}&Version=2010-05-08"))
}

fn make_user(address: SocketAddr) -> Keys {
    iam(address, "Action=CreateUser&UserName=tester");
    iam(address, &format!("Action=PutUserPolicy&UserName=tester&PolicyName=all&PolicyDocument={ALLOW_ALL}"));
    let made = iam(address, "Action=CreateAccessKey&UserName=tester");
    Keys {
        id: element(&made, "AccessKeyId").to_owned(),
        secret: element(&made, "SecretAccessKey").to_owned(),
    }
}

fn make_role(address: SocketAddr) -> String {
    let made =
        iam(address, &format!("Action=CreateRole&RoleName=visitor&AssumeRolePolicyDocument={ALLOW_ALL}"));
    iam(address, &format!("Action=PutRolePolicy&RoleName=visitor&PolicyName=all&PolicyDocument={ALLOW_ALL}"));
    element(&made, "Arn").to_owned()
}
