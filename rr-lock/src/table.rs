//! Who holds what and who waits for what, as plain data: time comes in as a number, and what happened comes out as
//! [`Change`]s for the journal and [`Verdict`]s for those who waited.
//!
//! The rules. Any number of readers, or one writer. Wishes that cannot be granted wait in the order of their arrival, and a
//! newcomer does not overtake them: no stream of readers starves a writer. Two exceptions, both for an id that holds a read
//! lock already and would otherwise wait for itself: it may read once more, and when it is the only reader its wish to
//! write is granted at once. One id has at most one lock of a resource.
//!
//! - [`resource`]: one resource, and who may have it by these rules
//! - [`grants`]: how a lock begins and ends, and whose turn it is then

mod grants;
#[cfg(test)]
mod model;
mod resource;
#[cfg(test)]
mod tests;

use crate::driver::{Mode, Token};
use grants::cost;
use resource::{Resource, Waiter};
use std::{
    collections::{BTreeMap, HashMap},
    mem,
    sync::Arc,
};

/// What names and bookkeeping of all locks and wishes together may take, in bytes: some hundred thousand of usual length.
const ROOM: usize = 64 << 20;

/// Names a wish that waits. They grow in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A wish. Times are microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// What is to be locked.
    pub resource: &'a str,
    /// By whom.
    pub id: &'a str,
    /// How.
    pub mode: Mode,
    /// How long, from the grant on.
    pub ttl: u64,
    /// How long it may wait.
    pub wait: u64,
}

/// What becomes of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Granted.
    Granted(Token),
    /// It waits; a [`Verdict`] will come.
    Waiting(Ticket),
    /// Not to be had, and it did not want to wait.
    Refused,
}

/// What became of a wish that waited: the token, or nothing within its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The wish.
    pub ticket: Ticket,
    /// The grant.
    pub token: Option<Token>,
}

/// A lock that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What is locked.
    pub resource: Arc<str>,
    /// By whom.
    pub id: Arc<str>,
    /// How.
    pub mode: Mode,
    /// Its number.
    pub token: Token,
    /// When it ends by itself, in microseconds of the clock.
    pub deadline: u64,
}

/// A change of what is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new lock.
    Granted(Grant),
    /// It has ended.
    Ended(Token),
    /// It ends at another time.
    Moved(Token, u64),
}

/// There is no room for another lock or wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many locks are held and waited for")]
pub struct Full;

/// Grants that contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two locks exclude each other")]
pub struct Conflict;

/// All locks and wishes.
#[derive(Debug, Default)]
pub struct Table {
    resources: HashMap<Arc<str>, Resource>,
    /// Everything that ends by itself, with its resource and id.
    due: BTreeMap<(u64, Due), (Arc<str>, Arc<str>)>,
    last_token: Token,
    last_ticket: u64,
    used: usize,
    held: usize,
    waiting: usize,
    changes: Vec<Change>,
    verdicts: Vec<Verdict>,
}

/// What ends by itself. Of one instant locks come first: who waits until then gets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Lock(Token),
    Wait(Ticket),
}

impl Table {
    /// A table with these locks, whose tokens go on after the given one.
    ///
    /// # Errors
    /// The locks exclude each other.
    pub fn restore(grants: impl IntoIterator<Item = Grant>, last_token: Token) -> Result<Self, Conflict> {
        let mut table = Self {
            last_token,
            ..Self::default()
        };
        for grant in grants {
            let resource = table.resources.entry(grant.resource.clone()).or_default();
            if !resource.holders.is_empty() && (resource.written || grant.mode == Mode::Write) {
                return Err(Conflict);
            }
            if resource.holders.contains_key(&grant.id) {
                return Err(Conflict);
            }
            table.last_token = table.last_token.max(grant.token);
            table.hold(grant);
        }
        Ok(table)
    }

