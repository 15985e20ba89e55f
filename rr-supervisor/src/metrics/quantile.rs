//! Quantiles of a stream of numbers in bounded memory, each with its own tolerated error.
//!
//! The algorithm is that of Cormode, Korn, Muthukrishnan and Srivastava, "Effective Computation of Biased Quantiles over Data Streams"
//! (targeted quantiles), as Prometheus' client for Go uses it: neighbouring samples are merged where no target needs to tell them
//! apart. While there are few samples none is merged and the answers are exact. Should the errors asked for be so small that the
//! samples become many, all errors are doubled until they fit.

/// Below this number samples are not merged.
const EXACT: usize = 512;

/// There are never more samples than this after a merge.
pub(super) const MOST: usize = 2048;

/// Errors below this are taken as this.
const SMALLEST_ERROR: f64 = 0.0001;

/// A quantile that will be asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Objective {
    /// The quantile, 0 to 1.
    pub quantile: f64,
    /// How far from it the answer's true quantile may be.
    pub error: f64,
}

/// The numbers seen so far, thinned out.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) samples: Vec<Sample>,
    /// The widths of all samples.
    pub(super) count: f64,
    /// All errors are taken times this; 1 unless the samples became too many.
    pub(super) slack: f64,
}

/// A number that stands for `width` numbers up to it, give or take `spread`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) value: f64,
    pub(super) width: u32,
    pub(super) spread: u32,
}

impl Stream {
    /// Takes numbers in, which must be sorted.
    pub(super) fn merge(&mut self, sorted: &[f64], objectives: &[Objective]) {
        self.slack = self.slack.max(1.0);
        let mut merged = Vec::with_capacity(self.samples.len() + sorted.len());
        let mut old = self.samples.iter().copied().peekable();
        let mut rank = 0.0;
        for value in sorted {
            while let Some(sample) = old.next_if(|sample| sample.value.total_cmp(value).is_le()) {
                rank += f64::from(sample.width);
                merged.push(sample);
            }
            // The least and the greatest are known exactly.
            let inner = !merged.is_empty() && old.peek().is_some();
            let spread = match inner {
                true => (self.tolerance(rank, objectives).floor() - 1.0).max(0.0) as u32,
                false => 0,
            };
            merged.push(Sample {
                value: *value,
                width: 1,
                spread,
            });
            rank += 1.0;
            self.count += 1.0;
        }
        merged.extend(old);
        self.samples = merged;
        if self.samples.len() > EXACT {
            self.compress(objectives);
            while self.samples.len() > MOST {
                self.slack *= 2.0;
                self.compress(objectives);
            }
        }
    }

