//! The plugin processes: which there are, the life of each, and how one is started.

pub(crate) mod catalog;
pub(crate) mod foreign;
pub(crate) mod lifecycle;
pub(crate) mod output;
pub(crate) mod process;
