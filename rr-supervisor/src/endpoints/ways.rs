//! The ways in: the RPC port, and who may use it and the control sockets.
//!
//! A reload changes them while processes of before still use them: PHP that has the old address in its environment, a plugin that
//! runs under the old user. So for a while there is more than one: the next one is open before it is needed, and the one before stays
//! until those processes have gone. Whoever any of them lets in may come in.

use super::{
    control_sockets::ControlSockets,
    sections::{Unfit, Which},
};
use crate::{gateway::Order, sockets::Sockets};
use nix::unistd::Pid;
use rr_common::{
    config::section,
    control::{Access, Guests},
    listen::{Address, Endpoint, own_anew},
    rpc::Port,
};
use std::{collections::BTreeSet, convert::Infallible, io, sync::Arc};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

/// All ways in.
#[derive(Debug)]
pub(super) struct Ways {
    control: ControlSockets,
    present: Way,
    next: Option<Way>,
    before: Vec<(Way, BTreeSet<Pid>)>,
}

/// One of them.
#[derive(Debug)]
struct Way {
    /// `rpc.listen`, if it is configured.
    port: Option<Open>,
    /// Who may use the control sockets.
    control: Access,
}

/// A port where calls come in.
#[derive(Clone, Debug)]
struct Open {
    /// As the configuration writes it.
    listen: String,
    address: Address,
    access: Access,
    guests: Guests,
    /// It closes when nobody has this any more.
    _until: Arc<oneshot::Sender<Infallible>>,
}

impl Ways {
    /// Without an RPC port.
    pub(super) fn new(control: ControlSockets) -> Self {
        Self {
            present: Way {
                port: None,
                control: control.access().clone(),
            },
            control,
            next: None,
            before: Vec::new(),
        }
    }

    /// Opens what shall be.
    ///
    /// # Errors
    /// The runtime cannot watch the socket, or the control directory cannot be given another mode.
    pub(super) fn open(
        &mut self,
        rpc: Option<&section::Rpc>,
        control: Access,
        sockets: &Sockets,
        (runtime, orders): (&Handle, &mpsc::Sender<Order>),
    ) -> Result<(), Unfit> {
        let unfit = |error| Which::Rpc.unfit(error);
        let port = match rpc {
            None => None,
            Some(section) => {
                let access = Port::access(section).map_err(unfit)?;
                let address = section.listen.parse().map_err(|error| unfit(io::Error::other(error)))?;
                let same = self.ports().find(|open| open.address == address).cloned();
                Some(match same {
                    Some(open) => Open {
                        listen: section.listen.clone(),
                        access,
                        ..open
                    },
                    None => Open::new(section, address, access, sockets, runtime, orders).map_err(unfit)?,
                })
            }
        };
        self.next = Some(Way { port, control });
        self.admit().map_err(Unfit::Control)
    }

    /// It comes to nothing.
    pub(super) fn abandon(&mut self) {
        self.next = None;
        self.settle();
    }

    /// What has been opened is what is in force; what was stays until these processes have gone.
    pub(super) fn commit(&mut self, until: BTreeSet<Pid>) {
        if let Some(next) = self.next.take() {
            let before = std::mem::replace(&mut self.present, next);
            if let (Some(old), Some(new)) = (&before.port, &self.present.port)
                && old.address == new.address
                && old.listen != new.listen
                && let Err(error) = new.own()
            {
                tracing::error!(target: "rpc", %error, "the file of {} keeps its mode and owner", new.listen);
            }
            self.before.push((before, until));
        }
    }

    /// Closes what no process needs any more; returns the addresses where nobody is listened to now. `lives` tells of a process.
    pub(super) fn close(&mut self, lives: impl Fn(Pid) -> bool) -> Vec<String> {
        let gone = self.before.extract_if(.., |(_, until)| {
            until.retain(|pid| lives(*pid));
            until.is_empty()
        });
        let gone: Vec<Way> = gone.map(|(way, _)| way).collect();
        if gone.is_empty() {
            return Vec::new();
        }
        self.settle();
        let mut ports: Vec<Open> = gone.into_iter().filter_map(|way| way.port).collect();
        ports.retain(|gone| !self.ports().any(|open| open.address == gone.address));
        ports.into_iter().map(|gone| gone.listen).collect()
    }

    /// Nothing is open for processes of before.
    pub(super) fn is_settled(&self) -> bool {
        self.before.is_empty()
    }

    fn settle(&mut self) {
        if let Err(error) = self.admit() {
            tracing::error!(target: "supervisor", %error, "the control directory keeps its mode");
        }
    }

    /// Lets in whom any of the ways lets in.
    fn admit(&mut self) -> io::Result<()> {
        for open in self.ports() {
            let same = self.ports().filter(|other| other.address == open.address);
            let access = same.fold(open.access.clone(), |access, other| access.and(&other.access));
            open.guests.become_these(access);
        }
        let others = self.all().map(|way| way.control.clone());
        let control = others.fold(self.present.control.clone(), |access, other| access.and(&other));
        self.control.become_for(control)
    }

    fn all(&self) -> impl Iterator<Item = &Way> {
        let before = self.before.iter().map(|(way, _)| way);
        [&self.present].into_iter().chain(&self.next).chain(before)
    }

    fn ports(&self) -> impl Iterator<Item = &Open> {
        self.all().filter_map(|way| way.port.as_ref())
    }
}

impl Open {
    fn new(
        section: &section::Rpc,
        address: Address,
        access: Access,
        sockets: &Sockets,
        runtime: &Handle,
        orders: &mpsc::Sender<Order>,
    ) -> io::Result<Self> {
        let (listener, _) = sockets.endpoint("rpc.listen", &section.listen)?;
        let guests = Guests::from(access.clone());
        let inside = runtime.enter();
        let port = Port::new(listener, guests.clone()).open()?;
        drop(inside);
        let (until, ended) = oneshot::channel();
        orders.try_send(Order::Listen(port, ended)).map_err(io::Error::other)?;
        Ok(Self {
            listen: section.listen.clone(),
            address,
            access,
            guests,
            _until: Arc::new(until),
        })
    }

    /// Its file gets the mode and the owner that are written now.
    fn own(&self) -> io::Result<()> {
        let endpoint: Endpoint = self.listen.parse().map_err(io::Error::other)?;
        own_anew(&endpoint)
    }
}

#[cfg(test)]
#[path = "ways_tests.rs"]
mod tests;
