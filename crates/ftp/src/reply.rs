//! What the server answers: three digits and a text (RFC 959, section 4.2).

/// An answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The three digits.
    pub(crate) code: u16,
    /// The text of each line, the code of the first and the last taken off.
    pub(crate) lines: Vec<String>,
}

impl Reply {
    /// Something is going to be answered later: the command is not finished.
    pub(crate) fn is_preliminary(&self) -> bool {
        self.code < 200
    }

    /// The command did what it was to do.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// The server is closing the connection.
    pub(crate) fn is_goodbye(&self) -> bool {
        self.code == 421
    }

    /// All that it says.
    pub(crate) fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// What the first line says, without white space around it.
    pub(crate) fn first_line(&self) -> &str {
        self.lines.first().map_or("", |line| line.trim())
    }
}

/// The lines of an answer, as they come.
#[derive(Debug, Default)]
pub(crate) struct ReplyParser {
    code: u16,
    lines: Vec<String>,
}

/// What is no answer of FTP.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAReply;

impl ReplyParser {
    /// Takes the next line, without its end. Answers the reply when it was the last one.
    pub(crate) fn push(&mut self, line: &[u8]) -> Result<Option<Reply>, NotAReply> {
        // Names in a text need not be UTF-8: it is read by people.
        let line = String::from_utf8_lossy(line);
        let code = code_of(&line);
        if self.lines.is_empty() {
            self.code = code.ok_or(NotAReply)?;
        }
        let is_marked = code == Some(self.code);
        let is_last = is_marked && line.as_bytes().get(3) != Some(&b'-');
        // A line in the middle may look like anything (RFC 959, section 4.2), and mostly begins with a space.
        let text = if is_marked { line.get(4..).unwrap_or_default() } else { &line };
        self.lines.push(text.to_owned());
        Ok(is_last.then(|| Reply { code: self.code, lines: std::mem::take(&mut self.lines) }))
    }
}

/// The code that a line begins with: 100 to 599, then a space, a hyphen or nothing.
fn code_of(line: &str) -> Option<u16> {
    let digits = line.get(..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
    let ends = matches!(line.as_bytes().get(3), None | Some(b' ' | b'-'));
    digits.parse().ok().filter(|code| ends && (100..600).contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&str]) -> Result<Option<Reply>, NotAReply> {
        let mut parser = ReplyParser::default();
        let (last, first) = lines.split_last().unwrap();
        for line in first {
            assert_eq!(parser.push(line.as_bytes())?, None, "{line}");
        }
        parser.push(last.as_bytes())
    }

    #[test]
    fn the_last_line_has_the_code_and_a_space() {
        let told = |lines: &[&str]| {
            let reply = parse(lines).unwrap().unwrap();
            (reply.code, reply.lines)
        };
        assert_eq!(told(&["220 ready"]), (220, vec!["ready".to_owned()]));
        assert_eq!(told(&["220"]), (220, vec![String::new()]));
        let lines = ["Features:", " UTF8", "999 of another code", "", "of the same", "End"];
        let wire = ["211-Features:", " UTF8", "999 of another code", "", "211-of the same", "211 End"];
        assert_eq!(told(&wire), (211, lines.map(str::to_owned).to_vec()));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for line in ["", "SSH-2.0-OpenSSH", "22 x", "2200 x", "099 x", "600 x", "２20 x", "\u{fffd}\u{fffd}"]
        {
            assert_eq!(parse(&[line]), Err(NotAReply), "{line}");
        }
    }
}
