//! A request as PHP gets it: the protobuf message `http.v1.Request`, written by hand straight into the frame.
//!
//! Every length is known before its field is written, so nothing is built twice and nothing is allocated.

use crate::cookies;
use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, Version, header, request::Parts, uri::PathAndQuery};
use smallvec::SmallVec;

/// Tags of the fields: number and wire type.
mod tag {
    pub(super) const REMOTE_ADDR: u8 = 0x0a;
    pub(super) const PROTOCOL: u8 = 0x12;
    pub(super) const METHOD: u8 = 0x1a;
    pub(super) const URI: u8 = 0x22;
    pub(super) const HEADER: u8 = 0x2a;
    pub(super) const COOKIE: u8 = 0x32;
    pub(super) const RAW_QUERY: u8 = 0x3a;
    pub(super) const PARSED: u8 = 0x40;
    pub(super) const UPLOADS: u8 = 0x4a;
    /// In an entry of a map.
    pub(super) const KEY: u8 = 0x0a;
    pub(super) const VALUE: u8 = 0x12;
    /// In a `HeaderValue`.
    pub(super) const ITEM: u8 = 0x0a;
}

/// Headers that describe the transfer to us, not the request. `Host` is in the uri.
const NOT_PASSED: [HeaderName; 3] = [header::HOST, header::TRANSFER_ENCODING, header::TRAILER];

/// What goes into the message beside the request's head.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The client's address without port.
    pub remote: &'a str,
    /// The connection is TLS.
    pub secure: bool,
    /// The body is a form's JSON tree.
    pub parsed: bool,
    /// The JSON tree of the uploaded files.
    pub uploads: Option<&'a [u8]>,
}

/// The text of a 400 answer if the head is one that the reference refuses too: without a valid `Host`, or with a broken
/// percent escape in the path.
pub fn check(head: &Parts) -> Result<(), &'static str> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if head.version == Version::HTTP_11 => return Err("400 Bad Request: missing required Host header"),
        (Some(_), Some(_)) => return Err("400 Bad Request: too many Host headers"),
        (Some(host), None) if !host.as_bytes().iter().all(|byte| byte.is_ascii_graphic()) => {
            return Err("400 Bad Request: malformed Host header");
        }
        _ => {}
    }
    let path = head.uri.path().as_bytes();
    let broken = memchr::memchr_iter(b'%', path).any(|at| {
        !path
            .get(at + 1..at + 3)
            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    });
    if broken { Err("400 Bad Request") } else { Ok(()) }
}

/// About how many bytes the message will have.
pub fn size_hint(head: &Parts) -> usize {
    let headers: usize = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 10)
        .sum();
    let path = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
    // The cookies come twice, the query as well.
    160 + 2 * path + headers + head.headers.get(header::COOKIE).map_or(0, |cookie| cookie.len() * 2)
}

/// Appends the message.
pub fn encode(head: &Parts, around: &Surroundings<'_>, out: &mut BytesMut) {
    string(tag::REMOTE_ADDR, around.remote.as_bytes(), out);
    string(tag::PROTOCOL, protocol(head.version).as_bytes(), out);
    string(tag::METHOD, head.method.as_str().as_bytes(), out);
    uri(head, around.secure, out);
    headers(&head.headers, out);
    if head.headers.contains_key(header::COOKIE) {
        cookies::decode(&head.headers, |name, value| {
            entry(tag::COOKIE, name, str_into, &[value], out)
        });
    }
    if let Some(query) = head.uri.query().filter(|query| !query.is_empty()) {
        out.put_u8(tag::RAW_QUERY);
        varint(escaped_len(query, is_text), out);
        escape(query, is_text, out);
    }
    if around.parsed {
        out.put_slice(&[tag::PARSED, 1]);
    }
    if let Some(uploads) = around.uploads {
        string(tag::UPLOADS, uploads, out);
    }
}

/// The protocol's name as the reference writes it.
pub fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// The name of a header with a capital after each hyphen.
pub(crate) fn canonical(name: &str, out: &mut BytesMut) {
    let start = out.len();
    out.put_slice(name.as_bytes());
    let mut capital = true;
    for byte in &mut out[start..] {
        if capital {
            byte.make_ascii_uppercase();
        }
        capital = *byte == b'-';
    }
}

