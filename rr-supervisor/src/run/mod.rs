//! The supervisor's loop. Everything that happens arrives here, one at a time: the end of a process, a question of a plugin, a signal, a
//! time limit.
//!
//! - [`order`]: what is started and stopped when, as plain data; [`phases`]: what that means for plugins and services
//! - [`bury`]: the end

mod bury;
mod order;
mod phases;

use crate::{
    adopt::memory::Memory,
    control::Question,
    endpoints::Endpoints,
    fleet::Fleet,
    notify::Systemd,
    plugins::lifecycle::Exit,
    reaper::Reaper,
    reload::Reload,
    renew::{self, Renewal, Wish, objection},
    service::Services,
};
use nix::unistd::Pid;
use order::{Next, Order, PHASES};
use rr_common::shutdown::{SAME_SIGNAL, Signals};
use std::{
    io,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::sleep_until,
};

/// How the server ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// In order, after a signal.
    Stopped,
    /// At once, by a second signal.
    Forced,
    /// It could not start.
    Failed(String),
}

/// What the loop tells whoever shows it to people.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Every plugin is ready.
    Ready,
    /// The stop has begun.
    Stopping,
    /// The working directory is another one.
    Moved,
}

/// The loop's surroundings.
#[derive(Debug)]
pub(crate) struct Run {
    /// The plugins.
    pub fleet: Fleet,
    /// The user's commands.
    pub services: Services,
    /// What this process serves itself.
    pub endpoints: Endpoints,
    /// The plugins' questions.
    pub questions: mpsc::Receiver<Question>,
    /// The end of every child.
    pub reaper: Reaper,
    /// What the next supervisor should know.
    pub memory: Memory,
    /// The way to become another program.
    pub renewal: Renewal,
    /// A program before this one in the same process has left everything to us.
    pub renewed: bool,
    /// Signals that mean stop.
    pub signals: Signals,
    /// The service manager.
    pub systemd: Systemd,
    /// `endure.grace_period`.
    pub grace: Duration,
    /// What makes a changed configuration take effect.
    pub reload: Reload,
}

