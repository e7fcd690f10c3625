//! Reading content.

use futures_util::StreamExt as _;
use mlflow_artifacts_core::{ByteRange, Digest, DigestAlgorithm, Download, ErrorKind, GetOptions, Result};

use crate::bench::{Bench, length, path, refused, refused_for, same_bytes};
use crate::bodies::random_bytes;

async fn get(bench: &Bench, at: &str, options: GetOptions) -> Result<Download> {
    bench.store.get(&path(at), options).await
}

async fn get_range(bench: &Bench, at: &str, range: ByteRange) -> Result<Download> {
    get(bench, at, GetOptions { range, ..GetOptions::default() }).await
}

pub(super) async fn a_file_is_read_whole(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 100_000);
    bench.put("a/file", &content).await?;
    let download = get(&bench, "a/file", GetOptions::default()).await?;
    assert_eq!(download.meta.path, path("a/file"));
    assert_eq!(download.meta.size, 100_000);
    assert!(!download.meta.is_directory());
    assert_eq!(download.range, 0..100_000);
    same_bytes(&download.bytes().await?, &content, "the download");
    Ok(())
}

pub(super) async fn sizes_around_powers_of_two_are_read_whole(bench: Bench) -> Result<()> {
    for size in [0, 1, 2, 4095, 4096, 4097, 65_535, 65_536, 65_537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1] {
        let content = random_bytes(size as u64, size);
        let outcome = bench.put("file", &content).await?;
        assert_eq!(outcome.size, size as u64);
        assert_eq!(bench.stat("file").await?.size, size as u64);
        same_bytes(&bench.content("file").await?, &content, "the download");
    }
    Ok(())
}

pub(super) async fn an_empty_file_has_no_bytes(bench: Bench) -> Result<()> {
    bench.put("empty", &random_bytes(0, 0)).await?;
    let download = get(&bench, "empty", GetOptions::default()).await?;
    assert_eq!((download.meta.size, download.range.clone()), (0, 0..0));
    assert!(download.bytes().await?.is_empty());
    Ok(())
}

pub(super) async fn what_is_absent_is_not_found(bench: Bench) -> Result<()> {
    bench.put("file", &random_bytes(1, 10)).await?;
    refused(get(&bench, "fil", GetOptions::default()).await, ErrorKind::NotFound);
    refused(get(&bench, "files", GetOptions::default()).await, ErrorKind::NotFound);
    refused(get(&bench, "no/such/file", GetOptions::default()).await, ErrorKind::NotFound);
    Ok(())
}

pub(super) async fn what_is_below_a_file_is_not_found(bench: Bench) -> Result<()> {
    bench.put("file", &random_bytes(1, 10)).await?;
    refused(get(&bench, "file/below", GetOptions::default()).await, ErrorKind::NotFound);
    refused(get(&bench, "file/far/below", GetOptions::default()).await, ErrorKind::NotFound);
    Ok(())
}

pub(super) async fn a_directory_is_refused(bench: Bench) -> Result<()> {
    bench.put("directory/file", &random_bytes(1, 10)).await?;
    refused(get(&bench, "directory", GetOptions::default()).await, ErrorKind::IsADirectory);
    Ok(())
}

pub(super) async fn the_root_is_refused(bench: Bench) -> Result<()> {
    refused_for(
        get(&bench, "", GetOptions::default()).await,
        ErrorKind::IsADirectory,
        "get of an empty root",
    );
    bench.put("file", &random_bytes(1, 10)).await?;
    refused_for(get(&bench, "", GetOptions::default()).await, ErrorKind::IsADirectory, "get of the root");
    Ok(())
}

pub(super) async fn ranges_answer_exactly_their_bytes(bench: Bench) -> Result<()> {
    for size in [1_usize, 2, 10, 70_000] {
        let content = random_bytes(1, size);
        bench.put("file", &content).await?;
        let size = size as u64;
        let offsets = [0, 1, 2, size / 2, size - 1, size, size + 1, u64::MAX];
        let mut ranges = vec![ByteRange::Full];
        for start in offsets {
            ranges.extend([ByteRange::From(start), ByteRange::Last(start)]);
            ranges.extend(offsets.map(|end| ByteRange::Between(start, end)));
        }
        for range in ranges {
            let what = format!("{range:?} of {size}");
            let answer = get_range(&bench, "file", range).await;
            match range.resolve(size) {
                Err(_) => refused_for(answer, ErrorKind::RangeNotSatisfiable, &what),
                Ok(expected) => {
                    let download = answer?;
                    assert_eq!(download.range, expected, "{what}");
                    assert_eq!(download.meta.size, size, "the size of the whole artifact, for {what}");
                    let indexes = usize::try_from(expected.start).expect("it fits")
                        ..usize::try_from(expected.end).expect("it fits");
                    same_bytes(&download.bytes().await?, &content.slice(indexes), &what);
                }
            }
        }
    }
    Ok(())
}

pub(super) async fn ranges_of_an_empty_file_are_refused(bench: Bench) -> Result<()> {
    bench.put("empty", &random_bytes(0, 0)).await?;
    for range in [ByteRange::From(0), ByteRange::Between(0, 1), ByteRange::Last(1), ByteRange::Last(0)] {
        let answer = get_range(&bench, "empty", range).await;
        refused_for(answer, ErrorKind::RangeNotSatisfiable, &format!("{range:?}"));
    }
    Ok(())
}

