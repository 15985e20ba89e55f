//! One metric of the application: its description and its numbers, one set for each combination of label values.

use super::{declaration::Description, error::UpdateError, quantile::Objective, summary::Summary};
use rr_common::telemetry::metrics::{Bound, Family, Key, Kind, Part, push_label};
use std::{collections::HashMap, time::Instant};

/// Combinations of label values that one collector may have, so that a label with ids in it cannot eat the memory.
pub(super) const MOST_SERIES: usize = 10_000;

/// The same for a summary with objectives, whose series are large.
pub(super) const MOST_WINDOWS: usize = 1_000;

/// Combinations that all collectors may have together.
pub(super) const MOST_TOGETHER: usize = 200_000;

/// Bytes that the label values of one series may have.
const LONGEST_LABELS: usize = 4096;

/// What is done to a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Sub,
    Set,
    Observe,
}

/// A metric.
#[derive(Debug)]
pub(super) struct Collector {
    /// The name by which calls mean it.
    name: String,
    pub(super) description: Description,
    pub(super) series: HashMap<Box<[String]>, Series>,
}

/// The numbers of one combination of label values.
#[derive(Debug)]
pub(super) enum Series {
    Number(f64),
    Histogram { buckets: Box<[u64]>, sum: f64 },
    Summary(Box<Summary>),
}

impl Collector {
    /// One without labels shows its zero from the start.
    pub(super) fn new(name: &str, description: Description, now: Instant) -> Self {
        let mut collector = Self {
            name: name.to_owned(),
            series: HashMap::new(),
            description,
        };
        if collector.description.labels.is_empty() {
            let zero = collector.zero(now);
            collector.series.insert(Box::default(), zero);
        }
        collector
    }

    /// Its combinations of label values.
    pub(super) fn series(&self) -> usize {
        self.series.len()
    }

    /// Takes a value. `together` counts the series of all collectors.
    pub(super) fn update(
        &mut self,
        operation: Operation,
        value: f64,
        labels: &[String],
        together: &mut usize,
        now: Instant,
    ) -> Result<(), UpdateError> {
        if !self.supports(operation) {
            return Err(self.unsupported(operation));
        }
        if self.description.kind == Kind::Counter && (value < 0.0 || value.is_nan()) {
            return Err(UpdateError::Negative);
        }
        // Values for labels that it does not have are passed over, as in the reference.
        let labels = match self.description.labels.len() {
            0 => &[],
            _ => self.checked(labels)?,
        };
        if !self.series.contains_key(labels) {
            self.check_room(labels, *together)?;
            *together += 1;
            let zero = self.zero(now);
            self.series.insert(labels.into(), zero);
        }
        match self.series.get_mut(labels) {
            Some(Series::Number(number)) => match operation {
                Operation::Add | Operation::Observe => *number += value,
                Operation::Sub => *number -= value,
                Operation::Set => *number = value,
            },
            Some(Series::Histogram { buckets, sum }) => {
                let bounds = &self.description.buckets;
                let bucket = match value.is_nan() {
                    true => bounds.len(),
                    false => bounds.partition_point(|bound| *bound < value),
                };
                buckets[bucket] += 1;
                *sum += value;
            }
            Some(Series::Summary(summary)) => summary.observe(value, &self.description.objectives, now),
            None => {}
        }
        Ok(())
    }

