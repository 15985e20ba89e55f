//! HTTP/1.0 and 1.1 on one connection, by hyper.

use crate::{
    connection::{Activity, Connection},
    handle::{self, Gone},
    hints::{Interim, NoHints},
    io::Io,
    redirect,
    reply::Reply,
};
use http::{Request, Response, Version};
use hyper::{body::Incoming, server::conn::http1::Builder, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
};

/// hyper's smallest buffer.
const SMALLEST_BUFFER: usize = 8 * 1024;

/// The settings of all connections. Waits are watched over by [`crate::watch`], not by hyper's timer, which would run at
/// each request and could not tell an idle connection from a slow head.
pub(crate) fn builder(max_header_size: usize) -> Builder {
    let mut builder = Builder::new();
    builder
        .header_read_timeout(None)
        .max_header_size(max_header_size.max(1024))
        .max_buf_size(max_header_size.max(SMALLEST_BUFFER))
        .title_case_headers(true);
    builder
}

/// Serves a connection to its end.
pub(crate) async fn serve(connection: Arc<Connection>, interim: Arc<Interim>, io: Io) {
    let service = service_fn(|request| exchange(connection.clone(), interim.clone(), request));
    let mut http = pin!(connection.app.http1.serve_connection(TokioIo::new(io), service));
    let mut draining = false;
    let ended = poll_fn(|cx| {
        if !draining && connection.should_end() {
            draining = true;
            http.as_mut().graceful_shutdown();
        }
        http.as_mut().poll(cx)
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(target: "http", peer = %connection.peer, %error, "connection");
    }
}

async fn exchange(
    connection: Arc<Connection>,
    interim: Arc<Interim>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Gone> {
    if let Some(port) = connection.app.settings.redirect.filter(|_| !connection.secure) {
        return Ok(redirect::answer(&request.into_parts().0, port));
    }
    let activity = Activity::begin(connection);
    match request.version() {
        Version::HTTP_10 => handle::answer(activity, request, &mut NoHints).await,
        _ => handle::answer(activity, request, &mut &*interim).await,
    }
}
