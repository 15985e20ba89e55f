//! How a lock begins and ends, and whose turn it is then: every change of what is held goes through here, and leaves its
//! [`Change`] and its [`Verdict`] behind.

use super::{
    Change, Due, Grant, Table, Ticket, Verdict,
    resource::{Holder, Waiter},
};
use crate::driver::{Mode, Token};
use std::sync::Arc;

/// Bookkeeping of a lock or a wish, besides its names, in bytes.
const OVERHEAD: usize = 256;

impl Table {
    /// Grants for as long as something in the queue can be granted: the first, or the wish of the only reader to write,
    /// which can become possible only when the holders have changed.
    pub(super) fn settle(&mut self, name: &Arc<str>, mut holders_changed: bool, now: u64) {
        while let Some(resource) = self.resources.get(name) {
            let look = holders_changed && !resource.written && resource.holders.len() == 1;
            let mut wishes = resource.queue.iter().take_while(|_| look);
            let promoted = wishes.find(|(_, waiter)| waiter.mode == Mode::Write && resource.promotes(&waiter.id));
            let mut first = resource.queue.iter().take(1);
            let next = promoted.or_else(|| first.find(|(_, waiter)| resource.admits(&waiter.id, waiter.mode)));
            let Some(ticket) = next.map(|(ticket, _)| *ticket) else {
                if resource.holders.is_empty() {
                    self.resources.remove(name);
                }
                return;
            };
            holders_changed = true;
            if let Some(waiter) = self.dequeue(name, ticket) {
                let token = Some(self.grant(name, waiter.id, waiter.mode, waiter.ttl, now));
                self.verdicts.push(Verdict { ticket, token });
            }
        }
    }

    /// Gives a lock, in place of the one that the id may have already.
    pub(super) fn grant(&mut self, name: &Arc<str>, id: Arc<str>, mode: Mode, ttl: u64, now: u64) -> Token {
        self.last_token += 1;
        let mut deadline = now.saturating_add(ttl);
        if let Some(before) = self.drop_holder(name, &id)
            && mode == Mode::Read
        {
            deadline = deadline.max(before.deadline);
        }
        let grant = Grant {
            resource: name.clone(),
            id,
            mode,
            token: self.last_token,
            deadline,
        };
        self.changes.push(Change::Granted(grant.clone()));
        self.hold(grant);
        self.last_token
    }

    /// Enters a lock, new or from before.
    pub(super) fn hold(&mut self, grant: Grant) {
        let Grant {
            resource: name,
            id,
            mode,
            token,
            deadline,
        } = grant;
        self.used += cost(&name, &id);
        self.held += 1;
        let resource = self.resources.entry(name.clone()).or_default();
        resource.written = mode == Mode::Write;
        resource.holders.insert(id.clone(), Holder { token, deadline });
        self.due.insert((deadline, Due::Lock(token)), (name, id));
    }

    /// Ends a lock, and grants what that makes possible.
    pub(super) fn end(&mut self, name: &Arc<str>, id: &str, now: u64) {
        self.drop_holder(name, id);
        self.settle(name, true, now);
    }

    /// Strikes a lock out, and leaves to the caller who is next.
    pub(super) fn drop_holder(&mut self, name: &Arc<str>, id: &str) -> Option<Holder> {
        let resource = self.resources.get_mut(name)?;
        let holder = resource.holders.remove(id)?;
        resource.written = false;
        self.due.remove(&(holder.deadline, Due::Lock(holder.token)));
        self.used -= cost(name, id);
        self.held -= 1;
        self.changes.push(Change::Ended(holder.token));
        Some(holder)
    }

    /// Strikes a wish out.
    pub(super) fn dequeue(&mut self, name: &Arc<str>, ticket: Ticket) -> Option<Waiter> {
        let waiter = self.resources.get_mut(name)?.queue.remove(&ticket)?;
        self.due.remove(&(waiter.until, Due::Wait(ticket)));
        self.used -= cost(name, &waiter.id);
        self.waiting -= 1;
        Some(waiter)
    }
}

/// What a lock or a wish takes of the room.
pub(super) fn cost(resource: &str, id: &str) -> usize {
    resource.len() + id.len() + OVERHEAD
}
