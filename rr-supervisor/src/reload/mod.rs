//! `reload` and SIGHUP: the configuration is read again, and what has changed in it takes effect: all of it, or nothing.
//!
//! - [`source`]: the files, and what is in force; [`start`]: what a program begins with
//! - [`plan`]: what that means for the plugins; [`own`]: and for what this process does itself. Both pure
//! - [`task`]: one reload from the file to the answer; [`doing`]: what it does and how that is undone; [`hands`]: what it asks of the
//!   loop and the services
//! - [`steps`]: the loop's side, where everything takes effect at once
//! - [`report`]: the answer

mod doing;
mod hands;
mod own;
mod plan;
mod report;
mod source;
mod start;
mod steps;
mod task;

pub(crate) use report::Report;
pub(crate) use source::{Current, Source};
pub(crate) use start::Start;
pub(crate) use steps::Look;

use crate::{plugins::lifecycle::Exit, run::Run, service, watch::Watcher};
use bytes::Bytes;
use hands::Hands;
use nix::unistd::Pid;
use std::{collections::HashMap, sync::Arc, time::Instant};
use steps::Step;
use task::Task;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

/// How a reload went: what was done, or why nothing has changed.
pub(crate) type Outcome = Result<Report, String>;

/// Steps that wait for the loop: more than any configuration has plugins.
const STEPS: usize = 1024;

/// What a reload hears that comes too late.
const STOPPING: &str = "the server is stopping";

/// What happens here.
pub(crate) enum Event {
    /// The reload asks for something.
    Step(Step),
    /// The reload is over.
    Over(Outcome),
}

/// The reloads of this server: one at a time.
#[derive(Debug)]
pub(crate) struct Reload {
    source: Arc<Source>,
    current: Current,
    hands: Hands,
    steps: mpsc::Receiver<Step>,
    /// The configuration for whoever asks (`rpc.Config`).
    shown: watch::Sender<Bytes>,
    watcher: Watcher,
    running: Option<Running>,
    /// A signal came that was not followed yet.
    again: bool,
    awaited: HashMap<Pid, oneshot::Sender<Exit>>,
}

#[derive(Debug)]
struct Running {
    task: JoinHandle<Outcome>,
    dry_run: bool,
    /// Nobody, after a signal.
    told: Option<oneshot::Sender<Outcome>>,
}

impl Reload {
    /// From what is in force at the start.
    pub(crate) fn new(
        source: Source,
        current: Current,
        services: mpsc::Sender<service::Order>,
        shown: watch::Sender<Bytes>,
        watcher: Watcher,
    ) -> Self {
        let (asking, steps) = mpsc::channel(STEPS);
        Self {
            source: Arc::new(source),
            current,
            hands: Hands {
                steps: asking,
                services,
            },
            steps,
            shown,
            watcher,
            running: None,
            again: false,
            awaited: HashMap::new(),
        }
    }

    /// What comes next; nothing while no reload runs.
    pub(crate) async fn next(&mut self) -> Event {
        let Some(running) = &mut self.running else {
            return std::future::pending().await;
        };
        tokio::select! {
            // What it has left for the loop comes before its end.
            biased;
            Some(step) = self.steps.recv() => Event::Step(step),
            ended = &mut running.task => Event::Over(ended.unwrap_or_else(|error| Err(format!("the reload has failed: {error}")))),
        }
    }

    /// A reload that nobody waits for, as soon as there may be one.
    pub(crate) fn soon(&mut self) {
        self.again = true;
    }

    /// True until the present one is over.
    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The next step, if one has been asked for.
    pub(crate) fn waiting(&mut self) -> Option<Step> {
        self.steps.try_recv().ok()
    }

    /// A child has ended that a reload may wait for.
    pub(crate) fn ended(&mut self, pid: Pid, exit: Exit) {
        if let Some(told) = self.awaited.remove(&pid) {
            let _ = told.send(exit);
        }
    }

    /// The stop has begun, and wins.
    pub(crate) fn call_off(&mut self) {
        self.again = false;
        if let Some(running) = self.running.take() {
            running.task.abort();
            if let Some(told) = running.told {
                let _ = told.send(Err(STOPPING.into()));
            }
        }
    }

    /// What is in force.
    pub(crate) fn current(&self) -> &Current {
        &self.current
    }

    fn awaited(&mut self, pid: Pid, told: oneshot::Sender<Exit>) {
        self.awaited.insert(pid, told);
    }

    fn set_current(&mut self, current: Current) {
        self.shown.send_replace(current.json.clone());
        self.current = current;
    }
}

impl Run {
    /// Begins a reload that somebody has asked for, if none runs.
    pub(crate) fn reload(&mut self, dry_run: bool, told: Option<oneshot::Sender<Outcome>>) {
        if self.reload.running.is_some() {
            match told {
                Some(told) => drop(told.send(Err("another reload is under way; try again when it is done".into()))),
                // The files may have changed since that one has read them.
                None => self.reload.again = true,
            }
            return;
        }
        if !dry_run {
            self.systemd.reloading();
        }
        let task = Task {
            source: Arc::clone(&self.reload.source),
            current: self.reload.current.clone(),
            hands: self.reload.hands.clone(),
            gate: self.reload.watcher.gate(),
            dry_run,
        };
        self.reload.running = Some(Running {
            task: tokio::spawn(task.run()),
            dry_run,
            told,
        });
    }

    /// SIGHUP: opens the log files anew, and reloads as soon as it may.
    pub(crate) fn hang_up(&mut self) {
        self.fleet.reopen_logs();
        self.reload.soon();
    }

    /// Follows a signal, when nothing else is under way.
    pub(crate) fn follow_signal(&mut self) {
        if self.reload.again && self.reload.running.is_none() && !self.fleet.is_anyone_coming() {
            self.reload.again = false;
            self.reload(false, None);
        }
    }

    /// What a reload asks for, or its end. True when the working directory is another one now.
    pub(crate) fn proceed(&mut self, event: Event, now: Instant) -> bool {
        match event {
            Event::Step(step) => self.take(step, now),
            Event::Over(outcome) => {
                self.conclude(outcome);
                false
            }
        }
    }

    fn conclude(&mut self, outcome: Outcome) {
        let Some(running) = self.reload.running.take() else {
            return;
        };
        if !running.dry_run {
            match &outcome {
                Ok(report) => {
                    for warning in &report.warnings {
                        tracing::warn!(target: "config", "{warning}");
                    }
                    let done = report.lines().join("; ");
                    tracing::info!(target: "supervisor", "the configuration was reloaded: {done}");
                }
                Err(reason) => {
                    tracing::error!(target: "supervisor", "the reload has changed nothing: {reason}");
                }
            }
            if let Err(error) = self.systemd.ready() {
                tracing::warn!(target: "supervisor", %error, "sdnotify failed");
            }
        }
        if let Some(told) = running.told {
            let _ = told.send(outcome);
        }
    }
}
