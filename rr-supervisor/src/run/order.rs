//! The order of the start and of the stop, as plain data: [`Order::next`] looks at what is and says what comes next. It starts and stops
//! nothing itself.

use super::Ended;
use crate::{deadline, fleet::Loss, plugins::catalog::Role};
use std::time::{Duration, Instant};

/// What is started and stopped together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The plugins of a role.
    Plugins(Role),
    /// The user's commands.
    Services,
}

/// All phases in the order of the start; stopped in the reverse one. Services may call what holds state, and what takes or fetches work
/// may need a service.
pub(super) const PHASES: [Phase; 4] = [
    Phase::Plugins(Role::State),
    Phase::Services,
    Phase::Plugins(Role::Consumer),
    Phase::Plugins(Role::Ingress),
];

/// Where in its life the server is.
#[derive(Debug)]
pub(super) enum Order {
    /// This phase has been started, as those before it.
    Starting(usize),
    /// All is up.
    Running,
    /// The stop has begun.
    Stopping {
        /// When everything must have ended.
        end: Instant,
        /// The phase that was asked last.
        asked: Option<Phase>,
        /// The reason, if it is no orderly stop.
        failure: Option<String>,
    },
}

/// What the order says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Start this, and look again.
    Start(Phase),
    /// Everything is up now.
    Ready,
    /// Ask this to stop until then, and look again.
    Stop(Phase, Instant),
    /// Nothing is left to do.
    Over(Ended),
}

impl Order {
    /// The stop begins, to be over at that time.
    pub(super) fn stop(end: Instant, failure: Option<String>) -> Self {
        Self::Stopping {
            end,
            asked: None,
            failure,
        }
    }

    /// True from the begin of the stop on.
    pub(super) fn is_stop(&self) -> bool {
        matches!(self, Self::Stopping { .. })
    }

    /// A plugin was lost: fatal during the start, otherwise its lifecycle sees to it.
    pub(super) fn lost(&mut self, loss: Loss, now: Instant, grace: Duration) {
        if loss.fatal && !self.is_stop() {
            let reason = format!("the plugin {} cannot start: {}", loss.name, loss.reason);
            *self = Self::stop(now + grace, Some(reason));
        }
    }

    /// What comes next; nothing while something is waited for.
    pub(super) fn next(
        &mut self,
        has_settled: impl Fn(Phase) -> bool,
        is_down: impl Fn(Phase) -> bool,
        now: Instant,
    ) -> Option<Next> {
        match self {
            Self::Starting(step) => {
                if !has_settled(PHASES[*step]) {
                    return None;
                }
                *step += 1;
                Some(match PHASES.get(*step) {
                    Some(phase) => Next::Start(*phase),
                    None => {
                        *self = Self::Running;
                        Next::Ready
                    }
                })
            }
            Self::Running => None,
            Self::Stopping { end, asked, failure } => {
                let phases = PHASES.into_iter().rev();
                let left: Vec<Phase> = phases.filter(|phase| !is_down(*phase)).collect();
                let Some((phase, later)) = left.split_first() else {
                    return Some(Next::Over(match failure.take() {
                        Some(reason) => Ended::Failed(reason),
                        None => Ended::Stopped,
                    }));
                };
                if *asked == Some(*phase) {
                    return None;
                }
                *asked = Some(*phase);
                let after = u32::try_from(later.len()).unwrap_or_default();
                Some(Next::Stop(*phase, deadline::of_phase(now, *end, after)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(30);

    fn loss(fatal: bool) -> Loss {
        Loss {
            name: "http".into(),
            reason: "no worker".into(),
            fatal,
        }
    }

    #[test]
    fn each_phase_starts_when_the_one_before_has_settled() {
        let mut order = Order::Starting(0);
        let now = Instant::now();
        let never = |_| false;
        for phase in &PHASES[1..] {
            assert_eq!(order.next(never, never, now), None, "it is waited for");
            assert_eq!(order.next(|_| true, never, now), Some(Next::Start(*phase)));
        }
        assert_eq!(order.next(|_| true, never, now), Some(Next::Ready));
        assert_eq!(order.next(|_| true, |_| true, now), None, "it runs");
    }

    #[test]
    fn phases_stop_in_the_reverse_order_each_asked_once() {
        let now = Instant::now();
        let mut order = Order::stop(now + GRACE, None);
        // No plugin consumes anything: nobody waits for that.
        let mut up = vec![PHASES[0], PHASES[1], PHASES[3]];
        while let Some(phase) = up.last().copied() {
            let after = u32::try_from(up.len()).unwrap_or_default() - 1;
            let deadline = deadline::of_phase(now, now + GRACE, after);
            let is_down = |phase| !up.contains(&phase);
            assert_eq!(order.next(|_| true, is_down, now), Some(Next::Stop(phase, deadline)));
            assert_eq!(order.next(|_| true, is_down, now), None, "it is waited for");
            up.pop();
        }
        assert_eq!(order.next(|_| true, |_| true, now), Some(Next::Over(Ended::Stopped)));
    }

    #[test]
    fn a_fatal_loss_ends_the_start_with_its_reason() {
        let now = Instant::now();
        let mut order = Order::Starting(0);
        order.lost(loss(false), now, GRACE);
        assert!(!order.is_stop(), "it is tried again");
        order.lost(loss(true), now, GRACE);
        let reason = "the plugin http cannot start: no worker".to_owned();
        let over = Some(Next::Over(Ended::Failed(reason)));
        assert_eq!(order.next(|_| false, |_| true, now), over);
        let mut order = Order::stop(now + GRACE, None);
        order.lost(loss(true), now, GRACE);
        let over = Some(Next::Over(Ended::Stopped));
        assert_eq!(order.next(|_| false, |_| true, now), over, "the user wanted it to end");
    }
}
