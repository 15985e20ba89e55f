//! The rules in single situations, some of them known for what the reference does there.

#![allow(clippy::unwrap_used)]

use super::{model::plain, *};

fn wish<'a>(id: &'a str, mode: Mode, wait: u64) -> Wish<'a> {
    Wish {
        resource: "r",
        id,
        mode,
        ttl: 100,
        wait,
    }
}

#[test]
fn a_writer_is_not_starved_by_readers() {
    let mut table = Table::default();
    table.lock(wish("a", Mode::Read, 0), 0).unwrap();
    let Outcome::Waiting(writer) = table.lock(wish("w", Mode::Write, 50), 1).unwrap() else {
        panic!("granted")
    };
    let Outcome::Waiting(reader) = table.lock(wish("b", Mode::Read, 50), 2).unwrap() else {
        panic!("granted")
    };
    table.release("r", "a", 3);
    assert_eq!(plain(table.take_verdicts()), [(writer, true)]);
    table.release("r", "w", 4);
    assert_eq!(plain(table.take_verdicts()), [(reader, true)]);
}

#[test]
fn two_readers_keep_a_writer_out_however_often_others_came_and_went() {
    // The reference grants this one by a notification that was left over.
    let mut table = Table::default();
    table.lock(wish("x", Mode::Write, 0), 0).unwrap();
    table.release("r", "x", 1);
    table.lock(wish("a", Mode::Read, 0), 2).unwrap();
    table.lock(wish("b", Mode::Read, 0), 2).unwrap();
    assert_eq!(table.lock(wish("w", Mode::Write, 0), 3), Ok(Outcome::Refused));
}

#[test]
fn a_refused_writer_leaves_the_resource_usable() {
    // The reference's resource is wedged after this for good.
    let mut table = Table::default();
    table.lock(wish("a", Mode::Read, 0), 0).unwrap();
    table.lock(wish("b", Mode::Read, 0), 0).unwrap();
    let Outcome::Waiting(writer) = table.lock(wish("w", Mode::Write, 5), 0).unwrap() else {
        panic!("granted")
    };
    table.advance(5);
    assert_eq!(plain(table.take_verdicts()), [(writer, false)]);
    assert!(table.release("r", "a", 6) && table.release("r", "b", 6));
    assert!(matches!(
        table.lock(wish("w", Mode::Write, 0), 7),
        Ok(Outcome::Granted(_))
    ));
}

#[test]
fn a_writer_waits_for_itself_too() {
    let mut table = Table::default();
    table.lock(wish("a", Mode::Write, 0), 0).unwrap();
    assert_eq!(table.lock(wish("a", Mode::Write, 0), 1), Ok(Outcome::Refused));
    assert_eq!(table.lock(wish("a", Mode::Read, 0), 1), Ok(Outcome::Refused));
}

#[test]
fn room_is_bounded() {
    let mut table = Table::default();
    let long = "x".repeat(ROOM / 4);
    for id in ["a", "b", "c"] {
        let wish = Wish {
            resource: &long,
            id,
            mode: Mode::Read,
            ttl: 1,
            wait: 0,
        };
        assert!(table.lock(wish, 0).is_ok());
    }
    let wish = Wish {
        resource: &long,
        id: "d",
        mode: Mode::Read,
        ttl: 1,
        wait: 0,
    };
    assert_eq!(table.lock(wish, 0), Err(Full));
    assert!(table.lock(wish, 1).is_ok(), "room again when the others have ended");
}
