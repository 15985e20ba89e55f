//! What there is of processes, descriptors and files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// What must be the same before and after.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inventory {
    /// Processes that bear our mark, by name.
    pub(crate) processes: BTreeMap<String, usize>,
    pub(crate) zombies: usize,
    /// Descriptors by the name of our process.
    pub(crate) descriptors: BTreeMap<String, usize>,
    /// Files in the control directory, with `PID` in the place of numbers.
    pub(crate) control: BTreeSet<String>,
    /// Files in the directory for temporary ones.
    pub(crate) temporary: BTreeSet<String>,
}

/// The names in a directory, and how often each is there, with `PID` in the place of numbers.
pub(crate) fn files(dir: &Path) -> BTreeSet<String> {
    let name = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        let parts = name
            .split('.')
            .map(|part| if part.parse::<u32>().is_ok() { "PID" } else { part });
        parts.collect::<Vec<_>>().join(".")
    };
    let counted = fs::read_dir(dir)
        .unwrap()
        .flatten()
        .map(name)
        .fold(BTreeMap::new(), |mut all, name| {
            *all.entry(name).or_insert(0) += 1;
            all
        });
    counted
        .into_iter()
        .map(|(name, count)| format!("{name} x{count}"))
        .collect()
}
