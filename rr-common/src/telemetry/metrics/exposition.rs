//! The text that Prometheus reads.

use super::{Histogram, Kind};
use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The content type of [`Exposition`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// The text that Prometheus reads, while it grows.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    family: String,
}

impl Exposition {
    /// Begins a family; its samples follow.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = kind.name();
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self.family.clear();
        self.family.push_str(name);
    }

    /// One sample of the family.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.line("", labels, None, value);
    }

    /// All samples of a histogram with these labels.
    pub fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut total = 0;
        let bounds = histogram
            .bounds
            .iter()
            .map(|bound| bound.to_string())
            .chain(["+Inf".to_string()]);
        for (bucket, bound) in histogram.buckets.iter().zip(bounds) {
            total += bucket.load(Ordering::Relaxed);
            self.line("_bucket", labels, Some(&bound), total);
        }
        let sum = Duration::from_nanos(histogram.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, total);
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: impl Display) {
        self.text.push_str(&self.family);
        self.text.push_str(suffix);
        let labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let mut before = '{';
        for (name, value) in labels {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{before}{name}=\"{value}\"");
            before = ',';
        }
        let closed = if before == ',' { "}" } else { "" };
        let _ = writeln!(self.text, "{closed} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_cumulative_and_bounds_belong_to_their_bucket() {
        let histogram = Histogram::new(&[0.005, 0.01, 2.5]);
        for milliseconds in [5, 6, 10, 3000] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        let mut text = Exposition::default();
        text.family("h", Kind::Histogram, "a\\b\nc");
        text.histogram(&[("status", "2\"0\\0\n")], &histogram);
        let expected = r#"# HELP h a\\b\nc
# TYPE h histogram
h_bucket{status="2\"0\\0\n",le="0.005"} 1
h_bucket{status="2\"0\\0\n",le="0.01"} 3
h_bucket{status="2\"0\\0\n",le="2.5"} 3
h_bucket{status="2\"0\\0\n",le="+Inf"} 4
h_sum{status="2\"0\\0\n"} 3.021
h_count{status="2\"0\\0\n"} 4
"#;
        assert_eq!(text.finish(), expected);
    }
}
