//! The `reload` section: workers are reset when files change.

use crate::config::Dur;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Reset on change, for development.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Reload {
    /// How often the files are looked at.
    pub interval: Dur,
    /// Extensions that count, with dot.
    pub patterns: Vec<String>,
    /// What is watched, by plugin.
    pub services: BTreeMap<String, Watched>,
}

/// What is watched for one plugin.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Watched {
    /// Watch subdirectories too.
    pub recursive: bool,
    /// Directories.
    pub dirs: Vec<String>,
    /// Directories that are left out.
    pub ignore: Vec<String>,
    /// Extensions that count, with dot; empty means those of `reload.patterns`.
    pub patterns: Vec<String>,
}

impl Default for Reload {
    fn default() -> Self {
        Self {
            interval: Dur::secs(1),
            patterns: vec![".php".into()],
            services: BTreeMap::new(),
        }
    }
}
