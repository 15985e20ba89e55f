//! Kafka: the `kafka` section and its pipelines.

use super::queue::PRIORITY;
use crate::config::Dur;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The connection to Kafka; given globally or in a pipeline.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Kafka {
    /// Addresses of the brokers.
    pub brokers: Vec<String>,
    /// TLS.
    pub tls: Option<KafkaTls>,
    /// Authentication.
    pub sasl: Option<KafkaSasl>,
    /// The first contact.
    pub ping: Option<KafkaPing>,
}

/// TLS towards Kafka.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct KafkaTls {
    /// Longest handshake.
    pub timeout: Dur,
    /// Private key, PEM.
    pub key: String,
    /// Certificate chain, PEM.
    pub cert: String,
    /// Authorities of the brokers' certificates, PEM.
    pub root_ca: String,
    /// no_client_cert, request_client_cert, require_any_client_cert, verify_client_cert_if_given or require_and_verify_client_cert.
    pub client_auth_type: String,
}

/// Authentication towards Kafka.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct KafkaSasl {
    /// plain, SCRAM-SHA-256, SCRAM-SHA-512 or aws_msk_iam.
    pub mechanism: String,
    /// User.
    pub username: String,
    /// Password.
    pub password: String,
    /// Authorization identity.
    pub zid: String,
    /// Nonce of SCRAM; empty means a random one.
    pub nonce: String,
    /// The SCRAM credentials are a delegation token.
    pub is_token: bool,
    /// AWS access key.
    pub access_key: String,
    /// AWS secret key.
    pub secret_key: String,
    /// AWS session token.
    pub session_token: String,
    /// User agent shown to AWS.
    pub user_agent: String,
}

/// The first contact.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct KafkaPing {
    /// Longest wait for it.
    pub timeout: Dur,
}

/// A Kafka pipeline.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-aliases" = { "sasl_options": "sasl" }))]
pub struct KafkaQueue {
    /// A connection of its own.
    #[serde(flatten)]
    pub connection: Kafka,
    /// Priority of its jobs; lower runs first.
    pub priority: i64,
    /// Let the broker create missing topics.
    pub auto_create_topics_enable: bool,
    /// Pushing.
    pub producer_options: Option<KafkaProducer>,
    /// Consuming.
    pub consumer_options: Option<KafkaConsumer>,
    /// The consumer group.
    pub group_options: Option<KafkaGroup>,
}

/// Pushing to Kafka. Zero and empty mean the client's own defaults.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct KafkaProducer {
    /// Push without idempotence.
    pub disable_idempotent: bool,
    /// NoAck, LeaderAck or AllISRAck.
    pub required_acks: String,
    /// Largest batch in bytes.
    pub max_message_bytes: u64,
    /// Longest wait for a broker's answer.
    pub request_timeout: Dur,
    /// Longest time in which a record is tried.
    pub delivery_timeout: Dur,
    /// Longest transaction.
    pub transaction_timeout: Dur,
    /// gzip, snappy, lz4 or zstd.
    pub compression_codec: String,
    /// Uniform, Manual, RoundRobin, LeastBackup or Sticky.
    pub partitioning_strategy: String,
}

/// Consuming from Kafka.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct KafkaConsumer {
    /// Topics; needed without `consume_partitions`.
    pub topics: Vec<String>,
    /// The topics are patterns.
    pub consume_regexp: bool,
    /// Largest fetch in bytes.
    pub max_fetch_message_size: u64,
    /// Smallest fetch in bytes.
    pub min_fetch_message_size: u64,
    /// Where to begin, by topic and partition.
    pub consume_partitions: BTreeMap<String, BTreeMap<String, KafkaOffset>>,
    /// Where to begin.
    pub consumer_offset: Option<KafkaOffset>,
}

/// A place in a partition.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct KafkaOffset {
    /// AtStart, At, AfterMilli, AtEnd, Relative or WithEpoch.
    #[serde(rename = "type")]
    pub kind: String,
    /// The number that belongs to it.
    pub value: i64,
}

/// The consumer group.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct KafkaGroup {
    /// Name of the group.
    pub group_id: String,
    /// Name of this member, kept over restarts.
    pub instance_id: String,
    /// Hold a rebalance back while jobs of a poll are open.
    pub block_rebalance_on_poll: bool,
}

impl Default for KafkaTls {
    fn default() -> Self {
        Self {
            timeout: Dur::secs(10),
            key: String::new(),
            cert: String::new(),
            root_ca: String::new(),
            client_auth_type: String::new(),
        }
    }
}

impl Default for KafkaPing {
    fn default() -> Self {
        Self { timeout: Dur::secs(10) }
    }
}

impl Default for KafkaQueue {
    fn default() -> Self {
        Self {
            connection: Kafka::default(),
            priority: PRIORITY,
            auto_create_topics_enable: false,
            producer_options: None,
            consumer_options: None,
            group_options: None,
        }
    }
}
