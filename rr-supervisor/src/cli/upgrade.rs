//! `upgrade self`: the supervisor's own program is replaced in place. `upgrade`: a new process takes a plugin's place, of the same program (whose file may have changed) or of another.

use super::{Failure, Global, Output, find, serve::say};
use crate::operate::{Myself, Upgrade};
use clap::Args;
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Longer than the server waits for the new process: it knows the plugin's own limits.
const PATIENCE: Duration = Duration::from_secs(660);

/// Longer than the supervisor waits for what is under way, and for what its new program says of itself.
const TURN: Duration = Duration::from_secs(90);

/// The longest that the supervisor's own program may take to be replaced.
const QUICK: Duration = Duration::from_secs(30);

/// Between two looks whether it has been.
const LOOK: Duration = Duration::from_millis(20);

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The plugin, or `self`: the supervisor
    plugin: String,
    /// Its program from now on, until the server ends [default: the one that it has]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Runs the command; returns when the new process serves, or when it is clear that it will not.
pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let binary = arguments.binary.as_ref().map(std::path::absolute).transpose()?;
    let mut client = find::server(global)?;
    let upgrade = Upgrade {
        plugin: arguments.plugin.clone(),
        binary,
    };
    if upgrade.plugin == "self" {
        return renew(global, arguments, &upgrade);
    }
    let pid: u32 = client.call("supervisor.Upgrade", &upgrade, PATIENCE)?;
    if arguments.output.json {
        writeln!(io::stdout(), "{}", json!({ "plugin": upgrade.plugin, "pid": pid }))?;
    } else {
        say(
            global.silent,
            &format!("plugin upgraded: [{}], its pid is {pid}", upgrade.plugin),
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns when the new program serves, or when it is clear that it will not.
fn renew(global: &Global, arguments: &Arguments, upgrade: &Upgrade) -> Result<ExitCode, Failure> {
    let mut client = find::server(global)?;
    let before: Myself = client.call("supervisor.Self", &true, QUICK)?;
    let _: bool = client.call("supervisor.Renew", upgrade, TURN)?;
    let deadline = Instant::now() + QUICK;
    let now = loop {
        let asked = find::server(global).and_then(|mut client| Ok(client.call("supervisor.Self", &true, QUICK)?));
        let asked: Result<Myself, Failure> = asked;
        match asked {
            Ok(now) if now.renewals > before.renewals => break now,
            Ok(now) if !now.failure.is_empty() => return Err(Failure(now.failure)),
            // It is just between the two.
            _ if Instant::now() < deadline => {}
            Ok(_) => return Err(Failure("the new program does not begin to serve".into())),
            Err(error) => return Err(error),
        }
        look_again();
    };
    // Its plugins come back to it one by one; before that nothing can be asked of them, such as an upgrade of their own.
    // One that has no process waits for its time, as it did before.
    let comes_back = |plugin: &Value| {
        !plugin["pid"].is_null() && matches!(plugin["state"].as_str(), Some("restarting" | "starting"))
    };
    while Instant::now() < deadline {
        let plugins: Value = find::server(global)?.call("supervisor.Plugins", &true, QUICK)?;
        if !plugins.as_array().is_some_and(|all| all.iter().any(comes_back)) {
            break;
        }
        look_again();
    }
    match arguments.output.json {
        true => writeln!(io::stdout(), "{}", json!({ "plugin": "self", "pid": now.pid }))?,
        false => say(global.silent, &format!("supervisor upgraded, its pid is {}", now.pid)),
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(
    clippy::disallowed_methods,
    reason = "no runtime here, and nothing else to do meanwhile"
)]
fn look_again() {
    std::thread::sleep(LOOK);
}
