//! The decisions against a model of the world: whatever workers and clients do in whatever order, no request is lost or
//! answered twice, and the pool always comes back to its full number of idle workers.
//!
//! - [`world`]: what the decisions have to do with
//! - [`step`]: what can happen in it

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod step;
mod world;

pub(super) use step::Step;
pub(super) use world::{Hand, World, rules};

use super::rules::{Limits, Rules, Scale};
use proptest::prelude::*;
use std::time::Duration;

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
