//! Clients of the RPC port, which may lose their connection only with the supervisor.

use crate::{RECOVERY, last};
use rr_tests::{Rpc, eventually, port::local};
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

/// Methods that the clients of the RPC port call in turn.
const METHODS: [&str; 4] = ["rpc.Version", "own.Pid", "kv.Nothing", "lock.Nothing"];

/// Clients of the RPC port that never connect anew, as PHP's, unless the supervisor was killed meanwhile.
pub(crate) struct Callers {
    over: Arc<AtomicBool>,
    pub(crate) answers: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Rpc>>,
}

impl Callers {
    pub(crate) fn start(port: u16, count: usize) -> Self {
        let (over, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let caller = |n: usize| {
            let (over, answers) = (Arc::clone(&over), Arc::clone(&answers));
            std::thread::spawn(move || {
                let mut kills = KILLS.load(Ordering::SeqCst);
                let mut rpc = Rpc::tcp(local(port));
                let mut methods = METHODS.iter().cycle().skip(n);
                while !over.load(Ordering::Relaxed) {
                    // Any answer will do, but it must be one.
                    let method = methods.next().unwrap();
                    let since = std::time::Instant::now();
                    match rpc.try_call(method, &Value::Null) {
                        Some(_) => drop(answers.fetch_add(1, Ordering::Relaxed)),
                        None => {
                            let now = KILLS.load(Ordering::SeqCst);
                            let killed = now != kills || now % 2 == 1;
                            let after = since.elapsed();
                            assert!(
                                killed,
                                "{method}: the connection was closed, or no answer came, after {after:?}; {:?}",
                                last()
                            );
                            (kills, rpc) = (now, connect(port));
                        }
                    }
                }
                rpc
            })
        };
        Self {
            threads: (0..count).map(caller).collect(),
            over,
            answers,
        }
    }

    pub(crate) fn stop(self) -> Vec<Rpc> {
        self.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    }
}

/// Counts the kills of the supervisor: odd from the kill until the next one serves.
pub(crate) static KILLS: AtomicUsize = AtomicUsize::new(0);

/// A new connection, to the supervisor that will be there soon.
pub(crate) fn connect(port: u16) -> Rpc {
    let mut rpc = None;
    eventually(RECOVERY, || {
        rpc = Rpc::try_tcp(local(port));
        rpc.is_some()
    });
    rpc.unwrap()
}
