#![allow(clippy::unwrap_used)]

use super::*;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What a decoder sees, written independently of the encoder.
#[derive(Debug, Default, PartialEq)]
struct Decoded {
    texts: BTreeMap<u64, Vec<u8>>,
    parsed: bool,
    headers: BTreeMap<String, Vec<String>>,
    cookies: BTreeMap<String, Vec<String>>,
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let tag = number(&mut bytes);
        let value = number(&mut bytes);
        match tag & 7 {
            0 => all.push((tag >> 3, vec![value as u8])),
            2 => {
                let (field, rest) = bytes.split_at(value as usize);
                all.push((tag >> 3, field.to_vec()));
                bytes = rest;
            }
            kind => panic!("wire type {kind}"),
        }
    }
    all
}

fn number(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (&byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 127) << shift;
        shift += 7;
        if byte < 128 {
            return value;
        }
    }
}

fn decoded(bytes: &[u8]) -> Decoded {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut out = Decoded::default();
    for (field, value) in fields(bytes) {
        match field {
            5 | 6 => {
                let entry: BTreeMap<_, _> = fields(&value).into_iter().collect();
                let list = fields(&entry[&2]).into_iter().map(|(_, item)| text(&item)).collect();
                let map = if field == 5 { &mut out.headers } else { &mut out.cookies };
                assert!(
                    map.insert(text(&entry[&1]), list).is_none(),
                    "twice: {}",
                    text(&entry[&1])
                );
            }
            8 => out.parsed = value == [1],
            field => assert!(out.texts.insert(field, value).is_none()),
        }
    }
    out
}

fn encoded(request: http::request::Builder, around: &Surroundings<'_>) -> Decoded {
    let head = request.body(()).unwrap().into_parts().0;
    let mut out = BytesMut::new();
    encode(&head, around, &mut out);
    decoded(&out)
}

const PLAIN: Surroundings<'_> = Surroundings {
    remote: "127.0.0.1",
    secure: false,
    parsed: false,
    uploads: None,
};

fn text(decoded: &Decoded, field: u64) -> &str {
    std::str::from_utf8(&decoded.texts[&field]).unwrap()
}

// HTTP-11: the verified example of facts/http.md
#[test]
fn the_verified_example() {
    let request = Request::get("/ok?a=1&b%5B%5D=2")
        .header("host", "127.0.0.1:17080")
        .header("x-a", "1")
        .header("x-a", "2")
        .header("cookie", "c1=v%201; c2=a+b; c1=dup");
    let got = encoded(request, &PLAIN);
    assert_eq!(text(&got, 1), "127.0.0.1");
    assert_eq!(text(&got, 2), "HTTP/1.1");
    assert_eq!(text(&got, 3), "GET");
    assert_eq!(text(&got, 4), "http://127.0.0.1:17080/ok?a=1&b%5B%5D=2");
    assert_eq!(text(&got, 7), "a=1&b%5B%5D=2");
    let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    assert_eq!(got.headers["X-A"], list(&["1", "2"]));
    assert_eq!(got.headers["Cookie"], list(&["c1=v%201; c2=a+b; c1=dup"]));
    assert_eq!(got.headers.len(), 2);
    assert_eq!(got.cookies["c1"], list(&["dup"]));
    assert_eq!(got.cookies["c2"], list(&["a b"]));
    // Empty fields are absent.
    assert_eq!(got.texts.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4, 7]);
    assert!(!got.parsed);
}

