//! To come.

use crate::process::Outcome;
pub(crate) fn run(_dry_run: bool) -> Outcome {
    Ok(())
}
