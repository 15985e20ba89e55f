//! Gives back what only the start needed.
//!
//! Configuration, schema, command line and TLS set-up touch most of a binary's code once. The kernel keeps those pages
//! mapped, and they count as this process's memory, although the same bytes lie in the page cache. Unmapping them costs
//! a few minor faults for the part that is used again (64 KiB at a time) and halves the size of an idle process.

#![allow(unsafe_code)]

use nix::{
    libc,
    sys::mman::{MmapAdvise, madvise},
};
use std::{ffi::c_void, fs, ptr::NonNull};

/// Call it once, when everything is up.
pub fn settle() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it only returns free memory of the allocator, which keeps its own locks.
    unsafe {
        libc::malloc_trim(0);
    }
    let (Ok(maps), Ok(binary)) = (fs::read_to_string("/proc/self/maps"), fs::read_link("/proc/self/exe")) else {
        return;
    };
    for (start, length) in maps.lines().filter_map(|line| code_of(line, binary.to_str()?)) {
        if let Some(start) = NonNull::new(start as *mut c_void) {
            // SAFETY: the range is the program's own code, mapped from its file, not writable and never written to; the
            // kernel reads the same bytes back from the file at the next access.
            let _ = unsafe { madvise(start, length, MmapAdvise::MADV_DONTNEED) };
        }
    }
}

/// Start and length of a mapping, if it is the binary's code. Data is left alone: relocation has changed it.
fn code_of(line: &str, binary: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, permissions) = (words.next()?, words.next()?);
    // Offset, device, inode, path.
    if permissions != "r-xp" || words.nth(3)? != binary {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    Some((start, usize::from_str_radix(end, 16).ok()?.checked_sub(start)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_binary_is_taken() {
        let code = "5601c0100000-5601c0180000 r-xp 00100000 fe:00 1234    /usr/bin/rr-http";
        assert_eq!(code_of(code, "/usr/bin/rr-http"), Some((0x5601_c010_0000, 0x8_0000)));
        assert_eq!(code_of(code, "/usr/bin/rr"), None);
        for other in [
            "5601c0200000-5601c0210000 r--p 00200000 fe:00 1234    /usr/bin/rr-http",
            "5601c0210000-5601c0220000 rw-p 00210000 fe:00 1234    /usr/bin/rr-http",
            "5601c1000000-5601c1100000 rw-p 00000000 00:00 0       [heap]",
            "",
        ] {
            assert_eq!(code_of(other, "/usr/bin/rr-http"), None);
        }
    }

    #[test]
    fn the_process_lives_on_with_less_memory() {
        let resident = || {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let line = status
                .lines()
                .find(|line| line.starts_with("RssFile:"))
                .unwrap()
                .to_owned();
            line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        let before = resident();
        settle();
        assert!(resident() < before);
    }
}
