//! The plugin's life: the configured driver, its methods, its numbers.

use crate::{
    driver::{Counts, Driver, memory::Memory, redis::Redis},
    methods,
};
use bytes::Bytes;
use rr_common::{
    config::section::LockDriver,
    plugin::{Context, PauseError, Plugin, StartError},
    pool::Pool,
    rpc::{CallError, Codec},
    telemetry::metrics::{Exposition, Kind},
};
use std::{fs::File, time::Instant};

/// The lock plugin.
#[derive(Debug)]
pub struct LockPlugin {
    driver: Box<dyn Driver>,
}

impl Plugin for LockPlugin {
    const NAME: &'static str = "lock";
    const WAITS_FOR_CALLERS: bool = true;
    const PAUSES: bool = true;

    async fn start(context: Context) -> Result<Self, StartError> {
        let section = context.config.lock.clone().unwrap_or_default();
        let driver: Box<dyn Driver> = match section.driver {
            LockDriver::Memory => {
                let memory = Memory::start(context.state, &context.runtimes[0]);
                Box::new(memory.map_err(|error| StartError(error.to_string()))?)
            }
            LockDriver::Redis => Box::new(Redis::open(&section.config, &context.runtimes[0])?),
        };
        Ok(Self { driver })
    }

    fn pools(&self) -> Vec<(&str, &Pool)> {
        Vec::new()
    }

    fn pausing(&self) {
        self.driver.pausing();
    }

    async fn pause(&mut self, _: Option<File>, _: Instant) -> Result<(), PauseError> {
        // What is held is in the memory file, or in Redis.
        self.driver.pause().map_err(PauseError::Failed)
    }

    async fn resume(&mut self) -> Result<(), PauseError> {
        self.driver.resume().map_err(PauseError::Failed)
    }

    async fn drain(&self, _deadline: Instant) {
        // A wait may be as long as its caller likes: it ends with the stop.
    }

    async fn stop(self, _deadline: Instant) {}

    async fn call(&self, method: &str, codec: Codec, body: Bytes) -> Result<Bytes, CallError> {
        methods::call(&*self.driver, method, codec, body).await
    }

    fn unhealthy(&self) -> Option<String> {
        self.driver.unhealthy()
    }

    fn metrics(&self) -> String {
        let Counts { held, waiting, granted } = self.driver.counts();
        let mut series = Exposition::default();
        if let Some(held) = held {
            series.family("rr_lock_held", Kind::Gauge, "Locks that are held.");
            series.sample(&[], held);
        }
        series.family("rr_lock_waiting", Kind::Gauge, "Calls that wait for a lock.");
        series.sample(&[], waiting);
        series.family("rr_lock_granted_total", Kind::Counter, "Locks that have been granted.");
        series.sample(&[], granted);
        series.finish()
    }
}
