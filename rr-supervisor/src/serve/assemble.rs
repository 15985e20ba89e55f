//! What was prepared becomes the running server: the plugins and the services, with what was left of them, what this process serves
//! itself, and the loop that has them all.

use super::{ServeError, predecessor::Predecessor, prepare::Prepared, settings::patience, watched::Watched};
use crate::{
    adopt::memory::Memory,
    calls::Calls,
    cgroup::Groups,
    control::{self, Question},
    control_dir::ControlDir,
    debug,
    endpoints::{self, ControlSockets, Endpoints},
    fleet::{Fleet, Past, Surroundings},
    gateway::{self, Means},
    logs::ServerLog,
    metrics::Ledger,
    notify::{Notify, Systemd},
    operate::{Overview, Residents},
    place::Place,
    plugins::catalog::Entry,
    reaper::Reaper,
    reload::{Current, Reload, Source},
    renew::{Origin, Renewal, baggage::Baggage},
    rpc_thread::RpcThread,
    run::Run,
    service::{ServiceRpc, Services},
    sockets::Sockets,
    watch::Watcher,
};
use bytes::Bytes;
use rr_common::{
    config::{
        Config, Loaded,
        section::{StartPolicy, Supervisor},
    },
    control::Door,
    shutdown::Signals,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::OwnedFd,
    sync::Arc,
    time::Instant,
};
use tokio::sync::{self, mpsc};

/// Questions of plugins that wait for the loop.
const QUESTIONS: usize = 64;

/// What the server is made of.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    /// The configuration.
    pub loaded: &'a Loaded,
    /// How to read it again.
    pub source: Source,
    /// The plugins.
    pub entries: Vec<Entry>,
    /// Where processes are started.
    pub place: Arc<Place>,
    /// The debug endpoints are wanted.
    pub debug: bool,
    /// How this process was started.
    pub origin: Origin,
    /// The files that are watched.
    pub watched: Watched,
    /// The listening sockets.
    pub sockets: Sockets,
    /// The service manager.
    pub notify: Notify,
    /// Where log lines go.
    pub log: ServerLog,
    /// What came before the first plugin.
    pub prepared: Prepared,
    /// What a program before us in this process has left.
    pub before: Predecessor,
    /// Signals that mean stop.
    pub signals: Signals,
    /// The end of every child.
    pub reaper: Reaper,
}

