//! Requests and answers through real PHP workers.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::{BufMut, Bytes};
use common::*;
use rr_common::pool::{Body, ExecError, Payload};
use std::{io::Write, time::Duration};

/// POOL-16 besides: what is told of the workers.
#[tokio::test]
async fn a_thousand_requests_are_answered_by_the_same_two_workers() {
    for (threads, pipeline) in [(0, 1), (1, 1), (2, 1), (1, 2), (2, 2)] {
        let runtimes = runtimes(threads);
        let pool = pool(2, |options| {
            options.runtimes = runtimes.clone();
            options.pool.pipeline = pipeline;
        })
        .await;
        let before: Vec<u32> = pool.workers().iter().map(|worker| worker.pid).collect();
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..1000 {
            let pool = pool.clone();
            let task = async move { assert_eq!(text(&pool, &format!("echo {n}")).await, format!("echo {n}")) };
            match runtimes.get(n % threads.max(1)) {
                Some(runtime) => tasks.spawn_on(task, runtime),
                None => tasks.spawn(task),
            };
        }
        while let Some(result) = tasks.join_next().await {
            result.unwrap();
        }
        let after = pool.workers();
        assert_eq!(after.iter().map(|worker| worker.pid).collect::<Vec<_>>(), before);
        assert_eq!(after.iter().map(|worker| worker.execs).sum::<u64>(), 1000);
        assert!(
            after
                .iter()
                .all(|worker| worker.status == 1 && worker.memory > 1_000_000)
        );
        stop(&pool).await;
    }
}

#[tokio::test]
async fn context_and_bodies_of_every_size_and_kind_arrive() {
    let pool = pool(1, |_| ()).await;
    for size in [0usize, 1, 16_384, 16_385, 65_536, 300_000, 5_000_000] {
        let mut body = b"length ".to_vec();
        body.resize(7 + size, b'x');
        let payload = Payload::new(
            0x80,
            0,
            |context| context.put_slice(b"some context"),
            Body::Bytes(Bytes::from(body)),
        );
        let answer = pool.exec(payload).await.unwrap();
        assert_eq!(answer.body, (7 + size).to_string());

        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"length ").unwrap();
        file.write_all(&vec![b'y'; size]).unwrap();
        let payload = Payload::new(0x80, 0, |_| (), Body::File(file, 7 + size as u64));
        assert_eq!(pool.exec(payload).await.unwrap().body, (7 + size).to_string());

        let answer = exec(&pool, &format!("large {size}")).await.unwrap();
        assert_eq!(
            (&answer.context[..], answer.body.len(), answer.flags),
            (&b"ctx"[..], size, 0x80)
        );
    }
    assert!(matches!(pool.exec(payload("")).await, Err(ExecError::Decode(text)) if text.contains("empty")));
    stop(&pool).await;
}

/// A file that is shorter than was said cannot be sent: that request fails, the next is served.
#[tokio::test]
async fn a_file_that_shrank_costs_its_request_only() {
    let pool = pool(1, |_| ()).await;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"length ").unwrap();
    let result = pool
        .exec(Payload::new(0x80, 0, |_| (), Body::File(file, 100_000)))
        .await;
    assert!(matches!(result, Err(ExecError::Network(_))), "{result:?}");
    assert_eq!(text(&pool, "echo x").await, "echo x");
    stop(&pool).await;
}

/// POOL-15: an error frame keeps the worker.
#[tokio::test]
async fn an_error_frame_is_soft() {
    let pool = pool(1, |_| ()).await;
    let worker = pid(&pool).await;
    let error = exec(&pool, "error boom").await.unwrap_err();
    assert_eq!(error.to_string(), "sync_worker_receive_frame: SoftJobError: boom");
    assert_eq!(pid(&pool).await, worker);
    stop(&pool).await;
}

/// POOL-15: what breaks the protocol costs the worker its life and nobody else a request.
#[tokio::test]
async fn broken_workers_are_replaced() {
    let pool = pool(1, |_| ()).await;
    for (request, kind) in [
        ("exit 1", "Network: EOF"),
        ("kill", "Network: EOF"),
        ("half", "Network: EOF"),
        ("bad-options", "Decode: options length should be equal 1"),
        ("bad-context", "Decode: bad payload"),
        ("stray PHP Warning: oh no", "PHP Warning: oh no"),
    ] {
        let worker = pid(&pool).await;
        let error = exec(&pool, request).await.unwrap_err().to_string();
        assert!(error.contains(kind), "{request}: {error}");
        assert_ne!(pid(&pool).await, worker, "{request}");
        assert!(!alive(worker) || !matches!(request, "exit 1" | "kill"));
    }
    // A second answer to one request: the first is the answer, the worker is given up.
    let worker = pid(&pool).await;
    assert_eq!(text(&pool, "twice").await, "one");
    eventually("the worker is replaced", || {
        pool.workers().iter().all(|other| other.pid != worker)
    })
    .await;
    stop(&pool).await;
}

