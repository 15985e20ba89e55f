//! Whole bodies through [`collect`], in any chunking.

#![allow(clippy::unwrap_used)]

use super::*;
use http_body::Frame;
use proptest::prelude::*;
use std::{
    collections::VecDeque,
    fs, io,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A body that comes in given pieces, and then ends, breaks or hangs.
struct Pieces {
    pieces: VecDeque<Bytes>,
    end: End,
    exact: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Proper,
    Broken,
    Never,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match (self.pieces.pop_front(), self.end) {
            (Some(piece), _) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            (None, End::Proper) => Poll::Ready(None),
            (None, End::Broken) => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            (None, End::Never) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.exact && self.end == End::Proper && self.pieces.is_empty()
    }
}

fn pieces(text: &[u8], size: usize) -> Pieces {
    Pieces {
        pieces: text.chunks(size).map(Bytes::copy_from_slice).collect(),
        end: End::Proper,
        exact: size.is_multiple_of(2),
    }
}

fn settings(dir: &Path) -> Settings {
    Settings {
        max_request_size: 10 << 20,
        spill_above: 100_000,
        raw_body: false,
        uploads_dir: dir.to_path_buf(),
        forbid: vec![".php".into()],
        allow: Vec::new(),
        owner: None,
        idle_timeout: Duration::from_millis(200),
    }
}

async fn run(method: Method, content_type: &str, body: Pieces, settings: &Settings) -> Result<Collected, BodyError> {
    let content_type = (!content_type.is_empty()).then(|| HeaderValue::from_str(content_type).unwrap());
    collect(&method, content_type.as_ref(), None, body, settings).await
}

const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=XX";

fn text(collected: Collected) -> Vec<u8> {
    spool::load(collected.body).unwrap().to_vec()
}

fn files(dir: &TempDir) -> usize {
    fs::read_dir(dir.path()).unwrap().count()
}

async fn wait_until_empty(dir: &TempDir) {
    let until = Instant::now() + Duration::from_secs(5);
    while files(dir) > 0 {
        assert!(Instant::now() < until, "temporary files remain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// HTTP-12, HTTP-13, HTTP-15: the table of body rules, in its order.
#[tokio::test]
async fn rules() {
    let dir = TempDir::new().unwrap();
    let mut settings = settings(dir.path());
    let part = "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--XX--\r\n";
    for (method, content_type, sent, raw, parsed, expected) in [
        ("HEAD", FORM, "a=1", false, false, ""),
        ("OPTIONS", MULTIPART, part, false, false, ""),
        ("POST", FORM, "a=1", false, true, r#"{"a":"1"}"#),
        ("PUT", FORM, "a=1", false, true, r#"{"a":"1"}"#),
        (
            "PATCH",
            "application/x-www-form-urlencoded; charset=UTF-8",
            "a=1",
            false,
            true,
            r#"{"a":"1"}"#,
        ),
        ("POST", FORM, "", false, true, ""),
        ("POST", FORM, "&&", false, true, ""),
        ("DELETE", FORM, "a=1", false, true, ""),
        ("GET", FORM, "a=1", false, true, ""),
        ("POST", FORM, "a=1", true, false, "a=1"),
        (
            "POST",
            "x/y; z=\"application/x-www-form-urlencoded\"",
            "a=1",
            false,
            true,
            "",
        ),
        ("POST", "Application/X-WWW-Form-Urlencoded", "a=1", false, false, "a=1"),
        ("DELETE", MULTIPART, part, false, true, r#"{"a":"1"}"#),
        ("POST", MULTIPART, part, true, false, part),
        ("POST", "application/json", "{}", false, false, "{}"),
        ("POST", "", "raw", false, false, "raw"),
        ("GET", "", "", false, false, ""),
        ("DELETE", "", "x", false, false, "x"),
    ] {
        settings.raw_body = raw;
        let body = pieces(sent.as_bytes(), 7);
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let collected = run(method.clone(), content_type, body, &settings).await.unwrap();
        assert_eq!(collected.parsed, parsed, "{method} {content_type}");
        let multipart = content_type == MULTIPART && !raw && method == Method::DELETE;
        assert_eq!(collected.uploads.as_deref(), multipart.then_some(&b"{}"[..]));
        assert_eq!(text(collected), expected.as_bytes(), "{method} {content_type}");
    }
}

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
async fn form_errors() {
    let dir = TempDir::new().unwrap();
    let many = "a&".repeat(10_000);
    for (content_type, sent, expected) in [
        (FORM, "a=%zz", r#"invalid URL escape "%zz""#),
        (FORM, "a=1;b=2", "invalid semicolon separator in query"),
        (FORM, "a=1&a[b]=2", "invalid multiple values to key 'a' in tree"),
        (FORM, &many, "number of URL query parameters exceeded limit"),
        (
            "application/x-www-form-urlencoded; a=1; a=2",
            "a=1",
            "mime: duplicate parameter name",
        ),
        (
            "text/plain; application/x-www-form-urlencoded",
            "a=1",
            "mime: invalid media parameter",
        ),
        (
            "multipart/form-data",
            "x",
            "no multipart boundary param in Content-Type",
        ),
        (
            "multipart/form-data; boundary=",
            "x",
            "request Content-Type isn't multipart/form-data",
        ),
        (
            "multipart/form-data; boundary=\"\"",
            "x",
            "multipart: boundary is empty",
        ),
        (
            "text/plain; a=\"multipart/form-data\"; boundary=x",
            "x",
            "request Content-Type isn't multipart/form-data",
        ),
        (MULTIPART, "", "multipart: NextPart: EOF"),
        (MULTIPART, "nothing", "multipart: NextPart: EOF"),
    ] {
        let body = pieces(sent.as_bytes(), 100);
        let error = run(Method::POST, content_type, body, &settings(dir.path()))
            .await
            .unwrap_err();
        assert_eq!(error.status(), 500);
        assert_eq!(
            error.answer(),
            format!("serve_http: {expected}\n"),
            "{content_type} {sent:.40}"
        );
    }
}

/// A multipart body of (name, file name, type, content); an empty file name makes a field.
fn multipart(parts: &[(&str, &str, &str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, filename, mime, content) in parts {
        body.extend_from_slice(format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"").as_bytes());
        if !filename.is_empty() {
            body.extend_from_slice(format!("; filename=\"{filename}\"\r\nContent-Type: {mime}").as_bytes());
        }
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XX--\r\n");
    body
}

fn uploads(collected: &Collected) -> serde_json::Value {
    serde_json::from_slice(collected.uploads.as_ref().unwrap()).unwrap()
}

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The same bytes in any chunking give the same result, of whatever kind they are.
    #[test]
    fn chunking_does_not_matter(
        parts in proptest::collection::vec(("[a\\[\\] ]{0,5}", "[a./]{0,3}", "[-XY\r\n]{0,12}"), 0..6),
        cut in 0..200_usize,
        size in 1..40_usize,
    ) {
        let parts: Vec<_> = parts.iter().map(|(name, file, data)| (name.as_str(), file.as_str(), "t/x", data.as_bytes())).collect();
        let mut body = multipart(&parts);
        body.truncate(body.len().saturating_sub(cut));
        let dir = TempDir::new().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = |size| runtime.block_on(async {
            let collected = run(Method::POST, MULTIPART, pieces(&body, size), &settings(dir.path())).await;
            collected.map_err(|error| error.to_string()).map(|collected| {
                let uploads = String::from_utf8(collected.uploads.clone().unwrap().to_vec()).unwrap();
                let contents: Vec<_> = uploads.split('"')
                    .filter(|path| path.contains("/upload"))
                    .map(|path| fs::read(path).unwrap())
                    .collect();
                (text(collected), uploads.replace(|char: char| char.is_ascii_alphanumeric(), ""), contents)
            })
        });
        prop_assert_eq!(outcome(size), outcome(100_000));
    }
}
