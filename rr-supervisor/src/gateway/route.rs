//! From a method's name to whoever answers it.

use super::{
    Local, Locals,
    caller::Caller,
    client::Client,
    freeze::Clients,
    intake::{Fate, SHARED},
    load::Load,
    plugin::{Full, Plugin},
    ties::Ties,
};
use crate::{
    control::Question,
    fleet::{Roster, RosterWatch},
};
use bytes::Bytes;
use rr_common::rpc::{
    Codec, Guarded, Panicked,
    wire::{self, Message},
};
use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};
use tokio::sync::mpsc;

/// What all connections of the RPC thread share.
#[derive(Debug)]
pub(super) struct Gateway {
    /// Into which all of them read.
    pub(super) buffer: RefCell<Vec<u8>>,
    pub(super) load: Rc<Load>,
    pub(super) questions: mpsc::Sender<Question>,
    locals: RefCell<Locals>,
    /// The server stops: no connection is lent any more.
    stopping: Cell<bool>,
    pub(super) clients: RefCell<Clients>,
    /// All plugins that there have been.
    pub(super) known: RefCell<Vec<Rc<Plugin>>>,
    /// Calls that only this program can answer.
    pub(super) ties: Rc<Ties>,
    /// By prefix; a handful, so that a look through them is as fast as any table.
    plugins: RefCell<Vec<(String, Rc<Plugin>)>>,
}

/// Whoever answers a method.
#[derive(Debug)]
pub(super) enum Goal {
    /// The supervisor itself.
    Local(Arc<dyn Local>),
    /// A plugin.
    Plugin(Rc<Plugin>),
    /// Nobody.
    Unknown,
}

impl Goal {
    /// What has to take something before this one is given more.
    pub(super) fn full(&self) -> Option<Full> {
        match self {
            Self::Plugin(plugin) => plugin.full(),
            _ => None,
        }
    }
}

impl Gateway {
    pub(super) fn new(locals: Locals, questions: mpsc::Sender<Question>) -> Self {
        Self {
            buffer: RefCell::new(vec![0; SHARED]),
            load: Rc::default(),
            questions,
            locals: RefCell::new(locals),
            stopping: Cell::new(false),
            clients: RefCell::default(),
            known: RefCell::default(),
            ties: Rc::default(),
            plugins: RefCell::default(),
        }
    }

    /// Who answers this method, whose name has a dot?
    pub(super) fn route(&self, method: &str) -> Goal {
        self.owner(wire::split(method).map_or("", |(prefix, _)| prefix))
    }

    /// Who answers the methods with this prefix?
    pub(super) fn owner(&self, prefix: &str) -> Goal {
        if let Some(local) = self.locals.borrow().get(prefix) {
            return Goal::Local(Arc::clone(local));
        }
        let plugins = self.plugins.borrow();
        match plugins.iter().find(|(known, _)| known == prefix) {
            Some((_, plugin)) => Goal::Plugin(Rc::clone(plugin)),
            None => Goal::Unknown,
        }
    }

    /// What the supervisor answers itself from now on. Calls that run keep what they have begun with.
    pub(super) fn set_locals(&self, locals: Locals) {
        self.locals.replace(locals);
    }

    /// Carries a call out, or on.
    pub(super) fn call(&self, goal: Goal, caller: Caller, frame: &mut [u8], message: Message) -> Fate {
        match goal {
            Goal::Plugin(plugin) => return plugin.call(self, caller, frame, message),
            Goal::Local(local) => self.answer_here(local, caller, frame, message),
            Goal::Unknown => {
                let method = String::from_utf8_lossy(message.name(frame));
                caller.refuse(&format!("rpc: can't find service {method}"));
            }
        }
        Fate::Done
    }

