//! A worker's standard error into the log.
//!
//! Each piece of output becomes one log message. A text that was written in one go arrives whole even if it is longer
//! than a pipe: what does not end with a line end is waited for briefly. The last lines are kept for the error message
//! of a worker that does not start.

use crate::telemetry::{Tail, log};
use bytes::BytesMut;
use std::{sync::Arc, time::Duration};
use tokio::{io::AsyncReadExt, net::unix::pipe};

/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;
/// Longest message.
const LONGEST: usize = 1024 * 1024;
/// How long the rest of an unfinished message is awaited.
const REST: Duration = Duration::from_millis(20);

/// Logs everything that comes until the end.
pub async fn pump(mut stderr: pipe::Receiver, pid: u32, plugin: Arc<str>, tail: Tail) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        let unfinished = !buffer.is_empty();
        let read = stderr.read_buf(&mut buffer);
        let more = if unfinished {
            tokio::time::timeout(REST, read).await.ok()
        } else {
            Some(read.await)
        };
        let ended = matches!(more, Some(Ok(0) | Err(_)));
        let complete = more.is_none() || ended || buffer.ends_with(b"\n") || buffer.len() >= LONGEST;
        if complete && !buffer.is_empty() {
            tail.push(&buffer);
            log::worker_output(&plugin, pid, &buffer);
            // A large buffer is not kept for the one long message in a worker's life.
            buffer = BytesMut::new();
        }
        if ended {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn the_tail_keeps_the_end() {
        let (mut tx, rx) = pipe::pipe().unwrap();
        let tail = Tail::default();
        let task = tokio::spawn(pump(rx, 1, "http".into(), tail.clone()));
        tx.write_all(&vec![b'a'; 200_000]).await.unwrap();
        tx.write_all(b"\nlast words\n").await.unwrap();
        drop(tx);
        task.await.unwrap();
        let text = tail.text();
        assert!(text.ends_with("last words"));
    }
}
