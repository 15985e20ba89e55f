//! A plugin's life as its callers see it: the way to its process is kept open, and what has waited takes it.

use super::{Outlook, Plugin, Way};
use crate::{
    fleet::{Calls, Roster, RosterWatch, State},
    gateway::{Gateway, intake::Fate, link::Link, waiting::Waiting},
};
use rr_common::rpc::Quiet;
use std::{
    io,
    path::Path,
    rc::Rc,
    task::Waker,
    time::{Duration, Instant},
};
use tokio::{
    net::UnixStream,
    task::{JoinHandle, spawn_local},
    time::{sleep, sleep_until},
};
use tonic::transport::Channel;

/// The wait before a process that should run, but does not let us in, is tried again.
pub(super) const RETRY: Duration = Duration::from_millis(50);

/// A connection to a process, and the task that brings its answers.
#[derive(Debug)]
struct Line {
    link: Rc<Link>,
    served: JoinHandle<()>,
}

impl Plugin {
    /// Follows the plugin's life, and keeps the way to it open. When its process is replaced the line to the old one is served on,
    /// to its end.
    pub(in crate::gateway) async fn keep(self: Rc<Self>, gateway: Rc<Gateway>, mut roster: RosterWatch) {
        let mut line: Option<Line> = None;
        // Those that the program before has left.
        for link in self.links.borrow().clone() {
            let is_present = matches!(&*self.way.borrow(), Way::Frames(present) if Rc::ptr_eq(present, &link));
            let left = self.serve(&gateway, link);
            if is_present {
                line = Some(left);
            }
        }
        let mut lost: Option<(Calls, Instant)> = None;
        loop {
            let mut retry = false;
            let (outlook, next) = {
                let roster = roster.borrow_and_update();
                self.look(&roster)
            };
            // Where a paused process was replaced calls go on to wait until there is a way to the next one, and not to the old one.
            let has_way = |calls: &Calls| line.as_ref().is_some_and(|line| line.link.calls_at == *calls);
            let is_late = self.is_held() && matches!(&next, Some(Target::Socket(calls)) if !has_way(calls));
            if !is_late {
                self.outlook.set(outlook);
            }
            match next {
                Some(Target::Socket(calls)) if has_way(&calls) => {}
                Some(Target::Socket(calls)) if lost.as_ref().is_some_and(|lost| is_recent(lost, &calls)) => {
                    retry = true
                }
                Some(Target::Socket(calls)) => match connect(&calls.path).await {
                    Ok(stream) => {
                        let link = Rc::new(Link::new(stream, calls, &gateway.load));
                        self.connected(Rc::clone(&link));
                        self.outlook.set(outlook);
                        line = Some(self.serve(&gateway, link));
                        // The picture may have changed meanwhile.
                        continue;
                    }
                    Err(_) => {
                        self.outlook.set(outlook);
                        retry = true;
                    }
                },
                Some(Target::Channel(channel)) => *self.way.borrow_mut() = Way::Unary(channel),
                None if line.is_none() => *self.way.borrow_mut() = Way::None,
                None => {}
            }
            self.go_on(&gateway);
            if self.give_up(Instant::now()) && roster.has_changed().is_err() {
                return;
            }
            let first = self.waiting.borrow().first_until().filter(|_| !self.is_held());
            tokio::select! {
                changed = roster.changed() => if changed.is_err() { return },
                () = ended(line.as_mut()) => {
                    if let Some(Line { link, .. }) = line.take() {
                        // Most likely the process is ending, and the next picture says so.
                        lost = Some((link.calls_at.clone(), Instant::now()));
                    }
                }
                () = sleep(RETRY), if retry => {}
                () = until(first) => {}
                () = self.more.notified() => {}
            }
        }
    }

    /// Calls go over this connection from now on.
    pub(in crate::gateway) fn connected(&self, link: Rc<Link>) {
        self.links.borrow_mut().push(Rc::clone(&link));
        self.way.replace(Way::Frames(link));
    }

    /// Serves a link to its end.
    fn serve(self: &Rc<Self>, gateway: &Rc<Gateway>, link: Rc<Link>) -> Line {
        let serving = Rc::clone(&link).serve(Rc::clone(gateway), Rc::clone(self));
        Line {
            link,
            served: spawn_local(serving),
        }
    }

    /// A link has ended.
    pub(in crate::gateway) fn forget(&self, link: &Rc<Link>) {
        let mut way = self.way.borrow_mut();
        if matches!(&*way, Way::Frames(present) if Rc::ptr_eq(present, link)) {
            *way = Way::None;
        }
        drop(way);
        self.links.borrow_mut().retain(|known| !Rc::ptr_eq(known, link));
    }

    /// Takes the picture in; says what calls may hope for, and how the plugin can be reached.
    fn look(self: &Rc<Self>, roster: &Roster) -> (Outlook, Option<Target>) {
        let member = roster.get(&self.name);
        let outlook = Outlook::of(member, roster.stopping);
        if outlook == Outlook::Held && !self.is_held() {
            // What is lent would go on asking the process that is paused.
            self.outlook.set(outlook);
            let plugin = Rc::clone(self);
            spawn_local(async move { plugin.take_back().await });
        }
        let member = member.filter(|member| matches!(member.state, State::Running | State::Stopping));
        let target = member.and_then(|member| match &member.calls {
            Some(calls) => Some(Target::Socket(calls.clone())),
            None => member.channel.clone().map(Target::Channel),
        });
        (outlook, target)
    }

    /// If there is a way, what has waited takes it.
    fn go_on(self: &Rc<Self>, gateway: &Gateway) {
        if self.is_held() {
            return;
        }
        self.held_up.borrow_mut().drain(..).for_each(Waker::wake);
        if self.waiting.borrow().is_empty() || matches!(*self.way.borrow(), Way::None) {
            return;
        }
        let waiting = self.waiting.borrow_mut().take_all();
        for (arrival, waiting) in waiting {
            let Waiting {
                caller,
                mut frame,
                message,
                ..
            } = waiting;
            let client = Rc::clone(&caller.client);
            if let Fate::To(outlet) = self.pass_on(gateway, caller, arrival, &mut frame, message) {
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
        let late = |waiting: &Waiting| hopeless || waiting.until <= now;
        while !self.is_held()
            && let Some(first) = self.waiting.borrow_mut().take_first_if(late)
        {
            first.caller.refuse(&outlook.text(&self.name));
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

async fn ended(line: Option<&mut Line>) {
    match line {
        // However it has ended.
        Some(line) => drop((&mut line.served).await),
        None => std::future::pending().await,
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end.into()).await,
        None => std::future::pending().await,
    }
}
