//! Takes log lines from sockets and writes them to the outputs, on a thread of its own: a slow disk or a terminal that
//! stands still holds up nothing else. At rest the thread sleeps; while lines come it wakes a few hundred times a
//! second and writes what has gathered, however many lines that are.

use super::outputs::Outputs;
use super::tail::Tail;
use super::wire::{self, Datagram};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, setsockopt, socketpair, sockopt};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, atomic::AtomicBool, atomic::Ordering};
use std::thread;
use std::time::Duration;

/// Bytes that the kernel may hold for one sender; it may grant less.
const SOCKET_BUFFER: usize = 1024 * 1024;
/// Milliseconds that lines gather before they are written.
const GATHER: u8 = 2;
/// Orders that may wait while the thread writes.
const ORDERS: usize = 64;
/// Lines taken from one sender before the others have their turn.
const TURN: usize = 256;

/// The writing thread.
#[derive(Debug)]
pub struct Sink {
    orders: SyncSender<Order>,
    wake: Arc<EventFd>,
    abandoned: Arc<AtomicBool>,
    /// Closed by the thread's end.
    ended: Receiver<()>,
}

/// Where the lines of one sender come from.
#[derive(Debug)]
pub struct Input {
    /// Our end of its socket.
    pub socket: OwnedFd,
    /// Where the last of its lines are noted.
    pub tail: Option<Tail>,
}

enum Order {
    /// A new one, or those of another sink before this one.
    Inputs(Vec<Input>),
    /// Hand out copies of all inputs, and do nothing until the other end is closed.
    Hold(SyncSender<Vec<Input>>, Receiver<()>),
    Outputs(Box<Outputs>),
    Reopen,
    /// End when every sender has closed.
    Finish,
}

impl Sink {
    /// Starts the thread.
    pub fn start(outputs: Outputs) -> io::Result<Self> {
        let (orders, incoming) = mpsc::sync_channel(ORDERS);
        let (ends, ended) = mpsc::sync_channel(0);
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let abandoned = Arc::new(AtomicBool::new(false));
        let mut writer = Writer {
            outputs,
            orders: incoming,
            wake: Arc::clone(&wake),
            abandoned: Arc::clone(&abandoned),
            inputs: Vec::new(),
            partial: HashMap::new(),
            tails: HashMap::new(),
            finishing: false,
        };
        thread::Builder::new().name("log sink".into()).spawn(move || {
            writer.run();
            drop(ends);
        })?;
        Ok(Self {
            orders,
            wake,
            abandoned,
            ended,
        })
    }

    /// A new sender's end of a socket: one for each process, so that one that floods the log crowds out only itself.
    /// It is closed on exec.
    pub fn connect(&self) -> io::Result<OwnedFd> {
        self.connected(None)
    }

    /// The same; the last of its lines stand in the tail too.
    pub fn connect_noted(&self, tail: Tail) -> io::Result<OwnedFd> {
        self.connected(Some(tail))
    }

    fn connected(&self, tail: Option<Tail>) -> io::Result<OwnedFd> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        setsockopt(&theirs, sockopt::SndBuf, &SOCKET_BUFFER)?;
        self.order(Order::Inputs(vec![Input { socket: ours, tail }]))?;
        Ok(theirs)
    }

    /// Writes what has come, hands out the senders' sockets, and then leaves everything in them, until the sender that comes back is
    /// dropped. A second sink may read them meanwhile.
    ///
    /// # Errors
    /// The thread stands still in a write.
    pub fn hold(&self, timeout: Duration) -> io::Result<(Vec<Input>, SyncSender<()>)> {
        let (answer, inputs) = mpsc::sync_channel(1);
        let (end, ended) = mpsc::sync_channel(0);
        self.order(Order::Hold(answer, ended))?;
        let inputs = inputs.recv_timeout(timeout).map_err(io::Error::other)?;
        Ok((inputs, end))
    }

    /// Reads these as well, which another sink has handed out.
    ///
    /// # Errors
    /// The thread stands still in a write.
    pub fn take_over(&self, inputs: Vec<Input>) -> io::Result<()> {
        self.order(Order::Inputs(inputs))
    }

    /// Closes and opens the files anew, for tools that move log files away.
    pub fn reopen(&self) {
        let _ = self.order(Order::Reopen);
    }

    /// Writes to other outputs from now on.
    pub fn replace(&self, outputs: Outputs) {
        let _ = self.order(Order::Outputs(Box::new(outputs)));
    }

    /// Waits until every sender has closed its end and all lines are written, but not beyond the timeout.
    pub fn finish(self, timeout: Duration) {
        let _ = self.order(Order::Finish);
        let _ = self.ended.recv_timeout(timeout);
        self.abandoned.store(true, Ordering::Relaxed);
        let _ = self.wake.write(1);
    }

    /// Leaves an order without waiting: the thread may stand still in a write.
    fn order(&self, order: Order) -> io::Result<()> {
        self.orders
            .try_send(order)
            .map_err(|_| io::Error::other("the log's thread does not answer"))?;
        self.wake.write(1)?;
        Ok(())
    }
}

