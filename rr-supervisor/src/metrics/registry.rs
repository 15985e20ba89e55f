//! The application's metrics, by the names that calls use.

use super::{
    collector::{Collector, Operation},
    declaration::Declaration,
    error::{DeclareError, UpdateError},
};
use rr_common::{config::section, telemetry::metrics::Families};
use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

/// Collectors that there may be.
const MOST_COLLECTORS: usize = 10_000;

/// All declared collectors.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(super) collectors: HashMap<String, Collector>,
    /// Names on the page, each of one collector.
    exported: HashSet<String>,
    /// Series of all collectors together.
    pub(super) together: usize,
}

/// What became of a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declared {
    /// It is new.
    New,
    /// There is one of that name, which stays as it is.
    Known,
}

impl Registry {
    /// With the collectors of the configuration.
    ///
    /// # Errors
    /// The text for the user, if one of them makes no sense.
    pub(crate) fn configured(section: &section::Metrics, now: Instant) -> Result<Self, String> {
        let mut registry = Self::default();
        for (name, collector) in &section.collect {
            let declared = registry.declare(&Declaration::configured(name, collector), now);
            declared.map_err(|error| format!("metrics.collect.{name}: {error}"))?;
        }
        Ok(registry)
    }

    /// Adds a collector.
    ///
    /// # Errors
    /// It makes no sense, or its name on the page is taken by one with another name.
    pub(crate) fn declare(&mut self, declaration: &Declaration, now: Instant) -> Result<Declared, DeclareError> {
        if self.collectors.contains_key(&declaration.name) {
            return Ok(Declared::Known);
        }
        let description = declaration.describe()?;
        if self.exported.contains(&description.exported) {
            let mut others = self.collectors.values().map(|collector| &collector.description);
            let same = others.any(|other| {
                other.exported == description.exported
                    && other.labels == description.labels
                    && other.help == description.help
            });
            return Err(match same {
                true => DeclareError::Duplicate,
                false => DeclareError::Inconsistent(declaration.described(&declaration.full_name())),
            });
        }
        if self.collectors.len() >= MOST_COLLECTORS {
            return Err(DeclareError::TooMuch {
                what: "the number of collectors",
                most: MOST_COLLECTORS,
            });
        }
        self.exported.insert(description.exported.clone());
        let collector = Collector::new(&declaration.name, description, now);
        self.together += collector.series();
        self.collectors.insert(declaration.name.clone(), collector);
        Ok(Declared::New)
    }

    /// Takes a value.
    ///
    /// # Errors
    /// No such collector, no such method on it, wrong labels, or no room.
    pub(crate) fn update(
        &mut self,
        operation: Operation,
        name: &str,
        value: f64,
        labels: &[String],
        now: Instant,
    ) -> Result<(), UpdateError> {
        let Some(collector) = self.collectors.get_mut(name) else {
            return Err(match operation {
                Operation::Add => UpdateError::UndefinedToAdd(name.to_owned()),
                _ => UpdateError::Undefined(name.to_owned()),
            });
        };
        collector.update(operation, value, labels, &mut self.together, now)
    }

    /// Removes a collector with all it has counted.
    ///
    /// # Errors
    /// No such collector.
    pub(crate) fn unregister(&mut self, name: &str) -> Result<(), UpdateError> {
        let Some(collector) = self.collectors.remove(name) else {
            return Err(UpdateError::Undefined(name.to_owned()));
        };
        self.exported.remove(&collector.description.exported);
        self.together -= collector.series();
        Ok(())
    }

    /// What the page shows.
    pub(crate) fn families(&mut self, now: Instant) -> Families {
        let mut families = Families::default();
        for collector in self.collectors.values_mut() {
            let family = collector.family(now);
            families.insert(collector.description.exported.clone(), family);
        }
        families
    }
}
