#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

const KIND: Kind = Kind { name: "kv", version: 3 };

fn written(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), KIND).unwrap();
    for part in parts {
        writer.write_all(part).unwrap();
    }
    writer.finish().unwrap()
}

/// All of it in pieces of that size.
fn read(bytes: &[u8], length: usize, piece: usize) -> Result<Vec<u8>, SnapshotError> {
    let mut reader = Reader::new(bytes, KIND)?;
    let mut all = Vec::new();
    while all.len() < length {
        let next = piece.min(length - all.len());
        reader.take_into(&mut all, next)?;
    }
    reader.finish()?;
    Ok(all)
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20), long in 0..3 * CHUNK, piece in 1..5000_usize,
    ) {
        let mut parts = parts;
        parts.push(vec![7; long]);
        let all = parts.concat();
        prop_assert_eq!(read(&written(&parts), all.len(), piece).unwrap(), all);
    }

    #[test]
    fn a_changed_byte_or_a_missing_end_is_noticed(
        part in prop::collection::vec(any::<u8>(), 0..300), place: prop::sample::Index, by in 1..=255_u8,
    ) {
        let whole = written(std::slice::from_ref(&part));
        let place = place.index(whole.len());
        prop_assert!(read(&whole[..place], part.len(), 100).is_err());
        let mut changed = whole;
        changed[place] ^= by;
        prop_assert!(read(&changed, part.len(), 100).is_err());
    }

    #[test]
    fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), head: bool) {
        let mut all = if head { KIND.head().to_vec() } else { Vec::new() };
        all.extend(bytes);
        prop_assert!(read(&all, 1 << 30, 1 << 20).is_err());
    }
}

#[test]
fn another_version_and_another_plugin_are_told() {
    let bytes = written(&[]);
    let of = |name, version| {
        Reader::new(&bytes[..], Kind { name, version })
            .map(drop)
            .map_err(|error| error.to_string())
    };
    assert_eq!(of("kv", 3), Ok(()));
    assert!(
        of("kv", 4)
            .unwrap_err()
            .contains("version 3, and this one reads version 4")
    );
    assert!(of("jobs", 3).unwrap_err().contains("another plugin's"));
}

#[test]
fn less_and_more_than_there_is() {
    let bytes = written(&[vec![1; 10]]);
    assert!(read(&bytes, 9, 100).unwrap_err().to_string().contains("longer"));
    assert!(read(&bytes, 11, 100).unwrap_err().to_string().contains("too early"));
}

#[test]
fn a_file_is_given_back_as_it_is_read() {
    let file = File::from(nix::sys::memfd::memfd_create("test", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).unwrap());
    let mut writer = Writer::create(file.try_clone().unwrap(), KIND).unwrap();
    let piece = vec![9; 1 << 20];
    for _ in 0..40 {
        writer.write_all(&piece).unwrap();
    }
    writer.finish().unwrap();
    let blocks = || std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap()) * 512;
    assert!(blocks() > 40 << 20);
    let mut reader = Reader::open(file.try_clone().unwrap(), KIND).unwrap();
    let mut buffer = Vec::new();
    for _ in 0..40 {
        buffer.clear();
        reader.take_into(&mut buffer, 1 << 20).unwrap();
        assert_eq!(buffer, piece);
    }
    reader.finish().unwrap();
    assert!(blocks() < 20 << 20, "{}", blocks());
}
