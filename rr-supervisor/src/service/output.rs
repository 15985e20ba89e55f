//! What a process writes becomes log lines: each of its lines one of ours, at level info.

use bytes::BytesMut;
use rr_common::telemetry::{Level, Tail, log};
use std::time::Duration;
use tokio::{io::AsyncReadExt, net::unix::pipe, time::timeout};

/// Longest line that is logged as one.
const LONGEST: usize = 64 * 1024;

/// Bytes that are read at once.
const CHUNK: usize = 8 * 1024;

/// How long the rest of a line is awaited; then what is there is logged, such as a prompt.
const REST: Duration = Duration::from_millis(20);

/// Logs everything that comes until the last writer is gone. The last of it stands in the tail too.
pub(crate) async fn log_lines(mut pipe: pipe::Receiver, logger: String, tail: Option<Tail>) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        let begun = !buffer.is_empty();
        let read = pipe.read_buf(&mut buffer);
        let read = match begun {
            true => timeout(REST, read).await.ok(),
            false => Some(read.await),
        };
        let ended = matches!(read, Some(Ok(0) | Err(_)));
        while let Some(line) = take_line(&mut buffer, read.is_none() || ended) {
            let line = line.trim_ascii_end();
            if !line.is_empty() {
                if let Some(tail) = &tail {
                    tail.push(line);
                    tail.push(b"\n");
                }
                let text = String::from_utf8_lossy(line);
                if let Some(line) = log::line(&logger, Level::Info, &text) {
                    line.send();
                }
            }
        }
        if ended {
            return;
        }
        if buffer.is_empty() {
            // The memory of one long line is not kept.
            buffer = BytesMut::new();
        }
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
mod tests {
    use super::*;
    use proptest::prelude::*;

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
