//! The request log: one line for each request, with the reference's fields. In `up` mode it is a short sentence.

use super::log::{self, Line};
use super::trace::Place;
use super::{Level, text};
use std::time::{Duration, SystemTime};

/// What the log says of one request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Status of the answer.
    pub status: u16,
    /// GET, POST, …
    pub method: &'a str,
    /// The request target as it came.
    pub uri: &'a str,
    /// Path and query.
    pub url: &'a str,
    /// Address of the client, with its port.
    pub remote_address: &'a str,
    /// Bytes of the request's body.
    pub read_bytes: u64,
    /// Bytes of the answer's body.
    pub write_bytes: u64,
    /// When it came.
    pub start: SystemTime,
    /// How long it took.
    pub elapsed: Duration,
    /// The further fields of `access_logs`.
    pub access: Option<Access<'a>>,
    /// Its place in a trace.
    pub place: Option<Place>,
}

/// What `http.access_logs` adds.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// The query without its question mark.
    pub query: &'a str,
    /// Length that the request announced, -1 if unknown.
    pub content_len: i64,
    /// The Host header.
    pub host: &'a str,
    /// The User-Agent header.
    pub user_agent: &'a [u8],
    /// The Referer header.
    pub referer: &'a [u8],
}

impl Request<'_> {
    /// Writes the line to this logger, at the level INFO.
    pub fn log(&self, logger: &str) {
        if let Some(line) = log::begin(logger, Level::Info) {
            self.write(line);
        }
    }

    pub(super) fn write(&self, mut line: Line<'_>) {
        match &self.access {
            _ if line.encoder.is_up() => self.sentence(&mut line),
            None => self.plain(&mut line),
            Some(access) => self.full(&mut line, access),
        }
        line.send_soon();
    }

    fn sentence(&self, line: &mut Line<'_>) {
        let [colour, reset] = match line.encoder.has_colour() {
            true => [text::status_colour(self.status), text::RESET],
            false => [""; 2],
        };
        let (status, method, uri, elapsed) = (self.status, self.method, self.uri, self.elapsed.as_millis());
        line.encoder
            .message_display(format_args!("{colour}{status}{reset} {method} {uri} {elapsed} ms"));
    }

    fn plain(&self, line: &mut Line<'_>) {
        line.encoder.message(b"http log");
        line.uint("status", self.status.into());
        self.target(line);
        line.uint("read_bytes", self.read_bytes)
            .uint("write_bytes", self.write_bytes);
        self.times(line);
    }

    fn full(&self, line: &mut Line<'_>, access: &Access<'_>) {
        line.encoder.message(b"http access log");
        line.uint("read_bytes", self.read_bytes)
            .uint("write_bytes", self.write_bytes);
        line.uint("status", self.status.into());
        self.target(line);
        line.str("query", access.query)
            .int("content_len", access.content_len)
            .str("host", access.host);
        line.bytes("user_agent", access.user_agent)
            .bytes("referer", access.referer);
        let now = SystemTime::now();
        line.display("time_local", text::local(now)).time("request_time", now);
        self.times(line);
    }

    fn target(&self, line: &mut Line<'_>) {
        line.str("method", self.method)
            .str("URI", self.uri)
            .str("URL", self.url);
        line.str("remote_address", self.remote_address);
    }

    fn times(&self, line: &mut Line<'_>) {
        let milliseconds = self.elapsed.as_millis().try_into().unwrap_or(u64::MAX);
        line.time("start", self.start)
            .uint("elapsed", milliseconds)
            .place(self.place);
    }
}
