//! The table against a model that is too simple to be wrong: lists that are searched, and a clock that goes step by step.
//!
//! - [`simple`]: the model
//! - [`step`]: what happens to both

#![allow(clippy::unwrap_used)]

mod simple;
mod step;

use super::*;
use proptest::prelude::*;
use simple::{Model, Queued};
use step::{IDS, RESOURCES, Step, any_step};

/// Verdicts without the numbers of the grants, sorted.
pub(super) fn plain(verdicts: Vec<Verdict>) -> Vec<(Ticket, bool)> {
    let mut plain: Vec<_> = verdicts.into_iter().map(|v| (v.ticket, v.token.is_some())).collect();
    plain.sort();
    plain
}

/// Applies changes to what a reader of the journal believes, and checks that it is always a possible state.
#[derive(Debug, Default)]
struct Believed(HashMap<Token, Grant>, Token);

impl Believed {
    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Granted(grant) => {
                    assert!(grant.token > self.1, "tokens grow");
                    self.1 = grant.token;
                    let mut others = self.0.values().filter(|other| other.resource == grant.resource);
                    assert!(
                        others.all(|other| (other.mode, grant.mode) == (Mode::Read, Mode::Read)),
                        "excluded"
                    );
                    self.0.insert(grant.token, grant);
                }
                Change::Ended(token) => assert!(self.0.remove(&token).is_some(), "it was held"),
                Change::Moved(token, deadline) => self.0.get_mut(&token).expect("it is held").deadline = deadline,
            }
        }
    }
}