    /// A call of one of our own methods. What is ready at once costs no task.
    fn answer_here(&self, local: Arc<dyn Local>, caller: Caller, frame: &[u8], message: Message) {
        let whole = String::from_utf8_lossy(message.name(frame)).into_owned();
        let (name, client) = (whole.clone(), Rc::clone(&caller.client));
        let body = Bytes::copy_from_slice(&frame[message.body()..]);
        let mut answer = Guarded(Box::pin(async move {
            let method = wire::split(&whole).map_or("", |(_, method)| method);
            let answer = match Codec::of(message.flags) {
                Ok(codec) => local.call(method, codec, body).await,
                Err(error) => Err(error.into()),
            };
            answer.map_err(|error| error.text(&whole))
        }));
        let deliver = move |answer: Result<Result<Bytes, String>, Panicked>| match answer {
            Ok(Ok(result)) => caller.answer(&result),
            Ok(Err(text)) => caller.refuse(&text),
            Err(Panicked) => caller.refuse("rpc: the call has failed by a defect of the server"),
        };
        match Pin::new(&mut answer).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => deliver(answer),
            Poll::Pending => {
                let tie = self.ties.tie(&name, Some(client));
                tokio::task::spawn_local(async move {
                    deliver(answer.await);
                    drop(tie);
                });
            }
        }
    }

    /// Whether connections whose calls have this prefix may be lent to that plugin: it still answers them, and nothing stops.
    pub(super) fn may_lend(&self, plugin: &Rc<Plugin>, prefix: &[u8]) -> bool {
        let owner = std::str::from_utf8(prefix).map_or(Goal::Unknown, |prefix| self.owner(prefix));
        !self.stopping.get() && matches!(owner, Goal::Plugin(owner) if Rc::ptr_eq(&owner, plugin))
    }

    /// Takes all lent connections back; returns when that is done. A plugin that does not hear keeps it waiting.
    pub(super) async fn take_all_back(&self) {
        let plugins: Vec<_> = self
            .plugins
            .borrow()
            .iter()
            .map(|(_, plugin)| Rc::clone(plugin))
            .collect();
        for plugin in plugins {
            plugin.take_back().await;
        }
    }

    /// A client has come.
    pub(super) fn welcome(&self, client: &Rc<Client>) {
        self.clients.borrow_mut().add(client);
    }

    /// Tells the plugins that a client has hung up.
    pub(super) fn hung_up(&self, client: &Client) {
        self.ties.look_again();
        for (_, plugin) in &*self.plugins.borrow() {
            plugin.hung_up(client);
        }
    }

    /// Keeps the table of prefixes as the fleet is, and a task for each plugin.
    pub(super) async fn follow(self: Rc<Self>, mut roster: RosterWatch) {
        for plugin in &*self.known.borrow() {
            tokio::task::spawn_local(Rc::clone(plugin).keep(Rc::clone(&self), roster.clone()));
        }
        loop {
            let picture = Arc::clone(&roster.borrow_and_update());
            for member in &picture.members {
                let mut known = self.known.borrow_mut();
                if !known.iter().any(|plugin| plugin.name == member.name) {
                    let plugin = Rc::new(Plugin::new(member.name.clone()));
                    known.push(Rc::clone(&plugin));
                    tokio::task::spawn_local(plugin.keep(Rc::clone(&self), roster.clone()));
                }
            }
            let before = self.plugins.replace(table(&picture, &self.known.borrow()));
            for (prefix, plugin) in before {
                let stays = matches!(self.owner(&prefix), Goal::Plugin(now) if Rc::ptr_eq(&now, &plugin));
                if !stays {
                    tokio::task::spawn_local(async move { plugin.take_back().await });
                }
            }
            if picture.stopping && !self.stopping.replace(true) {
                let gateway = Rc::clone(&self);
                tokio::task::spawn_local(async move { gateway.take_all_back().await });
            }
            if roster.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Which plugin answers which prefix. A plugin's own name is its before anybody else's wish.
fn table(roster: &Roster, known: &[Rc<Plugin>]) -> Vec<(String, Rc<Plugin>)> {
    let mut table: Vec<(String, Rc<Plugin>)> = Vec::new();
    let all = || {
        let pairs = roster.members.iter().filter_map(|member| {
            let plugin = known.iter().find(|plugin| plugin.name == member.name)?;
            Some((member, plugin))
        });
        pairs.flat_map(|(member, plugin)| member.prefixes.iter().map(move |prefix| (member, prefix, plugin)))
    };
    let own = all().filter(|(member, prefix, _)| member.name == **prefix);
    let others = all().filter(|(member, prefix, _)| member.name != **prefix);
    for (_, prefix, plugin) in own.chain(others) {
        if !table.iter().any(|(taken, _)| taken == prefix) {
            table.push((prefix.clone(), Rc::clone(plugin)));
        }
    }
    table
}
