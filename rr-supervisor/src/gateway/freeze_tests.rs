//! What is packed is what was there: a gateway of random clients, calls, leases and bytes is packed, unpacked and packed again.

use super::*;
use crate::{
    fleet::Calls,
    gateway::{Locals, intake::Fate, link::Link},
};
use proptest::prelude::*;
use rr_common::{
    frame::flag,
    rpc::{
        Quiet,
        wire::{self, Look},
    },
};
use serde_json::{Value, json};
use std::os::unix::net::UnixStream;
use tokio::{runtime, task::LocalSet};

/// What happens on the RPC thread.
#[derive(Clone, Debug)]
enum Happens {
    /// A client comes.
    Client,
    /// A client calls the plugin; the call goes out, or waits.
    Call { client: usize, waits: bool },
    /// A client's connection is lent.
    Lend(usize),
    /// A client does not take this many bytes.
    Slow(usize, usize),
    /// A client goes.
    Gone(usize),
}

fn happens() -> impl Strategy<Value = Happens> {
    let client = 0..6_usize;
    prop_oneof![
        3 => Just(Happens::Client),
        4 => (client.clone(), any::<bool>()).prop_map(|(client, waits)| Happens::Call { client, waits }),
        2 => client.clone().prop_map(Happens::Lend),
        1 => (client.clone(), 0..2_000_000_usize).prop_map(|(client, bytes)| Happens::Slow(client, bytes)),
        1 => client.prop_map(Happens::Gone),
    ]
}

/// A connection of ours, and its other end.
fn pair() -> (Quiet, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Quiet::inherited(ours.into()).unwrap(), theirs)
}

fn gateway() -> Gateway {
    Gateway::new(Locals::default(), tokio::sync::mpsc::channel(1).0)
}

/// A gateway to which all this has happened; the other ends must live as long as it.
fn played(all: Vec<Happens>) -> (Gateway, Vec<Rc<Client>>, Vec<UnixStream>) {
    let gateway = gateway();
    let (stream, plugin_end) = pair();
    let mut ends = vec![plugin_end];
    let calls_at = Calls {
        path: "/run/kv.sock".into(),
        leases: true,
    };
    let plugin = Rc::new(Plugin::new("kv".into()));
    let link = Rc::new(Link::new(stream, calls_at, &gateway.load));
    plugin.connected(Rc::clone(&link));
    gateway.known.borrow_mut().push(Rc::clone(&plugin));
    let mut clients: Vec<Rc<Client>> = Vec::new();
    let mut lent = Vec::new();
    let mut call = 0;
    for one in all {
        let Some(which) = (match one {
            Happens::Client => {
                let (stream, end) = pair();
                let client = Client::new(stream, &gateway.load);
                gateway.welcome(&client);
                clients.push(client);
                ends.push(end);
                None
            }
            Happens::Call { client, .. } | Happens::Lend(client) | Happens::Slow(client, _) | Happens::Gone(client) => {
                clients.get(client).cloned()
            }
        }) else {
            continue;
        };
        match one {
            Happens::Client => {}
            Happens::Call { waits, .. } => {
                call += 1;
                let mut frame = Vec::new();
                wire::answer(&mut frame, flag::RAW, call, b"kv.Echo", &call.to_le_bytes());
                let Ok(Look::Whole(message)) = wire::look(&frame) else {
                    unreachable!("a whole frame")
                };
                let caller = which.caller(&frame, message);
                match waits {
                    true => plugin.queue(caller, plugin.arrives(), frame, message),
                    false => {
                        if let Fate::To(outlet) = link.forward(caller, plugin.arrives(), &mut frame) {
                            outlet.send(&frame);
                        }
                    }
                }
            }
            Happens::Lend(client) => {
                if !lent.contains(&client) && link.lend(&which, b"kv") {
                    which.is_lent();
                    lent.push(client);
                }
            }
            Happens::Slow(_, bytes) => which.outlet.send(&vec![b'x'; bytes]),
            Happens::Gone(_) => which.outlet.fail(),
        }
    }
    (gateway, clients, ends)
}

/// The words without what the clock has to do with.
fn words(baggage: &mut Baggage) -> Value {
    let mut words: Value = baggage.take("gateway");
    for plugin in words["plugins"].as_array_mut().unwrap() {
        for waiting in plugin["waiting"].as_array_mut().unwrap() {
            waiting["left"] = json!(null);
        }
    }
    words
}

fn inside<T>(work: impl FnOnce() -> T) -> T {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async { work() })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_packed_is_what_was_there(all in prop::collection::vec(happens(), 0..40)) {
        inside(|| {
            let (before, _clients, _ends) = played(all);
            let (mut first, mut carried) = (Baggage::default(), Baggage::default());
            before.pack(&mut first).unwrap();
            before.pack(&mut carried).unwrap();
            let after = gateway();
            let (clients, plugins) = after.unpack(&mut carried);
            clients.iter().for_each(|client| after.welcome(client));
            after.known.replace(plugins);
            let mut second = Baggage::default();
            after.pack(&mut second).unwrap();
            assert_eq!(words(&mut first), words(&mut second));
            assert!(first.all_bytes() == second.all_bytes());
        });
    }

    #[test]
    fn any_words_are_taken_or_left(
        client in 0..4_usize, place in any::<usize>(), generation in any::<u32>(), slot in any::<u32>(),
        descriptor in 0..4_usize, span in (any::<usize>(), any::<usize>()), skip in any::<usize>(),
    ) {
        inside(|| {
            let mut baggage = Baggage::default();
            let (ours, _end) = UnixStream::pair().unwrap();
            baggage.add(ours.into());
            baggage.add_bytes(b"some");
            let stream = |unread: (usize, usize)| json!({"socket": descriptor, "unread": unread, "skip": skip, "unsent": [0, 4]});
            let caller = json!({"client": client, "sequence": 1, "codec_bit": 8, "method": span, "given_back": 0});
            baggage.put("gateway", &json!({
                "clients": [{"stream": stream((0, 2)), "ended": false}, {"stream": stream(span), "ended": true}],
                "plugins": [{
                    "name": "kv",
                    "present": true,
                    "links": [{
                        "stream": stream((0, 0)), "path": "", "leases": true, "generation": generation,
                        "page": {"file": descriptor, "free": [slot]},
                        "calls": [
                            {"place": place, "generation": generation, "held": {"Caller": [caller, 1]}},
                            {"place": place, "generation": generation, "held": {"Client": [client, slot]}},
                        ],
                    }],
                    "waiting": [{"arrival": 1, "caller": caller, "frame": span, "left": {"secs": 1, "nanos": 0}}],
                }],
            })).unwrap();
            let (clients, plugins) = gateway().unpack(&mut baggage);
            assert!(clients.len() <= 2 && plugins.len() == 1);
        });
    }
}
