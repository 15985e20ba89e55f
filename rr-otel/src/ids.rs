//! New ids: unpredictable and, as far as chance allows, unique.

use rr_common::telemetry::trace::{SpanId, TraceId};
use std::{
    cell::RefCell,
    hash::{BuildHasher, RandomState},
};

thread_local! {
    /// A keyed hash of a counter; the key comes from the system's random numbers, once a thread.
    static SOURCE: RefCell<(RandomState, u64)> = RefCell::new((RandomState::new(), 0));
}

fn number() -> u64 {
    SOURCE.with_borrow_mut(|(key, count)| {
        *count += 1;
        key.hash_one(*count)
    })
}

pub(crate) fn trace() -> TraceId {
    loop {
        if let Some(id) = TraceId::new(u128::from(number()) << 64 | u128::from(number())) {
            return id;
        }
    }
}

pub(crate) fn span() -> SpanId {
    loop {
        if let Some(id) = SpanId::new(number()) {
            return id;
        }
    }
}

/// A random UUID (version 4).
pub(crate) fn uuid() -> String {
    let bits = u128::from(number()) << 64 | u128::from(number());
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let text = format!("{bits:032x}");
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_do_not_repeat_within_and_between_threads() {
        let many = || (0..10_000).map(|_| span().get()).collect::<HashSet<_>>();
        let other = std::thread::spawn(many);
        let mut all = many();
        all.extend(other.join().unwrap_or_default());
        assert_eq!(all.len(), 20_000);
    }

    #[test]
    fn a_uuid_says_its_version() {
        let id = uuid();
        let dashes: Vec<_> = id.match_indices('-').map(|(at, _)| at).collect();
        assert_eq!((id.len(), dashes), (36, vec![8, 13, 18, 23]));
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]), "{id}");
    }
}
