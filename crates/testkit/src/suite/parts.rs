//! Uploads in parts.

use bytes::Bytes;
use futures_util::future::try_join_all;
use mlflow_artifacts_core::{
    Capabilities, Digest, DigestAlgorithm, ErrorKind, PartLimits, PartReceipt, PutMode, Result, Upload,
    UploadOptions, UploadToken,
};

use crate::bench::{Bench, length, path, refused, refused_for, same_bytes};
use crate::bodies::{chunked, failing, random_bytes};

fn limits(bench: &Bench) -> PartLimits {
    bench.store.limits().parts.expect("a store with MULTIPART tells the limits of parts")
}

/// The size of the parts that the cases put: small, but accepted.
fn part_size(bench: &Bench) -> usize {
    let limits = limits(bench);
    usize::try_from((64 << 10).clamp(limits.min_size, limits.max_size)).expect("a part fits into memory")
}

async fn begin_as(bench: &Bench, at: &str, mode: PutMode) -> Result<Box<dyn Upload>> {
    let options =
        UploadOptions { part_size: Some(part_size(bench) as u64), mode, ..UploadOptions::default() };
    bench.store.begin_upload(&path(at), options).await
}

async fn begin(bench: &Bench, at: &str) -> Result<Box<dyn Upload>> {
    begin_as(bench, at, PutMode::Overwrite).await
}

/// The parts of `content` with their numbers.
fn cut(bench: &Bench, content: &Bytes) -> Vec<(u32, Bytes)> {
    let starts = (0..content.len()).step_by(part_size(bench));
    let part = |start| content.slice(start..content.len().min(start + part_size(bench)));
    (1..).zip(starts.map(part)).collect()
}

async fn put_parts(upload: &dyn Upload, parts: &[(u32, Bytes)]) -> Result<Vec<PartReceipt>> {
    let mut receipts = Vec::new();
    for (number, data) in parts {
        receipts.push(upload.put_part(*number, data.clone()).await?);
    }
    Ok(receipts)
}

fn token(upload: &dyn Upload) -> UploadToken {
    upload.token().expect("a store with RESUME_UPLOAD names its uploads")
}

/// Asserts that the upload with this token is over, where the store can tell.
async fn is_given_up(bench: &Bench, token: Option<UploadToken>) {
    if let Some(token) = token.filter(|_| bench.claims.contains(Capabilities::RESUME_UPLOAD)) {
        refused(bench.store.resume_upload(&token).await, ErrorKind::NotFound);
    }
}

pub(super) async fn sizes_around_the_part_size_are_whole(bench: Bench) -> Result<()> {
    let size = part_size(&bench);
    for total in [1, size - 1, size, size + 1, 2 * size, 2 * size + 1] {
        let content = random_bytes(total as u64, total);
        let upload = begin(&bench, "a/file").await?;
        let receipts = put_parts(&*upload, &cut(&bench, &content)).await?;
        assert!(receipts.iter().zip(1..).all(|(receipt, number)| receipt.number == number));
        assert_eq!(receipts.iter().map(|receipt| receipt.size).sum::<u64>(), total as u64);
        let outcome = upload.complete(receipts).await?;
        assert_eq!(outcome.size, total as u64);
        assert!(outcome.digest.is_none_or(|digest| digest == Digest::of(DigestAlgorithm::Sha256, &content)));
        bench.holds(&[("a/file", &content)]).await?;
    }
    Ok(())
}

pub(super) async fn an_empty_part_makes_an_empty_file(bench: Bench) -> Result<()> {
    let upload = begin(&bench, "file").await?;
    let receipt = upload.put_part(1, Bytes::new()).await?;
    assert_eq!(upload.complete(vec![receipt]).await?.size, 0);
    bench.holds(&[("file", &Bytes::new())]).await
}

pub(super) async fn parts_come_in_any_order_and_in_parallel(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 4 * part_size(&bench) + 17);
    let upload = begin(&bench, "file").await?;
    let parts = cut(&bench, &content);
    let puts = parts.iter().rev().map(|(number, data)| upload.put_part(*number, data.clone()));
    let mut receipts = try_join_all(puts).await?;
    receipts.sort_by_key(|receipt| receipt.number);
    upload.complete(receipts).await?;
    bench.holds(&[("file", &content)]).await
}

