//! Who may do what, by the beginning of a path.

use mlflow_artifacts_core::ArtifactPath;

use super::Actions;
use super::watched::lines;

/// Everybody who has come in, or every path.
const ANY: &str = "*";

/// What is allowed. What no rule allows is not.
#[derive(Debug)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    /// `None` is everybody.
    who: Option<String>,
    /// Everything at and below it; the root is everything.
    prefix: ArtifactPath,
    actions: Actions,
}

impl Rules {
    /// One rule a line: who, which artifacts, and what: `alice 12 read,write,delete`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        lines(text).map(|(number, line)| rule(line).map_err(|why| format!("line {number}: {why}"))).collect()
    }

    pub(super) fn allow(&self, name: &str, action: Actions, path: &ArtifactPath) -> bool {
        self.of(name).any(|rule| rule.actions.contains(action) && path.strip_prefix(&rule.prefix).is_some())
    }

    /// Whether something stands below a directory that may be read.
    pub(super) fn lead_on(&self, name: &str, directory: &ArtifactPath) -> bool {
        let mut rules = self.of(name).filter(|rule| rule.actions.contains(Actions::READ));
        rules.any(|rule| rule.prefix.strip_prefix(directory).is_some())
    }

    fn of(&self, name: &str) -> impl Iterator<Item = &Rule> {
        self.0.iter().filter(move |rule| rule.who.as_ref().is_none_or(|who| who == name))
    }
}

impl FromIterator<Rule> for Rules {
    fn from_iter<T: IntoIterator<Item = Rule>>(rules: T) -> Self {
        Rules(rules.into_iter().collect())
    }
}

fn rule(line: &str) -> Result<Rule, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let &[who, prefix, actions] = &words[..] else {
        return Err(
            "a rule has three words: who, the beginning of the paths, and read,write,delete".to_owned()
        );
    };
    let prefix = if prefix == ANY { "" } else { prefix.trim_end_matches('/') };
    let prefix = ArtifactPath::parse(prefix).map_err(|error| error.message().to_owned())?;
    let actions = actions
        .split(',')
        .map(|name| Actions::named(name).ok_or_else(|| format!("{name:?} is none of read, write and delete")))
        .collect::<Result<Actions, String>>()?;
    Ok(Rule { who: Some(who.to_owned()).filter(|who| who != ANY), prefix, actions })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ArtifactPath {
        ArtifactPath::parse(text).unwrap()
    }

    #[test]
    fn what_no_rule_allows_is_not() {
        let rules = Rules::parse(
            "# who  where  what\n\nalice 1 read,write\nalice 1/models delete\n * shared/ read\nops * read,write,delete\nbob 10 read\n",
        )
        .unwrap();
        for (name, action, at, expected) in [
            ("alice", Actions::READ, "1", true),
            ("alice", Actions::WRITE, "1/a/b", true),
            ("alice", Actions::DELETE, "1/a", false),
            ("alice", Actions::DELETE, "1/models/m", true),
            ("alice", Actions::DELETE, "1/models2", false),
            ("alice", Actions::READ, "10", false),
            ("alice", Actions::READ, "", false),
            ("alice", Actions::READ, "shared/x", true),
            ("alice", Actions::WRITE, "shared/x", false),
            ("bob", Actions::READ, "1/a", false),
            ("bob", Actions::READ, "10/a", true),
            ("ops", Actions::DELETE, "10/a", true),
            ("ops", Actions::READ, "", true),
            ("mallory", Actions::READ, "shared", true),
            ("mallory", Actions::READ, "1", false),
            ("*", Actions::READ, "1", false),
        ] {
            assert_eq!(rules.allow(name, action, &path(at)), expected, "{name} {action:?} {at}");
        }
        for (name, at, expected) in [
            ("alice", "", true),
            ("alice", "1", true),
            ("bob", "1", false),
            ("mallory", "", true),
            ("mallory", "10", false),
        ] {
            assert_eq!(rules.lead_on(name, &path(at)), expected, "{name} {at}");
        }
        assert!(!Rules::parse("").unwrap().allow("alice", Actions::READ, &path("1")));
    }

    #[test]
    fn a_line_that_means_nothing_is_refused_with_its_number() {
        for (text, reason) in [
            ("alice 1", "line 1: a rule has three words"),
            ("a 1 read\nb 1 read write", "line 2: a rule has three words"),
            ("a 1 everything", "line 1: \"everything\" is none of"),
            ("a 1 read,", "line 1: \"\" is none of"),
            ("a ../b read", "line 1: "),
            ("a /b read", "line 1: "),
        ] {
            let error = Rules::parse(text).unwrap_err();
            assert!(error.starts_with(reason), "{error}");
        }
    }
}
