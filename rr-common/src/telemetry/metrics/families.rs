//! Metrics as data: families of samples, sorted as Prometheus' own libraries sort them. What a registry, a plugin's text
//! ([`Families::parse`]) and the page have in common.

use super::{Kind, Number};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Families by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Families(pub BTreeMap<String, Family>);

/// Samples of one name and meaning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Family {
    /// What it means.
    pub help: String,
    /// Its type.
    pub kind: Kind,
    /// The values.
    pub samples: BTreeMap<Key, f64>,
}

/// What tells a sample from others of its family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The labels as they are written, by name: `a="x",b="y"`.
    pub labels: String,
    /// Which of the several numbers of a histogram or summary it is.
    pub part: Part,
}

/// The place of a number within its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The one value of a counter or gauge.
    Value,
    /// A quantile of a summary.
    Quantile(Bound),
    /// The observations up to a bound.
    Bucket(Bound),
    /// The sum of all observations.
    Sum,
    /// Their count.
    Count,
}

/// The bound of a bucket, or a quantile; numbers in their order.
#[derive(Clone, Copy, Debug)]
pub struct Bound(pub f64);

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Bound {}

/// Appends `name="value"` with the value escaped, after a comma if there is something before it.
pub fn push_label(labels: &mut String, name: &str, value: &str) {
    if !labels.is_empty() {
        labels.push(',');
    }
    labels.push_str(name);
    labels.push_str("=\"");
    for c in value.chars() {
        match c {
            '\\' => labels.push_str("\\\\"),
            '"' => labels.push_str("\\\""),
            '\n' => labels.push_str("\\n"),
            c => labels.push(c),
        }
    }
    labels.push('"');
}

impl Key {
    /// A series' only number.
    pub fn value(labels: impl Into<String>) -> Self {
        Self::part(labels, Part::Value)
    }

    /// One number of several.
    pub fn part(labels: impl Into<String>, part: Part) -> Self {
        Self {
            labels: labels.into(),
            part,
        }
    }
}

impl Family {
    /// A family without samples.
    pub fn new(kind: Kind, help: impl Into<String>) -> Self {
        Self {
            help: help.into(),
            kind,
            samples: BTreeMap::new(),
        }
    }

    /// A family with one sample without labels.
    pub fn single(kind: Kind, help: impl Into<String>, value: f64) -> Self {
        let mut family = Self::new(kind, help);
        family.samples.insert(Key::value(""), value);
        family
    }

    /// Keeps what only grows and so may be added up over the lives of processes: counters, histograms, sums and counts.
    pub fn keep_growing(&mut self) {
        let kind = self.kind;
        self.samples.retain(|key, value| {
            let grows = match kind {
                Kind::Counter | Kind::Histogram => true,
                Kind::Summary => matches!(key.part, Part::Sum | Part::Count),
                Kind::Gauge | Kind::Untyped => false,
            };
            grows && value.is_finite()
        });
    }

    /// Adds another family's numbers to this one's; false if they are not of one make: another type, other buckets.
    pub fn add(&mut self, other: &Self) -> bool {
        let either_empty = self.samples.is_empty() || other.samples.is_empty();
        if self.kind != other.kind || (!either_empty && self.bounds() != other.bounds()) {
            return false;
        }
        for (key, value) in &other.samples {
            *self.samples.entry(key.clone()).or_default() += value;
        }
        true
    }

    fn bounds(&self) -> BTreeSet<Bound> {
        let bound = |key: &Key| match key.part {
            Part::Bucket(bound) => Some(bound),
            _ => None,
        };
        self.samples.keys().filter_map(bound).collect()
    }
}

impl Families {
    /// Adds a family.
    pub fn insert(&mut self, name: impl Into<String>, family: Family) {
        self.0.insert(name.into(), family);
    }

    /// Joins what another source has. Of two families with one name but different types, and of two samples with the same
    /// labels, the one that is there already stays. Returns the names of the families that were left out.
    pub fn join(&mut self, other: Self) -> Vec<String> {
        let mut left_out = Vec::new();
        for (name, family) in other.0 {
            let known = self.0.entry(name.clone()).or_insert_with(|| Family {
                samples: BTreeMap::new(),
                ..family.clone()
            });
            if known.kind != family.kind {
                left_out.push(name);
                continue;
            }
            for (key, value) in family.samples {
                known.samples.entry(key).or_insert(value);
            }
        }
        left_out
    }
}