pub(super) async fn a_part_comes_as_a_stream(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 2 * part_size(&bench) + 17);
    let upload = begin(&bench, "file").await?;
    let parts = cut(&bench, &content);
    let puts = parts
        .iter()
        .rev()
        .map(|(number, data)| upload.put_part_stream(*number, chunked(data, 10_000), data.len() as u64));
    let mut receipts = try_join_all(puts).await?;
    receipts.sort_by_key(|receipt| receipt.number);
    assert_eq!(receipts.iter().map(|receipt| receipt.size).sum::<u64>(), content.len() as u64);
    upload.complete(receipts).await?;
    bench.holds(&[("file", &content)]).await
}

pub(super) async fn a_part_that_streams_badly_is_refused(bench: Bench) -> Result<()> {
    let content = random_bytes(1, part_size(&bench) + 1_000);
    let upload = begin(&bench, "file").await?;
    let parts = cut(&bench, &content);
    let mut receipts = put_parts(&*upload, &parts).await?;
    let last = &parts[1].1;
    refused(upload.put_part_stream(2, chunked(last, 300), 999).await, ErrorKind::SizeMismatch);
    refused(upload.put_part_stream(2, chunked(last, 300), 1_001).await, ErrorKind::SizeMismatch);
    let breaking = failing(last, 300, ErrorKind::Unavailable);
    refused(upload.put_part_stream(2, breaking, 1_001).await, ErrorKind::Unavailable);
    // The part may be put again, and its neighbour is as it was.
    receipts[1] = upload.put_part_stream(2, chunked(last, 300), 1_000).await?;
    upload.complete(receipts).await?;
    bench.holds(&[("file", &content)]).await
}

pub(super) async fn nothing_is_visible_before_the_end(bench: Bench) -> Result<()> {
    let content = random_bytes(1, part_size(&bench) + 5);
    let upload = begin(&bench, "file").await?;
    let receipts = put_parts(&*upload, &cut(&bench, &content)).await?;
    refused(bench.stat("file").await, ErrorKind::NotFound);
    refused(bench.content("file").await, ErrorKind::NotFound);
    assert_eq!(bench.files().await?, [""; 0]);
    upload.complete(receipts).await?;
    bench.holds(&[("file", &content)]).await
}

pub(super) async fn the_old_content_is_read_until_the_end(bench: Bench) -> Result<()> {
    let (old, new) = (random_bytes(1, 1_000), random_bytes(2, part_size(&bench) + 5));
    bench.put("file", &old).await?;
    let upload = begin(&bench, "file").await?;
    let receipts = put_parts(&*upload, &cut(&bench, &new)).await?;
    same_bytes(&bench.content("file").await?, &old, "the old content");
    upload.complete(receipts).await?;
    bench.holds(&[("file", &new)]).await
}

pub(super) async fn missing_parents_are_made(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 100);
    let upload = begin(&bench, "a/b/c/file").await?;
    let receipts = put_parts(&*upload, &cut(&bench, &content)).await?;
    upload.complete(receipts).await?;
    bench.holds(&[("a/b/c/file", &content)]).await
}

type Spoil = fn(&mut Vec<PartReceipt>);

pub(super) async fn wrong_receipts_are_refused_and_leave_nothing(bench: Bench) -> Result<()> {
    let size = part_size(&bench);
    let old = random_bytes(9, 10);
    bench.put("taken", &old).await?;
    let spoilers: [(&str, Spoil); 6] = [
        ("a gap", |receipts| drop(receipts.remove(1))),
        ("no first part", |receipts| drop(receipts.remove(0))),
        ("a wrong order", |receipts| receipts.swap(0, 1)),
        ("a part twice", |receipts| receipts.insert(0, receipts[0].clone())),
        ("a part that was never put", |receipts| {
            let last = receipts.len() - 1;
            receipts[last].number += 1;
            receipts.insert(last, PartReceipt { number: receipts[last].number - 1, ..receipts[0].clone() });
        }),
        ("a strange etag", |receipts| receipts[1].etag = receipts[0].etag.clone()),
    ];
    for at in ["free", "taken"] {
        for (what, spoil) in spoilers {
            let upload = begin(&bench, at).await?;
            let mut receipts = put_parts(&*upload, &cut(&bench, &random_bytes(1, 2 * size + 5))).await?;
            spoil(&mut receipts);
            let token = upload.token();
            refused_for(upload.complete(receipts).await, ErrorKind::InvalidArgument, what);
            bench.holds(&[("taken", &old)]).await?;
            is_given_up(&bench, token).await;
        }
    }
    Ok(())
}

