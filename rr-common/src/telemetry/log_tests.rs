#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::section::LogChannel;
use crate::telemetry::request::{Access, Request};
use crate::telemetry::subscriber::Subscriber;
use crate::telemetry::wire;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socketpair};
use std::fmt::Display;
use std::os::fd::AsRawFd;
use std::time::UNIX_EPOCH;

/// A logger and the supervisor's end of its socket.
fn logger(logs: &Logs) -> (&'static Logger, OwnedFd) {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    let logger = Logger::new(logs, "http", Sender::remote(ours)).unwrap();
    (Box::leak(Box::new(logger)), theirs)
}

/// The lines that have come, with their loggers.
fn lines(socket: &OwnedFd) -> Vec<(String, String)> {
    let mut buffer = [0; 65536];
    let mut lines = Vec::new();
    while let Ok(length) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
        let datagram = wire::parse(&buffer[..length]).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        lines.push((text(datagram.logger), text(datagram.text)));
    }
    lines
}

fn mode(mode: &str) -> Logs {
    Logs {
        main: LogChannel {
            mode: mode.into(),
            ..LogChannel::default()
        },
        ..Logs::default()
    }
}

/// The line without its time.
fn without_time(line: &str) -> String {
    let (before, after) = line.split_once("\"ts\":").unwrap();
    format!("{before}{}", after.split_once(',').unwrap().1)
}

