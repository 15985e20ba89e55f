//! The `jobs` section: queues and the drivers behind them.

use super::{
    AmqpQueue, BeanstalkQueue, BoltdbQueue, KafkaQueue, MemoryQueue, NatsQueue, Pool, PubSubQueue, RedisQueue, SqsQueue,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The jobs plugin.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Jobs {
    /// Read and ignored, as in the reference: there are always two more pollers than workers.
    pub num_pollers: i64,
    /// How pipelines are started.
    pub options: Option<JobsOptions>,
    /// Jobs held in the priority queue at once.
    pub pipeline_size: u64,
    /// Longest wait of one push, in seconds.
    pub timeout: u64,
    /// Names of the pipelines that are consumed from the start.
    pub consume: Vec<String>,
    /// The pipelines, by name.
    pub pipelines: BTreeMap<String, Pipeline>,
    /// The workers.
    pub pool: Pool,
}

/// How pipelines are started.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct JobsOptions {
    /// Pipelines started or stopped at once.
    pub parallelism: u64,
}

/// One pipeline: a queue and its driver's settings.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "driver", content = "config", rename_all = "snake_case")]
pub enum Pipeline {
    /// In memory.
    Memory(MemoryQueue),
    /// In a file.
    Boltdb(BoltdbQueue),
    /// RabbitMQ.
    Amqp(Box<AmqpQueue>),
    /// Kafka.
    Kafka(Box<KafkaQueue>),
    /// NATS JetStream.
    Nats(NatsQueue),
    /// Amazon SQS.
    Sqs(SqsQueue),
    /// Beanstalkd.
    Beanstalk(BeanstalkQueue),
    /// Google Pub/Sub.
    GooglePubSub(PubSubQueue),
    /// Redis (our own).
    Redis(Box<RedisQueue>),
}

impl Pipeline {
    /// The driver's name.
    pub fn driver(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Boltdb(_) => "boltdb",
            Self::Amqp(_) => "amqp",
            Self::Kafka(_) => "kafka",
            Self::Nats(_) => "nats",
            Self::Sqs(_) => "sqs",
            Self::Beanstalk(_) => "beanstalk",
            Self::GooglePubSub(_) => "google_pub_sub",
            Self::Redis(_) => "redis",
        }
    }
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            num_pollers: 0,
            options: None,
            pipeline_size: 1_000_000,
            timeout: 60,
            consume: Vec::new(),
            pipelines: BTreeMap::new(),
            pool: Pool::default(),
        }
    }
}

impl Default for JobsOptions {
    fn default() -> Self {
        Self { parallelism: 5 }
    }
}
