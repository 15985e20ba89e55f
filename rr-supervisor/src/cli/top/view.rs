//! The picture of a [`Model`], as lines: the plugins, the selected one's pools and workers, the last deaths, the keys.
//!
//! What is shared out is the height: the plugins are all shown, the deaths get what the workers leave, at least a few lines.

use super::{
    super::{ends, human},
    model::Model,
};
use crate::{
    fleet::state_shown,
    operate::{Process, Queue, Worker},
};
use ratatui_core::{
    style::{Color, Modifier, Style},
    text::{Line, Span},
};

/// Lines that the deaths get in any case, their title included.
const DEATHS: usize = 5;

const TITLE: Style = Style::new().add_modifier(Modifier::BOLD);
const HEAD: Style = Style::new().fg(Color::DarkGray);
const SELECTED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// The whole screen, at most so many lines, each cut to the width.
pub(super) fn lines(model: &Model, width: usize, height: usize) -> Vec<Line<'static>> {
    let mut top = vec![headline(model)];
    top.push(Line::styled(plugin_row(PLUGIN_HEAD.map(str::to_owned)), HEAD));
    for (place, seen) in model.seen.iter().enumerate() {
        top.push(plugin(&seen.process, place == model.place()));
    }
    top.push(Line::default());
    if let Some(seen) = model.seen.get(model.place()) {
        top.extend(seen.pools.iter().map(|queue| pool(&seen.process.name, queue)));
    }
    let bottom = footer(model);
    let free = height.saturating_sub(top.len() + 1);
    let mut middle = workers(model);
    let mut deaths = deaths(model);
    let for_deaths = free.saturating_sub(middle.len()).max(DEATHS.min(free));
    deaths.truncate(for_deaths);
    let for_workers = free.saturating_sub(deaths.len());
    let hidden = middle.len().saturating_sub(for_workers);
    if hidden > 0 && for_workers > 0 {
        middle.truncate(for_workers - 1);
        middle.push(Line::styled(format!("  … and {} more", hidden + 1), HEAD));
    } else {
        middle.truncate(for_workers);
    }
    let mut all = top;
    all.extend(middle);
    all.extend(deaths);
    all.truncate(height.saturating_sub(1));
    all.resize(height.saturating_sub(1), Line::default());
    all.push(bottom);
    all.into_iter().map(|line| cut(line, width)).collect()
}

fn headline(model: &Model) -> Line<'static> {
    let plugins = model.seen.len().saturating_sub(1);
    let workers: usize = model.seen.iter().map(|seen| seen.workers.len()).sum();
    let age = model.seen.first().and_then(|seen| seen.process.uptime_seconds);
    let age = age.map_or_else(String::new, |seconds| format!(", up {}", human::lasted(seconds)));
    let text = match (&model.away, model.seen.is_empty()) {
        (None, true) => "rr top: looking …".to_owned(),
        (_, true) => "rr top".to_owned(),
        (_, false) => format!(
            "rr top: {}, {}{age}",
            counted(plugins, "plugin"),
            counted(workers, "worker")
        ),
    };
    let mut line = Line::styled(text, TITLE);
    if let Some(reason) = &model.away {
        line.push_span(Span::styled(
            format!("  no answer, trying again: {}", plain(reason)),
            Style::new().fg(Color::Red),
        ));
    }
    line
}

const PLUGIN_HEAD: [&str; 8] = [
    "PLUGIN", "STATE", "PID", "UPTIME", "RESTARTS", "MEMORY", "WORKERS", "HEALTH",
];

fn plugin_row([name, state, pid, uptime, restarts, memory, workers, health]: [String; 8]) -> String {
    format!("  {name:<14} {state:<11} {pid:>8} {uptime:>8} {restarts:>8} {memory:>8} {workers:>13}  {health}")
}

