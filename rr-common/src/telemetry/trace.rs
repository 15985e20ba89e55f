//! A place in a trace: what headers, spans and log lines of one request have in common. How traces are made and sent is
//! the crate `rr-otel`'s matter; whoever only passes them on, such as the pool, needs no more than this.

use std::{fmt, sync::OnceLock, time::Instant};
use tracing::field::{DisplayValue, display};

/// Names a trace; never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// Names a span of a trace; never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

/// A span, and the trace that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
}

impl Place {
    /// The fields `trace_id` and `span_id` of a line that `tracing` writes; without a place there are none.
    pub fn fields(place: Option<Self>) -> (Option<DisplayValue<TraceId>>, Option<DisplayValue<SpanId>>) {
        (
            place.map(|place| display(place.trace)),
            place.map(|place| display(place.span)),
        )
    }
}

/// What a traced request takes along through the pool.
#[derive(Debug)]
pub struct Trail {
    place: Place,
    begun: OnceLock<Instant>,
}

impl Trail {
    /// A trail whose worker's span is at this place.
    pub fn new(place: Place) -> Self {
        Self {
            place,
            begun: OnceLock::new(),
        }
    }

    /// The worker's span.
    pub fn place(&self) -> Place {
        self.place
    }

    /// A worker gets the request; the first one counts.
    pub(crate) fn begin(&self) {
        let _ = self.begun.set(Instant::now());
    }

    /// When a worker got it.
    pub fn begun(&self) -> Option<Instant> {
        self.begun.get().copied()
    }
}

impl TraceId {
    /// `None` for zero, which means that there is no trace.
    pub fn new(id: u128) -> Option<Self> {
        (id != 0).then_some(Self(id))
    }

    /// Reads at most 32 hexadecimal digits in lower case.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::new(hex(text, 32)?)
    }

    /// The number.
    pub fn get(self) -> u128 {
        self.0
    }
}

impl SpanId {
    /// `None` for zero, which means that there is no span.
    pub fn new(id: u64) -> Option<Self> {
        (id != 0).then_some(Self(id))
    }

    /// Reads at most 16 hexadecimal digits in lower case.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::new(u64::try_from(hex(text, 16)?).ok()?)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// From one up to `most` hexadecimal digits in lower case, as a number.
fn hex(text: &[u8], most: usize) -> Option<u128> {
    if text.is_empty() || text.len() > most {
        return None;
    }
    text.iter().try_fold(0, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_are_read_as_they_are_written(trace in 1u128.., span in 1u64..) {
            let (trace, span) = (TraceId::new(trace), SpanId::new(span));
            prop_assert_eq!(trace.and_then(|id| TraceId::parse(id.to_string().as_bytes())), trace);
            prop_assert_eq!(span.and_then(|id| SpanId::parse(id.to_string().as_bytes())), span);
        }

        #[test]
        fn any_bytes_are_an_id_or_none(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let lower = bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            let zero = bytes.iter().all(|byte| *byte == b'0');
            let fits = |most| lower && !zero && (1..=most).contains(&bytes.len());
            prop_assert_eq!(TraceId::parse(&bytes).is_some(), fits(32));
            prop_assert_eq!(SpanId::parse(&bytes).is_some(), fits(16));
        }
    }

    #[test]
    fn short_ids_are_filled_with_zeros() {
        let id = TraceId::parse(b"a1").map(|id| id.to_string());
        assert_eq!(id.as_deref(), Some("000000000000000000000000000000a1"));
        assert_eq!(SpanId::parse(b"F067aa0ba902b7"), None);
    }
}
