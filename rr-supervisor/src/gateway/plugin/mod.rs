//! A plugin as the callers see it: the way to it while it runs, and the calls that wait while it does not.
//!
//! - [`keep`]: follows its life
//! - [`kept`]: all of it for the next program of this process
//! - [`unary`]: a call over the control contract

mod keep;
mod kept;
mod unary;

use super::{
    Gateway,
    caller::Caller,
    client::Client,
    intake::Fate,
    link::Link,
    outlet::Outlet,
    waiting::{PATIENCE, Queue, Waiting},
};
use crate::{
    control::Question,
    fleet::{Member, State},
};
use rr_common::rpc::wire::{self, Look, Message};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
    time::Instant,
};
use tokio::{sync::Notify, task::spawn_local};
use tonic::transport::Channel;

/// One that is never paused gives nothing back; of one that does all the time, no call goes round for ever.
const MOST_GIVEN_BACK: u16 = 10_000;

/// One plugin.
#[derive(Debug)]
pub(super) struct Plugin {
    pub(super) name: String,
    way: RefCell<Way>,
    /// All connections that are served: besides the present one those to processes that are to go.
    links: RefCell<Vec<Rc<Link>>>,
    outlook: Cell<Outlook>,
    waiting: RefCell<Queue>,
    /// Calls that have arrived.
    arrivals: Cell<u64>,
    /// A call waits that was not waiting before.
    more: Notify,
    /// Clients whose next call has no room until its process has been replaced.
    held_up: RefCell<Vec<Waker>>,
}

/// What has to take something before a client's next call is taken on.
#[derive(Clone, Debug)]
pub(super) enum Full {
    /// The process has to read.
    Outlet(Rc<Outlet>),
    /// The plugin is being replaced, and much waits already.
    Held(Rc<Plugin>),
}

impl Full {
    /// Whether it still has to.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Outlet(outlet) => outlet.is_full(),
            Self::Held(plugin) => plugin.is_held() && plugin.waiting.borrow().is_filled(),
        }
    }

    /// Wakes this task when it has.
    pub(super) fn wait(&self, waker: &Waker) {
        match self {
            Self::Outlet(outlet) => outlet.wait(waker),
            Self::Held(plugin) => {
                let mut waiting = plugin.held_up.borrow_mut();
                if !waiting.iter().any(|known| known.will_wake(waker)) {
                    waiting.push(waker.clone());
                }
            }
        }
    }
}

/// How its methods are called now.
#[derive(Clone, Debug)]
enum Way {
    /// Over its connection for calls.
    Frames(Rc<Link>),
    /// By the contract's `Call`, since it has no such connection.
    Unary(Channel),
    /// Not at all.
    None,
}

/// What a call may hope for that finds no way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outlook {
    /// It will come, or is about to.
    Coming(State),
    /// Its process is being replaced: calls wait, however long that takes.
    Held,
    /// It comes when it is woken.
    Asleep,
    /// It will not come.
    Gone(State),
}

impl Outlook {
    fn of(member: Option<&Member>, stopping: bool) -> Self {
        let Some(member) = member else {
            return Self::Gone(State::Down);
        };
        match member.state {
            _ if member.held && !stopping => Self::Held,
            State::Failed | State::Stopping => Self::Gone(member.state),
            State::Down if stopping => Self::Gone(State::Down),
            State::Down if member.on_demand => Self::Asleep,
            state => Self::Coming(state),
        }
    }

    fn text(self, plugin: &str) -> String {
        let state = match self {
            Self::Held => "is being replaced",
            Self::Asleep | Self::Coming(State::Down | State::Starting) => "is starting",
            Self::Coming(State::Restarting) => "is restarting",
            Self::Coming(_) => "does not answer",
            Self::Gone(State::Failed) => "has failed too often and was given up",
            Self::Gone(_) => "has stopped",
        };
        format!("rpc: the plugin {plugin} {state}")
    }
}

