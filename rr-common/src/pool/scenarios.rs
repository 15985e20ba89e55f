//! The decisions in single situations, each in the model's world.

#![allow(clippy::unwrap_used)]

use super::{
    deaths::Cause,
    model::{Step, World, rules},
    rules::{Rules, Scale},
};
use std::time::Duration;

fn booted(rules: Rules) -> World {
    let mut world = World::new(rules);
    while !world.booting.is_empty() {
        world.step(Step::BootSucceeds(0));
    }
    world
}

/// POOL-04: a worker at its limit serves on until the new one is ready, and no request waits for that.
#[test]
fn a_worker_at_its_limit_serves_until_it_is_replaced() {
    let mut world = booted(Rules {
        workers: 1,
        max_jobs: Some(2),
        ..rules()
    });
    for _ in 0..3 {
        world.step(Step::Submit);
        world.step(Step::Answer(0));
    }
    assert_eq!((world.booting.len(), world.core.idle.len()), (1, 1));
    assert_eq!(world.ledger.borrow().resolved.len(), 3);
    world.step(Step::BootSucceeds(0));
    assert_eq!(world.core.serving, 1);
    assert_eq!(world.processes.values().filter(|(_, process)| process.told).count(), 1);
    world.calm_down();
}

/// A worker that should serve one request never serves two.
#[test]
fn max_jobs_of_one_is_exact() {
    let mut world = booted(Rules {
        workers: 1,
        max_jobs: Some(1),
        ..rules()
    });
    for _ in 0..20 {
        world.step(Step::Submit);
    }
    for _ in 0..100 {
        world.step(Step::Answer(0));
        world.step(Step::BootSucceeds(0));
        assert!(world.core.slots.iter().all(|(_, slot)| slot.served <= 1));
    }
    assert_eq!(world.ledger.borrow().resolved.len(), 20);
}

/// POOL-07: only exec_ttl ends a running request, and a frame behind it goes to another worker.
#[test]
fn exec_ttl_fails_the_running_request_only() {
    let mut world = booted(Rules {
        workers: 1,
        depth: 2,
        exec_ttl: Some(Duration::from_secs(1)),
        ..rules()
    });
    world.step(Step::Submit);
    world.step(Step::Answer(0));
    for _ in 0..2 {
        world.step(Step::Submit);
    }
    assert_eq!(world.core.running, 2);
    world.step(Step::Time(999));
    assert_eq!(world.core.running, 2);
    world.step(Step::Time(1));
    assert_eq!((world.core.running, world.core.queue.len()), (0, 1));
    assert_eq!(world.ledger.borrow().resolved.get(&1), Some(&"error"));
    world.calm_down();
    assert_eq!(world.ledger.borrow().resolved.get(&2), Some(&"answer"));
}

/// No alarm rings while nothing is to be watched.
#[test]
fn at_rest_no_alarm_is_set() {
    let mut world = booted(Rules {
        exec_ttl: Some(Duration::from_secs(1)),
        ..rules()
    });
    world.step(Step::Submit);
    world.step(Step::Answer(0));
    world.step(Step::Time(2000));
    assert_eq!(world.core.alarm, None);
}

/// The retry of a failed start waits longer each time, and never gives up.
#[test]
fn failing_starts_back_off() {
    let mut world = booted(Rules { workers: 1, ..rules() });
    world.step(Step::Submit);
    world.step(Step::Dies(0, false));
    assert_eq!(world.booting.len(), 1, "the first replacement is started at once");
    for wait in [0, 100, 200, 400, 800, 1000, 1000] {
        world.step(Step::BootFails(0));
        if wait > 0 {
            world.step(Step::Time(wait - 1));
            assert!(world.booting.is_empty(), "before {wait} ms");
            world.step(Step::Time(1));
        }
        assert_eq!(world.booting.len(), 1, "after {wait} ms");
    }
    world.calm_down();
}

