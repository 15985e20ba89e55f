//! A small HTTP/1.1 server for the supervisor's own endpoints: status and metrics.
//!
//! It takes GET and HEAD, reads no bodies, and bounds everything: connections (more wait in the kernel's queue), the head's size, the
//! wait for a head, the life of a connection. So no client can hold anything for long, whether it sends nothing or reads nothing.
//!
//! It can end before the process does, when a reload moves or removes it: what has been asked is answered then. All of them can
//! [`pause`].

pub(crate) mod pause;

use bytes::Bytes;
use http::{
    Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1::Builder, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rr_common::listen::Listener;
use std::{
    convert::Infallible,
    fmt,
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::Handle,
    sync::{Notify, Semaphore, watch},
    task::yield_now,
    time::{sleep, timeout},
};

/// Connections at once, for each endpoint.
const CONNECTIONS: usize = 64;

/// The largest head of a request.
const LARGEST_HEAD: usize = 16 * 1024;

/// What a connection may take of our time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The wait for each request's head, the first and later ones.
    pub head: Duration,
    /// The life of a connection, so that one that reads nothing ends too. A client that keeps its connection makes a new one now
    /// and then.
    pub life: Duration,
    /// What a request that runs at the end of that life is given to be answered.
    pub last_answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(60),
            life: Duration::from_secs(300),
            last_answer: Duration::from_secs(10),
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The path: `/health`.
    pub path: String,
    /// What stands behind the question mark, undecoded; empty without one.
    pub query: String,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The status; one outside 200..=599 becomes 500.
    pub status: u16,
    /// The content type.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

/// Plain text, as Go's servers name it.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

impl Page {
    /// Text in plain.
    pub(crate) fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: TEXT,
            body: body.into(),
        }
    }

    /// Nothing is there.
    pub(crate) fn not_found() -> Self {
        Self::text(404, "404 page not found\n")
    }
}

/// An endpoint that has all it needs, and answers nobody yet.
pub(crate) struct Ready {
    runtime: Handle,
    accepting: Pin<Box<dyn Future<Output = ()> + Send>>,
    serving: Serving,
}

/// A running endpoint; when this is dropped it answers what has been asked, and ends.
#[derive(Debug)]
pub(crate) struct Serving {
    _end: watch::Sender<()>,
}

impl Ready {
    /// Answers from now on.
    pub(crate) fn begin(self) -> Serving {
        self.runtime.spawn(self.accepting);
        self.serving
    }

    /// The same for as long as the runtime runs.
    pub(crate) fn begin_for_good(self) {
        let Self {
            runtime,
            accepting,
            serving,
        } = self;
        runtime.spawn(async move {
            accepting.await;
            drop(serving);
        });
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ready")
    }
}

/// Makes an endpoint of a listening socket.
///
/// # Errors
/// The runtime cannot take the socket.
pub(crate) fn prepare<H, F>(runtime: &Handle, listener: Listener, limits: Limits, handler: H) -> io::Result<Ready>
where
    H: Fn(Asked) -> F + Send + Sync + 'static,
    F: Future<Output = Page> + Send + 'static,
{
    let inside = runtime.enter();
    let accepting = match listener {
        Listener::Tcp(listener) => Accepting::Tcp(tokio::net::TcpListener::from_std(listener)?),
        Listener::Unix(listener) => Accepting::Unix(tokio::net::UnixListener::from_std(listener)?),
    };
    drop(inside);
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(LARGEST_HEAD)
        .title_case_headers(true);
    let (end, ended) = watch::channel(());
    let endpoint = Endpoint {
        builder,
        limits,
        handler,
        ended,
    };
    Ok(Ready {
        runtime: runtime.clone(),
        accepting: Box::pin(accept_all(accepting, Arc::new(endpoint))),
        serving: Serving { _end: end },
    })
}

/// What all connections of an endpoint share.
struct Endpoint<H> {
    builder: Builder,
    limits: Limits,
    handler: H,
    /// Its sender is gone at the end.
    ended: watch::Receiver<()>,
}

enum Accepting {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Accepting {
    /// The next connection, in a task of its own that begins with it.
    async fn next<H, F>(&self, endpoint: &Arc<Endpoint<H>>, slots: &Arc<Semaphore>) -> io::Result<()>
    where
        H: Fn(Asked) -> F + Send + Sync + 'static,
        F: Future<Output = Page> + Send + 'static,
    {
        // The semaphore is never closed.
        let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
        let endpoint = Arc::clone(endpoint);
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(async move {
                    connection(stream, endpoint).await;
                    drop(slot);
                });
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(async move {
                    connection(stream, endpoint).await;
                    drop(slot);
                });
            }
        }
        Ok(())
    }
}

async fn accept_all<H, F>(accepting: Accepting, endpoint: Arc<Endpoint<H>>)
where
    H: Fn(Asked) -> F + Send + Sync + 'static,
    F: Future<Output = Page> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut ended = endpoint.ended.clone();
    let mut pauses = pause::all();
    loop {
        let paused = *pauses.borrow_and_update();
        let accepted = tokio::select! {
            accepted = accepting.next(&endpoint, &slots), if !paused => accepted,
            _ = pauses.changed() => continue,
            _ = ended.changed() => break,
        };
        if accepted.is_err() {
            // Most likely a lack of descriptors, which passes.
            sleep(Duration::from_millis(100)).await;
        }
    }
    // Those that wait in the kernel's queue came in time. The runtime looks there once more.
    yield_now().await;
    let mut waker = Context::from_waker(Waker::noop());
    while let Poll::Ready(Ok(())) = pin!(accepting.next(&endpoint, &slots)).poll(&mut waker) {}
}

/// One connection to its end, or to that of the endpoint: then the request that runs, or the first one of a new connection, is
/// answered still. What a client does wrong is its own matter.
async fn connection<H, F>(stream: impl AsyncRead + AsyncWrite + Unpin, endpoint: Arc<Endpoint<H>>)
where
    H: Fn(Asked) -> F,
    F: Future<Output = Page>,
{
    let asked = Notify::new();
    let service = service_fn(|request| {
        asked.notify_one();
        exchange(&endpoint.handler, request)
    });
    let mut http = pin!(endpoint.builder.serve_connection(TokioIo::new(stream), service));
    let mut ended = endpoint.ended.clone();
    let end = async {
        let _ = ended.changed().await;
        // Hyper would close a connection that has not asked yet at once.
        asked.notified().await;
    };
    tokio::select! {
        lived = timeout(endpoint.limits.life, http.as_mut()) => {
            if lived.is_ok() {
                return;
            }
        }
        () = end => {}
    }
    http.as_mut().graceful_shutdown();
    let _ = timeout(endpoint.limits.last_answer, http).await;
}

async fn exchange<H, F>(handler: &H, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible>
where
    H: Fn(Asked) -> F,
    F: Future<Output = Page>,
{
    let _answering = pause::Answering::begin();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = response(Page::text(405, "Method Not Allowed\n"));
        refusal
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(refusal);
    }
    let asked = Asked {
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
    };
    Ok(response(handler(asked).await))
}

fn response(page: Page) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(page.status).ok();
    let status = status.filter(|status| (200..=599).contains(&status.as_u16()));
    let mut response = Response::new(Full::new(page.body));
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = HeaderValue::from_static(page.content_type);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
