//! The typed sections, one file each. Their doc comments become the JSON Schema's descriptions, their `Default` the defaults.

mod amqp;
mod beanstalk;
mod centrifuge;
mod fileserver;
mod grpc;
mod http;
mod jobs;
mod kafka;
mod kv;
mod lock;
mod logs;
mod nats;
mod observe;
mod pool;
mod pub_sub;
mod queue;
mod redis;
mod reload;
mod server;
mod service;
mod sqs;
mod supervisor;
mod tcp;
mod temporal;
mod tls;

pub use amqp::{Amqp, AmqpQueue};
pub use beanstalk::{Beanstalk, BeanstalkQueue};
pub use centrifuge::{Centrifuge, CentrifugeTls};
pub use fileserver::{Fileserver, ServedDir};
pub use grpc::Grpc;
pub use http::{Cors, Fcgi, Headers, Http, Http2, Http3, Static, Uploads};
pub use jobs::{Jobs, JobsOptions, Pipeline};
pub use kafka::{
    Kafka, KafkaConsumer, KafkaGroup, KafkaOffset, KafkaPing, KafkaProducer, KafkaQueue, KafkaSasl, KafkaTls,
};
pub use kv::{BoltdbStorage, MemcachedHash, MemcachedStorage, MemoryStorage, Storage};
pub use lock::{Lock, LockDriver};
pub use logs::{FileLogger, LogChannel, Logs};
pub use nats::{Nats, NatsQueue};
pub use observe::{Collector, CollectorKind, Metrics, Otel, OtelResource, Status};
pub use pool::{DynamicAllocator, Pool, PoolSupervisor};
pub use pub_sub::{PubSub, PubSubQueue};
pub use queue::{BoltdbQueue, MemoryQueue};
pub use redis::{Redis, RedisQueue, RedisTls};
pub use reload::{Reload, Watched};
pub use server::{Endure, OnInit, Rpc, Server};
pub use service::Service;
pub use sqs::{Sqs, SqsQueue};
pub use supervisor::{Control, Limits, PluginProcess, PluginRole, Restart, StartPolicy, Supervisor};
pub use tcp::{Tcp, TcpServer};
pub use temporal::{Temporal, TemporalMetrics, TemporalPrometheus, TemporalStatsd, TemporalTls};
pub use tls::{Acme, Ssl, Tls};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole configuration, resolved: variables expanded, files included, overrides applied.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// Version of the file's format: "3", or "2.7" for older files.
    pub version: String,
    /// Further files, relative to the working directory; their sections replace those here.
    pub include: Vec<String>,
    /// A dotenv file beside this one, read with `-e`.
    pub envfile: String,
    /// Where PHP calls the server.
    pub rpc: Option<Rpc>,
    /// The PHP command and its surroundings.
    pub server: Option<Server>,
    /// Log format and destinations.
    pub logs: Logs,
    /// Life of the whole server.
    pub endure: Endure,
    /// Life of the plugin processes (our own section).
    pub supervisor: Supervisor,

    /// The HTTP plugin.
    pub http: Option<Http>,
    /// The jobs plugin.
    pub jobs: Option<Jobs>,
    /// Key-value storages, by name.
    pub kv: Option<BTreeMap<String, Storage>>,
    /// The gRPC plugin.
    pub grpc: Option<Grpc>,
    /// The TCP plugin.
    pub tcp: Option<Tcp>,
    /// The Centrifugo plugin.
    pub centrifuge: Option<Centrifuge>,
    /// The Temporal plugin.
    pub temporal: Option<Temporal>,
    /// Locks.
    pub lock: Option<Lock>,

    /// Commands under supervision, by name.
    pub service: Option<BTreeMap<String, Service>>,
    /// The endpoint for Prometheus.
    pub metrics: Option<Metrics>,
    /// The health endpoint.
    pub status: Option<Status>,
    /// Traces.
    pub otel: Option<Otel>,
    /// A server of files.
    pub fileserver: Option<Fileserver>,
    /// Reset on change.
    pub reload: Option<Reload>,

    /// The connection to RabbitMQ.
    pub amqp: Option<Amqp>,
    /// The connection to Kafka.
    pub kafka: Option<Kafka>,
    /// The connection to NATS.
    pub nats: Option<Nats>,
    /// The connection to Amazon SQS.
    pub sqs: Option<Sqs>,
    /// The connection to Beanstalkd.
    pub beanstalk: Option<Beanstalk>,
    /// The connection to Google Pub/Sub.
    pub google_pub_sub: Option<PubSub>,

    /// A connection to Redis for the kv storage of the name `redis`, when that has no `config`.
    pub redis: Option<Redis>,

    /// The application's logger; the section has no keys.
    pub app: Option<NoKeys>,
    /// Lists of workers; the section has no keys.
    pub informer: Option<NoKeys>,
    /// Reset of workers; the section has no keys.
    pub resetter: Option<NoKeys>,
}

/// A section without keys.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct NoKeys {}
