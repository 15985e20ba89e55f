//! `why`: why a worker or a plugin died or was replaced.

use super::{Failure, Global, Output, ends, find, human, rpc::QUICK};
use crate::operate::{Running, Why, WhyQuestion};
use clap::Args;
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A process id, or a plugin's name for all that is remembered of it and its workers
    #[arg(value_name = "PID|PLUGIN")]
    about: String,
    #[command(flatten)]
    output: Output,
}

/// Runs the command.
pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut client = find::server(global)?;
    let question = WhyQuestion {
        about: arguments.about.clone(),
    };
    let why: Why = client.call("supervisor.Why", &question, QUICK)?;
    let text = match arguments.output.json {
        true => format!("{}\n", serde_json::to_string(&why)?),
        false => told(&why),
    };
    write!(io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

/// What died, oldest first, then what runs.
fn told(why: &Why) -> String {
    let mut text = String::new();
    for death in &why.deaths {
        text += &format!("{}\n{}", ends::sentence(death), ends::words(death));
    }
    for running in &why.running {
        text += &now(running);
    }
    text
}

fn now(running: &Running) -> String {
    let Running { plugin, state, .. } = running;
    let what = if running.worker { " worker" } else { "" };
    let pid = running.pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
    let age = running.seconds.filter(|_| running.pid.is_some());
    let age = age.map_or_else(String::new, |seconds| format!(", for {}", human::lasted(seconds)));
    let execs = match running.worker {
        true => format!(", {} requests", human::commas(running.execs)),
        false => String::new(),
    };
    let on = match running.request.as_str() {
        "" => String::new(),
        request => format!(", working on {request}"),
    };
    let text = format!("{plugin}{what} is {state} now{pid}{age}{execs}{on}");
    text.replace(char::is_control, " ") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::Death;

    #[test]
    fn ends_come_before_what_runs() {
        let why = Why {
            about: "http".into(),
            running: vec![Running {
                plugin: "http".into(),
                pid: Some(7),
                state: "running".into(),
                seconds: Some(2),
                ..Running::default()
            }],
            deaths: vec![Death {
                plugin: "http".into(),
                cause: "upgrade".into(),
                pid: 6,
                lasted_seconds: 5,
                seconds_ago: 3,
                ..Death::default()
            }],
        };
        let expected =
            "http was replaced 3 seconds ago: upgrade; pid 6 had run for 5s\nhttp is running now, pid 7, for 2s\n";
        assert_eq!(told(&why), expected);
    }
}
