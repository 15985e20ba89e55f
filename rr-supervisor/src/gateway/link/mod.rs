//! The connection to one plugin process: the calls of all clients go over it, and its answers come back to whoever called.
//!
//! A call is passed on with a sequence number of ours, which finds its caller again: the place in the table of running calls, and a
//! generation, so that an answer that comes twice finds nobody. A connection that is lent to the plugin has a place there too.
//!
//! - [`leases`]: connections that are lent; [`lease`]: when that is worth it, and the page of one process
//! - [`kept`]: all of it for the next program of this process

mod kept;
mod lease;
mod leases;

pub(super) use lease::Patience;

use super::{
    Gateway,
    caller::Caller,
    client::Client,
    intake::{Fate, Intake, Read, Take},
    load::{LARGE, Load},
    outlet::Outlet,
    plugin::Plugin,
};
use crate::fleet::Calls;
use leases::Leases;
use rr_common::rpc::{
    Quiet,
    lease::BACK,
    wire::{self, Message},
};
use slab::Slab;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Calls that one plugin may have before it.
const IN_FLIGHT: usize = 1 << 16;

/// Bits of a sequence number that are the place in the table.
const PLACE: u32 = 20;

/// Bytes that may wait for a client to read; beyond them answers are replaced by an error.
const UNREAD: usize = wire::MAX_FRAME + (8 << 20);

/// A plugin's connection.
#[derive(Debug)]
pub(super) struct Link {
    /// Where the plugin's process takes calls.
    pub(super) calls_at: Calls,
    stream: Rc<Quiet>,
    pub(super) outlet: Rc<Outlet>,
    intake: RefCell<Intake>,
    calls: RefCell<Slab<Call>>,
    generation: Cell<u32>,
    leases: Leases,
}

/// A call, or a connection, that the plugin has.
#[derive(Debug)]
struct Call {
    held: Held,
    generation: u32,
}

#[derive(Debug)]
enum Held {
    /// A call, with its place among all of the plugin's.
    Caller(Caller, u64),
    /// A connection, with its slot in the page.
    Client(Rc<Client>, u32),
}

impl Link {
    /// Over this connection to that place.
    pub(super) fn new(stream: Quiet, calls_at: Calls, load: &Rc<Load>) -> Self {
        let stream = Rc::new(stream);
        Self {
            leases: Leases::new(calls_at.leases),
            calls_at,
            outlet: Rc::new(Outlet::new(Rc::clone(&stream), Rc::clone(load))),
            stream,
            intake: RefCell::new(Intake::new(Rc::clone(load))),
            calls: RefCell::default(),
            generation: Cell::default(),
        }
    }

    /// Makes a call ours; the frame then goes out as it stands.
    pub(super) fn forward(&self, caller: Caller, arrival: u64, frame: &mut [u8]) -> Fate {
        if self.calls.borrow().len() >= IN_FLIGHT {
            caller.refuse("rpc: too many calls wait for the plugin");
            return Fate::Done;
        }
        wire::renumber(frame, self.enter(Held::Caller(caller, arrival)));
        Fate::To(Rc::clone(&self.outlet))
    }

    /// Takes a place in the table; its number.
    fn enter(&self, held: Held) -> u32 {
        let generation = self.generation.get().wrapping_add(1) & (u32::MAX >> PLACE);
        self.generation.set(generation);
        let place = self.calls.borrow_mut().insert(Call { held, generation });
        number(place, generation)
    }

    /// Tells the plugin of this client's calls that nobody waits for the answers any more.
    pub(super) fn hung_up(&self, client: &Client) {
        let mut words = Vec::new();
        for (place, call) in &*self.calls.borrow() {
            if let Held::Caller(caller, _) = &call.held
                && std::ptr::eq(&*caller.client, client)
            {
                wire::hang_up(&mut words, number(place, call.generation));
            }
        }
        self.outlet.send(&words);
    }

