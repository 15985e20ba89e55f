//! `plugins`: every process of the server: version, age, restarts, memory, workers, health, and what died lately.

use super::{
    Failure, Global, Output, ends, find, human,
    rpc::QUICK,
    table::{Cell, Colour, Table, colours},
};
use crate::{
    fleet::state_shown,
    operate::{Death, Process},
};
use serde_json::json;
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Deaths that are shown of one plugin, and of its workers; `--json` has all, and `why` tells more.
const DEATHS: usize = 3;

/// Runs the command.
pub(super) fn run(global: &Global, output: Output) -> Result<ExitCode, Failure> {
    let mut client = find::server(global)?;
    let processes: Vec<Process> = client.call("supervisor.Plugins", &true, QUICK)?;
    let text = match output.json {
        true => format!("{}\n", json!({ "plugins": processes })),
        false => table(&processes).draw(colours()) + &deaths(&processes),
    };
    write!(io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

fn table(processes: &[Process]) -> Table {
    let head = [
        "PLUGIN", "STATE", "PID", "VERSION", "UPTIME", "RESTARTS", "MEMORY", "WORKERS", "HEALTH",
    ];
    let mut table = Table::new(&head);
    let none = || "-".to_owned();
    for process in processes {
        let memory = process.memory.map(|memory| memory.pss.unwrap_or(memory.rss));
        let workers = process.workers.map(|count| match process.workers_memory {
            0 => count.to_string(),
            memory => format!("{count} ({})", human::bytes(memory)),
        });
        table.row([
            Cell::from(&process.name),
            state(process),
            Cell::from(process.pid.map_or_else(none, |pid| pid.to_string())),
            Cell::from(if process.version.is_empty() {
                "-"
            } else {
                &process.version
            }),
            Cell::from(process.uptime_seconds.map_or_else(none, human::lasted)),
            Cell::from(process.restarts),
            Cell::from(memory.map_or_else(none, human::bytes)),
            Cell::from(workers.unwrap_or_else(none)),
            health(process),
        ]);
    }
    table
}

fn state(process: &Process) -> Cell {
    match state_shown(&process.state, process.on_demand) {
        "running" => Cell::coloured("running", Colour::Green),
        "failed" => Cell::coloured("failed", Colour::Red),
        shown @ "on demand" => Cell::from(shown),
        other => Cell::coloured(other, Colour::Yellow),
    }
}

fn health(process: &Process) -> Cell {
    match process.health.as_str() {
        _ if !process.serves() => Cell::from("-"),
        "" if process.ready => Cell::coloured("ok", Colour::Green),
        "" => Cell::coloured("busy", Colour::Yellow),
        text => Cell::coloured(text, Colour::Red),
    }
}

/// The last ends that nobody asked for, a line each, and what the last process of each plugin wrote.
fn deaths(processes: &[Process]) -> String {
    let mut text = String::new();
    for process in processes {
        let troubles = |deaths: &'_ [Death]| -> Vec<Death> {
            let troubles = deaths.iter().rev().filter(|death| death.is_trouble());
            troubles.take(DEATHS).cloned().collect()
        };
        for (place, death) in troubles(&process.deaths).iter().enumerate() {
            text += &format!("{}\n", ends::sentence(death));
            if place == 0 && !process.serves() {
                text += &ends::words(death);
            }
        }
        for death in troubles(&process.worker_deaths) {
            text += &format!("{}\n", ends::sentence(&death));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::Memory;

    #[test]
    fn everything_has_its_column() {
        let supervisor = Process {
            name: "supervisor".into(),
            state: "running".into(),
            pid: Some(10),
            version: "2025.1.15".into(),
            uptime_seconds: Some(61),
            memory: Some(Memory {
                rss: 9_000_000,
                pss: Some(3_400_000),
            }),
            ready: true,
            ..Process::default()
        };
        let http = Process {
            name: "http".into(),
            state: "restarting".into(),
            restarts: 2,
            deaths: vec![Death {
                seconds_ago: 60,
                plugin: "http".into(),
                pid: 7,
                cause: "crash".into(),
                exit: "SIGKILL".into(),
                reason: "SIGKILL".into(),
                lines: "last words".into(),
                ..Death::default()
            }],
            ..Process::default()
        };
        let lock = Process {
            name: "lock".into(),
            state: "down".into(),
            on_demand: true,
            ..Process::default()
        };
        let all = [supervisor, http, lock];
        let drawn = table(&all).draw(false);
        let cells = |line: usize| -> Vec<String> {
            let line = drawn.lines().nth(line).unwrap_or_default();
            line.trim_matches('│')
                .split('│')
                .map(|cell| cell.trim().to_owned())
                .collect()
        };
        assert_eq!(
            cells(3),
            [
                "supervisor",
                "running",
                "10",
                "2025.1.15",
                "1m01s",
                "0",
                "3.4 MB",
                "-",
                "ok"
            ]
        );
        assert_eq!(cells(4), ["http", "restarting", "-", "-", "-", "2", "-", "-", "-"]);
        assert_eq!(cells(5)[1], "on demand");
        assert_eq!(
            deaths(&all),
            "http died 1 minute ago: SIGKILL; pid 7 had run for 0s\n    last words\n"
        );
    }
}
