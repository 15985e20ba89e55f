//! `workers`: who works, as tables or JSON, once or each second; one worker more, one less.

use super::{
    Failure, Global, Output, find, human,
    rpc::{Client, QUICK, RpcError},
    serve::say,
    table::{Cell, Colour, Table, colours, paint},
};
use crate::operate::{Pipeline, Worker, WorkerList};
use clap::{Args, Subcommand};
use rr_common::shutdown::Signals;
use serde::Serialize;
use serde_json::json;
use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The plugin whose workers are commands of the user, which serve no requests.
const SERVICE: &str = "service";
/// How often the live view looks.
const EACH: Duration = Duration::from_secs(1);
/// Longer than the server waits for the start or the end of a worker.
const PATIENCE: Duration = Duration::from_secs(610);
/// To the top left, and nothing left below.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// The arguments.
#[derive(Debug, Args)]
#[command(subcommand_precedence_over_arg = true)]
pub(super) struct Arguments {
    /// Plugins; without any all that have workers
    plugins: Vec<String>,
    /// Draw it again each second, until Ctrl-C
    #[arg(short, long)]
    interactive: bool,
    #[command(flatten)]
    output: Output,
    #[command(subcommand)]
    change: Option<Change>,
}

#[derive(Debug, Subcommand)]
enum Change {
    /// One worker more
    Add {
        /// The plugin
        plugin: String,
        #[command(flatten)]
        output: Output,
    },
    /// One worker less
    Remove {
        /// The plugin
        plugin: String,
        #[command(flatten)]
        output: Output,
    },
}

/// What is known of one plugin.
#[derive(Debug, Serialize)]
struct Seen {
    plugin: String,
    workers: Vec<Worker>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipelines: Option<Vec<Pipeline>>,
    /// Why it could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Runs the command.
pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.change {
        Some(Change::Add { plugin, output }) => change(global, "informer.AddWorker", plugin, *output),
        Some(Change::Remove { plugin, output }) => change(global, "informer.RemoveWorker", plugin, *output),
        None if arguments.interactive => live(global, arguments),
        None => {
            let mut client = find::server(global)?;
            let seen = look(&mut client, &arguments.plugins)?;
            write!(io::stdout(), "{}", shown(&seen, arguments.output))?;
            Ok(told(&seen))
        }
    }
}

/// Errors have been shown in their tables; whoever reads only the exit code learns of them too.
fn told(seen: &[Seen]) -> ExitCode {
    match seen.iter().any(|seen| seen.error.is_some()) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn change(global: &Global, method: &str, plugin: &str, output: Output) -> Result<ExitCode, Failure> {
    let mut client = find::server(global)?;
    let _: bool = client.call(method, &plugin, PATIENCE)?;
    let workers = workers(&mut client, plugin)?.unwrap_or_default().len();
    match output.json {
        true => writeln!(io::stdout(), "{}", json!({"plugin": plugin, "workers": workers}))?,
        false => say(global.silent, &format!("workers of [{plugin}]: {workers}")),
    }
    Ok(ExitCode::SUCCESS)
}

/// Draws until a signal. A server that is gone for a while is waited for.
fn live(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let address = find::address(global)?;
        // The first time nobody may be there at all: then that is the answer.
        let mut client = Some(find::connect(&address)?);
        let mut clock = tokio::time::interval(EACH);
        loop {
            tokio::select! {
                () = signals.next() => return Ok(ExitCode::SUCCESS),
                _ = clock.tick() => {}
            }
            let seen = match &mut client {
                Some(client) => look(client, &arguments.plugins),
                None => find::connect(&address).and_then(|found| look(client.insert(found), &arguments.plugins)),
            };
            let text = match seen {
                Ok(seen) => shown(&seen, arguments.output),
                Err(error) => {
                    client = None;
                    match arguments.output.json {
                        true => format!("{}\n", json!({"error": error.to_string()})),
                        false => format!("{error}\n"),
                    }
                }
            };
            let mut out = io::stdout().lock();
            let clear = out.is_terminal() && !arguments.output.json;
            match write!(out, "{}{text}", if clear { CLEAR } else { "" }).and_then(|()| out.flush()) {
                // Whoever looked has had enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                written => written?,
            }
        }
    })
}

/// Asks the server for all that is shown.
fn look(client: &mut Client, asked: &[String]) -> Result<Vec<Seen>, RpcError> {
    let known: Vec<String> = client.call("informer.List", &true, QUICK)?;
    let names = if asked.is_empty() { &known } else { asked };
    let mut all = Vec::new();
    for name in names {
        let found = workers(client, name);
        let jobs: Result<Option<Vec<Pipeline>>, RpcError> = client.call("informer.Jobs", name, QUICK);
        let mut seen = Seen {
            plugin: name.clone(),
            workers: Vec::new(),
            pipelines: None,
            error: None,
        };
        match found {
            Ok(None) if !known.contains(name) => seen.error = Some("the server has no such plugin with workers".into()),
            Ok(found) => seen.workers = found.unwrap_or_default(),
            Err(RpcError::Answer(text)) => seen.error = Some(text),
            Err(broken) => return Err(broken),
        }
        match jobs {
            Ok(pipelines) => seen.pipelines = pipelines,
            Err(RpcError::Answer(text)) => seen.error = seen.error.or(Some(text)),
            Err(broken) => return Err(broken),
        }
        all.push(seen);
    }
    Ok(all)
}

