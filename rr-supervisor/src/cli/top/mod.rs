//! `top`: the running server on a terminal, drawn anew each second and with each key.
//!
//! - [`model`]: what is shown and what a key means, as plain data
//! - [`view`]: the picture of it, as lines
//! - [`ask`]: a thread that asks the server, and waits for one that is gone
//! - [`screen`]: the terminal, put in order again at the end, whatever that is: a key, a signal, a panic

mod ask;
mod model;
mod screen;
#[cfg(test)]
mod tests;
mod view;

use super::{Failure, Global, find};
use model::{Key, Model, Wish};
use ratatui_core::text::Text;
use ratatui_crossterm::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use rr_common::shutdown::Signals;
use screen::Screen;
use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    thread,
};
use tokio::sync::mpsc;

/// Events of the terminal that wait to be looked at.
const EVENTS: usize = 64;

/// Runs the command until `q`, Ctrl-C or a signal.
pub(super) fn run(global: &Global) -> Result<ExitCode, Failure> {
    if !io::stdout().is_terminal() {
        return Err(Failure(
            "top needs a terminal; `rr plugins --json` is for programs".into(),
        ));
    }
    let address = find::address(global)?;
    // The first time nobody may be there at all: then that is the answer.
    drop(find::connect(&address)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let mut asking = ask::Asking::start(address)?;
        let shown = show(Screen::take()?, &mut signals, &mut asking).await;
        shown.map_err(Failure::from)
    })
}

/// Draws after everything that happens.
async fn show(mut screen: Screen, signals: &mut Signals, asking: &mut ask::Asking) -> io::Result<ExitCode> {
    let mut events = events()?;
    let mut model = Model::default();
    loop {
        screen.0.draw(|frame| {
            let area = frame.area();
            let lines = view::lines(&model, area.width.into(), area.height.into());
            frame.render_widget(Text::from(lines), area);
        })?;
        tokio::select! {
            () = signals.next() => return Ok(ExitCode::SUCCESS),
            news = asking.news.recv() => match news {
                Some(news) => model.learn(news),
                None => return Err(io::Error::other("the thread that asks the server has ended")),
            },
            event = events.recv() => match event {
                // The terminal is gone.
                None => return Ok(ExitCode::SUCCESS),
                Some(event) => match key(&event).and_then(|key| model.press(key)) {
                    Some(Wish::Quit) => return Ok(ExitCode::SUCCESS),
                    Some(Wish::Reset(plugin)) => asking.reset(plugin),
                    None => {}
                },
            },
        }
    }
}

/// What happens on the terminal, read by a thread that ends with the process.
fn events() -> io::Result<mpsc::Receiver<Event>> {
    let (tell, events) = mpsc::channel(EVENTS);
    thread::Builder::new().name("keys".into()).spawn(move || {
        while let Ok(event) = event::read() {
            if tell.blocking_send(event).is_err() {
                return;
            }
        }
    })?;
    Ok(events)
}

/// The key that an event means to us. A new size needs none: all is drawn anew after each event.
fn key(event: &Event) -> Option<Key> {
    let Event::Key(key) = event else { return None };
    if key.kind == KeyEventKind::Release {
        return None;
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
        KeyCode::Char('q') => Some(Key::Quit),
        KeyCode::Up | KeyCode::Char('k') => Some(Key::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Key::Down),
        KeyCode::Char('s') => Some(Key::Sort),
        KeyCode::Char('r') => Some(Key::Reset),
        KeyCode::Char('y') => Some(Key::Yes),
        _ => Some(Key::Other),
    }
}
