//! Calls that nobody but this program can answer: those of our own methods, and those that a plugin answers over the control contract.
//! The next program cannot take them over, so it has to wait until they are answered.

use slab::Slab;
use std::{cell::RefCell, rc::Rc};
use tokio::sync::Notify;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Ties {
    names: RefCell<Slab<String>>,
    fewer: Notify,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Tie {
    ties: Rc<Ties>,
    place: usize,
}

impl Ties {
    /// One more; the name is for people.
    pub(super) fn tie(self: &Rc<Self>, name: &str) -> Tie {
        Tie {
            ties: Rc::clone(self),
            place: self.names.borrow_mut().insert(name.to_owned()),
        }
    }

    /// Waits for a moment when there is none.
    pub(super) async fn none(&self) {
        while !self.names.borrow().is_empty() {
            self.fewer.notified().await;
        }
    }

    /// Their names, each once.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.names.borrow().iter().map(|(_, name)| name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        self.ties.names.borrow_mut().remove(self.place);
        self.ties.fewer.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        pin::{Pin, pin},
        task::{Context, Waker},
    };

    fn is_over(wait: Pin<&mut impl Future<Output = ()>>) -> bool {
        wait.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn the_last_one_ends_the_wait() {
        let ties = Rc::new(Ties::default());
        assert!(is_over(pin!(ties.none())));
        let (one, other) = (ties.tie("kv.Get"), ties.tie("rpc.Version"));
        let again = ties.tie("kv.Get");
        assert_eq!(ties.names(), ["kv.Get", "rpc.Version"]);
        let mut none = pin!(ties.none());
        assert!(!is_over(none.as_mut()));
        drop((one, other));
        assert!(!is_over(none.as_mut()));
        drop(again);
        assert!(is_over(none));
    }
}
