//! The `reload` section: workers are reset when files change.

use crate::config::Dur;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Reset on change, for development.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Reload {
    /// How often the files are looked at where the kernel does not tell of changes.
    pub interval: Dur,
    /// Look at the files each `interval` instead of asking the kernel, for shared folders.
    pub poll: bool,
    /// Texts of which a file's name must contain one.
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
    /// Directories, or single files.
    pub dirs: Vec<String>,
    /// Directories and files that are left out.
    pub ignore: Vec<String>,
    /// Further texts of which a file's name must contain one, besides those of `reload.patterns`.
    pub patterns: Vec<String>,
}

impl Default for Reload {
    fn default() -> Self {
        Self {
            interval: Dur::secs(1),
            poll: false,
            patterns: vec![".php".into()],
            services: BTreeMap::new(),
        }
    }
}
