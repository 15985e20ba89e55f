//! What clients do with a few resources and ids, so that they meet.

use crate::driver::Mode;
use proptest::prelude::*;

pub(super) const RESOURCES: [&str; 2] = ["r", "s"];
pub(super) const IDS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
pub(super) enum Step {
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

pub(super) fn any_step() -> impl Strategy<Value = Step> {
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
