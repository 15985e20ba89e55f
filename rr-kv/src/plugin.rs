//! The plugin's life: open the storages that the configuration names, answer calls, close them.

use crate::{
    driver::{Driver, Storage, with},
    service::{self, Storages},
    stats,
};
use bytes::Bytes;
use rr_common::{
    plugin::{Context, Plugin, StartError},
    pool::Pool,
    rpc::{CallError, Codec},
};
use rr_redis::PoolNumbers;
use std::time::Instant;

/// The key-value plugin.
#[derive(Debug)]
pub struct KvPlugin {
    storages: Storages,
}

impl Plugin for KvPlugin {
    const NAME: &'static str = "kv";

    async fn start(context: Context) -> Result<Self, StartError> {
        let mut storages = Storages::new();
        let runtime = context.runtimes.first().cloned();
        let runtime = runtime.ok_or_else(|| StartError("kv: there is no thread for calls".into()))?;
        for (name, settings) in context.config.kv.iter().flatten() {
            storages.insert(name.clone(), Storage::open(name, settings, &runtime).await?);
        }
        Ok(Self { storages })
    }

    fn pools(&self) -> Vec<(&str, &Pool)> {
        Vec::new()
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
