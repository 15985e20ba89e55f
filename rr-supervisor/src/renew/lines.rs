//! The last lines of living processes: their log sockets live on, and so does what is remembered of what came there.

use super::{
    Kept,
    baggage::{Baggage, Span},
};
use nix::unistd::Pid;
use rr_common::telemetry::{Tail, sink::Input};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What a process has written last.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LastLines {
    pid: i32,
    /// Which of the sockets for log lines is its own; none, if it has closed it.
    log: Option<usize>,
    text: Span,
}

/// The last lines of the processes that were there, by pid.
#[derive(Debug, Default)]
pub(crate) struct Lines(HashMap<i32, Tail>);

impl Lines {
    /// Those of a process; what it writes from now on is to be added.
    pub(crate) fn of(&self, pid: Pid) -> Tail {
        self.0.get(&pid.as_raw()).cloned().unwrap_or_default()
    }
}

impl Kept {
    /// Packs the log's inputs, and what these processes have written last.
    pub(crate) fn pack_logs(&mut self, inputs: Vec<Input>, processes: &[(Pid, Tail)], baggage: &mut Baggage) {
        let last = |(pid, tail): &(Pid, Tail)| LastLines {
            pid: pid.as_raw(),
            log: inputs
                .iter()
                .position(|input| input.tail.as_ref().is_some_and(|noted| noted.is(tail))),
            text: baggage.add_bytes(&tail.bytes()),
        };
        self.lines = processes.iter().map(last).collect();
        self.logs = inputs.into_iter().map(|input| baggage.add(input.socket)).collect();
    }

    /// Unpacks them.
    pub(crate) fn unpack_logs(&self, baggage: &mut Baggage) -> (Vec<Input>, Lines) {
        let mut lines = Lines::default();
        let mut tails = HashMap::new();
        for last in &self.lines {
            let tail = Tail::from(baggage.bytes(last.text).unwrap_or_default());
            tails.extend(last.log.map(|log| (log, tail.clone())));
            lines.0.insert(last.pid, tail);
        }
        let input = |(log, descriptor)| {
            Some(Input {
                socket: baggage.descriptor(descriptor)?,
                tail: tails.get(&log).cloned(),
            })
        };
        (self.logs.iter().copied().enumerate().filter_map(input).collect(), lines)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_later_is_added_to_what_was_written_before() {
        let input = |tail: Option<&Tail>| Input {
            socket: std::io::pipe().unwrap().0.into(),
            tail: tail.cloned(),
        };
        let (one, other) = (Tail::from(&b"one\n"[..]), Tail::from(&b"other\n"[..]));
        let inputs = vec![input(None), input(Some(&one))];
        let processes = [(Pid::from_raw(1), one), (Pid::from_raw(2), other)];
        let (mut kept, mut baggage) = (Kept::default(), Baggage::default());
        kept.pack_logs(inputs, &processes, &mut baggage);
        let (inputs, lines) = kept.unpack_logs(&mut baggage);
        assert_eq!(inputs.len(), 2);
        assert!(inputs[0].tail.is_none());
        inputs[1].tail.as_ref().unwrap().push(b"two\n");
        assert_eq!(lines.of(Pid::from_raw(1)).text(), "one\ntwo");
        assert_eq!(lines.of(Pid::from_raw(2)).text(), "other");
        assert_eq!(lines.of(Pid::from_raw(3)).text(), "");
    }
}
