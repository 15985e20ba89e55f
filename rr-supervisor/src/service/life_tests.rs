use super::*;
use proptest::prelude::*;

const RULES: Rules = Rules {
    exec_timeout: None,
    restart: Some(Duration::from_secs(3)),
    stop: Duration::from_secs(5),
};

const SECOND: Duration = Duration::from_secs(1);

fn started(rules: Rules, now: Instant) -> Life {
    let mut life = Life::new(rules);
    assert!(life.is_down());
    assert_eq!(life.on(Event::Start, now), Some(Action::Spawn));
    life
}

/// The wait that follows a death.
fn wait(life: &Life, now: Instant) -> Duration {
    life.wake().map_or(Duration::MAX, |wake| wake.duration_since(now))
}

#[test]
fn after_any_exit_it_is_started_again_if_it_shall_remain() {
    let now = Instant::now();
    for exit in [Exit::Code(0), Exit::Code(1), Exit::Signal(9)] {
        let mut life = started(RULES, now);
        assert_eq!(life.wake(), None, "it may run for ever");
        assert_eq!(life.on(Event::Died(exit), now + SECOND), None);
        assert_eq!(wait(&life, now + SECOND), 3 * SECOND);
        assert_eq!(life.on(Event::Elapsed, now + 3 * SECOND), None, "too early");
        assert_eq!(life.on(Event::Elapsed, now + 4 * SECOND), Some(Action::Spawn));
    }
    let mut once = started(Rules { restart: None, ..RULES }, now);
    assert_eq!(once.on(Event::Died(Exit::Code(1)), now), None);
    assert!(once.is_down());
}

#[test]
fn quick_failures_in_a_row_are_answered_slower_and_slower() {
    let mut now = Instant::now();
    let mut life = started(RULES, now);
    let mut waits = Vec::new();
    for _ in 0..12 {
        life.on(Event::Died(Exit::Code(1)), now);
        waits.push(wait(&life, now).as_secs());
        now += wait(&life, now);
        assert_eq!(life.on(Event::Elapsed, now), Some(Action::Spawn));
    }
    assert_eq!(waits, [3, 3, 3, 3, 3, 6, 12, 24, 48, 60, 60, 60]);
    // One good run, or one long one, and all is forgotten.
    life.on(Event::Died(Exit::Code(0)), now);
    assert_eq!(wait(&life, now), 3 * SECOND);
}

#[test]
fn short_runs_that_succeed_keep_their_rhythm() {
    let mut now = Instant::now();
    let mut life = started(RULES, now);
    for _ in 0..20 {
        life.on(Event::Died(Exit::Code(0)), now);
        assert_eq!(wait(&life, now), 3 * SECOND);
        now += 3 * SECOND;
        life.on(Event::Elapsed, now);
    }
}

#[test]
fn a_run_that_is_too_long_is_killed_and_then_follows_the_rule() {
    let now = Instant::now();
    let rules = Rules {
        exec_timeout: Some(Duration::from_millis(100)),
        ..RULES
    };
    let mut life = started(rules, now);
    let mut at = now + Duration::from_millis(100);
    assert_eq!(life.wake(), Some(at));
    for _ in 0..9 {
        assert_eq!(life.on(Event::Elapsed, at), Some(Action::TimeOut));
        assert_eq!(life.wake(), Some(at + KILL_AGAIN), "until it is dead");
        life.on(Event::Died(Exit::Signal(9)), at);
        assert_eq!(wait(&life, at), 3 * SECOND, "that was no failure of its own");
        at += 3 * SECOND;
        life.on(Event::Elapsed, at);
        at += Duration::from_millis(100);
    }
}

#[test]
fn a_stop_does_not_lengthen_a_run() {
    let now = Instant::now();
    let rules = Rules {
        exec_timeout: Some(SECOND),
        ..RULES
    };
    for event in [Event::Stop(now + 60 * SECOND), Event::Restart] {
        let mut life = started(rules, now);
        assert_eq!(life.on(event, now), Some(Action::Interrupt));
        assert_eq!(wait(&life, now), SECOND);
    }
}

