//! `reset`: replaces the workers of some or all plugins at once, and waits until that is done. Nothing is written to stderr
//! unless something failed: Laravel Octane takes anything there for a failure.

use super::{
    Failure, Global, Output, find,
    rpc::{Client, QUICK},
    serve::say,
};
use clap::Args;
use jiff::Zoned;
use rr_common::rpc::{Codec, encode};
use serde::Serialize;
use serde_json::json;
use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

/// Longer than the server waits for its plugins.
const PATIENCE: Duration = Duration::from_secs(610);

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Plugins; without any all that have workers
    plugins: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// How the reset of one plugin went.
#[derive(Debug, Serialize)]
struct Done {
    plugin: String,
    seconds: f64,
    /// Why it failed.
    error: Option<String>,
}

/// Runs the command.
pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let quiet = global.silent || arguments.output.json;
    let mut client = find::server(global)?;
    let plugins = match arguments.plugins.is_empty() {
        true => client.call("resetter.List", &true, QUICK)?,
        false => arguments.plugins.clone(),
    };
    let all = reset(&mut client, &plugins, |text| say(quiet, &stamped(text)))?;
    if arguments.output.json {
        writeln!(io::stdout(), "{}", json!({ "plugins": all }))?;
    }
    let failed: Vec<&Done> = all.iter().filter(|done| done.error.is_some()).collect();
    let mut err = io::stderr().lock();
    for Done { plugin, error, .. } in &failed {
        writeln!(
            err,
            "the reset of [{plugin}] failed: {}",
            error.as_deref().unwrap_or_default()
        )?;
    }
    Ok(match failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Resets all at once, over the one connection; the answers come as they are done.
fn reset(client: &mut Client, plugins: &[String], tell: impl Fn(&str)) -> Result<Vec<Done>, Failure> {
    let begin = Instant::now();
    let mut running = BTreeMap::new();
    for plugin in plugins {
        tell(&format!("resetting plugin: [{plugin}]"));
        let call = client.start("resetter.Reset", Codec::Json, &encode(Codec::Json, plugin)?)?;
        running.insert(call, plugin.clone());
    }
    let mut all = Vec::new();
    while !running.is_empty() {
        let (call, answer) = client.answer(PATIENCE.saturating_sub(begin.elapsed()))?;
        let Some(plugin) = running.remove(&call) else { continue };
        let error = answer.err().map(|error| error.to_string());
        if error.is_none() {
            tell(&format!("plugin reset: [{plugin}]"));
        }
        all.push(Done {
            plugin,
            seconds: begin.elapsed().as_secs_f64(),
            error,
        });
    }
    Ok(all)
}

/// With the time before it, as the reference's messages have it.
fn stamped(text: &str) -> String {
    format!("{} {text}", Zoned::now().strftime("%Y/%m/%d %H:%M:%S"))
}
