//! The ends of processes in sentences.

use super::human;
use crate::operate::Death;
use std::time::Duration;

/// One end in one line, without what it wrote.
pub(super) fn sentence(death: &Death) -> String {
    let Death { plugin, pid, .. } = death;
    let when = human::ago(Duration::from_secs(death.seconds_ago));
    let exit = &death.exit;
    if !death.worker {
        let lasted = human::lasted(death.lasted_seconds);
        let what = match death.cause.as_str() {
            "start" | "crash" if death.next => ": the next process did not start",
            "start" => "did not start",
            "crash" => "died",
            "stop" => "was stopped",
            _ => "was replaced",
        };
        let early = if death.early && death.cause == "crash" {
            ", soon after its start"
        } else {
            ""
        };
        let why = match death.cause.as_str() {
            // Without words of its own the reason is the exit again.
            "crash" | "start" if death.reason == *exit => exit.clone(),
            "crash" | "start" => format!("{exit}: {}", death.reason),
            cause => cause.to_owned(),
        };
        let process = match pid {
            0 => String::new(),
            pid => format!("; pid {pid} had run for {lasted}"),
        };
        let (space, present) = match death.next {
            true => ("", ", and the present one served on"),
            false => (" ", ""),
        };
        return plain(&format!("{plugin}{space}{what} {when}{early}{present}: {why}{process}"));
    }
    let after = match (death.cause.as_str(), death.execs) {
        ("start" | "orphan", _) => String::new(),
        (_, 1) => format!(", after {} and 1 request", human::lasted(death.lasted_seconds)),
        (_, execs) => {
            let (lasted, execs) = (human::lasted(death.lasted_seconds), human::commas(execs));
            format!(", after {lasted} and {execs} requests")
        }
    };
    let on = match death.request.as_str() {
        "" => String::new(),
        request => format!(", working on {request}"),
    };
    let (what, why) = match death.cause.as_str() {
        "start" => return plain(&format!("{plugin}: a worker did not start {when}")),
        "crash" => ("died", exit.clone()),
        "exec_ttl" => ("was killed", "a request ran for longer than exec_ttl".to_owned()),
        "orphan" => ("ended", format!("{exit}, left behind by its plugin")),
        "max_jobs" => ("was replaced", "it had served max_jobs".to_owned()),
        "ttl" => ("was replaced", "it was older than ttl".to_owned()),
        "idle_ttl" => ("was replaced", "it was idle for idle_ttl".to_owned()),
        "memory" => ("was replaced", "it had more than max_worker_memory".to_owned()),
        "reset" => ("was replaced", "the workers were reset".to_owned()),
        "asked" => ("was replaced", "it asked to be".to_owned()),
        "debug" => ("ended", "one for each request in debug mode".to_owned()),
        "fewer" => ("was stopped", "fewer workers are wanted".to_owned()),
        "stop" => ("was stopped", "its pool stops".to_owned()),
        "upgrade" => ("left", "an upgrade of its plugin".to_owned()),
        "reload" => ("left", "a changed configuration of its plugin".to_owned()),
        other => ("ended", other.to_owned()),
    };
    let owner = match plugin.as_str() {
        "" => "a process",
        plugin => plugin,
    };
    plain(&format!("{owner} worker {pid} {what} {when}: {why}{after}{on}"))
}

/// What it wrote last, each line behind an indent.
pub(super) fn words(death: &Death) -> String {
    let lines = death.lines.lines();
    lines.map(|line| format!("    {}\n", plain(line))).collect()
}

/// No control character of somebody else reaches the terminal.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_a_sentence() {
        let plugin = Death {
            plugin: "http".into(),
            pid: 5,
            seconds_ago: 60,
            lasted_seconds: 61,
            cause: "crash".into(),
            exit: "SIGKILL".into(),
            reason: "SIGKILL".into(),
            lines: "one\ntwo\x1b[2J".into(),
            ..Death::default()
        };
        assert_eq!(
            sentence(&plugin),
            "http died 1 minute ago: SIGKILL; pid 5 had run for 1m01s"
        );
        assert_eq!(words(&plugin), "    one\n    two [2J\n");
        let replaced = Death {
            cause: "upgrade".into(),
            ..plugin.clone()
        };
        assert_eq!(
            sentence(&replaced),
            "http was replaced 1 minute ago: upgrade; pid 5 had run for 1m01s"
        );
        let next = Death {
            cause: "start".into(),
            next: true,
            ..plugin.clone()
        };
        assert_eq!(
            sentence(&next),
            "http: the next process did not start 1 minute ago, and the present one served on: SIGKILL; pid 5 had run for 1m01s"
        );
        let worker = Death {
            worker: true,
            exit: "exit code 255".into(),
            request: "GET http://localhost/die".into(),
            execs: 1,
            ..plugin.clone()
        };
        assert_eq!(
            sentence(&worker),
            "http worker 5 died 1 minute ago: exit code 255, after 1m01s and 1 request, working on GET http://localhost/die"
        );
        let causes = [
            "start", "exec_ttl", "max_jobs", "ttl", "idle_ttl", "memory", "reset", "asked", "fewer", "debug", "stop",
            "upgrade", "reload", "orphan", "mine",
        ];
        let told: std::collections::HashSet<String> = causes
            .map(|cause| {
                sentence(&Death {
                    cause: cause.into(),
                    ..worker.clone()
                })
            })
            .into();
        assert_eq!(told.len(), causes.len());
    }
}
