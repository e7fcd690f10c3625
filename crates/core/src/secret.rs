//! A value that must never be shown.

use std::fmt;

use zeroize::Zeroizing;

/// A password, token or key: wiped from memory when dropped, shown as `***` wherever it is printed.
///
/// ```
/// use mlflow_artifacts_core::Secret;
/// let token = Secret::new("canary");
/// assert_eq!(format!("{token:?}"), "***");
/// assert_eq!(token.expose(), "canary");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the value over.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(Zeroizing::new(value.into()))
    }

    /// The value itself: only for the place that sends it to its host.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
