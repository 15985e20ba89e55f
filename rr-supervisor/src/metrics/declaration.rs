//! What an application says of a metric when it declares it, and the checks that make a description of it.

use super::{error::DeclareError, quantile::Objective};
use rr_common::{config::section, telemetry::metrics::Kind};
use serde::{Deserialize, Serialize};

/// The buckets of a histogram that names none: Prometheus' own.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Bounds on what one declaration may hold.
const MOST_LABELS: usize = 32;
const MOST_BUCKETS: usize = 200;
const MOST_OBJECTIVES: usize = 32;
const LONGEST_TEXT: usize = 4096;

/// A collector as it is declared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Declaration {
    pub name: String,
    pub namespace: String,
    pub subsystem: String,
    pub kind: String,
    pub help: String,
    pub labels: Vec<String>,
    pub buckets: Vec<f64>,
    pub objectives: Vec<(f64, f64)>,
}

/// A collector as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Description {
    /// The name on the page.
    pub exported: String,
    pub kind: Kind,
    pub help: String,
    /// Names of the labels on the page, in the declared order.
    pub labels: Vec<String>,
    /// Upper bounds of a histogram, without +Inf.
    pub buckets: Vec<f64>,
    /// A summary's.
    pub objectives: Vec<Objective>,
}

impl Declaration {
    /// One of the configuration's.
    pub(crate) fn configured(name: &str, collector: &section::Collector) -> Self {
        let kind = match collector.kind {
            section::CollectorKind::Counter => Kind::Counter,
            section::CollectorKind::Gauge => Kind::Gauge,
            section::CollectorKind::Histogram => Kind::Histogram,
            section::CollectorKind::Summary => Kind::Summary,
        };
        let number = |text: &String| text.parse().unwrap_or(f64::NAN);
        Self {
            name: name.to_owned(),
            namespace: collector.namespace.clone(),
            subsystem: collector.subsystem.clone(),
            kind: kind.name().to_owned(),
            help: collector.help.clone(),
            labels: collector.labels.clone(),
            buckets: collector.buckets.clone(),
            objectives: collector
                .objectives
                .iter()
                .map(|(q, error)| (number(q), *error))
                .collect(),
        }
    }

    /// The description, if all of it makes sense.
    pub(super) fn describe(&self) -> Result<Description, DeclareError> {
        let kind = Kind::of(&self.kind)
            .filter(|kind| *kind != Kind::Untyped)
            .ok_or_else(|| DeclareError::UnknownType(self.kind.clone()))?;
        self.check_size()?;
        let full = self.full_name();
        let invalid = |reason: String| DeclareError::Invalid(self.described(&full), reason);
        if full.is_empty() {
            return Err(invalid("\"\" is not a valid metric name".into()));
        }
        for (index, label) in self.labels.iter().enumerate() {
            if label.is_empty() || label.starts_with("__") {
                return Err(invalid(format!(
                    "{label:?} is not a valid label name for metric {full:?}"
                )));
            }
            if self.labels[..index].contains(label) {
                return Err(invalid(format!(
                    "duplicate label names in constant and variable labels for metric {full:?}"
                )));
            }
        }
        let has = |name: &str| self.labels.iter().any(|label| label == name);
        match kind {
            Kind::Histogram if has("le") => return Err(DeclareError::LabelLe),
            Kind::Summary if has("quantile") => return Err(DeclareError::LabelQuantile),
            _ => {}
        }
        let labels: Vec<String> = self.labels.iter().map(|label| escaped(label, false)).collect();
        if let Some(twice) = (1..labels.len()).find(|index| labels[..*index].contains(&labels[*index])) {
            return Err(invalid(format!(
                "another label has the same name as {:?} on the page",
                self.labels[twice]
            )));
        }
        Ok(Description {
            exported: escaped(&full, true),
            kind,
            help: self.help.clone(),
            labels,
            buckets: match kind {
                Kind::Histogram => buckets(&self.buckets)?,
                _ => Vec::new(),
            },
            objectives: match kind {
                Kind::Summary => Description::objectives_of(&self.objectives),
                _ => Vec::new(),
            },
        })
    }

    /// As the reference writes a description in its errors.
    pub(super) fn described(&self, full: &str) -> String {
        format!(
            "Desc{{fqName: {full:?}, help: {:?}, constLabels: {{}}, variableLabels: {{{}}}}}",
            self.help,
            self.labels.join(",")
        )
    }

    /// Namespace, subsystem and name.
    pub(super) fn full_name(&self) -> String {
        if self.name.is_empty() {
            return String::new();
        }
        let parts = [&*self.namespace, &*self.subsystem, &*self.name];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("_")
    }

    fn check_size(&self) -> Result<(), DeclareError> {
        let texts = [&self.name, &self.namespace, &self.subsystem, &self.help];
        let longest = texts.into_iter().chain(&self.labels).map(String::len).max();
        let sizes = [
            ("the labels of a collector", self.labels.len(), MOST_LABELS),
            ("the buckets of a collector", self.buckets.len(), MOST_BUCKETS),
            ("the objectives of a collector", self.objectives.len(), MOST_OBJECTIVES),
            (
                "the bytes of a name or help text",
                longest.unwrap_or_default(),
                LONGEST_TEXT,
            ),
        ];
        match sizes.into_iter().find(|(_, size, most)| size > most) {
            Some((what, _, most)) => Err(DeclareError::TooMuch { what, most }),
            None => Ok(()),
        }
    }
}

/// Bounds that grow; the last one may be +Inf, which is always there.
fn buckets(bounds: &[f64]) -> Result<Vec<f64>, DeclareError> {
    if bounds.is_empty() {
        return Ok(BUCKETS.into());
    }
    for pair in bounds.windows(2) {
        if pair[0] >= pair[1] || pair[0].is_nan() || pair[1].is_nan() {
            return Err(DeclareError::Buckets(pair[0], pair[1]));
        }
    }
    Ok(bounds.iter().copied().filter(|bound| *bound != f64::INFINITY).collect())
}

/// A name as it may stand on the page: whatever does not fit becomes an underscore.
fn escaped(name: &str, metric: bool) -> String {
    let fits = |(index, c): (usize, char)| match c {
        'a'..='z' | 'A'..='Z' | '_' => c,
        ':' if metric => c,
        '0'..='9' if index > 0 => c,
        _ => '_',
    };
    name.chars().enumerate().map(fits).collect()
}
