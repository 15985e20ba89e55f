//! The first frames on a channel: we ask the worker for its process id, it answers.

use crate::{
    frame::{encode, flag},
    relay::frames::{Frames, ReadError},
};
use serde::Deserialize;
use std::{
    fs::File,
    io::{self, Write},
};

/// Why there is no worker at the other end.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The question could not be written.
    #[error("it cannot be written to: {0}")]
    Write(#[source] io::Error),
    /// No frame came.
    #[error("{}", read_text(.0))]
    Read(ReadError),
    /// A frame came that is no answer.
    #[error("its first frame is not the answer to the pid question: {0}")]
    Answer(String),
}

#[derive(Deserialize)]
struct Answer {
    pid: u32,
}

/// Asks for the process id and waits for the answer; the caller bounds the wait.
///
/// # Errors
/// See [`HandshakeError`].
pub async fn ask_pid(mut writer: &File, frames: &mut Frames) -> Result<u32, HandshakeError> {
    let mut question = Vec::with_capacity(40);
    let text = format!("{{\"pid\":{}}}", std::process::id());
    encode(&mut question, flag::CONTROL | flag::JSON, 0, &[], text.as_bytes());
    // The channel is empty: the few bytes always fit.
    writer.write_all(&question).map_err(HandshakeError::Write)?;
    let frame = frames.next().await.map_err(HandshakeError::Read)?;
    let answer = serde_json::from_slice::<Answer>(&frame.payload);
    match answer {
        Ok(answer) if frame.head.flags & flag::CONTROL != 0 && answer.pid > 0 => Ok(answer.pid),
        _ => {
            let start = &frame.payload[..frame.payload.len().min(200)];
            Err(HandshakeError::Answer(String::from_utf8_lossy(start).into_owned()))
        }
    }
}

fn read_text(error: &ReadError) -> String {
    match error {
        ReadError::End { .. } => "it closed the channel".into(),
        ReadError::Stray(text) => format!("it wrote text instead of frames: {}", String::from_utf8_lossy(text)),
        ReadError::Io(error) => format!("it cannot be read from: {error}"),
    }
}
