//! The decisions against a model of the world: whatever workers and clients do in whatever order, no request is lost or
//! answered twice, and the pool always comes back to its full number of idle workers.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{
    deaths::Cause,
    exchange::Fate,
    queue::{Request, Ticket},
    rules::{Limits, Rules, Scale},
    state::{Core, Effect, Id, Member, Next, Refused, Stage, Submitted},
};
use proptest::prelude::*;
use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::{Duration, Instant},
};

#[derive(Clone, Debug)]
pub(super) struct Hand(pub(super) Id);

impl Member for Hand {
    fn pid(&self) -> u32 {
        self.0.serial as u32
    }
}

/// What became of each request: resolved by an answer or an error, or its client has gone.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) resolved: BTreeMap<u64, &'static str>,
    gone: BTreeMap<u64, ()>,
}

#[derive(Clone, Debug)]
pub(super) struct Job {
    number: u64,
    since: Instant,
    tries: u32,
    pub(super) ledger: Rc<RefCell<Ledger>>,
}

impl Request for Job {
    type Frame = u64;
    fn frame(&self) -> u64 {
        self.number
    }
    fn cancelled(&self) -> bool {
        self.ledger.borrow().gone.contains_key(&self.number)
    }
    fn since(&self) -> Instant {
        self.since
    }
    fn again(&mut self) -> bool {
        self.tries += 1;
        self.tries < 10
    }
}

/// One worker process of the model.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// Frames in its pipe.
    pipe: VecDeque<u64>,
    streaming: Option<u64>,
    pub(super) told: bool,
    dead: bool,
}

pub(super) struct World {
    pub(super) core: Core<Hand, Job>,
    pub(super) now: Instant,
    pub(super) ledger: Rc<RefCell<Ledger>>,
    pub(super) booting: Vec<Id>,
    pub(super) processes: BTreeMap<u64, (Id, Process)>,
    tickets: BTreeMap<u64, Ticket>,
    submitted: u64,
    /// Why each worker is no more, and what it was working on.
    pub(super) causes: Vec<(Cause, Option<u64>)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Submit,
    ClientGoes(usize),
    BootSucceeds(usize),
    BootFails(usize),
    Answer(usize),
    AnswerAndAsk(usize),
    Ask(usize),
    StreamBegins(usize),
    StreamEnds(usize),
    Dies(usize, bool),
    Exits(usize),
    Time(u64),
    Memory(u64),
    Reset,
    /// With this many milliseconds before new workers start.
    Renew(u64),
    Add,
    Remove,
}

pub(super) fn rules() -> Rules {
    Rules {
        debug: false,
        workers: 2,
        max_jobs: None,
        max_queue: None,
        allocate_timeout: Duration::from_secs(10),
        exec_ttl: None,
        limits: None,
        scale: None,
        depth: 1,
        replace_at_once: 2,
        share: 2,
        reset_timeout: Duration::from_secs(5),
    }
}

impl World {
    pub(super) fn new(rules: Rules) -> Self {
        let mut world = Self {
            core: Core::new(rules, 7),
            now: Instant::now() + Duration::from_secs(1000),
            ledger: Rc::default(),
            booting: Vec::new(),
            processes: BTreeMap::new(),
            tickets: BTreeMap::new(),
            submitted: 0,
            causes: Vec::new(),
        };
        world.settle();
        world
    }

    /// Does what the executor would do until nothing more follows.
    fn settle(&mut self) {
        loop {
            for effect in std::mem::take(&mut self.core.effects) {
                match effect {
                    Effect::Send(hand, frame) => self.write(hand.0, frame),
                    Effect::Stop(hand) => self.process(hand.0).told = true,
                    Effect::Kill(hand) => self.process(hand.0).dead = true,
                    Effect::Fail(job, _) => self.resolve(job.number, "error"),
                    Effect::Marked(..) | Effect::Overdue(_) => {}
                }
            }
            let due = self.core.alarm.is_some_and(|alarm| alarm <= self.now);
            if !self.core.wake && !due {
                break;
            }
            let plan = self.core.plan(self.now);
            self.booting.extend(plan.boots);
            if plan.tick {
                self.core.check_limits(self.now, |_| 0);
            }
        }
        self.check();
    }

