//! A plugin without PHP, for tests of the supervisor: it stands in for any plugin (`supervisor.plugins.NAME.binary`), and for
//! `rr-http` it answers every request with its pid, but for `/panic`, on which it does. RPC methods:
//!
//! - `Echo`: gives its argument back
//! - `Pid`: the process id as JSON
//! - `Wait`: waits for `Open`, which lets all that wait go on; the argument comes back
//! - `Big`: as many bytes as the argument (JSON, a number) says
//! - `Fail`: an error with the argument as its text
//! - `Panic`, `Die`: what they say
//! - `PanicInTask`, `PanicOnMain`: the same in a task of its own, on the frame thread or the main one
//! - `PanicTwice`: a panic, and another on the way out of it, which ends the process
//! - `List`, `Pause`, `Resume`, `Destroy`, `Stat`: those of `jobs`, with the pipelines `p1` and `p2`
//!
//! Variables (`supervisor.plugins.http.env`) make it misbehave:
//!
//! - `TEST_REFUSE=text`: it cannot start, for this reason
//! - `TEST_DIE_AT_START=code`: it exits before it is ready
//! - `TEST_PANIC_AT_START=1`: it panics before it is ready
//! - `TEST_DIE_UNLESS=path`: the same, while there is no such file
//! - `TEST_HANG_AT_START=1`: it never becomes ready
//! - `TEST_SLOW_DRAIN=ms`: its drain takes that long
//! - `TEST_IGNORE_STOP=1`: it neither drains nor stops
//! - `TEST_UNHEALTHY=path`: it is unhealthy for the reason in this file, while there is one
//! - `TEST_METRICS=path`: its metrics are what is in this file; `hang` there means that it never answers
//! - `TEST_NO_PORT=1`: it leaves the HTTP port to another
//! - `TEST_STAT=hex`: its method `Stat` answers these bytes
//! - `TEST_CHILD=path`: it starts a `sleep` as a worker would be, without a parent-death signal, and writes its pid there
#![allow(clippy::unwrap_used)]

use rr_common::{
    config::Config,
    listen::Listener,
    plugin::{Context, Plugin, StartError, run},
    pool::Pool,
    rpc::{CallError, Codec, decode, encode},
};
use std::{
    env,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    runtime::Handle,
    sync::Notify,
    time::sleep,
};

struct TestPlugin {
    opened: Notify,
    /// The main thread's runtime.
    main: Handle,
}

/// Panics when it is dropped.
struct Grudge;

impl Drop for Grudge {
    fn drop(&mut self) {
        panic!("and once more");
    }
}

impl Plugin for TestPlugin {
    const NAME: &'static str = "test";

    fn threads(_: &Config) -> usize {
        1
    }

    async fn start(context: Context) -> Result<Self, StartError> {
        if let Ok(reason) = env::var("TEST_REFUSE") {
            return Err(StartError(reason));
        }
        if let Ok(code) = env::var("TEST_DIE_AT_START") {
            die(code.parse().unwrap());
        }
        if env::var_os("TEST_PANIC_AT_START").is_some() {
            panic!("as it was asked to");
        }
        if env::var("TEST_DIE_UNLESS").is_ok_and(|path| !Path::new(&path).exists()) {
            die(3);
        }
        if env::var_os("TEST_HANG_AT_START").is_some() {
            std::future::pending::<()>().await;
        }
        if let Ok(path) = env::var("TEST_CHILD") {
            let mut command = Command::new("sleep");
            let child = command.arg("1000").env("RR_MODE", "http").process_group(0).spawn();
            std::fs::write(path, child.unwrap().id().to_string()).unwrap();
        }
        let addresses = match env::var_os("TEST_NO_PORT") {
            Some(_) => Vec::new(),
            None => context.config.addresses("http"),
        };
        for address in addresses {
            let listener = context
                .listeners
                .take(&address)
                .map_err(|e| StartError(e.to_string()))?;
            context.runtimes[0].spawn(serve(listener));
        }
        Ok(Self {
            opened: Notify::new(),
            main: Handle::current(),
        })
    }

    fn pools(&self) -> Vec<(&str, &Pool)> {
        Vec::new()
    }

    fn unhealthy(&self) -> Option<String> {
        std::fs::read_to_string(env::var_os("TEST_UNHEALTHY")?).ok()
    }

    fn metrics(&self) -> String {
        let path = env::var_os("TEST_METRICS").unwrap_or_default();
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text == "hang" {
            loop {
                std::thread::park();
            }
        }
        text
    }

    async fn drain(&self, _: Instant) {
        if env::var_os("TEST_IGNORE_STOP").is_some() {
            loop {
                // Not even the deadline impresses it.
                std::thread::park();
            }
        }
        let slow = env::var("TEST_SLOW_DRAIN").map_or(0, |millis| millis.parse().unwrap());
        sleep(Duration::from_millis(slow)).await;
        tracing::info!(target: "http", "drained");
    }

    async fn stop(self, _: Instant) {
        tracing::info!(target: "http", "stopped");
    }

    async fn call(&self, method: &str, codec: Codec, body: bytes::Bytes) -> Result<bytes::Bytes, CallError> {
        match method {
            "Echo" => Ok(body),
            "Print" => {
                println!("{}", String::from_utf8_lossy(&body));
                Ok(bytes::Bytes::new())
            }
            "Stat" => Ok(bytes_of(&env::var("TEST_STAT").unwrap()).into()),
            "Pid" => encode(codec, &std::process::id()),
            "Wait" => {
                self.opened.notified().await;
                Ok(body)
            }
            "Open" => {
                self.opened.notify_waiters();
                Ok(body)
            }
            "Big" => Ok(vec![b'x'; decode(codec, &body)?].into()),
            "Fail" => Err(CallError::failed(String::from_utf8_lossy(&body))),
            "List" => Ok(bytes::Bytes::from_static(b"\x0a\x02p1\x0a\x02p2")),
            "Pause" | "Resume" if body.windows(4).any(|name| name == b"nope") => {
                Err(CallError::failed("no such pipeline, requested: nope"))
            }
            "Pause" | "Resume" => Ok(bytes::Bytes::new()),
            "Destroy" => Ok(body),
            "Panic" => panic!("as it was asked to"),
            "PanicInTask" => {
                tokio::spawn(async { panic!("as it was asked to") });
                Ok(body)
            }
            "PanicOnMain" => {
                self.main.spawn(async { panic!("as it was asked to") });
                Ok(body)
            }
            "PanicTwice" => {
                let _grudge = Grudge;
                panic!("as it was asked to")
            }
            "Die" => die(9),
            _ => Err(CallError::NoMethod),
        }
    }
}

#[allow(clippy::disallowed_methods)] // Dying without ceremony is what it is for.
fn die(code: i32) -> ! {
    std::process::exit(code)
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

async fn serve(listener: Listener) {
    match listener {
        Listener::Tcp(listener) => {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        }
        Listener::Unix(listener) => {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        }
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece).await {
            Ok(n @ 1..) => request.extend_from_slice(&piece[..n]),
            _ => return,
        }
    }
    assert!(!request.starts_with(b"GET /panic "), "as it was asked to");
    let pid = std::process::id().to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        pid.len()
    );
    let _ = stream.write_all((head + &pid).as_bytes()).await;
}

fn main() -> ExitCode {
    run::<TestPlugin>()
}