pub(super) async fn a_short_part_in_the_middle_is_refused(bench: Bench) -> Result<()> {
    let upload = begin(&bench, "file").await?;
    let short = random_bytes(1, part_size(&bench) - 1);
    // A store may refuse it at once or at the end.
    let refusal = match put_parts(&*upload, &[(1, short), (2, random_bytes(2, 5))]).await {
        Ok(receipts) => upload.complete(receipts).await.map(|_| ()),
        Err(error) => upload.abort().await.and(Err(error)),
    };
    refused(refusal, ErrorKind::InvalidArgument);
    bench.becomes_empty().await
}

pub(super) async fn a_malformed_part_is_refused(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 100);
    let upload = begin(&bench, "file").await?;
    let beyond = limits(&bench).max_count + 1;
    refused_for(upload.put_part(0, content.clone()).await, ErrorKind::InvalidArgument, "part 0");
    refused_for(
        upload.put_part(beyond, content.clone()).await,
        ErrorKind::InvalidArgument,
        "a part too many",
    );
    let large = random_bytes(1, part_size(&bench) + 1);
    refused_for(upload.put_part(1, large).await, ErrorKind::InvalidArgument, "a part too large");
    let receipt = upload.put_part(1, content.clone()).await?;
    upload.complete(vec![receipt]).await?;
    bench.holds(&[("file", &content)]).await
}

/// S3 has no upload without parts, other stores make an empty artifact of it: both are whole answers.
pub(super) async fn no_parts_are_an_empty_file_or_refused(bench: Bench) -> Result<()> {
    let upload = begin(&bench, "file").await?;
    match upload.complete(vec![]).await {
        Ok(outcome) => {
            assert_eq!(outcome.size, 0);
            bench.holds(&[("file", &Bytes::new())]).await
        }
        refusal @ Err(_) => {
            refused(refusal, ErrorKind::InvalidArgument);
            bench.becomes_empty().await
        }
    }
}

pub(super) async fn a_part_that_is_put_again_replaces_the_first(bench: Bench) -> Result<()> {
    let size = part_size(&bench);
    let content = random_bytes(1, 2 * size);
    let upload = begin(&bench, "file").await?;
    upload.put_part(1, random_bytes(7, size)).await?;
    let receipts = put_parts(&*upload, &cut(&bench, &content)).await?;
    upload.complete(receipts).await?;
    bench.holds(&[("file", &content)]).await
}

pub(super) async fn the_receipt_of_a_replaced_part_is_refused(bench: Bench) -> Result<()> {
    let size = part_size(&bench);
    let upload = begin(&bench, "file").await?;
    let old = upload.put_part(1, random_bytes(7, size)).await?;
    upload.put_part(1, random_bytes(8, size)).await?;
    refused(upload.complete(vec![old]).await, ErrorKind::InvalidArgument);
    bench.becomes_empty().await
}

pub(super) async fn aborting_leaves_nothing(bench: Bench) -> Result<()> {
    let upload = begin(&bench, "file").await?;
    put_parts(&*upload, &cut(&bench, &random_bytes(1, part_size(&bench) + 5))).await?;
    let token = upload.token();
    upload.abort().await?;
    bench.becomes_empty().await?;
    is_given_up(&bench, token).await;
    bench.becomes_empty().await?;
    // Also when nothing was put.
    begin(&bench, "file").await?.abort().await?;
    bench.becomes_empty().await
}

pub(super) async fn aborting_leaves_no_new_directory(bench: Bench) -> Result<()> {
    for at in ["a/file", "a/b/c/file"] {
        let upload = begin(&bench, at).await?;
        put_parts(&*upload, &cut(&bench, &random_bytes(1, 100))).await?;
        let token = upload.token();
        upload.abort().await?;
        bench.becomes_empty().await?;
        is_given_up(&bench, token).await;
        bench.becomes_empty().await?;
    }
    // Nor in a place where something is kept.
    let kept = random_bytes(2, 10);
    bench.put("kept", &kept).await?;
    begin(&bench, "a/b/c/file").await?.abort().await?;
    assert_eq!(bench.children("").await?, ["kept"]);
    bench.holds(&[("kept", &kept)]).await
}

/// A handle that still puts parts when the upload is complete must not reach into the artifact.
pub(super) async fn a_late_part_does_not_touch_the_artifact(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 100);
    let upload = begin(&bench, "file").await?;
    let late = bench.store.resume_upload(&token(&*upload)).await?;
    let receipts = put_parts(&*upload, &cut(&bench, &content)).await?;
    upload.complete(receipts).await?;
    let _ = late.put_part(1, random_bytes(2, 200)).await;
    bench.holds(&[("file", &content)]).await?;
    let _ = late.abort().await;
    bench.holds(&[("file", &content)]).await
}

