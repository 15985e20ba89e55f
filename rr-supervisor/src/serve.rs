//! `serve` and `up`: from the configuration to the exit code.

use crate::{
    adopt::{self, Left, memory::Memory},
    calls::Calls,
    cgroup::{self, Groups},
    control,
    control_dir::{self, ControlDir, ControlDirError, Identity},
    debug,
    endpoints::{self, Endpoints, Sections, Unfit},
    fleet::{Fleet, Past, Surroundings},
    gateway::{self, Means},
    logs::{self, ServerLog},
    metrics,
    notify::{Notify, Systemd},
    on_init::{self, OnInitError},
    operate::{Overview, Residents},
    place::Place,
    plugins::catalog,
    reaper::Reaper,
    reload::{Current, Reload, Source, Start},
    renew::{self, Lines, Origin, Renewal, baggage::Baggage},
    rpc_thread::RpcThread,
    run::{Ended, Notice, Run},
    service::{Services, Spec, SpecError},
    sockets::Sockets,
    watch::{self, Gate, Watcher, Wish},
};
use bytes::Bytes;
use rr_common::{
    config::{
        self, Config, Dur, LoadOptions, Loaded, ShowOptions,
        section::{Logs, StartPolicy},
    },
    control::{Access, Door},
    listen::{Inherited, Provenance},
    shutdown::Signals,
    telemetry::LogError,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    os::fd::OwnedFd,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{self, mpsc};

/// How long a plugin may take to be ready, besides the time that its pool allows for the start of its workers.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How long the log may take to write its last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Questions of plugins that wait for the loop.
const QUESTIONS: usize = 64;

/// Why the server does not start; the text is for the user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// Programs of configured plugins are missing, or there is nothing to start.
    #[error("{0}")]
    Plugins(String),
    /// The log cannot be set up.
    #[error("{0}")]
    Log(#[from] LogError),
    /// The control directory cannot be had.
    #[error("{0}")]
    ControlDir(#[from] ControlDirError),
    /// A port is taken or the like.
    #[error("the plugin {plugin} cannot start: {error}")]
    Listen {
        /// The plugin whose address it is.
        plugin: String,
        /// The reason, with the address.
        error: io::Error,
    },
    /// The same for an endpoint of our own, or something else about it is wrong.
    #[error("{0}")]
    Endpoint(#[from] Unfit),
    /// `server.on_init` failed and `exit_on_error` is set.
    #[error("{0}")]
    OnInit(#[from] OnInitError),
    /// A service that makes no sense.
    #[error("{0}")]
    Service(#[from] SpecError),
    /// Files that are to be watched and cannot be.
    #[error("{0}")]
    Watch(#[from] watch::WatchError),
    /// Anything else that the system refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What the command line adds to the configuration.
#[derive(Debug)]
pub(crate) struct Options<'a> {
    /// The configuration's file, as it was named.
    pub file: &'a Path,
    /// The debug endpoints (`-d`).
    pub debug: bool,
    /// Log lines for people, and errors shown to clients (`up`).
    pub for_people: bool,
    /// Workers are made anew as the project's files change (`up --watch`).
    pub watch: bool,
    /// What this process inherited.
    pub inherited: Inherited,
    /// What a program before us in this process has left.
    pub baggage: Option<Baggage>,
    /// How this process was started.
    pub origin: Origin,
    /// How the configuration was read.
    pub read: LoadOptions,
}

/// Runs the server to its end.
///
/// # Errors
/// What keeps it from starting.
pub(crate) async fn serve(
    start: Start,
    options: Options<'_>,
    notice: impl FnMut(Notice, &Fleet),
) -> Result<Ended, ServeError> {
    let Start {
        mut loaded,
        place,
        exported,
    } = start;
    let entries = catalog::entries(&loaded.config).map_err(|missing| {
        let texts: Vec<_> = missing.iter().map(ToString::to_string).collect();
        ServeError::Plugins(texts.join("\n"))
    })?;
    if options.for_people {
        for_people(&mut loaded)?;
    }
    if entries.is_empty() && !serves_by_itself(&loaded.config) {
        let text = "the configuration names no plugin to start (such as a section http)";
        return Err(ServeError::Plugins(text.into()));
    }
    let mut signals = Signals::new()?;
    let mut reaper = Reaper::new()?;
    let log = ServerLog::start(&loaded.config.logs, &own_logs(&loaded.config))?;
    for warning in &loaded.warnings {
        tracing::warn!(target: "config", "{warning}");
    }
    for warning in cgroup::warnings(&loaded.config.supervisor) {
        tracing::warn!(target: "config", "{warning}");
    }
    for section in loaded.config.unserved_sections() {
        tracing::warn!(target: "config", "{section} is configured, but this build does not serve it");
    }
    let renewed = options.baggage.is_some();
    let mut baggage = options.baggage.unwrap_or_default();
    let kept: renew::Kept = baggage.take(renew::ROOM);
    renew::count_on(kept.renewals);
    let (logs, lines) = kept.unpack_logs(&mut baggage);
    log.take_over(logs);
    let listeners = kept.listeners.into_iter();
    let listeners = listeners.filter_map(|(provenance, one)| Some((provenance, baggage.descriptor(one)?)));
    let listeners: Vec<(Provenance, OwnedFd)> = listeners.collect();
    let place = Arc::new(place);
    let gate = Gate::unpack(&mut baggage).map_or_else(Gate::new, Ok)?;
    let warn = |text| tracing::warn!(target: "watch", "{text}");
    let wish = Wish::of(&loaded.config, options.watch, &place.directory, warn);
    let watched = wish.and_then(|wish| {
        let prepared = wish.clone().map(|wish| watch::prepare(wish, &gate)).transpose()?;
        Ok((wish, prepared))
    });
    let (wish, watch) = match watched {
        Ok(watched) => watched,
        Err(error) => {
            log.finish(LAST_LINES);
            return Err(error.into());
        }
    };
    if wish.is_none() {
        // Nobody would ever open it again.
        gate.forget_left();
    }
    let sockets = Sockets::new(options.inherited.sockets);
    sockets.take_over(listeners);
    let before = Arrival {
        log: &log,
        lock: kept.lock.and_then(|lock| baggage.descriptor(lock)),
        lines: &lines,
        renewed,
    };
    let notify = Notify::from_env();
    let prepared = tokio::select! {
        prepared = prepare(&loaded, options.file, &entries, &sockets, &notify, before, &mut reaper) => prepared.map(Some),
        () = signals.next() => Ok(None),
    };
    let Prepared {
        control_dir,
        access,
        left,
        memory,
    } = match prepared {
        Ok(Some(prepared)) => prepared,
        other => {
            sockets.remove_files();
            log.finish(LAST_LINES);
            return other.map(|_| Ended::Stopped);
        }
    };

    Systemd::drop_untaken(&notify, &sockets);
    let (asking, questions) = mpsc::channel(QUESTIONS);
    let calls = Calls::new(control_dir.rpc_socket());
    let control_sockets = endpoints::ControlSockets::new(&control_dir, access.clone());
    control::serve(
        Door::open(&control_dir.socket(), control_sockets.guests())?,
        asking.clone(),
        calls,
    )?;
    let door = match kept.door.and_then(|door| baggage.descriptor(door)) {
        Some(listener) => Door::inherit(listener, &control_dir.rpc_socket(), control_sockets.guests())?,
        None => Door::open(&control_dir.rpc_socket(), control_sockets.guests())?,
    };
    let listener = door.copy()?;
    let json = Bytes::from(serde_json::to_vec(&loaded.tree).map_err(io::Error::other)?);
    let current = Current {
        json: json.clone(),
        entries: entries.clone(),
        place: Arc::clone(&place),
        wish,
    };
    let source = Source {
        options: options.read,
        base_dir: loaded.base_dir.clone(),
        exported,
        for_people: options.for_people,
        watch: options.watch,
    };
    let ledger = metrics::Ledger::default();
    let surroundings = Surroundings {
        groups: Groups::new(&loaded.config.supervisor.cgroup),
        watch: watch.as_ref().is_some_and(watch::Prepared::holds).then(|| gate.clone()),
        repair: options.watch,
        sockets: sockets.clone(),
        ledger: None,
        past: Past::default(),
        log,
        control_dir,
        questions: asking.clone(),
    };
    let patient = |entry: catalog::Entry| {
        let patience = patience(&loaded.tree, &entry);
        (entry, patience)
    };
    let section = &loaded.config.supervisor;
    let fail_fast = section.start == StartPolicy::FailFast;
    let entries = entries.into_iter().map(patient).collect();
    let grace = loaded.config.endure.grace_period.get();
    let mut fleet = Fleet::new(entries, &json, &place, &section.restart, grace, surroundings, fail_fast);
    let sections = loaded.config.service.as_ref();
    let asked = left.asked.clone();
    fleet.adopt(left, &memory.facts(), Instant::now());
    fleet.recall(&mut baggage, &lines, &asked, Instant::now());
    fleet.let_sleep();
    let (mut services, rpc) = Services::new(sections.unwrap_or(&BTreeMap::new()), fail_fast)?;
    services.set_place(place);
    if !services.unpack(&mut baggage, Instant::now()) {
        services.recall(memory.facts().services);
    }
    let service_orders = rpc.orders();
    let (shown, config) = sync::watch::channel(json);
    let mut rpc_thread = RpcThread::start()?;
    let means = Means {
        json: config,
        roster: fleet.roster(),
        residents: Residents::default(),
        questions: asking,
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
        service: rpc,
        residents: means.residents.clone(),
    };
    let mut endpoints = Endpoints::new(around, control_sockets);
    endpoints.prepare(&loaded.config, access)?;
    endpoints.recall(&mut baggage, Instant::now());
    endpoints.commit(BTreeSet::new());
    fleet.set_ledger(endpoints.ledger());
    if options.debug {
        let overview = Overview::new(fleet.roster(), means.residents.clone(), means.questions.clone());
        open_debug(&loaded, overview, &rpc_thread);
    }
    let handle = rpc_thread.handle().clone();
    let mut watcher = Watcher::new(gate, fleet.roster(), means.residents.clone(), handle);
    watcher.go_on_with(watcher.begin(watch)?);
    let doors = gateway::Doors {
        door,
        // The last room: what nobody has taken is closed there.
        before: baggage,
        orders: ordered,
    };
    let locals = endpoints.locals();
    rpc_thread.begin(move || gateway::open(doors, locals, means.roster, means.questions));
    let watchdog = loaded.config.endure.watchdog_sec;
    let systemd = Systemd::new(notify, watchdog, rpc_thread.handle().clone());
    let mut reload = Reload::new(source, current, service_orders, shown, watcher);
    if kept.reload {
        reload.soon();
    }
    let run = Run {
        fleet,
        services,
        endpoints,
        questions,
        reaper,
        memory,
        renewal: Renewal::new(options.origin, listener, orders),
        renewed,
        signals,
        systemd,
        grace,
        reload,
    };
    // What the plugins need of it has been encoded.
    drop(loaded);
    let ended = run.until_the_end(notice).await;
    drop(rpc_thread);
    Ok(ended?)
}

/// Whether this configuration names something that this program could start.
///
/// # Errors
/// Programs of configured plugins that are missing, and services that make no sense.
pub(crate) fn check(loaded: &Loaded) -> Result<(), ServeError> {
    for (name, section) in loaded.config.service.iter().flatten() {
        Spec::configured(name, section)?;
    }
    let found = catalog::entries(&loaded.config);
    found.map(drop).map_err(|missing| {
        let texts: Vec<_> = missing.iter().map(ToString::to_string).collect();
        ServeError::Plugins(texts.join("\n"))
    })
}

/// The debug endpoints. A server that was asked for them runs without them too, if the port is taken.
fn open_debug(loaded: &Loaded, overview: Overview, thread: &RpcThread) {
    let shown = ShowOptions {
        origin: true,
        secrets: false,
    };
    match debug::serve(
        thread.handle(),
        &debug::address(),
        overview,
        config::show(loaded, shown),
    ) {
        Ok(address) => tracing::info!(target: "supervisor", "debug endpoints at http://{address}/debug/pprof/"),
        Err(error) => tracing::error!(target: "supervisor", "no debug endpoints: {error}"),
    }
}

/// What `up` makes of a configuration.
pub(crate) fn for_people(loaded: &mut Loaded) -> io::Result<()> {
    logs::for_people(&mut loaded.config.logs);
    loaded.tree["logs"] = serde_json::to_value(&loaded.config.logs).map_err(io::Error::other)?;
    for (name, service) in loaded.config.service.iter_mut().flatten() {
        service.service_name_in_log = true;
        loaded.tree["service"][name]["service_name_in_log"] = true.into();
    }
    if let Some(http) = &mut loaded.config.http {
        http.show_errors = true;
        loaded.tree["http"]["show_errors"] = true.into();
    }
    Ok(())
}

/// Whether there is something to serve without any plugin.
pub(crate) fn serves_by_itself(config: &Config) -> bool {
    config.rpc.is_some() || config.service.is_some() || config.metrics.is_some() || config.status.is_some()
}

/// What is there before the first plugin.
struct Prepared {
    control_dir: ControlDir,
    access: Access,
    /// What a supervisor before us has left.
    left: Left,
    memory: Memory,
}

/// How this program came into its process.
struct Arrival<'a> {
    log: &'a ServerLog,
    /// The lock of the control directory, of a program before it.
    lock: Option<OwnedFd>,
    /// What the processes that it had have written last.
    lines: &'a Lines,
    /// There was one.
    renewed: bool,
}

/// What comes before the first plugin: the control directory and who may use it, the listening sockets, `on_init`.
async fn prepare(
    loaded: &Loaded,
    file: &Path,
    entries: &[catalog::Entry],
    sockets: &Sockets,
    notify: &Notify,
    before: Arrival<'_>,
    reaper: &mut Reaper,
) -> Result<Prepared, ServeError> {
    let control = &loaded.config.supervisor.control;
    let access = endpoints::access(&loaded.config, entries)?;
    let addresses = control_dir::addresses(&loaded.config);
    let file = loaded.base_dir.join(file.file_name().unwrap_or_default());
    let identity = Identity {
        file: &file,
        addresses: &addresses,
    };
    let control_dir = ControlDir::open(control, &identity, &access, before.lock)?;
    let signature = identity.signature();
    control_dir.sign(&signature)?;
    let mut left = adopt::search(&control_dir, entries, before.log, before.lines);
    let memory = Memory::open(control_dir.path(), before.renewed || !left.plugins.is_empty());
    sockets.inherit(std::mem::take(&mut left.sockets));
    for entry in entries {
        // Bound now, before anything else is done: a taken port is the most common mistake.
        sockets.of(&entry.addresses).map_err(|error| ServeError::Listen {
            plugin: entry.name.clone(),
            error,
        })?;
    }
    Sections::of(&loaded.config).reserve(sockets)?;
    sockets.close_unclaimed();
    left.wait(loaded.config.endure.grace_period.get()).await;
    control_dir.sweep(None);
    let server = loaded.config.server.as_ref();
    // Once, before any plugin: with those of a program before us that is long ago.
    if let Some(section) = server.and_then(|server| server.on_init.as_ref())
        && !before.renewed
    {
        // systemd counts the start from here on, and this may take its time.
        notify.extend(section.exec_timeout.get() + START_PATIENCE);
        let exit_of = async |pid| on_init::exit_of(pid, reaper).await;
        match on_init::run(section, &Place::default(), exit_of).await {
            Err(error) if section.exit_on_error => return Err(error.into()),
            Err(error) => tracing::error!(target: "server", "{error}"),
            Ok(()) => {}
        }
    }
    if loaded.config.endure.print_graph {
        writeln!(io::stdout(), "{}", graph(entries))?;
    }
    Ok(Prepared {
        control_dir,
        access,
        left,
        memory,
    })
}

/// The log settings of this process: the logger `supervisor` follows `endure.log_level` where that is stricter than
/// `logs.level`, unless it has a channel of its own.
pub(crate) fn own_logs(config: &Config) -> Logs {
    const LEVELS: [&str; 6] = ["debug", "info", "warn", "error", "panic", "fatal"];
    let rank = |level: &str| LEVELS.iter().position(|known| known.eq_ignore_ascii_case(level));
    let mut logs = config.logs.clone();
    let mut channel = logs.main.clone();
    if rank(&config.endure.log_level) > rank(&channel.level) {
        channel.level.clone_from(&config.endure.log_level);
    }
    logs.channels.entry("supervisor".into()).or_insert(channel);
    logs
}

/// The plugins in the order of their start, as graphviz (`endure.print_graph`).
fn graph(entries: &[catalog::Entry]) -> String {
    let mut lines = vec!["digraph endure {".to_owned()];
    for entry in entries {
        lines.push(format!("\trr_supervisor -> {:?};", entry.name));
    }
    for (before, after) in entries.iter().zip(entries.iter().skip(1)) {
        if before.role < after.role {
            lines.push(format!("\t{:?} -> {:?};", before.name, after.name));
        }
    }
    lines.push("}".into());
    lines.join("\n")
}

/// How long a plugin may take to be ready: what is said about it, or what its pool allows for the start of a worker, and a while.
pub(crate) fn patience(tree: &serde_json::Value, entry: &catalog::Entry) -> Duration {
    let said = entry.process.start_timeout.get();
    if !said.is_zero() {
        return said;
    }
    let written = tree.pointer(&format!("/{}/pool/allocate_timeout", entry.name));
    let written = written.and_then(|value| serde_json::from_value::<Dur>(value.clone()).ok());
    START_PATIENCE + written.unwrap_or(Dur::secs(60)).get()
}