#[test]
fn a_stop_is_asked_once_then_forced() {
    let now = Instant::now();
    let mut life = started(RULES, now);
    assert_eq!(life.on(Event::Stop(now + 60 * SECOND), now), Some(Action::Interrupt));
    assert_eq!(wait(&life, now), 5 * SECOND);
    assert_eq!(life.on(Event::Stop(now + 2 * SECOND), now), None);
    assert_eq!(wait(&life, now), 2 * SECOND, "the server's deadline counts too");
    assert_eq!(life.on(Event::Elapsed, now + 2 * SECOND), Some(Action::Kill));
    assert_eq!(life.on(Event::Elapsed, now + 7 * SECOND), Some(Action::Kill));
    assert!(life.is_stopping());
    assert_eq!(life.on(Event::Died(Exit::Signal(9)), now + 7 * SECOND), None);
    assert!(life.is_down());
}

#[test]
fn a_restart_takes_the_place_of_whatever_is() {
    let now = Instant::now();
    let mut up = started(RULES, now);
    assert_eq!(up.on(Event::Restart, now), Some(Action::Interrupt));
    assert_eq!(up.on(Event::Restart, now), None);
    assert_eq!(up.on(Event::Died(Exit::Signal(2)), now), Some(Action::Spawn));
    up.on(Event::Died(Exit::Code(1)), now);
    assert_eq!(up.on(Event::Restart, now), Some(Action::Spawn), "it does not wait");
    let mut down = Life::new(RULES);
    assert_eq!(down.on(Event::Restart, now), Some(Action::Spawn));
    // A stop during the restart wins.
    down.on(Event::Restart, now);
    down.on(Event::Stop(now + SECOND), now);
    assert_eq!(down.on(Event::Died(Exit::Signal(2)), now), None);
    assert!(down.is_down());
}

fn events() -> impl Strategy<Value = Vec<(u8, u64)>> {
    prop::collection::vec((0..6_u8, 0..8000_u64), 0..60)
}

proptest! {
    /// Whatever happens: spawned only when no process is there, signalled only when one is, and a stop ends it.
    #[test]
    fn no_sequence_wedges_it(events in events(), timed in any::<bool>(), again in any::<bool>()) {
        let mut now = Instant::now();
        let mut life = Life::new(Rules {
            exec_timeout: timed.then_some(SECOND),
            restart: again.then_some(SECOND),
            stop: SECOND,
        });
        let mut alive = false;
        let mut act = |life: &mut Life, event: Event, now: Instant| {
            if matches!(event, Event::Died(_)) {
                if !alive {
                    return alive;
                }
                alive = false;
            }
            match life.on(event, now) {
                Some(Action::Spawn) => {
                    assert!(!alive, "spawned twice by {event:?}");
                    alive = true;
                }
                Some(action) => assert!(alive, "{action:?} for nobody by {event:?}"),
                None => {}
            }
            alive
        };
        for (kind, millis) in events {
            now += Duration::from_millis(millis);
            let event = match kind {
                0 => Event::Start,
                1 => Event::Died(Exit::Code(0)),
                2 => Event::Died(Exit::Signal(9)),
                3 => Event::Stop(now + SECOND),
                4 => Event::Restart,
                _ => Event::Elapsed,
            };
            act(&mut life, event, now);
        }
        act(&mut life, Event::Stop(now + SECOND), now);
        for _ in 0..3 {
            now = life.wake().unwrap_or(now);
            act(&mut life, Event::Elapsed, now);
        }
        act(&mut life, Event::Died(Exit::Signal(9)), now);
        prop_assert!(life.is_down());
        prop_assert_eq!(life.wake(), None);
    }
}
