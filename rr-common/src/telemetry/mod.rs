//! Room of `telemetry`.
