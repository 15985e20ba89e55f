//! Configuration: one file, or several by `include`, resolved to one typed [`Config`].

mod command;
mod duration;
pub mod section;

pub use command::CommandLine;
pub use duration::Dur;
pub use section::Config;
