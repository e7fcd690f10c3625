//! What the server says that it can do (FEAT, RFC 2389).

use crate::reply::Reply;

/// What of FEAT's answer matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// MLST and MLSD (RFC 3659, section 7).
    pub(crate) machine_listings: bool,
    /// What to ask OPTS MLST for, where the server does not tell all that is needed by itself.
    pub(crate) wanted_facts: Option<String>,
    /// The server waits for OPTS UTF8 ON, or at least knows it.
    pub(crate) utf8: bool,
    /// How the SHA-256 of a file is asked for.
    pub(crate) digest: Option<DigestCommand>,
}

/// A command that answers the SHA-256 of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DigestCommand {
    /// HASH (draft-bryan-ftpext-hash), after OPTS HASH SHA-256.
    Hash,
    /// XSHA256, of older servers.
    Xsha256,
}

impl DigestCommand {
    /// The command itself.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            DigestCommand::Hash => "HASH",
            DigestCommand::Xsha256 => "XSHA256",
        }
    }
}

impl Features {
    /// Reads the answer to FEAT. One that is none says that nothing is offered.
    pub(crate) fn parse(reply: &Reply) -> Self {
        let mut features = Features::default();
        if !reply.is_success() {
            return features;
        }
        for line in &reply.lines {
            let (name, arguments) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
            match name.to_ascii_uppercase().as_str() {
                "MLST" => {
                    features.machine_listings = true;
                    features.wanted_facts = wanted_facts(arguments);
                }
                "UTF8" => features.utf8 = true,
                "HASH" if offers_sha256(arguments) => features.digest = Some(DigestCommand::Hash),
                "XSHA256" => features.digest = features.digest.or(Some(DigestCommand::Xsha256)),
                _ => {}
            }
        }
        features
    }
}

/// The facts that are needed and can be had, unless the server tells them anyway: those have a star.
fn wanted_facts(offered: &str) -> Option<String> {
    let offered: Vec<_> = offered.split(';').map(|fact| fact.trim().to_ascii_lowercase()).collect();
    let has = |name: &str| offered.iter().any(|fact| fact == name);
    let needed = ["type", "size", "modify"];
    let is_missing = needed.iter().any(|name| has(name) && !has(&format!("{name}*")));
    is_missing.then(|| {
        let can_be_had = |name: &&str| has(name) || has(&format!("{name}*"));
        needed.into_iter().filter(can_be_had).flat_map(|name| [name, ";"]).collect()
    })
}

fn offers_sha256(algorithms: &str) -> bool {
    algorithms.split(';').any(|name| name.trim().trim_end_matches('*').eq_ignore_ascii_case("SHA-256"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&str]) -> Features {
        Features::parse(&Reply { code: 211, lines: lines.iter().map(|line| (*line).to_owned()).collect() })
    }

    #[test]
    fn what_is_offered_is_found() {
        let all = parse(&[
            "Features:",
            " MLST type*;size*;modify*;perm;",
            " UTF8",
            " HASH MD5;SHA-1*;SHA-256",
            "End",
        ]);
        assert_eq!((all.machine_listings, all.wanted_facts, all.utf8), (true, None, true));
        assert_eq!(all.digest, Some(DigestCommand::Hash));
        assert_eq!(parse(&["XSHA256", "HASH SHA-256"]).digest, Some(DigestCommand::Hash));
        assert_eq!(parse(&["HASH CRC32;SHA-512", "XSHA256 filename"]).digest, Some(DigestCommand::Xsha256));
        assert_eq!(parse(&["Features:", "End"]), Features::default());
        let unknown = Reply { code: 502, lines: vec!["UTF8".to_owned()] };
        assert_eq!(Features::parse(&unknown), Features::default());
    }

    #[test]
    fn facts_that_are_not_told_are_asked_for() {
        assert_eq!(
            parse(&["MLST Type*;Size;Modify;Perm*;"]).wanted_facts.as_deref(),
            Some("type;size;modify;")
        );
        assert_eq!(parse(&["MLST type*;size;"]).wanted_facts.as_deref(), Some("type;size;"));
        assert_eq!(parse(&["MLST type*;size*;"]).wanted_facts, None);
    }
}