impl Run {
    /// Starts the plugins, runs until a signal or until the start fails, and stops them.
    ///
    /// # Errors
    /// A signal handler cannot be installed.
    pub(crate) async fn until_the_end(mut self, mut notice: impl FnMut(Notice, &Fleet)) -> io::Result<Ended> {
        let mut hang_ups = signal(SignalKind::hangup())?;
        let mut renew = signal(SignalKind::user_defined2())?;
        // What came while this process became another program comes now.
        renew::unblock_signals();
        for (pid, exit) in self.reaper.reap() {
            self.ended(pid, exit);
        }
        let mut order = Order::Starting(0);
        // When the first signal came.
        let mut asked = None;
        self.start(PHASES[0], Instant::now());
        loop {
            let now = Instant::now();
            self.fleet.elapse(now);
            self.services.elapse(now);
            self.renewal.elapse(now);
            for loss in self.fleet.losses().into_iter().chain(self.services.losses()) {
                order.lost(loss, now, self.grace);
            }
            if order.is_stop() {
                self.fleet.tell_stop();
            }
            match order.next(|phase| self.has_settled(phase), |phase| self.is_down(phase), now) {
                Some(Next::Start(phase)) => {
                    self.start(phase, now);
                    continue;
                }
                Some(Next::Stop(phase, deadline)) => {
                    self.stop(phase, deadline, now);
                    continue;
                }
                Some(Next::Ready) => {
                    // What a program before us has left is as it was.
                    if !self.renewed {
                        self.fleet.renew_adopted(Instant::now());
                    }
                    if let Err(error) = self.systemd.ready() {
                        tracing::warn!(target: "supervisor", %error, "sdnotify failed");
                    }
                    // Whoever reads that it has started may ask at once.
                    self.fleet.publish();
                    notice(Notice::Ready, &self.fleet);
                    rr_common::memory::settle();
                    continue;
                }
                Some(Next::Over(ended)) => {
                    self.bury().await;
                    return Ok(ended);
                }
                None => {}
            }
            if self.endpoints.has_old() {
                let running = self.fleet.pids();
                self.endpoints.close_old(|pid| running.contains(&pid));
            }
            self.fleet.publish();
            self.fleet.show(&mut self.systemd);
            self.remember();
            let is_running = matches!(order, Order::Running);
            if is_running {
                self.follow_signal();
            }
            let (fleet, reload) = (&self.fleet, &self.reload);
            let in_force = &reload.current().json;
            self.renewal
                .proceed(in_force, || objection(fleet, reload, is_running), now);
            let wakes = [self.fleet.wake(), self.services.wake(), self.renewal.wake()];
            let wake = wakes.into_iter().flatten().min();
            tokio::select! {
                () = self.reaper.wait() => {
                    let ends = self.reaper.reap();
                    // What a plugin said before its end is heard first: why it cannot start, above all.
                    while let Ok(question) = self.questions.try_recv() {
                        self.answer(question, is_running);
                    }
                    while let Some(step) = self.reload.waiting() {
                        if self.take(step, Instant::now()) {
                            notice(Notice::Moved, &self.fleet);
                        }
                    }
                    for (pid, exit) in ends {
                        self.ended(pid, exit);
                    }
                }
                Some(order) = self.services.order() => self.services.obey(order, Instant::now()),
                Some(question) = self.questions.recv() => self.answer(question, is_running),
                Some(()) = renew.recv() => self.answer(Question::Renew(Wish { binary: None, told: None }), is_running),
                due = self.renewal.is_due() => match objection(&self.fleet, &self.reload, is_running) {
                    Some(_) => self.renewal.again(),
                    None => {
                        let reason = self.become_another(due);
                        self.renewal.call_off(&reason);
                    }
                },
                event = self.reload.next() => {
                    if self.proceed(event, Instant::now()) {
                        notice(Notice::Moved, &self.fleet);
                    }
                }
                () = self.signals.next() => {
                    if asked.is_some_and(|asked: Instant| asked.elapsed() < SAME_SIGNAL) {
                        continue;
                    }
                    if let Order::Stopping { failure, .. } = order {
                        self.fleet.kill();
                        self.services.kill();
                        self.bury().await;
                        return Ok(failure.map_or(Ended::Forced, Ended::Failed));
                    }
                    notice(Notice::Stopping, &self.fleet);
                    self.systemd.stopping(self.grace);
                    asked = Some(Instant::now());
                    self.reload.call_off();
                    self.renewal.call_off("the server is stopping");
                    order = Order::stop(Instant::now() + self.grace, None);
                }
                Some(()) = hang_ups.recv() => self.hang_up(),
                () = self.systemd.beat() => {}
                () = until(wake) => {}
            }
        }
    }

    /// Answers a question of a plugin or an operator.
    fn answer(&mut self, question: Question, is_running: bool) {
        let now = Instant::now();
        match question {
            Question::Renew(wish) => self.renewal.begin(wish, now),
            Question::Reload { dry_run, told } if is_running => self.reload(dry_run, Some(told)),
            Question::Reload { told, .. } => {
                let _ = told.send(Err("the server is starting or stopping".into()));
            }
            question => self.fleet.answer(question, now),
        }
    }

    /// Keeps what the next supervisor should know.
    pub(crate) fn remember(&self) {
        self.memory.change(|facts| {
            facts.starts = self.fleet.starts();
            facts.deaths = self.fleet.deaths();
            facts.services = self.services.created();
        });
        self.memory.save();
    }

    /// A child has ended.
    fn ended(&mut self, pid: Pid, exit: Exit) {
        let now = Instant::now();
        self.reload.ended(pid, exit);
        self.renewal.ended(pid, exit, now);
        self.fleet.ended(pid, exit, now);
        self.services.ended(pid, exit, now);
    }
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}
