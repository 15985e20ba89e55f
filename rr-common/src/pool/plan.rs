//! How many workers there should be, and what is due: looked at by the keeper whenever something changed and at the
//! time that the last look named.

use super::{
    queue::Request,
    rules::MOST_WORKERS,
    state::{Core, Effect, Id, Member, Reason, Slot, Stage, Why},
};
use std::time::{Duration, Instant};

/// Pause between two steps down.
const STEP_DOWN: Duration = Duration::from_secs(1);

/// What the keeper does after a look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Workers to start.
    pub(super) boots: Vec<Id>,
    /// Limits of life are to be checked, see [`Core::check_limits`].
    pub(super) tick: bool,
}

impl<W: Member, J: Request> Core<W, J> {
    /// Workers wanted now.
    pub(super) fn target(&self) -> usize {
        let work = self.queue.len() + self.running;
        let target = self.base + self.extra;
        if self.rules.debug || self.closing || self.is_broken() {
            target.min(work)
        } else {
            target
        }
    }

    /// Decides what is due, and when to look again (`alarm`).
    pub(super) fn plan(&mut self, now: Instant) -> Plan {
        self.wake = false;
        self.alarm = None;
        self.kill_overdue(now);
        self.finish_closing();
        self.expire_waiting(now);
        self.scale(now);
        self.shed();
        let tick = self.tick(now);
        let boots = self.boots(now);
        // What was decided here needs no second look.
        self.wake = false;
        Plan { boots, tick }
    }

