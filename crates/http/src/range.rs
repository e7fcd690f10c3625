//! Parts of a content, as they are asked for and as they come.

use mlflow_artifacts_core::ByteRange;

/// First byte, and the one after the last where there is one; none for everything.
pub type Asked = Option<(u64, Option<u64>)>;

/// What to ask a server for; `None` if it depends on the size, or is nothing.
#[allow(clippy::option_option, reason = "no range and an unknown range differ")]
pub fn wanted(range: ByteRange) -> Option<Asked> {
    // Servers count in 63 bits.
    const LARGEST: u64 = i64::MAX as u64;
    match range {
        ByteRange::Full => Some(None),
        ByteRange::From(start) if start < LARGEST => Some(Some((start, None))),
        ByteRange::Between(start, end) if start < end && start < LARGEST => {
            Some(Some((start, Some(end).filter(|end| *end < LARGEST))))
        }
        _ => None,
    }
}

/// The first byte, the one after the last, and the size of `bytes first-last/size` (RFC 9110, section 14.4).
pub(crate) fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, size): (u64, u64, u64) = (first.parse().ok()?, last.parse().ok()?, size.parse().ok()?);
    (first <= last && last < size).then(|| (first, last + 1, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_strictly() {
        assert_eq!(content_range("bytes 2-4/10"), Some((2, 5, 10)));
        for text in [
            "bytes */10",
            "bytes 4-2/10",
            "bytes 2-10/10",
            "bytes 2-4/*",
            "2-4/10",
            "bytes 2-18446744073709551615/1",
        ] {
            assert_eq!(content_range(text), None, "{text}");
        }
    }

    #[test]
    fn ranges_that_depend_on_the_size_are_asked_later() {
        assert_eq!(wanted(ByteRange::Full), Some(None));
        assert_eq!(wanted(ByteRange::Between(2, 5)), Some(Some((2, Some(5)))));
        assert_eq!(wanted(ByteRange::Between(2, u64::MAX)), Some(Some((2, None))));
        for range in [ByteRange::Last(2), ByteRange::Between(3, 3), ByteRange::From(u64::MAX)] {
            assert_eq!(wanted(range), None, "{range:?}");
        }
    }
}