pub(super) async fn aborting_keeps_the_old_content(bench: Bench) -> Result<()> {
    let old = random_bytes(1, 10);
    bench.put("file", &old).await?;
    let upload = begin(&bench, "file").await?;
    put_parts(&*upload, &cut(&bench, &random_bytes(2, 100))).await?;
    upload.abort().await?;
    bench.holds(&[("file", &old)]).await
}

pub(super) async fn two_uploads_of_one_path_do_not_mix(bench: Bench) -> Result<()> {
    let size = part_size(&bench);
    let (first, second) = (random_bytes(1, size + 10), random_bytes(2, size + 20));
    let [one, two] = [begin(&bench, "file").await?, begin(&bench, "file").await?];
    let (first_parts, second_parts) = (cut(&bench, &first), cut(&bench, &second));
    let mut first_receipts = put_parts(&*one, &first_parts[..1]).await?;
    let second_receipts = put_parts(&*two, &second_parts).await?;
    first_receipts.extend(put_parts(&*one, &first_parts[1..]).await?);
    two.complete(second_receipts).await?;
    bench.content("file").await.map(|content| same_bytes(&content, &second, "the second upload"))?;
    one.complete(first_receipts).await?;
    bench.holds(&[("file", &first)]).await
}

pub(super) async fn an_upload_is_taken_up_by_its_token(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 3 * part_size(&bench) + 5);
    let parts = cut(&bench, &content);
    let upload = begin(&bench, "a/file").await?;
    let token = token(&*upload);
    let mut receipts = put_parts(&*upload, &parts[..2]).await?;
    drop(upload);
    assert_eq!(bench.files().await?, [""; 0]);
    let token = UploadToken::new(token.as_str().to_owned());
    let upload = bench.store.resume_upload(&token).await?;
    assert_eq!(*upload.path(), path("a/file"));
    assert_eq!(upload.part_size(), part_size(&bench) as u64);
    assert_eq!(upload.token(), Some(token));
    receipts.extend(put_parts(&*upload, &parts[2..]).await?);
    upload.complete(receipts).await?;
    bench.holds(&[("a/file", &content)]).await
}

pub(super) async fn an_upload_is_taken_up_by_a_second_handle(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 2 * part_size(&bench) + 5);
    let parts = cut(&bench, &content);
    let first = begin(&bench, "a/file").await?;
    let mut receipts = put_parts(&*first, &parts[..1]).await?;
    let second = bench.second_handle().await.resume_upload(&token(&*first)).await?;
    // Both go on at once.
    receipts.extend(put_parts(&*second, &parts[1..2]).await?);
    receipts.extend(put_parts(&*first, &parts[2..]).await?);
    drop(first);
    assert_eq!(second.complete(receipts).await?.size, length(&content));
    bench.holds(&[("a/file", &content)]).await
}

pub(super) async fn an_upload_is_aborted_by_a_second_handle(bench: Bench) -> Result<()> {
    let first = begin(&bench, "file").await?;
    put_parts(&*first, &cut(&bench, &random_bytes(1, 100))).await?;
    let token = token(&*first);
    bench.second_handle().await.resume_upload(&token).await?.abort().await?;
    refused_for(
        first.put_part(2, random_bytes(1, 5)).await,
        ErrorKind::NotFound,
        "put_part of an aborted upload",
    );
    is_given_up(&bench, Some(token)).await;
    bench.becomes_empty().await
}

pub(super) async fn a_completed_upload_is_over(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 100);
    let upload = begin(&bench, "file").await?;
    let token = token(&*upload);
    let other = bench.store.resume_upload(&token).await?;
    let receipts = put_parts(&*upload, &cut(&bench, &content)).await?;
    upload.complete(receipts.clone()).await?;
    refused_for(bench.store.resume_upload(&token).await, ErrorKind::NotFound, "resume_upload");
    refused_for(other.put_part(1, random_bytes(2, 5)).await, ErrorKind::NotFound, "put_part");
    refused_for(other.complete(receipts).await, ErrorKind::NotFound, "complete");
    bench.holds(&[("file", &content)]).await
}

pub(super) async fn a_foreign_token_is_refused(bench: Bench) -> Result<()> {
    let kept = random_bytes(1, 10);
    bench.put("file", &kept).await?;
    for token in ["", "0", "file", "../file", "\"", "{}", "no such upload"] {
        let error =
            bench.store.resume_upload(&UploadToken::new(token)).await.expect_err("it names no upload");
        assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidArgument), "{error:?}");
    }
    bench.holds(&[("file", &kept)]).await
}

