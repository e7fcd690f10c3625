//! Runs the real command, as a shell does.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod artifactory;
mod commands;
mod confinement;
mod doctor;
mod failures;
mod interrupt;
mod operations;
mod serve;
mod support;
