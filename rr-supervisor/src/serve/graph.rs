//! The order of the start as a picture (`endure.print_graph`).

use crate::plugins::catalog::Entry;

/// The plugins in the order of their start, as graphviz.
pub(super) fn graph(entries: &[Entry]) -> String {
    let mut lines = vec!["digraph endure {".to_owned()];
    for entry in entries {
        lines.push(format!("\trr_supervisor -> {:?};", entry.name));
    }
    for (before, after) in entries.iter().zip(entries.iter().skip(1)) {
        if before.role < after.role {
            lines.push(format!("\t{:?} -> {:?};", before.name, after.name));
        }
    }
    lines.push("}".into());
    lines.join("\n")
}
