//! Google Pub/Sub: the `google_pub_sub` section and its pipelines.

use super::queue::PRIORITY;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The connection to Google Pub/Sub.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct PubSub {
    /// `host:port`.
    pub endpoint: String,
    /// Without TLS and credentials (the emulator).
    pub insecure: bool,
}

/// A Google Pub/Sub topic.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct PubSubQueue {
    /// Priority of its jobs; lower runs first.
    pub priority: i64,
    /// Project; needed.
    pub project_id: String,
    /// Topic; needed.
    pub topic: String,
    /// Topic for jobs that failed too often.
    pub dead_letter_topic: String,
    /// Deliveries before a job goes to `dead_letter_topic`.
    pub max_delivery_attempts: u64,
}

impl Default for PubSub {
    fn default() -> Self {
        Self {
            endpoint: "127.0.0.1:8085".into(),
            insecure: false,
        }
    }
}

impl Default for PubSubQueue {
    fn default() -> Self {
        Self {
            priority: PRIORITY,
            project_id: String::new(),
            topic: String::new(),
            dead_letter_topic: String::new(),
            max_delivery_attempts: 10,
        }
    }
}
