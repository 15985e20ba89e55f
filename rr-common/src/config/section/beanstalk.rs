//! Beanstalkd: the `beanstalk` section and its pipelines.

use super::queue::PRIORITY;
use crate::config::Dur;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The connection to Beanstalkd.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Beanstalk {
    /// `tcp://` or `unix://` address.
    pub addr: String,
    /// Longest dial, and the jobs' time to run.
    pub timeout: Dur,
}

/// A Beanstalkd tube.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct BeanstalkQueue {
    /// Priority of its jobs; lower runs first.
    pub priority: i64,
    /// Name of the tube.
    pub tube: String,
    /// Priority of pushed jobs inside the tube; lower comes first.
    pub tube_priority: u32,
    /// Longest wait of one reservation.
    pub reserve_timeout: Dur,
}

impl Default for Beanstalk {
    fn default() -> Self {
        Self {
            addr: "tcp://127.0.0.1:11300".into(),
            timeout: Dur::secs(30),
        }
    }
}

impl Default for BeanstalkQueue {
    fn default() -> Self {
        Self {
            priority: PRIORITY,
            tube: "default".into(),
            tube_priority: 0,
            reserve_timeout: Dur::secs(1),
        }
    }
}