    /// `exec_ttl`: the only limit that ends a running request.
    fn kill_overdue(&mut self, now: Instant) {
        let Some(ttl) = self.rules.exec_ttl else { return };
        let running = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.busy() && !slot.paused && slot.worker.is_some() && slot.killed.is_none());
        let (over, later): (Vec<_>, Vec<_>) = running
            .map(|(index, slot)| (index, slot.since + ttl))
            .partition(|&(_, deadline)| deadline <= now);
        if let Some(next) = later.into_iter().map(|(_, deadline)| deadline).min() {
            self.remind(next);
        }
        for (index, _) in over {
            let worker = self.worker(index);
            self.effects.extend(worker.map(Effect::Overdue));
            self.kill(index, Why::ExecTtl, now);
        }
    }

    /// `allocate_timeout`: waiting requests that nobody took in time.
    fn expire_waiting(&mut self, now: Instant) {
        let timeout = self.rules.allocate_timeout;
        if let Some(limit) = now.checked_sub(timeout) {
            let mut text = None;
            while let Some(job) = self.queue.pop_older(limit) {
                let text = text.get_or_insert_with(|| self.shortage(now));
                self.effects.push(Effect::Fail(job, Why::NoWorkers(text.clone())));
            }
        }
        if let Some(oldest) = self.queue.oldest() {
            self.remind(oldest + timeout);
        }
    }

    /// What somebody needs to know who did not get a worker.
    pub(super) fn shortage(&self, now: Instant) -> String {
        let mut text = format!(
            "no worker became free within allocate_timeout ({:?}): {} workers, {} busy, {} idle, {} starting; {} requests wait",
            self.rules.allocate_timeout,
            self.slots
                .iter()
                .filter(|(_, slot)| slot.stage == Stage::Serving)
                .count(),
            self.slots.iter().filter(|(_, slot)| slot.busy()).count(),
            self.idle.len(),
            self.booting,
            self.queue.len() + 1,
        );
        let oldest = self
            .slots
            .iter()
            .map(|(_, slot)| slot)
            .filter(|slot| slot.busy())
            .min_by_key(|slot| slot.since);
        if let Some((slot, worker)) = oldest.and_then(|slot| Some((slot, slot.worker.as_ref()?))) {
            let age = now.saturating_duration_since(slot.since).as_secs_f64();
            text.push_str(&format!(
                "; the oldest running request is at pid {} since {age:.1} s",
                worker.pid()
            ));
        }
        if self.failures > 0 && !self.last_error.is_empty() {
            text.push_str(&format!("; the last worker did not start: {}", self.last_error));
        }
        text
    }

    /// A pool that is closed starts no worker; when none is left nobody is served any more.
    fn finish_closing(&mut self) {
        if self.closing && self.serving == 0 {
            while let Some(job) = self.queue.pop() {
                self.effects.push(Effect::Fail(job, Why::Stopped));
            }
        }
    }

    /// The dynamic allocator: more workers when the oldest request waits too long, one less when one idles too long.
    fn scale(&mut self, now: Instant) {
        let Some(scale) = self.rules.scale.clone() else { return };
        if self.closing {
            return;
        }
        if let Some(oldest) = self.queue.oldest()
            && self.booting == 0
            && self.extra < scale.most
        {
            let due = oldest + scale.after;
            if due <= now {
                let room = MOST_WORKERS.saturating_sub(self.base + self.extra);
                self.extra += scale.step.min(scale.most - self.extra).min(room);
            } else {
                self.remind(due);
            }
        }
        if self.extra > 0
            && let Some(&longest) = self.idle.first()
        {
            let due = (self.slots[longest].since + scale.idle).max(self.next_step.unwrap_or(now));
            if due <= now {
                self.extra -= 1;
                self.next_step = Some(now + STEP_DOWN);
                self.remind(now + STEP_DOWN);
            } else {
                self.remind(due);
            }
        }
    }

    /// Lets workers go while more serve than are wanted: marked ones first, idle ones before busy ones.
    fn shed(&mut self) {
        while self.serving > self.target() {
            let marked_idle = self
                .idle
                .iter()
                .copied()
                .find(|&index| self.slots[index].mark.is_some());
            let busy = |marked: bool| {
                let fits =
                    |(_, slot): &(usize, &Slot<W, J>)| slot.stays() && slot.busy() && (!marked || slot.mark.is_some());
                self.slots.iter().find(fits).map(|(index, _)| index)
            };
            let chosen = marked_idle
                .or_else(|| busy(true))
                .or_else(|| self.idle.first().copied())
                .or_else(|| busy(false));
            let Some(index) = chosen else { return };
            if self.slots[index].busy() {
                self.let_go(index);
            } else {
                self.dismiss(index);
            }
        }
    }

    /// Workers to start: those that are missing at once, replacements of marked ones a few at a time, one at a time
    /// while they fail.
    fn boots(&mut self, now: Instant) -> Vec<Id> {
        if self.closing {
            return Vec::new();
        }
        let target = self.target();
        let missing = target.saturating_sub(self.serving + self.booting);
        let staying = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.stays() && slot.mark.is_none())
            .count();
        let wanted = target.saturating_sub(staying + self.booting);
        let on_the_way = self.booting + missing;
        let mut replacing = wanted
            .saturating_sub(missing)
            .min(self.rules.replace_at_once.saturating_sub(on_the_way))
            .min(self.rules.share.saturating_sub(on_the_way));
        if replacing > 0 {
            let room = self.rules.share.saturating_sub(on_the_way + self.finishing(now));
            replacing = replacing.min(room);
        }
        let mut count = missing + replacing;
        if count == 0 {
            return Vec::new();
        }
        if let Some(at) = self.next_boot.filter(|&at| at > now) {
            self.remind(at);
            return Vec::new();
        }
        if self.troubles() > 0 {
            count = count.min(1usize.saturating_sub(self.booting));
        }
        (0..count).map(|_| self.add_slot(now)).collect()
    }

    /// Replaced workers that still finish a request, or are ending. One that takes longer than `reset_timeout` is not waited
    /// for.
    fn finishing(&mut self, now: Instant) -> usize {
        let replaced = |slot: &&Slot<W, J>| slot.last && slot.mark.is_some();
        let slots = self.slots.iter().map(|(_, slot)| slot);
        let ends = slots.filter(replaced).map(|slot| slot.since + self.rules.reset_timeout);
        let later: Vec<Instant> = ends.filter(|end| *end > now).collect();
        if let Some(next) = later.iter().min() {
            self.remind(*next);
        }
        later.len()
    }

    /// Whether the limits of life are to be checked now.
    fn tick(&mut self, now: Instant) -> bool {
        let Some(limits) = self.rules.limits.as_ref().filter(|_| !self.closing) else {
            return false;
        };
        let tick = limits.tick;
        let due = *self.next_tick.get_or_insert(now + tick);
        let now_due = due <= now;
        let next = if now_due { now + tick } else { due };
        self.next_tick = Some(next);
        self.remind(next);
        now_due
    }

    /// Marks workers that reached `ttl`, `idle_ttl` or `max_worker_memory`. One that holds twice its memory leaves even
    /// if its replacement does not start, unless it is the only one.
    pub(super) fn check_limits(&mut self, now: Instant, memory: impl Fn(&W) -> u64) {
        let Some(limits) = self.rules.limits.clone() else {
            return;
        };
        let indexes: Vec<usize> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.stays())
            .map(|(index, _)| index)
            .collect();
        for index in indexes {
            let slot = &self.slots[index];
            let used = limits
                .memory
                .and_then(|limit| Some((memory(slot.worker.as_ref()?), limit)));
            let reached = |limit: Option<Duration>, since: Instant| {
                limit.is_some_and(|limit| now.saturating_duration_since(since) >= limit)
            };
            let idle = !slot.busy() && slot.served > 0;
            let reason = if reached(limits.ttl, slot.created) {
                Some(Reason::Ttl)
            } else if used.is_some_and(|(used, limit)| used > limit) {
                Some(Reason::Memory)
            } else if idle && reached(limits.idle_ttl, slot.since) {
                Some(Reason::Idle)
            } else {
                None
            };
            if let Some(reason) = reason {
                self.mark(index, reason);
            }
            if used.is_some_and(|(used, limit)| used > limit.saturating_mul(2)) && self.serving > 1 {
                if self.slots[index].busy() {
                    self.let_go(index);
                } else {
                    self.dismiss(index);
                }
            }
        }
    }
}
