//! What servers say of files: the facts of MLSD and MLST (RFC 3659, section 7), the columns of LIST as Unix and DOS have them, and
//! times. All of it comes from outside: nothing here may panic, whatever a line holds.

use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use mlflow_artifacts_file_server::{Child, Entry, EntryKind};

/// What a line of a listing says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Something stands in the directory.
    Child(Child),
    /// The directory itself: `.`.
    Itself,
    /// Nothing of interest: the parent, a headline, a name that is not UTF-8.
    Other,
}

/// A line in no form that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// Reads a line of MLSD: facts, a space, the name.
pub(crate) fn machine_line(line: &[u8]) -> Result<Line, Unreadable> {
    if line.is_empty() {
        return Ok(Line::Other);
    }
    let space = line.iter().position(|byte| *byte == b' ').ok_or(Unreadable)?;
    let facts = Facts::parse(&line[..space])?;
    match facts.kind.ok_or(Unreadable)? {
        FactKind::Itself => Ok(Line::Itself),
        FactKind::Parent => Ok(Line::Other),
        FactKind::Entry(kind) => child(&line[space + 1..], facts.entry(kind)),
    }
}

/// Reads the answer to MLST: the one line of it that begins with a space holds the facts.
pub(crate) fn machine_entry(lines: &[String]) -> Result<Entry, Unreadable> {
    let line = lines.iter().find(|line| line.starts_with(' ') && line.contains('=')).ok_or(Unreadable)?;
    let facts = line.trim_start().split(' ').next().unwrap_or_default();
    let facts = Facts::parse(facts.as_bytes())?;
    Ok(match facts.kind.ok_or(Unreadable)? {
        FactKind::Itself | FactKind::Parent => facts.entry(EntryKind::Directory),
        FactKind::Entry(kind) => facts.entry(kind),
    })
}

#[derive(Clone, Copy)]
enum FactKind {
    Entry(EntryKind),
    Itself,
    Parent,
}

#[derive(Default)]
struct Facts {
    kind: Option<FactKind>,
    size: u64,
    modified: Option<SystemTime>,
}

impl Facts {
    fn parse(facts: &[u8]) -> Result<Self, Unreadable> {
        let text = str::from_utf8(facts).map_err(|_| Unreadable)?;
        let mut parsed = Facts::default();
        for fact in text.split(';').filter(|fact| !fact.is_empty()) {
            let (name, value) = fact.split_once('=').ok_or(Unreadable)?;
            match name.to_ascii_lowercase().as_str() {
                "type" => parsed.kind = Some(kind_of(value)),
                "size" => parsed.size = value.parse().map_err(|_| Unreadable)?,
                "modify" => parsed.modified = time(value),
                _ => {}
            }
        }
        Ok(parsed)
    }

    fn entry(&self, kind: EntryKind) -> Entry {
        let size = if kind == EntryKind::File { self.size } else { 0 };
        Entry { kind, size, modified: self.modified }
    }
}

fn kind_of(value: &str) -> FactKind {
    let value = value.to_ascii_lowercase();
    match value.as_str() {
        "file" => FactKind::Entry(EntryKind::File),
        "dir" => FactKind::Entry(EntryKind::Directory),
        "cdir" => FactKind::Itself,
        "pdir" => FactKind::Parent,
        // OS.unix=slink, OS.unix=slink:/target, OS.unix=symlink: each server has its own.
        _ if value.contains("link") => FactKind::Entry(EntryKind::Link),
        _ => FactKind::Entry(EntryKind::Other),
    }
}

/// Reads a time as MLSD and MDTM have it: `YYYYMMDDHHMMSS`, perhaps with a fraction, in UTC.
pub(crate) fn time(text: &str) -> Option<SystemTime> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.len() != 14 || !whole.bytes().chain(fraction.bytes()).all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| whole[from..to].parse::<i8>().ok();
    let year = whole[..4].parse().ok()?;
    let nanoseconds = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let time = DateTime::new(
        year,
        number(4, 6)?,
        number(6, 8)?,
        number(8, 10)?,
        number(10, 12)?,
        number(12, 14)?,
        nanoseconds,
    );
    let time = time.ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some(time.timestamp().into())
}

