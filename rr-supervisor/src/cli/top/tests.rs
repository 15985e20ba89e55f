//! Keys and pictures, on a terminal that is a test's.
#![allow(clippy::unwrap_used)]

use super::{
    model::{Key, Model, News, Wish},
    view,
};
use crate::operate::{Death, Process, Queue, Seen, Worker};
use ratatui_core::{backend::TestBackend, terminal::Terminal, text::Text};

fn seen(name: &str, workers: u32) -> Seen {
    let worker = |number| Worker {
        pid: 100 + number,
        status_text: "working".into(),
        execs: 1000 * u64::from(number),
        memory: 19_000_000,
        cpu: 1.0 / f64::from(number + 1),
        busy_ms: u64::from(number) * 700,
        request: format!("GET http://localhost/{number}"),
        ..Worker::default()
    };
    Seen {
        process: Process {
            name: name.into(),
            state: "running".into(),
            pid: Some(7),
            uptime_seconds: Some(61),
            ready: true,
            workers: (workers > 0).then_some(workers as usize),
            ..Process::default()
        },
        workers: (0..workers).map(worker).collect(),
        pools: (workers > 0)
            .then(|| Queue {
                pool: "http".into(),
                workers: workers.into(),
                waiting: 3,
                running: 2,
                wait_ms: 1250,
            })
            .into_iter()
            .collect(),
    }
}

fn model() -> Model {
    let mut http = seen("http", 4);
    http.process.worker_deaths = vec![Death {
        plugin: "http".into(),
        pid: 99,
        worker: true,
        cause: "crash".into(),
        exit: "exit code 255".into(),
        execs: 1,
        ..Death::default()
    }];
    let mut model = Model::default();
    model.learn(News::Seen(vec![seen("supervisor", 0), http, seen("kv", 0)]));
    model
}

fn drawn(model: &Model, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| {
            let lines = view::lines(model, width.into(), height.into());
            frame.render_widget(Text::from(lines), frame.area());
        })
        .unwrap();
    let buffer = terminal.backend().buffer().clone();
    let cells: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
    let lines = cells
        .chunks(width.into())
        .map(|line| line.concat().trim_end().to_owned());
    lines.collect()
}

#[test]
fn everything_is_on_the_screen() {
    let lines = drawn(&model(), 130, 24);
    let text = lines.join("\n");
    assert_eq!(lines[0], "rr top: 2 plugins, 4 workers, up 1m01s");
    assert!(lines[3].starts_with("> http") && lines[4].starts_with("  kv"), "{text}");
    assert!(text.contains("pool http of http: 4 workers, 2 requests run, 3 wait, the oldest for 1.2 s"));
    assert!(
        text.contains("GET http://localhost/3") && text.contains("2.1 s"),
        "{text}"
    );
    assert!(
        text.contains("http worker 99 died now: exit code 255, after 0s and 1 request"),
        "{text}"
    );
    assert!(lines[23].starts_with("q quit"), "{text}");
}

/// Any size of the terminal, and any server: no more lines than there are, and no panic.
#[test]
fn any_size_is_drawn() {
    let mut many = model();
    many.learn(News::Seen(vec![seen("supervisor", 0), seen("http", 500)]));
    for model in [Model::default(), model(), many] {
        for (width, height) in [(1, 1), (2, 3), (20, 5), (80, 10), (80, 24), (300, 100)] {
            assert!(view::lines(&model, width.into(), height.into()).len() <= usize::from(height));
            drawn(&model, width, height);
        }
    }
}

#[test]
fn what_does_not_fit_is_counted() {
    let mut many = model();
    many.learn(News::Seen(vec![seen("supervisor", 0), seen("http", 500)]));
    let text = drawn(&many, 100, 24).join("\n");
    let shown = text.matches("working").count();
    assert!(
        shown > 5 && text.contains(&format!("… and {} more", 500 - shown + 1)),
        "{text}"
    );
}

#[test]
fn no_control_character_reaches_the_terminal() {
    let mut evil = seen("http\x1b[2J", 1);
    evil.workers[0].request = "GET \x1b]0;mine\x07".into();
    let mut model = Model::default();
    model.learn(News::Seen(vec![evil]));
    for line in view::lines(&model, 200, 20) {
        assert!(line.spans.iter().all(|span| !span.content.contains(char::is_control)));
    }
}

#[test]
fn the_selection_keeps_its_plugin() {
    let mut model = model();
    assert_eq!(model.place(), 1, "the first with workers");
    model.press(Key::Down);
    model.press(Key::Down);
    assert_eq!(model.place(), 2);
    model.learn(News::Seen(vec![seen("supervisor", 0), seen("kv", 0)]));
    assert_eq!(model.place(), 1);
    for _ in 0..5 {
        model.press(Key::Up);
    }
    assert_eq!(model.place(), 0);
}

#[test]
fn a_reset_is_asked_for_twice() {
    let mut model = model();
    assert_eq!(model.press(Key::Yes), None);
    assert_eq!(model.press(Key::Reset), None);
    assert!(drawn(&model, 80, 24)[23].starts_with("Replace all workers of http?"));
    assert_eq!(model.press(Key::Other), None);
    assert_eq!(model.press(Key::Yes), None);
    model.press(Key::Reset);
    assert_eq!(model.press(Key::Yes), Some(Wish::Reset("http".into())));
    model.learn(News::Reset("http".into(), None));
    assert_eq!(drawn(&model, 80, 24)[23], "the workers of http were reset");
    model.press(Key::Down);
    model.press(Key::Reset);
    assert!(model.asked.is_none());
    assert_eq!(model.press(Key::Quit), Some(Wish::Quit));
}

#[test]
fn workers_are_sorted() {
    let mut model = model();
    let pids = |model: &Model| -> Vec<u32> { model.workers().iter().map(|worker| worker.pid).collect() };
    assert_eq!(pids(&model), [103, 102, 101, 100], "the oldest request first");
    model.press(Key::Sort);
    assert_eq!(pids(&model), [100, 101, 102, 103], "the busiest processor first");
    for _ in 0..2 {
        model.press(Key::Sort);
    }
    assert_eq!(pids(&model), [103, 102, 101, 100], "the most requests first");
}

#[test]
fn a_server_that_is_gone_is_shown_as_such_until_it_is_back() {
    let mut model = model();
    model.learn(News::Away("cannot connect".into()));
    let lines = drawn(&model, 130, 24);
    assert!(
        lines[0].contains("no answer, trying again: cannot connect"),
        "{}",
        lines[0]
    );
    assert!(lines[3].starts_with("> http"));
    model.learn(News::Seen(vec![seen("supervisor", 0)]));
    assert!(!drawn(&model, 130, 24)[0].contains("no answer"));
}
