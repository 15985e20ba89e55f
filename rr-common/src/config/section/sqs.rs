//! Amazon SQS: the `sqs` section and its pipelines.

use super::queue::PRIORITY;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The connection to SQS; what is empty comes from AWS's default chain.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Sqs {
    /// Access key.
    pub key: String,
    /// Secret key.
    pub secret: String,
    /// Region.
    pub region: String,
    /// Session token.
    pub session_token: String,
    /// Another endpoint than AWS's own.
    pub endpoint: String,
}

/// An SQS queue.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct SqsQueue {
    /// Priority of its jobs; lower runs first.
    pub priority: i64,
    /// Name of the queue.
    pub queue: String,
    /// Messages fetched ahead.
    #[schemars(range(max = 10), extend("x-clamp" = true))]
    pub prefetch: u64,
    /// Messages in work at once; 0 means `prefetch`.
    pub max_messages_in_flight: u64,
    /// Seconds for which a received message is hidden; 0 means the queue's own value.
    #[schemars(range(max = 43200), extend("x-clamp" = true))]
    pub visibility_timeout: u64,
    /// Seconds for which a failed message is hidden, with `retain_failed_jobs`.
    #[schemars(range(max = 43200), extend("x-clamp" = true))]
    pub error_visibility_timeout: u64,
    /// Seconds that a request waits for messages.
    #[schemars(range(max = 20), extend("x-clamp" = true))]
    pub wait_time_seconds: u64,
    /// Leave failed messages in the queue.
    pub retain_failed_jobs: bool,
    /// The queue exists already.
    pub skip_queue_declaration: bool,
    /// Group of messages in a FIFO queue.
    pub message_group_id: String,
    /// Attributes of the queue's declaration.
    pub attributes: BTreeMap<String, String>,
    /// Tags of the queue's declaration.
    pub tags: BTreeMap<String, String>,
}

impl Default for SqsQueue {
    fn default() -> Self {
        Self {
            priority: PRIORITY,
            queue: "default".into(),
            prefetch: 1,
            max_messages_in_flight: 0,
            visibility_timeout: 0,
            error_visibility_timeout: 0,
            wait_time_seconds: 0,
            retain_failed_jobs: false,
            skip_queue_declaration: false,
            message_group_id: String::new(),
            attributes: BTreeMap::new(),
            tags: BTreeMap::new(),
        }
    }
}
