//! How a transfer is to go.

use mlflow_artifacts_core::Properties;

/// What is compared after a file was transferred. Sizes always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Digests wherever the store offers one.
    #[default]
    Offered,
    /// Digests always: where the store offers none, the source and the written copy are both read again. This happens when the
    /// file is in place: a copy that differs is removed, and what it replaced is gone; when it is cancelled, the copy stays.
    ReadBack,
}

/// The limits of a transfer and what it checks.
#[derive(Clone, Debug)]
pub struct TransferOptions {
    /// Files in flight at once, at least 1.
    pub files: usize,
    /// Parts in flight at once for each large file, at least 1.
    pub parts: usize,
    /// Bytes of content held in memory at once by all files together. Where a single part is larger, one part at a time.
    pub memory: u64,
    /// Bytes of each part of a large file; `None` chooses by the file's size and the store's limits.
    pub part_size: Option<u64>,
    /// What is compared afterwards.
    pub verify: Verify,
    /// Kept with every artifact that is uploaded or copied to a store; a download has no use for them. Only where the target has
    /// [`PROPERTIES`](mlflow_artifacts_core::Capabilities::PROPERTIES) may there be any.
    pub properties: Properties,
}

impl Default for TransferOptions {
    fn default() -> Self {
        TransferOptions {
            files: 16,
            parts: 4,
            memory: 32 << 20,
            part_size: None,
            verify: Verify::default(),
            properties: Properties::new(),
        }
    }
}
