//! What becomes of which kind of body, and of those that are wrong.

use super::*;
use proptest::prelude::*;

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
