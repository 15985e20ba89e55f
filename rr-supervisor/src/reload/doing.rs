//! What a reload does, and how it is undone. The loop carries out its steps.
//!
//! The order is that of the least to undo. What can fail comes first and beside what serves: the file, new sockets, `on_init`, the new
//! processes, which wait when they are ready. Only then something that is there is touched: services that changed are stopped and
//! started, and at last everything takes effect in one step of the loop, which cannot fail half way. Plugins that keep state are the
//! exception: they hand it on, so they change one by one before those that may call them, and are changed back if a later step fails.

use super::{
    hands::Hands,
    own::{self, ServiceChange},
    plan::Plan,
    report::Settings,
    source::{Current, Wanted},
    steps::{Commit, Look},
};
use crate::{
    endpoints::Sections,
    fleet::{Change, Next},
    on_init, serve,
    service::Spec,
    watch::{self, Gate},
};
use rr_common::{config::Config, telemetry::log::Outputs};
use serde_json::Value;
use std::sync::Arc;

/// What was done before everything takes effect, to be undone in reverse.
pub(super) enum Done {
    Bound(Vec<String>),
    /// Our own endpoints are ready for the change.
    Prepared,
    /// Plugins that are started are given something else to wait for than this.
    Gate(Option<Gate>),
    /// A plugin that keeps state has another process; this is what it was.
    Exchanged(Box<Next>),
    Services(Vec<ServiceChange>),
}

/// A reload on its way.
pub(super) struct Doing<'a> {
    pub hands: &'a Hands,
    pub before: &'a Current,
    pub config_before: &'a Config,
    pub look: &'a Look,
    pub wanted: &'a Wanted,
    pub plan: &'a Plan,
    pub gate: &'a Gate,
    /// Other files are watched, or by other rules.
    pub watches: bool,
}

