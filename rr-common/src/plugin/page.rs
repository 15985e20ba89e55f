//! The page for Prometheus of a plugin that runs alone, at `metrics.address`. Under a supervisor that one gathers the metrics of
//! all plugins and this is not used.
//!
//! One answer a connection, whatever is asked for: what Prometheus needs and no more. Everything is bounded: connections, the
//! head, the time.

use super::{Plugin, StartError, service::metrics, slot::Slot};
use crate::{
    listen::{Listener, Listeners},
    telemetry::metrics::{CONTENT_TYPE, Families, Usage},
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
    time::{sleep, timeout},
};

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 16;

/// The life of a connection.
const LIFE: Duration = Duration::from_secs(10);

/// The largest head of a request.
const LARGEST_HEAD: u64 = 16 * 1024;

enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Shows the page for as long as the process lives.
///
/// # Errors
/// The address cannot be had.
pub(super) fn serve<P: Plugin>(address: &str, listeners: &Listeners, slot: Slot<P>) -> Result<(), StartError> {
    let failed = |error: io::Error| StartError(format!("metrics.address: {error}"));
    let accepting = match listeners.take(address).map_err(failed)? {
        Listener::Tcp(listener) => Accepting::Tcp(TcpListener::from_std(listener).map_err(failed)?),
        Listener::Unix(listener) => Accepting::Unix(UnixListener::from_std(listener).map_err(failed)?),
    };
    tokio::spawn(accept_all(accepting, slot));
    Ok(())
}

async fn accept_all<P: Plugin>(accepting: Accepting, slot: Slot<P>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(place) = places.clone().acquire_owned().await {
        let slot = slot.clone();
        let accepted = match &accepting {
            Accepting::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(async move {
                    let _ = timeout(LIFE, exchange(stream, slot)).await;
                    drop(place);
                })
            }),
            Accepting::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(async move {
                    let _ = timeout(LIFE, exchange(stream, slot)).await;
                    drop(place);
                })
            }),
        };
        if accepted.is_err() {
            // Most likely a lack of descriptors, which passes.
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Reads a head, answers, closes.
async fn exchange<P: Plugin>(mut stream: impl AsyncRead + AsyncWrite + Unpin, slot: Slot<P>) -> io::Result<()> {
    let mut head = Vec::new();
    let mut rest = (&mut stream).take(LARGEST_HEAD);
    while !complete(&head) {
        if rest.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let method = head.split(|byte| *byte == b' ').next();
    if !matches!(method, Some(b"GET" | b"HEAD")) {
        let refusal =
            b"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(refusal).await?;
        return stream.shutdown().await;
    }
    let text = text(&slot).await;
    let length = text.len();
    let body = if method == Some(b"GET") { &*text } else { "" };
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

fn complete(head: &[u8]) -> bool {
    head.windows(4).any(|end| end == b"\r\n\r\n") || head.windows(2).any(|end| end == b"\n\n")
}

/// What the plugin counts, beside what the kernel knows of this process.
async fn text<P: Plugin>(slot: &Slot<P>) -> String {
    let usage = Usage::of(std::process::id()).unwrap_or_default();
    let mut families = usage.families();
    // Before the plugin is ready there is nothing of its own.
    if let Ok(own) = metrics(slot).await {
        match Families::parse(&own) {
            Ok(own) => {
                families.join(own);
            }
            Err(error) => tracing::warn!(target: "metrics", %error, "the plugin's own metrics are left out"),
        }
    }
    families.to_string()
}
