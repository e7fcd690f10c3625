//! What the fuzz targets call: the parsers of what servers send. Each panics where something does not hold that must.

use crate::features::Features;
use crate::listing::{self, Line};
use crate::reply::ReplyParser;

/// A listing: the lines of MLSD or of LIST.
pub fn listing(input: &[u8]) {
    for line in input.split(|byte| *byte == b'\n') {
        for read in [listing::machine_line, listing::list_line] {
            if let Ok(Line::Child(child)) = read(line) {
                assert!(!matches!(child.name.as_str(), "" | "." | ".."), "{child:?}");
                // A name is what stands in the line, and no more.
                assert!(child.name.len() <= line.len(), "{child:?}");
            }
        }
    }
}

/// Answers on a control connection, as those to FEAT and MLST are read.
pub fn replies(input: &[u8]) {
    let mut parser = ReplyParser::default();
    for line in input.split(|byte| *byte == b'\n') {
        match parser.push(line) {
            Ok(Some(reply)) => {
                assert!((100..600).contains(&reply.code), "{}", reply.code);
                let _ = Features::parse(&reply);
                let _ = listing::machine_entry(&reply.lines);
                let _ = listing::time(reply.first_line());
            }
            Ok(None) => {}
            Err(_) => return,
        }
    }
}
