//! What requests are signed with.

/// An access key as S3 knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The access key's identifier.
    pub id: String,
    /// What signs requests. These servers keep nothing that is worth a secret.
    pub secret: String,
}
