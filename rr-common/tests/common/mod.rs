//! What the pool's tests share: a pool over the PHP worker beside them, and bounded waiting.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, unreachable_pub)]

use bytes::Bytes;
use rr_common::{
    config::{CommandLine, Dur, section},
    plugin::StartError,
    pool::{Answer, Body, ExecError, Options, Payload, Pool},
};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

pub fn script(name: &str) -> String {
    format!("{}/tests/php/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub fn options(workers: u64) -> Options {
    Options {
        pool: section::Pool {
            num_workers: workers,
            allocate_timeout: Dur::secs(10),
            destroy_timeout: Dur::secs(5),
            ..section::Pool::default()
        },
        server: section::Server {
            command: CommandLine(vec!["php".into(), script("worker.php")]),
            ..section::Server::default()
        },
        rpc: None,
        mode: "test".into(),
        env: Vec::new(),
        runtimes: Vec::new(),
        describe: None,
    }
}

pub async fn pool(workers: u64, change: impl FnOnce(&mut Options)) -> Pool {
    try_pool(workers, change).await.unwrap()
}

pub async fn try_pool(workers: u64, change: impl FnOnce(&mut Options)) -> Result<Pool, StartError> {
    let mut options = options(workers);
    change(&mut options);
    Pool::start(options).await
}

/// Runtimes on threads of their own, as a plugin has them; they live as long as the test.
pub fn runtimes(count: usize) -> Vec<Handle> {
    let start = |_| {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            sender.send(runtime.handle().clone()).unwrap();
            runtime.block_on(std::future::pending::<()>());
        });
        receiver.recv().unwrap()
    };
    (0..count).map(start).collect()
}

pub fn payload(body: &str) -> Payload {
    Payload::new(0x80, 0, |_| (), Body::Bytes(Bytes::copy_from_slice(body.as_bytes())))
}

pub async fn exec(pool: &Pool, body: &str) -> Result<Answer, ExecError> {
    let run = pool.exec(payload(body));
    tokio::time::timeout(Duration::from_secs(20), run)
        .await
        .expect("an answer within 20 s")
}

pub async fn text(pool: &Pool, body: &str) -> String {
    let answer = exec(pool, body).await.unwrap();
    String::from_utf8(answer.body.to_vec()).unwrap()
}

pub async fn pid(pool: &Pool) -> u32 {
    text(pool, "pid").await.parse().unwrap()
}

pub async fn stop(pool: &Pool) {
    let pids: Vec<u32> = pool.workers().iter().map(|worker| worker.pid).collect();
    pool.stop(Instant::now() + Duration::from_secs(5)).await;
    assert!(pool.workers().is_empty());
    for pid in pids {
        assert!(!alive(pid), "worker {pid} is still there");
    }
}

/// True while a process runs (a zombie does not).
pub fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

pub async fn eventually(what: &str, mut test: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !test() {
        assert!(Instant::now() < end, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn lines(path: &PathBuf) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}
