//! A failed call.

use bytes::Bytes;

/// Why a call failed. The edge (the RPC port, a plugin's control socket) turns it into the answer's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The plugin has no method of that name; the edge, which knows the whole name, writes the text.
    #[error("rpc: can't find method")]
    NoMethod,
    /// The text for the caller, with the reference's chain of operations where the reference has one.
    #[error("{0}")]
    Failed(String),
    /// Nothing was done: the process is about to be replaced, and the call is to be made again with this argument, by the
    /// next one. Callers never see it.
    #[error("rpc: the plugin is being replaced")]
    Again(Bytes),
}

impl CallError {
    /// A failure with that text.
    pub fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// The text for the caller of `method`, whose name is the whole one (`kv.Set`).
    pub fn text(&self, method: &str) -> String {
        match self {
            Self::NoMethod => format!("rpc: can't find method {method}"),
            Self::Failed(text) => text.clone(),
            Self::Again(_) => self.to_string(),
        }
    }
}

impl From<super::UnknownCodec> for CallError {
    fn from(error: super::UnknownCodec) -> Self {
        Self::Failed(error.to_string())
    }
}
