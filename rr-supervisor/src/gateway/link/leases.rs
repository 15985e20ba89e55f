//! Connections that are lent to the plugin: over the link they go there, and come back over it or when it ends.

use super::{Held, IN_FLIGHT, Link, lease::Page, number, place};
use crate::gateway::{caller::Caller, client::Client};
use rr_common::{
    frame::flag,
    rpc::{
        lease::{self, BACK, LEND, PAGE, Standing},
        wire,
    },
};
use std::{
    cell::{Cell, Ref, RefCell},
    io,
    os::fd::AsFd,
    rc::Rc,
};
use tokio::sync::Notify;

/// The connections that are lent.
#[derive(Debug)]
pub(super) struct Leases {
    /// The plugin takes some.
    wanted: bool,
    /// Made for the first of them.
    page: RefCell<Option<Page>>,
    count: Cell<usize>,
    /// All have come back.
    none: Notify,
}

impl Leases {
    /// None yet.
    pub(super) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            page: RefCell::default(),
            count: Cell::new(0),
            none: Notify::new(),
        }
    }

    /// The page, if there is one.
    pub(super) fn page(&self) -> Ref<'_, Option<Page>> {
        self.page.borrow()
    }

    /// A page that the plugin knows already.
    pub(super) fn set_page(&self, page: Option<Page>) {
        self.page.replace(page);
    }

    /// One more.
    pub(super) fn one_more(&self) {
        self.count.set(self.count.get() + 1);
    }

    /// One less.
    pub(super) fn one_back(&self) {
        self.count.set(self.count.get() - 1);
        if self.count.get() == 0 {
            self.none.notify_waiters();
        }
    }
}

impl Link {
    /// Lends a connection to the plugin; false if that cannot be done now.
    pub(in crate::gateway) fn lend(&self, client: &Rc<Client>, prefix: &[u8]) -> bool {
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
        self.leases.one_more();
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
    pub(in crate::gateway) async fn take_back(&self) {
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
    pub(super) fn returned(&self, sequence: u32, arrival: u64) {
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
    pub(super) fn settle(&self, client: &Rc<Client>, slot: u32, died: bool) -> Option<Caller> {
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
        self.leases.one_back();
        goes_on
    }
}
