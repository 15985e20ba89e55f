//! The memory driver with a real clock and a real file; a process's death is a driver that is dropped.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::driver::Mode;
use tokio::time::{Instant, timeout};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(30);

fn ask<'a>(id: &'a str, mode: Mode, ttl: Duration, wait: Duration) -> Ask<'a> {
    Ask {
        resource: "r",
        id,
        mode,
        ttl,
        wait,
    }
}

fn start(state: Option<File>) -> Memory {
    Memory::start(state, &Handle::current()).unwrap()
}

#[tokio::test]
async fn the_next_in_the_queue_gets_what_is_released() {
    let memory = start(None);
    let first = memory.lock(ask("a", Mode::Write, LONG, SHORT)).await.unwrap().unwrap();
    let waiting = memory.lock(ask("b", Mode::Write, LONG, LONG));
    let (second, released) = tokio::join!(waiting, memory.release("r", "a"));
    assert!(released.unwrap());
    assert!(second.unwrap().unwrap() > first);
    assert_eq!(
        memory.counts(),
        Counts {
            held: Some(1),
            waiting: 0,
            granted: 2
        }
    );
}

#[tokio::test]
async fn a_wait_ends_in_time_and_so_does_a_lock() {
    let memory = start(None);
    let begun = Instant::now();
    memory
        .lock(ask("a", Mode::Write, SHORT * 4, SHORT))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(memory.lock(ask("b", Mode::Write, LONG, SHORT)).await, Ok(None));
    assert!(begun.elapsed() >= SHORT);
    assert!(memory.lock(ask("b", Mode::Read, LONG, LONG)).await.unwrap().is_some());
    assert!(begun.elapsed() >= SHORT * 4, "not before the end of the first");
}

#[tokio::test]
async fn who_stops_waiting_leaves_the_queue() {
    let memory = start(None);
    memory.lock(ask("a", Mode::Read, LONG, SHORT)).await.unwrap().unwrap();
    let writer = timeout(SHORT, memory.lock(ask("w", Mode::Write, LONG, LONG)));
    // A reader behind the writer: granted when the writer goes.
    let reader = memory.lock(ask("b", Mode::Read, LONG, LONG));
    let (writer, reader) = tokio::join!(writer, reader);
    assert!(writer.is_err(), "it was dropped");
    assert!(reader.unwrap().is_some());
    assert_eq!(memory.counts().waiting, 0);
}

#[tokio::test]
async fn what_is_held_outlives_the_process() {
    let file = tempfile::tempfile().unwrap();
    let mut last = 0;
    for round in 0..20 {
        let memory = start(Some(file.try_clone().unwrap()));
        if round > 0 {
            assert_eq!(
                memory.lock(ask("other", Mode::Write, LONG, SHORT / 10)).await,
                Ok(None),
                "a second holder"
            );
            assert!(memory.release("r", "me").await.unwrap(), "its owner may release it");
        }
        let token = memory.lock(ask("me", Mode::Write, LONG, SHORT)).await.unwrap().unwrap();
        assert!(token > last);
        last = token;
    }
}

#[tokio::test]
async fn time_goes_on_while_it_is_down() {
    let file = tempfile::tempfile().unwrap();
    let memory = start(Some(file.try_clone().unwrap()));
    memory.lock(ask("a", Mode::Write, SHORT, SHORT)).await.unwrap().unwrap();
    drop(memory);
    let memory = start(Some(file));
    assert!(memory.lock(ask("b", Mode::Write, LONG, LONG)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    use std::os::unix::fs::FileExt;
    let file = tempfile::tempfile().unwrap();
    drop(start(Some(file.try_clone().unwrap())));
    file.write_all_at(b"damage", 0).unwrap();
    assert!(Memory::start(Some(file), &Handle::current()).is_err());
}

#[tokio::test]
async fn without_a_way_to_write_it_serves_on_and_says_so() {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let file = File::from(memfd_create("test", MFdFlags::MFD_ALLOW_SEALING).unwrap());
    let memory = start(Some(file.try_clone().unwrap()));
    memory.lock(ask("a", Mode::Read, LONG, SHORT)).await.unwrap().unwrap();
    assert_eq!(memory.unhealthy(), None);
    fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW)).unwrap();
    memory.lock(ask("b", Mode::Read, LONG, SHORT)).await.unwrap().unwrap();
    assert!(memory.unhealthy().unwrap().contains("memory file"));
    assert!(memory.release("r", "a").await.unwrap());
}

#[tokio::test]
async fn tokens_of_a_new_file_are_above_those_of_an_earlier_server() {
    let mut last = 0;
    for _ in 0..3 {
        let memory = start(None);
        for id in ["a", "b", "c"] {
            let token = memory.lock(ask(id, Mode::Read, LONG, SHORT)).await.unwrap().unwrap();
            assert!(token > last);
            last = token;
        }
    }
}

#[tokio::test]
async fn who_waits_at_a_pause_is_sent_on_and_the_next_process_has_the_locks() {
    let file = tempfile::tempfile().unwrap();
    let mut old = start(Some(file.try_clone().unwrap()));
    let token = old.lock(ask("a", Mode::Write, LONG, SHORT)).await.unwrap().unwrap();
    let waiting = old.lock(ask("b", Mode::Write, LONG, LONG));
    let (waited, ()) = tokio::join!(waiting, async { old.pausing() });
    assert_eq!(waited, Err(DriverError::Paused));
    assert_eq!(old.counts().waiting, 0);
    old.pause().unwrap();

    // It ends a lock, grants another, and dies before it serves.
    let new = start(Some(file.try_clone().unwrap()));
    assert_eq!(new.lock(ask("b", Mode::Write, LONG, SHORT)).await, Ok(None));
    assert!(new.release("r", "a").await.unwrap());
    drop(new);

    old.resume().unwrap();
    assert!(!old.exists("r", None).await.unwrap(), "what the file says counts");
    assert!(old.lock(ask("b", Mode::Write, LONG, SHORT)).await.unwrap().unwrap() > token);
    assert_eq!(old.counts().granted, 2);
}

#[tokio::test]
async fn locks_that_are_nowhere_else_are_not_given_away() {
    let mut memory = start(None);
    memory.lock(ask("a", Mode::Write, SHORT, SHORT)).await.unwrap().unwrap();
    assert!(memory.pause().is_err());
    memory.resume().unwrap();
    assert!(memory.exists("r", None).await.unwrap());
    let next = memory.lock(ask("b", Mode::Write, LONG, LONG)).await;
    assert!(next.unwrap().is_some(), "the timer runs");
}
