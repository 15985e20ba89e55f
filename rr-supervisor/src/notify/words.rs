//! The line that `systemctl status` shows: which plugins serve, and what is the matter with the others.

use crate::fleet::{Roster, State};

/// In words.
pub(super) fn of(roster: &Roster) -> String {
    let members = roster.members.iter();
    // One that waits for its first call is neither good nor bad news.
    let told = members.filter(|member| !(member.on_demand && member.state == State::Down));
    let states: Vec<_> = told.map(|member| (member.name.as_str(), member.state)).collect();
    let upgrading = roster.members.iter().filter(|member| member.is_upgrading());
    let upgrading: Vec<_> = upgrading.map(|member| member.name.as_str()).collect();
    words(&states, &upgrading, roster.stopping)
}

fn words(states: &[(&str, State)], upgrading: &[&str], stopping: bool) -> String {
    let names = |wanted: &dyn Fn(State) -> bool| -> Vec<&str> {
        let found = states.iter().filter(|(_, state)| wanted(*state));
        found.map(|(name, _)| *name).collect()
    };
    if stopping {
        let left = names(&|state| !matches!(state, State::Down | State::Failed));
        return match &left[..] {
            [] => "Stopping".to_owned(),
            left => format!("Stopping; not down yet: {}", left.join(", ")),
        };
    }
    let serving = names(&|state| state == State::Running);
    let mut words = match &serving[..] {
        [] => "No plugin serves".to_owned(),
        serving => format!("Serving: {}", serving.join(", ")),
    };
    if !upgrading.is_empty() {
        words.push_str(&format!("; upgrading: {}", upgrading.join(", ")));
    }
    for state in [
        State::Starting,
        State::Restarting,
        State::Stopping,
        State::Failed,
        State::Down,
    ] {
        let some = names(&|other| other == state);
        if !some.is_empty() {
            words.push_str(&format!("; {}: {}", state.text(), some.join(", ")));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serves_comes_first_then_what_does_not() {
        let states = [("kv", State::Running), ("http", State::Running)];
        assert_eq!(words(&states, &[], false), "Serving: kv, http");
        assert_eq!(words(&states, &["http"], false), "Serving: kv, http; upgrading: http");
        let states = [("kv", State::Failed), ("http", State::Restarting)];
        let told = "No plugin serves; restarting: http; failed: kv";
        assert_eq!(words(&states, &[], false), told);
    }

    #[test]
    fn a_stop_shows_who_is_left() {
        let states = [("kv", State::Running), ("http", State::Down)];
        assert_eq!(words(&states, &[], true), "Stopping; not down yet: kv");
        assert_eq!(words(&states[1..], &[], true), "Stopping");
    }
}
