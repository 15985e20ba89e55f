//! `jobs`: lists, pauses, resumes and destroys pipelines.

use super::{
    Failure, Global, Output, find,
    rpc::{Client, RpcError},
    table::{Cell, Table, colours},
};
use crate::messages::jobs::{Empty, Pipelines};
use clap::Args;
use serde_json::json;
use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

/// A broker may take its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// The arguments; the reference's, where the names are one word with commas.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// List the pipelines
    #[arg(long)]
    list: bool,
    /// Pause pipelines
    #[arg(long)]
    pause: bool,
    /// Resume pipelines
    #[arg(long)]
    resume: bool,
    /// Destroy pipelines
    #[arg(long)]
    destroy: bool,
    /// The pipelines: p1,p2
    pipelines: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// What is to be done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    List,
    Pause,
    Resume,
    Destroy,
}

/// Runs the command.
pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let verb = arguments
        .verb()
        .ok_or("command should be in form of: `rr jobs --<destroy/resume/pause> pipe1,pipe2`, or `rr jobs --list`")?;
    let pipelines = arguments.pipelines();
    if verb != Verb::List && pipelines.is_empty() {
        let text = format!(
            "incorrect command usage, should be: rr jobs --{} pipe1,pipe2",
            verb.flag()
        );
        return Err(Failure(text));
    }
    let mut client = find::server(global)?;
    let shown = carry_out(&mut client, verb, pipelines).map_err(readable)?;
    match (arguments.output.json, global.silent && verb != Verb::List) {
        (true, _) => writeln!(io::stdout(), "{}", json!({ "pipelines": shown }))?,
        (false, true) => {}
        (false, false) => write!(io::stdout(), "{}", table(&shown).draw(colours()))?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    /// Of several flags the reference's first.
    fn verb(&self) -> Option<Verb> {
        let flags = [
            (self.pause, Verb::Pause),
            (self.destroy, Verb::Destroy),
            (self.resume, Verb::Resume),
            (self.list, Verb::List),
        ];
        flags.into_iter().find(|(given, _)| *given).map(|(_, verb)| verb)
    }

    /// Names, separated by commas or as words of their own.
    fn pipelines(&self) -> Vec<String> {
        let names = self.pipelines.iter().flat_map(|word| word.split(','));
        names
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect()
    }
}

impl Verb {
    fn flag(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Destroy => "destroy",
        }
    }
}

/// Returns the pipelines to show: all, those that were named, or those that are gone.
fn carry_out(client: &mut Client, verb: Verb, pipelines: Vec<String>) -> Result<Vec<String>, RpcError> {
    let argument = Pipelines { pipelines };
    let mut shown: Vec<String> = match verb {
        Verb::List => {
            client
                .call_message::<_, Pipelines>("jobs.List", &Empty {}, PATIENCE)?
                .pipelines
        }
        Verb::Destroy => {
            client
                .call_message::<_, Pipelines>("jobs.Destroy", &argument, PATIENCE)?
                .pipelines
        }
        Verb::Pause | Verb::Resume => {
            let method = if verb == Verb::Pause {
                "jobs.Pause"
            } else {
                "jobs.Resume"
            };
            let _: Empty = client.call_message(method, &argument, PATIENCE)?;
            return Ok(argument.pipelines);
        }
    };
    shown.sort_unstable();
    Ok(shown)
}

/// The gateway's text for a plugin that is not configured says nothing to a user.
fn readable(error: RpcError) -> Failure {
    match error {
        RpcError::Answer(text) if text.starts_with("rpc: can't find") => {
            Failure("the server runs no jobs plugin: its configuration has no section jobs".into())
        }
        other => other.into(),
    }
}

fn table(pipelines: &[String]) -> Table {
    let mut table = Table::new(&["PIPELINE ( S )"]);
    for pipeline in pipelines {
        table.row([Cell::from(pipeline)]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(pipelines: &[&str]) -> Arguments {
        Arguments {
            list: false,
            pause: true,
            resume: true,
            destroy: false,
            pipelines: pipelines.iter().map(|name| (*name).to_owned()).collect(),
            output: Output { json: false },
        }
    }

    #[test]
    fn names_are_separated_by_commas_or_blanks() {
        assert_eq!(arguments(&["a, b", "c,"]).pipelines(), ["a", "b", "c"]);
        assert_eq!(arguments(&[" "]).pipelines().len(), 0);
        assert_eq!(arguments(&[]).verb(), Some(Verb::Pause));
    }

    #[test]
    fn it_looks_like_the_references() {
        let expected = "\
┌────────────────┐
│ PIPELINE ( S ) │
├────────────────┤
│ p2             │
└────────────────┘
";
        assert_eq!(table(&["p2".into()]).draw(false), expected);
    }
}
