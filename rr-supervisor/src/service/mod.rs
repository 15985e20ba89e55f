//! The service plugin: the user's own commands under supervision.
//!
//! [`Services`] belongs to the supervisor's loop, where all children are started and reaped. What PHP and operators want of it comes
//! as an [`Order`] from the RPC port.
//!
//! - [`spec`]: what a service is
//! - [`life`]: the life of one process as plain data
//! - [`group`]: the processes of one service; [`spawn`]: their start; [`output`]: their lines
//! - [`around`]: what all share; [`guard`]: what kills their groups if we are killed
//! - [`kept`]: what goes on while this process becomes another program
//! - [`rpc`]: the methods

mod around;
mod group;
pub(crate) mod guard;
mod kept;
mod life;
mod output;
mod rpc;
mod spawn;
mod spec;

pub(crate) use output::Output;
pub(crate) use rpc::ServiceRpc;
pub(crate) use spawn::MARK;

use crate::{fleet::Loss, place::Place, plugins::lifecycle::Exit};
use around::Around;
use group::Group;
pub(crate) use group::Seen;
use life::Event;
use nix::unistd::Pid;
use rr_common::config::section;
pub(crate) use spec::{Spec, SpecError};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// The plugin's name.
const NAME: &str = "service";

/// Orders that wait for the loop.
const ORDERS: usize = 16;

/// A deadline that leaves the decision to `timeout_stop_sec`.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What an order hears that comes too late.
const STOPPING: &str = "the server is stopping";

/// The way for the answer to an order.
type Answer<T> = oneshot::Sender<Result<T, String>>;

/// What is wanted of the services from outside.
#[derive(Debug)]
pub(crate) enum Order {
    /// A new one; answered when its processes have been started.
    Create(Box<Spec>, Answer<()>),
    /// The same of the configuration.
    Configure(Box<Spec>, Answer<()>),
    /// One less; answered when its processes have gone.
    Terminate(String, Answer<()>),
    /// New processes for the old; answered when they have been started.
    Restart(String, Answer<()>),
    /// The same for all services.
    Reset(Answer<()>),
    /// The processes of one service.
    Show(String, Answer<Vec<Seen>>),
    /// The processes of all.
    ShowAll(oneshot::Sender<Vec<Seen>>),
    /// The names.
    List(oneshot::Sender<Vec<String>>),
}

/// All services.
#[derive(Debug)]
pub(crate) struct Services {
    groups: Vec<Group>,
    orders: mpsc::Receiver<Order>,
    around: Around,
    /// Who waits for the restart of all.
    resets: Vec<Answer<()>>,
    losses: Vec<Loss>,
    fail_fast: bool,
    stopping: bool,
}

impl Services {
    /// Those of the configuration, none of which runs yet, and the methods to steer them. With `fail_fast` one that cannot be started
    /// with the server ends it.
    ///
    /// # Errors
    /// A section that makes no sense.
    pub(crate) fn new(
        sections: &BTreeMap<String, section::Service>,
        fail_fast: bool,
    ) -> Result<(Self, ServiceRpc), SpecError> {
        let specs: Result<Vec<_>, _> = sections
            .iter()
            .map(|(name, section)| Spec::configured(name, section).map(Group::new))
            .collect();
        let (ordering, orders) = mpsc::channel(ORDERS);
        let services = Self {
            groups: specs?,
            orders,
            around: Around::default(),
            resets: Vec::new(),
            losses: Vec::new(),
            fail_fast,
            stopping: false,
        };
        Ok((services, ServiceRpc::new(ordering)))
    }

    /// Those that were made by calls, before the supervisor that did so was killed; they start with those of the configuration.
    pub(crate) fn recall(&mut self, specs: Vec<Spec>) {
        for spec in specs {
            if spec.is_sound() && !self.groups.iter().any(|group| group.spec.name == spec.name) {
                let mut group = Group::new(spec);
                group.created = true;
                self.groups.push(group);
            }
        }
    }

    /// Those that were made by calls.
    pub(crate) fn created(&self) -> Vec<Spec> {
        let created = self.groups.iter().filter(|group| group.created && !group.leaving);
        created.map(|group| group.spec.clone()).collect()
    }

    /// Where processes are started from now on.
    pub(crate) fn set_place(&mut self, place: Arc<Place>) {
        self.around.place = place;
    }

    /// Starts those that do not go on from the program before.
    pub(crate) fn start(&mut self, now: Instant) {
        for group in self.groups.iter_mut().filter(|group| !group.begun) {
            group.begun = true;
            if let Err(error) = group.tell(Event::Start, &mut self.around, now) {
                self.losses.push(Loss {
                    name: NAME.to_owned(),
                    reason: format!("{}: {error}", group.spec.name),
                    fatal: self.fail_fast,
                });
            }
        }
    }

