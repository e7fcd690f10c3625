//! Lines that a thread of their own writes.
//!
//! What reads a log may stop reading: then a write waits for ever. A thread of the runtime must not, so lines wait in a queue, and what has
//! no room there is dropped and counted.

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use mlflow_artifacts_core::{Error, Result};

/// How many lines wait at most: more than a second of them on a busy server.
const QUEUE: usize = 8192;

/// How much is written at once, in bytes, where much waits.
const BATCH: usize = 64 << 10;

/// How often it is looked whether there is room to ask that everything be written.
const LOOK: Duration = Duration::from_millis(5);

/// Writes lines without ever making its caller wait for who reads them. Clones write to the same place.
#[derive(Clone)]
pub struct LineWriter {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

enum Message {
    Line(Vec<u8>),
    /// Whoever asked is told when everything before it is written.
    Flush(SyncSender<()>),
}

impl LineWriter {
    /// Has a thread write what this is given. `what` names it where lines have to be dropped: `the access log`.
    ///
    /// Fails if no thread can be had. The thread ends with the last clone.
    pub fn new(what: &'static str, output: impl Write + Send + 'static) -> Result<Self> {
        let (queue, lines) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let writing = Writing { what, output, waiting: lines, dropped: Arc::clone(&dropped), told: 0 };
        let thread = std::thread::Builder::new().name("lines".to_owned());
        thread.spawn(move || writing.run()).map_err(Error::from_io)?;
        Ok(LineWriter { queue, dropped })
    }

    /// Has a line written, which ends with a line feed and has no other.
    pub fn write(&self, line: Vec<u8>) {
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many lines were dropped: the queue was full, or they could not be written.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until what was given so far is written, no longer than `patience`. It blocks its thread. Answers whether it is.
    pub fn flush(&self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let (done, written) = sync_channel(1);
        let mut message = Message::Flush(done);
        loop {
            match self.queue.try_send(message) {
                Ok(()) => return written.recv_timeout(end.saturating_duration_since(Instant::now())).is_ok(),
                Err(TrySendError::Full(back)) if Instant::now() < end => message = back,
                Err(_) => return false,
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl fmt::Debug for LineWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineWriter").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

/// The thread that writes.
struct Writing<W> {
    what: &'static str,
    output: W,
    waiting: Receiver<Message>,
    dropped: Arc<AtomicU64>,
    told: u64,
}

impl<W: Write> Writing<W> {
    fn run(mut self) {
        while let Ok(message) = self.waiting.recv() {
            let asking = self.write_waiting(message);
            for done in asking {
                // Whoever asked may have stopped waiting.
                let _ = done.try_send(());
            }
            self.tell_dropped();
        }
    }

    /// Writes what waits, as much as is written at once. Answers who wants to know.
    fn write_waiting(&mut self, first: Message) -> Vec<SyncSender<()>> {
        let (mut batch, mut lines, mut asking) = (Vec::new(), 0, Vec::new());
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => {
                    batch.extend_from_slice(&line);
                    lines += 1;
                }
                Message::Flush(done) => asking.push(done),
            }
            next = if batch.len() < BATCH { self.waiting.try_recv().ok() } else { None };
        }
        if self.output.write_all(&batch).and_then(|()| self.output.flush()).is_err() {
            self.dropped.fetch_add(lines, Ordering::Relaxed);
        }
        asking
    }

    fn tell_dropped(&mut self) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > self.told {
            log::warn!(
                "{} lines of {} were dropped: it is not read fast enough",
                dropped - self.told,
                self.what
            );
            self.told = dropped;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::{Sender, channel};
    use std::sync::{Mutex, MutexGuard};

    use super::*;

    /// Somebody who reads only when told to.
    struct Slow {
        turns: Receiver<()>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.turns.recv().map_err(io::Error::other)?;
            self.read.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (LineWriter, Sender<()>, Arc<Mutex<Vec<u8>>>) {
        let (turn, turns) = channel();
        let read = Arc::default();
        let writer = LineWriter::new("the test", Slow { turns, read: Arc::clone(&read) }).unwrap();
        (writer, turn, read)
    }

    fn lines(read: &MutexGuard<'_, Vec<u8>>) -> usize {
        read.split(|byte| *byte == b'\n').count() - 1
    }

    #[test]
    fn who_writes_does_not_wait_for_who_reads_and_what_is_dropped_is_counted() {
        let (writer, turn, read) = slow();
        let sent = 3 * QUEUE;
        (0..sent).for_each(|number| writer.write(format!("{number}\n").into_bytes()));
        assert!(!writer.flush(Duration::from_millis(20)), "nothing is read yet");
        let dropped = usize::try_from(writer.dropped()).unwrap();
        assert!(dropped > 0);
        (0..sent).for_each(|_| turn.send(()).unwrap());
        assert!(writer.flush(Duration::from_mins(1)));
        assert_eq!(lines(&read.lock().unwrap()) + dropped, sent);
        assert!(read.lock().unwrap().starts_with(b"0\n1\n2\n"), "what came first is kept");
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let (writer, turn, _) = slow();
        drop(turn);
        writer.write(b"lost\n".to_vec());
        assert!(writer.flush(Duration::from_mins(1)));
        assert_eq!(writer.dropped(), 1);
    }
}
