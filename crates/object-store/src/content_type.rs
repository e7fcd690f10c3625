//! What a name says of the content.

use mlflow_artifacts_core::ArtifactPath;
use object_store::{Attribute, Attributes};

/// The content type and encoding of the artifact at a path, guessed by its name as MLflow does.
pub fn content_type(path: &ArtifactPath) -> Attributes {
    let mut attributes = Attributes::new();
    let name = path.file_name().unwrap_or_default();
    let (name, encoding) = match name.rsplit_once('.') {
        Some((inner, "gz")) => (inner, Some("gzip")),
        Some((inner, "bz2")) => (inner, Some("bzip2")),
        Some((inner, "xz")) => (inner, Some("xz")),
        Some((inner, "br")) => (inner, Some("br")),
        _ => (name, None),
    };
    if let Some(guess) = mime_guess::from_path(name).first_raw() {
        attributes.insert(Attribute::ContentType, guess.into());
    }
    if let Some(encoding) = encoding {
        attributes.insert(Attribute::ContentEncoding, encoding.into());
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_guessed_by_the_name() {
        let told = |name: &str| {
            let attributes = content_type(&ArtifactPath::parse(name).unwrap());
            let of = |attribute| attributes.get(&attribute).map(|value| value.to_string());
            (of(Attribute::ContentType), of(Attribute::ContentEncoding))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(told("a/metrics.json"), (some("application/json"), None));
        assert_eq!(told("plot.png"), (some("image/png"), None));
        assert_eq!(told("a.tar.gz"), (some("application/x-tar"), some("gzip")));
        assert_eq!(told("model.unknown"), (None, None));
        assert_eq!(told("MLmodel"), (None, None));
    }
}
