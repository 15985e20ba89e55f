//! A request's body on its way to PHP.
//!
//! [`collect`] decides by method and content type what becomes of a body: nothing, the bytes as they are, or a parsed
//! form. Raw bytes live in memory up to a threshold and in an unlinked temporary file above it ([`spool`]). A form
//! becomes a JSON tree ([`form`], [`tree`]); the files of a multipart form go straight to `uploads.dir` ([`form_data`],
//! [`uploads`]). Memory per request is bounded whatever is sent.

mod blocks;
mod error;
pub mod form;
mod form_data;
mod incoming;
mod json;
pub mod media;
pub mod multipart;
mod name;
mod quote;
mod settings;
mod spool;
pub mod tree;
mod uploads;
mod work;

pub use error::BodyError;
pub use settings::Settings;
pub use uploads::UploadGuard;

pub(crate) use form::unescape;

use bytes::Bytes;
use http::{HeaderValue, Method};
use incoming::Incoming;
use memchr::memmem;
use rr_common::pool;
use settings::MAX_FORM;

/// A body as it goes to the worker.
#[derive(Debug)]
pub struct Collected {
    /// The frame's body: raw bytes, or the JSON tree of a form (empty for a form without fields).
    pub body: pool::Body,
    /// The body was a form, and what the worker gets is its tree.
    pub parsed: bool,
    /// JSON tree of the uploaded files; present if the body was multipart.
    pub uploads: Option<Bytes>,
    /// Keeps the uploaded files; drop it when the response is complete.
    pub guard: UploadGuard,
}

impl Collected {
    fn new(body: pool::Body, parsed: bool) -> Self {
        Self {
            body,
            parsed,
            uploads: None,
            guard: UploadGuard::default(),
        }
    }
}

/// What a body is, by method and content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Never read.
    None,
    /// `application/x-www-form-urlencoded`.
    Urlencoded,
    /// `multipart/form-data`.
    Multipart,
    /// Passed on as it is.
    Raw,
}

/// The content type is matched by substring and case-sensitively, as the reference does.
fn kind(method: &Method, content_type: Option<&HeaderValue>, raw_body: bool) -> Kind {
    if method == Method::HEAD || method == Method::OPTIONS {
        return Kind::None;
    }
    let Some(content_type) = content_type.filter(|_| !raw_body) else {
        return Kind::Raw;
    };
    let contains = |text: &str| memmem::find(content_type.as_bytes(), text.as_bytes()).is_some();
    if contains("application/x-www-form-urlencoded") {
        Kind::Urlencoded
    } else if contains("multipart/form-data") {
        Kind::Multipart
    } else {
        Kind::Raw
    }
}

/// Reads a request's body to its end and makes of it what the worker gets.
///
/// `content_length` is the declared length: a body declared too large is refused unread. A body that is not wanted
/// (HEAD, OPTIONS, a form sent with another method than POST, PUT or PATCH) is dropped unread.
///
/// # Errors
///
/// [`BodyError`] says what the client gets to see. Temporary files are removed in every case, as they are when the
/// future is dropped.
pub async fn collect<B>(
    method: &Method,
    content_type: Option<&HeaderValue>,
    content_length: Option<u64>,
    body: B,
    settings: &Settings,
) -> Result<Collected, BodyError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let nothing = pool::Body::Bytes(Bytes::new());
    let media_type = content_type.map_or(&[][..], HeaderValue::as_bytes);
    // What reads is boxed: requests without a body are many, and would all carry its state.
    match kind(method, content_type, settings.raw_body) {
        Kind::None => Ok(Collected::new(nothing, false)),
        Kind::Raw if body.is_end_stream() => Ok(Collected::new(nothing, false)),
        Kind::Raw => {
            let incoming = Incoming::new(body, content_length, settings.max_request_size, settings)?;
            let raw = Box::pin(spool::read(incoming, settings)).await?;
            Ok(Collected::new(raw, false))
        }
        Kind::Urlencoded => {
            if !is_read(method, media_type)? {
                return Ok(Collected::new(nothing, true));
            }
            let limit = settings.max_request_size.min(MAX_FORM);
            let incoming = Incoming::new(body, content_length, limit, settings)?;
            let form = async { form::tree(spool::read(incoming, settings).await?, settings, form::parse).await };
            Ok(Collected::new(Box::pin(form).await?, true))
        }
        Kind::Multipart => {
            let boundary = form_data::boundary(media_type)?;
            let incoming = Incoming::new(body, content_length, settings.max_request_size, settings)?;
            Box::pin(form_data::collect(incoming, boundary, settings)).await
        }
    }
}

/// Whether an urlencoded body is read at all: with these methods, and if that is what its type really says.
fn is_read(method: &Method, media_type: &[u8]) -> Result<bool, BodyError> {
    if ![Method::POST, Method::PUT, Method::PATCH].contains(method) {
        return Ok(false);
    }
    let parsed = media::parse(media_type).map_err(|error| BodyError::Form(error.to_string()))?;
    Ok(parsed.is("application/x-www-form-urlencoded"))
}

#[cfg(test)]
mod tests;
