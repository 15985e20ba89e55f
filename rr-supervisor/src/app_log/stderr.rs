//! The server's stderr for texts that bypass the log. It may be a pipe that nobody reads, so a thread of its own waits for it.

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

/// Texts that may wait.
const TEXTS: usize = 1024;
/// Bytes that may wait.
const BYTES: usize = 8 << 20;
/// How long the end waits for the last texts.
const LAST: Duration = Duration::from_millis(500);

/// Nobody takes what we write.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's stderr does not keep up: the text is not written")]
pub(super) struct Full;

/// The way to the thread, which starts with the first text.
#[derive(Debug, Default)]
pub(super) struct Stderr {
    thread: Mutex<Option<Writer>>,
}

#[derive(Debug)]
struct Writer {
    texts: SyncSender<String>,
    waiting: Arc<AtomicUsize>,
    /// Ends when the thread does.
    ended: Receiver<()>,
}

impl Stderr {
    /// Takes a text; does not wait until it is written.
    pub(super) fn write(&self, text: String) -> Result<(), Full> {
        self.write_to(text, io::stderr)
    }

    fn write_to<W: Write>(&self, text: String, open: impl FnOnce() -> W + Send + 'static) -> Result<(), Full> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = match &mut *thread {
            Some(writer) => writer,
            none => none.insert(Writer::start(open).map_err(|_| Full)?),
        };
        let length = text.len();
        if writer.waiting.fetch_add(length, Ordering::Relaxed) + length > BYTES || writer.texts.try_send(text).is_err()
        {
            writer.waiting.fetch_sub(length, Ordering::Relaxed);
            return Err(Full);
        }
        Ok(())
    }
}

impl Writer {
    fn start<W: Write>(open: impl FnOnce() -> W + Send + 'static) -> io::Result<Self> {
        let (texts, incoming) = sync_channel::<String>(TEXTS);
        let (end, ended) = sync_channel(1);
        let waiting = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&waiting);
        thread::Builder::new().name("app-stderr".into()).spawn(move || {
            let _end: SyncSender<()> = end;
            let mut out = open();
            for text in incoming {
                // A closed stderr is nothing that anybody could be told of.
                let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
                counted.fetch_sub(text.len(), Ordering::Relaxed);
            }
        })?;
        Ok(Self { texts, waiting, ended })
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(Writer { texts, ended, .. }) = thread.take() {
            drop(texts);
            let _ = ended.recv_timeout(LAST);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Passes on what it is given, and waits while nobody takes it.
    struct Pipe(SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_end_waits_for_the_last_text() {
        let (pipe, written) = sync_channel(10);
        let stderr = Stderr::default();
        let open = || Pipe(pipe);
        stderr.write_to("first ".into(), open).unwrap();
        stderr.write("second".into()).unwrap();
        drop(stderr);
        let all: Vec<u8> = written.try_iter().flatten().collect();
        assert_eq!(all, b"first second");
    }

    #[test]
    fn a_reader_that_stands_still_costs_bounded_memory_and_an_error() {
        let (pipe, stuck) = sync_channel(0);
        let stderr = Stderr::default();
        stderr.write_to("x".into(), || Pipe(pipe)).unwrap();
        let piece = "y".repeat(1 << 20);
        let taken = (0..100).take_while(|_| stderr.write(piece.clone()).is_ok()).count();
        assert!((7..=9).contains(&taken), "{taken}");
        assert_eq!(stderr.write(piece), Err(Full));
        drop(stuck);
    }
}
