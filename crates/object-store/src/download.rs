//! Reading an object.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};
use mlflow_artifacts_core::{ArtifactPath, ByteRange, Download, Error, ErrorKind, GetOptions, Result, verified};
use object_store::{GetRange, ObjectMeta};

use crate::error::from_object_store;
use crate::store::Bucket;

/// A read that has begun.
pub(crate) struct Reading;

impl Reading {
    pub(crate) async fn begin(bucket: &Arc<Bucket>, path: &ArtifactPath, options: GetOptions) -> Result<Download> {
        // Before a request is made: what makes no sense does not become sensible by the artifact's size.
        if options.digest.is_some() {
            options.resolve(1)?;
        }
        if options.range == ByteRange::Between(0, 0) || is_backwards(options.range) {
            return Err(Self::unsatisfiable(bucket, path, &options).await);
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
            Err(error) if error.kind() == ErrorKind::RangeNotSatisfiable => {
                return Err(Self::unsatisfiable(bucket, path, &options).await);
            }
            Err(error) => return Err(error),
        };
        let meta = Bucket::meta(path.clone(), &answer.meta);
        // A server that knows no such condition answers whatever there is.
        if options.if_match.is_some() && options.if_match != meta.etag {
            let message = "the artifact is no longer the one with this etag";
            return Err(Error::new(ErrorKind::PreconditionFailed, message));
        }
        let range = options.resolve(meta.size)?;
        if answer.range != range {
            let message = format!("the server sent the bytes {:?} instead of {range:?}", answer.range);
            return Err(Error::new(ErrorKind::Protocol, message));
        }
        let named = path.clone();
        let pieces = answer.into_stream().map_err(from_object_store).boxed();
        let stream = verified(pieces, Some(range.end - range.start), options.digest)
            .map_err(move |error| error.with_operation("get").with_path(&named))
            .boxed();
        Ok(Download { meta, range, stream, file: None })
    }

    /// The error of a range that is not there, or of what is in its way.
    async fn unsatisfiable(bucket: &Bucket, path: &ArtifactPath, options: &GetOptions) -> Error {
        let found = match bucket.object(path).await {
            Ok(Some(ObjectMeta { size, e_tag, .. })) => (size, e_tag),
            Ok(None) => return bucket.missing(path).await,
            Err(error) => return error,
        };
        if options.if_match.is_some() && options.if_match != found.1 {
            let message = "the artifact is no longer the one with this etag";
            return Error::new(ErrorKind::PreconditionFailed, message);
        }
        let refused = options.resolve(found.0).err();
        refused.unwrap_or_else(|| Error::new(ErrorKind::Protocol, "the server refuses a range that is there"))
    }
}

/// No header can say it.
fn is_backwards(range: ByteRange) -> bool {
    matches!(range, ByteRange::Between(start, end) if start >= end) || range == ByteRange::Last(0)
}

fn range_of(range: ByteRange) -> Option<GetRange> {
    match range {
        ByteRange::Full => None,
        ByteRange::From(start) => Some(GetRange::Offset(start)),
        ByteRange::Between(start, end) => Some(GetRange::Bounded(start..end)),
        ByteRange::Last(count) => Some(GetRange::Suffix(count)),
    }
}
