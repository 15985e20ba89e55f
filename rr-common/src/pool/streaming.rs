//! A streamed answer: frame by frame to a reader that may be slow or go away.
//!
//! The worker's own task waits while the reader's window is full, so the worker fills its pipe and waits too. A PING is
//! answered when everything before it was taken. A reader that goes away is noticed at once: the worker is told to stop
//! producing and stays.

use super::{
    Answer, Stream,
    answer::{Piece, WINDOW},
    exchange::Fate,
    reader::{Broken, Reader, is_stop},
    shared::Job,
};
use crate::{
    frame::{Frame, PONG, STREAM_STOP, flag, stream},
    relay::outbox::Item,
};
use std::time::Instant;
use tokio::sync::mpsc;

type Pieces = mpsc::Sender<Piece>;

impl Reader {
    /// A streamed answer, from its first frame to its last.
    pub(super) async fn stream(&mut self, first: Frame) -> Result<(), Broken> {
        let mut ping = first.head.stream & stream::PING != 0;
        let answer = self.result(first)?;
        let id = self.hand.id;
        let Some(job) = self.shared.with(|core| core.stream_begins(id, Instant::now())) else {
            return Err(Broken::Unasked);
        };
        let (sender, receiver) = mpsc::channel(WINDOW);
        let answer = answer.map(|answer| Answer {
            more: Some(Stream::new(receiver)),
            ..answer
        });
        let Job { payload, reply, .. } = job;
        drop(payload);
        let _ = reply.send(answer);
        loop {
            if ping && !self.taken(&sender).await {
                return self.discard().await;
            }
            if ping {
                self.hand.outbox.send(Item::Control(&PONG));
            }
            let frame = tokio::select! {
                biased;
                () = sender.closed() => return self.discard().await,
                frame = self.frames.next() => frame,
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Err(self.break_stream(Broken::Read(error), &sender)),
            };
            ping = frame.head.stream & stream::PING != 0;
            let last = frame.head.stream & stream::STREAM == 0;
            let item = match self.result(frame) {
                Ok(item) => item,
                Err(broken) => return Err(self.break_stream(broken, &sender)),
            };
            let last = last || item.is_err();
            if let Err(unsent) = sender.try_send(Piece { item, last }) {
                self.shared.with(|core| core.stream_waits(id));
                let _ = sender.send(unsent.into_inner()).await;
            }
            if last {
                self.finish_stream();
                return Ok(());
            }
            self.shared.with(|core| core.stream_goes_on(id, Instant::now()));
        }
    }

    /// Waits until the reader has taken every frame; false if it has gone.
    async fn taken(&self, sender: &Pieces) -> bool {
        if sender.capacity() == WINDOW && !sender.is_closed() {
            return true;
        }
        self.shared.with(|core| core.stream_waits(self.hand.id));
        let taken = sender.reserve_many(WINDOW).await.is_ok();
        self.shared
            .with(|core| core.stream_goes_on(self.hand.id, Instant::now()));
        taken
    }

    /// Nobody reads the stream any more: the worker is told, and what still comes is thrown away up to the last frame.
    async fn discard(&mut self) -> Result<(), Broken> {
        self.hand.outbox.send(Item::Control(&STREAM_STOP));
        let drain = async {
            loop {
                let frame = self.frames.next().await.map_err(Broken::Read)?;
                if frame.head.stream & stream::STREAM == 0 || frame.head.flags & flag::ERROR != 0 {
                    return Ok(());
                }
                let now = Instant::now();
                self.shared.with(|core| core.stream_goes_on(self.hand.id, now));
            }
        };
        match tokio::time::timeout(self.shared.stream_timeout, drain).await {
            Ok(Ok(())) => {
                self.finish_stream();
                Ok(())
            }
            Ok(Err(broken)) => Err(broken),
            Err(_) => Err(Broken::StreamTimeout),
        }
    }

    fn finish_stream(&mut self) {
        let leaves = self.frames.next_buffered_if(is_stop).is_some();
        if leaves {
            self.shared.with(|core| core.asked_to_leave(self.hand.id));
        }
        let next = self.shared.with(|core| core.stream_ended(self.hand.id, Instant::now()));
        self.go_on(next, leaves);
    }

    /// Ends a stream with an error for its reader.
    fn break_stream(&mut self, broken: Broken, sender: &Pieces) -> Broken {
        let lost = self
            .shared
            .with(|core| core.lost(self.hand.id, Fate::Unclear, Instant::now()));
        let error = match lost.why {
            Some(why) => why.into_error(),
            None => broken.error(),
        };
        if !lost.expected {
            self.log(&broken, &error, lost.failed.first().and_then(Job::place));
        }
        let _ = sender.try_send(Piece {
            item: Err(error),
            last: true,
        });
        for job in lost.failed {
            let _ = job.reply.send(Err(broken.error()));
        }
        self.order(&broken, lost.expected);
        Broken::Expected
    }
}
