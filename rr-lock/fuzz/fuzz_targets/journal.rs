//! Any bytes as the memory file of the locks: a refusal or locks that can be gone on with, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rr_lock::{
    journal::{HEADS, record, replay, snapshot, start_of},
    table::{Grant, Table},
};

fuzz_target!(|bytes: &[u8]| {
    if let Some(heads) = bytes.first_chunk::<{ HEADS as usize }>() {
        let _ = start_of(heads);
    }
    let _ = replay(bytes, HEADS);
    // With the right checksums the bytes reach the entries: two records, split at the place that the first byte says.
    let Some((split, rest)) = bytes.split_first() else { return };
    let (first, second) = rest.split_at(usize::from(*split).min(rest.len()));
    let mut log = record(first, HEADS);
    log.extend(record(second, HEADS + log.len() as u64));
    let Ok(kept) = replay(&log, HEADS) else { return };
    let grants: Vec<Grant> = kept.grants.into_values().collect();
    let again = replay(&snapshot(&grants, kept.last, HEADS), HEADS).expect("what was written is read");
    assert_eq!(again.grants.into_values().collect::<Vec<_>>(), grants);
    assert_eq!(again.last, kept.last);
    if let Ok(mut table) = Table::restore(grants, kept.last) {
        table.advance(u64::MAX);
        assert_eq!((table.held(), table.next_due()), (0, None));
    }
});