fn workers(client: &mut Client, plugin: &str) -> Result<Option<Vec<Worker>>, RpcError> {
    let list: WorkerList = client.call("informer.Workers", &plugin, QUICK)?;
    Ok(list.workers.map(|mut workers| {
        workers.sort_by_key(|worker| worker.pid);
        workers
    }))
}

/// As JSON on one line, or as tables: first all workers, then all pipelines.
fn shown(seen: &[Seen], output: Output) -> String {
    if output.json {
        return format!("{}\n", json!({ "plugins": seen }));
    }
    let colours = colours();
    let title = |what: &str, plugin: &str| match colours {
        true => format!("{what} of [{}]:\n", paint(plugin, Colour::BrightYellow)),
        false => format!("{what} of [{plugin}]:\n"),
    };
    let mut text = String::new();
    for seen in seen {
        let table = match &seen.error {
            Some(error) => error_table(&seen.plugin, error),
            None if seen.workers.is_empty() => continue,
            None if seen.plugin == SERVICE => service_table(&seen.workers),
            None => worker_table(&seen.workers, SystemTime::now()),
        };
        text += &title("Workers", &seen.plugin);
        text += &table.draw(colours);
    }
    for seen in seen {
        if let Some(pipelines) = seen.pipelines.as_deref().filter(|pipelines| !pipelines.is_empty()) {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "{}{}",
                title("Jobs", &seen.plugin),
                pipeline_table(pipelines).draw(colours)
            );
        }
    }
    text
}

const HEAD: [&str; 6] = ["PID", "STATUS", "EXECS", "MEMORY", "CPU %", "CREATED"];

fn worker_table(workers: &[Worker], now: SystemTime) -> Table {
    let mut table = Table::new(&HEAD);
    for worker in workers {
        let created = UNIX_EPOCH + Duration::from_nanos(worker.created);
        table.row([
            Cell::from(worker.pid),
            status(&worker.status_text),
            Cell::from(human::commas(worker.execs)),
            Cell::from(human::bytes(worker.memory)),
            Cell::from(format!("{:.2}", worker.cpu)),
            Cell::from(human::ago(now.duration_since(created).unwrap_or_default())),
        ]);
    }
    table
}

fn error_table(plugin: &str, error: &str) -> Table {
    let mut table = Table::new(&HEAD);
    let text = format!("failed to receive information about {plugin} plugin: {error}");
    let missing = || Cell::from("ERROR");
    table.row([
        Cell::from(0),
        Cell::from(text),
        missing(),
        missing(),
        missing(),
        missing(),
    ]);
    table
}

fn service_table(workers: &[Worker]) -> Table {
    let mut table = Table::new(&["PID", "MEMORY", "CPU %", "COMMAND"]);
    for worker in workers {
        table.row([
            Cell::from(worker.pid),
            Cell::from(human::bytes(worker.memory)),
            Cell::from(format!("{:.2}", worker.cpu)),
            Cell::from(&worker.command),
        ]);
    }
    table
}

fn pipeline_table(pipelines: &[Pipeline]) -> Table {
    let mut sorted: Vec<&Pipeline> = pipelines.iter().collect();
    sorted.sort_by(|a, b| a.pipeline.cmp(&b.pipeline));
    let mut table = Table::new(&["STATUS", "PIPELINE", "DRIVER", "QUEUE", "ACTIVE", "DELAYED", "RESERVED"]);
    for pipeline in sorted {
        table.row([
            Cell::from(if pipeline.ready { "READY" } else { "PAUSED/STOPPED" }),
            Cell::from(&pipeline.pipeline),
            Cell::from(&pipeline.driver),
            Cell::from(&pipeline.queue),
            Cell::from(pipeline.active),
            Cell::from(pipeline.delayed),
            Cell::from(pipeline.reserved),
        ]);
    }
    table
}

/// A worker's state, in the reference's colours.
fn status(text: &str) -> Cell {
    match text {
        "ready" => Cell::coloured(text, Colour::Cyan),
        "working" => Cell::coloured(text, Colour::Green),
        "inactive" | "invalid" => Cell::coloured(text, Colour::Yellow),
        "stopped" | "errored" => Cell::coloured(text, Colour::Red),
        other => Cell::from(other),
    }
}