impl Parts<'_> {
    /// The loop with everything in it, and the thread of the RPC port, which is to end after it.
    ///
    /// # Errors
    /// What keeps the server from starting.
    pub(super) fn assemble(self) -> Result<(Run, RpcThread), ServeError> {
        let Self {
            loaded,
            source,
            entries,
            place,
            sockets,
            watched,
            prepared,
            mut before,
            ..
        } = self;
        let Prepared {
            control_dir,
            access,
            left,
            memory,
        } = prepared;
        let (asking, questions) = mpsc::channel(QUESTIONS);
        let control_sockets = ControlSockets::new(&control_dir, access.clone());
        let door = open_doors(&control_dir, &control_sockets, asking.clone(), before.door)?;
        let listener = door.copy()?;
        let json = Bytes::from(serde_json::to_vec(&loaded.tree).map_err(io::Error::other)?);
        let ledger = Ledger::default();
        let surroundings = Surroundings {
            groups: Groups::new(&loaded.config.supervisor.cgroup),
            watch: watched.closing(),
            repair: source.watch,
            sockets: sockets.clone(),
            ledger: None,
            past: Past::default(),
            log: self.log,
            control_dir,
            questions: asking.clone(),
        };
        let mut fleet = make_fleet(loaded, entries.clone(), &json, &place, surroundings);
        let asked = left.asked.clone();
        fleet.adopt(left, &memory.facts(), Instant::now());
        fleet.recall(&mut before.baggage, &before.lines, &asked, Instant::now());
        fleet.listen_to_adopted();
        fleet.let_sleep();
        let (services, service) = make_services(&loaded.config, Arc::clone(&place), &mut before.baggage, &memory)?;
        let service_orders = service.orders();
        let (shown, config) = sync::watch::channel(json.clone());
        let mut rpc_thread = RpcThread::start()?;
        let means = Means {
            json: config,
            roster: fleet.roster(),
            residents: Residents::default(),
            questions: asking,
            base_dir: source.base_dir.clone(),
        };
        let (orders, ordered) = mpsc::channel(gateway::ORDERS);
        let around = endpoints::Around {
            sockets,
            runtime: rpc_thread.handle().clone(),
            orders: orders.clone(),
            roster: fleet.roster(),
            memory: memory.clone(),
            ledger,
            base: gateway::locals(&means),
            service,
            residents: means.residents.clone(),
        };
        let mut endpoints = Endpoints::new(around, control_sockets);
        endpoints.prepare(&loaded.config, access)?;
        endpoints.recall(&mut before.baggage, Instant::now());
        endpoints.commit(BTreeSet::new());
        fleet.set_ledger(endpoints.ledger());
        if self.debug {
            let overview = Overview::new(fleet.roster(), means.residents.clone(), means.questions.clone());
            debug::open(loaded, overview, rpc_thread.handle());
        }
        let handle = rpc_thread.handle().clone();
        let mut watcher = Watcher::new(watched.gate, fleet.roster(), means.residents.clone(), handle);
        watcher.go_on_with(watcher.begin(watched.prepared)?);
        let doors = gateway::Doors {
            door,
            // The last room: what nobody has taken is closed there.
            before: before.baggage,
            orders: ordered,
        };
        let locals = endpoints.locals();
        rpc_thread.begin(move || gateway::open(doors, locals, means.roster, means.questions));
        let endure = &loaded.config.endure;
        let systemd = Systemd::new(self.notify, endure.watchdog_sec, rpc_thread.handle().clone());
        let current = Current {
            json,
            entries,
            place,
            wish: watched.wish,
        };
        let mut reload = Reload::new(source, current, service_orders, shown, watcher);
        if before.reload {
            reload.soon();
        }
        let run = Run {
            fleet,
            services,
            endpoints,
            questions,
            reaper: self.reaper,
            memory,
            renewal: Renewal::new(self.origin, listener, orders),
            renewed: before.renewed,
            signals: self.signals,
            systemd,
            grace: endure.grace_period.get(),
            reload,
        };
        Ok((run, rpc_thread))
    }
}

/// Serves the contract from now on, and opens the door for RPC beside it, or takes it over.
fn open_doors(
    dir: &ControlDir,
    sockets: &ControlSockets,
    asking: mpsc::Sender<Question>,
    left: Option<OwnedFd>,
) -> io::Result<Door> {
    let rpc = dir.rpc_socket();
    let contract = Door::open(&dir.socket(), sockets.guests())?;
    control::serve(contract, asking, Calls::new(rpc.clone()))?;
    match left {
        Some(listener) => Door::inherit(listener, &rpc, sockets.guests()),
        None => Door::open(&rpc, sockets.guests()),
    }
}

/// All plugins, none of which runs yet.
fn make_fleet(loaded: &Loaded, entries: Vec<Entry>, json: &Bytes, place: &Arc<Place>, around: Surroundings) -> Fleet {
    let patient = |entry: Entry| {
        let patience = patience(&loaded.tree, &entry);
        (entry, patience)
    };
    let entries = entries.into_iter().map(patient).collect();
    let (section, grace) = (&loaded.config.supervisor, loaded.config.endure.grace_period.get());
    Fleet::new(
        entries,
        json,
        place,
        &section.restart,
        grace,
        around,
        fails_fast(section),
    )
}

/// The user's commands, and what was left of them.
fn make_services(
    config: &Config,
    place: Arc<Place>,
    baggage: &mut Baggage,
    memory: &Memory,
) -> Result<(Services, ServiceRpc), ServeError> {
    let sections = config.service.as_ref();
    let (mut services, rpc) = Services::new(sections.unwrap_or(&BTreeMap::new()), fails_fast(&config.supervisor))?;
    services.set_place(place);
    if !services.unpack(baggage, Instant::now()) {
        services.recall(memory.facts().services);
    }
    Ok((services, rpc))
}

/// What cannot start ends the whole start.
fn fails_fast(section: &Supervisor) -> bool {
    section.start == StartPolicy::FailFast
}
