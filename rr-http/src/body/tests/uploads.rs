//! Files in forms: what PHP is told of them, which are refused, and that none stays.

use super::*;

/// HTTP-13, HTTP-14: the verified example of the facts, files on disk, and their removal.
#[tokio::test]
async fn uploads_tree() {
    let dir = TempDir::new().unwrap();
    let large = vec![b'x'; 900_000];
    let body = multipart(&[
        ("name", "", "", b"val"),
        ("arr[]", "", "", b"1"),
        ("up1", "dir/f1.txt", "text/x", b"content1\n"),
        ("up1", "again.txt", "text/x", b"dropped"),
        ("arr[]", "", "", b"2"),
        ("ups[]", "a.bin", "application/octet-stream", &large),
        ("ups[]", "bad.PhP", "application/octet-stream", b"<?php"),
        ("deep[a][b]", "c", "", b""),
    ]);
    for size in [1000, 100_000, body.len()] {
        let collected = run(Method::POST, MULTIPART, pieces(&body, size), &settings(dir.path()))
            .await
            .unwrap();
        let tree = uploads(&collected);
        let leaf = &tree["up1"];
        let path = leaf["tmpName"].as_str().unwrap();
        assert!(path.starts_with(&format!("{}/upload", dir.path().display())));
        assert_eq!(fs::read(path).unwrap(), b"content1\n");
        assert_eq!(
            serde_json::to_string(&tree["ups"][1]).unwrap().len(),
            r#"{"name":"bad.PhP","mime":"application/octet-stream","size":0,"error":8,"tmpName":""}"#.len()
        );
        let json = String::from_utf8(collected.uploads.clone().unwrap().to_vec()).unwrap();
        assert!(json.contains(&format!(
            r#""up1":{{"name":"f1.txt","mime":"text/x","size":9,"error":0,"tmpName":"{path}"}}"#
        )));
        assert!(
            json.contains(r#"{"name":"bad.PhP","mime":"application/octet-stream","size":0,"error":8,"tmpName":""}]"#)
        );
        assert_eq!(fs::read(tree["ups"][0]["tmpName"].as_str().unwrap()).unwrap(), large);
        let empty = &tree["deep"]["a"]["b"];
        assert_eq!((empty["size"].as_u64(), empty["error"].as_u64()), (Some(0), Some(0)));
        assert_eq!(fs::read(empty["tmpName"].as_str().unwrap()).unwrap(), b"");
        assert_eq!(files(&dir), 3);
        assert_eq!(collected.guard.len(), 3);

        // PHP has moved one of them away.
        fs::remove_file(path).unwrap();
        let Collected { body, guard, .. } = collected;
        assert_eq!(spool::load(body).unwrap(), r#"{"arr":["1","2"],"name":"val"}"#);
        drop(guard);
        wait_until_empty(&dir).await;
    }
}

#[tokio::test]
async fn allowed_extensions() {
    let dir = TempDir::new().unwrap();
    let mut settings = settings(dir.path());
    settings.allow = vec![".png".into(), ".php".into()];
    let body = multipart(&[
        ("f[]", "a.PNG", "", b"1"),
        ("f[]", "a.php", "", b"2"),
        ("f[]", "none", "", b"3"),
    ]);
    let collected = run(Method::POST, MULTIPART, pieces(&body, 10), &settings)
        .await
        .unwrap();
    let errors: Vec<_> = (0..3)
        .map(|at| uploads(&collected)["f"][at]["error"].as_u64())
        .collect();
    assert_eq!(errors, [Some(0), Some(8), Some(8)]);
}

#[tokio::test]
async fn missing_and_full_directories() {
    let dir = TempDir::new().unwrap();
    let body = multipart(&[("f", "a", "", b"1"), ("x", "", "", b"2")]);
    let gone = settings(&dir.path().join("absent"));
    let collected = run(Method::POST, MULTIPART, pieces(&body, 10), &gone).await.unwrap();
    assert_eq!(uploads(&collected)["f"]["error"], 6);
    assert_eq!(uploads(&collected)["f"]["tmpName"], "");
    assert_eq!(text(collected), br#"{"x":"2"}"#);
    let error = run(Method::POST, "", pieces(&[0; 300_000], 1000), &gone)
        .await
        .unwrap_err();
    assert!(matches!(error, BodyError::Io(_)));
}

/// Whatever ends a request early, no file stays.
#[tokio::test]
async fn aborted_uploads_leave_nothing() {
    let dir = TempDir::new().unwrap();
    let settings = settings(dir.path());
    let whole = multipart(&[
        ("f", "a", "", b"1"),
        ("g", "b", "", &vec![0; 900_000]),
        ("h", "", "", b""),
    ]);
    for cut in [whole.len() - 200, whole.len() - 10, 600_000] {
        for end in [End::Proper, End::Broken, End::Never] {
            let mut body = pieces(&whole[..cut], 5000);
            body.end = end;
            assert!(run(Method::POST, MULTIPART, body, &settings).await.is_err());
            wait_until_empty(&dir).await;
        }
    }
    // The future is dropped while a file is being written.
    let mut body = pieces(&whole[..600_000], 5000);
    body.end = End::Never;
    let reading = run(Method::POST, MULTIPART, body, &settings);
    assert!(tokio::time::timeout(Duration::from_millis(50), reading).await.is_err());
    wait_until_empty(&dir).await;
}

/// A conflict is found after the files have been written.
#[tokio::test]
async fn conflicting_files() {
    let dir = TempDir::new().unwrap();
    let body = multipart(&[("f", "a", "", b"1"), ("f[x]", "b", "", b"2")]);
    let error = run(Method::POST, MULTIPART, pieces(&body, 10), &settings(dir.path()))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "invalid multiple values to key 'f' in tree");
    wait_until_empty(&dir).await;
}
