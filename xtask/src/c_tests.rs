//! To come.

use crate::process::Outcome;
pub(crate) fn run() -> Outcome<usize> {
    Ok(0)
}
