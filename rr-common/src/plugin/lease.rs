//! Connections of clients that the supervisor lends to this plugin ([`crate::rpc::lease`]).
//!
//! Each is a task of its own with at most one call at a time: read, answer, write, and nothing in between. Everything else is the
//! supervisor's again, at once: half of a call that does not come, a second call behind the first, one of another plugin, an answer that
//! has to wait or that the client does not take. The task of the connection for calls, which the leases came over, passes them
//! on ([`Leases`]) and takes back what is left of them ([`Word`]).

mod page;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use super::calls::{Answer, Call};
use crate::rpc::{
    Passed,
    lease::{LEND, PAGE},
    watch,
    wire::{self, Look, Message},
};
use bytes::{Bytes, BytesMut};
use page::{Desk, Page};
use socket2::Socket;
use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{mpsc, oneshot},
};

/// Leases that are over and not told yet. The supervisor has at most a page of them.
const WORDS: usize = 1024;

/// Begins a call.
pub(super) type Begin = Arc<dyn Fn(Bytes, Message) -> Call + Send + Sync>;

/// A lease is over.
pub(super) struct Word {
    /// Its number.
    pub(super) sequence: u32,
    /// The call that goes on.
    pub(super) rest: Rest,
}

/// What is left to be done when a lease is over.
pub(super) enum Rest {
    /// Nothing.
    Nothing,
    /// The answer goes out on the connection for calls.
    Answer(Answer),
    /// The call waits, and is answered there.
    Call(Call),
}

/// The leases that came over one connection. When it ends, so do they, before anybody can notice its end.
pub(super) struct Leases {
    begin: Begin,
    page: Option<Arc<Page>>,
    /// Descriptors whose frames are still to come.
    passed: VecDeque<Passed>,
    /// Ends a lease, also by being dropped.
    held: HashMap<u32, oneshot::Sender<()>>,
    words: mpsc::Sender<Word>,
    said: mpsc::Receiver<Word>,
}

impl Leases {
    pub(super) fn new(begin: Begin) -> Self {
        let (words, said) = mpsc::channel(WORDS);
        Self {
            begin,
            page: None,
            passed: VecDeque::new(),
            held: HashMap::new(),
            words,
            said,
        }
    }

    /// A descriptor has come; its frame is the next one that needs one.
    pub(super) fn passed(&mut self, descriptor: Passed) {
        self.passed.push_back(descriptor);
    }

    /// Takes a frame that begins a lease; false if it is none.
    pub(super) fn take(&mut self, name: &[u8], sequence: u32, body: &[u8]) -> bool {
        match name {
            PAGE => {
                let file = self.passed.pop_front().flatten().map(File::from);
                self.page = file.and_then(|file| Page::map(&file).ok()).map(Arc::new);
            }
            LEND => {
                let descriptor = self.passed.pop_front().flatten();
                let lent = || {
                    let (number, prefix) = body.split_first_chunk()?;
                    let desk = self.page.as_ref()?.desk(u32::from_le_bytes(*number))?;
                    let socket = watch(Arc::new(Socket::from(descriptor?)), Interest::READABLE).ok()?;
                    Some(Lent {
                        desk,
                        socket,
                        prefix: prefix.into(),
                        begin: Arc::clone(&self.begin),
                        output: BytesMut::new(),
                    })
                };
                match lent() {
                    Some(lent) => self.serve(sequence, lent),
                    // The supervisor will serve it itself.
                    None => self.say(sequence, Rest::Nothing),
                }
            }
            _ => return false,
        }
        true
    }

    /// The supervisor wants a connection back. A lease that is over already has said so.
    pub(super) fn give_back(&mut self, sequence: u32) {
        self.held.remove(&sequence);
    }

    /// The next lease that is over.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Word> {
        // There is always a sender: ours.
        let word = ready!(self.said.poll_recv(cx));
        word.map_or(Poll::Pending, |word| {
            self.held.remove(&word.sequence);
            Poll::Ready(word)
        })
    }

    fn say(&self, sequence: u32, rest: Rest) {
        // There are fewer leases than room for words.
        let _ = self.words.try_send(Word { sequence, rest });
    }

    fn serve(&mut self, sequence: u32, mut lent: Lent) {
        let (held, mut recall) = oneshot::channel();
        self.held.insert(sequence, held);
        let words = self.words.clone();
        tokio::spawn(async move {
            let rest = poll_fn(|cx| lent.poll(&mut recall, cx)).await;
            // First of all it must not be watched any more.
            drop(lent);
            let _ = words.send(Word { sequence, rest }).await;
        });
    }
}

/// A lent connection.
struct Lent {
    desk: Desk,
    socket: AsyncFd<Arc<Socket>>,
    /// Methods with this prefix are answered.
    prefix: Box<[u8]>,
    begin: Begin,
    /// An answer before it goes to the desk.
    output: BytesMut,
}

impl Lent {
    /// Answers calls until the lease is over.
    fn poll(&mut self, recall: &mut oneshot::Receiver<()>, cx: &mut Context<'_>) -> Poll<Rest> {
        loop {
            // Before each read: the connection for calls may have ended, and then this one is not ours any more.
            if Pin::new(&mut *recall).poll(cx).is_ready() {
                return Poll::Ready(Rest::Nothing);
            }
            let Ok(true) = ready!(self.poll_read(cx)) else {
                return Poll::Ready(Rest::Nothing);
            };
            let input = self.desk.input();
            let message = match wire::look(input) {
                Ok(Look::Incomplete(_)) => continue,
                Ok(Look::Whole(message)) if message.total == input.len() => message,
                _ => return Poll::Ready(Rest::Nothing),
            };
            let is_ours = |method| wire::split(method).is_some_and(|(prefix, _)| prefix.as_bytes() == &*self.prefix);
            if !message.method(input).is_ok_and(is_ours) {
                return Poll::Ready(Rest::Nothing);
            }
            let frame = Bytes::copy_from_slice(input);
            self.desk.begin();
            let mut call = (self.begin)(frame, message);
            let Poll::Ready(answer) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
                return Poll::Ready(Rest::Call(call));
            };
            if answer.is_again() {
                return Poll::Ready(Rest::Answer(answer));
            }
            self.output.clear();
            answer.write(&mut self.output);
            match self.desk.answer(&self.socket, &self.output) {
                Some(true) => self.desk.next(),
                Some(false) => return Poll::Ready(Rest::Nothing),
                None => return Poll::Ready(Rest::Answer(answer)),
            }
        }
    }

    /// Reads what is there; false when the connection is to be given back.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(cx))?;
            match self.desk.receive(&self.socket) {
                Ok(Some(read)) => {
                    // The room is larger than what is left of it only when that was all.
                    if self.desk.has_room() {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(read > 0));
                }
                Ok(None) => return Poll::Ready(Ok(false)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}