/// The host that a request names, empty if it names none.
pub(crate) fn host(head: &Parts) -> &str {
    match head.uri.authority() {
        Some(authority) => authority.as_str(),
        None => head
            .headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default(),
    }
}

/// The absolute uri. Its scheme is the connection's, unless a request for a proxy names one.
fn uri(head: &Parts, secure: bool, out: &mut BytesMut) {
    let scheme = match head.uri.scheme_str() {
        Some(scheme) if head.version != Version::HTTP_2 => scheme,
        _ if secure => "https",
        _ => "http",
    };
    let host = host(head);
    let (path, query) = split(head.uri.path_and_query());
    let query_len = query.map_or(0, |query| 1 + escaped_len(query, is_text));
    out.put_u8(tag::URI);
    varint(
        scheme.len() + 3 + host.len() + escaped_len(path, is_path) + query_len,
        out,
    );
    out.put_slice(scheme.as_bytes());
    out.put_slice(b"://");
    out.put_slice(host.as_bytes());
    escape(path, is_path, out);
    if let Some(query) = query {
        out.put_u8(b'?');
        escape(query, is_text, out);
    }
}

fn split(path: Option<&PathAndQuery>) -> (&str, Option<&str>) {
    path.map_or(("", None), |path| (path.path(), path.query()))
}

/// All headers, each name once with its values in order. The cookies of HTTP/2, which may come one by one, are joined.
fn headers(headers: &HeaderMap, out: &mut BytesMut) {
    let mut values: SmallVec<[&[u8]; 4]> = SmallVec::new();
    let mut all = headers.iter().peekable();
    while let Some((name, value)) = all.next() {
        values.push(value.as_bytes());
        // Values of one name follow each other.
        if all.peek().is_some_and(|(next, _)| *next == name) {
            continue;
        }
        if *name == header::COOKIE && values.len() > 1 {
            entry(tag::HEADER, name.as_str(), canonical, &[&values.join(&b"; "[..])], out);
        } else if !NOT_PASSED.contains(name) {
            entry(tag::HEADER, name.as_str(), canonical, &values, out);
        }
        values.clear();
    }
}

/// One entry of a `map<string, HeaderValue>`.
fn entry(tag: u8, key: &str, write_key: fn(&str, &mut BytesMut), values: &[&[u8]], out: &mut BytesMut) {
    let list: usize = values.iter().map(|value| field_len(value.len())).sum();
    out.put_u8(tag);
    varint(field_len(key.len()) + field_len(list), out);
    out.put_u8(tag::KEY);
    varint(key.len(), out);
    write_key(key, out);
    out.put_u8(tag::VALUE);
    varint(list, out);
    for value in values {
        string(tag::ITEM, value, out);
    }
}

fn str_into(text: &str, out: &mut BytesMut) {
    out.put_slice(text.as_bytes());
}

fn string(tag: u8, value: &[u8], out: &mut BytesMut) {
    out.put_u8(tag);
    varint(value.len(), out);
    out.put_slice(value);
}

/// Length of a field with a one-byte tag and this much in it.
fn field_len(len: usize) -> usize {
    let bits = usize::BITS - (len | 1).leading_zeros();
    1 + bits.div_ceil(7) as usize + len
}

fn varint(mut value: usize, out: &mut BytesMut) {
    while value > 0x7f {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// What may stand in a path as it is; the reference escapes the rest.
fn is_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@[]/%".contains(&byte)
}

/// What may stand in a query: protobuf strings are UTF-8, and ASCII is.
fn is_text(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

fn escaped_len(text: &str, keep: fn(u8) -> bool) -> usize {
    text.len() + 2 * text.bytes().filter(|byte| !keep(*byte)).count()
}

fn escape(text: &str, keep: fn(u8) -> bool, out: &mut BytesMut) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if text.bytes().all(keep) {
        return out.put_slice(text.as_bytes());
    }
    for byte in text.bytes() {
        match keep(byte) {
            true => out.put_u8(byte),
            false => out.put_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
