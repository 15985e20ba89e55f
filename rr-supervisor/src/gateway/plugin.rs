//! A plugin as the callers see it: the way to it while it runs, and the calls that wait while it does not.

use super::{
    Gateway,
    client::{Caller, Client},
    intake::Fate,
    link::Link,
    outlet::Outlet,
};
use crate::{
    control::Question,
    fleet::{Calls, Member, Roster, RosterWatch, State},
};
use rr_common::{
    control::{MAX_MESSAGE, v1},
    rpc::{
        Quiet,
        wire::{self, Message},
    },
};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    net::UnixStream,
    sync::Notify,
    time::{sleep, sleep_until},
};
use tonic::transport::Channel;
use v1::plugin_client::PluginClient;

/// The longest that a call waits for its plugin.
const PATIENCE: Duration = Duration::from_secs(10);

/// Calls, and their bytes, that wait for one plugin.
const WAITING: usize = 1024;
const WAITING_BYTES: usize = wire::MAX_FRAME;

/// The wait before a process that should run, but does not let us in, is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// One plugin.
#[derive(Debug)]
pub(super) struct Plugin {
    pub(super) name: String,
    way: RefCell<Way>,
    outlook: Cell<Outlook>,
    waiting: RefCell<VecDeque<Waiting>>,
    waiting_bytes: Cell<usize>,
    /// A call waits that was not waiting before.
    more: Notify,
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
    /// It comes when it is woken.
    Asleep,
    /// It will not come.
    Gone(State),
}

/// A call that waits for the plugin.
#[derive(Debug)]
struct Waiting {
    caller: Caller,
    frame: Vec<u8>,
    message: Message,
    until: Instant,
}

impl Outlook {
    fn of(member: Option<&Member>, stopping: bool) -> Self {
        let Some(member) = member else {
            return Self::Gone(State::Down);
        };
        match member.state {
            State::Failed | State::Stopping => Self::Gone(member.state),
            State::Down if stopping => Self::Gone(State::Down),
            State::Down if member.on_demand => Self::Asleep,
            state => Self::Coming(state),
        }
    }

    fn text(self, plugin: &str) -> String {
        let state = match self {
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
            outlook: Cell::new(Outlook::Coming(State::Down)),
            waiting: RefCell::default(),
            waiting_bytes: Cell::default(),
            more: Notify::new(),
        }
    }

    /// The plugin's connection, if it has to read before it is given more.
    pub(super) fn full(&self) -> Option<Rc<Outlet>> {
        match &*self.way.borrow() {
            Way::Frames(link) if link.outlet.is_full() => Some(Rc::clone(&link.outlet)),
            _ => None,
        }
    }

    /// Takes a call.
    pub(super) fn call(self: &Rc<Self>, gateway: &Gateway, caller: Caller, frame: &mut [u8], message: Message) -> Fate {
        let way = self.way.borrow().clone();
        match way {
            Way::Frames(link) => return link.forward(caller, frame),
            Way::Unary(channel) => drop(tokio::task::spawn_local(unary(
                channel,
                caller,
                frame.to_vec(),
                message,
            ))),
            Way::None => self.wait(gateway, caller, frame, message),
        }
        Fate::Done
    }

    /// Answers the calls that the process has with this text.
    pub(super) fn refuse_running(&self, text: &str) {
        if let Way::Frames(link) = &*self.way.borrow() {
            link.refuse_running(text);
        }
    }

    /// A client has hung up; the process is told of the calls that it has.
    pub(super) fn hung_up(&self, client: &Client) {
        if let Way::Frames(link) = &*self.way.borrow() {
            link.hung_up(client);
        }
    }

    fn wait(&self, gateway: &Gateway, caller: Caller, frame: &[u8], message: Message) {
        let outlook = self.outlook.get();
        if let Outlook::Gone(_) = outlook {
            return caller.refuse(&outlook.text(&self.name));
        }
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= WAITING || self.waiting_bytes.get() + frame.len() > WAITING_BYTES {
            drop(waiting);
            return caller.refuse(&format!("{}, and too many calls wait for it", outlook.text(&self.name)));
        }
        if outlook == Outlook::Asleep {
            // The next picture of the fleet shows it starting; if this is lost the next call asks again.
            let plugin = self.name.clone();
            if gateway.questions.try_send(Question::Wake { plugin }).is_ok() {
                self.outlook.set(Outlook::Coming(State::Starting));
            }
        }
        self.waiting_bytes.set(self.waiting_bytes.get() + frame.len());
        waiting.push_back(Waiting {
            caller,
            frame: frame.to_vec(),
            message,
            until: Instant::now() + PATIENCE,
        });
        self.more.notify_one();
    }

