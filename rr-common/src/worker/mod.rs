//! Room of `worker`.
