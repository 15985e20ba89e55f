//! `driver: boltdb`: a file that survives everything but its disk.
//!
//! The file is redb's, not BoltDB's. What was acknowledged is on the disk, also after `kill -9` or a power failure, and
//! a key's end is stored with its value.
//!
//! - `file`: what lies in the file, and what each method does to it; blocking, inside one transaction
//! - `store`: the open file, which is opened anew after a failure
//! - `writer`: the one thread that writes, and gathers what arrives meanwhile into one commit

mod file;
mod store;
mod writer;

use super::{Driver, DriverError, Item, Outcome, Texts};
use crate::{expiry::Expiry, reply::Reply};
use file::Owned;
use rr_common::{config::section::BoltdbStorage, plugin::StartError};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use store::{Place, Store};
use tokio::{task::spawn_blocking, time::sleep};
use writer::Writer;

/// How long another process may keep the file, such as a predecessor that still drains; the reference waits as long.
const PATIENCE: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_millis(50);

/// A storage in a file.
#[derive(Debug)]
pub struct Boltdb {
    open: Open,
    name: String,
    settings: BoltdbStorage,
}

/// The file at work.
#[derive(Debug)]
struct Open {
    store: Arc<Store>,
    writer: Writer,
}

impl Boltdb {
    /// Opens or creates the file of the storage `name`.
    ///
    /// # Errors
    /// It cannot be used: no rights, another kind of file, or another process has it open and keeps it.
    pub async fn open(name: &str, settings: &BoltdbStorage) -> Result<Self, StartError> {
        let open = Open::open(name, settings).await?;
        tracing::info!(
            storage = name,
            file = settings.file,
            "the driver boltdb keeps its keys in redb's file format: RoadRunner's own files are not read"
        );
        Ok(Self {
            open,
            name: name.to_owned(),
            settings: settings.clone(),
        })
    }

    /// Reads off the calls' thread, because a page may have to come from the disk.
    async fn read(
        &self,
        keys: &[&str],
        found: &mut Reply,
        read: impl Fn(&str, Option<Expiry>, &[u8], &mut Reply) + Send + 'static,
    ) -> Outcome<()> {
        let store = Arc::clone(&self.open.store);
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        let work = spawn_blocking(move || {
            let mut found = Reply::default();
            store.read(|values| {
                let now = Expiry::now();
                for key in &keys {
                    file::get(values, key, now, |expiry, value| read(key, expiry, value, &mut found))?;
                }
                Ok(())
            })?;
            Ok::<_, DriverError>(found)
        });
        let ended = |error: tokio::task::JoinError| DriverError::Failed(error.to_string());
        *found = work.await.map_err(ended)??;
        Ok(())
    }

    fn writer(&self) -> &Writer {
        &self.open.writer
    }
}

impl Open {
    async fn open(name: &str, settings: &BoltdbStorage) -> Result<Self, StartError> {
        let failed = |error: &dyn std::fmt::Display| StartError(format!("kv.{name}: {error}"));
        let place = Place {
            file: settings.file.clone().into(),
            permissions: settings.permissions,
        };
        let until = Instant::now() + PATIENCE;
        let store = loop {
            let place = place.clone();
            let opened = spawn_blocking(move || Store::open(place)).await;
            match opened.map_err(|error| failed(&error))? {
                Err(error) if error.is_busy() && Instant::now() < until => sleep(RETRY).await,
                opened => break opened.map_err(|error| failed(&error))?,
            }
        };
        let store = Arc::new(store);
        // A sweep without a pause would be an endless one.
        let interval = Duration::from_secs(settings.interval.clamp(1, 365 * 24 * 3600));
        let writer = Writer::start(Arc::clone(&store), interval).map_err(|error| failed(&error))?;
        Ok(Self { store, writer })
    }
}

impl Driver for Boltdb {
    const TEXTS: Texts = Texts {
        operation: "boltdb_driver_",
        no_timeout: "should set timeout and at least one key",
        bare_times: &[],
    };

    async fn has(&self, keys: &[&str], found: &mut Reply) -> Outcome<()> {
        self.read(keys, found, |key, _, _, found| found.key(key)).await
    }

    async fn set(&self, items: &[Item<'_>]) -> Outcome<()> {
        if items.iter().any(|item| item.key.is_empty()) {
            return Err(DriverError::Failed("key required".into()));
        }
        let items = Owned::all(items);
        self.writer()
            .write(move |tables| {
                let now = Expiry::now();
                items.iter().try_for_each(|item| tables.set(item, now))
            })
            .await
    }

    async fn mget(&self, keys: &[&str], found: &mut Reply) -> Outcome<()> {
        self.read(keys, found, |key, _, value, found| found.value(key, value))
            .await
    }

    async fn mexpire(&self, keys: &[(&str, Expiry)]) -> Outcome<()> {
        let keys: Vec<_> = keys.iter().map(|(key, expiry)| ((*key).to_owned(), *expiry)).collect();
        self.writer()
            .write(move |tables| {
                let now = Expiry::now();
                keys.iter()
                    .try_for_each(|(key, expiry)| tables.expire(key, *expiry, now))
            })
            .await
    }

    async fn ttl(&self, keys: &[&str], found: &mut Reply) -> Outcome<()> {
        self.read(keys, found, |key, expiry, _, found| {
            // As the reference: only keys that have an end.
            if expiry.is_some() {
                found.expiry(key, expiry);
            }
        })
        .await
    }

    async fn delete(&self, keys: &[&str]) -> Outcome<()> {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        self.writer()
            .write(move |tables| keys.iter().try_for_each(|key| tables.remove(key)))
            .await
    }

    async fn clear(&self) -> Outcome<()> {
        self.writer().write(|tables| tables.clear()).await
    }

    async fn incr(&self, key: &str, by: i64, expiry: Option<Expiry>) -> Outcome<i64> {
        let key = key.to_owned();
        let work = move |tables: &mut file::Tables<'_>| tables.incr(key, by, expiry, Expiry::now());
        self.writer().write(work).await?
    }

    async fn add(&self, items: &[Item<'_>], stored: &mut Reply) -> Outcome<()> {
        let items = Owned::all(items);
        let work = move |tables: &mut file::Tables<'_>| {
            let (now, mut stored) = (Expiry::now(), Reply::default());
            for item in &items {
                if tables.swap(item, None, now)? {
                    stored.key(&item.key);
                }
            }
            Ok(stored)
        };
        *stored = self.writer().write(work).await?;
        Ok(())
    }

    async fn compare_and_swap(&self, item: Item<'_>, expected: Option<&[u8]>) -> Outcome<bool> {
        let (item, expected) = (Owned::of(&item), expected.map(<[u8]>::to_vec));
        self.writer()
            .write(move |tables| tables.swap(&item, expected.as_deref(), Expiry::now()))
            .await
    }

    fn unhealthy(&self) -> Option<String> {
        self.open.store.trouble()
    }

    async fn pause(&mut self) {
        self.open.writer.close().await;
    }

    async fn resume(&mut self) -> Result<(), StartError> {
        if self.open.writer.is_closed() {
            self.open = Open::open(&self.name, &self.settings).await?;
        }
        Ok(())
    }

    async fn close(mut self) {
        self.open.writer.close().await;
    }
}
