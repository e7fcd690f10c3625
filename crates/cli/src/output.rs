//! What is written to standard output and standard error, and in which form.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indicatif::HumanBytes;
use mlflow_artifacts::ArtifactMeta;
use serde::Serialize;

/// Standard output: line by line for a person, in blocks for a program.
pub(crate) fn standard_output() -> Box<dyn Write> {
    let output = io::stdout().lock();
    if output.is_terminal() { Box::new(output) } else { Box::new(BufWriter::new(output)) }
}

/// Says on standard error what went wrong. Nobody can be told when that fails.
pub(crate) fn error(error: &dyn Display) {
    let _ = writeln!(io::stderr(), "mlflow-artifacts: error: {error}");
}

/// Says on standard error what is worth knowing.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "mlflow-artifacts: {text}");
}

/// One entry as JSON.
#[derive(Serialize)]
pub(crate) struct Entry<'a> {
    pub(crate) path: &'a str,
    is_dir: bool,
    size: Option<u64>,
    modified: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<&'a str>,
}

impl<'a> Entry<'a> {
    /// The entry of `meta`, called `path`.
    pub(crate) fn new(meta: &'a ArtifactMeta, path: &'a str) -> Self {
        Entry {
            path,
            is_dir: meta.is_directory(),
            size: (!meta.is_directory()).then_some(meta.size),
            modified: meta.modified.map(unix_seconds),
            etag: meta.etag.as_deref(),
        }
    }
}

/// Writes entries one by one, never holding more than one.
pub(crate) enum Listing {
    /// Size, time, name.
    Plain(Box<dyn Write>),
    /// One JSON array.
    Json { output: Box<dyn Write>, separator: &'static str },
}

impl Listing {
    pub(crate) fn new(json: bool) -> Self {
        let output = standard_output();
        if json { Listing::Json { output, separator: "[\n" } } else { Listing::Plain(output) }
    }

    /// Writes the entry of `meta`, called `path`.
    pub(crate) fn write(&mut self, meta: &ArtifactMeta, path: &str) -> io::Result<()> {
        match self {
            Listing::Plain(output) => {
                let size =
                    if meta.is_directory() { "-".to_owned() } else { HumanBytes(meta.size).to_string() };
                let time = meta.modified.map_or_else(String::new, utc);
                let slash = if meta.is_directory() { "/" } else { "" };
                writeln!(output, "{size:>11}  {time:20}  {path}{slash}")
            }
            Listing::Json { output, separator } => {
                output.write_all(separator.as_bytes())?;
                *separator = ",\n";
                Ok(serde_json::to_writer(output, &Entry::new(meta, path))?)
            }
        }
    }

    /// Ends the listing: without it nothing is sure to be written.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Listing::Plain(mut output) => output.flush(),
            Listing::Json { mut output, separator } => {
                let end: &[u8] = if separator == "[\n" { b"[]\n" } else { b"\n]\n" };
                output.write_all(end)?;
                output.flush()
            }
        }
    }
}

/// Writes `value` as one JSON document.
pub(crate) fn write_json(value: &impl Serialize) -> io::Result<()> {
    let mut output = standard_output();
    serde_json::to_writer_pretty(&mut output, value)?;
    output.write_all(b"\n")?;
    output.flush()
}

/// Writes lines of fields, aligned below each other. The last field may be long.
pub(crate) fn write_table(rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|field| field.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut output = standard_output();
    for row in rows {
        let padded: Vec<_> =
            row.iter().zip(&widths).map(|(field, width)| format!("{field:width$}")).collect();
        writeln!(output, "{}", padded.join("  ").trim_end())?;
    }
    output.flush()
}

/// `text` without anything that a terminal would obey. What a server says may hold such.
pub(crate) fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

fn unix_seconds(time: SystemTime) -> f64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

/// `2024-02-29T23:59:59Z`.
pub(crate) fn utc(time: SystemTime) -> String {
    const DAY: u64 = 24 * 60 * 60;
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (year, month, day) = civil_date(since / DAY);
    let second = since % DAY;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The Gregorian date so many days after 1970-01-01. Years begin in March here, so that a leap day is a year's last day.
fn civil_date(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    const DAYS_FROM_MARCH_OF_YEAR_0: u64 = 719_468;
    let days = days + DAYS_FROM_MARCH_OF_YEAR_0;
    let (era, day_of_era) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (400 * era + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
