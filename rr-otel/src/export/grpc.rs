//! OTLP over gRPC.

use super::{Sender, otlp};
use crate::{
    client::Connector,
    proto::trace_service_client::TraceServiceClient,
    retry::Failure,
    settings::{Remote, SettingsError},
    span::Span,
};
use http::{HeaderMap, Uri};
use hyper_util::rt::TokioIo;
use tonic::{
    Code, Request, Status,
    codec::CompressionEncoding,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tower::service_fn;

pub(super) struct Grpc {
    client: TraceServiceClient<Channel>,
    headers: HeaderMap,
}

impl Grpc {
    pub(super) fn new(remote: Remote) -> Result<Self, SettingsError> {
        let authority = remote.target.authority();
        let failed = |error: &dyn std::fmt::Display| SettingsError::System(format!("{authority}: {error}"));
        // TLS is the connector's matter; tonic would do it itself for a URL of https.
        let endpoint = Endpoint::from_shared(format!("http://{authority}")).map_err(|error| failed(&error))?;
        let scheme = if remote.target.tls { "https" } else { "http" };
        let origin: Uri = format!("{scheme}://{authority}")
            .parse()
            .map_err(|error| failed(&error))?;
        let connector = Connector::new(&remote, &[b"h2"])?;
        let connect = service_fn(move |_: Uri| {
            let connector = connector.clone();
            async move { connector.connect().await.map(TokioIo::new) }
        });
        let endpoint = endpoint.origin(origin).connect_timeout(remote.timeout);
        let mut client = TraceServiceClient::new(endpoint.connect_with_connector_lazy(connect));
        if remote.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        Ok(Self {
            client: client.accept_compressed(CompressionEncoding::Gzip),
            headers: remote.headers,
        })
    }

    pub(super) async fn send(&mut self, sender: &Sender, spans: &[Span]) -> Result<(), Failure> {
        let mut request = Request::new(otlp::request(sender, spans));
        *request.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
        let response = self.client.export(request).await.map_err(|status| failure(&status))?;
        otlp::look_at(response.get_ref());
        Ok(())
    }
}

/// A failure, as the protocol divides them.
fn failure(status: &Status) -> Failure {
    let mut reason = format!("the collector answers {:?}: {}", status.code(), status.message());
    let mut cause = std::error::Error::source(status);
    while let Some(inner) = cause {
        reason = format!("{reason}: {inner}");
        cause = inner.source();
    }
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss
        // What a broken connection becomes.
        | Code::Unknown => Failure::passing(reason),
        _ => Failure::for_good(reason),
    }
}
