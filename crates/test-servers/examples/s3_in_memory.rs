//! The S3 server of the benchmark: the protocol is that of s3s, signatures included; objects are kept in memory, and nothing is computed
//! of them. What a client does is measured, not what a server hashes: an `ETag` here is a number, as S3's are with a key of KMS.
//!
//! Prints where it listens, and ends with its standard input.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::error::Error;
use std::io::Read as _;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CommonPrefix, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateBucketInput, CreateBucketOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag,
    GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput,
    ListObjectsV2Input, ListObjectsV2Output, PutObjectInput, PutObjectOutput, StreamingBlob, UploadPartInput,
    UploadPartOutput,
};
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use tokio::net::TcpListener;

/// All zeros, which is what a sparse file has: they are kept once.
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
const PAGE: usize = 1_000;

#[derive(Clone)]
struct Object {
    pieces: Arc<Vec<Bytes>>,
    size: u64,
    etag: String,
    modified: SystemTime,
    content_type: Option<String>,
}

#[derive(Default)]
struct Uploads(HashMap<String, BTreeMap<i32, Object>>);

/// Objects by bucket and key.
#[derive(Default)]
struct Memory {
    objects: Mutex<BTreeMap<String, BTreeMap<String, Object>>>,
    uploads: Mutex<Uploads>,
    number: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    fn name(&self) -> String {
        format!("{:016x}-1", self.number.fetch_add(1, Ordering::Relaxed))
    }

    async fn take(&self, body: Option<StreamingBlob>) -> S3Result<Object> {
        let mut pieces = Vec::new();
        let mut size = 0;
        let mut body = body.ok_or_else(|| s3_error!(IncompleteBody))?;
        while let Some(piece) = body.try_next().await.map_err(|_| s3_error!(IncompleteBody))? {
            size += piece.len() as u64;
            let is_zero = ZEROS.get(..piece.len()).is_some_and(|zeros| zeros == &piece[..]);
            pieces.push(if is_zero { Bytes::from_static(&ZEROS[..piece.len()]) } else { piece });
        }
        let modified = SystemTime::now();
        Ok(Object { pieces: Arc::new(pieces), size, etag: self.name(), modified, content_type: None })
    }

    fn keep(&self, bucket: &str, key: String, object: Object) -> S3Result<()> {
        let mut objects = locked(&self.objects);
        objects.get_mut(bucket).ok_or_else(|| s3_error!(NoSuchBucket))?.insert(key, object);
        Ok(())
    }

    fn find(&self, bucket: &str, key: &str) -> S3Result<Object> {
        let objects = locked(&self.objects);
        let bucket = objects.get(bucket).ok_or_else(|| s3_error!(NoSuchBucket))?;
        bucket.get(key).cloned().ok_or_else(|| s3_error!(NoSuchKey))
    }
}

/// The bytes of a range, piece by piece.
fn content(object: &Object, range: Range<u64>) -> StreamingBlob {
    let mut at = 0;
    let mut pieces = Vec::new();
    for piece in object.pieces.iter() {
        let end = at + piece.len() as u64;
        let (from, to) = (range.start.max(at), range.end.min(end));
        if from < to {
            let within = |place: u64| usize::try_from(place - at).unwrap_or(usize::MAX);
            pieces.push(Ok::<_, Infallible>(piece.slice(within(from)..within(to))));
        }
        at = end;
    }
    StreamingBlob::wrap(stream::iter(pieces))
}

fn length(size: u64) -> Option<i64> {
    i64::try_from(size).ok()
}

