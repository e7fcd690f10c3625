//! Runs the real command, as a shell does.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod commands;
mod confinement;
mod failures;
mod interrupt;
mod support;
