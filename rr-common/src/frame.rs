//! The goridge frame.