/// Prometheus' text form. A family without samples is not written, as in the reference.
impl fmt::Display for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, family) in &self.0 {
            if family.samples.is_empty() {
                continue;
            }
            let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
            writeln!(f, "# HELP {name} {help}\n# TYPE {name} {}", family.kind.name())?;
            for (key, value) in &family.samples {
                key.write(f, name)?;
                writeln!(f, " {}", Number(*value))?;
            }
        }
        Ok(())
    }
}

impl Key {
    fn write(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let (suffix, own) = match self.part {
            Part::Value => ("", None),
            Part::Sum => ("_sum", None),
            Part::Count => ("_count", None),
            Part::Quantile(bound) => ("", Some(("quantile", bound))),
            Part::Bucket(bound) => ("_bucket", Some(("le", bound))),
        };
        write!(f, "{name}{suffix}")?;
        let comma = if self.labels.is_empty() { "" } else { "," };
        match own {
            Some((name, Bound(bound))) => write!(f, "{{{}{comma}{name}=\"{}\"}}", self.labels, Number(bound)),
            None if self.labels.is_empty() => Ok(()),
            None => write!(f, "{{{}}}", self.labels),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(name: &str, value: &str) -> String {
        let mut labels = String::new();
        push_label(&mut labels, name, value);
        labels
    }

    #[test]
    fn the_text_is_sorted_and_escaped() {
        let mut families = Families::default();
        let mut histogram = Family::new(Kind::Histogram, "a\\b\nc \"d\"");
        let labels = labelled("x", "1\"\\\n");
        for (part, value) in [
            (Part::Count, 4.0),
            (Part::Sum, 2.5),
            (Part::Bucket(Bound(f64::INFINITY)), 4.0),
            (Part::Bucket(Bound(10.0)), 3.0),
            (Part::Bucket(Bound(2.0)), 2.0),
        ] {
            histogram.samples.insert(Key::part(&labels, part), value);
        }
        families.insert("h", histogram);
        families.insert("empty", Family::new(Kind::Gauge, "not written"));
        families.insert("c", Family::single(Kind::Counter, "", 1e6));
        let expected = r#"# HELP c 
# TYPE c counter
c 1e+06
# HELP h a\\b\nc "d"
# TYPE h histogram
h_bucket{x="1\"\\\n",le="2"} 2
h_bucket{x="1\"\\\n",le="10"} 3
h_bucket{x="1\"\\\n",le="+Inf"} 4
h_sum{x="1\"\\\n"} 2.5
h_count{x="1\"\\\n"} 4
"#;
        assert_eq!(families.to_string(), expected);
    }

    #[test]
    fn what_two_sources_have_is_joined_once() {
        let mut one = Families::default();
        one.insert("a", Family::single(Kind::Gauge, "first", 1.0));
        one.insert("b", Family::single(Kind::Gauge, "", 1.0));
        let mut two = Families::default();
        let mut more = Family::single(Kind::Gauge, "second", 2.0);
        more.samples.insert(Key::value(labelled("p", "x")), 3.0);
        two.insert("a", more);
        two.insert("b", Family::single(Kind::Counter, "", 9.0));
        assert_eq!(one.join(two), ["b"]);
        let expected = "# HELP a first\n# TYPE a gauge\na 1\na{p=\"x\"} 3\n# HELP b \n# TYPE b gauge\nb 1\n";
        assert_eq!(one.to_string(), expected);
    }

    #[test]
    fn only_what_grows_is_added_up() {
        let mut summary = Family::new(Kind::Summary, "");
        summary.samples.insert(Key::part("", Part::Quantile(Bound(0.5))), 7.0);
        summary.samples.insert(Key::part("", Part::Sum), 7.0);
        summary.samples.insert(Key::part("", Part::Count), 1.0);
        summary.keep_growing();
        assert_eq!(summary.samples.len(), 2);
        let same = summary.clone();
        assert!(summary.add(&same));
        assert_eq!(summary.samples[&Key::part("", Part::Sum)], 14.0);
        assert!(!summary.add(&Family::single(Kind::Counter, "", 1.0)));

        let mut histogram = Family::new(Kind::Histogram, "");
        histogram.samples.insert(Key::part("", Part::Bucket(Bound(1.0))), 1.0);
        let mut other = Family::new(Kind::Histogram, "");
        other.samples.insert(Key::part("", Part::Bucket(Bound(2.0))), 1.0);
        assert!(!histogram.add(&other), "buckets of another release");
    }
}
