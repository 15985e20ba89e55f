//! A connection of PHP or the command line: its calls go in, in order; their answers go out as they come.

use super::{
    Gateway,
    caller::{Caller, Method},
    intake::{Fate, Intake, Read, Take},
    kept::{KeptClient, KeptStream},
    link::Patience,
    load::Load,
    outlet::Outlet,
    plugin::{Full, Plugin},
    route::Goal,
};
use crate::renew::baggage::Baggage;
use rr_common::rpc::{
    Quiet,
    wire::{self, Message},
};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll},
};

/// Calls of one connection that are not answered yet.
const IN_FLIGHT: usize = 256;

/// One connection, for those that answer its calls.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: Rc<Quiet>,
    pub(super) outlet: Rc<Outlet>,
    in_flight: Cell<usize>,
    /// Its task waits until a call is answered.
    held: Cell<bool>,
    /// It sends nothing more, and goes when all is answered.
    ended: Cell<bool>,
    place: RefCell<Place>,
    patience: Cell<Patience>,
    intake: RefCell<Intake>,
}

/// Who reads from a connection.
#[derive(Debug)]
enum Place {
    /// Its task.
    Here,
    /// The plugin that it is lent to.
    Lent,
    /// Its task again, after the plugin had read these bytes.
    Back(Vec<u8>),
}

impl Client {
    /// One that has come.
    pub(super) fn new(stream: Quiet, load: &Rc<Load>) -> Rc<Self> {
        let stream = Rc::new(stream);
        Rc::new(Self {
            outlet: Rc::new(Outlet::new(Rc::clone(&stream), Rc::clone(load))),
            intake: RefCell::new(Intake::new(Rc::clone(load))),
            stream,
            in_flight: Cell::new(0),
            held: Cell::new(false),
            ended: Cell::new(false),
            place: RefCell::new(Place::Here),
            patience: Cell::default(),
        })
    }

    /// Packs it; nothing if it has gone.
    pub(super) fn pack(&self, baggage: &mut Baggage) -> io::Result<Option<KeptClient>> {
        if self.outlet.is_broken() {
            return Ok(None);
        }
        let mut intake = self.intake.borrow_mut();
        // What a plugin has read before it gave the connection back comes behind what was here.
        if let Place::Back(read) = &mut *self.place.borrow_mut() {
            intake.keep(&std::mem::take(read));
        }
        let stream = KeptStream::pack(&self.stream, &intake, &self.outlet, baggage)?;
        let ended = self.ended.get();
        Ok(Some(KeptClient { stream, ended }))
    }

    /// One that the program before has packed.
    pub(super) fn unpack(kept: KeptClient, baggage: &mut Baggage, load: &Rc<Load>) -> Option<Rc<Self>> {
        let (stream, bytes) = kept.stream.unpack(baggage)?;
        let client = Self::new(stream, load);
        bytes.give(&client.intake, &client.outlet);
        client.ended.set(kept.ended);
        // Whole frames may be among what was read.
        client.place.replace(Place::Back(Vec::new()));
        Some(client)
    }

    /// One that the program before has packed is with a plugin.
    pub(super) fn is_lent(&self) {
        self.stream.rest();
        self.place.replace(Place::Lent);
    }

    /// Serves it to its end.
    pub(super) async fn serve(self: Rc<Self>, gateway: Rc<Gateway>) {
        let mut take = Calls {
            gateway: Rc::clone(&gateway),
            client: Rc::clone(&self),
            full: None,
            goes_to: None,
        };
        let served = poll_fn(|cx| self.poll(&mut take, cx)).await;
        self.outlet.fail();
        self.hang_up(&gateway);
        if let Err(error) = served
            && error.kind() == io::ErrorKind::InvalidData
        {
            tracing::warn!(target: "rpc", "a connection is closed: {error}");
        }
    }

