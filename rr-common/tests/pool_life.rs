//! Limits on a worker's life, replacement, scaling, reset, debug mode.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use rr_common::{
    config::{Dur, section},
    pool::{ExecError, Options, Pool},
};
use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

fn ms(ms: u64) -> Dur {
    Dur(Duration::from_millis(ms))
}

fn limits(options: &mut Options, change: impl FnOnce(&mut section::PoolSupervisor)) {
    let mut supervisor = section::PoolSupervisor {
        watch_tick: ms(50),
        ..section::PoolSupervisor::default()
    };
    change(&mut supervisor);
    options.pool.supervisor = Some(supervisor);
}

fn pids(pool: &Pool) -> BTreeSet<u32> {
    pool.workers().iter().map(|worker| worker.pid).collect()
}

async fn replaced(pool: &Pool, worker: u32) {
    eventually("the worker is replaced", || {
        !pids(pool).contains(&worker) && pool.stats().ready > 0
    })
    .await;
}

/// Kills workers at random moments under load: every request is answered or failed, and the pool is full again.
#[tokio::test]
async fn killed_workers_cost_their_own_request_only() {
    for pipeline in [1, 2] {
        let pool = pool(3, |options| options.pool.pipeline = pipeline).await;
        let kills = 30;
        let load = (0..8).map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let (mut served, mut failed) = (0, 0);
                for n in 0..150 {
                    match exec(&pool, &format!("echo {n}")).await {
                        Ok(answer) => {
                            assert_eq!(answer.body, format!("echo {n}"));
                            served += 1;
                        }
                        Err(ExecError::Network(_)) => failed += 1,
                        Err(other) => panic!("{other}"),
                    }
                }
                (served, failed)
            })
        });
        let load: Vec<_> = load.collect();
        for n in 0..kills {
            eventually("somebody to kill", || pool.stats().ready + pool.stats().working > 0).await;
            let workers = pool.workers();
            if let Some(worker) = workers.get(n % workers.len().max(1)) {
                let pid = nix::unistd::Pid::from_raw(worker.pid as i32);
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL);
            }
            // Some work between two kills; it may be hit too.
            for _ in 0..20 {
                let _ = exec(&pool, "echo between").await;
            }
        }
        let (mut served, mut failed) = (0, 0);
        for task in load {
            let (s, f) = task.await.unwrap();
            served += s;
            failed += f;
        }
        assert_eq!(served + failed, 8 * 150);
        assert!(failed <= kills, "{failed} requests failed by {kills} kills");
        eventually("the pool is full again", || pool.stats().ready == 3).await;
        stop(&pool).await;
    }
}

/// POOL-04: max_jobs loses no request and no request pays a start.
#[tokio::test]
async fn max_jobs_replaces_workers_unnoticed() {
    let pool = pool(2, |options| options.pool.max_jobs = 20).await;
    let mut seen = BTreeSet::new();
    // How many requests that takes depends on how long a start takes: until then the old ones serve on.
    let bound = Instant::now() + Duration::from_secs(20);
    while seen.len() < 5 {
        assert!(Instant::now() < bound, "{seen:?}");
        seen.insert(pid(&pool).await);
    }
    stop(&pool).await;
}

/// POOL-05, POOL-06, POOL-08, POOL-09: soft limits replace idle workers and never touch a running request.
#[tokio::test]
async fn soft_limits_replace_workers_and_kill_no_request() {
    let pool = pool(1, |options| limits(options, |limits| limits.ttl = ms(300))).await;
    let worker = pid(&pool).await;
    assert_eq!(text(&pool, "sleep 900").await, worker.to_string());
    replaced(&pool, worker).await;
    stop(&pool).await;

    let pool = self::pool(1, |options| limits(options, |limits| limits.max_worker_memory = 60)).await;
    let worker = pid(&pool).await;
    assert_eq!(text(&pool, "hoard 70").await, worker.to_string());
    replaced(&pool, worker).await;
    stop(&pool).await;

    let pool = self::pool(2, |options| limits(options, |limits| limits.idle_ttl = ms(200))).await;
    let worker = pid(&pool).await;
    let unused: Vec<u32> = pids(&pool).into_iter().filter(|&pid| pid != worker).collect();
    replaced(&pool, worker).await;
    assert!(
        pids(&pool).is_superset(&unused.into_iter().collect()),
        "an unused worker is left alone"
    );
    stop(&pool).await;
}

/// POOL-07
#[tokio::test]
async fn exec_ttl_kills_the_request_that_runs_too_long() {
    let pool = pool(2, |options| limits(options, |limits| limits.exec_ttl = ms(300))).await;
    let start = Instant::now();
    let (long, short) = tokio::join!(exec(&pool, "sleep 20000"), exec(&pool, "sleep 100"));
    assert!(matches!(long, Err(ExecError::ExecTtl)), "{long:?}");
    assert!(short.is_ok() && start.elapsed() < Duration::from_secs(10));
    eventually("the pool is full again", || pool.stats().ready == 2).await;
    stop(&pool).await;
}