/// Reads a line of LIST. Its times are in nobody knows whose zone, and mostly without seconds: they are left out.
pub(crate) fn list_line(line: &[u8]) -> Result<Line, Unreadable> {
    let is_headline = || {
        let number = line.strip_prefix(b"total ");
        number.is_some_and(|number| number.trim_ascii().iter().all(u8::is_ascii_digit))
    };
    if line.trim_ascii().is_empty() || is_headline() {
        return Ok(Line::Other);
    }
    unix_line(line).or_else(|| dos_line(line)).ok_or(Unreadable)
}

/// `drwxr-xr-x   2 user group     4096 Nov 21 15:00 name`, with as many columns before the size as the server likes.
fn unix_line(line: &[u8]) -> Option<Line> {
    let kind = match line.first()? {
        b'-' => EntryKind::File,
        b'd' => EntryKind::Directory,
        b'l' => EntryKind::Link,
        b'b' | b'c' | b'p' | b's' => EntryKind::Other,
        _ => return None,
    };
    let columns = columns(line);
    if !columns.first().is_some_and(|(start, end)| is_mode(&line[*start..*end])) {
        return None;
    }
    let text = |index: usize| columns.get(index).map(|(start, end)| &line[*start..*end]);
    // The date tells where the size and the name are: names of groups may hold spaces, and some servers leave columns out.
    let date_with = |is_month: fn(&[u8]) -> bool| {
        (2..columns.len())
            .find(|index| is_unix_date(is_month, text(*index), text(index + 1), text(index + 2)))
    };
    // Servers may write other languages, but any word before two numbers may also be an owner.
    let date = date_with(is_english_month).or_else(|| date_with(is_word))?;
    let size = match kind {
        EntryKind::File => number(text(date - 1)?)?,
        _ => 0,
    };
    let (_, end) = columns.get(date + 2)?;
    // One space: what follows it is the name's.
    let name = line.get(end + 1..)?;
    let name = if kind == EntryKind::Link { before(name, b" -> ") } else { name };
    child(name, Entry { kind, size, modified: None }).ok()
}

/// `rwxr-xr-x` behind the kind, perhaps with a mark of access lists.
fn is_mode(column: &[u8]) -> bool {
    let letters = column.get(1..10);
    letters.is_some_and(|letters| letters.iter().all(|letter| b"rwxsStTlL-".contains(letter)))
        && column.len() <= 11
}

/// `Nov 21 15:00`, `21 Nov 2025`, `Nov 21 2025`.
fn is_unix_date(
    is_month: fn(&[u8]) -> bool,
    first: Option<&[u8]>,
    second: Option<&[u8]>,
    third: Option<&[u8]>,
) -> bool {
    let (Some(first), Some(second), Some(third)) = (first, second, third) else { return false };
    let is_day = |column: &[u8]| number(column).is_some_and(|day| (1..=31).contains(&day));
    let is_time_or_year = third.contains(&b':') || (third.len() == 4 && third.iter().all(u8::is_ascii_digit));
    is_time_or_year && ((is_month(first) && is_day(second)) || (is_day(first) && is_month(second)))
}

fn is_english_month(column: &[u8]) -> bool {
    const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    MONTHS.chunks(3).any(|month| month == column)
}

fn is_word(column: &[u8]) -> bool {
    column.first().is_some_and(|first| !first.is_ascii_digit())
}

/// `11-21-26  03:00PM       <DIR>          name`, with years of two or four digits.
fn dos_line(line: &[u8]) -> Option<Line> {
    let columns = columns(line);
    let text = |index: usize| columns.get(index).map(|(start, end)| &line[*start..*end]);
    let is_date = text(0)?.iter().filter(|byte| matches!(byte, b'-' | b'/' | b'.')).count() == 2
        && text(0)?.iter().all(|byte| byte.is_ascii_digit() || b"-/.".contains(byte));
    if !is_date || !text(1)?.contains(&b':') {
        return None;
    }
    let (_, end) = columns.get(2)?;
    let (kind, size) = match text(2)? {
        b"<DIR>" => (EntryKind::Directory, 0),
        b"<SYMLINK>" | b"<SYMLINKD>" | b"<JUNCTION>" => (EntryKind::Link, 0),
        size => (EntryKind::File, number(size)?),
    };
    let rest = line.get(*end..)?;
    let name = match kind {
        // Numbers end where the column does; then comes one space.
        EntryKind::File => rest.get(1..)?,
        _ => rest.trim_ascii_start(),
    };
    let name = if kind == EntryKind::Link { before(name, b" [") } else { name };
    if name.is_empty() {
        // It is all spaces, as the column before it.
        return Some(Line::Other);
    }
    child(name, Entry { kind, size, modified: None }).ok()
}

