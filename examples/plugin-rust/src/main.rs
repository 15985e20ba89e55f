//! A plugin of our own in Rust: `ids.Next` gives PHP numbers that no two workers get twice.

use bytes::Bytes;
use rr_common::{
    plugin::{Context, Plugin, StartError, run},
    pool::Pool,
    rpc::{CallError, Codec, decode, encode},
};
use serde::Deserialize;
use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

/// The section `ids` of the configuration.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Section {
    first: u64,
}

struct Ids {
    next: AtomicU64,
    calls: AtomicU64,
}

impl Plugin for Ids {
    const NAME: &'static str = "ids";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    async fn start(context: Context) -> Result<Self, StartError> {
        let section: Section = context.own_section()?;
        tracing::info!(target: "ids", first = section.first, "counting");
        Ok(Self {
            next: AtomicU64::new(section.first),
            calls: AtomicU64::new(0),
        })
    }

    /// The argument says how many; the answer is the first of them.
    async fn call(&self, method: &str, codec: Codec, body: Bytes) -> Result<Bytes, CallError> {
        match method {
            "Next" => {
                let count: u32 = decode(codec, &body)?;
                self.calls.fetch_add(1, Relaxed);
                encode(codec, &self.next.fetch_add(count.into(), Relaxed))
            }
            _ => Err(CallError::NoMethod),
        }
    }

    fn metrics(&self) -> String {
        format!(
            "# TYPE ids_calls_total counter\nids_calls_total {}\n",
            self.calls.load(Relaxed)
        )
    }

    fn pools(&self) -> Vec<(&str, &Pool)> {
        Vec::new()
    }

    async fn drain(&self, _: Instant) {}

    async fn stop(self, _: Instant) {}
}

fn main() -> ExitCode {
    run::<Ids>()
}
