//! One worker's answers, in order: the task that owns the reading end of its channel.
//!
//! The request only waits for what this task resolves, so a client that goes away strands nothing. When an answer is
//! there the next waiting request is written to the worker first, then the answer is handed over: PHP works while we do.

use super::{
    Answer, ExecError,
    dispatch::Next,
    exchange::Fate,
    shared::{Hand, Job, Shared},
    state::Why,
};
use crate::{
    frame::{Frame, STOP_CONTEXT, flag, stream},
    relay::{
        Kind,
        frames::{Frames, ReadError},
    },
    telemetry::trace::Place,
    worker::{Payload, process::Order},
};
use bytes::Bytes;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a worker that closed its channel may take to exit.
const ENDING: Duration = Duration::from_secs(1);

/// Reads one worker until its end.
pub(super) struct Reader {
    pub(super) shared: Arc<Shared>,
    pub(super) hand: Arc<Hand>,
    pub(super) frames: Frames,
    pub(super) kind: Kind,
    /// The answer to the first of two requests, held until it is clear whose it is.
    held: Option<Frame>,
    hold: bool,
}

/// Why a worker is given up.
pub(super) enum Broken {
    Read(ReadError),
    Decode(String),
    Unasked,
    StreamTimeout,
    /// It was told to go, or is killed on purpose.
    Expected,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, hand: Arc<Hand>, frames: Frames, kind: Kind) -> Self {
        Self {
            shared,
            hand,
            frames,
            kind,
            held: None,
            hold: false,
        }
    }

    /// Resolves answers until the worker ends or breaks the protocol; then its requests are failed or moved.
    pub(super) async fn run(mut self) {
        let broken = loop {
            let frame = match self.frames.next().await {
                Ok(frame) => frame,
                Err(error) => break Broken::Read(error),
            };
            if let Err(broken) = self.take(frame).await {
                break broken;
            }
        };
        self.end(broken);
    }

    async fn take(&mut self, frame: Frame) -> Result<(), Broken> {
        if frame.head.flags & flag::CONTROL != 0 {
            // The SDK answers a pid question; nothing else of that kind concerns a request.
            return Ok(());
        }
        if is_stop(&frame) {
            let inside = self.shared.with(|core| core.asked_to_leave(self.hand.id));
            self.hand.order(self.shared.stop_order());
            self.hold = inside > 1;
            return Ok(());
        }
        if self.hold {
            return self.take_held(frame);
        }
        if frame.head.flags & flag::ERROR == 0 && frame.head.stream & stream::STREAM != 0 {
            return self.stream(frame).await;
        }
        self.answer(frame)
    }

    /// A whole answer.
    fn answer(&mut self, frame: Frame) -> Result<(), Broken> {
        let answer = self.result(frame)?;
        let leaves = self.frames.next_buffered_if(is_stop).is_some();
        let now = Instant::now();
        let Some((job, next)) = self.shared.with(|core| core.answered(self.hand.id, leaves, now)) else {
            return Err(Broken::Unasked);
        };
        if leaves {
            self.shared.with(|core| core.asked_to_leave(self.hand.id));
        }
        self.go_on(next, leaves);
        let _ = job.reply.send(answer);
        Ok(())
    }

    /// The worker asked to leave with two requests in its pipe: an answer to only one of them could be either's.
    fn take_held(&mut self, frame: Frame) -> Result<(), Broken> {
        match self.held.take() {
            None => self.held = Some(frame),
            Some(first) => {
                self.hold = false;
                self.answer(first)?;
                self.answer(frame)?;
            }
        }
        Ok(())
    }

    /// Carries out what the worker does next.
    pub(super) fn go_on(&self, next: Next<Arc<Payload>>, leaves: bool) {
        match next {
            Next::Run(payload) => self.hand.send(payload),
            Next::Leave => self.hand.order(self.shared.stop_order()),
            Next::Kill => self.hand.order(Order::Kill),
            Next::Rest if leaves => self.hand.order(self.shared.stop_order()),
            Next::Rest => {}
        }
    }

    /// What a frame tells the requester; a frame that is no payload breaks the worker.
    pub(super) fn result(&self, frame: Frame) -> Result<Result<Answer, ExecError>, Broken> {
        if frame.head.flags & flag::ERROR != 0 {
            let error = ExecError::SoftJob(String::from_utf8_lossy(&frame.payload).into_owned());
            let place = self.shared.with(|core| {
                let slot = core.slot(self.hand.id)?;
                // The request of a stream is in its pipe no more.
                slot.jobs.front().filter(|_| !slot.streaming)?.place()
            });
            let (trace_id, span_id) = Place::fields(place);
            tracing::warn!(
                target: "server", reason = "SoftJob", pid = self.hand.pid, internal_event_name = "EventWorkerSoftError",
                %error, trace_id, span_id, "soft worker error"
            );
            return Ok(Err(error));
        }
        let (context, body) = split(&frame).map_err(Broken::Decode)?;
        let flags = frame.head.flags;
        Ok(Ok(Answer {
            flags,
            context,
            body,
            more: None,
        }))
    }

    /// The worker is given up.
    fn end(&mut self, broken: Broken) {
        let fate = match () {
            () if self.held.is_some() => Fate::Unclear,
            () if self.kind == Kind::Pipe && self.hand.outbox.untouched() => Fate::Unread,
            () => Fate::Running,
        };
        let lost = self.shared.with(|core| core.lost(self.hand.id, fate, Instant::now()));
        if !lost.expected || !lost.failed.is_empty() {
            self.log(&broken, &broken.error(), lost.failed.first().and_then(Job::place));
        }
        for job in lost.failed {
            let error = lost.why.clone().map_or_else(|| broken.error(), Why::into_error);
            let _ = job.reply.send(Err(error));
        }
        self.order(&broken, lost.expected);
    }

    /// What happens to the process of a worker that was given up. One that ends by itself may do so in its own time.
    pub(super) fn order(&self, broken: &Broken, expected: bool) {
        match broken {
            Broken::Expected => {}
            Broken::Read(ReadError::End { partial: false }) if expected => {}
            Broken::Read(ReadError::End { .. }) => self.hand.order(Order::Terminate(Instant::now() + ENDING)),
            Broken::Decode(_) => self.hand.order(self.shared.stop_order()),
            _ => self.hand.order(Order::Kill),
        }
    }

    pub(super) fn log(&self, broken: &Broken, error: &ExecError, place: Option<Place>) {
        let pid = self.hand.pid;
        let (trace_id, span_id) = Place::fields(place);
        match broken {
            Broken::Read(_) => tracing::warn!(
                target: "server", reason = "worker hung or process was killed", pid,
                internal_event_name = "EventWorkerError", %error, trace_id, span_id,
                "RoadRunner can't communicate with the worker"
            ),
            _ => tracing::warn!(
                target: "server", pid, internal_event_name = "EventWorkerDestruct", %error, trace_id, span_id,
                "worker will be restarted"
            ),
        }
    }
}

