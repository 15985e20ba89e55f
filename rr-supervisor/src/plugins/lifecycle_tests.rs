//! The life of a plugin, tried without a process or a clock.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use rr_common::config::Dur;

const PATIENCE: Duration = Duration::from_secs(60);

fn restart() -> Restart {
    Restart {
        backoff: Dur(Duration::from_millis(250)),
        max: 4,
        window: Dur::secs(60),
    }
}

/// A lifecycle and its clock.
struct Bench {
    life: Lifecycle,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self {
            life: Lifecycle::new(restart(), PATIENCE),
            now: Instant::now(),
        }
    }

    fn up() -> Self {
        let mut bench = Self::new();
        assert_eq!(bench.on(Event::Start), Some(Action::Spawn));
        bench
    }

    fn on(&mut self, event: Event) -> Option<Action> {
        self.life.on(event, self.now)
    }

    fn die(&mut self) -> Option<Action> {
        self.on(Event::Died)
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }
}

#[test]
fn a_settled_plugin_is_restarted_at_once_however_often_it_dies() {
    let mut bench = Bench::up();
    for _ in 0..20 {
        bench.on(Event::Ready);
        assert!(bench.life.is_ready());
        assert_eq!(bench.after(SETTLED).die(), Some(Action::Spawn));
        assert!(!bench.life.is_ready());
    }
}

#[test]
fn early_deaths_are_answered_slower_and_slower_until_it_is_given_up() {
    let mut bench = Bench::up();
    assert_eq!(bench.die(), Some(Action::Spawn), "the first restart is immediate");
    for wait in [250, 500] {
        assert_eq!(bench.die(), None);
        let until = bench.now + Duration::from_millis(wait);
        assert_eq!(bench.life.actual(), Actual::Waiting { until });
        assert_eq!(bench.life.wake(), Some(until));
        assert_eq!(bench.on(Event::Elapsed), None, "too soon");
        assert_eq!(
            bench.after(Duration::from_millis(wait)).on(Event::Elapsed),
            Some(Action::Spawn)
        );
    }
    assert_eq!(bench.die(), Some(Action::GiveUp));
    assert_eq!(bench.life.actual(), Actual::Failed);
    assert_eq!(bench.life.wake(), None);
    assert!(bench.life.has_died());
    assert_eq!(bench.on(Event::Start), Some(Action::Spawn), "by hand it starts again");
    assert_eq!(bench.die(), Some(Action::Spawn), "with a new budget");
}

#[test]
fn early_deaths_outside_the_window_are_forgotten() {
    let mut bench = Bench::up();
    for _ in 0..10 {
        assert_eq!(bench.after(Duration::from_secs(61)).die(), Some(Action::Spawn));
    }
}

#[test]
fn a_death_right_after_ready_is_early() {
    let mut bench = Bench::up();
    bench.on(Event::Ready);
    bench.after(SETTLED - Duration::from_millis(1));
    assert!(bench.life.is_early(bench.now));
    bench.after(Duration::from_millis(1));
    assert!(!bench.life.is_early(bench.now));
}

#[test]
fn a_start_without_end_is_killed_again_and_again() {
    let mut bench = Bench::up();
    assert_eq!(bench.life.wake(), Some(bench.now + PATIENCE));
    assert_eq!(bench.after(PATIENCE).on(Event::Elapsed), Some(Action::Kill));
    assert_eq!(bench.on(Event::Elapsed), None);
    assert_eq!(bench.after(KILL_AGAIN).on(Event::Elapsed), Some(Action::Kill));
    assert_eq!(bench.die(), Some(Action::Spawn));
}

#[test]
fn a_stop_is_asked_once_then_forced() {
    let mut bench = Bench::up();
    bench.on(Event::Ready);
    let kill_at = bench.now + Duration::from_secs(3);
    assert_eq!(bench.on(Event::Stop(kill_at)), Some(Action::AskStop));
    assert_eq!(bench.on(Event::Stop(kill_at + PATIENCE)), None);
    assert_eq!(bench.life.wake(), Some(kill_at), "the earlier deadline counts");
    bench.now = kill_at;
    assert_eq!(bench.on(Event::Elapsed), Some(Action::Kill));
    assert_eq!(bench.die(), None);
    assert_eq!(bench.life.actual(), Actual::Down);
}

