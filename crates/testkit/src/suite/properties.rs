//! Named values that are kept with artifacts.

use mlflow_artifacts_core::{
    CopyOptions, ErrorKind, Properties, PutBody, PutOptions, PutOutcome, Result, UploadOptions,
};

use crate::bench::{Bench, path, refused};
use crate::bodies::random_bytes;

/// Properties as they are written down in a test.
pub(super) fn properties(pairs: &[(&str, &[&str])]) -> Properties {
    let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    pairs.iter().map(|(name, values)| ((*name).to_owned(), owned(values))).collect()
}

async fn put_with(bench: &Bench, at: &str, seed: u64, kept: &Properties) -> Result<PutOutcome> {
    let options = PutOptions { properties: kept.clone(), ..PutOptions::default() };
    bench.store.put(&path(at), PutBody::Bytes(random_bytes(seed, 100)), options).await
}

pub(super) async fn those_of_the_put_are_kept(bench: Bench) -> Result<()> {
    let kept = properties(&[("mlflow.run_id", &["0123abcd"]), ("stage", &["test", "production"])]);
    for (form, body) in bench.bodies(&random_bytes(1, 50_000)) {
        let at = format!("a/{form}");
        let options = PutOptions { properties: kept.clone(), ..PutOptions::default() };
        bench.store.put(&path(&at), body, options).await?;
        assert_eq!(bench.store.properties(&path(&at)).await?, kept, "{form}");
    }
    assert_eq!(bench.second_handle().await.properties(&path("a/bytes")).await?, kept);
    Ok(())
}

/// No value is taken for a separator of whatever carries it.
pub(super) async fn any_value_is_kept(bench: Bench) -> Result<()> {
    let values: &[&[&str]] = &[
        &["a b", " a ", "a+b", "100%", "%20"],
        &["a;b=c", "a,b", ",", "a|b", "a=b", "a\\b", "\\,"],
        &["a/b", "a?b", "a#b", "a&b=c", "\"quoted\"", "it's", "<b>", "[a]{b}"],
        &["na\u{ef}ve", "模型", "🤖"],
    ];
    for (round, values) in values.iter().enumerate() {
        let kept = properties(&[("name", values), ("other", &["x"])]);
        let at = format!("file{round}");
        put_with(&bench, &at, 1, &kept).await?;
        let mut told = bench.store.properties(&path(&at)).await?;
        // Which value comes first is the store's choice.
        let mut expected = kept.clone();
        told.values_mut().chain(expected.values_mut()).for_each(|values| values.sort_unstable());
        assert_eq!(told, expected);
    }
    Ok(())
}

pub(super) async fn a_replacement_replaces_them(bench: Bench) -> Result<()> {
    let (old, new) = (properties(&[("a", &["1"]), ("b", &["2"])]), properties(&[("b", &["3"])]));
    put_with(&bench, "file", 1, &old).await?;
    put_with(&bench, "file", 2, &new).await?;
    assert_eq!(bench.store.properties(&path("file")).await?, new);
    bench.put("file", &random_bytes(3, 100)).await?;
    assert_eq!(bench.store.properties(&path("file")).await?, Properties::new());
    Ok(())
}

/// The content alone does not say whether something is to be written.
pub(super) async fn the_same_content_with_others_gets_them(bench: Bench) -> Result<()> {
    let kept = properties(&[("a", &["1"])]);
    bench.put("file", &random_bytes(1, 100)).await?;
    put_with(&bench, "file", 1, &kept).await?;
    assert_eq!(bench.store.properties(&path("file")).await?, kept);
    put_with(&bench, "copy", 1, &properties(&[("a", &["2"])])).await?;
    assert_eq!(bench.store.properties(&path("file")).await?, kept);
    Ok(())
}

pub(super) async fn directories_have_none(bench: Bench) -> Result<()> {
    put_with(&bench, "a/file", 1, &properties(&[("a", &["1"])])).await?;
    for directory in ["", "a"] {
        assert_eq!(bench.store.properties(&path(directory)).await?, Properties::new(), "{directory:?}");
    }
    Ok(())
}

pub(super) async fn those_of_what_is_absent_are_not_found(bench: Bench) -> Result<()> {
    refused(bench.store.properties(&path("file")).await, ErrorKind::NotFound);
    Ok(())
}

pub(super) async fn a_copy_keeps_them(bench: Bench) -> Result<()> {
    let kept = properties(&[("a", &["1", "2"]), ("b", &["x;y,z"])]);
    put_with(&bench, "from", 1, &kept).await?;
    put_with(&bench, "to", 2, &properties(&[("c", &["3"])])).await?;
    bench.store.copy(&path("from"), &path("to"), CopyOptions::default()).await?;
    assert_eq!(bench.store.properties(&path("to")).await?, kept);
    Ok(())
}

pub(super) async fn those_of_an_upload_are_kept(bench: Bench) -> Result<()> {
    let kept = properties(&[("mlflow.run_id", &["0123abcd"])]);
    let options = UploadOptions { properties: kept.clone(), ..UploadOptions::default() };
    let upload = bench.store.begin_upload(&path("file"), options).await?;
    let receipt = upload.put_part(1, random_bytes(1, 100)).await?;
    upload.complete(vec![receipt]).await?;
    assert_eq!(bench.store.properties(&path("file")).await?, kept);
    Ok(())
}
