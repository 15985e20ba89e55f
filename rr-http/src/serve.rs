//! From an accepted socket to the protocol that is spoken on it.

use crate::{
    connection::Connection,
    hints::Interim,
    http1, http2,
    io::{Io, Socket, Transport},
    watch::Watch,
};
use bytes::Bytes;
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_rustls::TlsAcceptor;

/// What a client of HTTP/2 sends first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves one connection until it ends, or until the watch closes it.
pub(crate) async fn serve(connection: Arc<Connection>, watch: Arc<Watch>, socket: Socket, tls: Option<TlsAcceptor>) {
    let _listed = watch.list(&connection);
    let work = async {
        first_byte(&connection, &socket).await;
        // Boxed, so that a connection that has said nothing yet is small.
        Box::pin(speak(connection.clone(), socket, tls)).await;
    };
    connection.supervise(work).await;
}

async fn speak(connection: Arc<Connection>, socket: Socket, tls: Option<TlsAcceptor>) {
    let sniff = tls.is_none() && connection.app.settings.h2c;
    let (transport, mut framed) = match tls {
        None => (Transport::Plain(socket), false),
        // Boxed, as HTTP/2 below: a connection of HTTP/1.1 should not carry their state.
        Some(acceptor) => match Box::pin(acceptor.accept(socket)).await {
            Ok(stream) => {
                let framed = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                (Transport::Tls(Box::new(stream)), framed)
            }
            Err(error) => {
                return tracing::debug!(target: "http", peer = %connection.peer, %error, "TLS handshake");
            }
        },
    };
    let interim = Arc::new(Interim::default());
    let mut io = Io::new(transport, connection.clone(), interim.clone());
    if sniff {
        match starts_with_preface(&connection, &mut io).await {
            Ok(found) => framed = found,
            Err(error) => return tracing::debug!(target: "http", peer = %connection.peer, %error, "connection"),
        }
    }
    match framed {
        true => Box::pin(http2::serve(connection, io)).await,
        false => http1::serve(connection, interim, io).await,
    }
}

/// Waits until the client sends something. Before that a connection costs no buffers.
async fn first_byte(connection: &Connection, socket: &Socket) {
    poll_fn(|cx| match connection.should_end() {
        true => Poll::Ready(()),
        // An error shows at the first read.
        false => socket.poll_first_byte(cx).map(drop),
    })
    .await;
}

/// Reads until it is clear whether a client speaks HTTP/2 without having asked. What was read is put back.
async fn starts_with_preface(connection: &Connection, io: &mut Io) -> io::Result<bool> {
    let mut bytes = [0; PREFACE.len()];
    let mut len = 0;
    while len < PREFACE.len() && PREFACE.starts_with(&bytes[..len]) {
        let read = poll_fn(|cx| {
            if connection.should_end() && len == 0 {
                return Ok(0).into();
            }
            let mut buffer = ReadBuf::new(&mut bytes[len..]);
            ready!(Pin::new(&mut *io).poll_read(cx, &mut buffer))?;
            Ok::<_, io::Error>(buffer.filled().len()).into()
        });
        match read.await? {
            0 => break,
            n => len += n,
        }
    }
    io.unread(Bytes::copy_from_slice(&bytes[..len]));
    Ok(bytes[..len] == PREFACE[..])
}
