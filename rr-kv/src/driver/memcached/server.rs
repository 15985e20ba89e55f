//! One server: its connections, its timeouts, and whether it is there.
//!
//! A connection carries one exchange at a time and waits for the next one among the idle. Whatever goes wrong in an
//! exchange, its connection is closed: an answer that comes late must not be taken for the next one's. After a failed dial
//! others fail at once for a short, growing time, so that a dead server does not cost each of its keys the whole timeout.

use super::protocol::{self, Piece, Step};
use rr_common::health::Health;
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    runtime::Handle,
    sync::Semaphore,
    time::timeout,
};

/// Connections to one server.
const CONNECTIONS: usize = 64;
/// Those that are kept while nobody needs them.
const IDLE: usize = 8;
/// How long others fail at once after the first failed dial, and the longest such time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Room for one read: as much as is missing, but a server that announces much must also send it.
const PIECE: usize = 4 << 10;
const LARGEST_STEP: usize = 1 << 20;

/// Why an exchange failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("memcached {0}: {1}")]
    Down(String, String),
    #[error("memcached {0}: no answer within {1:?}")]
    Late(String, Duration),
    #[error("memcached {0}: {1}")]
    Malformed(String, protocol::Malformed),
    #[error("memcached {0}: {1}")]
    Refused(String, String),
}

/// A server by its address.
#[derive(Debug)]
pub(crate) struct Server {
    address: String,
    timeout: Duration,
    idle: Mutex<Vec<Connection>>,
    places: Semaphore,
    dials: Mutex<Dials>,
    health: Health,
}

/// How dialling went lately.
#[derive(Debug, Default)]
struct Dials {
    failed: u32,
    last: Option<(Instant, String)>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection with what has arrived and was not taken yet.
#[derive(Debug)]
struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
}

impl Server {
    pub(crate) fn new(address: &str, timeout: Duration) -> Self {
        Self {
            address: address.to_owned(),
            timeout,
            idle: Mutex::default(),
            places: Semaphore::new(CONNECTIONS),
            dials: Mutex::default(),
            health: Health::default(),
        }
    }

    /// Sends commands and gives the pieces of the answer to `take`, until it says that this was the last one. It takes the
    /// timeout once for a connection and once for the answer, at most.
    pub(crate) async fn exchange(
        &self,
        commands: &[u8],
        mut take: impl FnMut(Piece<'_>) -> Result<bool, String> + Send,
    ) -> Result<(), Broken> {
        let done = self.ask(commands, &mut take).await;
        match &done {
            Ok(()) | Err(Broken::Refused(..)) => self.health.good(Instant::now()),
            Err(broken) => self.health.bad(Instant::now(), broken.to_string()),
        }
        done
    }

    /// What is wrong with it, as the last exchange saw it; if that is not fresh, somebody looks for the next time.
    pub(crate) fn trouble(self: &Arc<Self>, runtime: &Handle) -> Option<String> {
        let (trouble, look) = self.health.ask(Instant::now());
        if look {
            let server = Arc::clone(self);
            runtime.spawn(async move {
                // What it finds is kept in the health.
                let _answer = server.exchange(b"version\r\n", |_| Ok(true)).await;
            });
        }
        trouble
    }

    async fn ask(
        &self,
        commands: &[u8],
        take: &mut (impl FnMut(Piece<'_>) -> Result<bool, String> + Send),
    ) -> Result<(), Broken> {
        let late = || Broken::Late(self.address.clone(), self.timeout);
        let place = timeout(self.timeout, self.places.acquire()).await;
        let _place = place.map_err(|_| late())?;
        let mut connection = match self.take_idle() {
            Some(connection) => connection,
            None => self.dial().await?,
        };
        let done = timeout(self.timeout, self.talk(&mut connection, commands, take)).await;
        let taken = done.map_err(|_| late())??;
        // More than was asked for is no answer: such a connection is not used again.
        if taken == connection.buffer.len() {
            connection.buffer = Vec::new();
            let mut idle = lock(&self.idle);
            if idle.len() < IDLE {
                idle.push(connection);
            }
        }
        Ok(())
    }

    /// Gives the number of bytes that the answer took.
    async fn talk(
        &self,
        connection: &mut Connection,
        commands: &[u8],
        take: &mut (impl FnMut(Piece<'_>) -> Result<bool, String> + Send),
    ) -> Result<usize, Broken> {
        let down = |error: io::Error| Broken::Down(self.address.clone(), error.to_string());
        connection.write(commands).await.map_err(down)?;
        let mut taken = 0;
        loop {
            let malformed = |error| Broken::Malformed(self.address.clone(), error);
            match protocol::next(&connection.buffer[taken..]).map_err(malformed)? {
                Step::More(least) => connection.read(taken + least).await.map_err(down)?,
                Step::Piece(piece, length) => {
                    let last = take(piece).map_err(|text| Broken::Refused(self.address.clone(), text))?;
                    taken += length;
                    if last {
                        return Ok(taken);
                    }
                }
            }
        }
    }

    /// An idle connection that the server has not closed.
    fn take_idle(&self) -> Option<Connection> {
        loop {
            let connection = lock(&self.idle).pop()?;
            if connection.is_quiet() {
                return Some(connection);
            }
        }
    }

    async fn dial(&self) -> Result<Connection, Broken> {
        let down = |text: String| Err(Broken::Down(self.address.clone(), text));
        if let Some(text) = lock(&self.dials).just_failed() {
            return down(text);
        }
        let dialled = timeout(self.timeout, connect(&self.address)).await;
        let dialled = dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let mut dials = lock(&self.dials);
        match dialled {
            Ok(stream) => {
                if dials.failed > 0 {
                    tracing::info!("memcached {} is back", self.address);
                }
                *dials = Dials::default();
                Ok(Connection {
                    stream,
                    buffer: Vec::new(),
                })
            }
            Err(error) => {
                if dials.failed == 0 {
                    tracing::warn!("memcached {}: {error}", self.address);
                }
                dials.failed = dials.failed.saturating_add(1);
                dials.last = Some((Instant::now(), error.to_string()));
                down(error.to_string())
            }
        }
    }
}

impl Dials {
    /// Why the last one failed, if it is not worth another try yet.
    fn just_failed(&self) -> Option<String> {
        let (at, text) = self.last.as_ref()?;
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failed.saturating_sub(1).min(16));
        (at.elapsed() < pause.min(LONGEST_PAUSE)).then(|| text.clone())
    }
}

impl Connection {
    /// Whether the server has neither closed it nor said anything unasked.
    fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let read = match &self.stream {
            Stream::Tcp(stream) => stream.try_read(&mut byte),
            Stream::Unix(stream) => stream.try_read(&mut byte),
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes).await,
            Stream::Unix(stream) => stream.write_all(bytes).await,
        }
    }

    /// Reads until there are so many bytes in the buffer.
    async fn read(&mut self, least: usize) -> io::Result<()> {
        while self.buffer.len() < least {
            self.buffer
                .reserve((least - self.buffer.len()).clamp(PIECE, LARGEST_STEP));
            let n = match &mut self.stream {
                Stream::Tcp(stream) => stream.read_buf(&mut self.buffer).await?,
                Stream::Unix(stream) => stream.read_buf(&mut self.buffer).await?,
            };
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}

async fn connect(address: &str) -> io::Result<Stream> {
    if address.contains('/') {
        return Ok(Stream::Unix(UnixStream::connect(address).await?));
    }
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(Stream::Tcp(stream))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
