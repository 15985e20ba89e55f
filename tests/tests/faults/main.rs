//! Many random faults, from a seed, under a light load. In between anything may fail but never be refused; at the end everything is as it
//! was: every worker ready, the same connections in use, nothing leaked.
//!
//! `RR_TEST_FAULTS` says how many, `RR_TEST_SEED` which ones; the seed and the last faults are in every failure.
#![allow(clippy::unwrap_used)]

mod callers;
mod dice;
mod inventory;
mod place;

use callers::{Callers, connect};
use dice::{Dice, Fault};
use nix::sys::signal::Signal;
use place::{Place, config};
use rr_tests::{Rpc, eventually, load::Load, port::local, process, rounds::number, wait::holds_within};
use serde_json::{Value, json};
use std::{
    fs,
    sync::{Mutex, atomic::Ordering},
    time::Duration,
};

/// The longest that the server may take to be itself again.
pub(crate) const RECOVERY: Duration = Duration::from_secs(60);

/// What was done last, for the report.
static DONE: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[test]
fn after_random_faults_everything_is_as_before() {
    let seed: u64 = number("RR_TEST_SEED").unwrap_or(3);
    let count: u64 = number("RR_TEST_FAULTS").unwrap_or(60);
    println!("RR_TEST_SEED={seed} RR_TEST_FAULTS={count}");
    let mut dice = Dice(seed);

    let mut place = Place::start();
    let mut operator = Rpc::tcp(local(place.rpc));
    eventually(RECOVERY, || place.is_itself(&mut operator));
    let load = Load::start(place.server.address(), 2, "/echo?body=hi");
    let callers = Callers::start(place.rpc, 2);
    // Everything has been called, so every connection that stays is there.
    eventually(RECOVERY, || {
        load.answers() > 50 && callers.answers.load(Ordering::Relaxed) > 50
    });
    let before = place.inventory();

    let mut stopped: Vec<(u32, u64)> = Vec::new();
    for n in 0..count {
        let fault = dice.fault();
        let (words, pid) = place.commit(fault, &mut dice);
        if let Fault::KillSupervisor = fault {
            operator = connect(place.rpc);
        }
        DONE.lock().unwrap().push(format!("{n}: {words}"));
        stopped.extend(pid.map(|pid| (pid, n + 1 + dice.roll(3))));
        // What was stopped goes on a few faults later.
        stopped.retain(|(pid, until)| {
            if *until <= n {
                process::signal(*pid, Signal::SIGCONT);
            }
            *until > n
        });
        // Sometimes the next one comes at once, sometimes after a few requests, sometimes when all is well again.
        let (answers, asked) = (load.answers(), callers.answers.load(Ordering::Relaxed));
        match dice.roll(4) {
            0 => {}
            1 if stopped.is_empty() => eventually(RECOVERY, || place.is_itself(&mut operator)),
            more => {
                let more = usize::try_from(more * 10).unwrap();
                let moved =
                    || load.answers() > answers + more || callers.answers.load(Ordering::Relaxed) > asked + more;
                // With everything stopped nothing moves; then the next fault is due.
                let _ = holds_within(Duration::from_millis(500), moved);
            }
        }
        assert!(place.server.running(), "the supervisor has ended: {}", report(&place));
    }
    for (pid, _) in stopped {
        process::signal(pid, Signal::SIGCONT);
    }
    let good = config(place.server.address().port(), place.rpc, &place.control);
    fs::write(&place.file, good.to_string()).unwrap();
    // One that is asked for while something else is under way is refused, and one whose new process a fault has hit fails.
    eventually(RECOVERY, || {
        let answer = connect(place.rpc).try_call("supervisor.Reload", &json!({}));
        answer.is_some_and(|answer| answer.error().is_none())
    });

    let recovered = holds_within(RECOVERY, || place.is_itself(&mut operator));
    let state = operator.call("supervisor.Plugins", &Value::Null).text();
    assert!(recovered, "not itself again: {state}\n{}", report(&place));
    let (answers, asked) = (load.answers(), callers.answers.load(Ordering::Relaxed));
    let goes_on = holds_within(RECOVERY, || {
        load.answers() > answers + 50 && callers.answers.load(Ordering::Relaxed) > asked + 50
    });
    assert!(goes_on, "no answers: {}", report(&place));

    // An adopted process is watched by descriptors of its own: one of each that is the supervisor's child is what there was before.
    let renewals = operator.call("supervisor.Self", &Value::Null).json()["renewals"].clone();
    if !place.before.is_empty() || renewals != 0 {
        place.plugins().into_iter().for_each(process::kill_and_wait);
        let again = holds_within(RECOVERY, || place.is_itself(&mut operator));
        assert!(again, "not itself after all were killed: {}", report(&place));
        let asked = callers.answers.load(Ordering::Relaxed);
        eventually(RECOVERY, || callers.answers.load(Ordering::Relaxed) > asked + 50);
    }
    let mut after = place.inventory();
    let clean = holds_within(RECOVERY, || {
        after = place.inventory();
        after == before
    });
    assert!(clean, "before {before:#?}\nafter {after:#?}\n{}", report(&place));

    let outcome = load.stop();
    // Where the supervisor dies while rr-http is dead too nobody holds the sockets; short of that nobody is refused.
    if place.before.is_empty() {
        assert_eq!(outcome.refused, 0, "connections were refused: {}", report(&place));
    }
    println!(
        "{renewals} renewals at the end, {} requests answered, {} failed with their process",
        outcome.answers,
        outcome.failures.len()
    );
    for mut rpc in callers.stop() {
        assert_eq!(rpc.call("rpc.Version", &Value::Null).json(), "2025.1.15");
        assert!(rpc.call("own.Pid", &Value::Null).error().is_none());
        for method in ["kv.Nothing", "lock.Nothing"] {
            let text = rpc.call(method, &Value::Null).error().unwrap();
            assert_eq!(text, format!("rpc: can't find method {method}"));
        }
    }
    assert!(place.server.stop().success(), "{}", report(&place));
}

pub(crate) fn last() -> Vec<String> {
    let done = DONE.lock().unwrap();
    done[done.len().saturating_sub(40)..].to_vec()
}

/// The last faults and the last lines of the log.
fn report(place: &Place) -> String {
    let log = place.server.log();
    let lines: Vec<&str> = log.lines().collect();
    format!(
        "\nfaults: {:#?}\nlog:\n{}",
        last(),
        lines[lines.len().saturating_sub(60)..].join("\n")
    )
}
