//! The journal on real files, cut and changed at every place.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    driver::Mode,
    table::{Outcome, Table, Wish},
};
use proptest::prelude::*;
use std::os::unix::fs::MetadataExt;

fn file() -> File {
    tempfile::tempfile().unwrap()
}

fn bytes(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn with(bytes: &[u8]) -> File {
    let file = file();
    file.write_all_at(bytes, 0).unwrap();
    file
}

/// What is held, and the last token.
type Held = (Vec<Grant>, Token);

/// What a journal keeps, as a table has it.
fn kept(file: File) -> Result<Held, JournalError> {
    let (_, kept) = Journal::open(file)?;
    Ok((kept.grants.into_values().collect(), kept.last))
}

#[derive(Clone, Debug)]
enum Step {
    Lock(u8, u8, bool, u64),
    Release(u8, u8),
    Ttl(u8, u8, u64),
    Pass(u64),
    Renew,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u8, 0..3_u8, any::<bool>(), 1..50_u64).prop_map(|(r, i, w, t)| Step::Lock(r, i, w, t)),
        2 => (0..3_u8, 0..3_u8).prop_map(|(r, i)| Step::Release(r, i)),
        1 => (0..3_u8, 0..3_u8, 1..50_u64).prop_map(|(r, i, t)| Step::Ttl(r, i, t)),
        1 => (1..20_u64).prop_map(Step::Pass),
        1 => Just(Step::Renew),
    ]
}

/// Carries the steps out on a table and a journal; after each, the file's bytes and what it must keep.
fn history(steps: &[Step]) -> Vec<(Vec<u8>, Held)> {
    let file = file();
    let (mut journal, _) = Journal::open(file.try_clone().unwrap()).unwrap();
    let (mut table, mut now) = (Table::default(), 0);
    let mut history = vec![(bytes(&file), (Vec::new(), 0))];
    for step in steps {
        let name = |n: &u8| format!("name-{n}");
        match step {
            Step::Lock(r, i, write, ttl) => {
                let mode = if *write { Mode::Write } else { Mode::Read };
                let (resource, id) = (&name(r), &name(i));
                let wish = Wish {
                    resource,
                    id,
                    mode,
                    ttl: *ttl,
                    wait: 5,
                };
                let outcome = table.lock(wish, now).unwrap();
                assert!(!matches!(outcome, Outcome::Refused));
            }
            Step::Release(r, i) => drop(table.release(&name(r), &name(i), now)),
            Step::Ttl(r, i, ttl) => drop(table.update_ttl(&name(r), &name(i), *ttl, now)),
            Step::Pass(time) => {
                now += time;
                table.advance(now);
            }
            Step::Renew => {
                let (grants, last) = table.grants();
                journal.renew(&grants, last).unwrap();
            }
        }
        let changes = table.take_changes();
        if !changes.is_empty() {
            journal.append(&changes).unwrap();
        }
        history.push((bytes(&file), table.grants()));
    }
    history
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After every call the file keeps exactly what the table has; and a process that dies in the middle of the next write
    /// leaves what was before it, wherever the write is cut.
    #[test]
    fn whatever_is_cut_off_was_never_told(steps in prop::collection::vec(any_step(), 0..16)) {
        let history = history(&steps);
        for (file, expected) in &history {
            prop_assert_eq!(&kept(with(file)).unwrap(), expected);
        }
        for pair in history.windows(2) {
            let ((before, expected), (after, _)) = (&pair[0], &pair[1]);
            for cut in before.len()..after.len() {
                let mut torn = before.clone();
                torn.extend(&after[before.len()..cut]);
                prop_assert_eq!(&kept(with(&torn)).unwrap(), expected, "cut at {}", cut);
            }
        }
    }

    /// One changed bit anywhere: a refusal, never other locks than those that were written.
    #[test]
    fn damage_is_noticed(steps in prop::collection::vec(any_step(), 1..15), at in any::<usize>(), bit in 0..8_u8) {
        let (mut file, expected) = history(&steps).pop().unwrap();
        let at = at % file.len();
        file[at] ^= 1 << bit;
        if let Ok(kept) = kept(with(&file)) {
            prop_assert_eq!(kept, expected);
        }
    }

    /// Any bytes: an answer without panic, and what is accepted can be gone on with.
    #[test]
    fn any_bytes_are_judged(mut noise in prop::collection::vec(any::<u8>(), 0..400), valid in any::<bool>()) {
        if valid && noise.len() >= HEADS as usize {
            noise[..HEADS as usize].copy_from_slice(&record::heads());
        }
        if let Ok((mut journal, kept)) = Journal::open(with(&noise)) {
            journal.renew(&kept.grants.into_values().collect::<Vec<_>>(), kept.last).unwrap();
        }
    }
}

#[test]
fn a_torn_head_loses_nothing() {
    let steps = [
        Step::Lock(0, 0, true, 50),
        Step::Renew,
        Step::Lock(1, 1, true, 50),
        Step::Renew,
        Step::Pass(1),
    ];
    let history = history(&steps);
    let (renewed, expected) = &history[4];
    let (before, _) = &history[3];
    // The second renewal wrote its record, and was cut while it wrote its head; the space before was not given back yet.
    for cut in 0..64 {
        let mut torn = renewed.clone();
        torn[HEADS as usize..before.len()].copy_from_slice(&before[HEADS as usize..]);
        torn[..64].copy_from_slice(&before[..64]);
        torn[..cut].copy_from_slice(&renewed[..cut]);
        assert_eq!(&kept(with(&torn)).unwrap(), expected, "cut at {cut}");
    }
}

#[test]
fn another_version_is_refused() {
    let mut heads = record::heads();
    heads[8] = 9;
    let check = crc32fast::hash(&heads[..20]);
    heads[20..24].copy_from_slice(&check.to_le_bytes());
    let error = kept(with(&heads)).unwrap_err().to_string();
    assert!(error.contains("it has the format 9"), "{error}");
}

#[test]
fn it_does_not_grow_without_end() {
    let file = file();
    let (mut journal, _) = Journal::open(file.try_clone().unwrap()).unwrap();
    let mut table = Table::default();
    let mut renewals = 0;
    for now in 0..30_000 {
        let wish = Wish {
            resource: "resource",
            id: "id",
            mode: Mode::Write,
            ttl: 1000,
            wait: 0,
        };
        table.lock(wish, now).unwrap();
        journal.append(&table.take_changes()).unwrap();
        table.release("resource", "id", now);
        journal.append(&table.take_changes()).unwrap();
        if journal.is_long() {
            let (grants, last) = table.grants();
            journal.renew(&grants, last).unwrap();
            renewals += 1;
        }
    }
    assert!(renewals > 3);
    let used = file.metadata().unwrap().blocks() * 512;
    assert!(used < 2 * SLACK, "{used} bytes are in use");
    assert_eq!(kept(file).unwrap().1, table.grants().1);
}
