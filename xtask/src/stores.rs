//! Stores of every kind, behind servers, for the tests of the bindings.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::process::{Outcome, cargo, fail, first_line};

/// They end when it is dropped.
pub(crate) struct Stores {
    servers: Child,
    _emulator: Emulator,
    /// The URI of each, and the environment variables and options that open it.
    list: Vec<Value>,
}

impl Stores {
    pub(crate) fn start() -> Outcome<Self> {
        let emulator = Emulator::start(&[])?;
        let arguments =
            ["run", "--quiet", "--package", "mlflow-artifacts-test-servers", "--example", "stores"];
        let mut servers = cargo(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let line = first_line(&mut servers)?;
        let mut list: Vec<Value> = match serde_json::from_str(&line) {
            Ok(list) => list,
            Err(error) => return fail(format!("the servers printed {line:?}: {error}")),
        };
        list.push(json!({
            "name": "artifactory",
            "uri": emulator.uri("bindings"),
            "environment": Value::from_iter(Emulator::ENVIRONMENT),
            "options": {},
        }));
        Ok(Stores { servers, _emulator: emulator, list })
    }

    /// Tells tests of all stores, in a variable that both bindings read, and how to open them.
    pub(crate) fn tell(&self, tests: &mut Command) {
        tests.env("MLFA_TEST_STORES", Value::from(self.list.clone()).to_string());
        for (name, value) in self.list.iter().filter_map(|store| store["environment"].as_object()).flatten() {
            tests.env(name, value.as_str().unwrap_or_default());
        }
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        // They end with their standard input.
        drop(self.servers.stdin.take());
        let _ = self.servers.wait();
    }
}