    /// The number at a quantile; NaN of none.
    pub(super) fn query(&self, quantile: f64, objectives: &[Objective]) -> f64 {
        let quantile = quantile.clamp(0.0, 1.0);
        let Some(mut before) = self.samples.first() else {
            return f64::NAN;
        };
        let rank = (quantile * self.count).ceil();
        if self.samples.len() as f64 == self.count {
            let index = (rank as usize).saturating_sub(1);
            return self.samples.get(index).map_or(f64::NAN, |sample| sample.value);
        }
        let reach = rank + (self.tolerance(rank, objectives) / 2.0).ceil();
        let mut passed = 0.0;
        for sample in &self.samples[1..] {
            passed += f64::from(before.width);
            if passed + f64::from(sample.width) + f64::from(sample.spread) > reach {
                break;
            }
            before = sample;
        }
        before.value
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many numbers one sample at this rank may stand for.
    fn tolerance(&self, rank: f64, objectives: &[Objective]) -> f64 {
        let of = |objective: &Objective| {
            let quantile = objective.quantile.clamp(0.0, 1.0);
            let error = self.slack * objective.error.max(SMALLEST_ERROR);
            match quantile * self.count <= rank {
                true => 2.0 * error * rank / quantile,
                false => 2.0 * error * (self.count - rank) / (1.0 - quantile),
            }
        };
        objectives.iter().map(of).fold(f64::MAX, f64::min)
    }

    /// Merges from right to left each sample into its right neighbour where that may stand for both.
    fn compress(&mut self, objectives: &[Objective]) {
        let Some(mut right) = self.samples.pop() else { return };
        let mut kept = Vec::with_capacity(self.samples.len());
        let mut rank = self.count - 1.0 - f64::from(right.width);
        let left = std::mem::take(&mut self.samples);
        for sample in left.into_iter().rev() {
            let width = sample.width.saturating_add(right.width);
            if f64::from(width) + f64::from(right.spread) <= self.tolerance(rank, objectives) {
                right.width = width;
            } else {
                kept.push(right);
                right = sample;
            }
            rank -= f64::from(sample.width);
        }
        kept.push(right);
        kept.reverse();
        self.samples = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn objectives(pairs: &[(f64, f64)]) -> Vec<Objective> {
        let objective = |(quantile, error): &(f64, f64)| Objective {
            quantile: *quantile,
            error: *error,
        };
        pairs.iter().map(objective).collect()
    }

    /// The numbers 0..count in a scattered order, in pieces.
    fn scattered(count: u64, objectives: &[Objective]) -> Stream {
        let mut stream = Stream::default();
        let all: Vec<f64> = (0..count).map(|n| (n * 7_919 % count) as f64).collect();
        for piece in all.chunks(500) {
            let mut piece = piece.to_vec();
            piece.sort_by(f64::total_cmp);
            stream.merge(&piece, objectives);
        }
        stream
    }

    #[test]
    fn few_numbers_are_exact() {
        let targets = objectives(&[(0.5, 0.05), (0.9, 0.01)]);
        let mut stream = Stream::default();
        assert!(stream.query(0.5, &targets).is_nan());
        stream.merge(&[0.15, 0.15, 3.0], &targets);
        assert_eq!(stream.query(0.5, &targets), 0.15);
        assert_eq!(stream.query(0.9, &targets), 3.0);
        assert_eq!(stream.query(0.0, &targets), 0.15);
        assert_eq!(stream.query(1.4, &targets), 3.0);
    }

    #[test]
    fn many_numbers_keep_to_the_errors_and_little_memory() {
        let targets = objectives(&[(0.5, 0.05), (0.9, 0.01), (0.99, 0.001)]);
        let stream = scattered(100_003, &targets);
        assert!(stream.samples.len() < 1500, "{}", stream.samples.len());
        assert_eq!(stream.count, 100_003.0);
        for target in &targets {
            let found = stream.query(target.quantile, &targets) / 100_003.0;
            let off = (found - target.quantile).abs();
            assert!(off <= target.error, "{target:?}: {found}");
        }
    }

    #[test]
    fn errors_too_small_are_widened_instead_of_filling_the_memory() {
        for pairs in [
            &[(0.5, 0.0), (0.99, -1.0)][..],
            &[(0.001, 1e-9), (0.3, 0.0), (0.6, 0.0), (1.0, 0.0)],
        ] {
            let targets = objectives(pairs);
            let stream = scattered(50_021, &targets);
            assert!(stream.samples.len() <= MOST);
            let found = stream.query(targets[0].quantile, &targets) / 50_021.0;
            assert!((found - targets[0].quantile).abs() < 0.01, "{found}");
        }
    }

    proptest! {
        #[test]
        fn answers_are_numbers_that_were_seen(
            values in prop::collection::vec(any::<f64>(), 1..2000),
            quantile in any::<f64>(),
            error in any::<f64>(),
        ) {
            let targets = objectives(&[(quantile, error)]);
            let mut stream = Stream::default();
            for piece in values.chunks(300) {
                let mut piece = piece.to_vec();
                piece.sort_by(f64::total_cmp);
                stream.merge(&piece, &targets);
            }
            let found = stream.query(quantile, &targets);
            prop_assert!(found.is_nan() || values.contains(&found));
        }
    }
}
