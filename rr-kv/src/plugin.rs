//! The plugin's life: open the storages that the configuration names, answer calls, hand over or close them.

use crate::{
    driver::{Contents, Driver, Memory, Storage, with},
    handover::{self, KIND, Parts},
    service::{self, Storages},
    stats,
};
use bytes::Bytes;
use rr_common::{
    config::Config,
    plugin::{
        Context, PauseError, Plugin, StartError,
        snapshot::{Reader, SnapshotError, Writer},
    },
    pool::Pool,
    rpc::{CallError, Codec},
};
use rr_redis::PoolNumbers;
use std::{collections::BTreeMap, fs::File, sync::Arc, time::Instant};
use tokio::task::spawn_blocking;

/// The key-value plugin.
#[derive(Debug)]
pub struct KvPlugin {
    storages: Storages,
}

impl Plugin for KvPlugin {
    const NAME: &'static str = "kv";
    const PAUSES: bool = true;

    async fn start(context: Context) -> Result<Self, StartError> {
        let mut storages = Storages::new();
        let runtime = context.runtimes.first().cloned();
        let runtime = runtime.ok_or_else(|| StartError("kv: there is no thread for calls".into()))?;
        let mut left = match context.handover {
            Some(file) => taken_over(file, Arc::clone(&context.config)).await?,
            None => Parts::new(),
        };
        for (name, settings) in context.config.kv.iter().flatten() {
            let storage = Storage::open(name, settings, &runtime).await?;
            if let (Storage::Memory(memory), Some(contents)) = (&storage, left.remove(name)) {
                memory.put_back(contents);
            }
            storages.insert(name.clone(), storage);
        }
        Ok(Self { storages })
    }

    fn pools(&self) -> Vec<(&str, &Pool)> {
        Vec::new()
    }

    async fn pause(&mut self, file: Option<File>, deadline: Instant) -> Result<(), PauseError> {
        let file = file.ok_or_else(|| PauseError::Failed("the supervisor gives no file to hand over in".into()))?;
        hand_over(&self.memories(), file, deadline).await?;
        for storage in self.storages.values_mut() {
            with!(storage, driver => driver.pause().await);
        }
        Ok(())
    }

    async fn resume(&mut self) -> Result<(), PauseError> {
        for storage in self.storages.values_mut() {
            let resumed = with!(storage, driver => driver.resume().await);
            resumed.map_err(|error| PauseError::Failed(error.to_string()))?;
        }
        Ok(())
    }

    async fn drain(&self, _: Instant) {
        // A call is answered or fails with its own bound; there is nothing that one would have to stop taking.
    }

    async fn stop(self, _: Instant) {
        for (_, storage) in self.storages {
            with!(storage, driver => driver.close().await);
        }
    }

    async fn call(&self, method: &str, codec: Codec, body: Bytes) -> Result<Bytes, CallError> {
        service::call(&self.storages, method, codec, body).await
    }

    fn unhealthy(&self) -> Option<String> {
        let mut reasons = self.storages.iter().filter_map(|(name, storage)| {
            let reason = with!(storage, driver => driver.unhealthy())?;
            Some(format!("storage {name}: {reason}"))
        });
        let first = reasons.next()?;
        Some(reasons.fold(first, |all, reason| all + "; " + &reason))
    }

    fn metrics(&self) -> String {
        let stats = self.storages.iter().filter_map(|(name, storage)| {
            let stats = with!(storage, driver => driver.stats())?;
            Some((name.as_str(), stats))
        });
        let stats = stats::exposition(&stats.collect::<Vec<_>>());
        // The reference's series have no label: here they are those of all storages in Redis together.
        let pools = self.storages.values();
        let pools = pools.filter_map(|storage| with!(storage, driver => driver.redis_pool()));
        let pool = pools.reduce(PoolNumbers::and);
        stats + &pool.map(|pool| pool.exposition()).unwrap_or_default()
    }
}

impl KvPlugin {
    fn memories(&self) -> Vec<(&str, &Memory)> {
        let memories = self.storages.iter().filter_map(|(name, storage)| match storage {
            Storage::Memory(memory) => Some((name.as_str(), memory)),
            _ => None,
        });
        memories.collect()
    }
}

/// Writes what storages in memory keep. Off this thread: it takes a second for a gigabyte or two. They have it back afterwards, since the
/// next process may come to nothing.
async fn hand_over(memories: &[(&str, &Memory)], file: File, deadline: Instant) -> Result<(), PauseError> {
    let taken = memories
        .iter()
        .map(|(name, memory)| ((*name).to_owned(), memory.take_out()));
    let parts: Parts = taken.collect();
    let work = spawn_blocking(move || {
        let in_time = || Instant::now() < deadline;
        let written = Writer::create(file, KIND).and_then(|writer| handover::write(writer, &parts, &in_time));
        (parts, written)
    });
    let (mut parts, written) = work.await.map_err(|error| PauseError::Failed(error.to_string()))?;
    for (name, memory) in memories {
        memory.put_back(parts.remove(*name).unwrap_or_default());
    }
    written.map_err(|error| PauseError::Failed(format!("what is in memory cannot be handed over: {error}")))
}

/// Reads what the process before has left.
async fn taken_over(file: File, config: Arc<Config>) -> Result<Parts, StartError> {
    let work = spawn_blocking(move || {
        let none = BTreeMap::new();
        let parts = handover::read(Reader::open(file, KIND)?, config.kv.as_ref().unwrap_or(&none))?;
        let keys: u64 = parts.values().map(Contents::len).sum();
        tracing::info!(target: "kv", keys, "took over what the process before has kept in memory");
        Ok::<_, SnapshotError>(parts)
    });
    let parts = work.await.map_err(|error| StartError(error.to_string()))?;
    parts.map_err(|error| StartError(error.to_string()))
}
