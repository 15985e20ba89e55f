#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn read(context: &[u8]) -> (Result<Head, Malformed>, HeaderMap) {
    let mut headers = HeaderMap::new();
    let head = decode(&Bytes::copy_from_slice(context), &mut headers);
    (head, headers)
}

fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let mut len = content.len();
    while len > 127 {
        out.push(len as u8 | 128);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(content);
    out
}

fn header(name: &[u8], values: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = values.iter().flat_map(|value| field(0x0a, value)).collect();
    field(0x12, &[field(0x0a, name), field(0x12, &list)].concat())
}

// HTTP-16: the verified example of facts/http.md
#[test]
fn the_verified_example() {
    let (head, headers) = read(b"\x08\xc8\x01\x12\x08\x0a\x01A\x12\x03\x0a\x01b");
    assert_eq!(
        head,
        Ok(Head {
            status: 200,
            dropped: 0
        })
    );
    assert_eq!(headers.len(), 1);
    assert_eq!(headers["a"], "b");
}

// HTTP-16
#[test]
fn values_stay_in_order() {
    let context = [
        vec![8, 201, 1],
        header(b"Set-Cookie", &[b"a=1", b"b=2"]),
        header(b"X-None", &[]),
    ]
    .concat();
    let (head, headers) = read(&context);
    assert_eq!(head.unwrap().status, 201);
    assert_eq!(headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(headers.len(), 2);
}

// HTTP-16
#[test]
fn statuses_of_all_sizes() {
    assert_eq!(read(b"\x08\xe7\x07").0.unwrap().status, 999);
    assert_eq!(
        read(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").0.unwrap().status,
        -1
    );
    assert_eq!(read(b"").0.unwrap().status, 0);
}

// HTTP-16
#[test]
fn what_http_cannot_carry_is_left_out() {
    let context = [
        header(b"X Space", &[b"v"]),
        header(b"X-Split", &[b"a\r\nInjected: 1", b"good"]),
        header(b"", &[b"v"]),
        header("Ü".as_bytes(), &[b"v"]),
        header(b"X-Bytes", &["ü".as_bytes()]),
    ]
    .concat();
    let (head, headers) = read(&context);
    assert_eq!(head.unwrap().dropped, 4);
    assert_eq!(headers.len(), 2);
    assert_eq!(headers["x-split"], "good");
    assert_eq!(headers["x-bytes"].as_bytes(), "ü".as_bytes());
}

// HTTP-16: more names than a map can hold
#[test]
fn forty_thousand_headers() {
    let context: Vec<u8> = (0..40_000)
        .flat_map(|i| header(format!("x-{i}").as_bytes(), &[b"v"]))
        .collect();
    let (head, headers) = read(&context);
    assert_eq!(headers.len() + head.unwrap().dropped, 40_000);
}

// HTTP-16: protobuf's rules
#[test]
fn unknown_fields_are_skipped_and_broken_ones_refused() {
    let context = [&b"\x18\x05\x21\0\0\0\0\0\0\0\0\x2d\0\0\0\0\x32\x01x\x08\xc8\x01"[..]].concat();
    assert_eq!(
        read(&context).0,
        Ok(Head {
            status: 200,
            dropped: 0
        })
    );
    for broken in [
        &b"\x08"[..],
        b"\x12\x05a",
        b"\x0b",
        b"\x00\x01",
        b"{\"status\":200}",
        b"\x2d\0",
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ] {
        assert_eq!(read(broken).0, Err(Malformed), "{broken:?}");
    }
}

proptest! {
    // HTTP-16: any bytes in, no panic, and never more headers than bytes.
    #[test]
    fn any_bytes(context in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let (head, headers) = read(&context);
        prop_assert!(headers.len() <= context.len());
        if let Ok(head) = head {
            prop_assert!(head.dropped <= context.len());
        }
    }

    // HTTP-16: what is encoded by the rules arrives.
    #[test]
    fn any_headers(
        status in 0u8..128,
        headers in proptest::collection::vec(("[a-zA-Z-]{1,30}", "[ -~]{0,300}"), 0..30),
    ) {
        let mut context = vec![8, status];
        for (name, value) in &headers {
            context.extend(header(name.as_bytes(), &[value.as_bytes()]));
        }
        let (head, got) = read(&context);
        prop_assert_eq!(head, Ok(Head { status: i64::from(status), dropped: 0 }));
        prop_assert_eq!(got.len(), headers.len());
    }
}
