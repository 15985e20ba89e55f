//! What one process hands over to the next: any bytes as the file, and any bytes as the content of a whole one, whose checksums would
//! otherwise let nothing through. No panic, and what is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rr_common::{
    config::section::{MemoryStorage, Storage},
    plugin::snapshot::{Reader, Writer},
};
use rr_kv::handover::{KIND, read, write};
use std::{collections::BTreeMap, io::Write};

fuzz_target!(|bytes: &[u8]| {
    let few = MemoryStorage {
        max_items: 100,
        ..MemoryStorage::default()
    };
    let storages = BTreeMap::from([(String::new(), Storage::Memory(few))]);
    if let Ok(reader) = Reader::new(bytes, KIND) {
        let _ = read(reader, &storages);
    }
    let mut writer = Writer::new(Vec::new(), KIND).expect("memory takes it");
    writer.write_all(bytes).expect("memory takes it");
    let whole = writer.finish().expect("memory takes it");
    let Ok(parts) = read(Reader::new(&whole[..], KIND).expect("it was just written"), &storages) else {
        return;
    };
    let mut again = Vec::new();
    write(Writer::new(&mut again, KIND).expect("memory takes it"), &parts, &|| true).expect("memory takes it");
    let second = read(Reader::new(&again[..], KIND).expect("it was just written"), &storages).expect("it was just written");
    // Keys may end meanwhile, none may come.
    assert_eq!(second.len(), parts.len());
    assert!(second.iter().all(|(name, contents)| contents.len() <= parts[name].len()));
});