/// Nothing is left in the table when nothing is held.
fn assert_empty(table: &Table) {
    assert_eq!((table.held, table.waiting, table.used), (0, 0, 0));
    assert!(table.resources.is_empty() && table.due.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Step by step the table does exactly what the model does.
    #[test]
    fn it_does_what_the_model_does(steps in prop::collection::vec(any_step(), 0..80)) {
        let (mut table, mut model) = (Table::default(), Model::default());
        let mut believed = Believed::default();
        for step in steps {
            let now = model.now;
            let mut granted = Vec::new();
            match step {
                Step::Lock { resource, id, mode, ttl, wait } => {
                    let wish = Wish { resource: RESOURCES[resource], id: IDS[id], mode, ttl, wait };
                    let outcome = table.lock(wish, now).unwrap();
                    match (model.lock(resource, id, mode, ttl), outcome) {
                        (true, Outcome::Granted(_)) => {}
                        (false, Outcome::Refused) if wait == 0 => {}
                        (false, Outcome::Waiting(ticket)) if wait > 0 => {
                            model.queue.push(Queued { ticket, resource, id, mode, ttl, until: now + wait });
                        }
                        other => prop_assert!(false, "{:?} for {:?}", other, wish),
                    }
                }
                Step::GiveUp(which) if !model.queue.is_empty() => {
                    let which = which % model.queue.len();
                    let queued = model.queue.remove(which);
                    table.give_up(RESOURCES[queued.resource], queued.ticket, now);
                    granted = model.settle(queued.resource);
                }
                Step::GiveUp(_) => {}
                Step::Withdraw => {
                    let tickets: Vec<Ticket> = model.queue.drain(..).map(|queued| queued.ticket).collect();
                    prop_assert_eq!(table.withdraw(), tickets);
                }
                Step::Release { resource, id } => {
                    let done = model.drop_all(|held| (held.0, held.1) == (resource, id));
                    prop_assert_eq!(table.release(RESOURCES[resource], IDS[id], now), done);
                    granted = model.settle(resource);
                }
                Step::ForceRelease(resource) => {
                    let done = model.drop_all(|held| held.0 == resource);
                    prop_assert_eq!(table.force_release(RESOURCES[resource], now), done);
                    granted = model.settle(resource);
                }
                Step::UpdateTtl { resource, id, ttl } => {
                    let has = model.has(resource, id);
                    prop_assert_eq!(table.update_ttl(RESOURCES[resource], IDS[id], ttl, now), has);
                    let mut held = model.held.iter_mut();
                    if let Some(held) = held.find(|held| (held.0, held.1) == (resource, id)) {
                        held.3 = now + ttl;
                    }
                }
                Step::Pass(time) => {
                    for _ in 0..time {
                        let expected = model.tick();
                        table.advance(model.now);
                        prop_assert_eq!(plain(table.take_verdicts()), plain(expected));
                    }
                }
            }
            let granted = granted.into_iter().map(|ticket| Verdict { ticket, token: Some(0) }).collect();
            prop_assert_eq!(plain(table.take_verdicts()), plain(granted));
            believed.apply(table.take_changes());
            prop_assert_eq!((table.held(), table.waiting()), (model.held.len(), model.queue.len()));
            prop_assert_eq!(believed.0.len(), model.held.len());
            for (r, resource) in RESOURCES.into_iter().enumerate() {
                prop_assert_eq!(table.exists(resource, None, model.now), model.held.iter().any(|held| held.0 == r));
                for (i, id) in IDS.into_iter().enumerate() {
                    prop_assert_eq!(table.exists(resource, Some(id), model.now), model.has(r, i));
                }
            }
        }
        table.advance(u64::MAX);
        table.take_verdicts();
        // What was granted by the last steps of time may end at the end of time only.
        table.advance(u64::MAX);
        assert_empty(&table);
    }

    /// Whatever the clock does between two calls: nobody is granted what another holds, no lock ends before its time
    /// unless it is released, and every wish that waits hears exactly once.
    #[test]
    fn leaps_of_time_break_nothing(steps in prop::collection::vec((any_step(), 0..60_u64), 0..80)) {
        let mut table = Table::default();
        let mut believed = Believed::default();
        let mut waiting: HashMap<Ticket, u64> = HashMap::new();
        let mut now = 0;
        for (step, leap) in steps {
            now += leap;
            let released = matches!(step, Step::Release { .. } | Step::ForceRelease(_));
            match step {
                Step::Lock { resource, id, mode, ttl, wait } => {
                    let wish = Wish { resource: RESOURCES[resource], id: IDS[id], mode, ttl, wait };
                    if let Outcome::Waiting(ticket) = table.lock(wish, now).unwrap() {
                        waiting.insert(ticket, now + wait);
                    }
                }
                Step::GiveUp(_) | Step::Pass(_) => table.advance(now),
                Step::Withdraw => {
                    // Those whose time is over may have gone without a verdict: they are told that they were taken back.
                    prop_assert!(table.withdraw().into_iter().all(|ticket| waiting.remove(&ticket).is_some()));
                    prop_assert!(waiting.is_empty());
                }
                Step::Release { resource, id } => drop(table.release(RESOURCES[resource], IDS[id], now)),
                Step::ForceRelease(resource) => drop(table.force_release(RESOURCES[resource], now)),
                Step::UpdateTtl { resource, id, ttl } => {
                    table.update_ttl(RESOURCES[resource], IDS[id], ttl, now);
                }
            }
            let before: Vec<Grant> = believed.0.values().cloned().collect();
            believed.apply(table.take_changes());
            let promoted = before.iter().any(|held| believed.0.values().any(|new| {
                (&new.resource, &new.id) == (&held.resource, &held.id) && new.token != held.token
            }));
            for held in before.iter().filter(|held| held.deadline > now) {
                prop_assert!(released || promoted || believed.0.contains_key(&held.token), "{:?} at {}", held, now);
            }
            for verdict in table.take_verdicts() {
                prop_assert!(waiting.remove(&verdict.ticket).is_some(), "it heard twice");
            }
            prop_assert!(waiting.values().all(|until| *until > now), "one waits too long");
            prop_assert_eq!(table.waiting(), waiting.len());
            // A restart at any moment brings back the same locks.
            let restored = Table::restore(believed.0.values().cloned(), believed.1).unwrap();
            prop_assert_eq!((restored.held(), restored.last_token), (table.held(), table.last_token));
        }
    }
}
