//! Uploads in parts: blocks that have the upload's name.
//!
//! Sources: Azure Storage REST API, "Put Block", "Put Block List", "Get Block List".
//!
//! A blob has no uploads, only blocks that were put and not committed. The name of each begins with that of its upload, a random
//! one, and ends with its number, which makes all of them equally long, as Azure wants it. Number 0 is no part: it says that the
//! upload was given up, for Azure has no way to take blocks back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mlflow_artifacts_core::{Error, ErrorKind, Result};

/// Random letters of an upload's name. With the number's digits a multiple of three bytes, which has no padding in base 64.
const NAME: usize = 30;
const DIGITS: usize = 6;

/// The name of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UploadName(String);

impl UploadName {
    pub(crate) fn random() -> Self {
        let random = rand::random::<u128>();
        UploadName(format!("{random:032x}")[..NAME].to_owned())
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.len() == NAME && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(UploadName(text.to_owned()));
        }
        Err(Error::new(ErrorKind::InvalidArgument, "this is no upload of a store of Azure"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The block of a part, 1 being the first, as it stands in a URL: letters and digits only.
    pub(crate) fn block(&self, number: u32) -> String {
        BASE64.encode(format!("{}{number:0DIGITS$}", self.0))
    }

    /// The block that says that the upload was given up.
    pub(crate) fn end(&self) -> String {
        self.block(0)
    }

    /// What the service's list of blocks says of the upload.
    pub(crate) fn state(&self, list: &str) -> State {
        let (committed, uncommitted) = list.split_once("<UncommittedBlocks").unwrap_or((list, ""));
        let name = BASE64.encode(&self.0);
        let has = |list: &str, block: &str| list.contains(&format!("<Name>{block}"));
        if has(committed, &name) {
            State::Completed
        } else if has(uncommitted, &self.end()) {
            State::GivenUp
        } else {
            State::Pending
        }
    }
}

/// How far an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Also if it was never heard of: nobody is told that an upload begins.
    Pending,
    Completed,
    GivenUp,
}

/// The body of `Put Block List`. Only what is not committed counts: what another handle has completed is no longer there.
pub(crate) fn block_list(blocks: &[String]) -> String {
    let mut list = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>".to_owned();
    for block in blocks {
        list.extend(["<Uncommitted>", block, "</Uncommitted>"]);
    }
    list + "</BlockList>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_names_of_one_length_that_urls_take() {
        let upload = UploadName::random();
        assert_ne!(upload, UploadName::random());
        assert_eq!(UploadName::parse(upload.as_str()).unwrap(), upload);
        for number in [0, 1, 9, 10, 50_000] {
            let block = upload.block(number);
            assert_eq!(block.len(), 48, "{number}");
            assert!(block.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{block}");
        }
        for text in ["", "../../x", "0123456789abcdef0123456789abcg"] {
            assert!(UploadName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_list_of_blocks_says_how_far_an_upload_is() {
        let (one, other) = (UploadName::random(), UploadName::random());
        let list = |committed: &[String], uncommitted: &[String]| {
            let blocks = |blocks: &[String]| -> String {
                let block = |block: &String| format!("<Block><Name>{block}</Name><Size>1</Size></Block>");
                blocks.iter().map(block).collect()
            };
            let (committed, uncommitted) = (blocks(committed), blocks(uncommitted));
            format!(
                "<BlockList><CommittedBlocks>{committed}</CommittedBlocks>\
                 <UncommittedBlocks>{uncommitted}</UncommittedBlocks></BlockList>"
            )
        };
        let mine = [one.block(1), one.block(2)];
        assert_eq!(one.state(&list(&[other.block(1)], &mine)), State::Pending);
        assert_eq!(one.state(&list(&[], &[other.end(), mine[0].clone()])), State::Pending);
        assert_eq!(one.state(&list(&[], &[mine[0].clone(), one.end()])), State::GivenUp);
        assert_eq!(one.state(&list(&mine, &[])), State::Completed);
        assert_eq!(
            one.state("<BlockList><CommittedBlocks /><UncommittedBlocks /></BlockList>"),
            State::Pending
        );
    }
}