// HTTP-11
#[test]
fn forms_of_the_uri() {
    let uri = |request: http::request::Builder, secure| {
        let got = encoded(request, &Surroundings { secure, ..PLAIN });
        text(&got, 4).to_owned()
    };
    let get = |target: &str| Request::get(target).header("host", "h:1");
    assert_eq!(uri(get("/a?"), true), "https://h:1/a?");
    assert_eq!(uri(get("//double"), false), "http://h:1//double");
    assert_eq!(uri(get("http://Other.Host/abs?z=1"), true), "http://Other.Host/abs?z=1");
    assert_eq!(
        uri(get("/a|b\"c{d}ü?q={|ü"), false),
        "http://h:1/a%7Cb%22c%7Bd%7D%C3%BC?q={|%C3%BC"
    );
    assert_eq!(
        uri(Request::get("/ten").version(Version::HTTP_10), false),
        "http:///ten"
    );
    let two = Request::get("https://two.test/x?y").version(Version::HTTP_2);
    assert_eq!(uri(two, false), "http://two.test/x?y");
}

// HTTP-11: HTTP/2
#[test]
fn http2_cookies_are_joined() {
    let request = Request::get("https://a/")
        .version(Version::HTTP_2)
        .header("cookie", "a=1")
        .header("cookie", "b=2");
    let got = encoded(request, &PLAIN);
    assert_eq!(text(&got, 2), "HTTP/2.0");
    assert_eq!(got.headers["Cookie"], ["a=1; b=2"]);
    assert_eq!(got.cookies.len(), 2);
}

// HTTP-11
#[test]
fn headers_of_the_transfer_stay_here() {
    let request = Request::post("/")
        .header("host", "h")
        .header("transfer-encoding", "chunked")
        .header("trailer", "x")
        .header("content-length", "3")
        .header("x-my_header", "1")
        .header("sec-ch-ua", "2");
    let got = encoded(
        request,
        &Surroundings {
            parsed: true,
            uploads: Some(b"{}"),
            ..PLAIN
        },
    );
    let names: Vec<_> = got.headers.keys().map(String::as_str).collect();
    assert_eq!(names, ["Content-Length", "Sec-Ch-Ua", "X-My_header"]);
    assert!(got.parsed);
    assert_eq!(got.texts[&9], b"{}");
}

#[test]
fn heads_that_are_refused() {
    let checked = |request: http::request::Builder| check(&request.body(()).unwrap().into_parts().0);
    assert!(checked(Request::get("/")).is_err());
    assert!(checked(Request::get("/").header("host", "a").header("host", "b")).is_err());
    assert!(checked(Request::get("/").header("host", "a b")).is_err());
    assert!(checked(Request::get("/%zz").header("host", "a")).is_err());
    assert!(checked(Request::get("/%4").header("host", "a")).is_err());
    assert!(checked(Request::get("/%41?%zz").header("host", "a")).is_ok());
    assert!(checked(Request::get("/").header("host", "")).is_ok());
    assert!(checked(Request::get("/").version(Version::HTTP_10)).is_ok());
    assert!(checked(Request::get("https://a/").version(Version::HTTP_2)).is_ok());
}

proptest! {
    // HTTP-11: whatever the headers are, every length is right, and every value arrives.
    #[test]
    fn lengths_are_right(
        headers in proptest::collection::vec(("[a-z][a-z0-9_-]{0,40}", proptest::collection::vec(0x20u8..0x7f, 0..300)), 0..40),
        path in "/[ -~]{0,200}",
        parsed: bool,
        uploads in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40_000)),
    ) {
        let Ok(uri) = path.parse::<http::Uri>() else { return Ok(()) };
        let mut map = HeaderMap::new();
        for (name, value) in &headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        let mut request = Request::get(uri);
        *request.headers_mut().unwrap() = map.clone();
        let got = encoded(request, &Surroundings { parsed, uploads: uploads.as_deref(), ..PLAIN });
        prop_assert_eq!(got.parsed, parsed);
        prop_assert_eq!(got.texts.get(&9).cloned(), uploads);
        let expected = map.iter().filter(|(name, _)| !NOT_PASSED.contains(name)).count();
        let arrived: usize = got.headers.iter().map(|(name, values)| if name == "Cookie" { map.get_all("cookie").iter().count() } else { values.len() }).sum();
        prop_assert_eq!(arrived, expected);
    }
}
