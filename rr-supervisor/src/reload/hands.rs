//! What a reload asks of the loop and of the services, which carry it out.

use super::{
    STOPPING,
    own::ServiceChange,
    steps::{Commit, Look, Step},
};
use crate::{
    fleet::{Next, Told},
    place::Place,
    plugins::{catalog::Listen, lifecycle::Exit},
    service::{Order, Spec},
    watch::Gate,
};
use nix::unistd::Pid;
use rr_common::{config::Config, control::Access};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// The ways to them.
#[derive(Clone, Debug)]
pub(super) struct Hands {
    pub steps: mpsc::Sender<Step>,
    pub services: mpsc::Sender<Order>,
}

impl Hands {
    /// How the plugins are.
    pub(super) async fn look(&self) -> Result<Look, String> {
        self.ask(Step::Look).await
    }

    /// Opens the sockets that are not open yet; returns those.
    pub(super) async fn bind(&self, addresses: Vec<Listen>) -> Result<Vec<String>, String> {
        self.ask(|told| Step::Bind(addresses, told)).await?
    }

    /// Closes sockets again.
    pub(super) fn close(&self, addresses: Vec<String>) {
        self.leave(Step::Close(addresses));
    }

    /// Makes the supervisor's own endpoints ready for this configuration, and lets these in.
    pub(super) async fn prepare(&self, config: Arc<Config>, access: Access) -> Result<(), String> {
        self.ask(|told| Step::Prepare(config, access, told)).await?
    }

    /// What was made ready is not wanted any more.
    pub(super) fn unprepare(&self) {
        self.leave(Step::Unprepare);
    }

    /// What the requests of plugins that are started from now on wait for; returns what it was.
    pub(super) async fn gate(&self, gate: Option<Gate>) -> Result<Option<Gate>, String> {
        self.ask(|told| Step::Gate(gate, told)).await
    }

    /// Starts the next process of a plugin, which waits when it is ready.
    pub(super) fn begin(&self, next: Next) -> Result<oneshot::Receiver<Result<Pid, String>>, String> {
        let (told, ready) = oneshot::channel();
        let step = Step::Begin(Box::new(next), told);
        self.steps.try_send(step).map_err(|_| STOPPING.to_owned())?;
        Ok(ready)
    }

    /// Replaces a plugin that keeps state by what it is to be.
    pub(super) async fn exchange(&self, next: Next) -> Result<u32, String> {
        let asked: Result<Pid, String> = self.ask(|told: Told| Step::Exchange(Box::new(next), told)).await?;
        asked.map(|pid| pid.as_raw().unsigned_abs())
    }

    /// What waits is not wanted any more.
    pub(super) fn abandon(&self) {
        self.leave(Step::Abandon);
    }

    /// Where services are started from now on.
    pub(super) fn place(&self, place: Arc<Place>) {
        self.leave(Step::Place(place));
    }

    /// How a child ends.
    pub(super) async fn exit_of(&self, pid: Pid) -> Exit {
        let (told, exit) = oneshot::channel();
        // Before anything else can run: the loop must know of it before it buries the child.
        self.leave(Step::Await(pid, told));
        exit.await.unwrap_or(Exit::NotStarted)
    }

    /// Lets everything take effect; returns the processes that serve, by plugin.
    pub(super) async fn commit(&self, commit: Commit) -> Result<Vec<(String, u32)>, String> {
        self.ask(|told| Step::Commit(Box::new(commit), told)).await?
    }

    /// Stops what services were, all at once, and waits for their end. One that somebody has stopped already is as well.
    pub(super) async fn end_services(&self, services: &[ServiceChange]) {
        let mut ends = Vec::new();
        for service in services.iter().filter(|service| service.before.is_some()) {
            let (answer, ended) = oneshot::channel();
            let order = Order::Terminate(service.name.clone(), answer);
            if self.services.send(order).await.is_ok() {
                ends.push(ended);
            }
        }
        for ended in ends {
            let _ = ended.await;
        }
    }

    /// Starts a service.
    pub(super) async fn start_service(&self, spec: Spec) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        let stopping = || STOPPING.to_owned();
        let order = Order::Configure(Box::new(spec), answer);
        self.services.send(order).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }

    async fn ask<T>(&self, step: impl FnOnce(oneshot::Sender<T>) -> Step) -> Result<T, String> {
        let (told, answer) = oneshot::channel();
        self.leave(step(told));
        answer.await.map_err(|_| STOPPING.to_owned())
    }

    /// The loop has room for more steps than a reload leaves without waiting.
    fn leave(&self, step: Step) {
        if self.steps.try_send(step).is_err() {
            tracing::error!(target: "supervisor", "the loop does not take a step of the reload");
        }
    }
}
