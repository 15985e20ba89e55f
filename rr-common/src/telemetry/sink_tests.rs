#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::section::{FileLogger, LogChannel, Logs};
use crate::telemetry::send::Sender;
use std::fs;
use std::path::Path;
use std::time::Instant;

const LONG: Duration = Duration::from_secs(20);

fn to_file(path: &Path) -> LogChannel {
    let output = path.to_str().unwrap().to_string();
    LogChannel {
        output: vec![output.clone()],
        err_output: vec![format!("{output}.errors")],
        ..LogChannel::default()
    }
}

fn datagram(logger: &str, text: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    wire::begin(&mut datagram, logger);
    datagram.extend_from_slice(text);
    datagram
}

#[test]
fn a_second_sink_goes_on_where_the_first_one_holds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let outputs = || {
        let mut logs = crate::config::section::Logs::default();
        logs.main.output = vec![path.display().to_string()];
        Outputs::open(&logs).unwrap()
    };
    let first = Sink::start(outputs()).unwrap();
    let tail = Tail::default();
    let sender = first.connect_noted(tail.clone()).unwrap();
    let send = |text: &str| {
        let mut line = Vec::new();
        wire::begin(&mut line, "x");
        line.extend_from_slice(text.as_bytes());
        nix::sys::socket::send(sender.as_raw_fd(), &line, MsgFlags::empty()).unwrap();
    };
    send("one\n");
    let (inputs, hold) = first.hold(Duration::from_secs(10)).unwrap();
    send("two\n");
    let second = Sink::start(outputs()).unwrap();
    second.take_over(inputs).unwrap();
    send("three\n");
    drop(sender);
    second.finish(Duration::from_secs(10));
    drop(hold);
    first.finish(Duration::from_secs(10));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "one\ntwo\nthree\n");
    assert_eq!(tail.text(), "one\ntwo\nthree", "noted by both");
}

#[test]
fn log_01_channels_have_their_own_outputs() {
    let directory = tempfile::tempdir().unwrap();
    let [main, http] = ["main.log", "http.log"].map(|name| directory.path().join(name));
    let logs = Logs {
        main: to_file(&main),
        channels: [("http".to_string(), to_file(&http))].into(),
    };
    let sink = Sink::start(Outputs::open(&logs).unwrap()).unwrap();
    let senders = [(); 2].map(|()| Sender::remote(sink.connect().unwrap()));
    for number in 0..500 {
        let logger = ["http", "http.part"][number % 2];
        senders[number % 2].send(&datagram(logger, format!("h{number}\n").as_bytes()), "\n");
        senders[number % 2].send(&datagram("kv", format!("k{number}\n").as_bytes()), "\n");
    }
    senders[0].finish(LONG);
    senders[1].finish(LONG);
    drop(senders);
    sink.finish(LONG);
    for (path, letter) in [(&main, 'k'), (&http, 'h')] {
        let mut lines: Vec<_> = fs::read_to_string(path).unwrap().lines().map(String::from).collect();
        lines.sort();
        let mut expected: Vec<_> = (0..500).map(|number| format!("{letter}{number}")).collect();
        expected.sort();
        assert_eq!(lines, expected);
    }
}

#[test]
fn a_line_longer_than_a_datagram_arrives_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let logs = Logs {
        main: to_file(&path),
        ..Logs::default()
    };
    let sender = Sender::local(Outputs::open(&logs).unwrap()).unwrap();
    let long: Vec<u8> = (0..1_000_000u32)
        .map(|n| b'a' + (n % 26) as u8)
        .chain([b'\n'])
        .collect();
    let huge: Vec<u8> = std::iter::repeat_n(b'x', wire::LINE + 5).chain([b'\n']).collect();
    sender.send(&datagram("http", b"before\n"), "\n");
    sender.send(&datagram("http", &long), "\n");
    // Where something waits already the longest line of all has no room.
    let end = Instant::now() + LONG;
    while fs::metadata(&path).unwrap().len() < long.len() as u64 && Instant::now() < end {
        std::thread::yield_now();
    }
    sender.send(&datagram("http", &huge), "\n");
    sender.finish(LONG);
    let text = fs::read(&path).unwrap();
    let lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0], b"before\n");
    assert!(lines[1] == long);
    assert!(
        lines[2].ends_with("x… (6 bytes cut off)\n".as_bytes()),
        "marked, not lost silently"
    );
}

