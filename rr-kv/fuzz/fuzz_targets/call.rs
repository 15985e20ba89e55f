//! Any bytes as any method's body, in any codec: no panic, an answer that is the method's message or an error text, and a
//! request is read as prost reads it. The first byte picks the method, the second one the codec.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use prost::Message;
use rr_common::{
    config::section::{MemoryStorage, Storage as Settings},
    rpc::Codec,
};
use rr_kv::{
    driver::Storage,
    request::Request,
    service::{self, Storages},
    v1,
};
use std::cell::RefCell;
use tokio::runtime::{Builder, Runtime};

const METHODS: [&str; 12] = [
    "Has", "Set", "MGet", "MExpire", "TTL", "Delete", "Clear", "Add", "Incr", "Decr", "CompareAndSwap", "None",
];
const CODECS: [Codec; 4] = [Codec::Proto, Codec::Json, Codec::Msgpack, Codec::Raw];

thread_local! {
    /// One storage, under the name that a message without a name has: so most bytes reach it.
    static PLACE: RefCell<Option<(Runtime, Storages)>> = const { RefCell::new(None) };
}

fn open() -> (Runtime, Storages) {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let settings = Settings::Memory(MemoryStorage {
        max_items: 50,
        max_bytes: 20_000,
        ..MemoryStorage::default()
    });
    let storage = runtime.block_on(Storage::open("", &settings, runtime.handle())).expect("a storage");
    (runtime, Storages::from([(String::new(), storage)]))
}

fuzz_target!(|input: &[u8]| {
    let [method, codec, body @ ..] = input else { return };
    let method = METHODS[usize::from(*method) % METHODS.len()];
    let codec = CODECS[usize::from(*codec) % CODECS.len()];
    if let Ok(message) = v1::Request::decode(body) {
        assert_eq!(Request::parse(body).expect("prost takes it"), Request::of(&message));
    }
    PLACE.with_borrow_mut(|place| {
        let (runtime, storages) = place.get_or_insert_with(open);
        let answer = runtime.block_on(service::call(storages, method, codec, Bytes::copy_from_slice(body)));
        match (answer, method) {
            (Err(error), _) => assert!(!error.text("kv.X").is_empty()),
            (Ok(answer), _) if codec != Codec::Proto => drop(answer),
            (Ok(answer), "Incr" | "Decr") => drop(v1::CounterResponse::decode(answer).expect("a counter")),
            (Ok(answer), "CompareAndSwap") => drop(v1::SwapResponse::decode(answer).expect("a yes or no")),
            (Ok(answer), _) => drop(v1::Response::decode(answer).expect("items")),
        }
    });
});
