//! `Supervisor.Call`: a plugin calls a method of another plugin, or of ours.
//!
//! The call goes the way of every other client's, over the RPC socket of the control directory: it waits for a plugin that is on its
//! way, is held while one is upgraded, and has the same bounds and texts. One connection a call: a caller that gives up
//! closes it, and whoever answers hears that as a hang-up.

use bytes::BytesMut;
use rr_common::{
    control::v1::{CallRequest, CallResponse},
    frame::flag,
    rpc::{
        Codec,
        wire::{self, Look},
    },
};
use std::{io, path::PathBuf};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::Semaphore,
};
use tonic::Status;

/// Calls at once; each takes two of our descriptors. More wait.
const AT_ONCE: usize = 128;

/// Room for a read.
const ROOM: usize = 16 * 1024;

/// The number of the only call of a connection.
const SEQUENCE: u32 = 1;

/// Carries the plugins' calls.
#[derive(Debug)]
pub(crate) struct Calls {
    socket: PathBuf,
    room: Semaphore,
}

impl Calls {
    /// Over this RPC socket.
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            room: Semaphore::new(AT_ONCE),
        }
    }

    /// One call.
    ///
    /// # Errors
    /// `UNIMPLEMENTED` when nobody has such a method, `INTERNAL` with what the answering side says.
    pub(crate) async fn call(&self, call: CallRequest) -> Result<CallResponse, Status> {
        let codec = u8::try_from(call.codec).ok().and_then(|flags| Codec::of(flags).ok());
        let codec = codec.ok_or_else(|| Status::invalid_argument("codec is one of the frame's flags for a codec"))?;
        if !wire::fits(call.method.as_bytes(), &call.body) {
            return Err(Status::invalid_argument(wire::TOO_LONG));
        }
        let ending = |_| Status::unavailable("the supervisor is ending");
        let _room = self.room.acquire().await.map_err(ending)?;
        let mut frame = BytesMut::new();
        wire::answer(&mut frame, codec.flag(), SEQUENCE, call.method.as_bytes(), &call.body);
        let broken = |error: io::Error| Status::unavailable(format!("the RPC port does not answer: {error}"));
        let (flags, body) = self.exchange(&frame).await.map_err(broken)?;
        if flags & flag::ERROR == 0 {
            return Ok(CallResponse { body });
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        Err(match text.starts_with("rpc: can't find ") {
            true => Status::unimplemented(text),
            false => Status::internal(text),
        })
    }

    /// The flags and the body of the answer.
    async fn exchange(&self, frame: &[u8]) -> io::Result<(u8, Vec<u8>)> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        stream.write_all(frame).await?;
        let mut input = BytesMut::new();
        loop {
            match wire::look(&input).map_err(io::Error::other)? {
                Look::Whole(message) => {
                    let body = input.get(message.body()..message.total).unwrap_or_default();
                    return Ok((message.flags, body.to_vec()));
                }
                Look::TooLong(_) => return Err(io::Error::other("the answer is too long")),
                Look::Incomplete(_) => {}
            }
            input.reserve(ROOM);
            if stream.read_buf(&mut input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
