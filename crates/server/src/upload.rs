//! Putting an artifact: what arrives goes on to the store as it comes.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use mlflow_artifacts_core::{ArtifactPath, ByteStream, Error, ErrorKind, PutBody, PutOptions, Result};
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};

use crate::access::{Actions, Caller};
use crate::budget::Account;
use crate::path::Requested;
use crate::refusal::{Code, Refusal};
use crate::routes::{Shared, after};

/// `PUT /mlflow-artifacts/artifacts/<path>`
pub(crate) async fn put(
    State(server): State<Arc<Shared>>,
    caller: Caller,
    request: Request,
) -> Result<StatusCode, Refusal> {
    server.refuse_unless_proxied()?;
    let (head, body) = request.into_parts();
    let requested = Requested::of_url(after(head.uri.path(), "/mlflow-artifacts/artifacts/"))?;
    let path = server.changeable(&caller, Actions::WRITE, requested.into_file()?).await?;
    store(&server, path, &head.headers, body).await?;
    Ok(StatusCode::OK)
}

/// Puts a request's body.
pub(crate) async fn store(
    server: &Shared,
    path: ArtifactPath,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Refusal> {
    check_coding(headers)?;
    let length = length(headers);
    let limit = server.store.limits().max_size;
    if length.zip(limit).is_some_and(|(length, limit)| length > limit) {
        return Err(Error::new(ErrorKind::TooLarge, "it is larger than the store takes")
            .with_path(path)
            .into());
    }
    if let Some(length) = length {
        check_parts(server, length)?;
    }
    let (stream, has_no_room) = content(body, server.budget.account(), server.options.body_timeout);
    let put = server.store.put(&path, PutBody::Stream { stream, length }, PutOptions::default()).await;
    match put {
        Err(error) if has_no_room.load(Ordering::Relaxed) => {
            log::warn!("{error}");
            Err(Refusal::busy("other uploads took all of the server's memory for too long", SOON))
        }
        put => {
            put?;
            Ok(())
        }
    }
}

/// Refuses what the store would take only in parts that do not fit into the memory of all uploads: what a client announces is no reason
/// to take more.
fn check_parts(server: &Shared, length: u64) -> Result<(), Refusal> {
    let limits = server.store.limits().parts.filter(|limits| limits.pays_from.is_some());
    let size = limits.map_or(0, |limits| length.div_ceil(limits.max_count.into()));
    let room = server.budget.limit() as u64;
    if size <= room {
        return Ok(());
    }
    let message = format!(
        "its parts would have {size} bytes each at least, and all uploads have {room} bytes of memory"
    );
    Err(Error::new(ErrorKind::TooLarge, message)
        .with_help("the server's --upload-memory says how much")
        .into())
}

/// After how many seconds those who found no room may try again.
pub(crate) const SOON: u32 = 5;

/// Refuses a body that is encoded on its way: it would be passed on as if it were content. A `Content-Length` beside a `Transfer-Encoding`
/// is gone already: hyper goes by the latter alone (RFC 9112, section 6.3), and what is passed on is framed anew.
pub(crate) fn check_coding(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if codings.next().is_none_or(is_chunked) && codings.next().is_none() {
        return Ok(());
    }
    Err(Refusal::new(Code::NotImplemented, "no Transfer-Encoding but chunked is understood"))
}

/// How long the body will be, if the client says so.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What a client sends, as it is taken. A client that goes away or falls silent ends it with an error: then nothing is stored.
/// Beside it is noted that there was no room for it.
fn content(body: Body, account: Account, patience: Duration) -> (ByteStream, Arc<AtomicBool>) {
    let body = body.into_data_stream();
    let has_no_room = Arc::<AtomicBool>::default();
    let noted = Arc::clone(&has_no_room);
    let arriving =
        Arriving { body, account, has_no_room, patience, pace: Pace::begin(), alarm: Alarm::default() };
    let next = async |mut arriving: Arriving| Ok(arriving.next().await?.map(|chunk| (chunk, arriving)));
    (stream::try_unfold(arriving, next).boxed(), noted)
}

/// What comes in smaller pieces is put together, as long as more follows at once: every piece costs more memory than its bytes.
const SMALL: usize = 16 << 10;
const AT_ONCE: Duration = Duration::from_millis(50);

/// The body of a request under way.
struct Arriving {
    body: BodyDataStream,
    account: Account,
    has_no_room: Arc<AtomicBool>,
    patience: Duration,
    pace: Pace,
    alarm: Alarm,
}

impl Arriving {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        // Known with the last chunk where the length was announced: the stream's end need not be waited for.
        if self.body.is_end_stream() {
            return Ok(None);
        }
        let Some(mut chunk) = self.receive().await? else { return Ok(None) };
        if chunk.len() < SMALL && !self.body.is_end_stream() {
            chunk = self.gather(chunk).await?;
        }
        let waiting = Instant::now();
        let charged = timeout(self.patience, self.account.charge(chunk)).await;
        let charged = charged.map_err(|_| {
            self.has_no_room.store(true, Ordering::Relaxed);
            Error::new(ErrorKind::Unavailable, "other uploads took all of the memory for too long")
        })?;
        // To wait for room is not the client's fault.
        self.pace.begin += waiting.elapsed();
        Ok(Some(charged))
    }

    /// The next piece, unless none comes, or so little that others should not have to wait for it.
    async fn receive(&mut self) -> Result<Option<Bytes>> {
        let end = Instant::now() + self.patience;
        loop {
            let look = end.min(self.pace.end());
            match self.alarm.until(look, self.body.next()).await {
                Some(None) => return Ok(None),
                Some(Some(Ok(chunk))) => {
                    self.pace.note(chunk.len());
                    return Ok(Some(chunk));
                }
                Some(Some(Err(error))) => {
                    let gone = "the client went away before it had sent everything";
                    return Err(Error::new(ErrorKind::Cancelled, gone).with_source(error));
                }
                None if look == end => {
                    return Err(Error::new(ErrorKind::Cancelled, "the client has fallen silent"));
                }
                None => self.check_pace()?,
            }
        }
    }

    /// Adds to a small piece what follows at once.
    async fn gather(&mut self, first: Bytes) -> Result<Bytes> {
        let mut gathered = BytesMut::with_capacity(SMALL);
        gathered.extend_from_slice(&first);
        let end = Instant::now() + AT_ONCE;
        while gathered.len() < SMALL && !self.body.is_end_stream() {
            match timeout_at(end, self.receive()).await {
                Ok(Ok(Some(chunk))) => gathered.extend_from_slice(&chunk),
                Ok(Ok(None)) | Err(_) => break,
                Ok(Err(error)) => return Err(error),
            }
        }
        Ok(gathered.freeze())
    }

    fn check_pace(&mut self) -> Result<()> {
        let is_slow = self.pace.is_slow();
        self.pace = Pace::begin();
        if is_slow && self.account.is_in_the_way() {
            let message = "others wait for the memory that this upload holds, and it comes too slowly";
            return Err(Error::new(ErrorKind::Cancelled, message));
        }
        Ok(())
    }
}