impl Broken {
    pub(super) fn error(&self) -> ExecError {
        match self {
            Self::Read(ReadError::End { .. }) => ExecError::Network("EOF".into()),
            Self::Read(ReadError::Io(error)) => ExecError::Network(error.to_string()),
            Self::Read(ReadError::Stray(text)) => ExecError::Network(format!(
                "validation failed on the message sent to STDOUT, see: \
                 https://docs.roadrunner.dev/error-codes/stdout-crc, invalid message: {}",
                String::from_utf8_lossy(text)
            )),
            Self::Decode(text) => ExecError::Decode(text.clone()),
            Self::Unasked => ExecError::Decode("a frame that answers no request".into()),
            Self::StreamTimeout => ExecError::Network("the stream did not end within stream_timeout".into()),
            Self::Expected => ExecError::Network("EOF".into()),
        }
    }
}

pub(super) fn is_stop(frame: &Frame) -> bool {
    frame.payload.len() == STOP_CONTEXT.len()
        && frame.options() == [STOP_CONTEXT.len() as u32]
        && frame.payload == STOP_CONTEXT
        && frame.head.flags & (flag::ERROR | flag::CONTROL) == 0
}

/// Cuts a payload into context and body.
fn split(frame: &Frame) -> Result<(Bytes, Bytes), String> {
    let &[context] = frame.options() else {
        return Err("options length should be equal 1 (body offset)".into());
    };
    let context = context as usize;
    if context > frame.payload.len() {
        let len = frame.payload.len();
        return Err(format!(
            "bad payload: a context of {context} bytes in a payload of {len}"
        ));
    }
    Ok((frame.payload.slice(..context), frame.payload.slice(context..)))
}
