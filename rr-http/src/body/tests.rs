//! Whole bodies through [`collect`], in any chunking. Here is the client that sends them.
//!
//! - [`kinds`]: what becomes of which kind of body
//! - [`reading`]: in memory or in a file, too large, broken off
//! - [`uploads`]: files in forms

#![allow(clippy::unwrap_used)]

mod kinds;
mod reading;
mod uploads;

use super::*;
use http_body::Frame;
use std::{
    collections::VecDeque,
    fs, io,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A body that comes in given pieces, and then ends, breaks or hangs.
struct Pieces {
    pieces: VecDeque<Bytes>,
    end: End,
    exact: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Proper,
    Broken,
    Never,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match (self.pieces.pop_front(), self.end) {
            (Some(piece), _) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            (None, End::Proper) => Poll::Ready(None),
            (None, End::Broken) => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            (None, End::Never) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.exact && self.end == End::Proper && self.pieces.is_empty()
    }
}

fn pieces(text: &[u8], size: usize) -> Pieces {
    Pieces {
        pieces: text.chunks(size).map(Bytes::copy_from_slice).collect(),
        end: End::Proper,
        exact: size.is_multiple_of(2),
    }
}

fn settings(dir: &Path) -> Settings {
    Settings {
        max_request_size: 10 << 20,
        spill_above: 100_000,
        raw_body: false,
        uploads_dir: dir.to_path_buf(),
        forbid: vec![".php".into()],
        allow: Vec::new(),
        owner: None,
        idle_timeout: Duration::from_millis(200),
    }
}

async fn run(method: Method, content_type: &str, body: Pieces, settings: &Settings) -> Result<Collected, BodyError> {
    let content_type = (!content_type.is_empty()).then(|| HeaderValue::from_str(content_type).unwrap());
    collect(&method, content_type.as_ref(), None, body, settings).await
}

const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=XX";

fn text(collected: Collected) -> Vec<u8> {
    spool::load(collected.body).unwrap().to_vec()
}

fn files(dir: &TempDir) -> usize {
    fs::read_dir(dir.path()).unwrap().count()
}

async fn wait_until_empty(dir: &TempDir) {
    let until = Instant::now() + Duration::from_secs(5);
    while files(dir) > 0 {
        assert!(Instant::now() < until, "temporary files remain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A multipart body of (name, file name, type, content); an empty file name makes a field.
fn multipart(parts: &[(&str, &str, &str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, filename, mime, content) in parts {
        body.extend_from_slice(format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"").as_bytes());
        if !filename.is_empty() {
            body.extend_from_slice(format!("; filename=\"{filename}\"\r\nContent-Type: {mime}").as_bytes());
        }
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XX--\r\n");
    body
}

fn uploads(collected: &Collected) -> serde_json::Value {
    serde_json::from_slice(collected.uploads.as_ref().unwrap()).unwrap()
}
