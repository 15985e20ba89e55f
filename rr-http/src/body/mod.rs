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
    let kind = kind(method, content_type, settings.raw_body);
    if kind == Kind::None || (kind == Kind::Raw && body.is_end_stream()) {
        return Ok(Collected::new(pool::Body::Bytes(Bytes::new()), false));
    }
    let media_type = content_type.map_or(&[][..], HeaderValue::as_bytes);
    match kind {
        Kind::Urlencoded => {
            if ![Method::POST, Method::PUT, Method::PATCH].contains(method) {
                return Ok(Collected::new(pool::Body::Bytes(Bytes::new()), true));
            }
            let is_form = media::parse(media_type)
                .map_err(|error| BodyError::Form(error.to_string()))?
                .is("application/x-www-form-urlencoded");
            if !is_form {
                return Ok(Collected::new(pool::Body::Bytes(Bytes::new()), true));
            }
            let mut incoming = Incoming::new(body, content_length, settings.form_limit(), settings)?;
            let text = spool::read(&mut incoming, settings).await?;
            Ok(Collected::new(form::tree(text, settings).await?, true))
        }
        Kind::Multipart => {
            let boundary = form_data::boundary(media_type)?;
            let incoming = Incoming::new(body, content_length, settings.max_request_size, settings)?;
            // Boxed: its state is large, and every request of another kind would carry it.
            Box::pin(form_data::collect(incoming, &boundary, settings)).await
        }
        Kind::Raw | Kind::None => {
            let mut incoming = Incoming::new(body, content_length, settings.max_request_size, settings)?;
            Ok(Collected::new(spool::read(&mut incoming, settings).await?, false))
        }
    }
}

#[cfg(test)]
mod tests;
