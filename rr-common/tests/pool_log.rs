//! What workers write to standard error, and what the pool says about them, in the log.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use rr_common::{config::section, telemetry::log};
use serde_json::Value;

/// The log as a file of JSON lines.
struct Log(tempfile::TempDir);

impl Log {
    /// Production mode at level debug.
    fn start() -> (Self, log::Guard) {
        let log = Self(tempfile::tempdir().unwrap());
        let mut logs = section::Logs::default();
        logs.main.mode = "production".into();
        logs.main.level = "debug".into();
        logs.main.output = vec![log.0.path().join("log").display().to_string()];
        let guard = log::init(&logs, "test").unwrap();
        (log, guard)
    }

    fn find(&self, test: impl Fn(&Value) -> bool) -> Option<Value> {
        let text = std::fs::read_to_string(self.0.path().join("log")).unwrap_or_default();
        // The last line may be incomplete.
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .find(test)
    }

    async fn message(&self, text: &str) -> Value {
        let find = || self.find(|line| line["logger"] == "server" && line["msg"] == text);
        eventually(text, || find().is_some()).await;
        find().unwrap()
    }
}

#[tokio::test]
async fn stderr_and_troubles_are_logged() {
    let (log, _guard) = Log::start();
    let pool = pool(1, |_| ()).await;
    let worker = u64::from(pid(&pool).await);

    // A message arrives whole, JSON as it is, even if it is longer than a pipe.
    text(&pool, "stderr {\"type\":\"throwable\"}").await;
    let line = log.message("{\"type\":\"throwable\"}").await;
    assert_eq!((&line["level"], &line["pid"]), (&"info".into(), &worker.into()));
    text(&pool, "stderr long").await;
    let whole = |line: &Value| {
        let message = line["msg"].as_str().unwrap_or_default();
        serde_json::from_str::<Value>(message).is_ok_and(|json| json["trace"].as_str().map_or(0, str::len) == 100_000)
    };
    eventually("the long message", || log.find(whole).is_some()).await;

    let _ = exec(&pool, "error soft").await;
    let line = log.message("soft worker error").await;
    assert_eq!(
        (&line["level"], &line["internal_event_name"]),
        (&"warn".into(), &"EventWorkerSoftError".into())
    );

    let _ = exec(&pool, "stray Deprecated: thing").await;
    let line = log.message("RoadRunner can't communicate with the worker").await;
    assert_eq!(
        (&line["pid"], &line["internal_event_name"]),
        (&worker.into(), &"EventWorkerError".into())
    );
    assert!(line["error"].as_str().unwrap().contains("Deprecated: thing"), "{line}");

    let _ = exec(&pool, "bad-options").await;
    assert_eq!(
        log.message("worker will be restarted").await["internal_event_name"],
        "EventWorkerDestruct"
    );
    assert_eq!(log.message("worker is allocated").await["level"], "debug");
    stop(&pool).await;
}
