//! The place in a trace on its way over request headers: W3C `traceparent` and `tracestate`, and Jaeger's `uber-trace-id`.
//!
//! As in RoadRunner, Jaeger's header wins where both are there, and both are written for PHP. `tracestate` and `baggage`
//! are the application's and pass as they came; the first is also part of our spans. A header that cannot be understood
//! is none, as the standards ask.

use http::{HeaderMap, HeaderName, HeaderValue};
use rr_common::telemetry::trace::{Place, SpanId, TraceId};

/// The trace is recorded.
pub const SAMPLED: u8 = 1;
/// The trace's id is random; only passed on.
const RANDOM: u8 = 2;
/// Jaeger's wish to keep a trace at all costs; only passed on.
const JAEGER_DEBUG: u64 = 2;
/// A longer `tracestate` is passed on, but not recorded.
const LONGEST_STATE: usize = 512;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const JAEGER: HeaderName = HeaderName::from_static("uber-trace-id");

/// The span of somebody else that a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Where it is.
    pub place: Place,
    /// The trace's flags, of which [`SAMPLED`] says that it is recorded.
    pub flags: u8,
    /// Jaeger's debug flag.
    pub debug: bool,
    /// What vendors add to the trace.
    pub state: String,
}

/// The parent that the headers name.
pub fn extract(headers: &HeaderMap) -> Option<Parent> {
    let first = |name| headers.get(name).map(HeaderValue::as_bytes);
    if let Some(parent) = first(JAEGER).and_then(jaeger) {
        return Some(parent);
    }
    let (place, flags) = traceparent(first(TRACEPARENT)?)?;
    Some(Parent {
        place,
        flags,
        debug: false,
        state: first(TRACESTATE).map(state).unwrap_or_default(),
    })
}

/// Writes a place, with these flags, into the headers, for whoever gets them next.
pub fn inject(place: Place, flags: u8, debug: bool, headers: &mut HeaderMap) {
    let Place { trace, span } = place;
    let w3c = format!("00-{trace}-{span}-{flags:02x}");
    let jaeger = match debug {
        true => u64::from(SAMPLED) | JAEGER_DEBUG,
        false => u64::from(flags & SAMPLED),
    };
    for (name, text) in [(TRACEPARENT, w3c), (JAEGER, format!("{trace}:{span}:0:{jaeger:x}"))] {
        if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)) {
            headers.insert(name, value);
        }
    }
}

/// `version-trace-span-flags`, all hexadecimal in lower case; versions to come may add fields.
fn traceparent(text: &[u8]) -> Option<(Place, u8)> {
    let mut parts = text.splitn(5, |byte| *byte == b'-');
    let mut part = |len: usize| parts.next().filter(|part| part.len() == len);
    let version = byte(part(2)?)?;
    let place = Place {
        trace: TraceId::parse(part(32)?)?,
        span: SpanId::parse(part(16)?)?,
    };
    let flags = byte(part(2)?)?;
    let plain = parts.next().is_none() && flags <= SAMPLED | RANDOM;
    match version {
        0xff => None,
        0 if !plain => None,
        _ => Some((place, flags & (SAMPLED | RANDOM))),
    }
}

/// `trace:span:parent:flags`, where leading zeros may be missing and the parent means nothing any more.
fn jaeger(text: &[u8]) -> Option<Parent> {
    let mut parts = text.split(|byte| *byte == b':');
    let place = Place {
        trace: TraceId::parse(parts.next()?)?,
        span: SpanId::parse(parts.next()?)?,
    };
    let _parent = parts.next()?;
    let flags = match parts.next()? {
        b"" => 0,
        flags => u64::from_str_radix(str::from_utf8(flags).ok()?, 16).ok()?,
    };
    let sampled = flags & u64::from(SAMPLED) != 0;
    parts.next().is_none().then(|| Parent {
        place,
        flags: if sampled { SAMPLED } else { 0 },
        debug: sampled && flags & JAEGER_DEBUG != 0,
        state: String::new(),
    })
}

/// A `tracestate` that a span can carry: a list of `key=value`, of a length that everybody takes.
fn state(text: &[u8]) -> String {
    let member = |member: &str| member.is_empty() || member.split_once('=').is_some_and(|(key, _)| !key.is_empty());
    match str::from_utf8(text) {
        Ok(text) if text.len() <= LONGEST_STATE && text.split(',').map(str::trim).all(member) => text.to_owned(),
        _ => String::new(),
    }
}

