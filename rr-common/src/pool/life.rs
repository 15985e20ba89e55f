//! One worker from its start to the end of its process: the task that attends to it on the main thread's runtime.

use super::{
    Describe,
    deaths::{Cause, WorkerDeath},
    dispatch::Next,
    exchange::Fate,
    reader::Reader,
    shared::{Hand, Shared, Worker},
    state::{Id, Why},
};
use crate::{
    oom,
    relay::{self, frames::Frames, hub::Hub, outbox::Outbox},
    worker::{
        Payload,
        boot::{self, BootError},
        process::{Order, Orders, status_text},
        recipe::Recipe,
    },
};
use nix::sys::signal::Signal;
use std::{
    os::unix::process::ExitStatusExt,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};
use tokio::{runtime::Handle, sync::watch, time::timeout};

/// How long a dead worker's channel may stay open (a stranger has inherited it).
const CHANNEL: Duration = Duration::from_secs(1);

/// What every worker of a pool is made from.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) recipe: Recipe,
    pub(super) hub: Option<Hub>,
    pub(super) runtimes: Vec<Handle>,
    pub(super) describe: Option<Describe>,
    pub(super) oom: Mutex<oom::Watch>,
}

/// Starts a worker, attends to it, and reports its end.
pub(super) async fn live(shared: Arc<Shared>, setup: Arc<Setup>, id: Id) {
    let mut stopping = shared.deadline.subscribe();
    let mut renewals = shared.renewals.subscribe();
    let generation = shared.with(|core| core.slot(id).map_or(0, |slot| slot.generation));
    let booted = tokio::select! {
        booted = boot::boot(&setup.recipe, setup.hub.as_ref(), &shared.mode, shared.allocate_timeout) => booted,
        _ = stopping.wait_for(Option::is_some) => Err(BootError("the pool is stopping".into())),
        _ = renewals.wait_for(|newest| *newest > generation) => Err(BootError("its code has changed".into())),
    };
    let (process, ends) = match booted {
        Ok(booted) => booted,
        Err(error) => {
            let unwanted = shared.deadline.borrow().is_some() || shared.with(|core| core.is_unwanted(id));
            // Code that does not start is told once for each time it has changed.
            let known = shared.with(|core| core.is_broken() && core.last_error == error.0);
            // A pool that does not start at all says so by itself.
            if !unwanted && !known && shared.started.load(Ordering::Relaxed) {
                tracing::error!(target: "server", internal_event_name = "EventWorkerError", %error, "failed to allocate the worker");
            }
            shared.with(|core| core.boot_failed(id, &error.0, Instant::now()));
            if !unwanted {
                shared.remember(unborn(error.0));
            }
            return;
        }
    };
    let tail = process.tail();
    let pid = process.pid();
    let runtime = &setup.runtimes[id.serial as usize % setup.runtimes.len()];
    let orders = watch::Sender::default();
    let inbox = orders.subscribe();
    let on_broken = orders.clone();
    let on_broken = move || {
        on_broken.send_if_modified(|orders: &mut Orders| orders.add(Order::Kill));
    };
    let outbox = Outbox::new(ends.write, ends.kind, runtime.clone(), Box::new(on_broken));
    let hand = Arc::new(Hand {
        id,
        pid,
        created: SystemTime::now(),
        outbox: Arc::clone(&outbox),
        orders,
    });
    let attached = {
        let _on = runtime.enter();
        relay::Reader::attach(ends.kind, ends.read)
    };
    let reader = match attached {
        Ok(reader) => reader,
        Err(error) => {
            // Dropping the process kills it.
            let text = format!("cannot watch the channel of worker {pid}: {error}");
            return shared.with(|core| core.boot_failed(id, &text, Instant::now()));
        }
    };
    tracing::debug!(target: "server", pid, internal_event_name = "EventWorkerConstruct", "worker is allocated");
    let next = shared.with(|core| core.ready(id, Worker(Arc::clone(&hand)), Instant::now()));
    match next {
        Next::Run(payload) => hand.send(payload),
        Next::Leave | Next::Kill => hand.order(shared.stop_order()),
        Next::Rest => {}
    }
    let frames = Frames::new(reader, ends.early);
    let reader = Reader::new(Arc::clone(&shared), Arc::clone(&hand), frames, ends.kind);
    let mut reading = runtime.spawn(reader.run());
    let status = process.attend(&outbox, inbox).await;
    if timeout(CHANNEL, &mut reading).await.is_err() {
        reading.abort();
        let lost = shared.with(|core| core.lost(id, Fate::Running, Instant::now()));
        let error = || lost.why.clone().map_or_else(eof, Why::into_error);
        for job in lost.failed {
            let _ = job.reply.send(Err(error()));
        }
    }
    let killed = status.and_then(|status| status.signal()) == Some(Signal::SIGKILL as i32);
    let status = status.map_or_else(|| "unknown".into(), status_text);
    tracing::debug!(target: "server", pid, status, internal_event_name = "EventWorkerWaitExit", "worker stopped");
    let Some(gone) = shared.with(|core| core.exited(id)) else {
        return;
    };
    let mut death = WorkerDeath {
        pid,
        created: hand.created,
        at: SystemTime::now(),
        cause: gone.cause,
        exit: status,
        words: tail.text(),
        request: setup.described(gone.last_frame.as_deref()),
        execs: gone.served,
    };
    // Those that we kill ourselves have another cause.
    if killed && death.cause == Cause::Crash && !hand.orders.borrow().has_killed() {
        let verdict = setup.oom.lock().unwrap_or_else(PoisonError::into_inner).look();
        death.exit = format!("{} ({})", death.exit, verdict.text());
    }
    shared.remember(death);
}

impl Setup {
    /// A request in a few words, if the plugin can tell.
    pub(super) fn described(&self, payload: Option<&Payload>) -> String {
        let text = || self.describe?(payload?.context());
        text().unwrap_or_default()
    }
}

/// A worker that did not get ready.
fn unborn(words: String) -> WorkerDeath {
    let now = SystemTime::now();
    WorkerDeath {
        pid: 0,
        created: now,
        at: now,
        cause: Cause::Start,
        exit: String::new(),
        words,
        request: String::new(),
        execs: 0,
    }
}

fn eof() -> super::ExecError {
    super::ExecError::Network("EOF".into())
}