    /// What holds after every step.
    fn check(&self) {
        let core = &self.core;
        let stays = core.slots.iter().filter(|(_, slot)| slot.stays()).count();
        let booting = core
            .slots
            .iter()
            .filter(|(_, slot)| slot.stage == Stage::Booting)
            .count();
        let running: usize = core
            .slots
            .iter()
            .map(|(_, slot)| slot.jobs.len() + usize::from(slot.streaming))
            .sum();
        assert_eq!((core.serving, core.booting, core.running), (stays, booting, running));
        assert!(
            core.idle
                .iter()
                .all(|&index| core.slots[index].stays() && !core.slots[index].busy())
        );
        assert!(core.idle.is_empty() || core.queue.len() == 0 || core.queue.oldest().is_none());
        let most = core.base + core.extra + core.rules.replace_at_once;
        assert!(core.serving + core.booting <= most.max(core.base + 8));
    }

    fn process(&mut self, id: Id) -> &mut Process {
        &mut self.processes.entry(id.serial).or_insert((id, Process::default())).1
    }

    fn write(&mut self, id: Id, frame: u64) {
        let process = self.process(id);
        process.pipe.push_back(frame);
        assert!(process.pipe.len() + usize::from(process.streaming.is_some()) <= 2);
    }

    fn resolve(&mut self, number: u64, how: &'static str) {
        let before = self.ledger.borrow_mut().resolved.insert(number, how);
        assert_eq!(before, None, "request {number} was resolved twice");
    }

    fn go_on(&mut self, id: Id, next: Next<u64>) {
        match next {
            Next::Run(frame) => self.write(id, frame),
            Next::Leave => self.process(id).told = true,
            Next::Kill => self.process(id).dead = true,
            Next::Rest => {}
        }
    }

    fn submit(&mut self) -> Result<u64, Refused> {
        let number = self.submitted;
        self.submitted += 1;
        let ledger = Rc::clone(&self.ledger);
        let job = Job {
            number,
            since: self.now,
            tries: 0,
            ledger,
        };
        match self.core.submit(job, self.now) {
            Ok(Submitted::Run(hand)) => self.write(hand.0, number),
            Ok(Submitted::Wait(ticket)) => drop(self.tickets.insert(number, ticket)),
            Err(refused) => {
                self.resolve(number, "refused");
                return Err(refused);
            }
        }
        Ok(number)
    }

    /// The n-th living process that passes the test.
    fn pick(&self, n: usize, test: impl Fn(&Process) -> bool) -> Option<Id> {
        let fitting: Vec<Id> = self
            .processes
            .values()
            .filter(|(_, process)| !process.dead && test(process))
            .map(|(id, _)| *id)
            .collect();
        (!fitting.is_empty()).then(|| fitting[n % fitting.len()])
    }

    fn answer(&mut self, id: Id, asks: bool) {
        let frame = self.process(id).pipe.pop_front();
        let Some((job, next)) = self.core.answered(id, asks, self.now) else {
            panic!("an answer to {frame:?} that the pool does not know");
        };
        assert_eq!(Some(job.number), frame, "the answer goes to another request");
        if asks {
            self.core.asked_to_leave(id);
            self.process(id).told = true;
        }
        self.go_on(id, next);
        self.resolve(job.number, "answer");
    }

