//! Streamed answers.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use rr_common::{
    config::{Dur, section},
    pool::{Answer, ExecError, Pool},
};
use std::time::Duration;

async fn collect(answer: Answer) -> Result<String, ExecError> {
    let mut text = String::from_utf8(answer.body.to_vec()).unwrap();
    let mut more = answer.more.expect("a stream");
    while let Some(frame) = more.next().await {
        text.push_str(std::str::from_utf8(&frame?.body).unwrap());
    }
    assert!(more.next().await.is_none());
    Ok(text)
}

async fn ready(pool: &Pool, count: usize) {
    eventually("all workers are idle", || pool.stats().ready == count).await;
}

#[tokio::test]
async fn a_stream_arrives_in_order_and_the_worker_is_kept() {
    for pipeline in [1, 2] {
        let pool = pool(1, |options| options.pool.pipeline = pipeline).await;
        let worker = pid(&pool).await;
        for length in [1, 4, 5, 6, 23, 100] {
            let answer = exec(&pool, &format!("stream {length}")).await.unwrap();
            assert_eq!(&answer.context[..], b"ctx");
            let expected: String = (1..=length).map(|n| format!("c{n}|")).collect();
            assert_eq!(collect(answer).await.unwrap(), expected);
        }
        assert_eq!(pid(&pool).await, worker);
        stop(&pool).await;
    }
}

/// The reader is slow: the worker waits, and memory stays bounded. Others are served meanwhile.
#[tokio::test]
async fn a_slow_reader_holds_its_own_worker_back_only() {
    let pool = pool(2, |options| {
        let exec_ttl = Dur(Duration::from_millis(300));
        options.pool.supervisor = Some(section::PoolSupervisor {
            exec_ttl,
            ..section::PoolSupervisor::default()
        });
    })
    .await;
    let answer = exec(&pool, "stream 50").await.unwrap();
    // Longer than exec_ttl, which is not meant for readers.
    let end = std::time::Instant::now() + Duration::from_millis(700);
    while std::time::Instant::now() < end {
        text(&pool, "echo x").await;
    }
    assert_eq!(collect(answer).await.unwrap().matches('|').count(), 50);
    stop(&pool).await;
}

#[tokio::test]
async fn a_reader_that_goes_away_stops_the_stream_and_keeps_the_worker() {
    let pool = pool(1, |_| ()).await;
    let worker = pid(&pool).await;
    for taken in [0, 1, 3, 7] {
        let mut more = exec(&pool, "stream 1000000").await.unwrap().more.unwrap();
        for _ in 0..taken {
            more.next().await.unwrap().unwrap();
        }
        drop(more);
        assert_eq!(pid(&pool).await, worker);
    }
    // Gone before the first frame.
    for _ in 0..20 {
        let _ = tokio::time::timeout(Duration::from_micros(100), pool.exec(payload("stream 100"))).await;
    }
    assert_eq!(pid(&pool).await, worker);
    ready(&pool, 1).await;
    stop(&pool).await;
}

/// POOL-10: stream_timeout.
#[tokio::test]
async fn a_stream_that_does_not_end_is_killed_after_stream_timeout() {
    let pool = pool(1, |options| {
        options.pool.stream_timeout = Dur(Duration::from_millis(200))
    })
    .await;
    for request in ["stream-hang", "stream-flood"] {
        let worker = pid(&pool).await;
        drop(exec(&pool, request).await.unwrap());
        assert_ne!(pid(&pool).await, worker);
        assert!(!alive(worker));
    }
    stop(&pool).await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_an_error() {
    let pool = pool(1, |_| ()).await;
    let broken = collect(exec(&pool, "stream-die").await.unwrap()).await;
    assert!(matches!(broken, Err(ExecError::Network(_))), "{broken:?}");
    assert_eq!(text(&pool, "echo x").await, "echo x");
    stop(&pool).await;
}

/// POOL-07: exec_ttl counts for each frame.
#[tokio::test]
async fn a_frame_that_takes_too_long_ends_the_stream() {
    let pool = pool(1, |options| {
        let exec_ttl = Dur(Duration::from_millis(300));
        options.pool.supervisor = Some(section::PoolSupervisor {
            exec_ttl,
            ..section::PoolSupervisor::default()
        });
    })
    .await;
    let broken = collect(exec(&pool, "stream-hang").await.unwrap()).await;
    assert!(matches!(broken, Err(ExecError::ExecTtl)), "{broken:?}");
    assert_eq!(text(&pool, "echo x").await, "echo x");
    stop(&pool).await;
}
