//! Room of `relay`.