pub(super) async fn ranges_of_what_is_absent_are_not_found(bench: Bench) -> Result<()> {
    bench.put("directory/file", &random_bytes(1, 10)).await?;
    refused(get_range(&bench, "absent", ByteRange::From(1)).await, ErrorKind::NotFound);
    refused(get_range(&bench, "directory", ByteRange::From(1)).await, ErrorKind::IsADirectory);
    Ok(())
}

pub(super) async fn the_right_digest_is_accepted(bench: Bench) -> Result<()> {
    for size in [0, 1, 100_000] {
        let content = random_bytes(1, size);
        bench.put("file", &content).await?;
        let digest = Some(Digest::of(DigestAlgorithm::Sha256, &content));
        let download = get(&bench, "file", GetOptions { digest, ..GetOptions::default() }).await?;
        same_bytes(&download.bytes().await?, &content, "the download");
    }
    Ok(())
}

pub(super) async fn a_wrong_digest_ends_the_download_with_an_error(bench: Bench) -> Result<()> {
    for size in [0, 1, 100_000] {
        bench.put("file", &random_bytes(1, size)).await?;
        let digest = Some(Digest::of(DigestAlgorithm::Sha256, b"something else"));
        let answer = match get(&bench, "file", GetOptions { digest, ..GetOptions::default() }).await {
            Ok(download) => {
                assert!(download.file.is_none(), "an open file would go round the digest check");
                download.bytes().await
            }
            Err(error) => Err(error),
        };
        refused_for(answer, ErrorKind::ChecksumMismatch, &format!("get of {size} bytes"));
    }
    Ok(())
}

pub(super) async fn a_digest_with_a_range_is_refused(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 100);
    bench.put("file", &content).await?;
    let digest = Some(Digest::of(DigestAlgorithm::Sha256, &content));
    let options = GetOptions { digest, range: ByteRange::From(1), ..GetOptions::default() };
    refused(get(&bench, "file", options).await, ErrorKind::InvalidArgument);
    Ok(())
}

pub(super) async fn the_current_etag_is_accepted(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 1000);
    bench.put("file", &content).await?;
    let if_match = bench.etag("file").await?;
    assert!(if_match.is_some(), "a store with IF_MATCH has etags");
    let download = get(&bench, "file", GetOptions { if_match, ..GetOptions::default() }).await?;
    same_bytes(&download.bytes().await?, &content, "the download");
    Ok(())
}

pub(super) async fn an_old_etag_is_refused(bench: Bench) -> Result<()> {
    bench.put("file", &random_bytes(1, 1000)).await?;
    let old = bench.etag("file").await?;
    bench.put("file", &random_bytes(2, 1000)).await?;
    let options = |range| GetOptions { if_match: old.clone(), range, ..GetOptions::default() };
    refused(get(&bench, "file", options(ByteRange::Full)).await, ErrorKind::PreconditionFailed);
    if bench.claims.contains(mlflow_artifacts_core::Capabilities::RANGE) {
        refused(get(&bench, "file", options(ByteRange::From(5))).await, ErrorKind::PreconditionFailed);
    }
    Ok(())
}

pub(super) async fn an_etag_of_what_is_gone_is_not_found(bench: Bench) -> Result<()> {
    bench.put("file", &random_bytes(1, 1000)).await?;
    let if_match = bench.etag("file").await?;
    bench.store.delete(&path("file"), mlflow_artifacts_core::DeleteOptions::default()).await?;
    let answer = get(&bench, "file", GetOptions { if_match, ..GetOptions::default() }).await;
    refused(answer, ErrorKind::NotFound);
    Ok(())
}

/// A store may hand out the open file behind a download: it must be the one the metadata is about.
pub(super) async fn an_open_file_holds_the_same_bytes(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 50_000);
    bench.put("file", &content).await?;
    let download = get(&bench, "file", GetOptions::default()).await?;
    bench.put("file", &random_bytes(2, 60_000)).await?;
    if let Some(file) = &download.file {
        same_bytes(&file.read_all()?.into(), &content, "the open file");
    }
    Ok(())
}

pub(super) async fn a_download_can_be_abandoned(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 3 << 20);
    bench.put("file", &content).await?;
    for _ in 0..10 {
        let mut download = get(&bench, "file", GetOptions::default()).await?;
        let first = download.stream.next().await.transpose()?.expect("there are bytes");
        assert!(content.starts_with(&first));
    }
    assert_eq!(bench.stat("file").await?.size, length(&content));
    bench.put("file", &random_bytes(2, 10)).await?;
    bench.holds(&[("file", &random_bytes(2, 10))]).await
}

pub(super) async fn a_second_handle_reads_the_same(bench: Bench) -> Result<()> {
    let content = random_bytes(1, 1000);
    bench.put("a/file", &content).await?;
    let second = bench.second_handle().await;
    let download = second.get(&path("a/file"), GetOptions::default()).await?;
    assert_eq!(download.meta.etag, bench.etag("a/file").await?);
    same_bytes(&download.bytes().await?, &content, "the download");
    Ok(())
}
