//! The plugins are told that their workers' code has changed, and the developer what came of it.

use crate::{
    fleet::{Member, RosterWatch, State},
    operate::{AskError, QUICK, Residents, SLOW, ask, within},
};
use rr_common::control::v1::{ResetRequest, plugin_client::PluginClient};
use std::{
    collections::HashMap,
    sync::mpsc,
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, task::JoinHandle};
use tonic::transport::Channel;

/// How long a plugin may be on its way that is not there when files change.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long plugins may take to come back to another program of the supervisor.
const RETURN: Duration = Duration::from_secs(10);

/// How long the watch waits for plugins to be told.
const TOLD: Duration = Duration::from_secs(1);

/// What became of a plugin's workers.
#[derive(Debug)]
enum Outcome {
    /// So many serve, that long after they were asked for.
    Renewed(u32, Duration),
    /// The new ones do not start; the plugin has told why.
    Broken,
    /// The plugin does not answer.
    Failed(String),
    /// It has no workers, or it is stopping.
    Nothing,
}

/// Tells plugins.
pub(super) struct Renewals {
    roster: RosterWatch,
    residents: Residents,
    /// The RPC thread's.
    handle: Handle,
    /// The last question to each plugin.
    asked: HashMap<String, JoinHandle<Outcome>>,
}

impl Renewals {
    pub(super) fn new(roster: RosterWatch, residents: Residents, handle: Handle) -> Self {
        Self {
            roster,
            residents,
            handle,
            asked: HashMap::new(),
        }
    }

    /// Waits until the plugins that a program before us in this process has left are back.
    pub(super) fn wait_for_return(&self) {
        let (tells, told) = mpsc::sync_channel(1);
        let mut roster = self.roster.clone();
        self.handle.spawn(async move {
            let _ = roster
                .wait_for(|roster| !roster.members.iter().any(is_on_its_way))
                .await;
            let _ = tells.try_send(());
        });
        let _ = told.recv_timeout(RETURN);
    }

    /// None of these plugins' workers takes a further request; new ones start after `hold`, unless this comes again. Returns when the
    /// plugins know, or are not there to be told.
    pub(super) fn renew(&mut self, plugins: &[String], hold: Duration) {
        let (knows, known) = mpsc::sync_channel(1);
        for plugin in plugins {
            if self.residents.find(plugin).is_some() {
                continue;
            }
            let asked = renewed(self.roster.clone(), plugin.clone(), hold, knows.clone());
            let asked = self.handle.spawn(asked);
            if let Some(before) = self.asked.insert(plugin.clone(), asked) {
                before.abort();
            }
        }
        drop(knows);
        let end = Instant::now() + TOLD;
        // Ends when every task has told, or has dropped its end.
        while known
            .recv_timeout(end.saturating_duration_since(Instant::now()))
            .is_ok()
        {}
    }

    /// Nothing changes any more: tells in the log what has become of the workers, as soon as that is known. What lives in the
    /// supervisor itself (services) is started anew now: it serves nobody who would wait.
    pub(super) fn report(&mut self, plugins: &[String], changed: &str) {
        for plugin in plugins {
            let (name, text) = (plugin.clone(), changed.to_owned());
            if let Some(asked) = self.asked.remove(plugin) {
                self.handle.spawn(async move {
                    if let Ok(outcome) = asked.await {
                        tell(&name, &text, outcome);
                    }
                });
            } else if let Some(resident) = self.residents.find(plugin) {
                self.handle.spawn(async move {
                    let done = within(&*resident, SLOW, resident.reset()).await;
                    match done {
                        Ok(()) => tracing::info!(target: "watch", "{text}, {name}: started anew"),
                        Err(error) => tracing::error!(target: "watch", "{text}, {name}: {error}"),
                    }
                });
            }
        }
    }
}

/// Whether it has a process that is not ready for us.
fn is_on_its_way(member: &Member) -> bool {
    member.pid.is_some() && matches!(member.state, State::Starting | State::Restarting)
}

fn tell(name: &str, changed: &str, outcome: Outcome) {
    match outcome {
        // Overtaken by a later change, which is reported by itself.
        Outcome::Renewed(0, _) | Outcome::Nothing => {}
        Outcome::Renewed(workers, took) => {
            let (noun, took) = (if workers == 1 { "worker" } else { "workers" }, took.as_millis());
            tracing::info!(target: "watch", "{changed}, {name}: {workers} {noun} renewed in {took} ms");
        }
        Outcome::Broken => tracing::error!(target: "watch", "{changed}, {name}: the new workers do not start"),
        Outcome::Failed(error) => {
            tracing::error!(target: "watch", error, "{changed}, {name}: the workers are not renewed");
        }
    }
}

/// Asks the plugin, as soon as it can be asked.
async fn renewed(mut roster: RosterWatch, plugin: String, hold: Duration, knows: mpsc::SyncSender<()>) -> Outcome {
    let begin = Instant::now();
    // Dropped as soon as the plugin knows, or is seen not to be there.
    let mut knows = Some(knows);
    let tell = ResetRequest {
        at_once: true,
        hold_ms: hold.as_millis().try_into().unwrap_or(u32::MAX),
        ..ResetRequest::default()
    };
    let wait = ResetRequest {
        renewed: true,
        ..ResetRequest::default()
    };
    loop {
        let now = roster.borrow_and_update().clone();
        let Some(member) = now.get(&plugin).filter(|_| !now.stopping) else {
            return Outcome::Nothing;
        };
        let question =
            |request: ResetRequest| async move |mut client: PluginClient<Channel>| client.reset(request).await;
        let told = ask(member, QUICK, question(tell.clone())).await;
        drop(knows.take());
        let done = match told {
            Ok(_) => ask(member, SLOW, question(wait.clone())).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(answer) => return Outcome::Renewed(answer.workers, begin.elapsed()),
            Err(AskError::Unsupported(_)) => return Outcome::Nothing,
            // Given up or not wanted yet: its next process reads the new code.
            Err(AskError::NotUp {
                state: State::Failed | State::Down | State::Stopping,
                ..
            }) => return Outcome::Nothing,
            Err(error @ (AskError::NotUp { .. } | AskError::Away { .. })) => {
                // On its way: its workers may have begun with the old code.
                let left = PATIENCE.saturating_sub(begin.elapsed());
                if !matches!(tokio::time::timeout(left, roster.changed()).await, Ok(Ok(()))) {
                    return Outcome::Failed(error.to_string());
                }
            }
            Err(AskError::Failed(_)) => return Outcome::Broken,
            Err(error) => return Outcome::Failed(error.to_string()),
        }
    }
}
