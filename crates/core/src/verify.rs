//! A stream that proves it is whole.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::{ByteStream, Digest, Error, ErrorKind, Hasher, Result};

/// Passes `stream` on and ends it with an error unless it has exactly `length` bytes
/// ([`ErrorKind::SizeMismatch`]) and, if given, the `digest` ([`ErrorKind::ChecksumMismatch`]).
pub fn verified(stream: ByteStream, length: Option<u64>, digest: Option<Digest>) -> ByteStream {
    let check =
        Check { length, seen: 0, digest, hasher: digest.map(|digest| Hasher::new(digest.algorithm())) };
    stream::try_unfold(Some((stream, check)), async |state| {
        let Some((mut stream, mut check)) = state else { return Ok(None) };
        match stream.try_next().await? {
            Some(chunk) => {
                check.take(&chunk)?;
                Ok(Some((chunk, Some((stream, check)))))
            }
            None => check.finish().map(|()| None),
        }
    })
    .boxed()
}

struct Check {
    length: Option<u64>,
    seen: u64,
    digest: Option<Digest>,
    hasher: Option<Hasher>,
}

impl Check {
    fn take(&mut self, chunk: &Bytes) -> Result<()> {
        self.seen += chunk.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(chunk);
        }
        match self.length {
            Some(length) if self.seen > length => Err(size_mismatch(length, "more")),
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<()> {
        if let Some(length) = self.length.filter(|length| *length != self.seen) {
            return Err(size_mismatch(length, &self.seen.to_string()));
        }
        match (self.digest, self.hasher) {
            (Some(digest), Some(hasher)) => digest.verify(&hasher.finish()),
            _ => Ok(()),
        }
    }
}

fn size_mismatch(expected: u64, actual: &str) -> Error {
    Error::new(ErrorKind::SizeMismatch, format!("expected {expected} bytes, got {actual}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DigestAlgorithm;

    fn run(
        chunks: &[&'static [u8]],
        length: Option<u64>,
        digest: Option<Digest>,
    ) -> Result<Vec<Bytes>, ErrorKind> {
        let chunks: Vec<Result<Bytes>> = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk))).collect();
        let stream = verified(stream::iter(chunks).boxed(), length, digest);
        futures_util::FutureExt::now_or_never(stream.try_collect())
            .unwrap()
            .map_err(|error: Error| error.kind())
    }

    #[test]
    fn short_long_and_wrong_content_end_in_an_error() {
        let digest = Some(Digest::of(DigestAlgorithm::Sha256, b"abc"));
        assert!(run(&[b"a", b"bc"], Some(3), digest).is_ok());
        assert!(run(&[b"a", b"bc"], None, None).is_ok());
        assert_eq!(run(&[b"a", b"b"], Some(3), digest), Err(ErrorKind::SizeMismatch));
        assert_eq!(run(&[b"a", b"bcd"], Some(3), digest), Err(ErrorKind::SizeMismatch));
        assert_eq!(run(&[b"a", b"bd"], Some(3), digest), Err(ErrorKind::ChecksumMismatch));
    }
}
