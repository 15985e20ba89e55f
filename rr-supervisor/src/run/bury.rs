//! The last that the server does: its processes are buried, and what is no process ends too.

use super::{Run, until};
use crate::{reaper, service};
use std::time::{Duration, Instant};

/// How long the kernel is given to end processes that were killed.
const LAST_REAP: Duration = Duration::from_secs(1);

impl Run {
    /// Ends everything that is left.
    pub(super) async fn bury(mut self) {
        self.reap_last().await;
        reaper::kill_orphans(&[], reaper::WORKER, None);
        reaper::kill_orphans(&[], service::MARK, None);
        self.services.last_words(LAST_REAP).await;
        self.fleet.last_words(LAST_REAP).await;
        self.fleet.dissolve(LAST_REAP);
    }

    /// Waits a moment for the last ends.
    async fn reap_last(&mut self) {
        let deadline = Instant::now() + LAST_REAP;
        loop {
            for (pid, exit) in self.reaper.reap() {
                self.ended(pid, exit);
            }
            if (self.fleet.pids().is_empty() && !self.services.have_processes()) || Instant::now() >= deadline {
                break;
            }
            tokio::select! {
                () = self.reaper.wait() => {}
                // The end of those that are no children of ours.
                Some(question) = self.questions.recv() => self.fleet.answer(question, Instant::now()),
                () = until(Some(deadline)) => {}
            }
        }
    }
}
