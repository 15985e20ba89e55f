//! The messages of OTLP, as far as we send them, and its gRPC client: generated from `proto/otlp.proto`.

#![allow(missing_docs, unreachable_pub, clippy::all)]

tonic::include_proto!("opentelemetry.proto.collector.trace.v1");
