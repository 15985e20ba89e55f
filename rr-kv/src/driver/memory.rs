//! `driver: memory`: a table in this process.
//!
//! A key with an end is gone from that moment on, because whoever asks for it looks at the clock. One task removes what
//! nobody asks for: it sleeps until the next end, wakes at most once a second, and not at all while no key has one.

mod contents;
mod store;

use super::{Driver, Item, Outcome, Texts, sum};
use crate::{expiry::Expiry, reply::Reply, stats::Stats};
pub use contents::Contents;
use rr_common::config::section::MemoryStorage;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use store::{Clock, Store, Swept};
use tokio::{runtime::Handle, sync::Notify, task::JoinHandle, time::sleep};

/// Keys that are removed in one go, before others are let in.
const BATCH: usize = 1000;
/// The least time between two sweeps.
const PAUSE: Duration = Duration::from_secs(1);

/// A storage in memory.
#[derive(Debug)]
pub struct Memory {
    shared: Arc<Shared>,
    sweeper: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    /// There is an earlier end than the one that the sweeper waits for.
    earlier: Notify,
}

#[derive(Debug)]
struct Table {
    store: Store,
    /// When the sweeper wakes.
    wakes: Option<Expiry>,
}

impl Memory {
    /// An empty storage; its sweeper runs on `runtime`.
    pub fn open(settings: &MemoryStorage, runtime: &Handle) -> Self {
        let shared = Arc::new(Shared {
            table: Mutex::new(Table {
                store: Contents::new(settings).0,
                wakes: None,
            }),
            earlier: Notify::new(),
        });
        let sweeper = runtime.spawn(sweep(Arc::clone(&shared)));
        Self { shared, sweeper }
    }

    /// Takes everything out, for a while in which nobody asks for anything.
    pub fn take_out(&self) -> Contents {
        Contents(self.shared.lock().store.clear())
    }

    /// Puts contents in the place of those that are there.
    pub fn put_back(&self, contents: Contents) {
        let old = self.change(|store, _| std::mem::replace(store, contents.0));
        // The memory is given back after the lock.
        drop(old);
    }

    /// Changes the table, and wakes the sweeper if it would sleep too long.
    fn change<T>(&self, change: impl FnOnce(&mut Store, &mut Clock) -> T) -> T {
        let mut table = self.shared.lock();
        let result = change(&mut table.store, &mut Clock::wall());
        let next = table.store.next_end();
        let too_late = match (next, table.wakes) {
            (Some(next), Some(wakes)) => next < wakes,
            (next, None) => next.is_some(),
            (None, _) => false,
        };
        if too_late {
            table.wakes = next;
            self.shared.earlier.notify_one();
        }
        result
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes what has ended, for ever.
async fn sweep(shared: Arc<Shared>) {
    loop {
        let swept = {
            let mut table = shared.lock();
            let swept = table.store.sweep(Expiry::now(), BATCH);
            table.wakes = match swept {
                Swept::Next(next) => Some(next),
                _ => None,
            };
            swept
        };
        match swept {
            Swept::More => tokio::task::yield_now().await,
            Swept::Idle => shared.earlier.notified().await,
            Swept::Next(next) => {
                sleep(PAUSE).await;
                tokio::select! {
                    () = sleep(next.after(Expiry::now())) => {}
                    () = shared.earlier.notified() => {}
                }
            }
        }
    }
}

impl Driver for Memory {
    const TEXTS: Texts = Texts {
        operation: "in_memory_plugin_",
        no_timeout: "timeout for MExpire is empty or key is empty",
        bare_times: &["set"],
    };

    async fn has(&self, keys: &[&str], found: &mut Reply) -> Outcome<()> {
        let mut table = self.shared.lock();
        let mut clock = Clock::wall();
        for key in keys {
            if table.store.get(key, &mut clock).is_some() {
                found.key(key);
            }
        }
        Ok(())
    }

    async fn set(&self, items: &[Item<'_>]) -> Outcome<()> {
        self.change(|store, clock| items.iter().try_for_each(|item| store.set(item, clock)))
    }

    async fn mget(&self, keys: &[&str], found: &mut Reply) -> Outcome<()> {
        let mut table = self.shared.lock();
        let mut clock = Clock::wall();
        for key in keys {
            if let Some(value) = table.store.get(key, &mut clock) {
                found.value(key, value);
            }
        }
        Ok(())
    }

    async fn mexpire(&self, keys: &[(&str, Expiry)]) -> Outcome<()> {
        self.change(|store, clock| {
            for (key, expiry) in keys {
                store.expire(key, *expiry, clock);
            }
        });
        Ok(())
    }

    async fn ttl(&self, keys: &[&str], found: &mut Reply) -> Outcome<()> {
        let mut table = self.shared.lock();
        let mut clock = Clock::wall();
        for key in keys {
            if let Some(expiry) = table.store.expiry(key, &mut clock) {
                found.expiry(key, expiry);
            }
        }
        Ok(())
    }

    async fn delete(&self, keys: &[&str]) -> Outcome<()> {
        let mut table = self.shared.lock();
        for key in keys {
            table.store.remove(key);
        }
        Ok(())
    }

    async fn clear(&self) -> Outcome<()> {
        // The memory is given back after the lock: it can take a while.
        let _old = self.shared.lock().store.clear();
        Ok(())
    }

    async fn incr(&self, key: &str, by: i64, expiry: Option<Expiry>) -> Outcome<i64> {
        self.change(|store, clock| {
            let sum = sum(store.get(key, clock), by)?;
            let expiry = store.expiry(key, clock).unwrap_or(expiry);
            let value = sum.to_string();
            let value = value.as_bytes();
            store.set(&Item { key, value, expiry }, clock)?;
            Ok(sum)
        })
    }

    async fn add(&self, items: &[Item<'_>], stored: &mut Reply) -> Outcome<()> {
        self.change(|store, clock| {
            for item in items {
                if store.get(item.key, clock).is_none() {
                    store.set(item, clock)?;
                    stored.key(item.key);
                }
            }
            Ok(())
        })
    }

    async fn compare_and_swap(&self, item: Item<'_>, expected: Option<&[u8]>) -> Outcome<bool> {
        self.change(|store, clock| {
            let as_expected = store.get(item.key, clock) == expected;
            if as_expected {
                store.set(&item, clock)?;
            }
            Ok(as_expected)
        })
    }

    fn stats(&self) -> Option<Stats> {
        Some(self.shared.lock().store.stats())
    }

    async fn close(self) {
        self.sweeper.abort();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn what_nobody_asks_for_goes_too() {
        let memory = Memory::open(&MemoryStorage::default(), &Handle::current());
        let now = Expiry::now().milliseconds();
        let item = |key, end| Item {
            key,
            value: b"",
            expiry: Some(Expiry::at(now + end)),
        };
        memory.set(&[item("late", 3_600_000)]).await.unwrap();
        tokio::task::yield_now().await;
        // Sooner than what the sweeper waits for by now.
        memory.set(&[item("soon", 50), item("sooner", 20)]).await.unwrap();
        let start = Instant::now();
        while memory.stats().unwrap().items > 1 {
            assert!(start.elapsed() < Duration::from_secs(10));
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(memory.stats().unwrap().expired, 2);
        memory.close().await;
    }
}