    /// Lends a connection to it, all of whose calls have this prefix; false if it takes none now.
    pub(super) fn lend(&self, client: &Rc<Client>, prefix: &[u8]) -> bool {
        match &*self.way.borrow() {
            Way::Frames(link) => link.lend(client, prefix),
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

    /// Follows the plugin's life, and keeps the way to it open.
    pub(super) async fn keep(self: Rc<Self>, gateway: Rc<Gateway>, mut roster: RosterWatch) {
        let mut lost: Option<(Calls, Instant)> = None;
        loop {
            let mut retry = false;
            let next = {
                let roster = roster.borrow_and_update();
                self.look(&roster)
            };
            match next {
                Some(Target::Socket(calls)) if lost.as_ref().is_some_and(|lost| is_recent(lost, &calls)) => {
                    retry = true
                }
                Some(Target::Socket(calls)) => match connect(&calls.path).await {
                    Ok(stream) => {
                        let link = Link::new(stream, &gateway.load, calls.leases);
                        self.open(&gateway, Way::Frames(Rc::clone(&link)));
                        let text = format!("rpc: the plugin {} has ended before it answered", self.name);
                        let closed = link.serve(&gateway, &text);
                        closed.await;
                        *self.way.borrow_mut() = Way::None;
                        // Most likely the process is ending, and the next picture says so.
                        lost = Some((calls, Instant::now()));
                        continue;
                    }
                    Err(_) => retry = true,
                },
                Some(Target::Channel(channel)) => self.open(&gateway, Way::Unary(channel)),
                None => *self.way.borrow_mut() = Way::None,
            }
            if self.give_up(Instant::now()) && roster.has_changed().is_err() {
                return;
            }
            let first = self.waiting.borrow().front().map(|waiting| waiting.until);
            tokio::select! {
                changed = roster.changed() => if changed.is_err() { return },
                () = sleep(RETRY), if retry => {}
                () = until(first) => {}
                () = self.more.notified() => {}
            }
        }
    }

    /// Takes the picture in; says how the plugin can be reached.
    fn look(&self, roster: &Roster) -> Option<Target> {
        let member = roster.get(&self.name);
        self.outlook.set(Outlook::of(member, roster.stopping));
        let member = member.filter(|member| matches!(member.state, State::Running | State::Stopping))?;
        match &member.calls {
            Some(calls) => Some(Target::Socket(calls.clone())),
            None => member.channel.clone().map(Target::Channel),
        }
    }

    /// There is a way: what waited goes first.
    fn open(self: &Rc<Self>, gateway: &Gateway, way: Way) {
        *self.way.borrow_mut() = way;
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        self.waiting_bytes.set(0);
        for Waiting {
            caller,
            mut frame,
            message,
            ..
        } in waiting
        {
            let client = Rc::clone(&caller.client);
            if let Fate::To(outlet) = self.call(gateway, caller, &mut frame, message) {
                outlet.send(&frame);
            }
            if client.has_hung_up() {
                self.hung_up(&client);
            }
        }
    }

    /// Refuses the calls that have waited for too long, or all when nothing is to come.
    fn give_up(&self, now: Instant) -> bool {
        let outlook = self.outlook.get();
        let hopeless = matches!(outlook, Outlook::Gone(_)) && matches!(*self.way.borrow(), Way::None);
        let mut waiting = self.waiting.borrow_mut();
        while waiting.front().is_some_and(|first| hopeless || first.until <= now) {
            if let Some(first) = waiting.pop_front() {
                self.waiting_bytes.set(self.waiting_bytes.get() - first.frame.len());
                first.caller.refuse(&outlook.text(&self.name));
            }
        }
        hopeless
    }
}

/// Where a running plugin takes calls.
enum Target {
    Socket(Calls),
    Channel(Channel),
}

/// Whether this connection ended just now: a process that is about to end would let us in once more, and answer nothing.
fn is_recent((lost, when): &(Calls, Instant), calls: &Calls) -> bool {
    lost == calls && when.elapsed() < RETRY
}

async fn connect(path: &Path) -> io::Result<Quiet> {
    Quiet::unix(UnixStream::connect(path).await?)
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end.into()).await,
        None => std::future::pending().await,
    }
}

/// One call over the control contract.
async fn unary(channel: Channel, caller: Caller, frame: Vec<u8>, message: Message) {
    let whole = String::from_utf8_lossy(message.name(&frame)).into_owned();
    let method = wire::split(&whole).map_or("", |(_, method)| method).to_owned();
    let mut client = PluginClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    let request = v1::CallRequest {
        method,
        codec: message.codec_bit().into(),
        body: frame[message.body()..].to_vec(),
    };
    match client.call(request).await {
        Ok(answer) => caller.answer(&answer.into_inner().body),
        Err(status) if status.code() == tonic::Code::Unimplemented => {
            caller.refuse(&format!("rpc: can't find method {whole}"));
        }
        Err(status) => caller.refuse(status.message()),
    }
}
