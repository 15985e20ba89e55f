//! RPC calls as goridge frames: on the plugin's own socket, where the supervisor passes on what PHP asks, and on `rpc.listen` when
//! the plugin runs alone.
//!
//! A connection is one task. It reads what has arrived and starts each call by polling it at once, in order; what is ready then is
//! answered with one write for the whole batch and costs no task and no wake-up. What has to wait is kept and answered when it
//! is complete, so that a call that waits for a lock does not hold up the one that releases it.

use super::{
    Plugin,
    lease::{Begin, Leases, Rest, Word},
    slot::Slot,
};
use crate::{
    COMPATIBLE_VERSION,
    frame::flag,
    rpc::{
        CallError, Codec, Guarded, Panicked, Quiet, encode,
        lease::BACK,
        wire::{self, Look, Message},
    },
};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{
    Stream,
    future::{AbortHandle, Abortable},
    stream::FuturesUnordered,
};
use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::ReadBuf;

/// Calls of one connection that wait. The supervisor sends those of all its clients over one.
const WAITING: usize = 100_000;

/// Bytes of answers that wait for the peer to read, beyond which nothing more is taken from it.
const UNREAD: usize = 1 << 20;

/// Room for a read.
const ROOM: usize = 64 * 1024;

/// Which methods are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those that the supervisor sends here, whatever their prefix.
    Routed,
    /// The plugin's own and `rpc.Version`.
    Alone,
}

/// A call that runs.
pub(super) type Call = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Serves one connection to its end.
pub(super) async fn serve<P: Plugin>(slot: Slot<P>, scope: Scope, stream: Quiet) {
    let begin: Begin = Arc::new(move |frame, message| Box::pin(answered(slot.clone(), scope, frame, message)));
    let mut connection = Connection {
        leases: (scope == Scope::Routed).then(|| Leases::new(Arc::clone(&begin))),
        begin,
        stream,
        piece: vec![0; ROOM].into(),
        input: BytesMut::new(),
        skip: 0,
        output: BytesMut::new(),
        waiting: FuturesUnordered::new(),
        droppable: P::WAITS_FOR_CALLERS.then(HashMap::new),
        ended: false,
    };
    let served = poll_fn(|cx| connection.poll(cx)).await;
    if let Err(error) = served
        && error.kind() == io::ErrorKind::InvalidData
    {
        tracing::warn!(target: "rpc", "a connection is closed: {error}");
    }
}

/// A call's answer, ready to be written.
pub(super) struct Answer {
    pub(super) frame: Bytes,
    pub(super) message: Message,
    pub(super) result: Result<Bytes, CallError>,
}

/// Calls the plugin.
async fn answered<P: Plugin>(slot: Slot<P>, scope: Scope, frame: Bytes, message: Message) -> Answer {
    let result = async {
        let whole = message.method(&frame).map_err(CallError::Failed)?;
        let (service, method) = wire::split(whole).unwrap_or_default();
        let body = frame.slice(message.body()..);
        match scope {
            Scope::Alone if whole == "rpc.Version" => encode(Codec::of(message.flags)?, &COMPATIBLE_VERSION),
            Scope::Alone if service != P::NAME => Err(CallError::Failed(format!("rpc: can't find service {whole}"))),
            _ => slot.call(method, Codec::of(message.flags)?, body).await,
        }
    };
    let result = Guarded(pin!(result))
        .await
        .unwrap_or_else(|Panicked| Err(CallError::failed("rpc: the call has failed by a defect of the plugin")));
    Answer { frame, message, result }
}

impl Answer {
    /// Whether the call is given back, which only the supervisor understands.
    pub(super) fn is_again(&self) -> bool {
        matches!(self.result, Err(CallError::Again(_)))
    }

    /// Appends it.
    pub(super) fn write(&self, out: &mut BytesMut) {
        self.write_as(self.message.sequence, out);
    }

    /// Appends it with another sequence number: that of a call which did not come over this connection.
    fn write_as(&self, sequence: u32, out: &mut BytesMut) {
        let Self { frame, message, result } = self;
        let (bit, name) = (message.codec_bit(), message.name(frame));
        match result {
            Ok(result) if wire::fits(name, result) => wire::answer(out, bit, sequence, name, result),
            Ok(_) => wire::refuse(out, bit, sequence, name, "rpc: the answer is too long for a frame"),
            Err(CallError::Again(body)) if wire::fits(name, body) => {
                wire::again(out, message.flags, sequence, name, body);
            }
            Err(error) => {
                let text = error.text(&String::from_utf8_lossy(name));
                wire::refuse(out, bit, sequence, name, &text);
            }
        }
    }
}

/// A call that waits.
struct Waiting {
    sequence: u32,
    call: Abortable<Call>,
}

impl Future for Waiting {
    /// No answer if it has been dropped.
    type Output = (u32, Option<Answer>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let sequence = self.sequence;
        Pin::new(&mut self.call).poll(cx).map(|answer| (sequence, answer.ok()))
    }
}

