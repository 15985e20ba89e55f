//! The table against a model that is too simple to be wrong: lists that are searched, and a clock that goes step by step.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

const RESOURCES: [&str; 2] = ["r", "s"];
const IDS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    Lock {
        resource: usize,
        id: usize,
        mode: Mode,
        ttl: u64,
        wait: u64,
    },
    GiveUp(usize),
    Release {
        resource: usize,
        id: usize,
    },
    ForceRelease(usize),
    UpdateTtl {
        resource: usize,
        id: usize,
        ttl: u64,
    },
    Withdraw,
    Pass(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![Just(Mode::Read), Just(Mode::Write)];
    prop_oneof![
        6 => (0..2_usize, 0..3_usize, mode, 1..30_u64, 0..20_u64)
            .prop_map(|(resource, id, mode, ttl, wait)| Step::Lock { resource, id, mode, ttl, wait }),
        1 => any::<usize>().prop_map(Step::GiveUp),
        3 => (0..2_usize, 0..3_usize).prop_map(|(resource, id)| Step::Release { resource, id }),
        1 => (0..2_usize).prop_map(Step::ForceRelease),
        1 => (0..2_usize, 0..3_usize, 1..30_u64).prop_map(|(resource, id, ttl)| Step::UpdateTtl { resource, id, ttl }),
        1 => Just(Step::Withdraw),
        3 => (1..12_u64).prop_map(Step::Pass),
    ]
}

/// Who waits, in the order of arrival.
#[derive(Clone, Debug)]
struct Queued {
    ticket: Ticket,
    resource: usize,
    id: usize,
    mode: Mode,
    ttl: u64,
    until: u64,
}

/// The model: (resource, id) holds with mode until deadline.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    held: Vec<(usize, usize, Mode, u64)>,
    queue: Vec<Queued>,
}

impl Model {
    fn has(&self, resource: usize, id: usize) -> bool {
        self.held.iter().any(|held| (held.0, held.1) == (resource, id))
    }

    fn admits(&self, resource: usize, id: usize, mode: Mode) -> bool {
        let others = self.held.iter().filter(|held| held.0 == resource);
        match mode {
            Mode::Read => others.clone().all(|held| held.2 == Mode::Read),
            Mode::Write => others.clone().all(|held| held.1 == id && held.2 == Mode::Read),
        }
    }

    fn lock(&mut self, resource: usize, id: usize, mode: Mode, ttl: u64) -> bool {
        let queued = self.queue.iter().any(|queued| queued.resource == resource);
        if !self.admits(resource, id, mode) || (queued && !self.has(resource, id)) {
            return false;
        }
        self.hold(resource, id, mode, ttl);
        true
    }

    fn hold(&mut self, resource: usize, id: usize, mode: Mode, ttl: u64) {
        let mut end = self.now + ttl;
        if let Some(at) = self.held.iter().position(|held| (held.0, held.1) == (resource, id)) {
            let before = self.held.remove(at);
            end = if mode == Mode::Read { end.max(before.3) } else { end };
        }
        self.held.push((resource, id, mode, end));
    }

    /// Grants what can be granted; the tickets.
    fn settle(&mut self, resource: usize) -> Vec<Ticket> {
        let mut granted = Vec::new();
        loop {
            let mine: Vec<_> = self
                .queue
                .iter()
                .filter(|queued| queued.resource == resource)
                .cloned()
                .collect();
            let promoted = mine
                .iter()
                .find(|q| q.mode == Mode::Write && self.has(resource, q.id) && self.admits(resource, q.id, q.mode));
            let first = mine.first().filter(|q| self.admits(resource, q.id, q.mode));
            let Some(next) = promoted.or(first) else { return granted };
            self.queue.retain(|queued| queued.ticket != next.ticket);
            self.hold(resource, next.id, next.mode, next.ttl);
            granted.push(next.ticket);
        }
    }

    fn drop_all(&mut self, of: impl Fn(&(usize, usize, Mode, u64)) -> bool) -> bool {
        let before = self.held.len();
        self.held.retain(|held| !of(held));
        self.held.len() < before
    }

