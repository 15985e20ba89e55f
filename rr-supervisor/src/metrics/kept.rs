//! What lives through an upgrade of the supervisor: the numbers of every collector, and what plugins had counted.
//!
//! A collector finds its numbers again if it is still described in the same words. What comes in has to fit like any value that a call
//! brings: the limits of the registry hold for it too.

use super::{
    Metrics,
    carried::{Carried, Source},
    collector::{Collector, Series},
    declaration::Description,
    registry::Registry,
    summary::Summary,
};
use crate::renew::{
    baggage::{Baggage, Span},
    words::{Exact, Moment},
};
use rr_common::telemetry::metrics::{Families, Kind};
use serde::{Deserialize, Serialize};
use std::{io, time::Instant};

/// The name under which it is packed.
const ROOM: &str = "metrics";

/// The most that may have been counted, so that there is room to count on.
const MOST_COUNTED: u64 = u64::MAX / 2;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    collectors: Vec<KeptCollector>,
    sources: Vec<KeptSource>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct KeptCollector {
    name: String,
    described: Described,
    series: Vec<(Vec<String>, Numbers)>,
}

/// A description in words that can be compared.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Described {
    exported: String,
    kind: String,
    help: String,
    labels: Vec<String>,
    buckets: Vec<Exact>,
    objectives: Vec<(Exact, Exact)>,
}

/// The numbers of a series.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Numbers {
    Number(Exact),
    Histogram { buckets: Vec<u64>, sum: Exact },
    Summary { count: u64, sum: Exact, window: KeptWindow },
}

/// Its observations are bytes: there may be many.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct KeptWindow {
    pub(super) pending: Span,
    /// Each with its slack.
    pub(super) streams: Vec<(Span, Exact)>,
    pub(super) head: usize,
    pub(super) head_ends: Moment,
}

/// A source of the ledger; its numbers in the page's own form, which is exact.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct KeptSource {
    name: String,
    recent: Vec<(i32, Span)>,
    base: Span,
}

impl Metrics {
    /// Packs all numbers.
    ///
    /// # Errors
    /// They cannot be put into words.
    pub(crate) fn pack(&self, baggage: &mut Baggage, now: Instant) -> io::Result<()> {
        let kept = Kept {
            collectors: self.registry().pack(baggage, now),
            sources: self.ledger.open().pack(baggage),
        };
        kept.put(baggage)
    }

    /// Goes on with the numbers of the program before.
    pub(crate) fn recall(&self, baggage: &mut Baggage, now: Instant) {
        let kept = Kept::take(baggage);
        for collector in kept.collectors {
            self.registry().recall(collector, baggage, now);
        }
        for source in kept.sources {
            self.ledger.open().recall(source, baggage);
        }
    }
}

impl Kept {
    /// There may be many words: they are packed as bytes, which need a part of the memory.
    fn put(&self, baggage: &mut Baggage) -> io::Result<()> {
        let words = baggage.add_bytes(&serde_json::to_vec(self)?);
        baggage.put(ROOM, &words)
    }

    fn take(baggage: &mut Baggage) -> Self {
        let words: Span = baggage.take(ROOM);
        match baggage.bytes(words) {
            None | Some([]) => Self::default(),
            Some(words) => serde_json::from_slice(words).unwrap_or_else(|error| {
                tracing::error!(target: "metrics", "what was counted before is lost: {error}");
                Self::default()
            }),
        }
    }
}

impl Registry {
    fn pack(&self, baggage: &mut Baggage, now: Instant) -> Vec<KeptCollector> {
        let pack = |(name, collector): (&String, &Collector)| KeptCollector {
            name: name.clone(),
            described: Described::of(&collector.description),
            series: collector
                .series
                .iter()
                .map(|(labels, series)| (labels.to_vec(), series.pack(baggage, now)))
                .collect(),
        };
        self.collectors.iter().map(pack).collect()
    }