    /// The stop of the whole server: all at once, and dead at the deadline at the latest.
    pub(crate) fn stop(&mut self, deadline: Instant, now: Instant) {
        self.stopping = true;
        for group in &mut self.groups {
            // Nothing is started by a stop.
            let _ = group.tell(Event::Stop(deadline), &mut self.around, now);
        }
    }

    /// Those that could not be started with the server, since the last call.
    pub(crate) fn losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    /// True when no process is left, nor one to come.
    pub(crate) fn is_down(&self) -> bool {
        self.groups.iter().all(Group::is_down)
    }

    /// True while a process is there.
    pub(crate) fn have_processes(&self) -> bool {
        self.groups.iter().any(Group::has_process)
    }

    /// When the next time limit comes.
    pub(crate) fn wake(&self) -> Option<Instant> {
        self.groups.iter().filter_map(Group::wake).min()
    }

    /// Acts on the time limits that have come.
    pub(crate) fn elapse(&mut self, now: Instant) {
        for group in &mut self.groups {
            group.elapse(&mut self.around, now);
        }
        self.settle();
    }

    /// A child has ended.
    pub(crate) fn ended(&mut self, pid: Pid, exit: Exit, now: Instant) {
        self.around.ended(pid);
        for group in &mut self.groups {
            group.ended(pid, exit, &mut self.around, now);
        }
        self.settle();
    }

    /// Kills everything at once.
    pub(crate) fn kill(&self) {
        self.groups.iter().for_each(Group::kill);
    }

    /// Waits until the last lines have been read, but not for long.
    pub(crate) async fn last_words(&mut self, patience: Duration) {
        self.around.outputs.last_words(patience).await;
    }

    /// The next order; `None` when nobody can give one.
    pub(crate) async fn order(&mut self) -> Option<Order> {
        self.orders.recv().await
    }

    /// Carries out an order.
    pub(crate) fn obey(&mut self, order: Order, now: Instant) {
        match order {
            Order::Create(spec, answer) => self.create(*spec, true, answer, now),
            Order::Configure(spec, answer) => self.create(*spec, false, answer, now),
            Order::Terminate(name, answer) => self.steer(&name, Event::Stop(now + FAR), answer, now),
            Order::Restart(name, answer) => self.steer(&name, Event::Restart, answer, now),
            Order::Reset(answer) => {
                for group in self.groups.iter_mut().filter(|group| !group.leaving && !self.stopping) {
                    // What cannot be started again has been logged.
                    let _ = group.tell(Event::Restart, &mut self.around, now);
                }
                self.resets.push(answer);
            }
            Order::Show(name, answer) => {
                let _ = answer.send(find(&mut self.groups, &name).map(|group| group.seen()));
            }
            Order::ShowAll(answer) => {
                let _ = answer.send(self.groups.iter().flat_map(Group::seen).collect());
            }
            Order::List(answer) => {
                let names = self.groups.iter().filter(|group| !group.leaving);
                let _ = answer.send(names.map(|group| group.spec.name.clone()).collect());
            }
        }
        self.settle();
    }

    fn create(&mut self, spec: Spec, created: bool, answer: Answer<()>, now: Instant) {
        if self.groups.iter().any(|group| group.spec.name == spec.name) {
            let text = format!("the service with {} name already exists", spec.name);
            return drop(answer.send(Err(text)));
        }
        if self.stopping {
            return drop(answer.send(Err(STOPPING.into())));
        }
        let mut group = Group::new(spec);
        group.begun = true;
        group.created = created;
        let started = group.tell(Event::Start, &mut self.around, now);
        if started.is_err() {
            // All or nothing: those that were started go again.
            group.leaving = true;
            let _ = group.tell(Event::Stop(now + FAR), &mut self.around, now);
        }
        group.waiters.push((answer, started));
        self.groups.push(group);
    }

    /// A stop or a restart; a service that was stopped by name goes.
    fn steer(&mut self, name: &str, event: Event, answer: Answer<()>, now: Instant) {
        let group = match find(&mut self.groups, name) {
            Ok(_) if self.stopping => return drop(answer.send(Err(STOPPING.into()))),
            Ok(group) => group,
            Err(error) => return drop(answer.send(Err(error))),
        };
        group.leaving = matches!(event, Event::Stop(_));
        let told = group.tell(event, &mut self.around, now);
        group.waiters.push((answer, told));
    }

    /// Answers those who wait for what has come to rest, and forgets the services that are gone.
    fn settle(&mut self) {
        for group in self.groups.iter_mut().filter(|group| group.is_settled()) {
            group.answer_waiters();
        }
        self.groups.retain(|group| !group.leaving || !group.is_down());
        if self.groups.iter().all(Group::is_settled) {
            for answer in self.resets.drain(..) {
                let _ = answer.send(Ok(()));
            }
        }
    }
}

fn find<'a>(groups: &'a mut [Group], name: &str) -> Result<&'a mut Group, String> {
    let mut groups = groups.iter_mut();
    let found = groups.find(|group| group.spec.name == name && !group.leaving);
    found.ok_or_else(|| format!("the service with {name} name doesn't exist"))
}
