//! The page: everything that is counted, gathered when somebody asks.
//!
//! Running plugins are asked together, each with a bound. One that is down, slow or talks rubbish is left out with a warning, but for
//! what it had counted before; the page comes in any case.

use super::{
    Metrics,
    carried::{Carried, Ledger},
};
use crate::fleet::{Member, Roster, State};
use nix::unistd::Pid;
use rr_common::{
    control::v1::{MetricsRequest, plugin_client::PluginClient},
    telemetry::metrics::{Families, Family, Key, Kind, Usage, push_label},
};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::{Duration, Instant, UNIX_EPOCH},
};
use tokio::{task::JoinSet, time::timeout};
use tonic::transport::Channel;

/// How long a plugin may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The same before it is stopped, when others wait for it.
const LAST_PATIENCE: Duration = Duration::from_millis(250);

/// The longest text of one plugin.
const LONGEST_TEXT: usize = 16 << 20;

/// What the plugins that answered say, by name.
type Answers = HashMap<String, (Pid, Families)>;

/// The page's text.
pub(super) async fn text(metrics: Arc<Metrics>) -> String {
    let roster = Arc::clone(&metrics.roster.borrow());
    let answers = metrics.ask_all(&roster).await;
    // Long pages take a while to write: not on the thread that moves calls.
    let composed = tokio::task::spawn_blocking(move || compose(&metrics, &roster, answers));
    composed.await.unwrap_or_default()
}

/// Asks one plugin once more and notes what it has counted: it is about to be stopped.
pub(crate) async fn last_words(ledger: &Ledger, name: &str, pid: Pid, channel: Channel) {
    if let Ok(Ok(families)) = timeout(LAST_PATIENCE, ask(channel)).await {
        ledger.note(name, pid, families);
    }
}

impl Metrics {
    async fn ask_all(&self, roster: &Roster) -> Answers {
        let mut asking = JoinSet::new();
        for member in &roster.members {
            if let (State::Running, Some(pid), Some(channel)) = (member.state, member.pid, &member.channel) {
                let (name, channel) = (member.name.clone(), channel.clone());
                asking.spawn(async move {
                    let answer = match timeout(PATIENCE, ask(channel)).await {
                        Ok(answer) => answer,
                        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
                    };
                    (name, pid, answer)
                });
            }
        }
        let mut answers = Answers::new();
        // A task that does not end has panicked, which the log tells.
        while let Some(asked) = asking.join_next().await {
            let Ok((name, pid, answer)) = asked else { continue };
            self.tell(&name, answer.as_ref().err());
            if let Ok(families) = answer {
                answers.insert(name, (pid, families));
            }
        }
        answers
    }

    /// Tells the log what is wrong, once.
    fn tell(&self, about: &str, failure: Option<&String>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(reason) if told.get(about) != Some(reason) => {
                tracing::warn!(target: "metrics", name = about, reason, "metrics are left out");
                told.insert(about.to_owned(), reason.clone());
            }
            Some(_) => {}
            None => {
                told.remove(about);
            }
        }
    }
}

async fn ask(channel: Channel) -> Result<Families, String> {
    let mut client = PluginClient::new(channel).max_decoding_message_size(LONGEST_TEXT);
    let answer = client
        .metrics(MetricsRequest {})
        .await
        .map_err(|status| status.message().to_owned())?;
    Families::parse(&answer.into_inner().text).map_err(|error| error.to_string())
}

fn compose(metrics: &Metrics, roster: &Roster, mut answers: Answers) -> String {
    let mut all = Vec::new();
    let mut carried = metrics.ledger.open();
    all.push(of_processes(roster, &mut carried));
    for member in &roster.members {
        all.push(match answers.remove(&member.name) {
            Some((pid, families)) => carried.seen(&member.name, pid.as_raw(), families),
            None => carried.silent(&member.name),
        });
    }
    drop(carried);
    all.push(metrics.registry().families(Instant::now()));
    let mut page = Families::default();
    for families in all {
        for name in page.join(families) {
            let reason = "another metric has the same name and a different type".to_owned();
            metrics.tell(&name, Some(&reason));
        }
    }
    page.to_string()
}

