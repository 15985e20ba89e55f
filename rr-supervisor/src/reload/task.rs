//! One reload, from the file to the answer: a task beside the loop. It finds out what is to be done; [`Doing`] does it.

use super::{
    Report,
    doing::Doing,
    hands::Hands,
    own,
    plan::{self, Side},
    report,
    source::{Current, Source},
};
use crate::{endpoints::Sections, place::Visit, watch::Gate};
use rr_common::config::Config;
use serde_json::Value;
use std::sync::Arc;

/// What a reload needs.
pub(super) struct Task {
    pub source: Arc<Source>,
    pub current: Current,
    pub hands: Hands,
    /// For the plugins, if files are watched.
    pub gate: Gate,
    pub dry_run: bool,
}

impl Task {
    /// Does it all. The error says why nothing has changed.
    pub(super) async fn run(self) -> Result<Report, String> {
        let source = Arc::clone(&self.source);
        // Files may be on a slow disk, and the loop has processes to see to.
        let read = tokio::task::spawn_blocking(move || source.read()).await;
        let (loaded, directory) = read.map_err(|error| error.to_string())??;
        let unreachable = |error: std::io::Error| format!("{}: {error}", directory.display());
        let visit = Visit::to(&directory, &self.current.place.directory).map_err(unreachable)?;
        let wanted = self.source.wanted(loaded, directory)?;
        let look = self.hands.look().await?;
        if let Some(coming) = look.coming {
            return Err(coming);
        }
        let tree: Value = serde_json::from_slice(&self.current.json).map_err(|error| error.to_string())?;
        let config: Config = serde_json::from_value(tree.clone()).map_err(|error| error.to_string())?;
        let before = Side {
            tree: &tree,
            entries: &self.current.entries,
            place: &self.current.place,
        };
        let after = Side {
            tree: &wanted.tree,
            entries: &wanted.current.entries,
            place: &wanted.current.place,
        };
        let reasons = own::impossible(&config, &wanted.config);
        if !reasons.is_empty() {
            return Err(reasons.join("\n"));
        }
        let watches = self.current.wish != wanted.current.wish;
        let held = wanted.current.wish.iter().flat_map(|wish| wish.held());
        let hasty: Vec<&str> = held
            .filter(|name| watches && look.hasty.iter().any(|hasty| hasty == name))
            .collect();
        let plan = plan::plan(before, after, &look.failed, &hasty);
        let moved = before.place.directory != after.place.directory;
        let services = own::services(&config, &wanted.config, before.place != after.place);
        let settings = own::settings(before.tree, after.tree);
        let report = report::planned(
            &plan,
            &services,
            &Sections::of(&config).changes(&Sections::of(&wanted.config)),
            settings,
            moved.then(|| after.place.directory.clone()),
            &wanted.warnings,
        );
        let idle = self.current.json == wanted.current.json && self.current.place == wanted.current.place && !watches;
        if self.dry_run || (idle && plan.changed.is_empty()) {
            return Ok(Report {
                dry_run: self.dry_run,
                ..report
            });
        }
        let on_init = moved || before.tree.pointer("/server/on_init") != after.tree.pointer("/server/on_init");
        let mut done = Vec::new();
        let doing = Doing {
            hands: &self.hands,
            before: &self.current,
            config_before: &config,
            look: &look,
            wanted: &wanted,
            plan: &plan,
            gate: &self.gate,
            watches,
        };
        match doing.all(on_init, services, moved, &mut done).await {
            Ok(pids) => {
                visit.stay();
                Ok(report.with_pids(&pids))
            }
            Err(reason) => {
                let left = doing.undo(done).await;
                Err(left.into_iter().fold(reason, |text, left| format!("{text}\n{left}")))
            }
        }
    }
}
