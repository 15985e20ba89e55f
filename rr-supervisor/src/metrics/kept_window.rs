//! A summary's window as bytes and back: observations that wait, and the samples of its streams.

use super::{
    kept::KeptWindow,
    quantile::{MOST, Sample, Stream},
    summary::{PENDING, STEP, Window},
};
use crate::renew::{
    baggage::{Baggage, Span},
    words::{Exact, Moment},
};
use std::time::Instant;

impl Window {
    pub(super) fn pack(&self, baggage: &mut Baggage, now: Instant) -> KeptWindow {
        let pending: Vec<u8> = self.pending.iter().flat_map(|value| value.to_be_bytes()).collect();
        let streams = self.streams.iter();
        KeptWindow {
            streams: streams
                .map(|stream| (baggage.add_bytes(&encode(&stream.samples)), Exact(stream.slack)))
                .collect(),
            pending: baggage.add_bytes(&pending),
            head: self.head,
            head_ends: Moment::of(self.head_ends, now),
        }
    }

    /// Goes on with what was packed. What makes no sense leaves the window as it is.
    pub(super) fn recall(&mut self, kept: &KeptWindow, baggage: &Baggage, now: Instant) {
        let stream = |(samples, slack): &(Span, Exact)| decode(baggage.bytes(*samples)?, slack.0);
        let streams: Option<Vec<Stream>> = kept.streams.iter().map(stream).collect();
        let streams = streams.and_then(|streams| streams.try_into().ok());
        let pending = baggage.bytes(kept.pending).and_then(numbers);
        if let (Some(streams), Some(pending)) = (streams, pending)
            && kept.head < self.streams.len()
        {
            *self = Self {
                pending,
                streams,
                head: kept.head,
                head_ends: kept.head_ends.at(now).min(now + STEP),
            };
        }
    }
}

/// Observations that wait: fewer than would have been sorted in.
fn numbers(bytes: &[u8]) -> Option<Vec<f64>> {
    let (numbers, rest) = bytes.as_chunks();
    let fits = rest.is_empty() && numbers.len() < PENDING;
    fits.then(|| numbers.iter().map(|number| f64::from_be_bytes(*number)).collect())
}

fn encode(samples: &[Sample]) -> Vec<u8> {
    let bytes = |sample: &Sample| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&sample.value.to_be_bytes());
        bytes[8..12].copy_from_slice(&sample.width.to_be_bytes());
        bytes[12..].copy_from_slice(&sample.spread.to_be_bytes());
        bytes
    };
    samples.iter().flat_map(bytes).collect()
}

/// The stream of these samples, if they are in order and not too many.
fn decode(bytes: &[u8], slack: f64) -> Option<Stream> {
    let (samples, rest) = bytes.as_chunks::<16>();
    let samples: Vec<Sample> = samples.iter().map(sample).collect();
    let grow = samples.is_sorted_by(|one, next| one.value.total_cmp(&next.value).is_le());
    let count: f64 = samples.iter().map(|sample| f64::from(sample.width)).sum();
    let fits = rest.is_empty() && samples.len() <= MOST && samples.iter().all(|sample| sample.width > 0);
    (fits && grow && slack.is_finite()).then_some(Stream { samples, count, slack })
}

fn sample(bytes: &[u8; 16]) -> Sample {
    let [a, b, c, d, e, f, g, h, width @ .., i, j, k, l] = *bytes;
    Sample {
        value: f64::from_be_bytes([a, b, c, d, e, f, g, h]),
        width: u32::from_be_bytes(width),
        spread: u32::from_be_bytes([i, j, k, l]),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_sound_stream_or_none(bytes in prop::collection::vec(0..3_u8, 0..100), slack in any::<f64>(), more in any::<f64>()) {
            let _ = numbers(&bytes);
            if let Some(mut stream) = decode(&bytes, slack) {
                prop_assert_eq!(encode(&stream.samples), bytes);
                stream.merge(&[more], &[]);
                let _ = stream.query(0.5, &[]);
            }
        }
    }

    #[test]
    fn more_than_there_can_be_is_refused() {
        let sample = encode(&[Sample {
            value: 1.0,
            width: 1,
            spread: 0,
        }]);
        assert!(decode(&sample.repeat(MOST), 1.0).is_some());
        assert!(decode(&sample.repeat(MOST + 1), 1.0).is_none());
        assert!(decode(&sample[..15], 1.0).is_none());
        assert!(decode(&sample, f64::NAN).is_none());
        assert!(numbers(&vec![0; 8 * (PENDING - 1)]).is_some());
        assert!(numbers(&vec![0; 8 * PENDING]).is_none());
    }
}
