//! Which names Artifactory can hold, and how names and properties are written in a URL.

use mlflow_artifacts_core::{ArtifactPath, Error, ErrorKind, Properties, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but the unreserved characters (RFC 3986, section 2.3). The server splits matrix parameters at a raw `;` before
/// it decodes, and takes a raw `+` for itself, so that whatever is encoded is literal.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Characters of the server's database columns: a name, and the path of the folder that holds it.
const LONGEST_NAME: usize = 255;
const LONGEST_FOLDER: usize = 1024;
const LONGEST_PROPERTY_NAME: usize = 255;
const LONGEST_PROPERTY_VALUE: usize = 4000;

/// Set by 6.20 on what was deployed by its checksum.
pub(crate) const PROPERTY_OF_THE_SERVER: &str = "sha256";

/// Endings that name the checksum of another artifact, which the server computes and does not store.
const CHECKSUM_ENDINGS: &[&str] = &[".sha1", ".sha256", ".md5"];

fn encode_segment(segment: &str) -> String {
    utf8_percent_encode(segment, ENCODED).to_string()
}

/// The path as it stands in a URL, with a slash before each segment.
pub(crate) fn encode_path(path: &ArtifactPath) -> String {
    path.segments().fold(String::new(), |url, segment| url + "/" + &encode_segment(segment))
}

/// Refuses what the server cannot hold, or could not tell apart again. `path` begins with the repository.
pub(crate) fn check(path: &ArtifactPath) -> Result<()> {
    check_readable(path)?;
    match path.segments().find_map(checksum_ending) {
        Some(ending) => {
            let defect =
                format!("{ending} names the checksum of another artifact, which the server makes itself");
            refused(&defect, "give it another ending, or store it in an archive")
        }
        None => Ok(()),
    }
}

/// Whether this is the name of a checksum, unless it is that of a directory.
pub(crate) fn is_checksum(path: &ArtifactPath) -> bool {
    path.file_name().is_some_and(|name| checksum_ending(name).is_some())
}

fn refused(defect: &str, help: &str) -> Result<()> {
    let message = format!("Artifactory cannot hold this name: {defect}");
    Err(Error::new(ErrorKind::InvalidPath, message).with_help(help))
}

fn checksum_ending(segment: &str) -> Option<&'static str> {
    CHECKSUM_ENDINGS.iter().copied().find(|ending| ends_with_ignoring_case(segment, ending))
}

/// Refuses what cannot be there.
pub(crate) fn check_readable(path: &ArtifactPath) -> Result<()> {
    let rename = "rename the artifact";
    let mut segments = path.segments().peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if segment.contains(['\\', '|', '*', '?', '"']) {
            return refused(r#"it holds one of \ | * ? ""#, rename);
        }
        if segment.starts_with(' ') || segment.ends_with(' ') {
            return refused("a space stands beside a slash or at an end", rename);
        }
        if segment == "&" {
            return refused("a segment is only an ampersand", rename);
        }
        if segment.chars().count() > LONGEST_NAME {
            return refused("a segment has more than 255 characters", "shorten it");
        }
        if !is_last && segment.ends_with('!') {
            return refused("a directory's name ends in `!`, which means the inside of an archive", rename);
        }
    }
    let folder = path.parent().map_or(0, |folder| folder.as_str().chars().count());
    if folder > LONGEST_FOLDER {
        return refused("its directories have more than 1024 characters together", "shorten them");
    }
    Ok(())
}

fn ends_with_ignoring_case(text: &str, ending: &str) -> bool {
    let at = text.len().checked_sub(ending.len());
    at.and_then(|at| text.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(ending))
}

/// The properties as matrix parameters, `;name=value,value`. Fails with [`ErrorKind::InvalidArgument`].
pub(crate) fn matrix_parameters(properties: &Properties) -> Result<String> {
    let mut parameters = String::new();
    for (name, values) in properties {
        check_property(name, values)?;
        let values: Vec<_> = values.iter().map(|value| encode_segment(&escape_value(value))).collect();
        parameters.extend([";", &encode_segment(name), "=", &values.join(",")]);
    }
    Ok(parameters)
}

/// A comma would separate values, and a backslash escape it.
fn escape_value(value: &str) -> String {
    value.replace('\\', r"\\").replace(',', r"\,")
}

fn check_property(name: &str, values: &[String]) -> Result<()> {
    let refused = |defect: String| Err(Error::new(ErrorKind::InvalidArgument, defect));
    let forbidden =
        |c: char| ")(}{][*+^$\\/~`!@#%&<>;=,±§".contains(c) || c.is_whitespace() || c.is_control();
    if name == PROPERTY_OF_THE_SERVER {
        return refused(format!("Artifactory keeps the property {name:?} for itself"));
    }
    let begins_well = name.chars().next().is_some_and(char::is_alphabetic);
    if !begins_well || name.contains(forbidden) || name.chars().count() > LONGEST_PROPERTY_NAME {
        return refused(format!("Artifactory allows no property {name:?}")).map_err(|error: Error| {
            error.with_help("begin it with a letter, and use letters, digits, `.`, `_` and `-`")
        });
    }
    if values.is_empty() || values.iter().any(String::is_empty) {
        return refused(format!("the property {name:?} has no value or an empty one"));
    }
    if values.iter().any(|value| value.chars().count() > LONGEST_PROPERTY_VALUE) {
        return refused(format!(
            "a value of the property {name:?} has more than {LONGEST_PROPERTY_VALUE} characters"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ArtifactPath {
        ArtifactPath::parse(text).unwrap()
    }

    #[test]
    fn every_reserved_character_is_encoded() {
        assert_eq!(
            encode_path(&path("r/a b;c=d+e#f?g%h/ä~-_.")),
            "/r/a%20b%3Bc%3Dd%2Be%23f%3Fg%25h/%C3%A4~-_."
        );
    }

    #[test]
    fn names_that_cannot_be_held_are_refused() {
        let long = "a".repeat(256);
        for name in [
            "a\\b", "a|b", "a*", "a?", "\"a\"", " a", "a ", "a / b", "&", "a/&/b", "a!/b", "m.sha1",
            "m.SHA256", "m.md5", &long,
        ] {
            let error = check(&path(&format!("repo/{name}"))).unwrap_err();
            assert!(error.kind() == ErrorKind::InvalidPath && error.help().is_some(), "{name}");
        }
        assert!(check(&path(&format!("r/{}/a", vec!["b"; 600].join("/")))).is_err());
        for name in ["a b", "a&b", "a!", "m.sha512", "sha1", "a:b", "ä.asc", "~", "a%b", &"ä".repeat(255)] {
            assert!(check(&path(&format!("repo/{name}"))).is_ok(), "{name}");
        }
    }

    #[test]
    fn properties_become_matrix_parameters() {
        let properties = |name: &str, values: &[&str]| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            matrix_parameters(&Properties::from([(name.to_owned(), values)]))
        };
        assert_eq!(
            properties("mlflow.run_id", &["a b", "c,d\\"]).unwrap(),
            ";mlflow.run_id=a%20b,c%5C%2Cd%5C%5C"
        );
        for (name, values) in
            [("1a", &["x"][..]), ("a b", &["x"]), ("a;b", &["x"]), ("", &["x"]), ("a", &[]), ("a", &[""])]
        {
            assert_eq!(properties(name, values).unwrap_err().kind(), ErrorKind::InvalidArgument, "{name:?}");
        }
    }
}
