//! Calls that nobody but this program can answer: those of our own methods, and those that a plugin answers over the control contract.
//! The next program cannot take them over, so it has to wait until they are answered, or until nobody waits for the answer any more.

use super::client::Client;
use slab::Slab;
use std::{cell::RefCell, rc::Rc};
use tokio::sync::Notify;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Ties {
    calls: RefCell<Slab<Call>>,
    fewer: Notify,
}

#[derive(Debug)]
struct Call {
    name: String,
    /// Who waits; somebody in any case without it.
    client: Option<Rc<Client>>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Tie {
    ties: Rc<Ties>,
    place: usize,
}

impl Ties {
    /// One more; the name is for people.
    pub(super) fn tie(self: &Rc<Self>, name: &str, client: Option<Rc<Client>>) -> Tie {
        let call = Call {
            name: name.to_owned(),
            client,
        };
        Tie {
            ties: Rc::clone(self),
            place: self.calls.borrow_mut().insert(call),
        }
    }

    /// Waits for a moment when there is none.
    pub(super) async fn none(&self) {
        while !self.names().is_empty() {
            self.fewer.notified().await;
        }
    }

    /// Somebody has hung up.
    pub(super) fn look_again(&self) {
        self.fewer.notify_one();
    }

    /// Their names, each once.
    pub(super) fn names(&self) -> Vec<String> {
        let is_awaited = |call: &&Call| call.client.as_ref().is_none_or(|client| !client.has_hung_up());
        let calls = self.calls.borrow();
        let awaited = calls.iter().map(|(_, call)| call).filter(is_awaited);
        let mut names: Vec<String> = awaited.map(|call| call.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        self.ties.calls.borrow_mut().remove(self.place);
        self.ties.look_again();
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
        let (one, other) = (ties.tie("kv.Get", None), ties.tie("rpc.Version", None));
        let again = ties.tie("kv.Get", None);
        assert_eq!(ties.names(), ["kv.Get", "rpc.Version"]);
        let mut none = pin!(ties.none());
        assert!(!is_over(none.as_mut()));
        drop((one, other));
        assert!(!is_over(none.as_mut()));
        drop(again);
        assert!(is_over(none));
    }
}