    fn poll(self: &Rc<Self>, take: &mut Calls, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outlet.owned_by(cx.waker());
        let mut intake = self.intake.borrow_mut();
        loop {
            if self.outlet.is_broken() {
                return Poll::Ready(Ok(()));
            }
            match self.place.replace(Place::Here) {
                Place::Here => {}
                Place::Lent => {
                    self.place.replace(Place::Lent);
                    return Poll::Pending;
                }
                Place::Back(read) => {
                    intake.keep(&read);
                    intake.take_rest(take)?;
                }
            }
            let flushed = self.outlet.poll_flush(cx)?;
            if self.ended.get() {
                let over = flushed.is_ready() && self.in_flight.get() == 0;
                return if over { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            // A client that does not read its answers is not read from either.
            if self.outlet.is_full() {
                return Poll::Pending;
            }
            if let Some(full) = take.full.take() {
                if full.is_full() {
                    full.wait(cx.waker());
                    take.full = Some(full);
                    return Poll::Pending;
                }
                intake.take_rest(take)?;
                continue;
            }
            if self.held.get() {
                if self.in_flight.get() >= IN_FLIGHT {
                    return Poll::Pending;
                }
                self.held.set(false);
                intake.take_rest(take)?;
                continue;
            }
            if self.patience.get().is_over() && self.in_flight.get() == 0 && flushed.is_ready() && intake.is_empty() {
                self.lend(take);
                continue;
            }
            let gateway = Rc::clone(&take.gateway);
            let mut shared = gateway.buffer.borrow_mut();
            match std::task::ready!(intake.poll_read(&self.stream, &mut shared, cx, take))? {
                Read::Some => {}
                Read::End => {
                    drop(shared);
                    self.hang_up(&gateway);
                }
            }
        }
    }

    /// Lends the connection, between two calls, to the plugin that all its calls go to.
    fn lend(self: &Rc<Self>, take: &Calls) {
        let lent = match &take.goes_to {
            Some((plugin, prefix)) if take.gateway.may_lend(plugin, prefix) => plugin.lend(self, prefix),
            _ => false,
        };
        if lent {
            self.is_lent();
        } else {
            self.change_patience(|patience| patience.came_back(0));
        }
    }

    /// The connection was lent, and is ours again: the plugin has read these bytes, and begun none of the calls in them.
    /// `calls` is what it was good for, if the plugin has not died.
    pub(super) fn came_back(&self, read: &[u8], calls: Option<u32>) {
        self.change_patience(|patience| match calls {
            Some(calls) => patience.came_back(calls),
            None => patience.begin_anew(),
        });
        self.place.replace(Place::Back(read.to_vec()));
        match self.stream.wake_up() {
            Ok(()) => self.outlet.wake_owner(),
            Err(_) => self.outlet.fail(),
        }
    }

    fn change_patience(&self, change: impl FnOnce(&mut Patience)) {
        let mut patience = self.patience.get();
        change(&mut patience);
        self.patience.set(patience);
    }

    /// One of its calls.
    pub(super) fn caller(self: &Rc<Self>, frame: &[u8], message: Message) -> Caller {
        self.called();
        Caller {
            client: Rc::clone(self),
            sequence: message.sequence,
            codec_bit: message.codec_bit(),
            method: Method::from_slice(message.name(frame)),
            given_back: 0,
        }
    }

    /// It sends nothing more: calls that only wait are not waited for.
    fn hang_up(&self, gateway: &Gateway) {
        if !self.ended.replace(true) && self.in_flight.get() > 0 {
            gateway.hung_up(self);
        }
    }

    /// Whether it sends nothing more.
    pub(super) fn has_hung_up(&self) -> bool {
        self.ended.get()
    }

    pub(super) fn called(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    /// An answer is on its way out, or there will be none.
    pub(super) fn answered(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
        // Otherwise its task has nothing to do about it.
        if self.held.get() || self.ended.get() {
            self.outlet.wake_owner();
        }
    }
}

/// Takes the calls of one connection.
#[derive(Debug)]
struct Calls {
    gateway: Rc<Gateway>,
    client: Rc<Client>,
    /// What has to take something before the next call is taken.
    full: Option<Full>,
    /// Where the last call went, and its prefix.
    goes_to: Option<(Rc<Plugin>, Method)>,
}

impl Calls {
    /// Counts the calls in a row that go to one plugin.
    fn count(&mut self, method: &str, goal: &Goal) {
        let prefix = wire::split(method).map_or("", |(prefix, _)| prefix).as_bytes();
        let last = self.goes_to.as_ref();
        let (goes_on, next) = match goal {
            Goal::Plugin(plugin) => {
                let goes_on = last.is_some_and(|(last, before)| Rc::ptr_eq(last, plugin) && **before == *prefix);
                (goes_on, Some(plugin))
            }
            _ => (false, None),
        };
        if !goes_on {
            self.goes_to = next.map(|plugin| (Rc::clone(plugin), Method::from_slice(prefix)));
        }
        self.client.change_patience(|patience| patience.called(goes_on));
    }
}

impl Take for Calls {
    fn whole(&mut self, frame: &mut [u8], message: Message) -> Fate {
        if self.client.in_flight.get() >= IN_FLIGHT {
            self.client.held.set(true);
            return Fate::Later;
        }
        let method = match message.method(frame) {
            Ok(method) => method,
            Err(text) => {
                self.client.caller(frame, message).refuse(&text);
                return Fate::Done;
            }
        };
        let goal = self.gateway.route(method);
        if let Some(full) = goal.full() {
            self.full = Some(full);
            return Fate::Later;
        }
        self.count(method, &goal);
        let caller = self.client.caller(frame, message);
        self.gateway.call(goal, caller, frame, message)
    }

    fn refuse(&mut self, start: &[u8], message: Message, text: &str) {
        self.client.caller(start, message).refuse(text);
    }
}
