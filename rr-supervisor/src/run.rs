//! The supervisor's loop, and the order in which the fleet starts and stops.
//!
//! Everything that happens arrives here, one at a time: the end of a process, a question of a plugin, a signal, a time
//! limit. [`Order`] then looks at the fleet and decides what comes next.

use crate::{
    adopt::memory::Memory,
    control::Question,
    deadline,
    endpoints::Endpoints,
    fleet::{Fleet, Loss},
    gateway::Frozen,
    notify::Systemd,
    plugins::{catalog::Role, lifecycle::Exit},
    reaper::{self, Reaper},
    reload::Reload,
    renew::{self, Due, Renewal, Wish},
    service::{self, Services},
};
use nix::unistd::Pid;
use rr_common::shutdown::{SAME_SIGNAL, Signals};
use std::{
    convert::Infallible,
    io,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::sleep_until,
};

/// How long the kernel is given to end processes that were killed.
const LAST_REAP: Duration = Duration::from_secs(1);

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

/// What is started and stopped together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The plugins of a role.
    Plugins(Role),
    /// The user's commands.
    Services,
}

/// All phases in the order of the start; stopped in the reverse one. Services may call what holds state, and what takes or fetches work
/// may need a service.
const PHASES: [Phase; 4] = [
    Phase::Plugins(Role::State),
    Phase::Services,
    Phase::Plugins(Role::Consumer),
    Phase::Plugins(Role::Ingress),
];

/// Where in its life the server is.
#[derive(Debug)]
enum Order {
    /// The phases before this one have been started.
    Starting(usize),
    /// All is up.
    Running,
    /// The stop has begun.
    Stopping {
        /// When everything must have ended.
        end: Instant,
        /// The phase that was asked last.
        asked: Option<Phase>,
        /// The reason, if it is no orderly stop.
        failure: Option<String>,
    },
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
            match order.next(&mut self, now) {
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
                Some(Next::Again) => continue,
                Some(Next::Over(ended)) => {
                    self.bury().await;
                    self.fleet.dissolve(LAST_REAP);
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
                        self.fleet.dissolve(LAST_REAP);
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

    /// Becomes another program. Comes back with the reason if that fails; nothing has changed then.
    fn become_another(&mut self, due: Due) -> String {
        let Due { binary, reload, frozen } = due;
        let Frozen {
            mut baggage,
            thaw: _thaw,
        } = frozen;
        let mut attempt = || -> io::Result<Infallible> {
            self.remember();
            let (logs, _hold) = self.fleet.hold_log()?;
            let mut kept = renew::Kept {
                renewals: renew::history().0 + 1,
                door: Some(baggage.add(self.renewal.door.try_clone()?)),
                reload,
                ..renew::Kept::default()
            };
            let now = Instant::now();
            self.fleet.pack(logs, &mut baggage, &mut kept)?;
            self.endpoints.pack(&mut baggage, now)?;
            self.reload.pack(&mut baggage)?;
            self.services.pack(&mut baggage, now)?;
            baggage.put(renew::ROOM, &kept)?;
            renew::block_signals()?;
            let failed = renew::execute(&binary, &self.renewal.origin, &baggage);
            renew::unblock_signals();
            failed
        };
        match attempt() {
            Err(error) => format!("{}: {error}", binary.display()),
        }
    }

    /// Keeps what the next supervisor should know.
    fn remember(&self) {
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

    fn start(&mut self, phase: Phase, now: Instant) {
        match phase {
            Phase::Plugins(role) => self.fleet.start(role, now),
            Phase::Services => self.services.start(now),
        }
        self.systemd.starting(self.fleet.ready_by(), now);
    }

    fn has_settled(&self, phase: Phase) -> bool {
        match phase {
            Phase::Plugins(role) => self.fleet.has_settled(role),
            // That they have been started is all that is known of them.
            Phase::Services => true,
        }
    }

    fn stop(&mut self, phase: Phase, deadline: Instant, now: Instant) {
        match phase {
            Phase::Plugins(role) => self.fleet.stop(role, deadline, now),
            Phase::Services => self.services.stop(deadline, now),
        }
    }

    fn is_down(&self, phase: Phase) -> bool {
        match phase {
            Phase::Plugins(role) => self.fleet.is_down(role),
            Phase::Services => self.services.is_down(),
        }
    }

    /// Waits a moment for the last ends, and kills what dead plugins left behind.
    async fn bury(&mut self) {
        let deadline = Instant::now() + LAST_REAP;
        loop {
            for (pid, exit) in self.reaper.reap() {
                self.ended(pid, exit);
            }
            if (self.fleet.pids().is_empty() && !self.services.have_processes()) || Instant::now() >= deadline {
                break;
            }
            tokio::select! {
                () = self.reaper.wait() => {}
                // The end of those that are no children of ours.
                Some(question) = self.questions.recv() => self.fleet.answer(question, Instant::now()),
                () = until(Some(deadline)) => {}
            }
        }
        reaper::kill_orphans(&[], reaper::WORKER, None);
        reaper::kill_orphans(&[], service::MARK, None);
        self.services.last_words(LAST_REAP).await;
        self.fleet.last_words(LAST_REAP).await;
    }
}

/// Why this process cannot become another program now.
fn objection(fleet: &Fleet, reload: &Reload, is_running: bool) -> Option<String> {
    match is_running {
        true if reload.is_running() => Some("a reload is under way".to_owned()),
        true => fleet.unsettled(),
        false => Some("the server is starting or stopping".to_owned()),
    }
}

/// What the order says.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Everything is up now.
    Ready,
    /// Something was begun; look again.
    Again,
    /// Nothing is left to do.
    Over(Ended),
}

impl Order {
    fn stop(end: Instant, failure: Option<String>) -> Self {
        Self::Stopping {
            end,
            asked: None,
            failure,
        }
    }

    /// A plugin was lost: fatal during the start, otherwise its lifecycle sees to it.
    fn lost(&mut self, loss: Loss, now: Instant, grace: Duration) {
        if loss.fatal && !matches!(self, Self::Stopping { .. }) {
            let reason = format!("the plugin {} cannot start: {}", loss.name, loss.reason);
            *self = Self::stop(now + grace, Some(reason));
        }
    }

    fn next(&mut self, run: &mut Run, now: Instant) -> Option<Next> {
        match self {
            Self::Starting(step) => {
                if !run.has_settled(PHASES[*step]) {
                    return None;
                }
                *step += 1;
                match PHASES.get(*step) {
                    Some(phase) => {
                        run.start(*phase, now);
                        Some(Next::Again)
                    }
                    None => {
                        *self = Self::Running;
                        Some(Next::Ready)
                    }
                }
            }
            Self::Running => None,
            Self::Stopping { end, asked, failure } => {
                run.fleet.tell_stop();
                let phases = PHASES.into_iter().rev();
                let left: Vec<Phase> = phases.filter(|phase| !run.is_down(*phase)).collect();
                let Some((phase, later)) = left.split_first() else {
                    return Some(Next::Over(match failure.take() {
                        Some(reason) => Ended::Failed(reason),
                        None => Ended::Stopped,
                    }));
                };
                if *asked == Some(*phase) {
                    return None;
                }
                *asked = Some(*phase);
                let after = u32::try_from(later.len()).unwrap_or_default();
                run.stop(*phase, deadline::of_phase(now, *end, after), now);
                Some(Next::Again)
            }
        }
    }
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}
