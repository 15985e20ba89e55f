//! Configuration: one file, or several by `include`, resolved to one typed [`Config`].
//!
//! The way of a file: `yaml`, `json` or `toml` read it into a tree of [`Node`]s that know their lines; `interpolate`
//! expands variables, `overrides` sets what `-o` says, `load` merges the includes; `coerce` walks the tree along the
//! `schema` (generated from the types in [`section`]), converts values weakly and reports wrong types and unknown keys;
//! `references` looks for dead references; what remains deserializes into [`Config`].

mod check;
mod coerce;
mod command;
mod custom;
mod diagnostic;
mod dotenv;
mod duration;
mod editor;
mod files;
mod include;
mod interpolate;
mod json;
mod load;
mod node;
mod origin;
mod overrides;
mod plugins;
mod references;
mod scalar;
mod schema;
pub mod section;
#[cfg(test)]
mod tests;
mod toml;
mod unfit;
mod weak;
mod yaml;

pub use command::CommandLine;
pub use custom::{BUNDLED, OWN_PREFIXES, is_custom};
pub use diagnostic::{Diagnostic, Diagnostics, Findings};
pub use duration::Dur;
pub use editor::schema_text;
pub use interpolate::expand_env;
pub use load::{LoadOptions, Loaded, check, check_text, load, load_with, restore};
pub use node::{Node, Origin, Source, Value};
pub use origin::{ShowOptions, show};
pub use section::Config;
pub use unfit::unfit_http;
