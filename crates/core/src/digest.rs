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
    /// SHA-1 (FIPS 180-4): 20 bytes. Finds what was damaged on its way, but not what was forged: only where a store keeps
    /// nothing better.
    Sha1,
}

impl DigestAlgorithm {
    /// The name in lower case without a hyphen: `sha256`.
    pub fn name(self) -> &'static str {
        match self {
            DigestAlgorithm::Sha256 => "sha256",
            DigestAlgorithm::Sha1 => "sha1",
        }
    }

    /// Bytes of a digest.
    fn length(self) -> usize {
        match self {
            DigestAlgorithm::Sha256 => 32,
            DigestAlgorithm::Sha1 => 20,
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
    /// As many as the algorithm gives, then zeros.
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
        let digits = 2 * algorithm.length();
        let well_formed = hex.len() == digits
            && hex.bytes().all(|digit| digit.is_ascii_hexdigit())
            && bytes[..algorithm.length()].iter_mut().enumerate().all(|(index, byte)| {
                u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).map(|value| *byte = value).is_ok()
            });
        if !well_formed {
            let name = algorithm.name();
            return Err(Error::new(ErrorKind::InvalidArgument, format!("not a {name} digest: {hex:?}"))
                .with_help(format!("give {digits} hexadecimal digits")));
        }
        Ok(Digest { algorithm, bytes })
    }

    /// How it was computed.
    pub fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// The digest in lower-case hexadecimal.
    pub fn hex(&self) -> String {
        self.bytes[..self.algorithm.length()].iter().fold(String::with_capacity(64), |mut text, byte| {
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
pub struct Hasher(State);

#[derive(Clone, Debug)]
enum State {
    Sha256(sha2::Sha256),
    Sha1(sha1::Sha1),
}

impl Hasher {
    /// A hasher that has seen nothing yet.
    pub fn new(algorithm: DigestAlgorithm) -> Self {
        Hasher(match algorithm {
            DigestAlgorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            DigestAlgorithm::Sha1 => State::Sha1(sha1::Sha1::new()),
        })
    }

    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha1(state) => state.update(bytes),
        }
    }

    /// The digest of everything taken in.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => {
                Digest { algorithm: DigestAlgorithm::Sha256, bytes: state.finalize().into() }
            }
            State::Sha1(state) => {
                let mut bytes = [0; 32];
                bytes[..20].copy_from_slice(&state.finalize());
                Digest { algorithm: DigestAlgorithm::Sha1, bytes }
            }
        }
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
    fn sha1_has_twenty_bytes() {
        let digest = Digest::of(DigestAlgorithm::Sha1, b"abc");
        assert_eq!(digest.to_string(), "sha1:a9993e364706816aba3e25717850c26c9cd0d89d"); // FIPS 180-4, example 1
        assert_eq!(Digest::parse(DigestAlgorithm::Sha1, &digest.hex()).unwrap(), digest);
        assert!(Digest::parse(DigestAlgorithm::Sha1, ABC).is_err());
        assert!(Digest::of(DigestAlgorithm::Sha256, b"abc").verify(&digest).is_err());
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