    fn recall(&mut self, kept: KeptCollector, baggage: &Baggage, now: Instant) {
        let Some(collector) = self.collectors.get_mut(&kept.name) else {
            return;
        };
        if Described::of(&collector.description) != kept.described {
            return;
        }
        for (labels, numbers) in kept.series {
            let is_known = collector.series.contains_key(&*labels);
            let fits = labels.len() == collector.description.labels.len()
                && (is_known || collector.check_room(&labels, self.together).is_ok());
            if let Some(series) = numbers.unpack(&collector.description, baggage, now).filter(|_| fits) {
                self.together += usize::from(!is_known);
                collector.series.insert(labels.into(), series);
            }
        }
    }
}

impl Described {
    fn of(description: &Description) -> Self {
        let objectives = description.objectives.iter();
        Self {
            exported: description.exported.clone(),
            kind: description.kind.name().to_owned(),
            help: description.help.clone(),
            labels: description.labels.clone(),
            buckets: description.buckets.iter().copied().map(Exact).collect(),
            objectives: objectives
                .map(|objective| (Exact(objective.quantile), Exact(objective.error)))
                .collect(),
        }
    }
}

impl Series {
    fn pack(&self, baggage: &mut Baggage, now: Instant) -> Numbers {
        match self {
            Self::Number(number) => Numbers::Number(Exact(*number)),
            Self::Histogram { buckets, sum } => Numbers::Histogram {
                buckets: buckets.to_vec(),
                sum: Exact(*sum),
            },
            Self::Summary(summary) => Numbers::Summary {
                count: summary.count,
                sum: Exact(summary.sum),
                window: summary.window.pack(baggage, now),
            },
        }
    }
}

impl Numbers {
    /// The series, if it can be one of such a collector.
    fn unpack(self, description: &Description, baggage: &Baggage, now: Instant) -> Option<Series> {
        match (description.kind, self) {
            (Kind::Counter, Self::Number(Exact(number))) if number >= 0.0 => Some(Series::Number(number)),
            (Kind::Gauge, Self::Number(Exact(number))) => Some(Series::Number(number)),
            (Kind::Histogram, Self::Histogram { buckets, sum }) => {
                let counted = buckets.iter().try_fold(0_u64, |sum, bucket| sum.checked_add(*bucket))?;
                let fits = buckets.len() == description.buckets.len() + 1 && counted <= MOST_COUNTED;
                fits.then(|| Series::Histogram {
                    buckets: buckets.into(),
                    sum: sum.0,
                })
            }
            (Kind::Summary, Self::Summary { count, sum, window }) if count <= MOST_COUNTED => {
                let mut summary = Summary::new(now);
                (summary.count, summary.sum) = (count, sum.0);
                summary.window.recall(&window, baggage, now);
                Some(Series::Summary(Box::new(summary)))
            }
            _ => None,
        }
    }
}

impl Carried {
    fn pack(&self, baggage: &mut Baggage) -> Vec<KeptSource> {
        let mut text = |families: &Families| baggage.add_bytes(families.to_string().as_bytes());
        let pack = |(name, source): (&String, &Source)| KeptSource {
            name: name.clone(),
            recent: source.recent.iter().map(|(pid, said)| (*pid, text(said))).collect(),
            base: text(&source.base),
        };
        self.sources.iter().map(pack).collect()
    }

    fn recall(&mut self, kept: KeptSource, baggage: &Baggage) {
        let read = |span| {
            let text = std::str::from_utf8(baggage.bytes(span)?).ok()?;
            Families::parse(text).ok()
        };
        let recent = kept.recent.into_iter().map(|(pid, said)| Some((pid, read(said)?)));
        let (Some(base), Some(recent)) = (read(kept.base), recent.collect::<Option<Vec<_>>>()) else {
            tracing::error!(target: "metrics", name = kept.name, "what it had counted before is lost");
            return;
        };
        let mut source = Source {
            base,
            ..Source::default()
        };
        for (pid, said) in recent {
            source.note(pid, said);
        }
        self.sources.insert(kept.name, source);
    }
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
