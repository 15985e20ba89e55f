//! A small HTTP/1.1 server for the supervisor's own endpoints: status and metrics.
//!
//! It takes GET and HEAD, reads no bodies, and bounds everything: connections (more wait in the kernel's queue), the head's size, the
//! wait for a head, the life of a connection. So no client can hold anything for long, whether it sends nothing or reads nothing.

use bytes::Bytes;
use http::{
    Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1::Builder, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rr_common::listen::Listener;
use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::Handle,
    sync::Semaphore,
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

/// Answers on a listening socket for as long as the runtime runs.
///
/// # Errors
/// The runtime cannot take the socket.
pub(crate) fn serve<H, F>(runtime: &Handle, listener: Listener, limits: Limits, handler: H) -> io::Result<()>
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
    let endpoint = Endpoint {
        builder,
        limits,
        handler,
    };
    runtime.spawn(accept_all(accepting, Arc::new(endpoint)));
    Ok(())
}

/// What all connections of an endpoint share.
struct Endpoint<H> {
    builder: Builder,
    limits: Limits,
    handler: H,
}

enum Accepting {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

async fn accept_all<H, F>(accepting: Accepting, endpoint: Arc<Endpoint<H>>)
where
    H: Fn(Asked) -> F + Send + Sync + 'static,
    F: Future<Output = Page> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(slot) = slots.clone().acquire_owned().await {
        let endpoint = endpoint.clone();
        let accepted = match &accepting {
            Accepting::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(async move {
                    connection(stream, endpoint).await;
                    drop(slot);
                })
            }),
            Accepting::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(async move {
                    connection(stream, endpoint).await;
                    drop(slot);
                })
            }),
        };
        if accepted.is_err() {
            // Most likely a lack of descriptors, which passes.
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// One connection to its end. What a client does wrong is its own matter.
async fn connection<H, F>(stream: impl AsyncRead + AsyncWrite + Unpin, endpoint: Arc<Endpoint<H>>)
where
    H: Fn(Asked) -> F,
    F: Future<Output = Page>,
{
    let service = service_fn(|request| exchange(&endpoint.handler, request));
    let mut http = pin!(endpoint.builder.serve_connection(TokioIo::new(stream), service));
    if timeout(endpoint.limits.life, http.as_mut()).await.is_err() {
        http.as_mut().graceful_shutdown();
        let _ = timeout(endpoint.limits.last_answer, http).await;
    }
}

async fn exchange<H, F>(handler: &H, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible>
where
    H: Fn(Asked) -> F,
    F: Future<Output = Page>,
{
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rr_common::listen::Listeners;
    use std::net::SocketAddr;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    const PATIENCE: Duration = Duration::from_secs(10);

    /// An endpoint that answers with what it was asked.
    fn start(limits: Limits) -> SocketAddr {
        let listener = Listeners::default().take("127.0.0.1:0").unwrap();
        let address = listener.address().unwrap().to_string().parse().unwrap();
        let echo = |asked: Asked| async move {
            match asked.path.as_str() {
                "/slow" => std::future::pending().await,
                "/odd" => Page::text(99, "odd"),
                _ => Page::text(200, format!("{}|{}", asked.path, asked.query)),
            }
        };
        serve(&Handle::current(), listener, limits, echo).unwrap();
        address
    }

    /// What is answered to these bytes until the other side closes.
    async fn send(address: SocketAddr, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn it_answers_get_and_head_and_nothing_else() {
        let address = start(Limits::default());
        let get = send(
            address,
            b"GET /a/b?x=1&y HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        .await;
        assert!(get.starts_with("HTTP/1.1 200 OK\r\n"), "{get}");
        assert!(get.contains("Content-Type: text/plain; charset=utf-8\r\n"), "{get}");
        assert!(get.ends_with("\r\n\r\n/a/b|x=1&y"), "{get}");
        let head = send(address, b"HEAD /a HTTP/1.0\r\n\r\n").await;
        assert!(
            head.contains("Content-Length: 3\r\n") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        let post = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n";
        let post = send(address, post).await;
        assert!(
            post.starts_with("HTTP/1.1 405 ") && post.contains("Allow: GET, HEAD\r\n"),
            "{post}"
        );
        let odd = send(address, b"GET /odd HTTP/1.0\r\n\r\n").await;
        assert!(odd.starts_with("HTTP/1.0 500 "), "{odd}");
    }

    #[tokio::test]
    async fn whoever_sends_no_head_or_too_much_of_one_is_closed() {
        let address = start(Limits {
            head: Duration::from_millis(50),
            ..Limits::default()
        });
        assert_eq!(send(address, b"").await, "");
        assert!(!send(address, b"GET / HTTP/1.1\r\nHost:").await.contains(" 200 "));
        let endless = [b"GET / HTTP/1.1\r\nx: ".to_vec(), vec![b'x'; 1 << 20]].concat();
        assert!(!send(address, &endless).await.contains(" 200 "));
        assert!(send(address, b"\0\xff\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    }

    #[tokio::test]
    async fn a_connection_has_an_end_and_leaves_its_place_to_others() {
        let address = start(Limits {
            life: Duration::from_millis(100),
            last_answer: Duration::from_millis(1),
            ..Limits::default()
        });
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream
                .write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
                .await
                .unwrap();
            held.push(stream);
        }
        let answer = send(address, b"GET /late HTTP/1.0\r\n\r\n").await;
        assert!(answer.ends_with("/late|"), "{answer}");
    }
}
