//! RabbitMQ: the `amqp` section and its pipelines.

use super::{Tls, queue::PRIORITY};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The connection to RabbitMQ.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Amqp {
    /// `amqp://` or `amqps://` address, with user and password.
    pub addr: String,
    /// Certificates for `amqps://`.
    pub tls: Option<Tls>,
}

/// A RabbitMQ queue.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct AmqpQueue {
    /// Priority of its jobs; lower runs first.
    pub priority: i64,
    /// Messages fetched ahead.
    #[schemars(range(max = 65535))]
    pub prefetch: u64,
    /// Name of the queue; needed to consume.
    pub queue: String,
    /// Name of the exchange.
    pub exchange: String,
    /// direct, fanout, topic or headers.
    pub exchange_type: String,
    /// Routing key; needed to push, except to a fanout exchange.
    pub routing_key: String,
    /// The queue belongs to this connection only.
    pub exclusive: bool,
    /// The queue survives a restart of the broker.
    pub durable: bool,
    /// Delete the queue when the pipeline stops.
    pub delete_queue_on_stop: bool,
    /// Acknowledge all messages up to the one acknowledged.
    pub multiple_ack: bool,
    /// Put a refused message back into the queue.
    pub requeue_on_fail: bool,
    /// The exchange survives a restart of the broker.
    pub exchange_durable: bool,
    /// The broker deletes the exchange with its last binding.
    pub exchange_auto_delete: bool,
    /// The broker deletes the queue with its last consumer.
    pub queue_auto_delete: bool,
    /// Seconds for which a lost connection is dialled again.
    pub redial_timeout: u64,
    /// Arguments of the queue's declaration.
    pub queue_headers: BTreeMap<String, serde_json::Value>,
    /// Name of the consumer; empty means `roadrunner-` and a random UUID.
    pub consumer_id: String,
}

impl Default for Amqp {
    fn default() -> Self {
        Self {
            addr: "amqp://guest:guest@127.0.0.1:5672/".into(),
            tls: None,
        }
    }
}

impl Default for AmqpQueue {
    fn default() -> Self {
        Self {
            priority: PRIORITY,
            prefetch: 10,
            queue: String::new(),
            exchange: "amqp.default".into(),
            exchange_type: "direct".into(),
            routing_key: String::new(),
            exclusive: false,
            durable: false,
            delete_queue_on_stop: false,
            multiple_ack: false,
            requeue_on_fail: false,
            exchange_durable: false,
            exchange_auto_delete: false,
            queue_auto_delete: false,
            redial_timeout: 60,
            queue_headers: BTreeMap::new(),
            consumer_id: String::new(),
        }
    }
}