impl Plugin {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            way: RefCell::new(Way::None),
            links: RefCell::default(),
            outlook: Cell::new(Outlook::Coming(State::Down)),
            waiting: RefCell::default(),
            arrivals: Cell::default(),
            more: Notify::new(),
            held_up: RefCell::default(),
        }
    }

    /// What has to take something before the next call is taken on.
    pub(super) fn full(self: &Rc<Self>) -> Option<Full> {
        let full = match &*self.way.borrow() {
            _ if self.is_held() => Full::Held(Rc::clone(self)),
            Way::Frames(link) => Full::Outlet(Rc::clone(&link.outlet)),
            _ => return None,
        };
        full.is_full().then_some(full)
    }

    /// Takes a call.
    pub(super) fn call(self: &Rc<Self>, gateway: &Gateway, caller: Caller, frame: &mut [u8], message: Message) -> Fate {
        let arrival = self.arrives();
        if self.is_held() {
            self.queue(caller, arrival, frame.to_vec(), message);
            return Fate::Done;
        }
        self.pass_on(gateway, caller, arrival, frame, message)
    }

    /// The next place among all calls.
    pub(super) fn arrives(&self) -> u64 {
        let arrival = self.arrivals.get() + 1;
        self.arrivals.set(arrival);
        arrival
    }

    /// Takes a call that the process gives back, since it is about to be replaced.
    pub(super) fn ask_next(&self, mut caller: Caller, arrival: u64, frame: &mut [u8]) {
        caller.given_back += 1;
        if caller.given_back > MOST_GIVEN_BACK {
            return caller.refuse(&format!("rpc: the plugin {} does not take the call", self.name));
        }
        wire::make_call(frame);
        match wire::look(frame) {
            Ok(Look::Whole(message)) => self.queue(caller, arrival, frame.to_vec(), message),
            _ => caller.refuse("rpc: the plugin's answer is ill-formed"),
        }
    }

    fn is_held(&self) -> bool {
        self.outlook.get() == Outlook::Held
    }

    fn pass_on(
        self: &Rc<Self>,
        gateway: &Gateway,
        caller: Caller,
        arrival: u64,
        frame: &mut [u8],
        message: Message,
    ) -> Fate {
        let way = self.way.borrow().clone();
        match way {
            Way::Frames(link) => return link.forward(caller, arrival, frame),
            Way::Unary(channel) => {
                let method = String::from_utf8_lossy(&caller.method);
                let tie = gateway.ties.tie(&method, Some(Rc::clone(&caller.client)));
                let call = unary::Call {
                    caller,
                    arrival,
                    frame: frame.to_vec(),
                    message,
                };
                drop(spawn_local(call.make(Rc::clone(self), channel, tie)));
            }
            Way::None => self.wait(gateway, caller, arrival, frame, message),
        }
        Fate::Done
    }

    /// A client has hung up; the process is told of the calls that it has.
    pub(super) fn hung_up(&self, client: &Client) {
        if let Way::Frames(link) = &*self.way.borrow() {
            link.hung_up(client);
        }
    }

    fn wait(&self, gateway: &Gateway, caller: Caller, arrival: u64, frame: &[u8], message: Message) {
        let outlook = self.outlook.get();
        if let Outlook::Gone(_) = outlook {
            return caller.refuse(&outlook.text(&self.name));
        }
        if !self.waiting.borrow().has_room(frame.len()) {
            return caller.refuse(&format!("{}, and too many calls wait for it", outlook.text(&self.name)));
        }
        if outlook == Outlook::Asleep {
            // The next picture of the fleet shows it starting; if this is lost the next call asks again.
            let plugin = self.name.clone();
            if gateway.questions.try_send(Question::Wake { plugin }).is_ok() {
                self.outlook.set(Outlook::Coming(State::Starting));
            }
        }
        self.queue(caller, arrival, frame.to_vec(), message);
    }

    pub(super) fn queue(&self, caller: Caller, arrival: u64, frame: Vec<u8>, message: Message) {
        let waiting = Waiting {
            caller,
            frame,
            message,
            until: Instant::now() + PATIENCE,
        };
        self.waiting.borrow_mut().add(arrival, waiting);
        self.more.notify_one();
    }

    /// Lends a connection to it, all of whose calls have this prefix; false if it takes none now.
    pub(super) fn lend(&self, client: &Rc<Client>, prefix: &[u8]) -> bool {
        match &*self.way.borrow() {
            Way::Frames(link) if !self.is_held() => link.lend(client, prefix),
            _ => false,
        }
    }

    /// Takes the connections back that are lent to it; returns when that is done, or when its process has ended. Calls that come
    /// after this go the usual way, until a connection is lent again.
    pub(super) async fn take_back(&self) {
        let way = self.way.borrow().clone();
        if let Way::Frames(link) = way {
            link.take_back().await;
        }
    }
}