/// POOL-12: workers are added while requests wait, and removed one by one.
#[test]
fn scaling_follows_the_queue() {
    let scale = Scale {
        most: 3,
        step: 2,
        idle: Duration::from_secs(5),
        after: Duration::from_millis(50),
    };
    let mut world = booted(Rules {
        workers: 1,
        scale: Some(scale),
        ..rules()
    });
    for _ in 0..20 {
        world.step(Step::Submit);
    }
    world.step(Step::Time(49));
    assert_eq!(world.core.extra, 0);
    world.step(Step::Time(1));
    assert_eq!((world.core.extra, world.booting.len()), (2, 2));
    world.step(Step::Time(500));
    assert_eq!(world.core.extra, 2, "more only when those are there");
    world.step(Step::BootSucceeds(0));
    world.step(Step::BootSucceeds(0));
    world.step(Step::Time(1));
    assert_eq!(world.core.extra, 3);
    world.calm_down();
    for left in [2, 1, 0, 0] {
        world.step(Step::Time(if left == 2 { 5000 } else { 1000 }));
        assert_eq!(world.core.extra, left);
    }
}

/// POOL-14: a reset keeps the capacity, and a new version that does not start takes nothing away.
#[test]
fn a_reset_never_lowers_the_capacity() {
    let mut world = booted(Rules { workers: 5, ..rules() });
    world.step(Step::Reset);
    for _ in 0..5 {
        assert!(world.core.serving == 5 && !world.booting.is_empty() && world.booting.len() <= 2);
        world.step(Step::BootFails(0));
        world.step(Step::Time(1000));
    }
    while world.core.outdated() > 0 {
        world.step(Step::BootSucceeds(0));
        assert!(world.core.serving >= 5);
        world.step(Step::Time(1000));
    }
    world.calm_down();
}

/// POOL-14: a share at a time: new workers on their way and old ones that finish a request are together never more. A request
/// that takes longer than `reset_timeout` is not waited for.
#[test]
fn a_reset_replaces_a_share_at_a_time() {
    let mut world = booted(Rules {
        workers: 8,
        replace_at_once: 4,
        share: 3,
        reset_timeout: Duration::from_secs(5),
        ..rules()
    });
    for _ in 0..8 {
        world.step(Step::Submit);
    }
    world.step(Step::Reset);
    assert_eq!(world.booting.len(), 3);
    for _ in 0..3 {
        world.step(Step::BootSucceeds(0));
        assert!(world.core.serving == 8);
    }
    // Three old ones finish their requests now, and the next wait for them.
    assert_eq!((world.booting.len(), world.core.slots.len()), (0, 11));
    world.step(Step::Answer(0));
    world.step(Step::Time(4999));
    assert!(world.core.slots.len() <= 11 && world.core.serving == 8);
    world.step(Step::Time(1));
    assert_eq!(world.booting.len(), 3);
    world.calm_down();
    assert_eq!((world.core.outdated(), world.core.alarm), (0, None));
}

/// The pool knows of each worker why it is no more.
#[test]
fn every_end_has_its_cause() {
    let causes = |rules: Rules, steps: &[Step]| {
        let mut world = booted(rules);
        for step in steps {
            world.step(*step);
        }
        world.calm_down();
        world.causes
    };
    let one = || Rules { workers: 1, ..rules() };
    let limited = Rules {
        max_jobs: Some(1),
        ..one()
    };
    let timed = Rules {
        exec_ttl: Some(Duration::from_secs(1)),
        ..one()
    };
    assert_eq!(causes(one(), &[Step::Dies(0, false)]), [(Cause::Crash, None)]);
    let busy = [Step::Submit, Step::Dies(0, false)];
    assert_eq!(causes(one(), &busy), [(Cause::Crash, Some(0))]);
    let marked = [Step::Submit, Step::Reset, Step::Dies(0, false)];
    assert_eq!(causes(one(), &marked), [(Cause::Crash, Some(0))]);
    assert_eq!(
        causes(limited, &[Step::Submit, Step::Answer(0)]),
        [(Cause::MaxJobs, None)]
    );
    assert_eq!(
        causes(timed, &[Step::Submit, Step::Time(1000)]),
        [(Cause::ExecTtl, Some(0))]
    );
    // A stream's frame is not kept, and the one behind it has not begun.
    let two = || Rules { depth: 2, ..one() };
    let streams = [Step::Submit, Step::Submit, Step::StreamBegins(0), Step::Dies(0, false)];
    assert_eq!(causes(two(), &streams), [(Cause::Crash, None)]);
    let timed = Rules {
        exec_ttl: Some(Duration::from_secs(1)),
        ..two()
    };
    let streams = [
        Step::Submit,
        Step::Submit,
        Step::StreamBegins(0),
        Step::Time(1000),
        Step::Time(1),
    ];
    assert_eq!(causes(timed, &streams), [(Cause::ExecTtl, None)]);
    assert_eq!(causes(one(), &[Step::Reset]), [(Cause::Reset, None)]);
    assert_eq!(causes(one(), &[Step::Ask(0)]), [(Cause::Asked, None)]);
    let fewer = [Step::Add, Step::BootSucceeds(0), Step::Remove];
    assert_eq!(causes(one(), &fewer), [(Cause::Fewer, None)]);
}

