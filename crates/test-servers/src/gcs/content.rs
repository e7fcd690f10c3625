//! Digests of content, and the ranges of it that are asked for.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::HeaderMap;
use md5::{Digest as _, Md5};

use crate::gcs::refusal::Refusal;

pub(crate) fn md5(content: &[u8]) -> [u8; 16] {
    Md5::digest(content).into()
}

/// As an `ETag` has it, quotes included.
pub(crate) fn quoted_hex(digest: [u8; 16]) -> String {
    format!("\"{:032x}\"", u128::from_be_bytes(digest))
}

pub(crate) fn crc32c_base64(content: &[u8]) -> String {
    STANDARD.encode(crc32c::crc32c(content).to_be_bytes())
}

pub(crate) fn md5_base64(content: &[u8]) -> String {
    STANDARD.encode(md5(content))
}

/// Compares content with the digests that its request declares.
pub(crate) fn check_digests(headers: &HeaderMap, content: &Bytes) -> Result<(), Refusal> {
    let of_md5 =
        headers.get_all("content-md5").iter().map(|value| ("md5", value.to_str().unwrap_or_default()));
    let lists = headers.get_all("x-goog-hash").iter();
    let of_list = lists
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .filter_map(|pair| pair.trim().split_once('='));
    for (name, declared) in of_md5.chain(of_list) {
        let computed = match name {
            "md5" => md5_base64(content),
            "crc32c" => crc32c_base64(content),
            _ => return Err(Refusal::invalid(format!("the hash {name} is none"))),
        };
        if declared != computed {
            let message =
                format!("The {name} you specified ({declared}) did not match what we computed ({computed}).");
            return Err(Refusal::new(400, "BadDigest", message));
        }
    }
    Ok(())
}

/// The range that the header `Range` asks for; none if it is one that must be ignored.
pub(crate) fn range(header: &str, size: usize) -> Result<Option<Range<usize>>, Refusal> {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Ok(None);
    };
    let range = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Err(_), Ok(count)) if first.is_empty() => size.saturating_sub(count)..size,
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Ok(first), Ok(last)) if first <= last => first..size.min(last.saturating_add(1)),
        _ => return Ok(None),
    };
    if range.is_empty() {
        return Err(Refusal::new(416, "InvalidRange", "The requested range cannot be satisfied."));
    }
    Ok(Some(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_http() {
        let of_ten = |header| range(header, 10).map_err(|refusal| refusal.status);
        assert_eq!(of_ten("bytes=0-3"), Ok(Some(0..4)));
        assert_eq!(of_ten("bytes=8-20"), Ok(Some(8..10)));
        assert_eq!(of_ten("bytes=4-"), Ok(Some(4..10)));
        assert_eq!(of_ten("bytes=-3"), Ok(Some(7..10)));
        assert_eq!(of_ten("bytes=-30"), Ok(Some(0..10)));
        assert_eq!(of_ten("bytes=3-2"), Ok(None));
        assert_eq!(of_ten("lines=1-2"), Ok(None));
        assert_eq!(of_ten("bytes=10-"), Err(416));
        assert_eq!(of_ten("bytes=-0"), Err(416));
        assert_eq!(range("bytes=0-", 0).map_err(|refusal| refusal.status), Err(416));
    }
}
