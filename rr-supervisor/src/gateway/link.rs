//! The connection to one plugin process: the calls of all clients go over it, and its answers come back to whoever called.
//!
//! A call is passed on with a sequence number of ours, which finds its caller again: the place in the table of running calls, and a
//! generation, so that an answer that comes twice finds nobody.

use super::{
    Gateway,
    client::{Caller, Client},
    intake::{Fate, Intake, Read, Take},
    load::{LARGE, Load},
    outlet::Outlet,
};
use rr_common::rpc::{
    Quiet,
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
    stream: Rc<Quiet>,
    pub(super) outlet: Rc<Outlet>,
    calls: RefCell<Slab<Call>>,
    generation: Cell<u32>,
}

/// A call that the plugin has.
#[derive(Debug)]
struct Call {
    caller: Caller,
    generation: u32,
}

impl Link {
    /// Over this connection.
    pub(super) fn new(stream: Quiet, load: &Rc<Load>) -> Rc<Self> {
        let stream = Rc::new(stream);
        let link = Self {
            outlet: Rc::new(Outlet::new(Rc::clone(&stream), Rc::clone(load))),
            stream,
            calls: RefCell::default(),
            generation: Cell::default(),
        };
        Rc::new(link)
    }

    /// Makes a call ours; the frame then goes out as it stands.
    pub(super) fn forward(&self, caller: Caller, frame: &mut [u8]) -> Fate {
        let mut calls = self.calls.borrow_mut();
        if calls.len() >= IN_FLIGHT {
            drop(calls);
            caller.refuse("rpc: too many calls wait for the plugin");
            return Fate::Done;
        }
        let generation = self.generation.get().wrapping_add(1) & (u32::MAX >> PLACE);
        self.generation.set(generation);
        let place = calls.insert(Call { caller, generation });
        wire::renumber(frame, generation << PLACE | place as u32);
        Fate::To(Rc::clone(&self.outlet))
    }

    /// Tells the plugin of this client's calls that nobody waits for the answers any more.
    pub(super) fn hung_up(&self, client: &Client) {
        let mut words = Vec::new();
        for (place, call) in &*self.calls.borrow() {
            if std::ptr::eq(&*call.caller.client, client) {
                wire::hang_up(&mut words, call.generation << PLACE | place as u32);
            }
        }
        self.outlet.send(&words);
    }

    /// Brings answers to their callers until the connection ends; the calls that are left then get this text.
    pub(super) async fn serve(self: Rc<Self>, gateway: &Gateway, text: &str) {
        let mut intake = Intake::new(Rc::clone(&gateway.load));
        let mut take = Answers(Rc::clone(&self), Rc::clone(&gateway.load));
        let end = poll_fn(|cx| self.poll(gateway, &mut intake, &mut take, cx)).await;
        if let Err(error) = end
            && error.kind() == io::ErrorKind::InvalidData
        {
            tracing::error!(target: "rpc", "a plugin's answer cannot be read: {error}");
        }
        self.outlet.fail();
        let left = std::mem::take(&mut *self.calls.borrow_mut());
        for (_, call) in left {
            call.caller.refuse(text);
        }
    }

    fn poll(
        &self,
        gateway: &Gateway,
        intake: &mut Intake,
        take: &mut Answers,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.outlet.owned_by(cx.waker());
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

    fn take(&self, sequence: u32) -> Option<Caller> {
        let mut calls = self.calls.borrow_mut();
        let place = (sequence & ((1 << PLACE) - 1)) as usize;
        let is_it = calls
            .get(place)
            .is_some_and(|call| call.generation == sequence >> PLACE);
        is_it.then(|| calls.remove(place).caller)
    }
}

/// Takes the answers of a plugin.
#[derive(Debug)]
struct Answers(Rc<Link>, Rc<Load>);

impl Take for Answers {
    fn whole(&mut self, frame: &mut [u8], message: Message) -> Fate {
        let Some(caller) = self.0.take(message.sequence) else {
            return Fate::Done;
        };
        if message.body() > message.total {
            caller.refuse("rpc: the plugin's answer is ill-formed");
            return Fate::Done;
        }
        let outlet = &caller.client.outlet;
        let most = if self.1.is_heavy() { LARGE } else { UNREAD };
        if outlet.len() + frame.len() > most {
            caller.refuse("rpc: the answer is dropped, because earlier ones have not been read");
            return Fate::Done;
        }
        wire::renumber(frame, caller.sequence);
        caller.client.answered();
        Fate::To(Rc::clone(outlet))
    }

    fn refuse(&mut self, _: &[u8], message: Message, text: &str) {
        if let Some(caller) = self.0.take(message.sequence) {
            caller.refuse(text);
        }
    }
}