fn plugin(process: &Process, selected: bool) -> Line<'static> {
    let none = || "-".to_owned();
    let memory = process.memory.map(|memory| memory.pss.unwrap_or(memory.rss));
    let workers = process.workers.map(|count| match process.workers_memory {
        0 => count.to_string(),
        memory => format!("{count} ({})", human::bytes(memory)),
    });
    let state = state_shown(&process.state, process.on_demand);
    let health = match process.health.as_str() {
        _ if !process.serves() => "-",
        "" if process.ready => "ok",
        "" => "busy",
        text => text,
    };
    let text = plugin_row([
        plain(&process.name),
        state.to_owned(),
        process.pid.map_or_else(none, |pid| pid.to_string()),
        process.uptime_seconds.map_or_else(none, human::lasted),
        process.restarts.to_string(),
        memory.map_or_else(none, human::bytes),
        workers.unwrap_or_else(none),
        plain(health),
    ]);
    let colour = match (process.state.as_str(), health) {
        ("failed", _) => Style::new().fg(Color::Red),
        ("running", "ok" | "busy") => Style::new(),
        ("down", _) if process.on_demand => Style::new(),
        _ => Style::new().fg(Color::Yellow),
    };
    match selected {
        true => Line::styled(text.replacen("  ", "> ", 1), colour.patch(SELECTED)),
        false => Line::styled(text, colour),
    }
}

fn pool(plugin: &str, queue: &Queue) -> Line<'static> {
    let Queue {
        workers,
        running,
        waiting,
        ..
    } = queue;
    let mut text = format!(
        "  pool {} of {}: {workers} workers, {running} requests run, {waiting} wait",
        plain(&queue.pool),
        plain(plugin)
    );
    if *waiting > 0 {
        text += &format!(", the oldest for {}", age(queue.wait_ms));
    }
    let style = if *waiting > 0 {
        Style::new().fg(Color::Yellow)
    } else {
        TITLE
    };
    Line::styled(text, style)
}

fn workers(model: &Model) -> Vec<Line<'static>> {
    let workers = model.workers();
    if workers.is_empty() {
        return Vec::new();
    }
    let row = |pid: &str, state: &str, requests: &str, memory: &str, cpu: &str, busy: &str, request: &str| {
        format!("  {pid:>8} {state:<16} {requests:>10} {memory:>8} {cpu:>6} {busy:>8}  {request}")
    };
    let mut lines = vec![Line::styled(
        row("WORKER", "STATE", "REQUESTS", "MEMORY", "CPU %", "BUSY", "REQUEST"),
        HEAD,
    )];
    for worker in workers {
        let Worker { pid, busy_ms, .. } = worker;
        let text = row(
            &pid.to_string(),
            &plain(&worker.status_text),
            &human::commas(worker.execs),
            &human::bytes(worker.memory),
            &format!("{:.1}", worker.cpu),
            &if *busy_ms > 0 { age(*busy_ms) } else { "-".to_owned() },
            &plain(if worker.request.is_empty() {
                &worker.command
            } else {
                &worker.request
            }),
        );
        lines.push(Line::from(text));
    }
    lines.push(Line::default());
    lines
}

fn deaths(model: &Model) -> Vec<Line<'static>> {
    let deaths = model.deaths();
    if deaths.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![Line::styled("  LAST DEATHS AND REPLACEMENTS", HEAD)];
    lines.extend(deaths.into_iter().map(|death| {
        let style = match death.is_trouble() {
            true => Style::new().fg(Color::Red),
            false => Style::new(),
        };
        Line::styled(format!("  {}", ends::sentence(death)), style)
    }));
    lines
}

fn footer(model: &Model) -> Line<'static> {
    match (&model.asked, model.note.as_str()) {
        (Some(plugin), _) => Line::styled(
            format!("Replace all workers of {}? y: yes, any other key: no", plain(plugin)),
            SELECTED,
        ),
        (None, "") => {
            let sort = model.sort.text();
            let text = format!("q quit   ↑ ↓ plugin   s sort by (now {sort})   r reset the plugin's workers");
            Line::styled(text, HEAD)
        }
        (None, note) => Line::styled(plain(note), TITLE),
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// How long a request runs or waits: `12 ms`, `2.5 s`, `3m01s`.
fn age(ms: u64) -> String {
    match ms {
        ..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000.. => human::lasted(ms / 1000),
    }
}

/// No control character of somebody else reaches the terminal.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Cuts a line to a number of characters.
fn cut(mut line: Line<'static>, width: usize) -> Line<'static> {
    let mut left = width;
    for span in &mut line.spans {
        let length = span.content.chars().count();
        if length > left {
            span.content = span.content.chars().take(left).collect();
        }
        left -= length.min(left);
    }
    line
}