/// One connection.
struct Connection {
    /// Connections that came over this one. Let go of before this one is closed: its end means that they are the supervisor's again.
    leases: Option<Leases>,
    stream: Quiet,
    begin: Begin,
    /// What one read brings.
    piece: Box<[u8]>,
    /// What has arrived and is no whole frame yet.
    input: BytesMut,
    /// Bytes of a frame that is not taken and has not arrived yet.
    skip: usize,
    /// Answers that are not written yet.
    output: BytesMut,
    waiting: FuturesUnordered<Waiting>,
    /// Those that are dropped when their callers hang up, if the plugin wants that.
    droppable: Option<HashMap<u32, AbortHandle>>,
    /// The peer sends nothing more.
    ended: bool,
}

impl Connection {
    /// Does all that can be done now; ready at the end of the connection.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while let Some(leases) = &mut self.leases
                && let Poll::Ready(word) = leases.poll_over(cx)
            {
                self.take_back(word);
            }
            while self.has_room()
                && let Poll::Ready(Some((sequence, answer))) = Pin::new(&mut self.waiting).poll_next(cx)
            {
                if let Some(droppable) = &mut self.droppable {
                    droppable.remove(&sequence);
                }
                match answer {
                    Some(answer) => answer.write_as(sequence, &mut self.output),
                    None => wire::refuse(
                        &mut self.output,
                        flag::RAW,
                        sequence,
                        b"",
                        "rpc: the caller has hung up",
                    ),
                }
            }
            let all_started = self.start_calls(cx)?;
            // Answers first: the peer may wait for them before it sends more.
            let blocked = self.poll_write(cx)?.is_pending();
            if blocked && !self.has_room() {
                return Poll::Pending;
            }
            if !all_started && self.has_room() && self.waiting.len() < WAITING {
                continue;
            }
            if self.ended {
                let nobody_waits = self.waiting.is_empty() || self.droppable.is_some();
                let over = nobody_waits && self.output.is_empty();
                return if over { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            if self.waiting.len() >= WAITING {
                return Poll::Pending;
            }
            let mut piece = ReadBuf::new(&mut self.piece);
            let passed = ready!(self.stream.poll_receive(cx, &mut piece))?;
            if let (Some(passed), Some(leases)) = (passed, &mut self.leases) {
                leases.passed(passed);
            }
            self.ended = piece.filled().is_empty();
            self.input.extend_from_slice(piece.filled());
        }
    }

    fn has_room(&self) -> bool {
        self.output.len() < UNREAD
    }

    /// Starts the calls that have arrived; says whether that was all of them.
    fn start_calls(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        while self.has_room() && self.waiting.len() < WAITING {
            let skipped = self.skip.min(self.input.len());
            self.input.advance(skipped);
            self.skip -= skipped;
            let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
            match wire::look(&self.input).map_err(invalid)? {
                Look::Incomplete(_) => return Ok(true),
                Look::TooLong(message) => {
                    let name = message.name(&self.input);
                    wire::refuse(
                        &mut self.output,
                        message.codec_bit(),
                        message.sequence,
                        name,
                        wire::TOO_LONG,
                    );
                    self.skip = message.total;
                }
                Look::Whole(message) if message.name(&self.input) == wire::HUNG_UP => {
                    self.input.advance(message.total);
                    let droppable = self.droppable.as_ref();
                    if let Some(handle) = droppable.and_then(|droppable| droppable.get(&message.sequence)) {
                        handle.abort();
                    }
                }
                Look::Whole(message) if self.take_lease(message) => {}
                Look::Whole(message) => {
                    let frame = self.input.split_to(message.total).freeze();
                    let mut call = (self.begin)(frame, message);
                    match call.as_mut().poll(cx) {
                        Poll::Ready(answer) => answer.write(&mut self.output),
                        Poll::Pending => self.wait(message.sequence, call),
                    }
                }
            }
        }
        Ok(false)
    }

    /// Answers a call when it is complete.
    fn wait(&mut self, sequence: u32, call: Call) {
        let (handle, registration) = AbortHandle::new_pair();
        if let Some(droppable) = &mut self.droppable {
            droppable.insert(sequence, handle);
        }
        let call = Abortable::new(call, registration);
        self.waiting.push(Waiting { sequence, call });
    }

    /// Takes the frame at hand if it is about a lease.
    fn take_lease(&mut self, message: Message) -> bool {
        let Some(leases) = &mut self.leases else { return false };
        // No client's method is without a dot.
        let name = message.name(&self.input);
        if name.contains(&b'.') {
            return false;
        }
        let is_one = match self.input.get(message.body()..message.total) {
            Some(_) if name == BACK => {
                leases.give_back(message.sequence);
                true
            }
            Some(body) => leases.take(name, message.sequence, body),
            None => false,
        };
        if is_one {
            self.input.advance(message.total);
        }
        is_one
    }

    /// A lease is over: the supervisor is told, and gets the answer that is still to come as that of a call.
    fn take_back(&mut self, Word { sequence, rest }: Word) {
        wire::answer(&mut self.output, flag::RAW, sequence, BACK, b"");
        match rest {
            Rest::Nothing => {}
            Rest::Answer(answer) => answer.write_as(sequence, &mut self.output),
            Rest::Call(call) => self.wait(sequence, call),
        }
    }

    /// Writes until nothing is left; pending when the peer does not read.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        while !self.output.is_empty() {
            match self.stream.poll_write_from(cx, &self.output) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => self.output.advance(written),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        Ok(Poll::Ready(()))
    }
}