/// The beginning of a long line.
struct Partial {
    logger: Vec<u8>,
    text: Vec<u8>,
}

/// What the thread owns.
struct Writer {
    outputs: Outputs,
    orders: Receiver<Order>,
    wake: Arc<EventFd>,
    abandoned: Arc<AtomicBool>,
    inputs: Vec<OwnedFd>,
    /// The beginnings of long lines, by the socket that they come from.
    partial: HashMap<RawFd, Partial>,
    /// Where the last lines of a socket are noted.
    tails: HashMap<RawFd, Tail>,
    finishing: bool,
}

impl Writer {
    fn run(&mut self) {
        let mut buffer = vec![0; wire::DATAGRAM];
        let mut timeout = PollTimeout::NONE;
        while !self.is_done() {
            let ready = self.wait(timeout);
            self.obey();
            let lines = self.receive(&ready, &mut buffer);
            self.outputs.flush();
            // Under load the senders find nobody waiting, so that their lines cost them no wake-up of this thread.
            timeout = match lines {
                0 => PollTimeout::NONE,
                _ => {
                    let _ = poll(&mut [PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)], GATHER);
                    PollTimeout::ZERO
                }
            };
        }
        self.outputs.flush();
    }

    fn is_done(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed) || self.finishing && self.inputs.is_empty()
    }

    /// Waits for lines or orders; returns which inputs have something.
    fn wait(&self, timeout: PollTimeout) -> Vec<RawFd> {
        let interest = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds: Vec<_> = self.inputs.iter().map(|input| interest(input.as_fd())).collect();
        fds.push(interest(self.wake.as_fd()));
        if poll(&mut fds, timeout).is_err() {
            return Vec::new();
        }
        let ready = fds.iter().zip(&self.inputs).filter(|(fd, _)| fd.any().unwrap_or(true));
        ready.map(|(_, input)| input.as_raw_fd()).collect()
    }

    fn obey(&mut self) {
        let _ = self.wake.read();
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Inputs(inputs) => {
                    for Input { socket, tail } in inputs {
                        self.tails.extend(tail.map(|tail| (socket.as_raw_fd(), tail)));
                        self.inputs.push(socket);
                    }
                }
                Order::Reopen => self.outputs.reopen(),
                Order::Hold(answer, end) => {
                    // Whoever reads the rest of a long line does not know how it began.
                    for (_, line) in std::mem::take(&mut self.partial) {
                        self.cut(line);
                    }
                    self.outputs.flush();
                    let _ = answer.send(self.copies());
                    let _ = end.recv();
                }
                Order::Finish => self.finishing = true,
                Order::Outputs(outputs) => {
                    self.outputs.flush();
                    self.outputs = *outputs;
                }
            }
        }
    }

    /// A second set of the inputs.
    fn copies(&self) -> Vec<Input> {
        let copy = |input: &OwnedFd| {
            Some(Input {
                socket: input.try_clone().ok()?,
                tail: self.tails.get(&input.as_raw_fd()).cloned(),
            })
        };
        self.inputs.iter().filter_map(copy).collect()
    }

    /// Takes what has come; returns the number of datagrams.
    fn receive(&mut self, ready: &[RawFd], buffer: &mut [u8]) -> usize {
        let mut count = 0;
        for &input in ready {
            for _ in 0..TURN {
                match recv(input, buffer, MsgFlags::MSG_DONTWAIT) {
                    Err(Errno::EAGAIN) => break,
                    Err(Errno::EINTR) => continue,
                    Ok(0) | Err(_) => {
                        self.close(input);
                        break;
                    }
                    Ok(length) => {
                        count += 1;
                        if let Some(datagram) = wire::parse(&buffer[..length]) {
                            self.take(input, &datagram);
                        }
                    }
                }
            }
        }
        count
    }

    fn take(&mut self, input: RawFd, datagram: &Datagram<'_>) {
        if let Some(tail) = self.tails.get(&input) {
            tail.note(datagram.logger, datagram.text);
        }
        if !datagram.more && !datagram.rest {
            return self.outputs.write(datagram.logger, datagram.text);
        }
        let begun = self.partial.remove(&input).filter(|_| datagram.rest);
        let mut line = begun.unwrap_or_else(|| Partial {
            logger: datagram.logger.into(),
            text: Vec::new(),
        });
        line.text.extend_from_slice(datagram.text);
        // A sender that keeps to the rules stays below this bound; one that does not gets its line cut in two.
        match datagram.more && line.text.len() <= 2 * wire::LINE {
            true => drop(self.partial.insert(input, line)),
            false => self.outputs.write(&line.logger, &line.text),
        }
    }

    fn close(&mut self, input: RawFd) {
        self.tails.remove(&input);
        if let Some(line) = self.partial.remove(&input) {
            self.cut(line);
        }
        self.inputs.retain(|fd| fd.as_raw_fd() != input);
    }

    /// Writes the beginning of a line that nothing is added to any more.
    fn cut(&mut self, mut line: Partial) {
        line.text.push(b'\n');
        self.outputs.write(&line.logger, &line.text);
    }
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
