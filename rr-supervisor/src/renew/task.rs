//! From the wish to the moment before the execution: wait until nothing else is under way, check the program, let the RPC thread stand
//! still.

use super::{Told, Wish, check::Check, execute::Origin, note_failure};
use crate::{
    gateway::{Frozen, Order},
    plugins::lifecycle::Exit,
};
use nix::unistd::Pid;
use std::{
    os::fd::OwnedFd,
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// How long a wish waits for what is under way, such as a plugin's restart.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a renewal stands. There is one at a time.
#[derive(Debug)]
pub(crate) struct Renewal {
    /// How this process was started.
    pub(super) origin: Origin,
    /// The RPC socket of the control directory.
    pub(super) door: OwnedFd,
    gateway: mpsc::Sender<Order>,
    step: Step,
}

#[derive(Debug, Default)]
enum Step {
    #[default]
    None,
    /// Something else is under way.
    Waiting { wish: Wish, until: Instant },
    /// The program says what it is.
    Checking(Box<Check>),
    /// It is fit, and takes our place as soon as nothing else is under way.
    Fit(Fit),
    /// The RPC thread comes to stand still.
    Freezing {
        fit: Fit,
        frozen: oneshot::Receiver<Result<Frozen, String>>,
    },
}

/// A program that can take our place.
#[derive(Debug)]
struct Fit {
    binary: PathBuf,
    told: Option<Told>,
    /// A signal asked for it.
    by_signal: bool,
    until: Instant,
}

/// Now is the moment.
#[derive(Debug)]
pub(crate) struct Due {
    /// The program.
    pub(super) binary: PathBuf,
    /// It shall read the files when it is up.
    pub(super) reload: bool,
    /// What stands still meanwhile.
    pub(super) frozen: Frozen,
}

impl Renewal {
    /// None has begun.
    pub(crate) fn new(origin: Origin, door: OwnedFd, gateway: mpsc::Sender<Order>) -> Self {
        Self {
            origin,
            door,
            gateway,
            step: Step::None,
        }
    }

    /// Begins one, unless there is one.
    pub(crate) fn begin(&mut self, wish: Wish, now: Instant) {
        match self.step {
            Step::None => {
                self.step = Step::Waiting {
                    wish,
                    until: now + PATIENCE,
                }
            }
            _ => refuse(wish.told, "another program is on its way already".to_owned()),
        }
    }

    /// Takes the next step, unless something else is under way: then that is waited for, but not for ever.
    pub(crate) fn proceed(&mut self, in_force: &[u8], objection: impl FnOnce() -> Option<String>, now: Instant) {
        let until = match &self.step {
            Step::Waiting { until, .. } | Step::Fit(Fit { until, .. }) => *until,
            _ => return,
        };
        let objection = objection();
        if objection.is_some() && now < until {
            return;
        }
        match (std::mem::take(&mut self.step), objection) {
            (Step::Waiting { wish, .. }, Some(objection)) => refuse(wish.told, objection),
            (Step::Waiting { wish, .. }, None) => match Check::begin(wish, &self.origin, in_force, now) {
                Ok(check) => self.step = Step::Checking(Box::new(check)),
                Err((wish, reason)) => refuse(wish.told, reason),
            },
            (Step::Fit(fit), Some(objection)) => refuse(fit.told, objection),
            (Step::Fit(fit), None) => self.freeze(fit),
            (step, _) => self.step = step,
        }
    }

    fn freeze(&mut self, mut fit: Fit) {
        tracing::info!(target: "supervisor", program = %fit.binary.display(), "the supervisor becomes another program");
        note_failure("");
        // The answer is on its way before everything stands still.
        if let Some(told) = fit.told.take() {
            let _ = told.send(Ok(()));
        }
        let (told, frozen) = oneshot::channel();
        // There is room: nothing else is under way.
        let _ = self.gateway.try_send(Order::Freeze(told));
        self.step = Step::Freezing { fit, frozen };
    }

    /// A child has ended: the one that is checked, perhaps.
    pub(crate) fn ended(&mut self, pid: Pid, exit: Exit, now: Instant) {
        let Step::Checking(check) = &mut self.step else { return };
        if !check.is(pid) {
            return;
        }
        let verdict = check.verdict(exit);
        let Step::Checking(check) = std::mem::take(&mut self.step) else {
            return;
        };
        let Check { wish, binary, .. } = *check;
        match verdict {
            Err(reason) => refuse(wish.told, reason),
            Ok(()) => {
                self.step = Step::Fit(Fit {
                    binary,
                    by_signal: wish.told.is_none(),
                    told: wish.told,
                    until: now + PATIENCE,
                });
            }
        }
    }

    /// When [`Renewal::proceed`] or [`Renewal::elapse`] is due.
    pub(crate) fn wake(&self) -> Option<Instant> {
        match &self.step {
            Step::Waiting { until, .. } | Step::Fit(Fit { until, .. }) => Some(*until),
            Step::Checking(check) => Some(check.wake()),
            Step::None | Step::Freezing { .. } => None,
        }
    }

    /// Acts on the time limit of a check.
    pub(crate) fn elapse(&mut self, now: Instant) {
        if let Step::Checking(check) = &mut self.step {
            check.elapse(now);
        }
    }

    /// Waits until the RPC thread stands still, for as long as what comes is kept: now is the moment.
    pub(crate) async fn is_due(&mut self) -> Due {
        let Step::Freezing { fit, frozen } = &mut self.step else {
            return std::future::pending().await;
        };
        match frozen.await {
            Ok(Ok(frozen)) => Due {
                binary: fit.binary.clone(),
                reload: fit.by_signal,
                frozen,
            },
            Ok(Err(reason)) => {
                self.call_off(&reason);
                std::future::pending().await
            }
            // The thread has ended, and so will we.
            Err(_) => std::future::pending().await,
        }
    }

    /// Something has come up meanwhile: once more, when that is over.
    pub(crate) fn again(&mut self) {
        if let Step::Freezing { fit, .. } = std::mem::take(&mut self.step) {
            self.step = Step::Fit(fit);
        }
    }

    /// It came to nothing.
    pub(crate) fn call_off(&mut self, reason: &str) {
        let told = match std::mem::take(&mut self.step) {
            Step::None => return,
            Step::Waiting { wish, .. } => wish.told,
            Step::Checking(check) => check.wish.told,
            Step::Fit(fit) | Step::Freezing { fit, .. } => fit.told,
        };
        refuse(told, reason.to_owned());
    }
}

fn refuse(told: Option<Told>, reason: String) {
    tracing::error!(target: "supervisor", "the supervisor stays what it is: {reason}");
    note_failure(&reason);
    if let Some(told) = told {
        let _ = told.send(Err(reason));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn nobody() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    fn wish() -> (Wish, oneshot::Receiver<Result<(), String>>) {
        let (told, hears) = oneshot::channel();
        let wish = Wish {
            binary: Some("/bin/nothing-there".into()),
            told: Some(told),
        };
        (wish, hears)
    }

    #[test]
    fn a_wish_waits_for_what_is_under_way_but_not_for_ever() {
        let (freezing, _orders) = mpsc::channel(1);
        let mut renewal = Renewal::new(Origin::default(), nobody(), freezing);
        let now = Instant::now();
        let busy = || Some("busy".to_owned());
        let (first, mut hears) = wish();
        renewal.begin(first, now);
        renewal.proceed(b"{}", busy, now);
        assert_eq!(renewal.wake(), Some(now + PATIENCE));
        let (second, mut refused) = wish();
        renewal.begin(second, now);
        assert!(refused.try_recv().unwrap().unwrap_err().contains("already"));
        assert!(hears.try_recv().is_err(), "it still waits");
        renewal.proceed(b"{}", busy, now + PATIENCE);
        assert_eq!(hears.try_recv().unwrap(), Err("busy".to_owned()));
        assert_eq!(renewal.wake(), None);
        // Free again, it is tried at once.
        let (third, mut hears) = wish();
        renewal.begin(third, now);
        renewal.proceed(b"{}", || None, now);
        assert!(hears.try_recv().unwrap().unwrap_err().contains("/bin/nothing-there"));
        let (fourth, mut hears) = wish();
        renewal.begin(fourth, now);
        renewal.call_off("the server is stopping");
        assert_eq!(hears.try_recv().unwrap(), Err("the server is stopping".to_owned()));
    }

    #[test]
    fn what_comes_up_at_the_last_moment_is_waited_for_again() {
        let (freezing, mut orders) = mpsc::channel(1);
        let mut renewal = Renewal::new(Origin::default(), nobody(), freezing);
        let now = Instant::now();
        let (told, mut hears) = oneshot::channel();
        renewal.step = Step::Fit(Fit {
            binary: "/bin/new".into(),
            told: Some(told),
            by_signal: false,
            until: now + PATIENCE,
        });
        renewal.proceed(b"{}", || Some("busy".to_owned()), now);
        assert!(orders.try_recv().is_err());
        renewal.proceed(b"{}", || None, now);
        assert_eq!(hears.try_recv().unwrap(), Ok(()), "told before everything stands still");
        assert!(orders.try_recv().is_ok());
        renewal.again();
        renewal.proceed(b"{}", || Some("busy".to_owned()), now);
        assert!(orders.try_recv().is_err());
        renewal.proceed(b"{}", || None, now);
        assert!(orders.try_recv().is_ok());
    }
}
