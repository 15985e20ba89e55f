//! The connection to one plugin process: the calls of all clients go over it, and its answers come back to whoever called.
//!
//! A call is passed on with a sequence number of ours, which finds its caller again: the place in the table of running calls, and a
//! generation, so that an answer that comes twice finds nobody. A connection that is lent to the plugin has a place there too.

use super::{
    Gateway,
    client::{Caller, Client},
    intake::{Fate, Intake, Read, Take},
    lease::Page,
    load::{LARGE, Load},
    outlet::Outlet,
    plugin::Plugin,
};
use rr_common::{
    frame::flag,
    rpc::{
        Quiet,
        lease::{self, BACK, LEND, PAGE, Standing},
        wire::{self, Message},
    },
};
use slab::Slab;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    os::fd::AsFd,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::sync::Notify;

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

/// The connections that are lent.
#[derive(Debug)]
struct Leases {
    /// The plugin takes some.
    wanted: bool,
    /// Made for the first of them.
    page: RefCell<Option<Page>>,
    count: Cell<usize>,
    /// All have come back.
    none: Notify,
}

impl Link {
    /// Over this connection.
    pub(super) fn new(stream: Quiet, load: &Rc<Load>, leases: bool) -> Rc<Self> {
        let stream = Rc::new(stream);
        let link = Self {
            outlet: Rc::new(Outlet::new(Rc::clone(&stream), Rc::clone(load))),
            stream,
            calls: RefCell::default(),
            generation: Cell::default(),
            leases: Leases {
                wanted: leases,
                page: RefCell::default(),
                count: Cell::new(0),
                none: Notify::new(),
            },
        };
        Rc::new(link)
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

    /// Lends a connection to the plugin; false if that cannot be done now.
    pub(super) fn lend(&self, client: &Rc<Client>, prefix: &[u8]) -> bool {
        // What is passed goes out at once or not at all.
        if !self.leases.wanted || self.outlet.len() > 0 || self.calls.borrow().len() >= IN_FLIGHT {
            return false;
        }
        let mut known = self.leases.page.borrow_mut();
        let page = match &mut *known {
            Some(page) => page,
            none => match self.new_page() {
                Ok(page) => none.insert(page),
                Err(_) => return false,
            },
        };
        let Some(slot) = page.take() else { return false };
        let number = self.enter(Held::Client(Rc::clone(client), slot));
        let mut body = slot.to_le_bytes().to_vec();
        body.extend_from_slice(prefix);
        if self.pass(number, LEND, &body, &*client.stream).is_err() {
            page.release(slot);
            self.calls.borrow_mut().remove(place(number));
            return false;
        }
        self.leases.count.set(self.leases.count.get() + 1);
        true
    }

    fn new_page(&self) -> io::Result<Page> {
        let page = Page::new()?;
        self.pass(0, PAGE, b"", &page.file)?;
        Ok(page)
    }

    fn pass(&self, number: u32, name: &[u8], body: &[u8], descriptor: &impl AsFd) -> io::Result<()> {
        let mut frame = Vec::new();
        wire::answer(&mut frame, flag::RAW, number, name, body);
        let sent = self.stream.try_pass(&frame, descriptor)?;
        self.outlet.send(&frame[sent..]);
        Ok(())
    }

    /// Asks for the connections that are lent; returns when they are back.
    pub(super) async fn take_back(&self) {
        let mut words = Vec::new();
        for (place, call) in &*self.calls.borrow() {
            if let Held::Client(..) = call.held {
                wire::answer(&mut words, flag::RAW, number(place, call.generation), BACK, b"");
            }
        }
        self.outlet.send(&words);
        let none = self.leases.none.notified();
        if self.leases.count.get() > 0 {
            none.await;
        }
    }

    /// The plugin gives a connection back. A call that goes on has this place among all of the plugin's.
    fn returned(&self, sequence: u32, arrival: u64) {
        let lease = self.get(sequence, |held| match held {
            Held::Client(client, slot) => Some((Rc::clone(client), *slot)),
            Held::Caller(..) => None,
        });
        let Some((client, slot)) = lease else { return };
        let goes_on = self.settle(&client, slot, false);
        let mut calls = self.calls.borrow_mut();
        match (goes_on, calls.get_mut(place(sequence))) {
            // The answer will come with the same number.
            (Some(caller), Some(call)) => call.held = Held::Caller(caller, arrival),
            _ => drop(calls.remove(place(sequence))),
        }
    }

    /// Takes a connection from where its slot says that it stands; the call that has begun and has no answer yet, if there is one.
    fn settle(&self, client: &Rc<Client>, slot: u32, died: bool) -> Option<Caller> {
        let mut page = self.leases.page.borrow_mut();
        let bytes = page.as_ref().and_then(|page| page.read(slot).ok()).unwrap_or_default();
        let good_for = |calls| (!died).then_some(calls);
        let mut goes_on = None;
        match lease::standing(&bytes) {
            Ok((Standing::Read(read), calls)) => client.came_back(read, good_for(calls)),
            Ok((Standing::Called(frame, message), calls)) => {
                client.came_back(b"", good_for(calls));
                goes_on = Some(client.caller(frame, message));
            }
            Ok((Standing::Answered(rest), calls)) => {
                client.came_back(b"", good_for(calls));
                client.outlet.send(rest);
            }
            Err(error) => {
                tracing::error!(target: "rpc", "a connection is closed: {error}");
                client.outlet.fail();
            }
        }
        if let Some(page) = &mut *page {
            page.release(slot);
        }
        self.one_back();
        goes_on
    }

    fn one_back(&self) {
        self.leases.count.set(self.leases.count.get() - 1);
        if self.leases.count.get() == 0 {
            self.leases.none.notify_waiters();
        }
    }

    /// Answers the calls that the plugin has with this text; its own answers come too late then.
    pub(super) fn refuse_running(&self, text: &str) {
        let calls = self.calls.borrow();
        let is_call = |call: &Call| matches!(call.held, Held::Caller(..));
        let running: Vec<usize> = calls
            .iter()
            .filter(|(_, call)| is_call(call))
            .map(|(place, _)| place)
            .collect();
        drop(calls);
        for place in running {
            let call = self.calls.borrow_mut().try_remove(place);
            if let Some(Call {
                held: Held::Caller(caller, ..),
                ..
            }) = call
            {
                caller.refuse(text);
            }
        }
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
        let mut intake = Intake::new(Rc::clone(&gateway.load));
        let text = format!("rpc: the plugin {} has ended before it answered", plugin.name);
        let mut take = Answers {
            link: Rc::clone(&self),
            load: Rc::clone(&gateway.load),
            plugin: Rc::clone(&plugin),
        };
        let end = poll_fn(|cx| self.poll(&gateway, &mut intake, &mut take, cx)).await;
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
                    self.one_back();
                }
                Held::Client(client, slot) => {
                    if let Some(caller) = self.settle(&client, slot, true) {
                        caller.refuse(&text);
                    }
                }
            }
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
