//! The parser, and through it the heads: tables first, then any bytes in any pieces.

#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

/// Events of a body in pieces of a size: `name/filename/mime=data` for each part, and the error if there is one.
fn events(body: &[u8], size: usize) -> (Vec<String>, Option<MultipartError>) {
    let mut parser = Parser::new(b"XX").unwrap();
    let mut pieces = body.chunks(size);
    let mut parts: Vec<String> = Vec::new();
    loop {
        match parser.event() {
            Ok(Event::More) => match pieces.next() {
                Some(piece) => parser.push(piece),
                None => parser.end(),
            },
            Ok(Event::Part(head)) => {
                let [name, filename, mime] =
                    [&head.name, &head.filename, &head.mime].map(|text| String::from_utf8_lossy(text));
                parts.push(format!("{name}/{filename}/{mime}="));
            }
            Ok(Event::Data(data)) => {
                assert!(!data.is_empty());
                *parts.last_mut().unwrap() += &String::from_utf8_lossy(data);
            }
            Ok(Event::PartEnd) => *parts.last_mut().unwrap() += ".",
            Ok(Event::End) => return (parts, None),
            Err(error) => return (parts, Some(error)),
        }
        assert!(parser.buffer.len() <= MAX_HEADS + size);
    }
}

fn ok(body: &str, expected: &[&str]) {
    for size in [1, 3, 1000] {
        let (parts, error) = events(body.as_bytes(), size);
        assert_eq!(error, None, "{body:?}");
        assert_eq!(parts, expected, "{body:?}");
    }
}

fn fails(body: &str, expected: &str) {
    for size in [1, 3, 5000] {
        let (_, error) = events(body.as_bytes(), size);
        assert_eq!(error.unwrap().to_string(), expected, "{body:?}");
    }
}

const A: &str = "Content-Disposition: form-data; name=a";

#[test]
fn bodies() {
    ok("--XX--", &[]);
    ok("preamble\r\n--XX \t\r\n\r\n\r\n--XX--\r\nepilogue", &["//=."]);
    ok(&format!("--XX\r\n{A}\r\n\r\n1\r\n--XX--\r\n"), &["a//=1."]);
    ok(
        &format!("--XX\r\n{A}\r\n\r\n\r\n--XX\r\n{A}\r\n\r\n--XX--"),
        &["a//=.", "a//=."],
    );
    ok(&format!("--XX\n{A}\n\n1\r\n\n--XX--\n"), &["a//=1\r\n."]);
    ok(
        &format!("--XX\r\n{A}\n\n1\n--XX\r\n-\r\n--XXX\r\n--XX-\r\n--XX--"),
        &["a//=1\n--XX\r\n-\r\n--XXX\r\n--XX-."],
    );
    ok(&format!("--XX\r\n{A}\r\n\r\n--XXY\r\n--XX--"), &["a//=--XXY."]);
    // As in the reference, a body that ends in a part's head is complete.
    ok(&format!("--XX\r\n{A}\r\n\r\n1\r\n--XX\r\n{A}\r\n"), &["a//=1."]);
}

#[test]
fn heads() {
    let head = |head: &str, expected: &str| ok(&format!("--XX\r\n{head}\r\n\r\n--XX--"), &[expected]);
    head(
        "Content-Disposition: form-data; name=\"a b\"; filename=\"x/y.txt\"\r\nContent-Type: t/x; y=z",
        "a b/y.txt/t/x; y=z=.",
    );
    head("content-DISPOSITION:Form-Data;\r\n\tname=a;\r\n filename=b", "a/b/=.");
    head("Content-Disposition: form-data; name=a; filename=\"\"", "a//=.");
    head("Content-Disposition: form-data; name=a; filename=\"///\"", "a///=.");
    head(
        "Content-Disposition: form-data; name=a; filename*=utf-8''%e2%82%ac.txt; filename=x",
        "a/€.txt/=.",
    );
    head("Content-Disposition: attachment; name=a; filename=b", "//=.");
    head("Content-Disposition: form-data; name=a; name=b", "//=.");
    head(
        "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b",
        "a//=.",
    );
    head("Content-Disposition : form-data; name=a\r\nX: y", "//=.");
}

#[test]
fn errors() {
    fails("", "multipart: NextPart: EOF");
    fails("--XX", "multipart: NextPart: EOF");
    fails(&"x".repeat(5000), "multipart: NextPart: bufio: buffer full");
    fails("--XX\r\n\r\nabc", "multipart: NextPart: EOF");
    fails(&format!("--XX\r\n{A}\r\n\r\nabc"), "unexpected EOF");
    fails("--XX\r\nab", "malformed MIME header: missing colon: \"ab\"");
    fails("--XX\r\n\r\nabc\r\n--XX", "multipart: NextPart: EOF");
    fails("--XX\r\n\r\nabc\r\n--XX \r", "multipart: NextPart: EOF");
    fails(
        "--XX\r\n\r\nabc\r\n--XX y\r\n",
        "multipart: expecting a new Part; got line \"--XX y\\r\\n\"",
    );
    fails(
        "--XX\r\n\r\n--XX y\r\n",
        "multipart: unexpected line in Next(): \"--XX y\\r\\n\"",
    );
    fails("--XX\r\n a: b\r\n\r\n", "malformed MIME header initial line: \" a: b\"");
    fails("--XX\r\nab\r\n\r\n", "malformed MIME header: missing colon: \"ab\"");
    fails("--XX\r\na(b: c \r\n\r\n", "malformed MIME header line: \"a(b: c\"");
    fails("--XX\r\na: \x01\r\n\r\n", "malformed MIME header line: \"a: \\x01\"");
    let many = "--XX\r\n\r\n\r\n".repeat(1001);
    fails(&many, "multipart: message too large");
    let long = format!("--XX\r\na: {}", "x".repeat(MAX_HEADS));
    let (_, error) = events(long.as_bytes(), 5000);
    assert_eq!(error, Some(MultipartError::TooLarge));
    assert_eq!(Parser::new(b"").unwrap_err(), MultipartError::EmptyBoundary);
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces(body: Vec<u8>, size in 1..9_usize) {
        prop_assert_eq!(events(&body, size), events(&body, 10_000));
    }

    #[test]
    fn any_lines_in_any_pieces(
        lines in proptest::collection::vec("(--XX|--XX--|-|\r|\n|X|a: b| |Content-Disposition: form-data; name=a)?\r?\n?", 0..30),
        size in 1..9_usize,
    ) {
        let body = lines.concat();
        let (whole, pieces) = (events(body.as_bytes(), 10_000), events(body.as_bytes(), size));
        prop_assert_eq!(whole, pieces);
    }

    /// Any content comes out as it went in, as long as it does not contain the boundary.
    #[test]
    fn content_survives(content in "[-X\r\n]{0,40}", size in 1..50_usize) {
        prop_assume!(!format!("\r\n{content}").contains("\r\n--XX"));
        let (parts, error) = events(format!("--XX\r\n{A}\r\n\r\n{content}\r\n--XX--\r\n").as_bytes(), size);
        prop_assert_eq!(error, None);
        prop_assert_eq!(parts, [format!("a//={content}.")]);
    }
}
