//! The world that the decisions are tried in: processes with pipes, requests with clients, a clock. It does what the executor
//! would do, and checks after every step what must hold.

use crate::pool::{
    deaths::Cause,
    dispatch::Next,
    queue::{Request, Ticket},
    rules::Rules,
    state::{Core, Effect, Id, Member, Stage},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    time::{Duration, Instant},
};

#[derive(Clone, Debug)]
pub(in crate::pool) struct Hand(pub(in crate::pool) Id);

impl Member for Hand {
    fn pid(&self) -> u32 {
        self.0.serial as u32
    }
}

/// What became of each request: resolved by an answer or an error, or its client has gone.
#[derive(Debug, Default)]
pub(in crate::pool) struct Ledger {
    pub(in crate::pool) resolved: BTreeMap<u64, &'static str>,
    pub(super) gone: BTreeMap<u64, ()>,
}

#[derive(Clone, Debug)]
pub(in crate::pool) struct Job {
    pub(super) number: u64,
    pub(super) since: Instant,
    pub(super) tries: u32,
    pub(in crate::pool) ledger: Rc<RefCell<Ledger>>,
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
pub(in crate::pool) struct Process {
    /// Frames in its pipe.
    pub(super) pipe: VecDeque<u64>,
    pub(super) streaming: Option<u64>,
    pub(in crate::pool) told: bool,
    pub(super) dead: bool,
}

pub(in crate::pool) struct World {
    pub(in crate::pool) core: Core<Hand, Job>,
    pub(in crate::pool) now: Instant,
    pub(in crate::pool) ledger: Rc<RefCell<Ledger>>,
    pub(in crate::pool) booting: Vec<Id>,
    pub(in crate::pool) processes: BTreeMap<u64, (Id, Process)>,
    pub(super) tickets: BTreeMap<u64, Ticket>,
    pub(super) submitted: u64,
    /// Workers whose request ran for too long.
    pub(super) overdue: BTreeSet<u64>,
    /// Why each worker is no more, and what it was working on.
    pub(in crate::pool) causes: Vec<(Cause, Option<u64>)>,
}

pub(in crate::pool) fn rules() -> Rules {
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
    pub(in crate::pool) fn new(rules: Rules) -> Self {
        let mut world = Self {
            core: Core::new(rules, 7),
            now: Instant::now() + Duration::from_secs(1000),
            ledger: Rc::default(),
            booting: Vec::new(),
            processes: BTreeMap::new(),
            tickets: BTreeMap::new(),
            submitted: 0,
            overdue: BTreeSet::new(),
            causes: Vec::new(),
        };
        world.settle();
        world
    }

    /// Does what the executor would do until nothing more follows.
    pub(super) fn settle(&mut self) {
        loop {
            for effect in std::mem::take(&mut self.core.effects) {
                match effect {
                    Effect::Send(hand, frame) => self.write(hand.0, frame),
                    Effect::Stop(hand) => self.process(hand.0).told = true,
                    Effect::Kill(hand) => self.process(hand.0).dead = true,
                    Effect::Fail(job, _) => self.resolve(job.number, "error"),
                    Effect::Overdue(hand) => assert!(self.overdue.insert(hand.0.serial), "told and killed once"),
                    Effect::Marked(..) => {}
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

    pub(super) fn process(&mut self, id: Id) -> &mut Process {
        &mut self.processes.entry(id.serial).or_insert((id, Process::default())).1
    }

    pub(super) fn write(&mut self, id: Id, frame: u64) {
        let process = self.process(id);
        process.pipe.push_back(frame);
        assert!(process.pipe.len() + usize::from(process.streaming.is_some()) <= 2);
    }

    pub(super) fn resolve(&mut self, number: u64, how: &'static str) {
        let before = self.ledger.borrow_mut().resolved.insert(number, how);
        assert_eq!(before, None, "request {number} was resolved twice");
    }

    pub(super) fn go_on(&mut self, id: Id, next: Next<u64>) {
        match next {
            Next::Run(frame) => self.write(id, frame),
            Next::Leave => self.process(id).told = true,
            Next::Kill => self.process(id).dead = true,
            Next::Rest => {}
        }
    }

    /// The n-th living process that passes the test.
    pub(super) fn pick(&self, n: usize, test: impl Fn(&Process) -> bool) -> Option<Id> {
        let fitting: Vec<Id> = self
            .processes
            .values()
            .filter(|(_, process)| !process.dead && test(process))
            .map(|(id, _)| *id)
            .collect();
        (!fitting.is_empty()).then(|| fitting[n % fitting.len()])
    }

    pub(super) fn check_resolved(&self) {
        let ledger = self.ledger.borrow();
        for number in 0..self.submitted {
            let known = ledger.resolved.contains_key(&number) || ledger.gone.contains_key(&number);
            assert!(known, "request {number} was lost");
        }
    }
}
