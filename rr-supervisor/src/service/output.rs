//! What a process writes becomes log lines: each of its lines one of ours.

use bytes::BytesMut;
use rr_common::telemetry::{Level, Tail, log};
use std::{
    future::poll_fn,
    io,
    os::fd::{AsFd, OwnedFd},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{io::AsyncReadExt, net::unix::pipe, task::JoinSet, time::timeout};

/// Longest line that is logged as one.
const LONGEST: usize = 64 * 1024;

/// Bytes that are read at once.
const CHUNK: usize = 8 * 1024;

/// How long the rest of a line is awaited; then what is there is logged, such as a prompt.
const REST: Duration = Duration::from_millis(20);

/// What a process, and whatever it has started, writes.
#[derive(Debug)]
pub(crate) struct Output {
    /// Of its lines.
    pub(super) logger: String,
    level: Level,
    /// The last of it stands here too.
    tail: Option<Tail>,
    rest: Mutex<Rest>,
}

/// What is still to be logged. Nobody holds it while something is awaited: whoever looks finds no line that was half taken out.
#[derive(Debug)]
struct Rest {
    pipe: pipe::Receiver,
    /// A line whose end has not been read.
    begun: BytesMut,
}

impl Output {
    /// All that comes from this pipe.
    pub(crate) fn new(pipe: pipe::Receiver, logger: String, level: Level, tail: Option<Tail>) -> Self {
        let begun = BytesMut::new();
        Self {
            logger,
            level,
            tail,
            rest: Mutex::new(Rest { pipe, begun }),
        }
    }

    /// Of which somebody has read the begin of a line already.
    ///
    /// # Errors
    /// It is no pipe.
    pub(crate) fn resume(
        pipe: OwnedFd,
        begun: &[u8],
        logger: String,
        level: Level,
        tail: Option<Tail>,
    ) -> io::Result<Self> {
        let output = Self::new(pipe::Receiver::from_owned_fd(pipe)?, logger, level, tail);
        output.rest().begun.extend_from_slice(begun);
        Ok(output)
    }

    /// What another reader needs to go on: the pipe and the begin of a line.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn to_resume(&self) -> io::Result<(OwnedFd, Vec<u8>)> {
        let rest = self.rest();
        Ok((rest.pipe.as_fd().try_clone_to_owned()?, rest.begun.to_vec()))
    }

    /// Logs everything that comes until the last writer is gone.
    pub(crate) async fn log_lines(self: Arc<Self>) {
        loop {
            let begun = !self.rest().begun.is_empty();
            let read = poll_fn(|context| {
                let mut rest = self.rest();
                let Rest { pipe, begun } = &mut *rest;
                begun.reserve(CHUNK);
                pin!(pipe.read_buf(begun)).poll(context)
            });
            let read = match begun {
                true => timeout(REST, read).await.ok(),
                false => Some(read.await),
            };
            let ended = matches!(read, Some(Ok(0) | Err(_)));
            self.log_read(read.is_none() || ended);
            if ended {
                return;
            }
        }
    }

    /// Logs the lines that have been read; `all` means an unfinished one too.
    fn log_read(&self, all: bool) {
        let buffer = &mut self.rest().begun;
        while let Some(line) = take_line(buffer, all) {
            let line = line.trim_ascii_end();
            if !line.is_empty() {
                if let Some(tail) = &self.tail {
                    tail.push(line);
                    tail.push(b"\n");
                }
                let text = String::from_utf8_lossy(line);
                if let Some(line) = log::line(&self.logger, self.level, &text) {
                    line.send();
                }
            }
        }
        if buffer.is_empty() {
            // The memory of one long line is not kept.
            *buffer = BytesMut::new();
        }
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outputs that are read.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    readers: JoinSet<()>,
    open: Vec<Weak<Output>>,
}

impl Outputs {
    /// Reads one to its end.
    pub(super) fn read(&mut self, output: Output) {
        while self.readers.try_join_next().is_some() {}
        self.open.retain(|output| output.strong_count() > 0);
        let output = Arc::new(output);
        self.open.push(Arc::downgrade(&output));
        self.readers.spawn(output.log_lines());
    }

    /// Those that have not ended.
    pub(super) fn open(&self) -> impl Iterator<Item = Arc<Output>> {
        self.open.iter().filter_map(Weak::upgrade)
    }

    /// Waits until all have ended, but not for long: what has left its group may hold a pipe open.
    pub(super) async fn last_words(&mut self, patience: Duration) {
        let _ = timeout(patience, async { while self.readers.join_next().await.is_some() {} }).await;
    }
}

/// The first line of what is there; `all` takes an unfinished one too.
fn take_line(buffer: &mut BytesMut, all: bool) -> Option<BytesMut> {
    let seen = &buffer[..buffer.len().min(LONGEST)];
    let length = match seen.iter().position(|byte| *byte == b'\n') {
        Some(end) => end + 1,
        None if buffer.len() >= LONGEST => whole_characters(seen),
        None if all && !buffer.is_empty() => buffer.len(),
        None => return None,
    };
    Some(buffer.split_to(length))
}

/// So many bytes that no character of UTF-8 is cut; all, where there is none to be seen.
fn whole_characters(bytes: &[u8]) -> usize {
    let continues = bytes.iter().rev().take_while(|byte| **byte & 0xc0 == 0x80).count();
    match bytes.len().checked_sub(continues + 1) {
        Some(start) if start > 0 && continues < 4 && bytes[start] >= 0xc0 => start,
        _ => bytes.len(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn lines(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut buffer = BytesMut::new();
        let mut lines = Vec::new();
        for (n, piece) in pieces.iter().enumerate() {
            buffer.extend_from_slice(piece);
            while let Some(line) = take_line(&mut buffer, n + 1 == pieces.len()) {
                lines.push(line.to_vec());
            }
        }
        lines
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        assert_eq!(lines(&[b"a\nb", b"c\n", b"", b"d"]), [&b"a\n"[..], b"bc\n", b"d"]);
    }

    #[test]
    fn an_endless_line_is_cut_between_characters() {
        let text = "ü".repeat(LONGEST);
        let text = format!("x{text}");
        let cut = lines(&[text.as_bytes()]);
        assert!(cut.len() == 3 && cut.iter().all(|line| std::str::from_utf8(line).is_ok()));
        assert_eq!(lines(&[&vec![0x80; LONGEST + 1]]).len(), 2);
    }

    /// Between any two reads somebody else may take it over.
    #[tokio::test]
    async fn who_takes_it_over_reads_whole_lines() {
        let (reader, mut writer) = io::pipe().unwrap();
        let first = Output::resume(reader.into(), b"the first ", "service".into(), Level::Info, None).unwrap();
        let (pipe, begun) = first.to_resume().unwrap();
        drop(first);
        let tail = Tail::default();
        let mut second = Output::resume(pipe, &begun, "service".into(), Level::Info, None).unwrap();
        second.tail = Some(tail.clone());
        writer.write_all(b"line\nand the rest").unwrap();
        drop(writer);
        Arc::new(second).log_lines().await;
        assert_eq!(tail.text(), "the first line\nand the rest");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_held_back(
            pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), 0..6000_usize), 1..4),
        ) {
            let pieces: Vec<Vec<u8>> = pieces.into_iter().map(|(piece, times)| piece.repeat(times)).collect();
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let lines = lines(&pieces);
            prop_assert!(lines.iter().all(|line| (1..=LONGEST).contains(&line.len())));
            prop_assert_eq!(lines.concat(), pieces.concat());
        }
    }
}