/// A dropped request leaves nothing behind: not in the queue, not in a worker.
#[tokio::test]
async fn dropped_requests_strand_nothing() {
    let pool = pool(2, |_| ()).await;
    for round in 0..200 {
        let wait = Duration::from_micros(round * 20);
        let requests = (0..6).map(|_| tokio::time::timeout(wait, pool.exec(payload("sleep 1"))));
        let mut set = tokio::task::JoinSet::new();
        for request in requests.collect::<Vec<_>>() {
            // Bound to the pool's life: polled here, one after the other.
            let _ = request.await;
        }
        let other = pool.clone();
        set.spawn(async move { text(&other, "echo alive").await });
        assert_eq!(set.join_next().await.unwrap().unwrap(), "echo alive");
    }
    eventually("all workers are idle again", || pool.stats().ready == 2).await;
    assert_eq!((pool.stats().waiting, pool.stats().running), (0, 0));
    stop(&pool).await;
}

/// The worker asks to be replaced instead of answering: the request is run by another.
#[tokio::test]
async fn a_request_refused_by_a_leaving_worker_is_run_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let pool = pool(1, |_| ()).await;
    let worker = pid(&pool).await;
    let path = dir.path().join("once");
    let other: u32 = text(&pool, &format!("stop-once {}", path.display()))
        .await
        .parse()
        .unwrap();
    assert_ne!(other, worker);
    // One that always asks is not followed for ever.
    let log = dir.path().join("log");
    assert!(exec(&pool, &format!("log {} stop", log.display())).await.is_err());
    assert_eq!(lines(&log).len(), 10);
    stop(&pool).await;
}

/// An unasked stop behind an answer (Laravel Octane after an error): every request is run once.
#[tokio::test]
async fn an_unasked_stop_runs_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    for then in ["answer-stop", "answer-late-stop", "answer-exit"] {
        let log = dir.path().join(then);
        let pool = pool(2, |_| ()).await;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..30 {
            let (pool, request) = (pool.clone(), format!("log {} {then}", log.display()));
            tasks.spawn(async move { exec(&pool, &request).await.map(|answer| answer.body) });
        }
        let mut answered = 0;
        while let Some(result) = tasks.join_next().await {
            answered += usize::from(result.unwrap().is_ok_and(|body| body == "ok"));
        }
        assert_eq!((answered, lines(&log).len()), (30, 30), "{then}");
        eventually("the pool is full again", || pool.stats().ready == 2).await;
        stop(&pool).await;
    }
}

/// POOL-03: a full queue answers at once.
#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let pool = pool(1, |options| options.pool.max_queue_size = 2).await;
    let slow = pool.exec(payload("sleep 300"));
    let next = pool.exec(payload("pid"));
    let refused = async {
        eventually("both are in", || pool.stats().running + pool.stats().waiting == 2).await;
        exec(&pool, "pid").await
    };
    let (slow, next, refused) = tokio::join!(slow, next, refused);
    assert!(matches!(refused, Err(ExecError::QueueSize)), "{refused:?}");
    assert!(slow.is_ok() && next.is_ok());
    stop(&pool).await;
}

/// POOL-02: the error says what was waited for and what is in the way.
#[tokio::test]
async fn no_free_worker_is_explained() {
    let change = |options: &mut rr_common::pool::Options| {
        options.pool.allocate_timeout = rr_common::config::Dur(Duration::from_millis(400));
    };
    let pool = pool(1, change).await;
    let (slow, waiting) = tokio::join!(pool.exec(payload("sleep 900")), exec(&pool, "pid"));
    let text = waiting.unwrap_err().to_string();
    assert!(text.starts_with("static_pool_exec: NoFreeWorkers"), "{text}");
    for part in [
        "allocate_timeout (400ms)",
        "1 workers, 1 busy, 0 idle",
        "1 requests wait",
        "oldest running request is at pid",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(slow.is_ok());
    stop(&pool).await;
}
