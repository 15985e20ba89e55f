//! The history of the plugins in words: ends of their processes, of what they left behind, and of the workers of replaced ones.

use super::{Cause, End, History, Orphan, Past};
use crate::{
    plugins::lifecycle::Exit,
    renew::baggage::{Baggage, Span},
};
use nix::unistd::Pid;
use prost::Message;
use rr_common::{control::v1::WorkerDeath, oom::Verdict, telemetry::Tail};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// All that is remembered, oldest first.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct KeptHistory {
    /// By plugin.
    ends: Vec<(String, Vec<KeptEnd>)>,
    orphans: Vec<KeptOrphan>,
    /// By plugin, as messages of the contract.
    workers: Vec<(String, Span)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptEnd {
    pid: Option<i32>,
    since: SystemTime,
    at: SystemTime,
    cause: Cause,
    exit: Exit,
    verdict: Option<Verdict>,
    early: bool,
    words: String,
    #[serde(default)]
    next: bool,
    lines: Span,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptOrphan {
    pid: i32,
    at: SystemTime,
    exit: Exit,
}

impl KeptHistory {
    pub(super) fn pack(history: &History, past: &Past, baggage: &mut Baggage) -> Self {
        let mut end = |end: &End| KeptEnd {
            pid: end.pid.map(Pid::as_raw),
            since: end.since,
            at: end.at,
            cause: end.cause,
            exit: end.exit,
            verdict: end.verdict,
            early: end.early,
            words: end.words.clone(),
            next: end.next,
            lines: baggage.add_bytes(&end.lines.bytes()),
        };
        let orphan = |orphan: Orphan| KeptOrphan {
            pid: orphan.pid.as_raw(),
            at: orphan.at,
            exit: orphan.exit,
        };
        Self {
            ends: history
                .all()
                .map(|(plugin, ends)| (plugin.to_owned(), ends.iter().map(|one| end(one)).collect()))
                .collect(),
            orphans: history.orphans().into_iter().map(orphan).collect(),
            workers: past
                .all()
                .into_iter()
                .map(|(plugin, death)| (plugin, baggage.add_bytes(&death.encode_to_vec())))
                .collect(),
        }
    }

    /// Remembers it, as far as what remembers has room.
    pub(super) fn unpack(self, history: &mut History, past: &Past, baggage: &Baggage) {
        for (plugin, ends) in self.ends {
            for kept in ends {
                history.recall(&plugin, kept.end(baggage));
            }
        }
        for KeptOrphan { pid, at, exit } in self.orphans {
            let pid = Pid::from_raw(pid);
            history.recall_orphan(Orphan { pid, at, exit });
        }
        for (plugin, death) in self.workers {
            let death = baggage.bytes(death).and_then(|bytes| WorkerDeath::decode(bytes).ok());
            past.remember(&plugin, death.into_iter());
        }
    }
}

impl KeptEnd {
    fn end(self, baggage: &Baggage) -> End {
        End {
            pid: self.pid.map(Pid::from_raw),
            since: self.since,
            at: self.at,
            cause: self.cause,
            exit: self.exit,
            verdict: self.verdict,
            early: self.early,
            words: self.words,
            next: self.next,
            lines: Tail::from(baggage.bytes(self.lines).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn all(history: &History, past: &Past) -> String {
        let mut plugins: Vec<_> = history.all().collect();
        plugins.sort_by_key(|(plugin, _)| *plugin);
        format!("{plugins:?} {:?} {:?}", history.orphans(), past.all())
    }

    fn again(history: &History, past: &Past) -> (History, Past) {
        let mut baggage = Baggage::default();
        let kept = KeptHistory::pack(history, past, &mut baggage);
        let words = serde_json::to_string(&kept).unwrap();
        let kept: KeptHistory = serde_json::from_str(&words).unwrap();
        let (mut history, past) = Default::default();
        kept.unpack(&mut history, &past, &baggage);
        (history, past)
    }

    proptest! {
        /// Whatever has been remembered, and whenever it is packed, the same is remembered afterwards.
        #[test]
        fn it_is_remembered_as_it_was(
            events in prop::collection::vec((0..4_u8, any::<u8>(), prop::collection::vec(any::<u8>(), 0..10)), 0..400),
            cut in 0..400_usize,
        ) {
            let (mut old, mut new): ((History, Past), (History, Past)) = Default::default();
            for (index, (kind, number, bytes)) in events.into_iter().enumerate() {
                if index == cut {
                    new = again(&new.0, &new.1);
                }
                let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(index as u64);
                let exit = [Exit::Code(1), Exit::Signal(9), Exit::NotStarted, Exit::Unseen][usize::from(number % 4)];
                let plugin = if number % 3 == 0 { "http" } else { "kv" };
                for (history, past) in [&mut old, &mut new] {
                    match kind {
                        0 => history.recall_orphan(Orphan { pid: Pid::from_raw(number.into()), at, exit }),
                        1 => past.remember(plugin, std::iter::once(WorkerDeath { pid: number.into(), ..WorkerDeath::default() })),
                        _ => history.ended(plugin, End {
                            pid: (number > 9).then(|| Pid::from_raw(number.into())),
                            since: SystemTime::UNIX_EPOCH,
                            at,
                            cause: [Cause::Crash, Cause::Start, Cause::Upgrade, Cause::Reload, Cause::Stop][usize::from(number % 5)],
                            exit,
                            verdict: [None, Some(Verdict::Killed), Some(Verdict::OutOfMemory)][usize::from(number % 3)],
                            early: number % 2 == 0,
                            words: String::from_utf8_lossy(&bytes).into_owned(),
                            next: number % 4 == 0,
                            lines: Tail::from(&*bytes),
                        }),
                    }
                }
            }
            let again = again(&new.0, &new.1);
            for (history, past) in [&new, &again] {
                prop_assert_eq!(all(history, past), all(&old.0, &old.1));
            }
        }
    }

    /// A program that remembered more than we do is no reason to do so too.
    #[test]
    fn what_comes_in_is_bounded() {
        let end = || KeptEnd {
            pid: None,
            since: SystemTime::UNIX_EPOCH,
            at: SystemTime::UNIX_EPOCH,
            cause: Cause::Crash,
            exit: Exit::Code(1),
            verdict: None,
            early: false,
            words: String::new(),
            next: false,
            lines: Span::default(),
        };
        let orphan = |pid| KeptOrphan {
            pid,
            at: SystemTime::UNIX_EPOCH,
            exit: Exit::Unseen,
        };
        let kept = KeptHistory {
            ends: vec![("http".into(), (0..1000).map(|_| end()).collect())],
            orphans: (0..1000).map(orphan).collect(),
            workers: vec![("http".into(), Span::default()); 1000],
        };
        let (mut history, past): (History, Past) = Default::default();
        kept.unpack(&mut history, &past, &Baggage::default());
        assert_eq!(
            (history.of("http").len(), history.orphans().len(), past.all().len()),
            (16, 64, 256)
        );
    }
}
