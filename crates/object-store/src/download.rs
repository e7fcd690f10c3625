//! Reading an object.

use std::ops::Range;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts_core::{
    ArtifactMeta, ArtifactPath, ByteRange, ByteStream, Digest, Download, Error, ErrorKind, GetOptions,
    Result, verified,
};
use object_store::{GetRange, ObjectMeta};

use crate::error::from_object_store;
use crate::store::{Bucket, changed};

/// A read that has begun.
pub(crate) struct Reading;

impl Reading {
    pub(crate) async fn begin(
        bucket: &Arc<Bucket>,
        path: &ArtifactPath,
        options: GetOptions,
    ) -> Result<Download> {
        // Before a request is made: what makes no sense does not become sensible by the artifact's size.
        if options.digest.is_some() {
            options.resolve(1)?;
        }
        if is_empty(options.range) {
            let refused = Self::unsatisfiable(bucket, path, &options).await;
            return Err(refused.unwrap_or_else(|| Error::new(ErrorKind::Internal, "an empty range is there")));
        }
        if let Some(most) = bucket.most_read.filter(|most| !is_at_most(options.range, *most)) {
            return Self::in_pieces(bucket, path, options, most).await;
        }
        let request = object_store::GetOptions {
            range: range_of(options.range),
            if_match: options.if_match.clone(),
            ..Default::default()
        };
        let answer = bucket.objects.get_opts(&bucket.key(path)?, request).await;
        let answer = match answer.map_err(from_object_store) {
            Ok(answer) => answer,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(bucket.missing(path).await),
            // Each server has its own way of saying that a range is not there.
            Err(error) if options.range != ByteRange::Full => {
                return Err(Self::unsatisfiable(bucket, path, &options).await.unwrap_or(error));
            }
            Err(error) => return Err(error),
        };
        // A server that knows no such condition answers whatever there is.
        check_etag(&options, &answer.meta)?;
        let meta = Bucket::meta(path.clone(), &answer.meta);
        let range = options.resolve(meta.size)?;
        if answer.range != range {
            let message = format!("the server sent the bytes {:?} instead of {range:?}", answer.range);
            return Err(Error::new(ErrorKind::Protocol, message));
        }
        let pieces = answer.into_stream().map_err(from_object_store).boxed();
        Ok(download(meta, range, pieces, options.digest))
    }

    /// By requests of at most so many bytes, each for the object that was there at first.
    async fn in_pieces(
        bucket: &Arc<Bucket>,
        path: &ArtifactPath,
        options: GetOptions,
        most: u64,
    ) -> Result<Download> {
        let Some(found) = bucket.object(path).await? else { return Err(bucket.missing(path).await) };
        check_etag(&options, &found)?;
        let meta = Bucket::meta(path.clone(), &found);
        let range = options.resolve(meta.size)?;
        let end = range.end;
        let starts = range.clone().step_by(usize::try_from(most).unwrap_or(usize::MAX));
        let bucket = Arc::clone(bucket);
        let pieces = stream::iter(starts).then(move |start| {
            let request = object_store::GetOptions {
                range: Some(GetRange::Bounded(start..end.min(start.saturating_add(most)))),
                if_match: found.e_tag.clone(),
                ..Default::default()
            };
            let (bucket, key) = (Arc::clone(&bucket), found.location.clone());
            async move {
                let answer = bucket.objects.get_opts(&key, request).await.map_err(from_object_store)?;
                Ok(answer.into_stream().map_err(from_object_store))
            }
        });
        Ok(download(meta, range, pieces.try_flatten().boxed(), options.digest))
    }

    /// The error of a range that is not there, or of what is in its way; `None` if it is there.
    async fn unsatisfiable(bucket: &Bucket, path: &ArtifactPath, options: &GetOptions) -> Option<Error> {
        let found = match bucket.object(path).await {
            Ok(Some(found)) => found,
            Ok(None) => return Some(bucket.missing(path).await),
            Err(error) => return Some(error),
        };
        check_etag(options, &found).and_then(|()| options.resolve(found.size)).err()
    }
}

/// What is read, its bytes counted and compared with the digest.
fn download(meta: ArtifactMeta, range: Range<u64>, pieces: ByteStream, digest: Option<Digest>) -> Download {
    let named = meta.path.clone();
    let stream = verified(pieces, Some(range.end - range.start), digest)
        .map_err(move |error| error.with_operation("get").with_path(&named))
        .boxed();
    Download { meta, range, stream, file: None }
}

fn check_etag(options: &GetOptions, found: &ObjectMeta) -> Result<()> {
    if options.if_match.is_none() || options.if_match == found.e_tag {
        return Ok(());
    }
    Err(changed())
}

/// No header can say it.
fn is_empty(range: ByteRange) -> bool {
    matches!(range, ByteRange::Between(start, end) if start >= end) || range == ByteRange::Last(0)
}

/// Whether it is known to be no more bytes.
fn is_at_most(range: ByteRange, bytes: u64) -> bool {
    match range {
        ByteRange::Between(start, end) => end - start <= bytes,
        ByteRange::Last(count) => count <= bytes,
        ByteRange::Full | ByteRange::From(_) => false,
    }
}

fn range_of(range: ByteRange) -> Option<GetRange> {
    match range {
        ByteRange::Full => None,
        ByteRange::From(start) => Some(GetRange::Offset(start)),
        ByteRange::Between(start, end) => Some(GetRange::Bounded(start..end)),
        ByteRange::Last(count) => Some(GetRange::Suffix(count)),
    }
}