/// POOL-14: a reset replaces all, and nobody waits for it.
#[tokio::test]
async fn a_reset_replaces_every_worker_under_load() {
    let pool = pool(3, |_| ()).await;
    let before = pids(&pool);
    let load = tokio::spawn({
        let pool = pool.clone();
        async move {
            for n in 0..600 {
                assert_eq!(text(&pool, &format!("echo {n}")).await, format!("echo {n}"));
            }
        }
    });
    pool.reset().await.unwrap();
    assert!(pids(&pool).iter().filter(|pid| before.contains(pid)).count() == 0 || pool.stats().invalid > 0);
    load.await.unwrap();
    eventually("only new ones", || {
        pids(&pool).is_disjoint(&before) && pool.stats().ready == 3
    })
    .await;
    stop(&pool).await;
}

#[tokio::test]
async fn a_reset_to_a_broken_version_keeps_the_old_workers() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken");
    let pool = pool(2, |options| {
        options
            .env
            .push(("FAIL_WHEN_EXISTS".into(), broken.display().to_string()))
    })
    .await;
    let before = pids(&pool);
    fs::write(&broken, "").unwrap();
    let error = pool.reset().await.unwrap_err().to_string();
    assert!(
        error.contains("refusing to boot") && error.contains("exit code 7"),
        "{error}"
    );
    assert_eq!(pids(&pool), before);
    assert!(before.contains(&pid(&pool).await));
    fs::remove_file(&broken).unwrap();
    eventually("the repaired version takes over", || {
        pids(&pool).is_disjoint(&before) && pool.stats().ready == 2
    })
    .await;
    stop(&pool).await;
}

/// A pool without any worker keeps trying, says why, and recovers.
#[tokio::test]
async fn a_pool_at_zero_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken");
    let pool = pool(1, |options| {
        options
            .env
            .push(("FAIL_WHEN_EXISTS".into(), broken.display().to_string()));
        options.pool.allocate_timeout = ms(1500);
    })
    .await;
    fs::write(&broken, "").unwrap();
    assert!(exec(&pool, "kill").await.is_err());
    let error = exec(&pool, "pid").await.unwrap_err().to_string();
    assert!(
        error.contains("0 workers") && error.contains("refusing to boot"),
        "{error}"
    );
    fs::remove_file(&broken).unwrap();
    eventually("it has a worker again", || pool.stats().ready == 1).await;
    assert_eq!(text(&pool, "echo x").await, "echo x");
    stop(&pool).await;
}

/// POOL-13
#[tokio::test]
async fn workers_are_added_and_removed_by_hand() {
    let pool = pool(1, |_| ()).await;
    pool.add_worker().await.unwrap();
    pool.add_worker().await.unwrap();
    assert_eq!(pool.stats().ready, 3);
    for left in [2, 1, 1] {
        pool.remove_worker().await;
        assert_eq!(pool.workers().len(), left);
    }
    stop(&pool).await;
}

/// POOL-12
#[tokio::test]
async fn waiting_requests_bring_more_workers() {
    let pool = pool(1, |options| {
        options.pool.dynamic_allocator = Some(section::DynamicAllocator {
            max_workers: 2,
            spawn_rate: 5,
            idle_timeout: Dur::secs(1),
        });
    })
    .await;
    let load: Vec<_> = (0..9)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { text(&pool, "sleep 150").await })
        })
        .collect();
    let mut seen = BTreeSet::new();
    for task in load {
        seen.insert(task.await.unwrap());
    }
    assert_eq!(seen.len(), 3);
    eventually("the added ones go again", || pool.workers().len() == 1).await;
    stop(&pool).await;
}

/// POOL-11
#[tokio::test]
async fn debug_mode_gives_each_request_a_fresh_worker() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken");
    let pool = pool(2, |options| {
        options.pool.debug = true;
        options
            .env
            .push(("FAIL_WHEN_EXISTS".into(), broken.display().to_string()));
    })
    .await;
    assert!(pool.debug() && pool.workers().is_empty());
    let load: Vec<_> = (0..6)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pid(&pool).await })
        })
        .collect();
    let mut seen = BTreeSet::new();
    for task in load {
        seen.insert(task.await.unwrap());
    }
    assert_eq!(seen.len(), 6);
    fs::write(&broken, "").unwrap();
    let error = exec(&pool, "pid").await.unwrap_err().to_string();
    assert!(error.contains("refusing to boot"), "{error}");
    fs::remove_file(&broken).unwrap();
    assert_eq!(text(&pool, "served").await, "1");
    eventually("no worker stays", || pool.workers().is_empty()).await;
    stop(&pool).await;
}
