//! To come.

use crate::process::Outcome;
pub(crate) fn run(_update: bool) -> Outcome {
    Ok(())
}
