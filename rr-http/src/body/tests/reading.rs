//! Bodies as they come: in one piece or many, kept in memory or in a file, too large, broken off.

use super::*;

#[tokio::test]
async fn one_piece_is_moved_not_copied() {
    let dir = TempDir::new().unwrap();
    for exact in [true, false] {
        let piece = Bytes::from(vec![7; 1000]);
        let address = piece.as_ptr();
        let body = Pieces {
            pieces: [piece].into(),
            end: End::Proper,
            exact,
        };
        let collected = run(Method::POST, "", body, &settings(dir.path())).await.unwrap();
        assert!(matches!(collected.body, pool::Body::Bytes(bytes) if bytes.as_ptr() == address));
    }
}

#[tokio::test]
async fn large_bodies_go_to_an_unlinked_file() {
    let dir = TempDir::new().unwrap();
    let sent: Vec<u8> = (0..700_001_u32).map(|at| (at % 251) as u8).collect();
    for (length, on_disk) in [(100_000, false), (100_001, true), (700_001, true)] {
        for declared in [None, Some(length as u64)] {
            let body = pieces(&sent[..length], 9_999);
            let collected = collect(&Method::POST, None, declared, body, &settings(dir.path()))
                .await
                .unwrap();
            assert_eq!(matches!(collected.body, pool::Body::File(..)), on_disk, "{length}");
            assert_eq!(files(&dir), 0);
            assert_eq!(text(collected), sent[..length]);
        }
    }
}

/// HTTP-20.
#[tokio::test]
async fn too_large() {
    let dir = TempDir::new().unwrap();
    let mut settings = settings(dir.path());
    settings.max_request_size = 1000;
    for content_type in ["", FORM, MULTIPART] {
        let post = |declared, size| {
            let content_type = HeaderValue::from_str(content_type).unwrap();
            let body = pieces(&vec![b'\n'; size], 99);
            let settings = &settings;
            async move { collect(&Method::POST, Some(&content_type), declared, body, settings).await }
        };
        for error in [post(None, 1001).await, post(Some(1001), 0).await] {
            let error = error.unwrap_err();
            assert!(matches!(error, BodyError::TooLarge));
            assert_eq!(error.status(), 413);
            assert_eq!(error.answer(), "serve_http: http: request body too large\n");
        }
        assert!(!matches!(post(None, 1000).await, Err(BodyError::TooLarge)));
    }
}

#[tokio::test]
async fn broken_and_silent_clients() {
    let dir = TempDir::new().unwrap();
    let settings = settings(dir.path());
    for (content_type, sent) in [("", "abc"), (FORM, "a=1"), (MULTIPART, "--XX\r\n")] {
        for (end, gone) in [(End::Broken, true), (End::Never, false)] {
            let mut body = pieces(sent.as_bytes(), 1);
            body.end = end;
            let error = run(Method::POST, content_type, body, &settings).await.unwrap_err();
            assert_eq!(matches!(error, BodyError::ClientGone), gone);
            assert_eq!(matches!(error, BodyError::Timeout), !gone);
        }
    }
}

#[tokio::test]
async fn large_forms_are_the_same_on_disk() {
    let dir = TempDir::new().unwrap();
    let value = "v".repeat(150_000);
    let expected = format!(r#"{{"a":"{value}","b":"{value}"}}"#);
    let body = format!("b={value}&a={value}");
    let collected = run(Method::POST, FORM, pieces(body.as_bytes(), 1000), &settings(dir.path()))
        .await
        .unwrap();
    assert!(matches!(collected.body, pool::Body::File(..)));
    assert_eq!(text(collected), expected.as_bytes());
    let body = multipart(&[("b", "", "", value.as_bytes()), ("a", "", "", value.as_bytes())]);
    let collected = run(Method::POST, MULTIPART, pieces(&body, 1000), &settings(dir.path()))
        .await
        .unwrap();
    assert!(matches!(collected.body, pool::Body::File(..)));
    assert_eq!(text(collected), expected.as_bytes());
    assert_eq!(files(&dir), 0);
}