    /// One microsecond: the ends of locks one by one, what they make possible, then the ends of waits.
    fn tick(&mut self) -> Vec<Verdict> {
        self.now += 1;
        let now = self.now;
        let mut verdicts = Vec::new();
        for resource in 0..RESOURCES.len() {
            while let Some(over) = self.held.iter().position(|held| held.0 == resource && held.3 <= now) {
                self.held.remove(over);
                verdicts.extend(self.settle(resource).into_iter().map(|ticket| (ticket, true)));
            }
        }
        while let Some(over) = self.queue.iter().position(|queued| queued.until <= now) {
            let queued = self.queue.remove(over);
            verdicts.push((queued.ticket, false));
            verdicts.extend(self.settle(queued.resource).into_iter().map(|ticket| (ticket, true)));
        }
        let verdict = |(ticket, granted): (Ticket, bool)| Verdict {
            ticket,
            token: granted.then_some(0),
        };
        verdicts.into_iter().map(verdict).collect()
    }
}

/// Verdicts without the numbers of the grants, sorted.
fn plain(verdicts: Vec<Verdict>) -> Vec<(Ticket, bool)> {
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

fn wish<'a>(id: &'a str, mode: Mode, wait: u64) -> Wish<'a> {
    Wish {
        resource: "r",
        id,
        mode,
        ttl: 100,
        wait,
    }
}

#[test]
fn a_writer_is_not_starved_by_readers() {
    let mut table = Table::default();
    table.lock(wish("a", Mode::Read, 0), 0).unwrap();
    let Outcome::Waiting(writer) = table.lock(wish("w", Mode::Write, 50), 1).unwrap() else {
        panic!("granted")
    };
    let Outcome::Waiting(reader) = table.lock(wish("b", Mode::Read, 50), 2).unwrap() else {
        panic!("granted")
    };
    table.release("r", "a", 3);
    assert_eq!(plain(table.take_verdicts()), [(writer, true)]);
    table.release("r", "w", 4);
    assert_eq!(plain(table.take_verdicts()), [(reader, true)]);
}

#[test]
fn two_readers_keep_a_writer_out_however_often_others_came_and_went() {
    // The reference grants this one by a notification that was left over.
    let mut table = Table::default();
    table.lock(wish("x", Mode::Write, 0), 0).unwrap();
    table.release("r", "x", 1);
    table.lock(wish("a", Mode::Read, 0), 2).unwrap();
    table.lock(wish("b", Mode::Read, 0), 2).unwrap();
    assert_eq!(table.lock(wish("w", Mode::Write, 0), 3), Ok(Outcome::Refused));
}

#[test]
fn a_refused_writer_leaves_the_resource_usable() {
    // The reference's resource is wedged after this for good.
    let mut table = Table::default();
    table.lock(wish("a", Mode::Read, 0), 0).unwrap();
    table.lock(wish("b", Mode::Read, 0), 0).unwrap();
    let Outcome::Waiting(writer) = table.lock(wish("w", Mode::Write, 5), 0).unwrap() else {
        panic!("granted")
    };
    table.advance(5);
    assert_eq!(plain(table.take_verdicts()), [(writer, false)]);
    assert!(table.release("r", "a", 6) && table.release("r", "b", 6));
    assert!(matches!(
        table.lock(wish("w", Mode::Write, 0), 7),
        Ok(Outcome::Granted(_))
    ));
}

#[test]
fn a_writer_waits_for_itself_too() {
    let mut table = Table::default();
    table.lock(wish("a", Mode::Write, 0), 0).unwrap();
    assert_eq!(table.lock(wish("a", Mode::Write, 0), 1), Ok(Outcome::Refused));
    assert_eq!(table.lock(wish("a", Mode::Read, 0), 1), Ok(Outcome::Refused));
}

#[test]
fn room_is_bounded() {
    let mut table = Table::default();
    let long = "x".repeat(ROOM / 4);
    for id in ["a", "b", "c"] {
        let wish = Wish {
            resource: &long,
            id,
            mode: Mode::Read,
            ttl: 1,
            wait: 0,
        };
        assert!(table.lock(wish, 0).is_ok());
    }
    let wish = Wish {
        resource: &long,
        id: "d",
        mode: Mode::Read,
        ttl: 1,
        wait: 0,
    };
    assert_eq!(table.lock(wish, 0), Err(Full));
    assert!(table.lock(wish, 1).is_ok(), "room again when the others have ended");
}