/// Ends waiting. There is one for all that an upload waits for: a new timer for every piece would wake the runtime's driver each time.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// What the future answers, unless it takes until then.
    async fn until<T>(&mut self, end: Instant, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        if let Some(answer) = future.as_mut().now_or_never() {
            return Some(answer);
        }
        let alarm = self.0.get_or_insert_with(|| Box::pin(sleep_until(end)));
        alarm.as_mut().reset(end);
        tokio::select! {
            biased;
            answer = future => Some(answer),
            () = alarm => None,
        }
    }
}

/// How much has to come in how long while others wait: a part of 8 MiB in some two minutes.
const WINDOW: Duration = Duration::from_secs(10);
const LEAST: usize = 640 << 10;

/// How fast something comes.
struct Pace {
    begin: Instant,
    bytes: usize,
}

impl Pace {
    fn begin() -> Self {
        Pace { begin: Instant::now(), bytes: 0 }
    }

    fn note(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    fn end(&self) -> Instant {
        self.begin + WINDOW
    }

    fn is_slow(&self) -> bool {
        self.bytes < LEAST
    }
}

/// How long a message may take to arrive.
const MESSAGE: Duration = Duration::from_mins(1);

/// A whole body of at most so many bytes.
pub(crate) async fn whole(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let collected = timeout(MESSAGE, Limited::new(body, limit).collect()).await;
    let Ok(collected) = collected else {
        return Err(Refusal::new(Code::Cancelled, "the body did not arrive in time"));
    };
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("the body has more than {limit} bytes");
            Err(Refusal::invalid(message).with_status(StatusCode::PAYLOAD_TOO_LARGE))
        }
        Err(_) => Err(Refusal::invalid("the body did not arrive whole")),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn bodies_are_taken_that_are_encoded_by_nobody() {
        for refused in [
            &[("transfer-encoding", "gzip, chunked")][..],
            &[("transfer-encoding", "gzip")],
            &[("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        ] {
            assert!(check_coding(&headers(refused)).is_err(), "{refused:?}");
        }
        for taken in [&[][..], &[("content-length", "3")], &[("transfer-encoding", "Chunked")]] {
            assert!(check_coding(&headers(taken)).is_ok(), "{taken:?}");
        }
    }
}