/// What the kernel knows of the plugins' processes, and we of their lives.
fn of_processes(roster: &Roster, carried: &mut Carried) -> Families {
    let mut together = Usage::of(std::process::id()).unwrap_or_default();
    let mut series = Series::default();
    for member in &roster.members {
        let usage = member.pid.and_then(|pid| Usage::of(pid.as_raw().unsigned_abs()));
        let cpu = cpu_of(member, usage, carried);
        together.cpu += cpu;
        series.life(member, cpu);
        if let Some(usage) = usage {
            // Its CPU time is in the sum already.
            together = together.and(&Usage { cpu: 0.0, ..usage });
            series.usage(member, usage);
        }
    }
    let mut families = together.families();
    families.join(series.0);
    families
}

/// The CPU time of all processes that a plugin has had.
fn cpu_of(member: &Member, usage: Option<Usage>, carried: &mut Carried) -> f64 {
    const NAME: &str = "cpu";
    let source = format!("{}: process", member.name);
    let families = match (member.pid, usage) {
        (Some(pid), Some(usage)) => {
            let mut families = Families::default();
            families.insert(NAME, Family::single(Kind::Counter, "", usage.cpu));
            carried.seen(&source, pid.as_raw(), families)
        }
        _ => carried.silent(&source),
    };
    let family = families.0.get(NAME);
    family.map_or(0.0, |family| family.samples.values().sum())
}

/// The families `rr_plugin_*`.
#[derive(Default)]
struct Series(Families);

impl Series {
    fn life(&mut self, member: &Member, cpu: f64) {
        let up = f64::from(u8::from(member.state == State::Running));
        self.add("up", Kind::Gauge, "Whether the plugin is ready", member, up);
        self.labelled(
            "state",
            Kind::Gauge,
            "State of the plugin, in the label; always 1",
            &[("plugin", &member.name), ("state", member.word())],
            1.0,
        );
        let restarts = member.restarts as f64;
        self.add(
            "restarts_total",
            Kind::Counter,
            "Processes of the plugin after its first",
            member,
            restarts,
        );
        for (cause, count) in &member.counts {
            self.labelled(
                "deaths_total",
                Kind::Counter,
                "Processes of the plugin that have ended, by cause",
                &[("cause", cause.text()), ("plugin", &member.name)],
                *count as f64,
            );
        }
        self.add(
            "cpu_seconds_total",
            Kind::Counter,
            "CPU time of all its processes, without PHP",
            member,
            cpu,
        );
    }

    fn usage(&mut self, member: &Member, usage: Usage) {
        let since = member.since.and_then(|since| since.duration_since(UNIX_EPOCH).ok());
        let since = since.unwrap_or_default().as_secs_f64();
        self.add(
            "start_time_seconds",
            Kind::Gauge,
            "Start of its process, since 1970",
            member,
            since,
        );
        self.add(
            "resident_memory_bytes",
            Kind::Gauge,
            "Resident memory of its process, without PHP",
            member,
            usage.resident,
        );
        self.add(
            "open_fds",
            Kind::Gauge,
            "Open descriptors of its process",
            member,
            usage.descriptors,
        );
    }

    fn add(&mut self, name: &str, kind: Kind, help: &str, member: &Member, value: f64) {
        self.labelled(name, kind, help, &[("plugin", &member.name)], value);
    }

    fn labelled(&mut self, name: &str, kind: Kind, help: &str, pairs: &[(&str, &str)], value: f64) {
        let mut labels = String::new();
        for (name, value) in pairs {
            push_label(&mut labels, name, value);
        }
        let name = format!("rr_plugin_{name}");
        let family = self.0.0.entry(name).or_insert_with(|| Family::new(kind, help));
        family.samples.insert(Key::value(labels), value);
    }
}
