//! LOG-02.
#![allow(clippy::unwrap_used)]

use super::*;
use std::io::Read;
use std::time::{Duration, Instant};

fn rules(directory: &Path) -> Rules {
    Rules {
        path: directory.join("rr.log"),
        max_size: 100,
        max_age: 24,
        max_backups: 3,
        compress: false,
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Polls a state of the folder, which another thread brings about.
fn until(directory: &Path, state: impl Fn(&[String]) -> bool) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let now = names(directory);
        if state(&now) {
            return now;
        }
        assert!(Instant::now() < deadline, "{now:?}");
        std::thread::yield_now();
    }
}

#[test]
fn log_02_a_full_file_is_put_aside_and_few_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = Rotated::new(rules(directory.path()));
    for number in 0..20 {
        file.write(format!("{number:079}\n").as_bytes()).unwrap();
    }
    let left = until(directory.path(), |names| names.len() == 4);
    assert_eq!(left[3], "rr.log");
    assert!(
        left[..3]
            .iter()
            .all(|name| rules(directory.path()).time_of(name).is_some()),
        "{left:?}"
    );
    let mut newest: Vec<u32> = left
        .iter()
        .map(|name| {
            fs::read_to_string(directory.path().join(name))
                .unwrap()
                .trim()
                .parse()
                .unwrap()
        })
        .collect();
    newest.sort();
    assert_eq!(newest, [16, 17, 18, 19], "one line a file, the last ones are there");
}

#[test]
fn log_02_names_are_those_of_the_reference() {
    let rules = rules(Path::new("/logs"));
    let moment: Timestamp = "2026-11-22T21:05:09.123Z".parse().unwrap();
    assert_eq!(rules.backup(moment), Path::new("/logs/rr-2026-11-22T21-05-09.123.log"));
    assert!(rules.time_of("rr-2026-11-22T21-05-09.123.log.gz").is_some());
    for other in [
        "rr.log",
        "rr-notes.log",
        "x-2026-11-22T21-05-09.123.log",
        "rr-2026-11-22T21-05-09.123.txt",
    ] {
        assert!(rules.time_of(other).is_none(), "{other}");
    }
}

#[test]
fn log_02_old_files_are_compressed_or_removed_by_age() {
    let directory = tempfile::tempdir().unwrap();
    let rules = Rules {
        compress: true,
        max_age: 2,
        ..rules(directory.path())
    };
    let write = |name: &str| fs::write(directory.path().join(name), "old lines\n").unwrap();
    for name in [
        "rr-2026-11-19T00-00-00.000.log",
        "rr-2026-11-21T00-00-00.000.log",
        "other.log",
    ] {
        write(name);
    }
    rules.tidy("2026-11-22T00:00:00Z".parse().unwrap()).unwrap();
    assert_eq!(
        names(directory.path()),
        ["other.log", "rr-2026-11-21T00-00-00.000.log.gz"]
    );
    let compressed = File::open(directory.path().join("rr-2026-11-21T00-00-00.000.log.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(compressed)
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "old lines\n");
}

#[test]
fn a_file_that_was_moved_away_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = Rotated::new(rules(directory.path()));
    file.write(b"one\n").unwrap();
    fs::rename(directory.path().join("rr.log"), directory.path().join("moved")).unwrap();
    file.write(b"two\n").unwrap();
    assert_eq!(fs::read_to_string(directory.path().join("rr.log")).unwrap(), "two\n");
}

#[test]
fn a_line_larger_than_a_file_is_written_nevertheless() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = Rotated::new(rules(directory.path()));
    file.write(&[b'x'; 500]).unwrap();
    assert_eq!(fs::metadata(directory.path().join("rr.log")).unwrap().len(), 500);
}
