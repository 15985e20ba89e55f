//! NATS: the `nats` section and its pipelines.

use super::queue::PRIORITY;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The connection to NATS.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Nats {
    /// `nats://` address.
    pub addr: String,
}

/// A NATS pipeline.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct NatsQueue {
    /// Priority of its jobs; lower runs first.
    pub priority: i64,
    /// Subject.
    pub subject: String,
    /// Stream.
    pub stream: String,
    /// Messages fetched ahead.
    pub prefetch: u64,
    /// Begin with new messages only; without effect in the reference.
    pub deliver_new: bool,
    /// Read and without effect, as in the reference.
    pub rate_limit: u64,
    /// Delete a message from the stream when it is acknowledged.
    pub delete_after_ack: bool,
    /// Delete the stream when the pipeline stops.
    pub delete_stream_on_stop: bool,
}

impl Default for Nats {
    fn default() -> Self {
        Self {
            addr: "nats://127.0.0.1:4222".into(),
        }
    }
}

impl Default for NatsQueue {
    fn default() -> Self {
        Self {
            priority: PRIORITY,
            subject: "default".into(),
            stream: "default-stream".into(),
            prefetch: 10,
            deliver_new: false,
            rate_limit: 1000,
            delete_after_ack: false,
            delete_stream_on_stop: false,
        }
    }
}
