//! The HTTP plugin's rooms, as a library so that fuzz targets reach the decoders.
//!
//! - [`body`]: a request's body on its way to PHP: forms, uploads, raw bytes
//! - [`cookies`]: the `Cookie` header, decoded

pub mod body;
pub mod cookies;
