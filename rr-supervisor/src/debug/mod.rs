//! The debug endpoints of `serve -d`, at the address where the reference has its own, for this host only: what the processes
//! are, what their threads do, what the kernel counts as their memory, what waits on the RPC thread, the configuration.
//!
//! Go's profiles are not among them: they come out of Go's runtime. The Linux profiler does the same for these programs from
//! outside, so nothing is built in for it, and the pages say how.

mod proc;

use crate::{
    endpoint::{self, Asked, Limits, Page},
    operate::{Overview, Process},
};
use rr_common::{
    config::{self, Loaded, ShowOptions},
    listen::Listeners,
};
use serde::Serialize;
use serde_json::json;
use std::{fmt::Write, io, net::SocketAddr, sync::Arc};
use tokio::{runtime::Handle, task::spawn_blocking};

/// Where they listen.
const ADDRESS: &str = "127.0.0.1:6061";
/// Names another address: two servers of one host cannot both have that one.
const VARIABLE: &str = "RR_DEBUG_ADDRESS";

/// The first page. Its end is also the answer for what only Go has.
const INDEX: &str = "\
Debug endpoints of the server

/debug/plugins   the processes: state, version, age, restarts, memory, workers, health, deaths (as `rr plugins --json`)
/debug/threads   the threads of each process: name, state, CPU seconds
/debug/memory    the kernel's account of the memory of each process
/debug/runtime   what waits and runs on the supervisor's RPC thread
/debug/config    the configuration as the server sees it, secrets masked

";
const PERF: &str = "\
Profiles in pprof's format are not offered: they are made by Go's runtime, and this is no Go program. The Linux profiler
shows the same from outside, and costs nothing while it is not used:

  perf top -p $(pgrep -x rr-http)
  perf record -g -p $(pgrep -x rr-http) -- sleep 30 && perf report
";

const JSON: &str = "application/json";

/// The address of this process.
fn address() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| ADDRESS.to_owned())
}

/// What the pages show.
#[derive(Debug)]
struct Debug {
    overview: Overview,
    runtime: Handle,
    config: String,
}

/// Opens them on that runtime. A server that was asked for them runs without them too, if the port is taken.
pub(crate) fn open(loaded: &Loaded, overview: Overview, runtime: &Handle) {
    let shown = ShowOptions {
        origin: true,
        secrets: false,
    };
    match serve(runtime, &address(), overview, config::show(loaded, shown)) {
        Ok(address) => tracing::info!(target: "supervisor", "debug endpoints at http://{address}/debug/pprof/"),
        Err(error) => tracing::error!(target: "supervisor", "no debug endpoints: {error}"),
    }
}

/// Serves them on that runtime; returns where. The configuration is a text that hides its secrets.
///
/// # Errors
/// The port is taken.
fn serve(runtime: &Handle, address: &str, overview: Overview, config: String) -> io::Result<SocketAddr> {
    let listener = Listeners::default().take(address)?;
    let bound = listener.address()?.to_string();
    let debug = Arc::new(Debug {
        overview,
        runtime: runtime.clone(),
        config,
    });
    let answer = move |asked: Asked| {
        let debug = Arc::clone(&debug);
        async move { debug.answer(&asked).await }
    };
    endpoint::prepare(runtime, listener, Limits::default(), answer)?.begin_for_good();
    bound.parse().map_err(io::Error::other)
}

impl Debug {
    async fn answer(&self, asked: &Asked) -> Page {
        match asked.path.as_str() {
            "/" | "/debug" | "/debug/" | "/debug/pprof" | "/debug/pprof/" => Page::text(200, format!("{INDEX}{PERF}")),
            "/debug/plugins" => json_page(&json!({ "plugins": self.overview.processes().await })),
            "/debug/threads" => {
                let processes = self.pids().await;
                let threads = move || -> Vec<_> {
                    let of = |(name, pid)| json!({"process": name, "pid": pid, "threads": proc::threads(pid)});
                    processes.into_iter().map(of).collect()
                };
                json_page(&json!({ "processes": spawn_blocking(threads).await.unwrap_or_default() }))
            }
            "/debug/memory" => {
                let processes = self.pids().await;
                Page::text(
                    200,
                    spawn_blocking(move || memory(&processes)).await.unwrap_or_default(),
                )
            }
            "/debug/runtime" => json_page(&self.metrics()),
            "/debug/config" => Page::text(200, self.config.clone()),
            path if path.starts_with("/debug/pprof/") => Page::text(404, PERF),
            _ => Page::not_found(),
        }
    }

    /// Name and process of everything that runs.
    async fn pids(&self) -> Vec<(String, u32)> {
        let running = |process: Process| Some((process.name, process.pid?));
        self.overview
            .processes()
            .await
            .into_iter()
            .filter_map(running)
            .collect()
    }

    fn metrics(&self) -> serde_json::Value {
        let metrics = self.runtime.metrics();
        json!({
            "tasks": metrics.num_alive_tasks(),
            "queued": metrics.global_queue_depth(),
            "wakeups": metrics.worker_park_unpark_count(0),
            "busy_seconds": metrics.worker_total_busy_duration(0).as_secs_f64(),
        })
    }
}

fn memory(processes: &[(String, u32)]) -> String {
    let mut text = String::new();
    for (name, pid) in processes {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} (pid {pid})\n{}", proc::memory(*pid));
    }
    text
}

fn json_page(value: &impl Serialize) -> Page {
    match serde_json::to_vec_pretty(value) {
        Ok(body) => Page {
            status: 200,
            content_type: JSON,
            body: body.into(),
        },
        Err(error) => Page::text(500, error.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{fleet::Roster, operate::Residents};
    use tokio::sync::{mpsc, watch};

    #[tokio::test]
    async fn every_page_that_the_index_names_is_there() {
        let roster = watch::Sender::new(Arc::new(Roster::default()));
        let debug = Debug {
            overview: Overview::new(roster.subscribe(), Residents::default(), mpsc::channel(1).0),
            runtime: Handle::current(),
            config: "version: '3'\n".into(),
        };
        let page = async |path: &str| {
            let asked = Asked {
                path: path.into(),
                query: String::new(),
            };
            let page = debug.answer(&asked).await;
            (page.status, String::from_utf8_lossy(&page.body).into_owned())
        };
        let (status, index) = page("/debug/pprof/").await;
        assert_eq!(status, 200);
        let named = index.lines().filter_map(|line| line.split_whitespace().next());
        let mut count = 0;
        for path in named.filter(|word| word.starts_with("/debug/")) {
            let (status, text) = page(path).await;
            assert_eq!(status, 200, "{path}");
            assert!(!text.is_empty(), "{path}");
            count += 1;
        }
        assert_eq!(count, 5);
        let threads: serde_json::Value = serde_json::from_str(&page("/debug/threads").await.1).unwrap();
        assert_eq!(threads["processes"][0]["process"], "supervisor");
        assert!(threads["processes"][0]["threads"][0]["cpu_seconds"].is_number());
        assert!(page("/debug/memory").await.1.contains("Pss:"));

        let (status, advice) = page("/debug/pprof/profile").await;
        assert!(status == 404 && advice.contains("perf record"));
        assert_eq!(page("/nothing").await.0, 404);
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error() {
        let roster = watch::Sender::new(Arc::new(Roster::default()));
        let overview = || Overview::new(roster.subscribe(), Residents::default(), mpsc::channel(1).0);
        let first = serve(&Handle::current(), "127.0.0.1:0", overview(), String::new()).unwrap();
        let second = serve(&Handle::current(), &first.to_string(), overview(), String::new());
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
