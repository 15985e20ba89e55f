#![allow(clippy::unwrap_used)]

use super::*;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, recv, socketpair};

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap()
}

fn line(text: &str) -> Vec<u8> {
    let mut line = Vec::new();
    wire::begin(&mut line, "http");
    line.extend_from_slice(text.as_bytes());
    line
}

#[test]
fn a_full_socket_never_blocks_and_every_line_arrives_or_is_counted() {
    let (ours, theirs) = pair();
    let sender = Sender::remote(ours);
    let filler = "x".repeat(10_000);
    let total = 2000;
    for number in 0..total {
        sender.send(&line(&format!("{number} {filler}\n")), "\n");
    }
    assert_eq!(sender.take_dropped(), 0, "told when there is room again");
    let dropped = sender.dropped.load(Ordering::Relaxed);
    assert!(dropped > 0, "20 MB do not fit");

    let mut buffer = vec![0; wire::DATAGRAM];
    let mut arrived = 0;
    let mut last = None;
    while arrived + dropped < total {
        let length = recv(theirs.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap();
        let text = std::str::from_utf8(wire::parse(&buffer[..length]).unwrap().text).unwrap();
        let number: u64 = text.split(' ').next().unwrap().parse().unwrap();
        assert!(last < Some(number), "in order");
        last = Some(number);
        arrived += 1;
    }
    while sender.waiting.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    assert_eq!(
        (sender.take_dropped(), sender.take_dropped()),
        (dropped, 0),
        "told once"
    );
    sender.send(&line("after\n"), "\n");
    let length = recv(theirs.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap();
    assert_eq!(wire::parse(&buffer[..length]).unwrap().text, b"after\n");
}

#[test]
fn without_a_reader_lines_go_to_a_sink_in_this_process() {
    let (ours, theirs) = pair();
    let sender = Sender::remote(ours);
    sender.send(&line(""), "\n");
    drop(theirs);
    let is_local = || sender.way().unwrap().sink.is_some();
    assert!(!is_local());
    sender.send(&line(""), "\n");
    assert!(is_local());
    assert!(matches!(sender.attempt(&line("")), Some(Outcome::Sent)));
    sender.finish(Duration::from_secs(20));
    assert!(sender.finished.load(Ordering::Relaxed));
}

#[test]
fn a_new_reader_gets_the_lines_from_then_on() {
    let (ours, theirs) = pair();
    let sender = Sender::remote(ours);
    drop(theirs);
    sender.send(&line(""), "\n");
    let (ours, theirs) = pair();
    sender.reconnect(ours);
    sender.send(&line("again\n"), "\n");
    let mut buffer = vec![0; wire::DATAGRAM];
    let length = recv(theirs.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap();
    assert_eq!(wire::parse(&buffer[..length]).unwrap().text, b"again\n");
}

#[test]
fn a_backlog_outlives_its_reader() {
    let (ours, theirs) = pair();
    let sender = Sender::remote(ours);
    while !sender.waiting.load(Ordering::Acquire) {
        sender.send(&line(""), "\n");
    }
    drop(theirs);
    sender.finish(Duration::from_secs(20));
    assert!(
        !sender.waiting.load(Ordering::Acquire),
        "nothing waits for a reader that is gone"
    );
}
