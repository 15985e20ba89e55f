//! One worker's process: started with the pid handshake, kept under orders, ended with its whole process group.
//!
//! Everything here runs on the runtime of the main thread, because workers die with the thread that forked them.

use crate::{
    frame::STOP_COMMAND,
    relay::outbox::{Item, Outbox},
    telemetry::Tail,
};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    io,
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    process::Child,
    sync::watch,
    task::JoinHandle,
    time::{sleep_until, timeout},
};

/// How long a stranger that has inherited a dead worker's standard error is listened to.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Time between SIGTERM and SIGKILL.
pub const KILL_GRACE: Duration = Duration::from_millis(500);

/// What a worker's attendant is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Send the stop command; SIGTERM at the given time, SIGKILL soon after.
    Stop(Instant),
    /// SIGTERM at the given time, SIGKILL soon after: it has closed its channel.
    Terminate(Instant),
    /// SIGKILL now.
    Kill,
}

/// All orders so far as one state: a later one never weakens an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    stop: bool,
    terminate: Option<Instant>,
    kill: bool,
}

impl Orders {
    /// Adds an order; true if it changes anything.
    pub fn add(&mut self, order: Order) -> bool {
        let before = *self;
        match order {
            Order::Kill => self.kill = true,
            Order::Stop(at) | Order::Terminate(at) => {
                self.stop |= matches!(order, Order::Stop(_));
                self.terminate = Some(self.terminate.map_or(at, |old| old.min(at)));
            }
        }
        *self != before
    }

    /// True if it was to be killed at once.
    pub fn has_killed(self) -> bool {
        self.kill
    }
}

/// A running worker process.
#[derive(Debug)]
pub struct Process {
    pub(super) pid: u32,
    pub(super) child: Child,
    /// The task that logs its standard error.
    pub(super) log: JoinHandle<()>,
    /// The last of what it wrote there.
    pub(super) tail: Tail,
}

/// How a process ended, in words.
pub fn status_text(status: ExitStatus) -> String {
    match (status.code(), status.signal().and_then(|n| Signal::try_from(n).ok())) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by {signal}"),
        (None, None) => status.to_string(),
    }
}

impl Process {
    /// The last of what it wrote to its standard error, also what is still to come.
    pub fn tail(&self) -> Tail {
        self.tail.clone()
    }

    /// Its process id, which is also its process group's.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for the end and carries out orders meanwhile. When it returns no process of the group lives.
    pub async fn attend(mut self, outbox: &Arc<Outbox>, mut orders: watch::Receiver<Orders>) -> Option<ExitStatus> {
        let mut told = false;
        let mut terminated: Option<Instant> = None;
        loop {
            let now = Instant::now();
            let order = *orders.borrow_and_update();
            if order.stop && !told {
                told = true;
                outbox.send(Item::Control(&STOP_COMMAND));
            }
            let alarm = terminated.map(|at| at + KILL_GRACE).or(order.terminate);
            let due = alarm.is_some_and(|at| at <= now);
            if order.kill || (due && terminated.is_some()) {
                if due && told {
                    tracing::warn!(
                        target: "server", pid = self.pid, "worker doesn't respond on stop command, killing process"
                    );
                }
                self.signal(Signal::SIGKILL);
                let status = self.child.wait().await;
                return self.ended(status).await;
            }
            if due {
                self.signal(Signal::SIGTERM);
                terminated = Some(now);
                continue;
            }
            let alarm = async {
                match alarm {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                status = self.child.wait() => return self.ended(status).await,
                changed = orders.changed() => if changed.is_err() {
                    // The pool has let go of the worker.
                    self.signal(Signal::SIGKILL);
                    let status = self.child.wait().await;
                    return self.ended(status).await;
                },
                () = alarm => {}
            }
        }
    }

    /// The process has ended: what is left of its group goes too.
    async fn ended(&mut self, status: io::Result<ExitStatus>) -> Option<ExitStatus> {
        self.signal(Signal::SIGKILL);
        self.finish_log().await;
        status.ok()
    }

    /// Ends a process that is no worker: it may exit by itself for a while, then its group is killed.
    pub(super) async fn end_failed(&mut self, patience: Duration) -> Option<ExitStatus> {
        let by_itself = timeout(patience, self.child.wait()).await.ok().and_then(Result::ok);
        self.signal(Signal::SIGKILL);
        if by_itself.is_none() {
            let _ = self.child.wait().await;
        }
        self.finish_log().await;
        by_itself
    }

    /// Lets the last messages through; a stranger that still holds the pipe is not waited for.
    async fn finish_log(&mut self) {
        if timeout(LAST_WORDS, &mut self.log).await.is_err() {
            self.log.abort();
        }
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.pid)
            && pid > 0
        {
            // An empty group is what we want.
            let _ = killpg(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.id().is_some() {
            self.signal(Signal::SIGKILL);
        }
    }
}
