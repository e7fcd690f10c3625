//! Times as the server writes them. All are milliseconds since 1970.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::tz::TimeZone;

/// A moment, in milliseconds since 1970.
pub(crate) type Millis = i64;

/// The present moment.
pub(crate) fn now() -> Millis {
    Timestamp::now().as_millisecond()
}

/// `2026-11-20T09:30:00.000Z`, as all JSON answers have it.
pub(crate) fn iso(at: Millis) -> String {
    format!("{:.3}", timestamp(at))
}

/// The moment an ISO date names: without a zone it is in UTC, without a time midnight.
pub(crate) fn parse_iso(text: &str) -> Option<Millis> {
    let zoned = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    let timestamp = text.parse::<Timestamp>().ok().or_else(|| zoned().map(|zoned| zoned.timestamp()));
    timestamp.map(Timestamp::as_millisecond)
}

/// The moment so long ago as AQL's words for spans say: `1d`, `3weeks`, `2mo`.
pub(crate) fn parse_ago(text: &str) -> Option<Millis> {
    const DAY: Millis = 24 * 60 * 60 * 1000;
    let unit_at = text.find(|character: char| !character.is_ascii_digit())?;
    let count: Millis = text[..unit_at].parse().ok()?;
    let unit = match text[unit_at..].trim() {
        "millis" => 1,
        "s" | "seconds" => 1000,
        "minutes" => 60 * 1000,
        "h" | "hours" => DAY / 24,
        "d" | "days" => DAY,
        "w" | "weeks" => 7 * DAY,
        "mo" | "months" => 30 * DAY,
        "y" | "years" => 365 * DAY,
        _ => return None,
    };
    Some(now() - count.checked_mul(unit)?)
}

/// `Fri, 20 Nov 2026 09:30:00 GMT`, as headers have it.
pub(crate) fn http_date(at: Millis) -> String {
    DateTimePrinter::new().timestamp_to_rfc9110_string(&timestamp(at)).unwrap_or_default()
}

/// The moment a header's date names.
pub(crate) fn parse_http_date(text: &str) -> Option<Millis> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp().as_millisecond())
}

fn timestamp(at: Millis) -> Timestamp {
    Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH)
}
