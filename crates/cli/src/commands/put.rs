//! `put`: one file, from standard input or from a local file.
//!
//! Standard input is read by a thread of its own, which a blocked read may keep forever, and goes through a channel of a
//! few chunks: memory stays bounded however long it is.

use std::io::Read;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts::{
    ByteStream, Error, ErrorKind, Progress, Properties, PutBody, PutOptions, PutOutcome, Result, Transfer,
    TransferOptions,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::args::PutArguments;
use crate::exit::Failure;
use crate::location::{Location, Place};
use crate::progress::Bar;
use crate::session::Session;

const CHUNK: usize = 256 << 10;
const CHUNKS_AHEAD: usize = 4;
/// How long the store may clean up after an interrupt before it is left alone.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) async fn run(session: &Session, arguments: &PutArguments) -> Result<(), Failure> {
    let location = Location::parse(&arguments.location)?;
    if location.ends_in_slash() {
        return Err(Error::new(ErrorKind::IsADirectory, "this names a directory where a file is meant")
            .with_path(&location)
            .with_help("name the file in it")
            .into());
    }
    let place = location.place(session, None)?;
    let properties = arguments.properties.collected();
    place.check_properties(&properties)?;
    if arguments.source == "-" {
        place.named(put_standard_input(session, &place, properties).await)?;
    } else {
        let options = TransferOptions { properties, ..TransferOptions::default() };
        let transfer = Transfer::with_options(place.store.clone(), options);
        let local = Path::new(&arguments.source);
        let upload = transfer.upload_file(local, &place.path);
        place.named_unless_about(local, session.watch(&transfer, upload).await)?;
    }
    Ok(())
}

async fn put_standard_input(session: &Session, place: &Place, properties: Properties) -> Result<PutOutcome> {
    let stop = CancellationToken::new();
    let (stopping, moved) = (stop.clone(), Arc::new(AtomicU64::new(0)));
    let (counted, shown) = (Arc::clone(&moved), moved);
    let stream = read_chunks(std::io::stdin(), stop.clone()).inspect_ok(move |chunk| {
        counted.fetch_add(chunk.len() as u64, Ordering::Relaxed);
    });
    let body = PutBody::Stream { stream: stream.boxed(), length: None };
    let _stoppable = session.interrupt().stops(move || stopping.cancel());
    let _bar = Bar::show(session.quiet(), move || Progress {
        bytes_done: shown.load(Ordering::Relaxed),
        ..Progress::default()
    });
    let options = PutOptions { properties, ..PutOptions::default() };
    let put = place.store.put(&place.path, body, options);
    let out_of_patience = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    match select(put, pin!(out_of_patience)).await {
        Either::Left((Err(_), _)) | Either::Right(_) if stop.is_cancelled() => Err(Error::cancelled()),
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(Error::cancelled()),
    }
}

/// The content of `input`, read on a thread of its own. Ends with an error when `stop` is cancelled.
fn read_chunks(mut input: impl Read + Send + 'static, stop: CancellationToken) -> ByteStream {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    std::thread::spawn(move || {
        loop {
            let chunk = read_chunk(&mut input);
            let is_last = chunk.as_ref().map_or(true, Bytes::is_empty);
            if sender.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    });
    let next = async |(mut chunks, stop): (mpsc::Receiver<Result<Bytes>>, CancellationToken)| {
        // An end is an empty chunk: a channel that was closed without one is a thread that died.
        let chunk = match stop.run_until_cancelled(chunks.recv()).await {
            Some(Some(chunk)) => chunk?,
            Some(None) => return Err(Error::new(ErrorKind::Internal, "standard input was lost")),
            None => return Err(Error::cancelled()),
        };
        Ok((!chunk.is_empty()).then_some((chunk, (chunks, stop))))
    };
    stream::try_unfold((receiver, stop), next).boxed()
}

/// What can be read at once; empty at the end.
fn read_chunk(input: &mut impl Read) -> Result<Bytes> {
    let mut chunk = vec![0; CHUNK];
    let read = loop {
        match input.read(&mut chunk) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => break result,
        }
    };
    let read = read.map_err(|error| {
        Error::from_io(error)
            .into_kind(ErrorKind::Unreadable)
            .with_operation("read")
            .with_path("standard input")
    })?;
    chunk.truncate(read);
    // A slow writer gives a few bytes at a time, which shall not hold a whole chunk.
    chunk.shrink_to_fit();
    Ok(chunk.into())
}