    /// Brings answers to their callers until the connection ends; the calls that are left then get an error. What the process gives
    /// back goes to the plugin, which asks the next one.
    pub(super) async fn serve(self: Rc<Self>, gateway: Rc<Gateway>, plugin: Rc<Plugin>) {
        let text = format!("rpc: the plugin {} has ended before it answered", plugin.name);
        let mut take = Answers {
            link: Rc::clone(&self),
            load: Rc::clone(&gateway.load),
            plugin: Rc::clone(&plugin),
        };
        let end = poll_fn(|cx| self.poll(&gateway, &mut take, cx)).await;
        // Its process lives on then, and still reads from the connections that it has.
        let untold = matches!(&end, Err(error) if error.kind() == io::ErrorKind::InvalidData);
        if let Err(error) = end
            && untold
        {
            tracing::error!(target: "rpc", "a plugin's answer cannot be read: {error}");
        }
        // First of all no call comes here any more: nobody would answer it.
        plugin.forget(&self);
        self.outlet.fail();
        let left = std::mem::take(&mut *self.calls.borrow_mut());
        for (_, call) in left {
            match call.held {
                Held::Caller(caller, _) => caller.refuse(&text),
                Held::Client(client, _) if untold => {
                    client.outlet.fail();
                    self.leases.one_back();
                }
                Held::Client(client, slot) => {
                    if let Some(caller) = self.settle(&client, slot, true) {
                        caller.refuse(&text);
                    }
                }
            }
        }
    }

    fn poll(&self, gateway: &Gateway, take: &mut Answers, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outlet.owned_by(cx.waker());
        let mut intake = self.intake.borrow_mut();
        loop {
            if self.outlet.is_broken() {
                return Poll::Ready(Ok(()));
            }
            let _ = self.outlet.poll_flush(cx)?;
            let mut shared = gateway.buffer.borrow_mut();
            match ready!(intake.poll_read(&self.stream, &mut shared, cx, take))? {
                Read::Some => {}
                Read::End => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Looks at what the plugin has under this number.
    fn get<T>(&self, sequence: u32, look: impl FnOnce(&Held) -> Option<T>) -> Option<T> {
        let calls = self.calls.borrow();
        let call = calls.get(place(sequence))?;
        (call.generation == sequence >> PLACE)
            .then(|| look(&call.held))
            .flatten()
    }

    /// The caller of the call with this number, which is answered now, and the call's place among all.
    fn take(&self, sequence: u32) -> Option<(Caller, u64)> {
        self.get(sequence, |held| matches!(held, Held::Caller(..)).then_some(()))?;
        match self.calls.borrow_mut().remove(place(sequence)).held {
            Held::Caller(caller, arrival) => Some((caller, arrival)),
            Held::Client(..) => None,
        }
    }
}

/// The sequence number for a place in the table.
fn number(place: usize, generation: u32) -> u32 {
    generation << PLACE | place as u32
}

/// The place in the table that a sequence number names.
fn place(sequence: u32) -> usize {
    (sequence & ((1 << PLACE) - 1)) as usize
}

/// Takes the answers of a plugin.
#[derive(Debug)]
struct Answers {
    link: Rc<Link>,
    load: Rc<Load>,
    plugin: Rc<Plugin>,
}

impl Take for Answers {
    fn whole(&mut self, frame: &mut [u8], message: Message) -> Fate {
        if message.name(frame) == BACK {
            self.link.returned(message.sequence, self.plugin.arrives());
            return Fate::Done;
        }
        let Some((caller, arrival)) = self.link.take(message.sequence) else {
            return Fate::Done;
        };
        if message.body() > message.total {
            caller.refuse("rpc: the plugin's answer is ill-formed");
            return Fate::Done;
        }
        if message.is_again() {
            self.plugin.ask_next(caller, arrival, frame);
            return Fate::Done;
        }
        let outlet = &caller.client.outlet;
        let most = if self.load.is_heavy() { LARGE } else { UNREAD };
        if outlet.len() + frame.len() > most {
            caller.refuse("rpc: the answer is dropped, because earlier ones have not been read");
            return Fate::Done;
        }
        wire::renumber(frame, caller.sequence);
        caller.client.answered();
        Fate::To(Rc::clone(outlet))
    }

    fn refuse(&mut self, _: &[u8], message: Message, text: &str) {
        if let Some((caller, _)) = self.link.take(message.sequence) {
            caller.refuse(text);
        }
    }
}
