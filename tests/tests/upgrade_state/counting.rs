//! Clients whose counts show each call that was lost or made twice.

use crate::{place::Place, storages::incr};
use rr_tests::{eventually, wait::SOON};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Clients that count, each on its one connection, until they are stopped. Any error ends the test.
pub(crate) struct Counting {
    over: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Counting {
    pub(crate) fn start(place: &Place, storages: &[&'static str]) -> Self {
        let (over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |(number, storage): (usize, &&'static str)| {
            let (mut rpc, storage) = (place.rpc(), *storage);
            let (over, calls) = (Arc::clone(&over), Arc::clone(&calls));
            thread::spawn(move || {
                let (own, mut count) = (format!("own{number}"), 0);
                while !over.load(Ordering::Relaxed) {
                    count += 1;
                    assert_eq!(incr(&mut rpc, storage, &own), count, "none is lost, none is made twice");
                    incr(&mut rpc, storage, "shared");
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        Self {
            clients: storages.iter().enumerate().map(client).collect(),
            over,
            calls,
        }
    }

    /// Waits until some calls more have been answered.
    #[track_caller]
    pub(crate) fn goes_on(&self) {
        let before = self.calls.load(Ordering::Relaxed);
        eventually(SOON, || {
            assert!(
                self.clients.iter().all(|client| !client.is_finished()),
                "a call has failed"
            );
            self.calls.load(Ordering::Relaxed) > before + 20
        });
    }

    /// Ends it; how often they have counted.
    #[track_caller]
    pub(crate) fn stop(self) -> i64 {
        self.over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        i64::try_from(self.calls.load(Ordering::Relaxed)).unwrap()
    }
}
