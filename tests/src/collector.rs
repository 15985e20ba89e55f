//! A collector of traces: takes OTLP over HTTP and gRPC and zipkin's JSON, keeps what it got, and refuses on demand.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rr_otel::proto::{AnyValue, ExportTraceServiceRequest, KeyValue, any_value::Value};
use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// A running collector; it ends with this.
pub struct Collector {
    address: SocketAddr,
    state: Arc<State>,
    _end: oneshot::Sender<()>,
}

/// One request to the collector.
#[derive(Clone, Debug)]
pub struct Post {
    /// Path and query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, uncompressed, without gRPC's prefix.
    pub body: Vec<u8>,
}

/// A span as it came by OTLP.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What was done.
    pub name: String,
    /// The trace, as 32 digits.
    pub trace: String,
    /// Its own id, as 16 digits.
    pub id: String,
    /// Its parent's id, empty for none.
    pub parent: String,
    /// 1 internal, 2 server.
    pub kind: i32,
    /// What vendors added.
    pub state: String,
    /// Its attributes as text.
    pub attributes: BTreeMap<String, String>,
    /// Why it failed.
    pub error: Option<String>,
    /// How long it took.
    pub took: Duration,
    /// The attributes of the sender.
    pub resource: BTreeMap<String, String>,
}

#[derive(Default)]
struct State {
    posts: Mutex<Vec<Post>>,
    refusals: Mutex<VecDeque<StatusCode>>,
}

impl Collector {
    /// One that speaks HTTP/1.1 in the clear.
    pub fn http() -> Self {
        Self::start(false, None)
    }

    /// One that speaks gRPC in the clear.
    pub fn grpc() -> Self {
        Self::start(true, None)
    }

    /// One behind TLS.
    pub fn tls(grpc: bool, acceptor: TlsAcceptor) -> Self {
        Self::start(grpc, Some(acceptor))
    }

    fn start(grpc: bool, tls: Option<TlsAcceptor>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let accept = async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                let (state, tls) = (Arc::clone(&shared), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(socket, grpc, state).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(socket).await {
                                serve(stream, grpc, state).await;
                            }
                        }
                    }
                });
            }
        };
        let (end, ended) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept => {}
                    _ = ended => {}
                }
            });
        });
        Self {
            address,
            state,
            _end: end,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next requests get these statuses, in this order; then all are taken again.
    pub fn refuse(&self, statuses: &[u16]) {
        let statuses = statuses.iter().map(|status| StatusCode::from_u16(*status).unwrap());
        lock(&self.state.refusals).extend(statuses);
    }

    /// What was taken.
    pub fn posts(&self) -> Vec<Post> {
        lock(&self.state.posts).clone()
    }

    /// The spans that came by OTLP.
    pub fn spans(&self) -> Vec<Seen> {
        self.posts().iter().flat_map(spans).collect()
    }
}

async fn serve(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, grpc: bool, state: Arc<State>) {
    let io = TokioIo::new(socket);
    // How a connection ends is not what these tests are about.
    if grpc {
        let service = service_fn(move |request| take_call(request, Arc::clone(&state)));
        let _ = http2::Builder::new(TokioExecutor::new())
            .serve_connection(io, service)
            .await;
    } else {
        let service = service_fn(move |request| take_post(request, Arc::clone(&state)));
        let _ = http1::Builder::new().serve_connection(io, service).await;
    }
}

async fn take_post(request: Request<Incoming>, state: Arc<State>) -> hyper::Result<Response<Full<Bytes>>> {
    let status = lock(&state.refusals).pop_front();
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut response = Response::new(Full::default());
    match status {
        Some(status) => *response.status_mut() = status,
        None => {
            let gzip = head
                .headers
                .get("content-encoding")
                .is_some_and(|value| value == "gzip");
            let body = if gzip { unzip(&body) } else { body.into() };
            let path = head.uri.to_string();
            let headers = head.headers;
            lock(&state.posts).push(Post { path, headers, body });
        }
    }
    Ok(response)
}

async fn take_call(
    request: Request<Incoming>,
    state: Arc<State>,
) -> hyper::Result<Response<impl Body<Data = Bytes, Error = std::convert::Infallible>>> {
    let refused = lock(&state.refusals).pop_front();
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    if refused.is_none() {
        // One byte says whether the message is compressed, four how long it is.
        let body = if body[0] == 1 {
            unzip(&body[5..])
        } else {
            body[5..].into()
        };
        let path = head.uri.path().to_owned();
        let headers = head.headers;
        lock(&state.posts).push(Post { path, headers, body });
    }
    let mut trailers = HeaderMap::new();
    let unavailable = if refused.is_some() { "14" } else { "0" };
    trailers.insert("grpc-status", HeaderValue::from_static(unavailable));
    let empty = Full::new(Bytes::from_static(&[0; 5]));
    let mut response = Response::new(empty.with_trailers(async { Some(Ok(trailers)) }));
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}

fn unzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

fn spans(post: &Post) -> Vec<Seen> {
    let Ok(request) = ExportTraceServiceRequest::decode(post.body.as_slice()) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for sender in request.resource_spans {
        let resource = texts(sender.resource.unwrap_or_default().attributes);
        for span in sender.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            all.push(Seen {
                name: span.name,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                kind: span.kind,
                state: span.trace_state,
                attributes: texts(span.attributes),
                error: span
                    .status
                    .filter(|status| status.code == 2)
                    .map(|status| status.message),
                took: Duration::from_nanos(span.end_time_unix_nano - span.start_time_unix_nano),
                resource: resource.clone(),
            });
        }
    }
    all
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        None => String::new(),
    };
    let pairs = attributes.into_iter().map(|pair| (pair.key, text(pair.value)));
    pairs.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
