//! Patterns of host names and of files: `*`, `?`, and `!` before what is excepted.

/// Whether `text` is what `pattern` describes: `*` stands for any characters, `?` for one.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut read) = (0, 0);
    // Where to go on after the last star, and what it stood for so far.
    let mut star = None;
    while read < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at + 1, read));
                at += 1;
            }
            Some(&letter) if letter == '?' || letter == text[read] => {
                at += 1;
                read += 1;
            }
            _ => match star {
                Some((after, taken)) => {
                    star = Some((after, taken + 1));
                    at = after;
                    read = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&letter| letter == '*')
}

/// Whether one of `patterns` describes `name`, and none that begins with `!` does.
pub(crate) fn any_matches<'a>(patterns: impl IntoIterator<Item = &'a str>, name: &str) -> bool {
    let name = name.to_lowercase();
    let mut found = false;
    for pattern in patterns {
        let pattern = pattern.to_lowercase();
        match pattern.strip_prefix('!') {
            Some(excepted) if matches(excepted, &name) => return false,
            Some(_) => {}
            None => found |= matches(&pattern, &name),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "ac", true),
            ("a*c", "abcd", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("?b?", "abc", true),
            ("?", "", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*ab", "aab", true),
            ("[h]:22", "[h]:22", true),
            ("[h]:22", "h:22", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        assert!(!matches(&"*a".repeat(40), &"a".repeat(39)), "without trying for ever");
    }

    #[test]
    fn what_is_excepted_goes_before_what_is_meant() {
        for (patterns, name, expected) in [
            (&["*.a", "!x.a"][..], "y.a", true),
            (&["*.a", "!x.a"], "x.a", false),
            (&["!x.a", "*"], "X.A", false),
            (&["!x.a"], "y.a", false),
            (&["HOST"], "host", true),
        ] {
            assert_eq!(any_matches(patterns.iter().copied(), name), expected, "{patterns:?} {name}");
        }
    }
}
