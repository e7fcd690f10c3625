//! What `bench/c_interface.c` measures, done in Rust: what remains between the two is the C interface.
//!
//!     c_interface_peer calls         prints each call's name and its nanoseconds, the least of several rounds
//!     c_interface_peer FORM REPEATS  moves 64 MiB so many times in one form of reading or writing

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mlflow_artifacts::blocking::Context;
use mlflow_artifacts::{
    ArtifactMeta, ArtifactPath, ArtifactStoreExt as _, Error, ErrorKind, GetOptions, PutBody, PutOptions,
    Result, SharedStore, open,
};

const ROUNDS: usize = 10;
const CALLS: usize = 20_000;
const IN_FLIGHT: usize = 1000;
const SMALL: usize = 64;
const CONTENT: usize = 64 << 20;
const PIECE: usize = 1 << 20;

/// As a caller has it who calls C: a path that is not parsed yet.
fn path() -> Result<ArtifactPath> {
    ArtifactPath::parse("model/MLmodel")
}

// ---- Calls ----

struct Calls {
    context: Context,
    store: SharedStore,
    ends: (Sender<Result<ArtifactMeta>>, Receiver<Result<ArtifactMeta>>),
}

impl Calls {
    fn stat(&self) -> Result<()> {
        self.context.wait(self.store.stat(&path()?)).map(drop)
    }

    fn get(&self) -> Result<()> {
        self.context.wait(self.store.get_bytes(&path()?)).map(drop)
    }

    fn stat_waited(&self) -> Result<()> {
        let (store, path) = (self.store.clone(), path()?);
        let task = self.context.runtime()?.spawn(async move { store.stat(&path).await });
        self.context.wait(async { task.await.map_err(|_| lost())? }).map(drop)
    }

    fn submit_stat(&self) -> Result<()> {
        let (store, path, end) = (self.store.clone(), path()?, self.ends.0.clone());
        // It fails only when nobody receives any more.
        self.context.spawn(async move { drop(end.send(store.stat(&path).await)) })
    }

    fn take_next(&self) -> Result<()> {
        self.ends.1.recv().map_err(|_| lost())?.map(drop)
    }

    fn stat_queued(&self) -> Result<()> {
        self.submit_stat()?;
        self.take_next()
    }

    fn many_stats_queued(&self) -> Result<()> {
        (0..IN_FLIGHT).try_for_each(|_| self.submit_stat())?;
        (0..IN_FLIGHT).try_for_each(|_| self.take_next())
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Internal, "a task was lost")
}

/// Nanoseconds of each of the `CALLS` operations that `calls` does: the least of several rounds.
fn print_least(name: &str, calls: impl Fn() -> Result<()>) -> Result<()> {
    let mut least = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        calls()?;
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let each = start.elapsed().as_secs_f64() * 1e9 / CALLS as f64;
        least = least.min(each);
    }
    println!("{name} {least:.0}");
    Ok(())
}

fn measure_calls(context: Context, store: SharedStore) -> Result<()> {
    context.wait(store.put_bytes(&path()?, vec![b'x'; SMALL].into()))?;
    let calls = Calls { context, store, ends: channel() };
    let repeat = |call: fn(&Calls) -> Result<()>, each| (0..CALLS / each).try_for_each(|_| call(&calls));
    print_least("stat", || repeat(Calls::stat, 1))?;
    print_least("get", || repeat(Calls::get, 1))?;
    print_least("waited", || repeat(Calls::stat_waited, 1))?;
    print_least("queued", || repeat(Calls::stat_queued, 1))?;
    print_least("many", || repeat(Calls::many_stats_queued, IN_FLIGHT))?;

    // Without waiting, and with a path that is parsed: the operation itself.
    let (store, path) = (&calls.store, path()?);
    print_least("stat_awaited", || {
        calls.context.wait(async {
            for _ in 0..CALLS {
                store.stat(&path).await?;
            }
            Ok(())
        })
    })?;
    print_least("get_awaited", || {
        calls.context.wait(async {
            for _ in 0..CALLS {
                store.get_bytes(&path).await?;
            }
            Ok(())
        })
    })
}

// ---- Forms of reading and writing ----

/// Moves the content in the form that does what this function of C does.
async fn move_content(form: &str, store: &SharedStore, content: &Bytes, target: &mut [u8]) -> Result<()> {
    match form {
        "get_into" | "reader_read" => read_into(store, target).await,
        "get_bytes" => store.get_bytes(&path()?).await.map(drop),
        "reader_read_chunk" => read_chunks(store).await,
        "put_bytes" => store.put_bytes(&path()?, Bytes::copy_from_slice(content)).await.map(drop),
        "put_owned" => store.put_bytes(&path()?, content.clone()).await.map(drop),
        "writer_write" => write(store, content, |piece| Bytes::copy_from_slice(&piece)).await,
        "writer_write_owned" => write(store, content, |piece| piece).await,
        _ => Err(Error::new(ErrorKind::InvalidArgument, format!("there is no form {form}"))),
    }
}

async fn read_into(store: &SharedStore, target: &mut [u8]) -> Result<()> {
    let mut stream = store.get(&path()?, GetOptions::default()).await?.stream;
    let mut filled = 0;
    while let Some(chunk) = stream.try_next().await? {
        target[filled..filled + chunk.len()].copy_from_slice(&chunk);
        filled += chunk.len();
    }
    Ok(())
}

async fn read_chunks(store: &SharedStore) -> Result<()> {
    let stream = store.get(&path()?, GetOptions::default()).await?.stream;
    stream.try_for_each(async |_| Ok(())).await
}

async fn write(store: &SharedStore, content: &Bytes, make: fn(Bytes) -> Bytes) -> Result<()> {
    let content = content.clone();
    let pieces = (0..CONTENT).step_by(PIECE).map(move |at| Ok(make(content.slice(at..at + PIECE))));
    let body = PutBody::Stream { stream: stream::iter(pieces).boxed(), length: Some(CONTENT as u64) };
    store.put(&path()?, body, PutOptions::default()).await.map(drop)
}

fn run(arguments: &[String]) -> Result<()> {
    let (context, store) = (Context::new()?, open("memory:")?);
    let [form, repeats] = arguments else { return measure_calls(context, store) };
    let usage = |_| Error::new(ErrorKind::InvalidArgument, "usage: c_interface_peer calls | FORM REPEATS");
    let repeats: usize = repeats.parse().map_err(usage)?;
    let (moved, mut target) = (Bytes::from(vec![b'x'; CONTENT]), vec![b'x'; CONTENT]);
    context.wait(async {
        if form.starts_with("get") || form.starts_with("reader") {
            store.put_bytes(&path()?, moved.clone()).await?;
        }
        for _ in 0..repeats {
            move_content(form, &store, &moved, &mut target).await?;
        }
        Ok(())
    })
}

fn main() -> Result<()> {
    run(&std::env::args().skip(1).collect::<Vec<_>>())
}