#[test]
fn log_02_lines_through_the_sink_are_rotated_between_lines() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rr.log");
    let options = FileLogger {
        log_output: path.to_str().unwrap().into(),
        max_size: 1,
        ..FileLogger::default()
    };
    let main = LogChannel {
        file_logger_options: Some(options),
        ..LogChannel::default()
    };
    let sender = Sender::local(
        Outputs::open(&Logs {
            main,
            ..Logs::default()
        })
        .unwrap(),
    )
    .unwrap();
    let line = [vec![b'x'; 999], vec![b'\n']].concat();
    for _ in 0..2500 {
        sender.send(&datagram("http", &line), "\n");
    }
    sender.finish(LONG);
    let mut sizes: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|e| e.unwrap().metadata().unwrap().len())
        .collect();
    sizes.sort();
    assert_eq!(sizes.len(), 3, "{sizes:?}");
    assert!(
        sizes.iter().all(|size| size % 1000 == 0 && *size <= 1024 * 1024),
        "{sizes:?}"
    );
    assert_eq!(sizes.iter().sum::<u64>(), 2_500_000);
}

#[test]
fn files_that_logrotate_moved_are_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut outputs = Outputs::open(&Logs {
        main: to_file(&path),
        ..Logs::default()
    })
    .unwrap();
    outputs.write(b"http", b"one\n");
    outputs.flush();
    fs::rename(&path, directory.path().join("moved")).unwrap();
    outputs.write(b"http", b"two\n");
    outputs.flush();
    assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
    fs::remove_file(&path).unwrap();
    outputs.reopen();
    assert!(path.exists(), "at once");
    outputs.write(b"http", b"three\n");
    outputs.flush();
    assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
}

#[test]
fn a_full_disk_is_told_once_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut main = to_file(&path);
    main.output = vec!["/dev/full".into()];
    let mut outputs = Outputs::open(&Logs {
        main,
        ..Logs::default()
    })
    .unwrap();
    for _ in 0..3 {
        outputs.write(b"http", b"lost\n");
        outputs.flush();
    }
    let errors = fs::read_to_string(format!("{}.errors", path.display())).unwrap();
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(
        errors.contains("/dev/full") && errors.contains("No space left"),
        "{errors}"
    );
}

#[test]
fn an_output_that_cannot_be_opened_fails_the_start() {
    let logs = Logs {
        main: to_file(Path::new("/nonexistent/rr.log")),
        ..Logs::default()
    };
    let error = Outputs::open(&logs).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/rr.log"), "{error}");
}

#[test]
fn a_liar_harms_only_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let sink = Sink::start(
        Outputs::open(&Logs {
            main: to_file(&path),
            ..Logs::default()
        })
        .unwrap(),
    )
    .unwrap();
    let [liar, honest] = [(); 2].map(|()| sink.connect().unwrap());
    let send = |socket: &OwnedFd, bytes: &[u8]| {
        nix::sys::socket::send(socket.as_raw_fd(), bytes, MsgFlags::empty()).unwrap();
    };
    send(&liar, &[63, b'x']);
    send(&liar, &[0x80 | 1, b'x', b'b', b'e', b'g', b'u', b'n']);
    send(&honest, &datagram("http", b"fine\n"));
    drop((liar, honest));
    sink.finish(LONG);
    let mut lines: Vec<_> = fs::read_to_string(&path).unwrap().lines().map(String::from).collect();
    lines.sort();
    assert_eq!(lines, ["begun", "fine"]);
}
