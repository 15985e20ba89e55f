//! One reload, from the file to the answer: a task beside the loop, which carries out its steps.
//!
//! The order is that of the least to undo. What can fail comes first and beside what serves: the file, new sockets, `on_init`, the new
//! processes, which wait when they are ready. Only then something that is there is touched: services that changed are stopped and
//! started, and at last everything takes effect in one step of the loop, which cannot fail half way. Plugins that keep state are the
//! exception: they hand it on, so they change one by one before those that may call them, and are changed back if a later step fails.

use super::{
    Report,
    hands::Hands,
    own::{self, ServiceChange},
    plan::{self, Plan, Side},
    report::{self, Settings},
    source::{Current, Source, Wanted},
    steps::{Commit, Look},
};
use crate::{
    fleet::{Change, Next},
    on_init,
    place::Visit,
    serve,
    service::Spec,
};
use rr_common::{config::Config, telemetry::log::Outputs};
use serde_json::Value;
use std::sync::Arc;

/// What a reload needs.
pub(super) struct Task {
    pub source: Arc<Source>,
    pub current: Current,
    pub hands: Hands,
    pub dry_run: bool,
}

/// What was done before everything takes effect, to be undone in reverse.
enum Done {
    Bound(Vec<String>),
    /// A plugin that keeps state has another process; this is what it was.
    Exchanged(Box<Next>),
    Services(Vec<ServiceChange>),
}

impl Task {
    /// Does it all. The error says why nothing has changed.
    pub(super) async fn run(self) -> Result<Report, String> {
        let source = Arc::clone(&self.source);
        // Files may be on a slow disk, and the loop has processes to see to.
        let read = tokio::task::spawn_blocking(move || source.read()).await;
        let (loaded, directory) = read.map_err(|error| error.to_string())??;
        let unreachable = |error: std::io::Error| format!("{}: {error}", directory.display());
        let visit = Visit::to(&directory, &self.current.place.directory).map_err(unreachable)?;
        let wanted = self.source.wanted(loaded, directory)?;
        let look = self.hands.look().await?;
        if let Some(name) = look.coming.first() {
            return Err(format!(
                "the plugin {name} is being replaced; try again when that is done"
            ));
        }
        let tree: Value = serde_json::from_slice(&self.current.json).map_err(|error| error.to_string())?;
        let config: Config = serde_json::from_value(tree.clone()).map_err(|error| error.to_string())?;
        let before = Side {
            tree: &tree,
            entries: &self.current.entries,
            place: &self.current.place,
        };
        let after = Side {
            tree: &wanted.tree,
            entries: &wanted.current.entries,
            place: &wanted.current.place,
        };
        let reasons = own::needs_restart(before.tree, after.tree);
        if !reasons.is_empty() {
            return Err(reasons.join("\n"));
        }
        let plan = plan::plan(before, after, &look.failed);
        let moved = before.place.directory != after.place.directory;
        let services = own::services(&config, &wanted.config, before.place != after.place);
        let settings = own::settings(before.tree, after.tree);
        let report = report::planned(
            &plan,
            &services,
            settings,
            moved.then(|| after.place.directory.clone()),
            &wanted.warnings,
        );
        let idle = self.current.json == wanted.current.json && self.current.place == wanted.current.place;
        if self.dry_run || (idle && plan.changed.is_empty()) {
            return Ok(Report {
                dry_run: self.dry_run,
                ..report
            });
        }
        let on_init = moved || before.tree.pointer("/server/on_init") != after.tree.pointer("/server/on_init");
        let mut done = Vec::new();
        let doing = Doing {
            hands: &self.hands,
            before: &self.current,
            config_before: &config,
            look: &look,
            wanted: &wanted,
            plan: &plan,
        };
        match doing.all(on_init, services, moved, &mut done).await {
            Ok(pids) => {
                visit.stay();
                Ok(report.with_pids(&pids))
            }
            Err(reason) => {
                let left = doing.undo(done).await;
                Err(left.into_iter().fold(reason, |text, left| format!("{text}\n{left}")))
            }
        }
    }
}

/// A reload on its way.
struct Doing<'a> {
    hands: &'a Hands,
    before: &'a Current,
    config_before: &'a Config,
    look: &'a Look,
    wanted: &'a Wanted,
    plan: &'a Plan,
}

impl Doing<'_> {
    async fn all(
        &self,
        on_init: bool,
        services: Vec<ServiceChange>,
        moved: bool,
        done: &mut Vec<Done>,
    ) -> Result<Vec<(String, u32)>, String> {
        let wanted = self.wanted;
        let addresses = wanted.current.entries.iter().flat_map(|entry| entry.addresses.clone());
        done.push(Done::Bound(self.hands.bind(addresses.collect()).await?));
        let logs_change = moved || self.changes("/logs") || self.changes("/endure/log_level");
        let logs = logs_change.then(|| Outputs::open(&wanted.config.logs)).transpose();
        let logs = logs.map_err(|error| error.to_string())?;
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

    /// Addresses that no plugin has any more.
    fn closed(&self) -> Vec<String> {
        let of = |entries: &[crate::plugins::catalog::Entry]| -> Vec<String> {
            let all = entries.iter().flat_map(|entry| entry.addresses.iter());
            all.map(|listen| listen.address.clone()).collect()
        };
        let stay = of(&self.wanted.current.entries);
        let mut closed = of(&self.before.entries);
        closed.retain(|address| !stay.contains(address));
        closed
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
    async fn undo(&self, done: Vec<Done>) -> Vec<String> {
        let mut left = Vec::new();
        self.hands.abandon();
        for done in done.into_iter().rev() {
            match done {
                Done::Bound(addresses) => self.hands.close(addresses),
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