/// Where the columns of a line begin and end.
fn columns(line: &[u8]) -> Vec<(usize, usize)> {
    // Beyond these there is only the name.
    const MOST: usize = 16;
    let mut columns = Vec::with_capacity(MOST);
    let mut start = None;
    for (index, byte) in line.iter().chain(b" ").enumerate() {
        match (byte.is_ascii_whitespace(), start) {
            (true, Some(begun)) => {
                columns.push((begun, index));
                start = None;
            }
            (false, None) => start = Some(index),
            _ => {}
        }
        if columns.len() == MOST {
            break;
        }
    }
    columns
}

fn number(column: &[u8]) -> Option<u64> {
    str::from_utf8(column).ok()?.parse().ok()
}

fn before<'a>(name: &'a [u8], mark: &[u8]) -> &'a [u8] {
    let end = name.windows(mark.len()).position(|window| window == mark);
    &name[..end.unwrap_or(name.len())]
}

fn child(name: &[u8], entry: Entry) -> Result<Line, Unreadable> {
    match str::from_utf8(name) {
        Ok("") => Err(Unreadable),
        Ok(".") => Ok(Line::Itself),
        Ok("..") | Err(_) => Ok(Line::Other),
        Ok(name) => Ok(Line::Child(Child { name: name.to_owned(), entry })),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn found(name: &str, kind: EntryKind, size: u64) -> Line {
        Line::Child(Child { name: name.to_owned(), entry: Entry { kind, size, modified: None } })
    }

    #[test]
    fn the_lines_of_unix() {
        use EntryKind::{Directory, File, Link, Other};
        for (line, name, kind, size) in [
            ("-rw-r--r--    1 ftp      ftp             6 Nov 21 15:00 a", "a", File, 6),
            ("-rw-r--r--    1 ftp      ftp             6 Nov 21  2025 a", "a", File, 6),
            ("-rw-r--r-- 1 0 0 6 Nov 21 15:00  two  spaces ", " two  spaces ", File, 6),
            ("drwxr-xr-x   2 user domain users   4096 Feb 29 2024 ü#%\"", "ü#%\"", Directory, 0),
            ("drwxrwsr-t+ 2 u g 4096 29 Feb 10:00 d", "d", Directory, 0),
            ("lrwxrwxrwx 1 u g 3 Jan  1 00:00 link -> a -> b", "link", Link, 0),
            ("crw-rw-rw- 1 root root 1, 3 Jan  1 00:00 null", "null", Other, 0),
            ("prw-rw-rw- 1 root root 0 Jan  1 00:00 pipe", "pipe", Other, 0),
            ("-rw-rw-rw- 1 owner 12 Jan  1 00:00 -> b", "-> b", File, 12),
            ("-rw-r--r-- 12 Jan  1 00:00 a", "a", File, 12),
            ("-rw-r--r-- 1 u g 12 Jan 1 00:00 5 Jan 1 00:00 b", "5 Jan 1 00:00 b", File, 12),
            // An owner, a group and a size that look like a date.
            ("drwxr-xr-x 2 ftp 12 4096 Nov 21 15:00 d", "d", Directory, 0),
            ("-rw-r--r-- 1 ftp 12 4096 21 Nov 2025 a", "a", File, 4096),
            ("-rw-r--r-- 1 ftp ftp 12 Mär 21 15:00 a", "a", File, 12),
        ] {
            assert_eq!(list_line(line.as_bytes()), Ok(found(name, kind, size)), "{line}");
        }
        for line in ["", "  ", "total 12", "total 0", "drwxr-xr-x 2 u g 1 Jan 1 00:00 .."] {
            assert_eq!(list_line(line.as_bytes()), Ok(Line::Other), "{line}");
        }
        assert_eq!(list_line(b"drwxr-xr-x 2 u g 1 Jan 1 00:00 ."), Ok(Line::Itself));
        assert_eq!(list_line(b"-rw-r--r-- 1 u g 1 Jan 1 00:00 \xff"), Ok(Line::Other));
    }

    #[test]
    fn the_lines_of_dos() {
        use EntryKind::{Directory, File, Link};
        for (line, name, kind, size) in [
            ("11-21-26  03:00PM       <DIR>          a b", "a b", Directory, 0),
            ("11-21-2026  15:00                 1234  leading", " leading", File, 1234),
            ("21.11.2026  15:00                 0 x", "x", File, 0),
            ("11-21-26  03:00PM       <SYMLINKD>     l [C:\\x]", "l", Link, 0),
        ] {
            assert_eq!(list_line(line.as_bytes()), Ok(found(name, kind, size)), "{line}");
        }
        assert_eq!(list_line(b"11-21-26  03:00PM  <DIR>  .."), Ok(Line::Other));
        assert_eq!(list_line(b"11-21-26  03:00PM       <DIR>           "), Ok(Line::Other));
    }

    #[test]
    fn what_is_no_line_of_a_listing_is_not_taken_for_one() {
        for line in [
            "name",
            "total of 3 files",
            "-rw-r--r-- 1 u g twelve Jan 1 00:00 a",
            "-rw-r--r-- 1 u g 12 Jan 1 00:00",
            "-name of a file 1 2 3 4 Jan 1 00:00 x",
            "drwx",
            "11-21-26 03:00PM <DIR>x name",
            "11-21-26 03:00PM 12",
            "+i8388621.48594,m825718503,r,s280,\tdjb.html",
        ] {
            assert_eq!(list_line(line.as_bytes()), Err(Unreadable), "{line}");
        }
        for line in
            ["name", "type=file;size=-1; a", "size=1; a", "type; a", "type=file;size=99999999999999999999; a"]
        {
            assert_eq!(machine_line(line.as_bytes()), Err(Unreadable), "{line}");
        }
    }

    #[test]
    fn facts() {
        let line =
            machine_line("Type=file;SIZE=6;modify=20261121150001.5;UNIX.mode=0644;  a; b=ü".as_bytes());
        let Ok(Line::Child(child)) = line else { panic!("{line:?}") };
        assert_eq!((child.name.as_str(), child.entry.size), (" a; b=ü", 6));
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_273_201_500);
        assert_eq!(child.entry.modified, Some(modified));
        assert_eq!(machine_line(b"type=dir;size=4096; d"), Ok(found("d", EntryKind::Directory, 0)));
        for link in ["OS.unix=slink", "OS.unix=slink:/x", "OS.unix=symlink"] {
            assert_eq!(
                machine_line(format!("type={link}; l").as_bytes()),
                Ok(found("l", EntryKind::Link, 0))
            );
        }
        assert_eq!(machine_line(b"type=OS.unix=chr-13/29; t"), Ok(found("t", EntryKind::Other, 0)));
        assert_eq!(machine_line(b"type=cdir; /d"), Ok(Line::Itself));
        assert_eq!(machine_line(b"type=pdir; /"), Ok(Line::Other));
        assert_eq!(machine_line(b"type=file;size=1; \xff"), Ok(Line::Other));
        assert_eq!(machine_line(b""), Ok(Line::Other));
        let answer = ["Start", " type=dir;modify=20261121150001; /a=b", "End"].map(str::to_owned);
        assert_eq!(machine_entry(&answer).map(|entry| entry.kind), Ok(EntryKind::Directory));
        assert_eq!(machine_entry(&["type=file; a".to_owned()]), Err(Unreadable));
    }

    #[test]
    fn times() {
        let seconds =
            |text| time(text).map(|time| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs());
        assert_eq!(seconds("19700101000001"), Some(1));
        assert_eq!(seconds("20240229235959.123456789123"), Some(1_709_251_199));
        for nonsense in
            ["", "2024022923595", "20240230000000", "2024-2-2 00:00", "２0240229235959", "20240229235960."]
        {
            assert_eq!(time(nonsense), None, "{nonsense}");
        }
    }
}
