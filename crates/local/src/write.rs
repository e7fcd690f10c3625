//! Writing one file: a temporary is filled, checked and put in place.

use std::io::Write as _;

use mlflow_artifacts_core::{ArtifactPath, Error, Hasher, PutOptions, PutOutcome, Result, SourceFile};
use tokio_util::sync::CancellationToken;

use crate::client::{Root, Temporary};
use crate::error::store_error;

/// How many bytes in memory are written between two looks at whether to stop.
const CHUNK: usize = 8 << 20;

/// A file that is being written. Dropping it removes what was written. All its calls block.
pub(crate) struct Write {
    temporary: Temporary,
    hasher: Option<Hasher>,
    options: PutOptions,
}

impl Write {
    pub(crate) fn begin(root: &Root, path: &ArtifactPath, options: PutOptions) -> Result<Self> {
        let hasher = options.digest.map(|digest| Hasher::new(digest.algorithm()));
        Ok(Write { temporary: root.temporary(path)?, hasher, options })
    }

    /// Writes the next bytes; fails when the token or the observer says stop.
    pub(crate) fn bytes(&mut self, bytes: &[u8], token: &CancellationToken) -> Result<()> {
        for piece in bytes.chunks(CHUNK) {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(piece);
            }
            self.temporary.file()?.write_all(piece).map_err(store_error)?;
            check(token)?;
            self.options.advance(piece.len() as u64)?;
        }
        Ok(())
    }

    /// Writes a whole file: the kernel copies it unless its digest is to be checked.
    pub(crate) fn file(&mut self, source: &SourceFile, token: &CancellationToken) -> Result<()> {
        let mut advance = |bytes| check(token).and_then(|()| self.options.advance(bytes));
        source.copy_to(self.temporary.file()?, self.hasher.as_mut(), &mut advance)?;
        Ok(())
    }

    /// Puts the file in place.
    pub(crate) fn finish(self, token: &CancellationToken) -> Result<PutOutcome> {
        let digest = self.hasher.map(Hasher::finish);
        if let (Some(expected), Some(actual)) = (self.options.digest, digest) {
            expected.verify(&actual)?;
        }
        check(token)?;
        let (size, etag) = self.temporary.persist(&self.options.mode)?;
        Ok(PutOutcome { size, etag: Some(etag), digest })
    }
}

/// Fails when the token says stop.
pub(crate) fn check(token: &CancellationToken) -> Result<()> {
    if token.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
}
