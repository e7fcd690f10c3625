//! Workspaces: each has a part of the store of its own (`mlflow/server/handlers.py`, `_get_workspace_scoped_repo_path_if_enabled`).

use axum::http::{HeaderMap, HeaderName};
use mlflow_artifacts_core::ArtifactPath;

use crate::refusal::{Code, Refusal};

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-mlflow-workspace");

/// Whose artifacts stand at the root, as before there were workspaces.
pub(crate) const DEFAULT: &str = "default";

/// Below it are those of all others.
const FOLDER: &str = "workspaces";

/// Names that no workspace has.
const RESERVED: [&str; 4] = [FOLDER, "api", "ajax-api", "static-files"];

/// The workspace that a request is about; `None` where there are none.
pub(crate) fn of_request(is_enabled: bool, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    if headers.get_all(&HEADER).iter().nth(1).is_some() {
        // Whoever decides, and whoever answers, could each take another one.
        return Err(Refusal::invalid("the request names several workspaces"));
    }
    let name = match headers.get(&HEADER).map(|value| value.to_str()) {
        None => "",
        Some(Ok(name)) => name.trim(),
        Some(Err(_)) => return Err(Refusal::invalid("the name of the workspace is not ASCII")),
    };
    match (is_enabled, name) {
        (false, "") => Ok(None),
        (false, _) => {
            let message = "Workspace APIs are not available: workspaces are not enabled on this server";
            Err(Refusal::new(Code::FeatureDisabled, message))
        }
        (true, "" | DEFAULT) => Ok(Some(DEFAULT.to_owned())),
        (true, name) => check_name(name).map(|()| Some(name.to_owned())),
    }
}

/// As MLflow names them (`mlflow/store/workspace/abstract_store.py`).
fn check_name(name: &str) -> Result<(), Refusal> {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_well_formed = (2..=63).contains(&name.len())
        && name.bytes().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if is_well_formed && !RESERVED.contains(&name) {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "Workspace name {name:?} is not one: 2 to 63 lowercase letters, digits and inner hyphens"
    )))
}

/// An artifact of a workspace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scoped {
    /// As the workspace sees it.
    pub(crate) within: ArtifactPath,
    /// Where it stands in the store.
    pub(crate) stored: ArtifactPath,
}

impl Scoped {
    /// What stands in this directory.
    pub(crate) fn child(&self, name: &str) -> Result<Self, Refusal> {
        Ok(Scoped { within: self.within.child(name)?, stored: self.stored.child(name)? })
    }
}

/// What a path means in a workspace; it may name its own workspace itself.
pub(crate) fn scoped(workspace: Option<&str>, path: ArtifactPath) -> Result<Scoped, Refusal> {
    let Some(workspace) = workspace else { return Ok(Scoped { within: path.clone(), stored: path }) };
    let mut segments = path.segments();
    if segments.next().is_some_and(|first| first.eq_ignore_ascii_case(FOLDER)) {
        let named = segments.next().ok_or_else(|| {
            Refusal::invalid("Artifact paths prefixed with 'workspaces/' must include a workspace name.")
        })?;
        if named != workspace {
            return Err(Refusal::invalid(format!(
                "Artifact path targets workspace '{named}' but the workspace specified in the request is '{workspace}'."
            )));
        }
        let within = ArtifactPath::parse(&segments.collect::<Vec<_>>().join("/"))?;
        return Ok(Scoped { within, stored: path });
    }
    drop(segments);
    if workspace == DEFAULT {
        return Ok(Scoped { within: path.clone(), stored: path });
    }
    let folder = format!("{FOLDER}/{workspace}");
    let stored = if path.is_root() { folder } else { format!("{folder}/{path}") };
    Ok(Scoped { within: path, stored: ArtifactPath::parse(&stored)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &str) -> HeaderMap {
        [(HEADER, name.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn each_has_a_part_of_its_own() {
        let scoped = |workspace, path| {
            let scoped = scoped(Some(workspace), ArtifactPath::parse(path).unwrap()).ok()?;
            Some((scoped.within.to_string(), scoped.stored.to_string()))
        };
        for (workspace, path, within, stored) in [
            ("default", "1/a", "1/a", "1/a"),
            ("default", "workspaces/default/1", "1", "workspaces/default/1"),
            ("team", "1/a", "1/a", "workspaces/team/1/a"),
            ("team", "", "", "workspaces/team"),
            ("team", "workspaces/team/1", "1", "workspaces/team/1"),
            ("team", "workspaces/team", "", "workspaces/team"),
        ] {
            let expected = Some((within.to_owned(), stored.to_owned()));
            assert_eq!(scoped(workspace, path), expected, "{workspace} {path}");
        }
        for (workspace, path) in [
            ("default", "workspaces/team/1"),
            ("team", "workspaces/other/1"),
            ("team", "WorkSpaces/other/1"),
            ("team", "workspaces"),
        ] {
            assert_eq!(scoped(workspace, path), None, "{workspace} {path}");
        }
    }

    #[test]
    fn a_name_is_refused_where_there_are_none_or_it_is_no_name() {
        assert!(of_request(false, &HeaderMap::new()).unwrap().is_none());
        assert!(of_request(false, &headers("team")).is_err());
        assert_eq!(of_request(true, &headers(" team ")).unwrap().as_deref(), Some("team"));
        assert_eq!(of_request(true, &HeaderMap::new()).unwrap().as_deref(), Some("default"));
        let mut several = headers("team");
        several.append(HEADER, "other".parse().unwrap());
        assert!(of_request(true, &several).is_err());
        for name in ["a", "Team", "-a", "a-", "a/b", "..", "api", "workspaces", "a_b"] {
            assert!(of_request(true, &headers(name)).is_err(), "{name}");
        }
    }
}
