//! Why a body could not be read, and what the client gets to see of it.

use http::StatusCode;
use std::io;

/// Why a body could not be read. The text is the reference's, without its leading `serve_http: `.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Larger than allowed.
    #[error("http: request body too large")]
    TooLarge,
    /// No valid form.
    #[error("{0}")]
    Form(String),
    /// A temporary file could not be created, written or read.
    #[error("temporary file: {0}")]
    Io(#[from] io::Error),
    /// The connection broke.
    #[error("unexpected EOF")]
    ClientGone,
    /// The client sent nothing for too long.
    #[error("i/o timeout")]
    Timeout,
}

impl BodyError {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Form(_) | Self::Io(_) => StatusCode::INTERNAL_SERVER_ERROR,
            // The client is most likely not there to see it.
            Self::ClientGone => StatusCode::BAD_REQUEST,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// The answer's body, which is `text/plain; charset=utf-8`.
    pub fn answer(&self) -> String {
        format!("serve_http: {self}\n")
    }
}
