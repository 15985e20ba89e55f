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

pub(crate) fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

pub(crate) fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

pub(crate) fn zombies(parent: u32) -> usize {
    let is = |entry: fs::DirEntry| {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        fields.first() == Some(&"Z") && fields.get(1) == Some(&parent.to_string().as_str())
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .map(is)
        .filter(|zombie| *zombie)
        .count()
}

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