    fn die(&mut self, id: Id, unread: bool) {
        let process = self.process(id);
        process.dead = true;
        process.streaming = None;
        process.pipe.clear();
        let fate = if unread { Fate::Unread } else { Fate::Running };
        let lost = self.core.lost(id, fate, self.now);
        for job in lost.failed {
            self.resolve(job.number, "error");
        }
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Submit => drop(self.submit()),
            Step::ClientGoes(n) => {
                let open: Vec<u64> = (0..self.submitted)
                    .filter(|number| !self.ledger.borrow().resolved.contains_key(number))
                    .collect();
                if !open.is_empty() {
                    let number = open[n % open.len()];
                    self.ledger.borrow_mut().gone.insert(number, ());
                    if let Some(ticket) = self.tickets.remove(&number) {
                        drop(self.core.cancel(ticket));
                    }
                }
            }
            Step::BootSucceeds(n) if !self.booting.is_empty() => {
                let id = self.booting.swap_remove(n % self.booting.len());
                let next = self.core.ready(id, Hand(id), self.now);
                self.process(id);
                self.go_on(id, next);
            }
            Step::BootFails(n) if !self.booting.is_empty() => {
                let id = self.booting.swap_remove(n % self.booting.len());
                self.core.boot_failed(id, "no", self.now);
            }
            Step::Answer(n) | Step::AnswerAndAsk(n) => {
                if let Some(id) = self.pick(n, |process| process.streaming.is_none() && !process.pipe.is_empty()) {
                    self.answer(id, matches!(step, Step::AnswerAndAsk(_)));
                }
            }
            Step::Ask(n) => {
                if let Some(id) = self.pick(n, |process| process.streaming.is_none() && process.pipe.len() < 2) {
                    self.core.asked_to_leave(id);
                    self.process(id).told = true;
                }
            }
            Step::StreamBegins(n) => {
                if let Some(id) = self.pick(n, |process| process.streaming.is_none() && !process.pipe.is_empty()) {
                    let frame = self.process(id).pipe.pop_front();
                    let job = self.core.stream_begins(id, self.now).expect("a request to stream to");
                    assert_eq!(Some(job.number), frame);
                    self.process(id).streaming = frame;
                    self.resolve(job.number, "stream");
                }
            }
            Step::StreamEnds(n) => {
                if let Some(id) = self.pick(n, |process| process.streaming.is_some()) {
                    self.process(id).streaming = None;
                    let next = self.core.stream_ended(id, self.now);
                    self.go_on(id, next);
                }
            }
            Step::Dies(n, unread) => {
                if let Some(id) = self.pick(n, |_| true) {
                    self.die(id, unread);
                }
            }
            Step::Exits(n) => drop(self.exits(n)),
            Step::Time(ms) => self.now += Duration::from_millis(ms),
            Step::Memory(bytes) => self.core.check_limits(self.now, |_| bytes),
            Step::Reset => self.core.reset(),
            Step::Renew(hold) => self.core.renew(self.now + Duration::from_millis(hold)),
            Step::Add if self.core.base < 6 => {
                self.core.base += 1;
                self.core.wake = true;
            }
            Step::Remove if self.core.base > 1 => {
                self.core.base -= 1;
                self.core.wake = true;
            }
            _ => {}
        }
        self.settle();
    }

    /// A dead process, or one that was told to go and has answered everything, disappears.
    fn exits(&mut self, n: usize) -> bool {
        let ended = |process: &Process| process.dead || (process.told && process.streaming.is_none());
        let fitting: Vec<Id> = self
            .processes
            .values()
            .filter(|(_, process)| ended(process))
            .map(|(id, _)| *id)
            .collect();
        if fitting.is_empty() {
            return false;
        }
        let id = fitting[n % fitting.len()];
        self.die(id, false);
        let gone = self.core.exited(id).unwrap();
        self.causes.push((gone.cause, gone.last_frame));
        self.processes.remove(&id.serial);
        self.settle();
        true
    }

    /// From now on all goes well; the pool must come to rest with every request resolved.
    pub(super) fn calm_down(&mut self) {
        for _ in 0..10_000 {
            self.now += Duration::from_millis(20);
            self.settle();
            if !self.booting.is_empty() {
                self.step(Step::BootSucceeds(0));
            } else if self.exits(0) {
            } else if self.pick(0, |process| process.streaming.is_some()).is_some() {
                self.step(Step::StreamEnds(0));
            } else if self.pick(0, |process| !process.pipe.is_empty()).is_some() {
                self.step(Step::Answer(0));
            } else if self.core.queue.len() == 0 && self.core.idle.len() == self.core.target() {
                break;
            }
        }
        let core = &self.core;
        assert_eq!(core.queue.len(), 0, "requests still wait");
        assert_eq!(core.running, 0, "requests still run");
        assert_eq!(core.idle.len(), core.target(), "not all workers are idle");
        assert_eq!(core.slots.len(), core.target(), "slots are left over");
        self.check_resolved();
    }

    fn check_resolved(&self) {
        let ledger = self.ledger.borrow();
        for number in 0..self.submitted {
            let known = ledger.resolved.contains_key(&number) || ledger.gone.contains_key(&number);
            assert!(known, "request {number} was lost");
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let n = 0usize..8;
    let step = prop_oneof![
        6 => Just(Step::Submit),
        1 => n.clone().prop_map(Step::ClientGoes),
        4 => n.clone().prop_map(Step::BootSucceeds),
        1 => n.clone().prop_map(Step::BootFails),
        5 => n.clone().prop_map(Step::Answer),
        1 => n.clone().prop_map(Step::AnswerAndAsk),
        1 => n.clone().prop_map(Step::Ask),
        1 => n.clone().prop_map(Step::StreamBegins),
        1 => n.clone().prop_map(Step::StreamEnds),
        2 => (n.clone(), any::<bool>()).prop_map(|(n, unread)| Step::Dies(n, unread)),
        2 => n.prop_map(Step::Exits),
        2 => (0u64..4000).prop_map(Step::Time),
        1 => (0u64..400).prop_map(Step::Memory),
        1 => Just(Step::Reset),
        1 => (0u64..50).prop_map(Step::Renew),
        1 => Just(Step::Add),
        1 => Just(Step::Remove),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_is_lost_and_the_pool_recovers(
        steps in steps(), workers in 1usize..4, depth in 1usize..3, jobs in 0u64..5, exec in any::<bool>(),
        limits in any::<bool>(), scale in any::<bool>(),
    ) {
        let mut world = World::new(Rules {
            workers,
            depth,
            max_jobs: (jobs > 0).then_some(jobs),
            exec_ttl: exec.then_some(Duration::from_secs(3)),
            limits: limits.then_some(Limits {
                tick: Duration::from_secs(1),
                ttl: Some(Duration::from_secs(20)),
                idle_ttl: Some(Duration::from_secs(5)),
                memory: Some(100),
            }),
            scale: scale.then_some(Scale {
                most: 3,
                step: 2,
                idle: Duration::from_secs(2),
                after: Duration::from_millis(50),
            }),
            ..rules()
        });
        for step in steps {
            world.step(step);
        }
        world.core.rules.limits = None;
        world.core.rules.exec_ttl = None;
        world.calm_down();
    }

    /// Whatever happened before: a stop ends with no worker and no open request.
    #[test]
    fn a_stop_always_ends(steps in steps(), after in steps(), workers in 1usize..4, debug in any::<bool>()) {
        let mut world = World::new(Rules { workers, debug, ..rules() });
        for step in steps {
            world.step(step);
        }
        world.core.close();
        world.settle();
        for step in after {
            world.step(step);
        }
        for _ in 0..300 {
            world.step(Step::BootFails(0));
            world.step(Step::StreamEnds(0));
            world.step(Step::Answer(0));
            world.exits(0);
        }
        world.check_resolved();
        prop_assert!(world.core.slots.is_empty() && world.core.queue.len() == 0 && world.core.alarm.is_none());
    }

    /// POOL-11: in debug mode each request has a worker of its own.
    #[test]
    fn debug_workers_serve_once(steps in steps(), workers in 1usize..4) {
        let mut world = World::new(Rules { debug: true, workers, ..rules() });
        for step in steps {
            world.step(step);
            prop_assert!(world.core.slots.iter().all(|(_, slot)| slot.served <= 1));
        }
        world.calm_down();
        prop_assert!(world.core.slots.is_empty());
    }
}