#[test]
fn a_stop_during_the_backoff_starts_nothing_any_more() {
    let mut bench = Bench::up();
    bench.die();
    bench.die();
    assert_eq!(bench.on(Event::Stop(bench.now)), None);
    assert_eq!(bench.life.actual(), Actual::Down);
    assert_eq!(bench.after(PATIENCE).on(Event::Elapsed), None);
}

#[test]
fn wanted_up_again_while_it_stops_it_comes_back() {
    let mut bench = Bench::up();
    bench.on(Event::Ready);
    bench.on(Event::Stop(bench.now + PATIENCE));
    assert_eq!(bench.on(Event::Start), None);
    assert_eq!(bench.die(), Some(Action::Spawn));
}

#[test]
fn a_late_ready_of_a_stopping_process_means_nothing() {
    let mut bench = Bench::up();
    bench.on(Event::Stop(bench.now + PATIENCE));
    bench.on(Event::Ready);
    assert!(!bench.life.is_ready());
}

#[test]
fn one_that_arrives_is_taken_as_it_is() {
    let mut bench = Bench::new();
    assert_eq!(bench.on(Event::Start), Some(Action::Spawn));
    bench.on(Event::Stop(bench.now));
    bench.die();
    bench.on(Event::Arrived(bench.now + PATIENCE));
    assert!(bench.life.is_alive() && !bench.life.is_ready() && bench.life.was_ready());
    assert_eq!(bench.life.wake(), Some(bench.now + PATIENCE));
    bench.on(Event::Ready);
    assert!(bench.life.is_ready());
    assert_eq!(bench.after(SETTLED).die(), None, "nobody wanted one of ours");
    bench.on(Event::Arrived(bench.now + PATIENCE));
    assert_eq!(bench.on(Event::Start), None, "there is one");
    assert_eq!(bench.die(), Some(Action::Spawn), "now we want one");
}

fn any_event() -> impl Strategy<Value = (u64, u8)> {
    (0..40_000_u64, 0..6_u8)
}

proptest! {
    /// Whatever happens in whatever order: a wanted plugin that is not given up gets a process again, an unwanted one
    /// gets none, and a process that does not go is killed.
    #[test]
    fn no_sequence_wedges_it(events in prop::collection::vec(any_event(), 0..60)) {
        let mut bench = Bench::new();
        let mut processes = 0_i32;
        for (millis, kind) in events {
            bench.now += Duration::from_millis(millis);
            let event = match kind {
                0 => Event::Start,
                1 => Event::Ready,
                2 if processes > 0 => { processes -= 1; Event::Died }
                2 | 3 => Event::Elapsed,
                4 => Event::Stop(bench.now + Duration::from_millis(millis)),
                _ => Event::Died,
            };
            // A report of a death without a process is none of ours, and must change nothing.
            if kind == 5 && processes > 0 { continue; }
            if bench.on(event) == Some(Action::Spawn) { processes += 1; }
            prop_assert!((0..=1).contains(&processes), "{} processes", processes);
            prop_assert_eq!(processes == 1, bench.life.is_alive());
        }
        // From here on time passes, kills work, and no start succeeds any more.
        let mut spawned = 0;
        for _ in 0..100 {
            let Some(wake) = bench.life.wake() else { break };
            bench.now = bench.now.max(wake);
            let mut action = bench.on(Event::Elapsed);
            if action == Some(Action::Kill) {
                action = bench.die();
            }
            spawned += u32::from(action == Some(Action::Spawn));
        }
        match bench.life.wanted {
            Wanted::Down => {
                prop_assert_eq!(bench.life.actual(), Actual::Down);
                prop_assert_eq!(spawned, 0);
            }
            // Ready with nothing to wait for, or tried again: on and on, or until the budget was spent.
            Wanted::Up => {
                let failed = bench.life.actual() == Actual::Failed;
                prop_assert!(bench.life.is_ready() || failed || spawned > 0);
            }
        }
    }
}
