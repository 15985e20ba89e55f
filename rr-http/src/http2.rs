//! HTTP/2 on one connection. It uses the h2 crate directly: hyper's layer over it has no way to send interim answers.

use crate::{
    connection::{Activity, Connection},
    date,
    handle::{self, App},
    hints::Hints,
    io::Io,
    redirect,
    reply::Reply,
};
use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    server::{Builder, SendResponse},
};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::timeout;

/// What may be on its way to us on one stream and on one connection.
const WINDOW: u32 = 1 << 20;
/// What may wait in memory for a client on one stream.
const SEND_BUFFER: usize = 256 * 1024;

/// Headers that HTTP/2 does not have.
const HTTP1_ONLY: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// The settings of all connections.
pub(crate) fn builder(max_concurrent_streams: u32, max_header_size: usize) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(max_concurrent_streams)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(max_header_size).unwrap_or(u32::MAX));
    builder
}

/// Serves a connection to its end. Each request runs as a task; all of them see the end of the connection.
pub(crate) async fn serve(connection: Arc<Connection>, io: Io) {
    let mut http = match connection.app.http2.handshake::<_, Bytes>(io).await {
        Ok(http) => http,
        Err(error) => return tracing::debug!(target: "http", peer = %connection.peer, %error, "handshake"),
    };
    connection.speaks_frames();
    let mut draining = false;
    loop {
        let next = poll_fn(|cx| {
            if !draining && connection.should_end() {
                draining = true;
                http.graceful_shutdown();
            }
            http.poll_accept(cx)
        });
        match next.await {
            Some(Ok((request, respond))) => {
                let activity = Activity::begin(connection.clone());
                tokio::spawn(exchange(activity, request, respond));
            }
            Some(Err(error)) => return tracing::debug!(target: "http", peer = %connection.peer, %error, "connection"),
            None => return,
        }
    }
}

/// One stream: a request and its answer.
async fn exchange(activity: Activity, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
    let connection = activity.connection().clone();
    let app = &*connection.app;
    let method = request.method().clone();
    let answered = Respond(Mutex::new(respond));
    let response = match app.settings.redirect.filter(|_| !connection.secure) {
        Some(port) => redirect::answer(&request.into_parts().0, port),
        None => {
            let mut hints = &answered;
            let mut answer = pin!(handle::answer(activity, request.map(Incoming), &mut hints));
            let response = poll_fn(|cx| match answer.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(response.ok()),
                // A client that takes its request back ends the wait for PHP.
                Poll::Pending => answered.lock().poll_reset(cx).map(|_reason| None),
            });
            match response.await {
                Some(response) => response,
                None => return answered.lock().send_reset(Reason::CANCEL),
            }
        }
    };
    if let Err(error) = send(app, &method, &answered, response).await {
        tracing::debug!(target: "http", peer = %connection.peer, %error, "stream");
    }
}

/// Sends an answer as fast as the client takes it.
async fn send(app: &App, method: &Method, respond: &Respond, response: Response<Reply>) -> Result<(), h2::Error> {
    let (head, mut body) = response.into_parts();
    let mut response = Response::from_parts(head, ());
    let bodiless = method == Method::HEAD;
    let headers = response.headers_mut();
    for name in HTTP1_ONLY {
        headers.remove(name);
    }
    headers.entry(header::DATE).or_insert_with(date::header);
    // The length of a HEAD's answer is PHP's own, if PHP sent no body.
    if let Some(len) = body.size_hint().exact()
        && (len > 0 || (!bodiless && may_have_length(response.status())))
    {
        response.headers_mut().insert(header::CONTENT_LENGTH, len.into());
    }
    let ends = bodiless || body.is_end_stream();
    let mut out = respond.lock().send_response(response, ends)?;
    if ends {
        return Ok(());
    }
    loop {
        let frame = poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            Poll::Pending => out
                .poll_reset(cx)
                .map(|reason| Err(reason.map_or_else(|error| error, h2::Error::from))),
        });
        match frame.await? {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => send_data(&mut out, data, body.is_end_stream(), app.settings.write_timeout).await?,
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    return out.send_trailers(trailers);
                }
            },
            Some(Err(_)) => {
                out.send_reset(Reason::INTERNAL_ERROR);
                return Ok(());
            }
            None => return out.send_data(Bytes::new(), true),
        }
        if body.is_end_stream() {
            return Ok(());
        }
    }
}

/// Sends one piece within the client's window.
async fn send_data(
    out: &mut SendStream<Bytes>,
    mut data: Bytes,
    last: bool,
    patience: Duration,
) -> Result<(), h2::Error> {
    while !data.is_empty() {
        out.reserve_capacity(data.len());
        let room = poll_fn(|cx| out.poll_capacity(cx));
        // Zero means no limit.
        let room = match patience.is_zero() {
            true => room.await,
            false => match timeout(patience, room).await {
                Ok(room) => room,
                Err(_) => {
                    out.send_reset(Reason::CANCEL);
                    return Err(Reason::CANCEL.into());
                }
            },
        };
        let room = room.ok_or(Reason::CANCEL)??;
        let piece = data.split_to(room.min(data.len()));
        out.send_data(piece, last && data.is_empty())?;
    }
    Ok(())
}

fn may_have_length(status: StatusCode) -> bool {
    status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// The answering side of a stream, which interim answers and the watch for a reset share.
struct Respond(Mutex<SendResponse<Bytes>>);

impl Respond {
    fn lock(&self) -> MutexGuard<'_, SendResponse<Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hints for &Respond {
    async fn send(&mut self, status: StatusCode, headers: &HeaderMap) {
        let mut response = Response::new(());
        *response.status_mut() = status;
        response.headers_mut().clone_from(headers);
        for name in HTTP1_ONLY.into_iter().chain([header::CONTENT_LENGTH]) {
            response.headers_mut().remove(name);
        }
        // A client that is gone is found out by the final answer.
        let _ = self.lock().send_informational(response);
    }
}

/// A request's body, whose bytes make room for more as soon as they are taken.
struct Incoming(RecvStream);

impl Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        match ready!(self.0.poll_data(cx)) {
            Some(Ok(data)) => {
                let _ = self.0.flow_control().release_capacity(data.len());
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}
