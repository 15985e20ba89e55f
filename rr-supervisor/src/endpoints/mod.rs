//! What this process serves itself, and how a changed configuration changes it: the endpoints of `status` and `metrics`, the RPC port,
//! the methods that belong to them, and who may come in.
//!
//! - [`sections`]: what a configuration asks for, as plain data
//! - [`ways`]: the RPC port and the [`control_sockets`], which processes of before a reload still use
//!
//! A change is prepared beside what serves: what can fail does so then. Committed, the new endpoints serve and the old ones answer what
//! they have been asked and end. The server's start is such a change too, from nothing.

mod control_sockets;
mod sections;
mod ways;

pub(crate) use control_sockets::{ControlSockets, access};
pub(crate) use sections::{Change, Sections, Unfit, Which};

use crate::{
    adopt::memory::Memory,
    endpoint::{Ready, Serving},
    fleet::RosterWatch,
    gateway::{self, Locals, Order},
    metrics::{self, Ledger, Metrics},
    operate::{Resident, Residents},
    renew::baggage::Baggage,
    service::ServiceRpc,
    sockets::Sockets,
    status::{self, Status, StatusRpc},
};
use nix::unistd::Pid;
use rr_common::{
    config::{Config, section::Collector},
    control::Access,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::Instant,
};
use tokio::{runtime::Handle, sync::mpsc};
use ways::Ways;

/// What the endpoints live on.
#[derive(Debug)]
pub(crate) struct Around {
    /// The listening sockets.
    pub sockets: Sockets,
    /// The thread where they run.
    pub runtime: Handle,
    /// The way to the gateway, which runs there too.
    pub orders: mpsc::Sender<Order>,
    /// The plugins, now and after each change.
    pub roster: RosterWatch,
    /// What the application has declared.
    pub memory: Memory,
    /// What the plugins have counted.
    pub ledger: Ledger,
    /// Methods that there are in any configuration.
    pub base: Locals,
    /// The user's commands, for those that may be asked for them.
    pub service: ServiceRpc,
    /// Plugins that live in this process, as operators see them.
    pub residents: Residents,
}

/// The endpoints.
#[derive(Debug)]
pub(crate) struct Endpoints {
    around: Around,
    sections: Sections,
    status: Option<(Arc<Status>, Serving)>,
    metrics: Option<(Arc<Metrics>, Serving)>,
    /// Plugins that nobody configured and whose program is not installed.
    missing: Locals,
    ways: Ways,
    coming: Option<Coming>,
}

/// What a change has prepared; `None` is what stays as it is.
#[derive(Debug, Default)]
struct Coming {
    sections: Sections,
    /// Addresses that were opened for it.
    opened: Vec<String>,
    status: Option<Option<(Arc<Status>, Ready)>>,
    metrics: Option<Option<(Arc<Metrics>, Ready)>>,
    missing: Locals,
}

impl Endpoints {
    /// None yet.
    pub(crate) fn new(around: Around, control: ControlSockets) -> Self {
        Self {
            around,
            sections: Sections::default(),
            status: None,
            metrics: None,
            missing: Locals::default(),
            ways: Ways::new(control),
            coming: None,
        }
    }

    /// Makes everything ready for a configuration. A new RPC port takes calls from now on, since what is started next needs it.
    ///
    /// # Errors
    /// Why that cannot be; nothing has changed then.
    pub(crate) fn prepare(&mut self, config: &Config, control: Access) -> Result<(), Unfit> {
        let sections = Sections::of(config);
        let mut coming = Coming {
            opened: sections.reserve(&self.around.sockets)?,
            ..Coming::default()
        };
        gateway::missing(config, &mut coming.missing);
        let prepared = self.fill(&mut coming, &sections, control);
        coming.sections = sections;
        self.coming = Some(coming);
        if prepared.is_err() {
            self.abandon();
        }
        prepared
    }

