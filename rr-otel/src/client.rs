//! Connections to a collector, and HTTP/1.1 over one of them, which is kept between batches.

use crate::{
    endpoint::Target,
    retry::Failure,
    settings::{Remote, SettingsError},
    tls,
};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// More of an answer is not looked at.
const LONGEST_ANSWER: usize = 64 * 1024;
const USER_AGENT: &str = concat!("RoadRunner-", env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Bytes to and from a collector.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Makes connections to one place.
#[derive(Clone)]
pub(crate) struct Connector {
    target: Target,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    /// A connector that offers these protocols in TLS.
    pub(crate) fn new(remote: &Remote, protocols: &[&[u8]]) -> Result<Self, SettingsError> {
        let target = remote.target.clone();
        let tls = match target.tls {
            false => None,
            true => {
                let name = ServerName::try_from(target.host.clone());
                let name = name.map_err(|error| SettingsError::Tls(format!("{}: {error}", target.host)))?;
                Some((tls::connector(&remote.certificates, protocols)?, name))
            }
        };
        Ok(Self { target, tls })
    }

    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let socket = TcpStream::connect((self.target.host.as_str(), self.target.port)).await?;
        socket.set_nodelay(true)?;
        let Some((connector, name)) = &self.tls else {
            return Ok(Box::new(socket));
        };
        let secured = connector.connect(name.clone(), socket).await;
        let explained = |error: io::Error| {
            // What a collector without TLS answers to a handshake.
            let plain =
                error.to_string().contains("InvalidContentType") || error.kind() == io::ErrorKind::UnexpectedEof;
            let hint = if plain {
                " (does it speak TLS? if not: `otel.insecure: true`)"
            } else {
                ""
            };
            io::Error::new(error.kind(), format!("TLS: {error}{hint}"))
        };
        Ok(Box::new(secured.map_err(explained)?))
    }
}

/// What a collector answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    /// When to come again.
    pub(crate) after: Option<Duration>,
}

/// Posts to one place.
pub(crate) struct Client {
    connector: Connector,
    headers: HeaderMap,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// A client that sends the headers of `remote`.
    pub(crate) fn new(remote: &Remote) -> Result<Self, SettingsError> {
        let mut headers = remote.headers.clone();
        if let Ok(host) = remote.target.authority().parse() {
            headers.insert(header::HOST, host);
        }
        if let (false, Ok(agent)) = (headers.contains_key(header::USER_AGENT), USER_AGENT.parse()) {
            headers.insert(header::USER_AGENT, agent);
        }
        Ok(Self {
            connector: Connector::new(remote, &[b"http/1.1"])?,
            headers,
            connection: None,
        })
    }

    /// Posts a body of this type, and reads the answer.
    pub(crate) async fn post(
        &mut self,
        content_type: &'static str,
        gzip: bool,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let mut kept = self.connection.take().filter(|connection| !connection.is_closed());
        loop {
            let fresh = kept.is_none();
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => self.open().await?,
            };
            let request = self.request(content_type, gzip, body.clone())?;
            match Self::exchange(&mut connection, request).await {
                Ok(answer) => {
                    self.connection = Some(connection);
                    return Ok(answer);
                }
                Err(error) if fresh => return Err(Failure::passing(error)),
                // A collector may close a connection that was silent for long just when we use it again.
                Err(_) => {}
            }
        }
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            let place = self.connector.target.authority();
            Failure::passing(format!("{place}: {error}"))
        };
        let stream = self.connector.connect().await.map_err(|error| failed(&error))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(&error))?;
        tokio::spawn(async move {
            // Its end shows at the next request.
            let _ = connection.await;
        });
        Ok(sender)
    }

    fn request(&self, content_type: &'static str, gzip: bool, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
        let path = self.connector.target.path.as_str();
        let mut request = Request::post(path).body(Full::new(body)).map_err(Failure::for_good)?;
        *request.headers_mut() = self.headers.clone();
        let own = [(header::CONTENT_TYPE, content_type), (header::CONTENT_ENCODING, "gzip")];
        for (name, value) in own.into_iter().take(1 + usize::from(gzip)) {
            request
                .headers_mut()
                .insert(name, http::HeaderValue::from_static(value));
        }
        Ok(request)
    }

    async fn exchange(
        connection: &mut SendRequest<Full<Bytes>>,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        let (head, body) = response.into_parts();
        let after = head.headers.get(header::RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = Limited::new(body, LONGEST_ANSWER).collect().await?.to_bytes();
        Ok(Answer {
            status: head.status,
            body,
            after: after.map(Duration::from_secs),
        })
    }
}
