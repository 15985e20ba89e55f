//! Constant load over kept connections, and what became of each request.
//!
//! Each client sends one request after the other on its connection, and opens a new one when an answer says `Connection: close`. So
//! a server that ends connections politely fails none, and one that closes them under a client's hands is found out.

mod h2;

use crate::Server;
use crate::client::PATIENCE;
use crate::wait::{SOON, eventually};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// Clients at work; they stop when this is dropped or [`Load::stop`] is called.
pub struct Load {
    counted: Counted,
    clients: Vec<JoinHandle<Outcome>>,
}

/// What all clients share.
#[derive(Clone, Default)]
struct Counted {
    over: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
}

/// What became of the requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Answers with status 200.
    pub answers: usize,
    /// Connections that were refused.
    pub refused: usize,
    /// Everything else, in words.
    pub failures: Vec<String>,
}

impl Load {
    /// Starts that many clients, which GET this path over HTTP/1.1.
    pub fn start(address: SocketAddr, clients: usize, path: &str) -> Self {
        Self::of(clients, path, move |path, counted| client(address, path, true, counted))
    }

    /// The same with a new connection for each request.
    pub fn start_fresh(address: SocketAddr, clients: usize, path: &str) -> Self {
        Self::of(clients, path, move |path, counted| {
            client(address, path, false, counted)
        })
    }

    /// Starts that many clients, which GET this path over HTTP/2 with prior knowledge, several requests at once each.
    pub fn start_h2(address: SocketAddr, clients: usize, path: &str) -> Self {
        Self::of(clients, path, move |path, counted| h2::client(address, path, counted))
    }

    fn of(clients: usize, path: &str, client: impl Fn(&str, &Counted) -> Outcome + Copy + Send + 'static) -> Self {
        let counted = Counted::default();
        let start = |_| {
            let (counted, path) = (counted.clone(), path.to_owned());
            std::thread::spawn(move || client(&path, &counted))
        };
        Self {
            clients: (0..clients).map(start).collect(),
            counted,
        }
    }

    /// Answers so far.
    pub fn answers(&self) -> usize {
        self.counted.answers.load(Ordering::Relaxed)
    }

    /// Waits until some more requests are answered.
    #[track_caller]
    pub fn goes_on(&self) {
        let before = self.answers();
        eventually(SOON, || self.answers() > before + 20);
    }

    /// Ends it, and no request may have failed.
    #[track_caller]
    pub fn stop_unharmed(self, server: &Server) -> Outcome {
        let outcome = self.stop();
        assert_eq!(
            (outcome.refused, &outcome.failures[..]),
            (0, &[][..]),
            "{}",
            server.log()
        );
        assert!(outcome.answers > 0, "nothing was answered\n{}", server.log());
        outcome
    }

    /// Ends it.
    #[track_caller]
    pub fn stop(mut self) -> Outcome {
        self.counted.over.store(true, Ordering::Relaxed);
        let mut all = Outcome::default();
        for client in self.clients.drain(..) {
            let one = client.join().unwrap();
            all.refused += one.refused;
            all.failures.extend(one.failures);
        }
        all.answers = self.answers();
        all
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.counted.over.store(true, Ordering::Relaxed);
    }
}

impl Counted {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn count(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }
}

fn client(address: SocketAddr, path: &str, keep_all: bool, counted: &Counted) -> Outcome {
    let mut outcome = Outcome::default();
    let mut connection: Option<BufReader<TcpStream>> = None;
    while !counted.is_over() {
        let mut kept = match connection.take() {
            Some(kept) => kept,
            None => match TcpStream::connect(address) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    BufReader::new(stream)
                }
                Err(_) => {
                    outcome.refused += 1;
                    continue;
                }
            },
        };
        match exchange(&mut kept, path) {
            Ok((200, keep)) => {
                counted.count();
                connection = (keep && keep_all).then_some(kept);
            }
            Ok((status, _)) => outcome.failures.push(format!("status {status}")),
            Err(error) => outcome.failures.push(error.to_string()),
        }
    }
    outcome
}

/// One request; the status, and whether the connection may be used again.
fn exchange(connection: &mut BufReader<TcpStream>, path: &str) -> std::io::Result<(u16, bool)> {
    let invalid = || std::io::Error::other("no HTTP answer");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection.get_mut().write_all(request.as_bytes())?;
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(invalid)?;
    let (mut length, mut keep) = (None, true);
    loop {
        line.clear();
        connection.read_line(&mut line)?;
        let header = line.trim_end().to_ascii_lowercase();
        match header.split_once(": ") {
            Some(("content-length", value)) => length = value.parse::<usize>().ok(),
            Some(("connection", "close")) => keep = false,
            None if header.is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length.ok_or_else(invalid)?];
    connection.read_exact(&mut body)?;
    Ok((status, keep))
}