    /// Its samples.
    pub(super) fn family(&mut self, now: Instant) -> Family {
        let description = &self.description;
        let mut family = Family::new(description.kind, &*description.help);
        // By name, whatever the order in which they were declared.
        let mut order: Vec<usize> = (0..description.labels.len()).collect();
        order.sort_by_key(|index| &description.labels[*index]);
        for (values, series) in &mut self.series {
            let mut labels = String::new();
            for index in &order {
                push_label(&mut labels, &description.labels[*index], &values[*index]);
            }
            match series {
                Series::Number(number) => {
                    family.samples.insert(Key::value(labels), *number);
                }
                Series::Histogram { buckets, sum } => {
                    let bounds = description.buckets.iter().copied().chain([f64::INFINITY]);
                    let mut count = 0;
                    for (bound, observed) in bounds.zip(buckets.iter()) {
                        count += observed;
                        let key = Key::part(&*labels, Part::Bucket(Bound(bound)));
                        family.samples.insert(key, count as f64);
                    }
                    family.samples.insert(Key::part(&*labels, Part::Sum), *sum);
                    family.samples.insert(Key::part(labels, Part::Count), count as f64);
                }
                Series::Summary(summary) => {
                    for (quantile, value) in summary.quantiles(&description.objectives, now) {
                        let key = Key::part(&*labels, Part::Quantile(Bound(quantile)));
                        family.samples.insert(key, value);
                    }
                    family.samples.insert(Key::part(&*labels, Part::Sum), summary.sum);
                    family
                        .samples
                        .insert(Key::part(labels, Part::Count), summary.count as f64);
                }
            }
        }
        family
    }

    fn supports(&self, operation: Operation) -> bool {
        match self.description.kind {
            Kind::Gauge => operation != Operation::Observe,
            Kind::Counter => operation == Operation::Add,
            Kind::Histogram | Kind::Summary => operation == Operation::Observe,
            Kind::Untyped => false,
        }
    }

    fn unsupported(&self, operation: Operation) -> UpdateError {
        let (name, method) = match operation {
            Operation::Add => (self.name.clone(), "`Add`"),
            Operation::Sub => (self.quoted(), "`Sub`"),
            Operation::Set => (self.quoted(), "Set"),
            Operation::Observe => (self.quoted(), "`Observe`"),
        };
        UpdateError::Unsupported { name, method }
    }

    fn checked<'a>(&self, labels: &'a [String]) -> Result<&'a [String], UpdateError> {
        let expected = self.description.labels.len();
        if labels.is_empty() {
            return Err(UpdateError::LabelsRequired(match self.description.kind {
                Kind::Gauge => self.name.clone(),
                _ => self.quoted(),
            }));
        }
        if labels.len() != expected {
            let values: Vec<String> = labels
                .iter()
                .take(expected + 8)
                .map(|value| format!("{value:?}"))
                .collect();
            return Err(UpdateError::Cardinality {
                expected,
                got: labels.len(),
                values: values.join(", "),
            });
        }
        Ok(labels)
    }

    /// Whether a further combination fits.
    pub(super) fn check_room(&self, labels: &[String], together: usize) -> Result<(), UpdateError> {
        let name = self.name.clone();
        let most = match self.description.objectives.is_empty() {
            true => MOST_SERIES,
            false => MOST_WINDOWS,
        };
        if labels.iter().map(String::len).sum::<usize>() > LONGEST_LABELS {
            return Err(UpdateError::LabelsTooLong {
                name,
                most: LONGEST_LABELS,
            });
        }
        if self.series.len() >= most {
            return Err(UpdateError::TooManySeries { name, most });
        }
        match together >= MOST_TOGETHER {
            true => Err(UpdateError::Full(MOST_TOGETHER)),
            false => Ok(()),
        }
    }

    fn quoted(&self) -> String {
        format!("`{}`", self.name)
    }

    fn zero(&self, now: Instant) -> Series {
        match self.description.kind {
            Kind::Histogram => Series::Histogram {
                buckets: vec![0; self.description.buckets.len() + 1].into(),
                sum: 0.0,
            },
            Kind::Summary => Series::Summary(Box::new(Summary::new(now))),
            _ => Series::Number(0.0),
        }
    }
}

impl Description {
    /// The objectives of a summary.
    pub(super) fn objectives_of(pairs: &[(f64, f64)]) -> Vec<Objective> {
        let mut all: Vec<Objective> = pairs
            .iter()
            .map(|(quantile, error)| Objective {
                quantile: *quantile,
                error: *error,
            })
            .collect();
        all.sort_by(|a, b| a.quantile.total_cmp(&b.quantile));
        all
    }
}
