//! What is answered to a request that cannot be met.

use std::fmt::Display;

/// A status, and the error that the answer's body tells.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Display) -> Self {
        Refusal { status, code, message: message.to_string() }
    }

    pub(crate) fn no_key(key: &str) -> Self {
        Refusal::new(404, "NoSuchKey", format!("The specified key does not exist: {key}"))
    }

    pub(crate) fn precondition() -> Self {
        let message = "At least one of the pre-conditions you specified did not hold.";
        Refusal::new(412, "PreconditionFailed", message)
    }

    pub(crate) fn invalid(message: impl Display) -> Self {
        Refusal::new(400, "InvalidArgument", message)
    }

    pub(crate) fn xml(&self) -> String {
        let message = escaped(&self.message);
        format!(
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{}</Code><Message>{message}</Message></Error>",
            self.code
        )
    }
}

/// Text as XML has it.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