pub(super) async fn creating_what_exists_is_refused_at_the_end(bench: Bench) -> Result<()> {
    let (old, new) = (random_bytes(1, 100), random_bytes(2, 100));
    let upload = begin_as(&bench, "file", PutMode::CreateNew).await?;
    let receipts = put_parts(&*upload, &cut(&bench, &new)).await?;
    bench.put("file", &old).await?;
    refused(upload.complete(receipts).await, ErrorKind::AlreadyExists);
    bench.holds(&[("file", &old)]).await?;
    let upload = begin_as(&bench, "free", PutMode::CreateNew).await?;
    let receipts = put_parts(&*upload, &cut(&bench, &new)).await?;
    upload.complete(receipts).await?;
    bench.holds(&[("file", &old), ("free", &new)]).await
}

pub(super) async fn only_the_current_etag_is_replaced(bench: Bench) -> Result<()> {
    let (old, new) = (random_bytes(1, 100), random_bytes(2, 100));
    for changed in [true, false] {
        bench.put("file", &random_bytes(3, 100)).await?;
        let etag = bench.etag("file").await?.expect("a store with REPLACE_IF_MATCH has etags");
        let upload = begin_as(&bench, "file", PutMode::IfMatch(etag)).await?;
        let receipts = put_parts(&*upload, &cut(&bench, &new)).await?;
        if changed {
            bench.put("file", &old).await?;
            refused(upload.complete(receipts).await, ErrorKind::PreconditionFailed);
            bench.holds(&[("file", &old)]).await?;
        } else {
            upload.complete(receipts).await?;
            bench.holds(&[("file", &new)]).await?;
        }
    }
    Ok(())
}

/// Whether at the beginning, with a part or at the end is the store's choice.
async fn is_refused(bench: &Bench, at: &str, kind: ErrorKind) -> Result<()> {
    let refusal = match begin(bench, at).await {
        Ok(upload) => match put_parts(&*upload, &cut(bench, &random_bytes(1, 100))).await {
            Ok(receipts) => upload.complete(receipts).await.map(|_| ()),
            Err(error) => upload.abort().await.and(Err(error)),
        },
        Err(error) => Err(error),
    };
    refused_for(refusal, kind, "an upload");
    Ok(())
}

pub(super) async fn a_directory_is_refused(bench: Bench) -> Result<()> {
    let kept = random_bytes(1, 10);
    bench.put("a/file", &kept).await?;
    is_refused(&bench, "a", ErrorKind::IsADirectory).await?;
    is_refused(&bench, "", ErrorKind::IsADirectory).await?;
    bench.holds(&[("a/file", &kept)]).await
}

pub(super) async fn below_a_file_is_refused(bench: Bench) -> Result<()> {
    let kept = random_bytes(1, 10);
    bench.put("a/file", &kept).await?;
    is_refused(&bench, "a/file/below", ErrorKind::NotADirectory).await?;
    bench.holds(&[("a/file", &kept)]).await
}

pub(super) async fn the_part_size_is_chosen_for_the_length(bench: Bench) -> Result<()> {
    let limits = limits(&bench);
    let wanted = (64 << 20).min(limits.max_size);
    let most = u64::from(limits.max_count).saturating_mul(wanted);
    let total = bench.store.limits().max_size.map_or(most, |max_size| max_size.min(most));
    for length in [None, Some(0), Some(1), Some(total)] {
        let options = UploadOptions { length, ..UploadOptions::default() };
        let upload = bench.store.begin_upload(&path("file"), options).await?;
        let size = upload.part_size();
        assert!((limits.min_size..=limits.max_size).contains(&size), "parts of {size} for {length:?}");
        let room = size.saturating_mul(u64::from(limits.max_count));
        assert!(room >= length.unwrap_or(0), "{length:?} bytes do not fit into parts of {size}");
        upload.abort().await?;
    }
    bench.becomes_empty().await
}

pub(super) async fn the_part_size_is_what_was_asked_for(bench: Bench) -> Result<()> {
    let upload = begin(&bench, "file").await?;
    assert_eq!(upload.part_size(), part_size(&bench) as u64);
    upload.abort().await
}

pub(super) async fn the_digest_is_that_of_the_content(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 2 * part_size(&bench) + 5);
    let upload = begin(&bench, "file").await?;
    let receipts = put_parts(&*upload, &cut(&bench, &content)).await?;
    upload.complete(receipts).await?;
    let digest = bench.stat("file").await?.digest;
    assert_eq!(digest, Some(Digest::of(DigestAlgorithm::Sha256, &content)));
    Ok(())
}
