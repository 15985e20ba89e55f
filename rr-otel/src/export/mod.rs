//! The exporters: each takes a batch and says whether it was delivered.

mod grpc;
mod http;
mod otlp;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod zipkin;

use crate::{
    resource::Resource,
    retry::Failure,
    settings::{Exporter, SettingsError},
    span::Span,
};
use std::time::Duration;
use tokio::time::timeout;

/// For standard output and error there is nothing to wait for.
const NO_WAIT: Duration = Duration::from_secs(60);

/// Where batches go.
pub(crate) struct Export {
    way: Way,
    sender: Sender,
    timeout: Duration,
}

/// Who sends: what every batch says besides its spans.
pub(crate) struct Sender {
    pub(crate) resource: Resource,
    /// The program that makes the spans.
    pub(crate) scope: &'static str,
}

enum Way {
    Http(http::Http),
    Grpc(grpc::Grpc),
    Zipkin(zipkin::Zipkin),
    Text(text::Out),
}

impl Export {
    /// Prepares an exporter; nothing is connected yet. Needs a runtime around it.
    pub(crate) fn new(exporter: Exporter, sender: Sender) -> Result<Self, SettingsError> {
        let timeout = match &exporter {
            Exporter::Http(remote) | Exporter::Grpc(remote) | Exporter::Zipkin(remote) => remote.timeout,
            Exporter::Stdout | Exporter::Stderr => NO_WAIT,
        };
        let way = match exporter {
            Exporter::Http(remote) => Way::Http(http::Http::new(&remote)?),
            Exporter::Grpc(remote) => Way::Grpc(grpc::Grpc::new(remote)?),
            Exporter::Zipkin(remote) => Way::Zipkin(zipkin::Zipkin::new(&remote)?),
            Exporter::Stdout => Way::Text(text::Out::Stdout),
            Exporter::Stderr => Way::Text(text::Out::Stderr),
        };
        Ok(Self { way, sender, timeout })
    }

    /// Sends a batch.
    pub(crate) async fn send(&mut self, spans: &[Span]) -> Result<(), Failure> {
        let sender = &self.sender;
        let work = async {
            match &mut self.way {
                Way::Http(http) => http.send(sender, spans).await,
                Way::Grpc(grpc) => grpc.send(sender, spans).await,
                Way::Zipkin(zipkin) => zipkin.send(sender, spans).await,
                Way::Text(out) => out.send(sender, spans),
            }
        };
        match timeout(self.timeout, work).await {
            Ok(done) => done,
            Err(_) => Err(Failure::passing(format!("no answer within {:?}", self.timeout))),
        }
    }
}