impl Doing<'_> {
    /// Does all of it; what is done before everything takes effect is noted in `done`.
    pub(super) async fn all(
        &self,
        on_init: bool,
        services: Vec<ServiceChange>,
        moved: bool,
        done: &mut Vec<Done>,
    ) -> Result<Vec<(String, u32)>, String> {
        let wanted = self.wanted;
        let addresses = wanted.current.entries.iter().flat_map(|entry| entry.addresses.clone());
        done.push(Done::Bound(self.hands.bind(addresses.collect()).await?));
        let (config, access) = (Arc::clone(&wanted.config), wanted.access.clone());
        self.hands.prepare(config, access).await?;
        done.push(Done::Prepared);
        let logs_change = moved || self.changes("/logs") || self.changes("/endure/log_level");
        let logs = logs_change.then(|| Outputs::open(&wanted.config.logs)).transpose();
        let logs = logs.map_err(|error| error.to_string())?;
        let watch = match self.watches {
            true => Some(self.watch().await?),
            false => None,
        };
        if let Some(watch) = &watch {
            let holds = watch.as_ref().is_some_and(watch::Prepared::holds);
            let before = self.hands.gate(holds.then(|| self.gate.clone())).await?;
            done.push(Done::Gate(before));
        }
        if on_init {
            self.on_init().await?;
        }

        let mut change = Change {
            removed: self.plan.removed.clone(),
            ..Change::default()
        };
        let mut pids = Vec::new();
        let mut coming = Vec::new();
        for next in self.next() {
            let name = next.entry.name.clone();
            let is_there = self.look.present.iter().any(|present| present.entry.name == name);
            let touched =
                self.plan.added.contains(&name) || self.plan.changed.iter().any(|(changed, _)| *changed == name);
            let sleeps = next.entry.on_demand && (!is_there || self.look.asleep.contains(&name));
            // An attached one is started by somebody else.
            if !touched || sleeps || next.entry.attached {
                change.kept.push(next);
            } else if self.look.stateful.contains(&name) {
                let pid = self
                    .hands
                    .exchange(next)
                    .await
                    .map_err(|reason| cannot(&name, &reason))?;
                let present = self.look.present.iter().find(|present| present.entry.name == name);
                done.extend(present.cloned().map(Box::new).map(Done::Exchanged));
                pids.push((name, pid));
            } else {
                coming.push((name, self.hands.begin(next)?));
            }
        }
        for (name, ready) in coming {
            let ready = ready.await.map_err(|_| super::STOPPING.to_owned())?;
            ready.map_err(|reason| cannot(&name, &reason))?;
            change.held.push(name);
        }
        self.hands.place(Arc::clone(&wanted.current.place));
        done.push(Done::Services(services.clone()));
        self.hands.end_services(&services).await;
        for service in services {
            let started = self.start_service(&service).await;
            started.map_err(|reason| format!("the service {} cannot start: {reason}", service.name))?;
        }
        let (collect, uncollect) = own::collectors(self.config_before, &wanted.config);
        let own = serve::own_logs(&wanted.config);
        let commit = Commit {
            change,
            closed: self.closed(),
            attached: self.plan.attached.iter().map(|(name, _)| name.clone()).collect(),
            watch,
            logs: logs.map(|outputs| (Box::new(outputs), Box::new(own))),
            settings: Settings::of(&wanted.config),
            collect,
            uncollect,
            signature: wanted.signature.clone(),
            moved,
            current: wanted.current.clone(),
        };
        pids.extend(self.hands.commit(commit).await?);
        Ok(pids)
    }

    /// Looks at what is to be watched. There may be many files.
    async fn watch(&self) -> Result<Option<watch::Prepared>, String> {
        let Some(wish) = self.wanted.current.wish.clone() else {
            return Ok(None);
        };
        let gate = self.gate.clone();
        let prepared = tokio::task::spawn_blocking(move || watch::prepare(wish, &gate)).await;
        let prepared = prepared.map_err(|error| error.to_string())?;
        prepared.map(Some).map_err(|error| error.to_string())
    }

    fn changes(&self, pointer: &str) -> bool {
        let before: Option<Value> = serde_json::from_slice(&self.before.json).ok();
        before.as_ref().and_then(|tree| tree.pointer(pointer)) != self.wanted.tree.pointer(pointer)
    }

    /// Before anything of a new release starts, as at the server's start.
    async fn on_init(&self) -> Result<(), String> {
        let server = self.wanted.config.server.as_ref();
        let Some(section) = server.and_then(|server| server.on_init.as_ref()) else {
            return Ok(());
        };
        let exit = async |pid| self.hands.exit_of(pid).await;
        match on_init::run(section, &self.wanted.current.place, exit).await {
            Err(error) if section.exit_on_error => Err(error.to_string()),
            Err(error) => {
                tracing::error!(target: "server", "{error}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// What every plugin is to be, in the order of the start. A program that an upgrade has put in place stays.
    fn next(&self) -> Vec<Next> {
        let next = |entry: &crate::plugins::catalog::Entry| {
            let mut entry = entry.clone();
            let before = self.before.entries.iter().find(|before| before.name == entry.name);
            let present = self
                .look
                .present
                .iter()
                .find(|present| present.entry.name == entry.name);
            if let (Some(before), Some(present)) = (before, present)
                && before.program == entry.program
            {
                entry.program = present.entry.program.clone();
                entry.chosen = present.entry.chosen;
            }
            Next {
                patience: serve::patience(&self.wanted.tree, &entry),
                entry,
                config: self.wanted.current.json.clone(),
                place: Arc::clone(&self.wanted.current.place),
            }
        };
        self.wanted.current.entries.iter().map(next).collect()
    }

    /// Addresses of plugins that nobody has any more.
    fn closed(&self) -> Vec<String> {
        let stay = Sections::of(&self.wanted.config);
        let all = self.before.entries.iter().flat_map(|entry| entry.addresses.iter());
        all.map(|listen| listen.address.clone())
            .filter(|address| !stay.need(address))
            .collect()
    }

    async fn start_service(&self, service: &ServiceChange) -> Result<(), String> {
        match &service.after {
            Some(section) => {
                let spec = Spec::configured(&service.name, section).map_err(|error| error.to_string())?;
                self.hands.start_service(spec).await
            }
            None => Ok(()),
        }
    }

    /// Puts back what was done. Returns what could not be.
    pub(super) async fn undo(&self, done: Vec<Done>) -> Vec<String> {
        let mut left = Vec::new();
        self.hands.abandon();
        for done in done.into_iter().rev() {
            match done {
                Done::Bound(addresses) => self.hands.close(addresses),
                Done::Prepared => self.hands.unprepare(),
                Done::Gate(before) => drop(self.hands.gate(before).await),
                Done::Exchanged(next) => {
                    let name = next.entry.name.clone();
                    if let Err(reason) = self.hands.exchange(*next).await {
                        left.push(format!(
                            "the plugin {name} has the new configuration, since it could not be put back: {reason}"
                        ));
                    }
                }
                Done::Services(services) => {
                    self.hands.place(Arc::clone(&self.before.place));
                    let back: Vec<_> = services.into_iter().map(ServiceChange::reversed).collect();
                    self.hands.end_services(&back).await;
                    for back in back {
                        if let Err(reason) = self.start_service(&back).await {
                            left.push(format!(
                                "the service {} is down, since it could not be started again: {reason}",
                                back.name
                            ));
                        }
                    }
                }
            }
        }
        left
    }
}

fn cannot(plugin: &str, reason: &str) -> String {
    format!("the plugin {plugin} cannot start with it: {reason}")
}
