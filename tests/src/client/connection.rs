//! One kept connection, with the small runtime that drives it.

use super::target::Stream;
use super::{PATIENCE, Reply, Target};
use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::sync::{Arc, Mutex};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// A connection on which requests are sent one after the other.
pub struct Connection {
    runtime: Runtime,
    sender: Sender,
    scheme: &'static str,
    authority: String,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Connects and shakes hands.
    pub(super) fn open(target: &Target, http2: bool) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        let sender = runtime.block_on(async {
            let step = async { handshake(target.connect(http2).await?, http2).await };
            let done = timeout(PATIENCE, step).await;
            done.unwrap_or_else(|_| Err("connecting took too long".into()))
        })?;
        Ok(Self {
            runtime,
            sender,
            scheme: target.scheme(),
            authority: target.authority(),
        })
    }

    /// One GET.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Reply {
        self.send(Request::get(path).body(Bytes::new()).unwrap())
    }

    /// One request.
    #[track_caller]
    pub fn send(&mut self, request: Request<Bytes>) -> Reply {
        self.try_send(request).unwrap()
    }

    /// One request; `Host` is added where it lacks.
    ///
    /// # Errors
    /// A text saying what went wrong; the connection is of no use then.
    pub fn try_send(&mut self, request: Request<Bytes>) -> Result<Reply, String> {
        let request = self.complete(request);
        let sender = &mut self.sender;
        self.runtime.block_on(async {
            let done = timeout(PATIENCE, exchange(sender, request)).await;
            done.unwrap_or_else(|_| Err("no whole answer in time".into()))
        })
    }

    fn complete(&self, request: Request<Bytes>) -> Request<Full<Bytes>> {
        let mut request = request.map(Full::new);
        match &self.sender {
            Sender::Http1(_) if !request.headers().contains_key(HOST) => {
                let host = HeaderValue::from_str(&self.authority).unwrap();
                request.headers_mut().insert(HOST, host);
            }
            Sender::Http1(_) => {}
            Sender::Http2(_) => {
                let mut parts = request.uri().clone().into_parts();
                parts.scheme = Some(self.scheme.parse().unwrap());
                parts.authority = Some(self.authority.parse().unwrap());
                *request.uri_mut() = Uri::from_parts(parts).unwrap();
            }
        }
        request
    }
}

async fn handshake(stream: Box<dyn Stream>, http2: bool) -> Result<Sender, String> {
    let io = TokioIo::new(stream);
    if http2 {
        let shaken = http2::handshake(TokioExecutor::new(), io).await;
        let (sender, driver) = shaken.map_err(|e| format!("handshake: {e}"))?;
        tokio::spawn(driver);
        Ok(Sender::Http2(sender))
    } else {
        let shaken = http1::handshake(io).await;
        let (sender, driver) = shaken.map_err(|e| format!("handshake: {e}"))?;
        tokio::spawn(driver);
        Ok(Sender::Http1(sender))
    }
}

async fn exchange(sender: &mut Sender, mut request: Request<Full<Bytes>>) -> Result<Reply, String> {
    let informational = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&informational);
    hyper::ext::on_informational(&mut request, move |reply| {
        let entry = (reply.status(), reply.headers().clone());
        seen.lock().unwrap().push(entry);
    });
    let answer = match sender {
        Sender::Http1(sender) => {
            sender.ready().await.map_err(|e| format!("closed: {e}"))?;
            sender.send_request(request).await
        }
        Sender::Http2(sender) => {
            sender.ready().await.map_err(|e| format!("closed: {e}"))?;
            sender.send_request(request).await
        }
    };
    let (head, body) = answer.map_err(|e| format!("answer: {e:?}"))?.into_parts();
    let body = body.collect().await.map_err(|e| format!("body: {e:?}"))?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let informational = std::mem::take(&mut *informational.lock().unwrap());
    Ok(Reply {
        status: head.status.as_u16(),
        version: head.version,
        headers: head.headers,
        body: body.to_bytes(),
        trailers,
        informational,
    })
}