#[test]
fn events_become_json_with_typed_fields() {
    let (logger, socket) = logger(&mode("production"));
    tracing::subscriber::with_default(Subscriber(logger), || {
        let error = std::io::Error::other("it \"broke\"");
        let error: &(dyn std::error::Error + 'static) = &error;
        tracing::warn!(target: "server", pid = 7u32, ok = true, share = 0.5, %error, list = ?[1, 2], "a message {}", 1);
        tracing::error!(target: "server", error, "failed");
        tracing::info!(target: "http", "plain");
    });
    let lines: Vec<_> = lines(&socket)
        .into_iter()
        .map(|(name, line)| (name, without_time(&line)))
        .collect();
    let expected = [
        (
            "server",
            r#"{"level":"warn","logger":"server","msg":"a message 1","pid":7,"ok":true,"share":0.5,"error":"it \"broke\"","list":"[1, 2]"}"#,
        ),
        (
            "server",
            r#"{"level":"error","logger":"server","msg":"failed","error":"it \"broke\""}"#,
        ),
        ("http", r#"{"level":"info","logger":"http","msg":"plain"}"#),
    ];
    assert_eq!(
        lines,
        expected.map(|(name, line)| (name.to_string(), format!("{line}\n")))
    );
}

#[test]
fn targets_of_libraries_are_left_out_and_ours_are_the_process() {
    let mut debug = mode("raw");
    debug.main.level = "debug".into();
    let (logger, socket) = logger(&debug);
    tracing::subscriber::with_default(Subscriber(logger), || {
        tracing::error!(target: "h2::codec", "library");
        tracing::error!("ours");
        tracing::trace!(target: "http", "never");
        assert!(tracing::enabled!(target: "http", tracing::Level::DEBUG));
        assert!(!tracing::enabled!(target: "h2::codec", tracing::Level::ERROR));
    });
    assert_eq!(lines(&socket), [("http".to_string(), "ours\n".to_string())]);
}

#[test]
fn log_01_levels_of_main_and_channels() {
    let mut logs = mode("production");
    assert!(
        Table::resolve(&logs).unwrap().channel("http").writes(Level::Debug),
        "debug in every mode by default"
    );
    logs.main.level = "WARN".into();
    logs.channels.insert(
        "http".into(),
        LogChannel {
            mode: "production".into(),
            ..LogChannel::default()
        },
    );
    logs.channels.insert(
        "jobs".into(),
        LogChannel {
            mode: "off".into(),
            level: "debug".into(),
            ..LogChannel::default()
        },
    );
    logs.channels.insert("kv".into(), LogChannel::default());
    let (logger, _socket) = logger(&logs);
    let wanted = |name, level| logger.wanted(name, level).is_some();
    assert!(!wanted("server", Level::Info) && wanted("server", Level::Warn));
    assert!(
        !wanted("http", Level::Debug) && wanted("http", Level::Info),
        "a channel has its mode's own level"
    );
    assert!(!wanted("jobs", Level::Error));
    assert!(wanted("kv", Level::Debug));
    assert_eq!(logger.lowest(), Some(Level::Debug));
}

#[test]
fn an_unknown_encoding_is_an_error() {
    let mut logs = mode("production");
    logs.main.encoding = "xml".into();
    let error = Table::resolve(&logs).unwrap_err().to_string();
    assert!(error.contains(r#"no encoder registered for name "xml""#), "{error}");
}

#[test]
fn http_21_request_and_access_log_have_the_reference_fields() {
    let (logger, socket) = logger(&mode("production"));
    let mut request = Request {
        status: 200,
        method: "GET",
        uri: "/a?b=1",
        url: "/a?b=1",
        remote_address: "127.0.0.1:34182",
        read_bytes: 0,
        write_bytes: 2,
        start: UNIX_EPOCH + Duration::from_nanos(1_795_382_485_157_114_746),
        elapsed: Duration::from_micros(3999),
        access: None,
        place: None,
    };
    request.write(logger.begin("http", Level::Info).unwrap());
    let access = Access {
        query: "b=1",
        content_len: 0,
        host: "x:1",
        user_agent: b"a\"b",
        referer: b"",
    };
    request.access = Some(access);
    request.write(logger.begin("http", Level::Info).unwrap());
    let lines: Vec<_> = lines(&socket)
        .into_iter()
        .map(|(_, line)| without_time(&line))
        .collect();
    let expected = concat!(
        r#"{"level":"info","logger":"http","msg":"http log","status":200,"method":"GET","URI":"/a?b=1","URL":"/a?b=1","#,
        r#""remote_address":"127.0.0.1:34182","read_bytes":0,"write_bytes":2,"start":1795382485157114746,"elapsed":3}"#,
        "\n"
    );
    assert_eq!(lines[0], expected);
    let (before, after) = lines[1].split_once(r#""time_local":"#).unwrap();
    let expected = concat!(
        r#"{"level":"info","logger":"http","msg":"http access log","read_bytes":0,"write_bytes":2,"status":200,"method":"GET","#,
        r#""URI":"/a?b=1","URL":"/a?b=1","remote_address":"127.0.0.1:34182","query":"b=1","content_len":0,"host":"x:1","#,
        r#""user_agent":"a\"b","referer":"","#,
    );
    assert_eq!(before, expected);
    assert!(
        after.ends_with("\"start\":1795382485157114746,\"elapsed\":3}\n"),
        "{after}"
    );
    assert!(after.contains(r#","request_time":1"#), "{after}");
}

#[test]
fn workers_output_is_whole_and_raw_mode_adds_nothing() {
    let output = b"{\"type\":\"throwable\",\"message\":\"a\\nb\"}\n";
    let (production, socket) = logger(&mode("production"));
    production.worker_output("http", 7, output);
    let (_, line) = lines(&socket).remove(0);
    let expected = r#"{"level":"info","logger":"server","msg":"{\"type\":\"throwable\",\"message\":\"a\\nb\"}","pid":7,"plugin":"http"}"#;
    assert_eq!(without_time(&line), format!("{expected}\n"));

    let (raw, socket) = logger(&mode("raw"));
    raw.worker_output("http", 7, output);
    assert_eq!(lines(&socket)[0].1, "{\"type\":\"throwable\",\"message\":\"a\\nb\"}\n");
}

#[test]
fn a_line_may_be_written_while_another_one_grows() {
    struct Chatty(&'static Logger);
    impl Display for Chatty {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let mut inner = self.0.begin("inner", Level::Info).unwrap();
            inner.encoder.message(b"inside");
            inner.send();
            f.write_str("outside")
        }
    }
    let (logger, socket) = logger(&mode("raw"));
    let mut line = logger.begin("outer", Level::Info).unwrap();
    line.encoder.message_display(Chatty(logger));
    line.send();
    let pair = |name: &str, text: &str| (name.to_string(), text.to_string());
    assert_eq!(lines(&socket), [pair("inner", "inside\n"), pair("outer", "outside\n")]);
}

#[test]
fn a_line_ending_may_be_anything() {
    let mut logs = mode("raw");
    logs.main.line_ending = "\r\n".into();
    let (logger, socket) = logger(&logs);
    logger.worker_output("http", 1, b"x");
    assert_eq!(lines(&socket)[0].1, "x\r\n");
}

#[test]
fn dropped_lines_are_counted_in_a_later_line() {
    let (logger, socket) = logger(&mode("production"));
    let long = vec![b'x'; 100_000];
    for _ in 0..120 {
        logger.worker_output("http", 1, &long);
    }
    let mut buffer = vec![0; wire::DATAGRAM];
    let (mut sent, mut written, mut told) = (120, 0, None);
    // The line that tells the count is the last one.
    while told.is_none() {
        match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => {
                let text = wire::parse(&buffer[..length]).unwrap().text;
                let text = std::str::from_utf8(text).unwrap();
                written += u32::from(text.contains(r#""msg":"xxx"#) || text.contains(r#""msg":"short"#));
                told = text
                    .split_once("\"dropped\":")
                    .map(|(_, count)| count.trim_end().to_string());
            }
            Err(_) => {
                sent += 1;
                logger.worker_output("http", 1, b"short");
            }
        }
    }
    assert_eq!(told.unwrap(), format!("{}}}", sent - written));
}
