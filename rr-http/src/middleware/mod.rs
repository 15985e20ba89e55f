//! Middleware: the layers around PHP, by the names of `http.middleware`. The list is read from the inside out, as in the
//! reference: the last name is the outermost layer, which sees a request first and its answer last.
//!
//! [`Layers::enter`] is a request's way in. A layer that only watches leaves its part in the request's [`Observation`].

mod http_metrics;
mod otel;

pub(crate) use http_metrics::{HttpMetrics, Measured};
pub(crate) use otel::Trace;

use crate::{connection::Connection, observe::Observation};
use http::request::Parts;
use rr_otel::Tracer;
use std::sync::Arc;

/// The layers, the innermost first.
#[derive(Debug, Default)]
pub(crate) struct Layers(Vec<Layer>);

#[derive(Debug)]
enum Layer {
    Metrics(Arc<HttpMetrics>),
    Traces(Tracer),
}

impl Layers {
    /// The layers of these names. Names that nobody knows are a warning, as in the reference, and those that are not there yet have
    /// been refused; `otel` is nothing without a tracer, which the section of that name makes.
    pub(crate) fn new(names: &[String], metrics: &Arc<HttpMetrics>, tracer: Option<&Tracer>) -> Self {
        let mut layers = Vec::new();
        for name in names {
            match name.as_str() {
                "http_metrics" => layers.push(Layer::Metrics(metrics.clone())),
                "otel" => layers.extend(tracer.cloned().map(Layer::Traces)),
                _ => tracing::warn!(target: "http", requested = %name, "requested middleware does not exist"),
            }
        }
        Self(layers)
    }

    /// A request's way in, from the outermost layer to the innermost.
    pub(crate) fn enter(&self, connection: &Connection, head: &mut Parts, seen: &mut Observation) {
        for layer in self.0.iter().rev() {
            match layer {
                Layer::Metrics(metrics) => seen.measure(metrics),
                Layer::Traces(tracer) => seen.trace(tracer, connection, head),
            }
        }
    }
}
