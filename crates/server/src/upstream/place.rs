//! Which of the places that a tracking server names are in our store. No store is ever opened for one.

use mlflow_artifacts_core::{ArtifactPath, ArtifactUri};

/// Where a URI of artifacts leads in our store, whose own URI is `root`; `None` where it leads anywhere else, or is not plain enough to say.
///
/// `mlflow-artifacts:/1/abc` without a host is what its server serves, which is us. Any other must have all of the root's parts.
pub(crate) fn in_store(root: &str, uri: &str) -> Option<ArtifactPath> {
    // Some cut these off, some decode them: what is written like that could be read in two ways.
    if uri.contains(['?', '#', '%', ';', '\\']) {
        return None;
    }
    let uri = ArtifactUri::parse(uri).ok()?;
    if uri.scheme() == "mlflow-artifacts" {
        let path = uri.raw_path().strip_prefix('/').filter(|_| uri.host().is_none())?;
        return ArtifactPath::parse(path.trim_end_matches('/')).ok().filter(|path| !path.is_root());
    }
    let root = ArtifactUri::parse(root).ok()?;
    let parts = |uri: &ArtifactUri| {
        let texts = [Some(uri.scheme()), uri.host(), uri.user()].map(|part| part.map(str::to_owned));
        (texts, uri.port())
    };
    if uri.password().is_some() || parts(&uri) != parts(&root) {
        return None;
    }
    let absolute = |uri: &ArtifactUri| {
        let path = uri.raw_path().strip_prefix('/')?.trim_end_matches('/').to_owned();
        ArtifactPath::parse(&path).ok()
    };
    absolute(&uri)?.strip_prefix(&absolute(&root)?).filter(|path| !path.is_root())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_store_are_known() {
        for (root, uri, path) in [
            ("s3://bucket", "mlflow-artifacts:/1/abc/artifacts", "1/abc/artifacts"),
            ("s3://bucket", "mlflow-artifacts:///1/abc/artifacts/", "1/abc/artifacts"),
            ("s3://bucket/mlflow", "s3://bucket/mlflow/1/abc", "1/abc"),
            ("s3://bucket/mlflow/?endpoint=***", "s3://bucket/mlflow/1/abc/", "1/abc"),
            ("wasbs://c@account.example/p", "wasbs://c@account.example/p/1", "1"),
            ("/srv/artifacts", "file:///srv/artifacts/1", "1"),
            ("/srv/artifacts", "/srv/artifacts/1", "1"),
            (
                "artifactory://a.example:8443/artifactory/ml",
                "artifactory://a.example:8443/artifactory/ml/1",
                "1",
            ),
        ] {
            assert_eq!(in_store(root, uri), Some(ArtifactPath::parse(path).unwrap()), "{root} {uri}");
        }
    }

    #[test]
    fn everything_else_is_somewhere_else() {
        let root = "s3://bucket/mlflow";
        for uri in [
            "",
            "mlflow-artifacts:/",
            "mlflow-artifacts:1/abc",
            "mlflow-artifacts://other:5000/1/abc",
            "mlflow-artifacts://user@/1",
            "mlflow-artifacts:/../x",
            "mlflow-artifacts:/a/../../x",
            "mlflow-artifacts:/a//b",
            "mlflow-artifacts:/a/./b",
            "mlflow-artifacts:/%2e%2e/x",
            "mlflow-artifacts:/a?x",
            "mlflow-artifacts:/a#/../x",
            "mlflow-artifacts:/a;/../x",
            "mlflow-artifacts:/a\\..\\b",
            "mlflow-artifacts:/a\0",
            "s3://bucket/mlflow",
            "s3://bucket/mlflow/",
            "s3://bucket/mlflowers/1",
            "s3://bucket/other/1",
            "s3://bucket2/mlflow/1",
            "s3://bucket:80/mlflow/1",
            "s3://key:secret@bucket/mlflow/1",
            "s3://key@bucket/mlflow/1",
            "s3a://bucket/mlflow/1",
            "s3://bucket/mlflow/../other/1",
            "file:///etc/passwd",
            "/etc/passwd",
            "mlflow/1",
            "http://127.0.0.1/api/2.0/mlflow-artifacts/artifacts/1",
        ] {
            assert_eq!(in_store(root, uri), None, "{uri}");
        }
        assert_eq!(in_store("/srv/artifacts", "file://host/srv/artifacts/1"), None);
        assert_eq!(in_store("memory:", "memory:/1"), None);
    }
}
