//! Digests: what proves that bytes arrived as they were sent.

use std::fmt;

use sha2::Digest as _;

use crate::{Error, ErrorKind, Result};

/// How a digest is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DigestAlgorithm {
    /// SHA-256 (FIPS 180-4): 32 bytes.
    Sha256,
}

impl DigestAlgorithm {
    /// The name in lower case without a hyphen: `sha256`.
    pub fn name(self) -> &'static str {
        match self {
            DigestAlgorithm::Sha256 => "sha256",
        }
    }
}

/// The digest of an artifact's whole content.
///
/// ```
/// use mlflow_artifacts_core::{Digest, DigestAlgorithm};
/// let digest = Digest::of(DigestAlgorithm::Sha256, b"");
/// assert_eq!(digest.hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
/// assert_eq!(Digest::parse(DigestAlgorithm::Sha256, &digest.hex())?, digest);
/// # Ok::<(), mlflow_artifacts_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    algorithm: DigestAlgorithm,
    bytes: [u8; 32],
}

impl Digest {
    /// The digest of `content`.
    pub fn of(algorithm: DigestAlgorithm, content: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(content);
        hasher.finish()
    }

    /// Reads a digest from its hexadecimal form, in either case. Fails with [`ErrorKind::InvalidArgument`].
    pub fn parse(algorithm: DigestAlgorithm, hex: &str) -> Result<Self> {
        let mut bytes = [0; 32];
        let well_formed = hex.len() == 64
            && hex.bytes().all(|digit| digit.is_ascii_hexdigit())
            && bytes.iter_mut().enumerate().all(|(index, byte)| {
                u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).map(|value| *byte = value).is_ok()
            });
        if !well_formed {
            let name = algorithm.name();
            return Err(Error::new(ErrorKind::InvalidArgument, format!("not a {name} digest: {hex:?}"))
                .with_help("give 64 hexadecimal digits"));
        }
        Ok(Digest { algorithm, bytes })
    }

    /// How it was computed.
    pub fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// The digest in lower-case hexadecimal.
    pub fn hex(&self) -> String {
        self.bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
            text
        })
    }

    /// Fails with [`ErrorKind::ChecksumMismatch`] unless `actual` is this digest.
    pub fn verify(&self, actual: &Digest) -> Result<()> {
        if self == actual {
            return Ok(());
        }
        Err(Error::new(ErrorKind::ChecksumMismatch, format!("expected {self}, got {actual}")))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Computes a digest piece by piece.
#[derive(Clone, Debug)]
pub struct Hasher {
    algorithm: DigestAlgorithm,
    state: sha2::Sha256,
}

impl Hasher {
    /// A hasher that has seen nothing yet.
    pub fn new(algorithm: DigestAlgorithm) -> Self {
        Hasher { algorithm, state: sha2::Sha256::new() }
    }

    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
    }

    /// The digest of everything taken in.
    pub fn finish(self) -> Digest {
        Digest { algorithm: self.algorithm, bytes: self.state.finalize().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // FIPS 180-4, example 1

    #[test]
    fn pieces_and_whole_agree() {
        let mut hasher = Hasher::new(DigestAlgorithm::Sha256);
        hasher.update(b"a");
        hasher.update(b"bc");
        assert_eq!(hasher.finish().hex(), ABC);
        assert_eq!(Digest::of(DigestAlgorithm::Sha256, b"abc").hex(), ABC);
        assert_eq!(Digest::parse(DigestAlgorithm::Sha256, &ABC.to_uppercase()).unwrap().hex(), ABC);
    }

    #[test]
    fn malformed_digests_are_refused() {
        for hex in
            ["", "ab", &"g".repeat(64), &"é".repeat(32), &"a".repeat(63), &"a".repeat(65), &"+1".repeat(32)]
        {
            assert!(Digest::parse(DigestAlgorithm::Sha256, hex).is_err(), "{hex:?}");
        }
    }
}