#[async_trait::async_trait]
impl S3 for Memory {
    async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        locked(&self.objects).entry(request.input.bucket).or_default();
        Ok(S3Response::new(CreateBucketOutput::default()))
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        if locked(&self.objects).contains_key(&request.input.bucket) {
            return Ok(S3Response::new(HeadBucketOutput::default()));
        }
        Err(s3_error!(NoSuchBucket))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let object = Object { content_type: input.content_type, ..self.take(input.body).await? };
        let e_tag = Some(ETag::Strong(object.etag.clone()));
        self.keep(&input.bucket, input.key, object)?;
        Ok(S3Response::new(PutObjectOutput { e_tag, ..Default::default() }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let id = self.name();
        locked(&self.uploads).0.insert(id.clone(), BTreeMap::new());
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(request.input.bucket),
            key: Some(request.input.key),
            upload_id: Some(id),
            ..Default::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        let part = self.take(input.body).await?;
        let e_tag = Some(ETag::Strong(part.etag.clone()));
        let mut uploads = locked(&self.uploads);
        let parts = uploads.0.get_mut(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        parts.insert(input.part_number, part);
        Ok(S3Response::new(UploadPartOutput { e_tag, ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let removed = locked(&self.uploads).0.remove(&input.upload_id);
        let parts = removed.ok_or_else(|| s3_error!(NoSuchUpload))?;
        let listed = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        if !listed.iter().map(|part| part.part_number).eq(parts.keys().copied().map(Some)) {
            return Err(s3_error!(InvalidPart));
        }
        let pieces = parts.values().flat_map(|part| part.pieces.iter().cloned()).collect();
        let size = parts.values().map(|part| part.size).sum();
        let etag = self.name();
        let object = Object {
            pieces: Arc::new(pieces),
            size,
            etag: etag.clone(),
            modified: SystemTime::now(),
            content_type: None,
        };
        self.keep(&input.bucket, input.key.clone(), object)?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(etag)),
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        locked(&self.uploads).0.remove(&request.input.upload_id);
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let object = self.find(&input.bucket, &input.key)?;
        let range = match input.range {
            Some(range) => range.check(object.size)?,
            None => 0..object.size,
        };
        let content_range = input
            .range
            .map(|_| format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), object.size));
        Ok(S3Response::new(GetObjectOutput {
            content_length: length(range.end - range.start),
            content_range,
            body: Some(content(&object, range)),
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(object.modified.into()),
            content_type: object.content_type.and_then(|text| text.parse().ok()),
            accept_ranges: Some("bytes".to_owned()),
            ..Default::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let object = self.find(&request.input.bucket, &request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: length(object.size),
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(object.modified.into()),
            accept_ranges: Some("bytes".to_owned()),
            ..Default::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.continuation_token.or(input.start_after).unwrap_or_default();
        let most = input.max_keys.and_then(|most| usize::try_from(most).ok()).unwrap_or(PAGE).min(PAGE);
        let objects = locked(&self.objects);
        let bucket = objects.get(&input.bucket).ok_or_else(|| s3_error!(NoSuchBucket))?;
        let (mut contents, mut prefixes, mut last) = (Vec::new(), BTreeSet::new(), None);
        let found = bucket.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        for (key, object) in found.filter(|(key, _)| **key > after) {
            let folder = input.delimiter.as_ref().and_then(|delimiter| {
                let at = key[prefix.len()..].find(delimiter.as_str())?;
                Some(key[..prefix.len() + at + delimiter.len()].to_owned())
            });
            if folder.as_ref().is_some_and(|folder| prefixes.contains(folder) || *folder <= after) {
                continue;
            }
            if contents.len() + prefixes.len() == most {
                break;
            }
            // The greatest text that begins with a folder comes after all in it.
            last = Some(folder.as_ref().map_or_else(|| key.clone(), |folder| format!("{folder}\u{10ffff}")));
            match folder {
                Some(folder) => drop(prefixes.insert(folder)),
                None => contents.push(s3s::dto::Object {
                    key: Some(key.clone()),
                    size: length(object.size),
                    e_tag: Some(ETag::Strong(object.etag.clone())),
                    last_modified: Some(object.modified.into()),
                    ..Default::default()
                }),
            }
        }
        let is_full = contents.len() + prefixes.len() == most;
        let folders = prefixes.into_iter().map(|prefix| CommonPrefix { prefix: Some(prefix) });
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(prefix),
            delimiter: input.delimiter,
            key_count: i32::try_from(contents.len()).ok(),
            max_keys: i32::try_from(most).ok(),
            contents: Some(contents),
            common_prefixes: Some(folders.collect()),
            is_truncated: Some(is_full),
            next_continuation_token: last.filter(|_| is_full),
            ..Default::default()
        }))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let mut objects = locked(&self.objects);
        let bucket = objects.get_mut(&request.input.bucket).ok_or_else(|| s3_error!(NoSuchBucket))?;
        let deleted = request.input.delete.objects.into_iter().map(|object| {
            bucket.remove(&object.key);
            DeletedObject { key: Some(object.key), ..Default::default() }
        });
        let deleted = Some(deleted.collect());
        Ok(S3Response::new(DeleteObjectsOutput { deleted, ..Default::default() }))
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut builder = S3ServiceBuilder::new(Memory::default());
    builder.set_auth(SimpleAuth::from_single("bench-access-key", "bench-secret-key"));
    let service = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    // Whoever started this is gone then.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service.clone();
        tokio::spawn(async move {
            // It ends with an error when the client goes away.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
