//! How many descriptors a process may have open. Shells and containers allow few unless a program asks for more, as Go's runtime does for
//! RoadRunner; a connection each, and twice as many while the supervisor becomes another program, they would be gone soon.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// As many as our units allow. No more: some programs that services run close each that there could be.
const ENOUGH: u64 = 65_536;

/// Raises the soft limit of this process, and of all that it starts, as far as the hard one lets it. Where that is refused all stays as it is.
pub fn raise() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && let Some(wanted) = wanted(soft, hard)
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard);
    }
}

fn wanted(soft: u64, hard: u64) -> Option<u64> {
    let wanted = hard.min(ENOUGH);
    (wanted > soft).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_raised_to_what_is_enough_and_never_lowered() {
        assert_eq!(wanted(1024, 1 << 20), Some(ENOUGH));
        assert_eq!(wanted(1024, u64::MAX), Some(ENOUGH));
        assert_eq!(wanted(1024, 4096), Some(4096));
        assert_eq!(wanted(4096, 4096), None);
        assert_eq!(wanted(1 << 20, 1 << 20), None);
    }
}
