#![allow(clippy::unwrap_used)]

use super::*;
use rr_common::listen::Listeners;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// An endpoint that answers with what it was asked.
fn start(limits: Limits) -> (Serving, SocketAddr) {
    let (ready, address) = make(limits);
    (ready.begin(), address)
}

fn make(limits: Limits) -> (Ready, SocketAddr) {
    let listener = Listeners::default().take("127.0.0.1:0").unwrap();
    let address = listener.address().unwrap().to_string().parse().unwrap();
    let echo = |asked: Asked| async move {
        match asked.path.as_str() {
            "/slow" => std::future::pending().await,
            "/soon" => {
                sleep(Duration::from_millis(50)).await;
                Page::text(200, "soon")
            }
            "/odd" => Page::text(99, "odd"),
            _ => Page::text(200, format!("{}|{}", asked.path, asked.query)),
        }
    };
    (prepare(&Handle::current(), listener, limits, echo).unwrap(), address)
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
    let (_serving, address) = start(Limits::default());
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
    let (_serving, address) = start(Limits {
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
    let (_serving, address) = start(Limits {
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

/// What was asked before the end is answered, also by a connection that nobody has taken yet.
#[tokio::test]
async fn what_was_asked_before_the_end_is_answered() {
    let (ready, address) = make(Limits::default());
    let asked = b"GET /soon HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut queued = TcpStream::connect(address).await.unwrap();
    queued.write_all(asked).await.unwrap();
    let serving = ready.begin();
    let mut kept = TcpStream::connect(address).await.unwrap();
    kept.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 15];
    kept.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    let mut late = TcpStream::connect(address).await.unwrap();
    late.write_all(asked).await.unwrap();
    drop(serving);
    for mut asked in [queued, late] {
        let mut answer = String::new();
        let read = timeout(PATIENCE, asked.read_to_string(&mut answer)).await;
        read.unwrap().unwrap();
        assert!(answer.ends_with("soon"), "{answer:?}");
    }
    // One that asks nothing does not keep it.
    let mut rest = String::new();
    timeout(PATIENCE, kept.read_to_string(&mut rest))
        .await
        .unwrap()
        .unwrap();
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(PATIENCE, refused).await.unwrap();
}
