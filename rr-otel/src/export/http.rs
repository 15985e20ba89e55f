//! OTLP over HTTP: protobuf in a POST.

use super::{Sender, otlp};
use crate::{
    client::{Answer, Client},
    proto::ExportTraceServiceResponse,
    retry::Failure,
    settings::{Remote, SettingsError},
    span::Span,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::StatusCode;
use prost::Message;
use std::io::Write;

pub(super) struct Http {
    client: Client,
    gzip: bool,
}

impl Http {
    pub(super) fn new(remote: &Remote) -> Result<Self, SettingsError> {
        Ok(Self {
            client: Client::new(remote)?,
            gzip: remote.gzip,
        })
    }

    pub(super) async fn send(&mut self, sender: &Sender, spans: &[Span]) -> Result<(), Failure> {
        let mut body = otlp::request(sender, spans).encode_to_vec();
        if self.gzip {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            let compressed = encoder.write_all(&body).and_then(|()| encoder.finish());
            body = compressed.map_err(Failure::for_good)?;
        }
        let posted = self.client.post("application/x-protobuf", self.gzip, Bytes::from(body));
        let answer = posted.await?;
        if !answer.status.is_success() {
            return Err(refused(&answer));
        }
        // What cannot be read is no reason to send the batch twice.
        if let Ok(response) = ExportTraceServiceResponse::decode(answer.body) {
            otlp::look_at(&response);
        }
        Ok(())
    }
}

/// A status that is no success, as the protocol divides them.
pub(super) fn refused(answer: &Answer) -> Failure {
    let text = String::from_utf8_lossy(&answer.body[..answer.body.len().min(200)]).into_owned();
    let reason = format!("the collector answers {}: {}", answer.status, text.trim());
    match answer.status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Failure {
            after: answer.after,
            ..Failure::passing(reason)
        },
        _ => Failure::for_good(reason),
    }
}
