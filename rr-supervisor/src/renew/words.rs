//! Numbers and moments as they travel in the words of a [`Baggage`](super::baggage::Baggage).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::{Duration, Instant};

/// A number that arrives as it was, bit for bit: JSON knows neither NaN nor infinities.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Exact(pub f64);

/// A moment by its distance from the one at which all is packed, in nanoseconds; what is past is negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moment(i64);

impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Exact {}

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.to_bits())
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(|bits| Self(f64::from_bits(bits)))
    }
}

impl Moment {
    /// How a moment is packed.
    pub(crate) fn of(moment: Instant, now: Instant) -> Self {
        let nanoseconds = |distance: Duration| i64::try_from(distance.as_nanos()).unwrap_or(i64::MAX);
        Self(match moment.checked_duration_since(now) {
            Some(ahead) => nanoseconds(ahead),
            None => -nanoseconds(now.saturating_duration_since(moment)),
        })
    }

    /// The moment; one that no clock could show is now.
    pub(crate) fn at(self, now: Instant) -> Instant {
        let distance = Duration::from_nanos(self.0.unsigned_abs());
        let at = match self.0 < 0 {
            true => now.checked_sub(distance),
            false => now.checked_add(distance),
        };
        at.unwrap_or(now)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_and_moments_arrive_as_they_were(bits in any::<u64>(), distance in -i64::MAX..i64::MAX) {
            let number = Exact(f64::from_bits(bits));
            let words = serde_json::to_string(&number).unwrap();
            prop_assert_eq!(serde_json::from_str::<Exact>(&words).unwrap(), number);
            let now = Instant::now();
            let moment = Moment(distance);
            prop_assert_eq!(Moment::of(moment.at(now), now), moment);
        }
    }
}
