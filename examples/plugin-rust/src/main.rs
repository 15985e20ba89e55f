//! A plugin of our own in Rust: `ids.Next` gives PHP numbers that no two workers get twice.

use bytes::Bytes;
use rr_common::{
    plugin::{Context, PauseError, Plugin, StartError, run},
    pool::Pool,
    rpc::{CallError, Codec, decode, encode},
};
use serde::Deserialize;
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
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
    const PAUSES: bool = true;

    async fn start(context: Context) -> Result<Self, StartError> {
        let section: Section = context.own_section()?;
        // After an upgrade it goes on where the process before has ended; after a crash there is nothing to go on from.
        let first = match &context.handover {
            Some(file) => handed_over(file).map_err(|error| StartError(format!("what was handed over: {error}")))?,
            None => section.first,
        };
        tracing::info!(target: "ids", first, "counting");
        Ok(Self {
            next: AtomicU64::new(first),
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

    /// No call runs, and none will: the number goes to the next process.
    async fn pause(&mut self, handover: Option<File>, _: Instant) -> Result<(), PauseError> {
        let file = handover.ok_or_else(|| PauseError::Failed("no file to hand over in".into()))?;
        let next = self.next.get_mut().to_le_bytes();
        file.write_all_at(&next, 0)
            .map_err(|error| PauseError::Failed(error.to_string()))
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

fn handed_over(file: &File) -> io::Result<u64> {
    let mut next = [0; 8];
    file.read_exact_at(&mut next, 0)?;
    Ok(u64::from_le_bytes(next))
}

fn main() -> ExitCode {
    run::<Ids>()
}