/// Once the code has changed nobody is served by what was there before: not by the idle, not by those on their way.
#[test]
fn new_code_is_served_by_new_workers_only() {
    let mut world = booted(rules());
    world.step(Step::Submit);
    let old: Vec<u64> = world.core.slots.iter().map(|(_, slot)| slot.serial).collect();
    world.step(Step::Renew(30));
    world.step(Step::Submit);
    world.step(Step::Answer(0));
    assert_eq!(world.booting.len(), 0, "started before it is quiet");
    world.step(Step::Time(30));
    assert_eq!((world.booting.len(), world.core.queue.len()), (2, 1));
    // A second change: those that are on their way leave as soon as they come.
    let second = world.booting.clone();
    world.step(Step::Renew(0));
    assert_eq!(world.booting.len(), 4);
    for id in second {
        world.booting.retain(|other| *other != id);
        assert!(matches!(
            world.core.ready(id, super::model::Hand(id), world.now),
            super::dispatch::Next::Leave
        ));
        world.core.exited(id);
    }
    world.step(Step::BootSucceeds(0));
    world.step(Step::Answer(0));
    assert_eq!(world.ledger.borrow().resolved.get(&1), Some(&"answer"));
    assert!(
        world
            .core
            .slots
            .iter()
            .all(|(_, slot)| !old.contains(&slot.serial) || slot.served < 2)
    );
    world.calm_down();
}

/// Code that does not start: whoever waits hears it at once, each further request is one try, and nothing else is.
#[test]
fn broken_code_fails_requests_at_once_until_it_starts() {
    let mut world = booted(rules());
    world.step(Step::Renew(0));
    world.step(Step::Submit);
    while !world.booting.is_empty() {
        world.step(Step::BootFails(0));
    }
    assert_eq!(world.ledger.borrow().resolved.get(&0), Some(&"error"));
    world.step(Step::Time(60_000));
    assert!(world.booting.is_empty(), "starts without being asked");
    world.step(Step::Submit);
    assert_eq!(world.booting.len(), 1);
    world.step(Step::BootFails(0));
    assert_eq!(world.ledger.borrow().resolved.get(&1), Some(&"error"));
    // What was wrong was no file: the next request finds it repaired.
    world.step(Step::Submit);
    world.step(Step::BootSucceeds(0));
    world.step(Step::Answer(0));
    assert_eq!(world.ledger.borrow().resolved.get(&2), Some(&"answer"));
    world.calm_down();
    assert_eq!(world.core.serving, 2);
}

/// Code that never started: the same from the first request on.
#[test]
fn a_pool_that_waits_for_its_first_repair_is_like_one_that_broke_later() {
    let mut world = World::new(rules());
    world.step(Step::BootFails(0));
    world.core.await_repair();
    while !world.booting.is_empty() {
        world.step(Step::BootFails(0));
    }
    world.step(Step::Time(60_000));
    assert!(world.booting.is_empty(), "starts without being asked");
    world.step(Step::Submit);
    assert_eq!(world.booting.len(), 1);
    world.step(Step::BootFails(0));
    assert_eq!(world.ledger.borrow().resolved.get(&0), Some(&"error"));
    // The save that repairs it brings all workers, before anybody asks.
    world.step(Step::Renew(0));
    while !world.booting.is_empty() {
        world.step(Step::BootSucceeds(0));
    }
    world.calm_down();
    assert_eq!(world.core.serving, 2);
}
