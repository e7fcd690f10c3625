//! Names that are no artifacts on stores that keep files in directories.

use crate::{ArtifactPath, Error, ErrorKind, Result};

/// How the names of our temporary files begin, until they are renamed.
pub const TEMPORARY_PREFIX: &str = ".mlflow-artifacts.";

/// Our temporaries, an NFS client's, MLflow's.
const RESERVED: [&str; 3] = [TEMPORARY_PREFIX, ".nfs", ".artifact.uploading."];

/// Whether a file or directory of this name is no artifact: a temporary file, or what an NFS client leaves of a file that was removed
/// while it was open. A store of files does not list it.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|prefix| name.starts_with(prefix))
}

/// Fails with [`ErrorKind::InvalidPath`] if a segment of `path` is [reserved](is_reserved).
pub fn check_reserved(path: &ArtifactPath) -> Result<()> {
    match path.segments().find(|segment| is_reserved(segment)) {
        Some(name) => Err(Error::new(
            ErrorKind::InvalidPath,
            format!("the name {name:?} is reserved for temporary files"),
        )
        .with_help(format!("names must not begin with {}", RESERVED.join(", ")))),
        None => Ok(()),
    }
}