    /// A wish: granted at once, queued or refused.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn lock(&mut self, wish: Wish<'_>, now: u64) -> Result<Outcome, Full> {
        self.advance(now);
        let Wish { resource, id, mode, .. } = wish;
        if self.used + cost(resource, id) > ROOM {
            return Err(Full);
        }
        let (name, id) = match self.resources.get_key_value(resource) {
            Some((name, _)) => (name.clone(), Arc::from(id)),
            None => (Arc::from(resource), Arc::from(id)),
        };
        let resource = self.resources.entry(name.clone()).or_default();
        let free = resource.queue.is_empty() || resource.overtakes(&id, mode);
        if free && resource.admits(&id, mode) {
            return Ok(Outcome::Granted(self.grant(&name, id, mode, wish.ttl, now)));
        }
        if wish.wait == 0 {
            return Ok(Outcome::Refused);
        }
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let until = now.saturating_add(wish.wait);
        self.used += cost(&name, &id);
        self.waiting += 1;
        let waiter = Waiter {
            id: id.clone(),
            mode,
            ttl: wish.ttl,
            until,
        };
        resource.queue.insert(ticket, waiter);
        self.due.insert((until, Due::Wait(ticket)), (name, id));
        Ok(Outcome::Waiting(ticket))
    }

    /// A wish that nobody waits for any more.
    pub fn give_up(&mut self, resource: &str, ticket: Ticket, now: u64) {
        if let Some((name, _)) = self.resources.get_key_value(resource) {
            let name = name.clone();
            self.dequeue(&name, ticket);
            self.settle(&name, false, now);
        }
    }

    /// Takes all wishes back, in the order of arrival; none of them is granted in place of another.
    pub fn withdraw(&mut self) -> Vec<Ticket> {
        let waits = self.due.keys().filter_map(|(_, due)| match due {
            Due::Wait(ticket) => Some(*ticket),
            Due::Lock(_) => None,
        });
        let mut tickets: Vec<Ticket> = waits.collect();
        tickets.sort_unstable();
        for (name, resource) in &mut self.resources {
            for waiter in mem::take(&mut resource.queue).into_values() {
                self.used -= cost(name, &waiter.id);
            }
        }
        self.due.retain(|(_, due), _| matches!(due, Due::Lock(_)));
        self.waiting = 0;
        tickets
    }

    /// Ends the lock of an id.
    pub fn release(&mut self, resource: &str, id: &str, now: u64) -> bool {
        self.advance(now);
        let Some((name, found)) = self.resources.get_key_value(resource) else {
            return false;
        };
        let (name, held) = (name.clone(), found.holders.contains_key(id));
        if held {
            self.end(&name, id, now);
        }
        held
    }

    /// Ends all locks of a resource.
    pub fn force_release(&mut self, resource: &str, now: u64) -> bool {
        self.advance(now);
        let Some((name, found)) = self.resources.get_key_value(resource) else {
            return false;
        };
        let (name, ids): (_, Vec<_>) = (name.clone(), found.holders.keys().cloned().collect());
        for id in ids {
            self.drop_holder(&name, &id);
        }
        self.settle(&name, true, now);
        true
    }

    /// Whether an id, or anyone, has a lock.
    pub fn exists(&mut self, resource: &str, id: Option<&str>, now: u64) -> bool {
        self.advance(now);
        let found = self.resources.get(resource);
        found.is_some_and(|resource| id.is_none_or(|id| resource.holders.contains_key(id)))
    }

    /// Lets the lock of an id end after `ttl` from now.
    pub fn update_ttl(&mut self, resource: &str, id: &str, ttl: u64, now: u64) -> bool {
        self.advance(now);
        let Some(found) = self.resources.get_mut(resource) else {
            return false;
        };
        let Some(holder) = found.holders.get_mut(id) else {
            return false;
        };
        let token = holder.token;
        let before = mem::replace(&mut holder.deadline, now.saturating_add(ttl));
        if let Some(place) = self.due.remove(&(before, Due::Lock(token))) {
            self.due.insert((holder.deadline, Due::Lock(token)), place);
        }
        self.changes.push(Change::Moved(token, holder.deadline));
        true
    }

    /// Ends what is due, in the order of time.
    pub fn advance(&mut self, now: u64) {
        while let Some(entry) = self.due.first_entry()
            && entry.key().0 <= now
        {
            let due = entry.key().1;
            let (resource, id) = entry.get().clone();
            match due {
                Due::Lock(_) => self.end(&resource, &id, now),
                Due::Wait(ticket) => {
                    self.dequeue(&resource, ticket);
                    self.verdicts.push(Verdict { ticket, token: None });
                    self.settle(&resource, false, now);
                }
            }
        }
    }

    /// When something ends by itself next.
    pub fn next_due(&self) -> Option<u64> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// What has changed since the last call. It is to be written down before anybody is told.
    pub fn take_changes(&mut self) -> Vec<Change> {
        mem::take(&mut self.changes)
    }

    /// What became of waiting wishes since the last call.
    pub fn take_verdicts(&mut self) -> Vec<Verdict> {
        mem::take(&mut self.verdicts)
    }

    /// The locks that are held, in the order of their tokens, and the last token.
    pub fn grants(&self) -> (Vec<Grant>, Token) {
        let mut grants: Vec<Grant> = Vec::with_capacity(self.held);
        for (name, resource) in &self.resources {
            let mode = if resource.written { Mode::Write } else { Mode::Read };
            grants.extend(resource.holders.iter().map(|(id, holder)| Grant {
                resource: name.clone(),
                id: id.clone(),
                mode,
                token: holder.token,
                deadline: holder.deadline,
            }));
        }
        grants.sort_unstable_by_key(|grant| grant.token);
        (grants, self.last_token)
    }

    /// Number of locks that are held.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Number of wishes that wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }
}
