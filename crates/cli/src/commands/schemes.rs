//! `schemes`: what can be opened, and with which options.

use mlflow_artifacts::{ConfigKey, Error, ErrorKind, Registry};
use serde::Serialize;

use crate::exit::Failure;
use crate::output::{write_json, write_table};

pub(crate) fn run(registry: &Registry, scheme: Option<&str>, json: bool) -> Result<(), Failure> {
    let schemes: Vec<_> = registry.schemes().collect();
    let Some(scheme) = scheme else {
        let row = |scheme: &&str| vec![(*scheme).to_owned()];
        let rows: Vec<_> = schemes.iter().map(row).collect();
        return Ok(if json { write_json(&schemes) } else { write_table(&rows) }?);
    };
    let keys = registry.keys(&scheme.to_ascii_lowercase()).ok_or_else(|| {
        Error::new(ErrorKind::UnknownScheme, format!("no store is known for the scheme {scheme:?}"))
            .with_help(format!("known are: {}", schemes.join(", ")))
    })?;
    let keys: Vec<_> = keys.iter().map(Key::from).collect();
    Ok(if json { write_json(&keys) } else { write_table(&table(&keys)) }?)
}

#[derive(Serialize)]
struct Key {
    name: &'static str,
    environment: &'static [&'static str],
    default: Option<&'static str>,
    secret: bool,
    in_uri: bool,
    description: &'static str,
}

impl From<&ConfigKey> for Key {
    fn from(key: &ConfigKey) -> Self {
        let &ConfigKey { name, env, default, secret, in_uri, doc } = key;
        Key { name, environment: env, default, secret, in_uri, description: doc }
    }
}

fn table(keys: &[Key]) -> Vec<Vec<String>> {
    let heading = ["OPTION", "ENVIRONMENT", "DEFAULT", "SECRET", "DESCRIPTION"].map(str::to_owned).to_vec();
    let row = |key: &Key| {
        let environment =
            if key.environment.is_empty() { "-".to_owned() } else { key.environment.join(", ") };
        let secret = if key.secret { "yes" } else { "no" };
        vec![
            key.name.to_owned(),
            environment,
            key.default.unwrap_or("-").to_owned(),
            secret.to_owned(),
            key.description.to_owned(),
        ]
    };
    std::iter::once(heading).chain(keys.iter().map(row)).collect()
}
