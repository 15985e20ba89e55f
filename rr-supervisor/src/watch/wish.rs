//! What is to be watched by a configuration, as plain data: two of them are compared when the configuration changes.

use super::{
    WatchError,
    rules::{self, Subject},
};
use rr_common::config::{Config, section::Reload};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Shortest `reload.interval`: each look costs as much as there are files.
pub(super) const SHORTEST: Duration = Duration::from_millis(100);

/// What is to be watched, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(super) subjects: Vec<Subject>,
    /// Look at the files each `interval` instead of asking the kernel.
    pub(super) poll: bool,
    pub(super) interval: Duration,
    /// The directory from which names are read.
    pub(super) base: PathBuf,
}

impl Wish {
    /// What the section names, and with `everything` the project in this directory with the configuration's file. `None` if there is nothing. `warn` hears what is of
    /// no use in the section.
    ///
    /// # Errors
    /// An interval that is too short.
    pub(crate) fn of(
        config: &Config,
        everything: bool,
        (base, file): (&Path, &Path),
        warn: impl FnMut(String),
    ) -> Result<Option<Self>, WatchError> {
        if config.reload.is_none() && !everything {
            return Ok(None);
        }
        let default = Reload::default();
        let section = config.reload.as_ref().unwrap_or(&default);
        let interval = section.interval.get();
        if interval < SHORTEST {
            return Err(WatchError::Interval(interval));
        }
        let mut subjects = rules::subjects(config, everything, base, warn);
        let file = base.join(file.file_name().unwrap_or_default());
        // It may have gone since it was read, or lie elsewhere.
        if everything && file.is_file() {
            subjects.push(Subject::of_configuration(&file));
        }
        let wish = Self {
            subjects,
            poll: section.poll,
            interval,
            base: base.to_owned(),
        };
        Ok((!wish.subjects.is_empty()).then_some(wish))
    }

    /// The plugins whose requests wait while a change is dealt with.
    pub(crate) fn held(&self) -> impl Iterator<Item = &str> {
        let subjects = self.subjects.iter().filter(|_| !self.poll);
        subjects.flat_map(|subject| &subject.plugins).map(String::as_str)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn wish(tree: Value, everything: bool) -> Result<Option<Wish>, WatchError> {
        let config: Config = serde_json::from_value(tree).unwrap();
        Wish::of(&config, everything, (Path::new("/srv"), Path::new(".rr.yaml")), |_| {})
    }

    #[test]
    fn two_configurations_are_compared_by_what_they_watch() {
        let tree = |dir: &str, poll: bool| json!({"http": {}, "reload": {"poll": poll, "services": {"http": {"dirs": [dir]}}}});
        let one = wish(tree("src", false), false).unwrap().unwrap();
        assert_eq!(one.held().collect::<Vec<_>>(), ["http"]);
        assert_eq!(wish(tree("./src", false), false).unwrap(), Some(one.clone()));
        assert_ne!(wish(tree("lib", false), false).unwrap(), Some(one));
        let looked = wish(tree("src", true), false).unwrap().unwrap();
        assert_eq!(looked.held().next(), None, "no kernel tells of changes");
        assert_eq!(wish(json!({"http": {}}), false).unwrap(), None);
        assert!(wish(json!({"http": {}}), true).unwrap().is_some());
        let short = wish(json!({"http": {}, "reload": {"interval": "1ms"}}), false);
        assert!(matches!(short, Err(WatchError::Interval(_))));
    }
}