    fn fill(&mut self, coming: &mut Coming, after: &Sections, control: Access) -> Result<(), Unfit> {
        let Around {
            sockets,
            runtime,
            orders,
            roster,
            memory,
            ledger,
            ..
        } = &self.around;
        let changes = self.sections.changes(after);
        let changes = |which: Which| changes.iter().any(|change| change.which == which);
        if changes(Which::Status) {
            let made = after.status.as_ref().map(|section| {
                let (listener, _) = sockets.endpoint("status.address", &section.address)?;
                let status = Arc::new(Status::new(section, roster.clone()));
                let ready = status::prepare(Arc::clone(&status), section, listener, runtime)?;
                Ok((status, ready))
            });
            let made: io::Result<_> = made.transpose();
            coming.status = Some(made.map_err(|error| Which::Status.unfit(error))?);
        }
        if changes(Which::Metrics) {
            let made = after.metrics.as_ref().map(|section| {
                let (listener, _) = sockets.endpoint("metrics.address", &section.address)?;
                // At another address it shows the same numbers.
                let metrics = match &self.metrics {
                    Some((metrics, _)) => Arc::clone(metrics),
                    None => {
                        let registry = metrics::Registry::configured(section, Instant::now());
                        let registry = registry.map_err(io::Error::other)?;
                        let metrics = Metrics::new(registry, ledger.clone(), roster.clone());
                        Arc::new(metrics.remember(memory.clone()))
                    }
                };
                let ready = metrics::prepare(Arc::clone(&metrics), listener, runtime)?;
                Ok((metrics, ready))
            });
            let made: io::Result<_> = made.transpose();
            coming.metrics = Some(made.map_err(|error| Which::Metrics.unfit(error))?);
        }
        self.ways.open(after.rpc.as_ref(), control, sockets, (runtime, orders))
    }

    /// What was prepared goes on with the numbers of the program before us in this process.
    pub(crate) fn recall(&self, baggage: &mut Baggage, now: Instant) {
        if let Some(Coming {
            metrics: Some(Some((metrics, _))),
            ..
        }) = &self.coming
        {
            metrics.recall(baggage, now);
        }
    }

    /// Packs the numbers for the next one.
    ///
    /// # Errors
    /// They cannot be put into words.
    pub(crate) fn pack(&self, baggage: &mut Baggage, now: Instant) -> io::Result<()> {
        match &self.metrics {
            Some((metrics, _)) => metrics.pack(baggage, now),
            None => Ok(()),
        }
    }

    /// What was prepared is not wanted any more.
    pub(crate) fn abandon(&mut self) {
        if let Some(coming) = self.coming.take() {
            self.ways.abandon();
            self.around.sockets.close(&coming.opened);
        }
    }

    /// What was prepared is what is served from now on. The ways in stay open for these processes of before.
    pub(crate) fn commit(&mut self, before: BTreeSet<Pid>) {
        let Some(coming) = self.coming.take() else { return };
        if let Some(status) = coming.status {
            self.status = status.map(|(status, ready)| (status, ready.begin()));
        }
        if let Some(metrics) = coming.metrics {
            self.metrics = metrics.map(|(metrics, ready)| (metrics, ready.begin()));
        }
        self.missing = coming.missing;
        let old = std::mem::replace(&mut self.sections, coming.sections);
        for which in [Which::Status, Which::Metrics] {
            self.close(old.address(which));
        }
        let service = || Arc::new(self.around.service.clone()) as Arc<dyn Resident>;
        let residents = self.sections.service.then(service);
        self.around.residents.become_these(residents.into_iter().collect());
        self.ways.commit(before);
        if self.around.orders.try_send(Order::Answer(self.locals())).is_err() {
            tracing::error!(target: "rpc", "the RPC port does not hear of its changed methods");
        }
    }

    /// Closes what no process of before needs any more. `lives` tells of a process.
    pub(crate) fn close_old(&mut self, lives: impl Fn(Pid) -> bool) {
        for listen in self.ways.close(lives) {
            self.close(Some(&listen));
        }
    }

    /// Whether something is open for processes of before only.
    pub(crate) fn has_old(&self) -> bool {
        !self.ways.is_settled()
    }

    /// Takes over other collectors of the application, if they are counted.
    pub(crate) fn collect(&self, new: &BTreeMap<String, Collector>, gone: &[String], now: Instant) {
        if let Some((metrics, _)) = &self.metrics {
            metrics.collect(new, gone, now);
        }
    }

    /// Where the plugins' counts go, if anybody wants to know them.
    pub(crate) fn ledger(&self) -> Option<Ledger> {
        self.metrics.as_ref().map(|_| self.around.ledger.clone())
    }

    /// All methods of our own.
    pub(crate) fn locals(&self) -> Locals {
        let mut all = self.around.base.clone();
        all.extend(&self.missing);
        if let Some((status, _)) = &self.status {
            all.add(StatusRpc(Arc::clone(status)));
        }
        if let Some((metrics, _)) = &self.metrics {
            all.add(metrics::Calls(Arc::clone(metrics)));
        }
        if self.sections.service {
            all.add(self.around.service.clone());
        }
        all
    }

    /// Closes the socket of an address, unless the configuration in force names it.
    fn close(&self, address: Option<&str>) {
        let mut names: Vec<String> = address.into_iter().flat_map(Sockets::names).collect();
        names.retain(|name| !self.sections.need(name));
        self.around.sockets.close(&names);
    }
}
