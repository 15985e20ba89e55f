//! KV-10: what `driver: boltdb` promises of its file.

#![allow(clippy::unwrap_used)]

use rr_common::config::section::{BoltdbStorage, Storage as Settings};
use rr_kv::{
    driver::{Driver, Item, Storage},
    expiry::Expiry,
    reply::Reply,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::runtime::Handle;

async fn open(file: &Path) -> Result<impl Driver, String> {
    let settings = Settings::Boltdb(BoltdbStorage {
        file: file.to_str().unwrap().into(),
        permissions: 0o600,
        interval: 1,
    });
    match Storage::open("s", &settings, &Handle::current()).await {
        Ok(Storage::Boltdb(driver)) => Ok(driver),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

fn item(key: &str, expiry: Option<Expiry>) -> Item<'_> {
    Item {
        key,
        value: b"1",
        expiry,
    }
}

async fn has(driver: &impl Driver, key: &str) -> bool {
    let mut found = Reply::default();
    driver.has(&[key], &mut found).await.unwrap();
    !found.finish().unwrap().is_empty()
}

#[tokio::test]
async fn values_and_their_ends_are_there_after_a_restart() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("kv.db");
    let driver = open(&file).await.unwrap();
    let at = Expiry::at(Expiry::now().milliseconds() + 400);
    driver
        .set(&[item("stays", None), item("ends", Some(at))])
        .await
        .unwrap();
    driver.close().await;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let driver = open(&file).await.unwrap();
    let start = Instant::now();
    while has(&driver, "ends").await {
        assert!(start.elapsed() < Duration::from_secs(3));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(at.is_past(Expiry::now()));
    assert!(has(&driver, "stays").await);
    driver.close().await;
}

#[tokio::test]
async fn a_file_of_boltdb_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("rr.db");
    let mut content = vec![0; 16];
    content.extend(0xED0C_DAED_u32.to_le_bytes());
    content.resize(8192, 7);
    fs::write(&file, &content).unwrap();
    let error = open(&file).await.err().unwrap();
    assert!(
        error.contains("is a BoltDB file") && error.contains("config.file"),
        "{error}"
    );
    assert_eq!(fs::read(&file).unwrap(), content);
}

#[tokio::test]
async fn any_other_file_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("letter.txt");
    for content in ["no database".to_owned(), "x".repeat(10_000)] {
        fs::write(&file, &content).unwrap();
        assert!(open(&file).await.is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
    }
}

#[tokio::test]
async fn many_writers_share_commits() {
    let directory = TempDir::new().unwrap();
    let driver = open(&directory.path().join("kv.db")).await.unwrap();
    // The sum is right whatever the order, and every key is there once its writer was answered.
    let keys: Vec<String> = (0..200).map(|number| format!("k{number}")).collect();
    let mut work: Vec<_> = keys
        .iter()
        .map(|key| {
            let driver = &driver;
            Box::pin(async move {
                driver.incr("sum", 1, None).await.unwrap();
                driver.set(&[item(key, None)]).await.unwrap();
                assert!(has(driver, key).await);
            })
        })
        .collect();
    let all = std::future::poll_fn(|context| {
        work.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if work.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    });
    tokio::time::timeout(Duration::from_secs(30), all).await.unwrap();
    drop(work);
    assert_eq!(driver.incr("sum", 0, None).await, Ok(200));
    driver.close().await;
}