/// Two hexadecimal digits in lower case.
fn byte(digits: &[u8]) -> Option<u8> {
    let lower = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    u8::from_str_radix(str::from_utf8(digits).ok()?, 16)
        .ok()
        .filter(|_| lower)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn headers(all: &[(HeaderName, &str)]) -> HeaderMap {
        let pairs = all.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        pairs.collect()
    }

    fn read(name: HeaderName, value: &str) -> Option<Parent> {
        extract(&headers(&[(name, value)]))
    }

    // OTEL-01
    #[test]
    fn w3c_headers_are_read() {
        let text = format!("00-{TRACE}-{SPAN}-01");
        let parent = extract(&headers(&[(TRACEPARENT, &text), (TRACESTATE, "a=b,c=d")])).unwrap();
        assert_eq!(parent.place.trace.to_string(), TRACE);
        assert_eq!(parent.place.span.to_string(), SPAN);
        assert_eq!(
            (parent.flags, parent.debug, parent.state.as_str()),
            (SAMPLED, false, "a=b,c=d")
        );
        assert_eq!(read(TRACEPARENT, &format!("00-{TRACE}-{SPAN}-00")).unwrap().flags, 0);
        assert!(read(TRACEPARENT, &format!("cc-{TRACE}-{SPAN}-01-what-comes")).is_some());
        for broken in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-04"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-{}-01", "f".repeat(15)),
        ] {
            assert_eq!(read(TRACEPARENT, &broken), None, "{broken}");
        }
    }

    // OTEL-01
    #[test]
    fn a_tracestate_that_is_none_leaves_the_parent() {
        let text = format!("00-{TRACE}-{SPAN}-01");
        for broken in ["no list", "=x", &"a=b,".repeat(200)] {
            let parent = extract(&headers(&[(TRACEPARENT, &text), (TRACESTATE, broken)])).unwrap();
            assert_eq!(parent.state, "", "{broken}");
        }
    }

    // OTEL-01
    #[test]
    fn jaegers_header_is_read_and_wins() {
        let parent = read(JAEGER, "a1:f067aa0ba902b7:0:3").unwrap();
        assert_eq!(parent.place.trace.get(), 0xa1);
        assert_eq!(parent.place.span.to_string(), SPAN);
        assert_eq!((parent.flags, parent.debug), (SAMPLED, true));
        assert_eq!(read(JAEGER, "a1:b2::").unwrap().flags, 0);
        for broken in [
            "a1:b2:0",
            "a1:b2:0:1:2",
            "a1:0:0:1",
            "0:b2:0:1",
            "a1:b2:0:x",
            "A1:b2:0:1",
        ] {
            assert_eq!(read(JAEGER, broken), None, "{broken}");
        }
        let w3c = format!("00-{TRACE}-{SPAN}-01");
        let both = headers(&[(TRACEPARENT, &w3c), (JAEGER, "a1:b2:0:0")]);
        assert_eq!(extract(&both).unwrap().place.trace.get(), 0xa1);
        let broken = headers(&[(TRACEPARENT, &w3c), (JAEGER, "broken")]);
        assert_eq!(extract(&broken).unwrap().place.trace.to_string(), TRACE);
    }

    proptest! {
        #[test]
        fn any_header_is_a_parent_or_none(
            w3c in prop::collection::vec(any::<u8>(), 0..80),
            state in prop::collection::vec(any::<u8>(), 0..600),
            uber in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut map = HeaderMap::new();
            for (name, bytes) in [(TRACEPARENT, w3c), (TRACESTATE, state), (JAEGER, uber)] {
                if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                    map.insert(name, value);
                }
            }
            if let Some(parent) = extract(&map) {
                prop_assert!(parent.state.len() <= LONGEST_STATE);
            }
        }

        #[test]
        fn what_is_written_is_read(trace in 1u128.., span in 1u64.., flags in 0u8..2, debug: bool, w3c_only: bool) {
            let place = Place { trace: TraceId::new(trace).unwrap(), span: SpanId::new(span).unwrap() };
            let mut map = HeaderMap::new();
            inject(place, flags, debug && flags == SAMPLED, &mut map);
            if w3c_only {
                map.remove(JAEGER);
            }
            let parent = extract(&map).unwrap();
            prop_assert_eq!((parent.place, parent.flags), (place, flags));
            prop_assert_eq!(parent.debug, debug && flags == SAMPLED && !w3c_only);
        }
    }
}
