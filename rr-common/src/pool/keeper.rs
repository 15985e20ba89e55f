//! The pool's housekeeper: one task on the main thread's runtime that carries out each plan and sleeps until something
//! changes or the plan's alarm rings. At rest it does nothing.

use super::{
    life::{Setup, live},
    shared::Shared,
    state::Member,
};
use crate::proc;
use std::{collections::HashMap, sync::Arc, time::Instant};
use tokio::time::sleep_until;

/// Keeps the pool until it is closed and every worker has gone.
pub(super) async fn keep(shared: Arc<Shared>, setup: Arc<Setup>) {
    loop {
        let now = Instant::now();
        let (plan, alarm, over) = shared.with(|core| {
            let plan = core.plan(now);
            (plan, core.alarm, core.closing && core.slots.is_empty())
        });
        shared.changed.notify_waiters();
        if over && plan.boots.is_empty() {
            return;
        }
        for id in plan.boots {
            tokio::spawn(live(Arc::clone(&shared), Arc::clone(&setup), id));
        }
        if plan.tick {
            check_limits(&shared);
        }
        let alarm = async {
            match alarm {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.keeper.notified() => {}
            () = alarm => {}
        }
    }
}

/// The memory is read while the pool goes on.
fn check_limits(shared: &Shared) {
    let watched = shared.with(|core| core.rules.limits.as_ref().is_some_and(|limits| limits.memory.is_some()));
    let pids: Vec<u32> = if watched {
        shared.with(|core| {
            core.slots
                .iter()
                .filter_map(|(_, slot)| Some(slot.worker.as_ref()?.pid()))
                .collect()
        })
    } else {
        Vec::new()
    };
    let memory: HashMap<u32, u64> = pids.into_iter().map(|pid| (pid, proc::memory(pid))).collect();
    let now = Instant::now();
    shared.with(|core| core.check_limits(now, |worker| memory.get(&worker.pid()).copied().unwrap_or(0)));
}
