//! The three services against a plugin that stands in for a real one, over a real control socket.
#![allow(clippy::unwrap_used)]

use super::{Informer, Overview, Reply, Resetter, Resident, Residents, Worker};
use crate::{
    fleet::{Counts, Member, Roster, RosterWatch, State},
    gateway::Local,
    messages::jobs::{Stat, Stats},
    notify::Notify,
};
use bytes::Bytes;
use prost::Message;
use rr_common::{
    control::{
        Access, Door,
        v1::{self, plugin_server},
    },
    rpc::{CallError, Codec},
};
use serde_json::{Value, json};
use std::{
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};
use tokio::sync::{mpsc, watch};
use tonic::{
    Request, Response, Status, async_trait,
    transport::{Endpoint, Server},
};

/// A plugin with this many workers.
#[derive(Debug)]
struct StandIn {
    workers: u32,
}

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl plugin_server::Plugin for StandIn {
    async fn health(&self, _: Request<v1::HealthRequest>) -> Answer<v1::HealthResponse> {
        Ok(Response::new(v1::HealthResponse {
            unhealthy: "its server is gone".into(),
        }))
    }

    async fn ready(&self, _: Request<v1::ReadyRequest>) -> Answer<v1::ReadyResponse> {
        Ok(Response::new(v1::ReadyResponse::default()))
    }

    async fn drain(&self, _: Request<v1::DrainRequest>) -> Answer<v1::DrainResponse> {
        Err(Status::unimplemented(""))
    }

    async fn stop(&self, _: Request<v1::StopRequest>) -> Answer<v1::StopResponse> {
        Err(Status::unimplemented(""))
    }

    async fn pause(&self, _: Request<v1::PauseRequest>) -> Answer<v1::PauseResponse> {
        Err(Status::unimplemented(""))
    }

    async fn resume(&self, _: Request<v1::ResumeRequest>) -> Answer<v1::ResumeResponse> {
        Err(Status::unimplemented(""))
    }

    async fn call(&self, request: Request<v1::CallRequest>) -> Answer<v1::CallResponse> {
        assert_eq!(request.get_ref().method, "Stat");
        let stat = Stat {
            pipeline: "p1".into(),
            driver: "memory".into(),
            ready: true,
            priority: 10,
            ..Stat::default()
        };
        let body = Stats { stats: vec![stat] }.encode_to_vec();
        Ok(Response::new(v1::CallResponse { body }))
    }

    async fn workers(&self, _: Request<v1::WorkersRequest>) -> Answer<v1::WorkersResponse> {
        let worker = |pid| v1::WorkerInfo {
            pid,
            status: 1,
            status_text: "ready".into(),
            execs: 7,
            created_ns: 5,
            memory_bytes: 1000,
            cpu_percent: 0.5,
            pool: "default".into(),
            busy_ms: 0,
            request: String::new(),
        };
        let workers = (1..=self.workers).map(worker).collect();
        Ok(Response::new(v1::WorkersResponse {
            workers,
            ..Default::default()
        }))
    }

    async fn reset(&self, _: Request<v1::ResetRequest>) -> Answer<v1::ResetResponse> {
        match self.workers {
            0 => Err(Status::internal("PHP does not start")),
            _ => Ok(Response::new(v1::ResetResponse::default())),
        }
    }

    async fn add_worker(&self, _: Request<v1::AddWorkerRequest>) -> Answer<v1::AddWorkerResponse> {
        match self.workers {
            0 => Err(Status::not_found("no such pool: ")),
            _ => Ok(Response::new(v1::AddWorkerResponse {})),
        }
    }

    async fn remove_worker(&self, _: Request<v1::RemoveWorkerRequest>) -> Answer<v1::RemoveWorkerResponse> {
        Ok(Response::new(v1::RemoveWorkerResponse {}))
    }

    async fn metrics(&self, _: Request<v1::MetricsRequest>) -> Answer<v1::MetricsResponse> {
        Err(Status::unimplemented(""))
    }
}

/// What lives in the supervisor.
#[derive(Debug)]
struct Services;

impl Resident for Services {
    fn name(&self) -> &'static str {
        "service"
    }

    fn workers(&self) -> Reply<'_, Vec<Worker>> {
        let worker = Worker {
            pid: 9,
            status: 1,
            command: "/bin/sleep 1".into(),
            ..Worker::default()
        };
        Box::pin(async { Ok(vec![worker]) })
    }

    fn reset(&self) -> Reply<'_, ()> {
        Box::pin(async { Err("it does not stop".into()) })
    }
}

fn member(dir: &Path, name: &str, workers: u32) -> Member {
    let socket = dir.join(format!("{name}.sock"));
    let door = Door::open(&socket, Access::default()).unwrap();
    let service = plugin_server::PluginServer::new(StandIn { workers });
    tokio::spawn(Server::builder().serve_with_incoming(service, door.connections().unwrap()));
    let way = Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap();
    Member {
        channel: Some(way.connect_lazy()),
        ..absent(name, State::Running)
    }
}

fn absent(name: &str, state: State) -> Member {
    Member {
        name: name.into(),
        state,
        upgrading: false,
        held: false,
        on_demand: false,
        pid: None,
        version: "1".into(),
        since: Some(SystemTime::now()),
        restarts: 3,
        prefixes: Vec::new(),
        channel: None,
        calls: None,
        deaths: Vec::new(),
        counts: Counts::new(),
    }
}

/// `http` with two workers, `jobs`, `mine` with a worker, `kv` and `broken` without, `tcp` on its way up.
fn roster(dir: &Path) -> RosterWatch {
    let members = vec![
        member(dir, "http", 2),
        member(dir, "jobs", 1),
        member(dir, "kv", 0),
        member(dir, "mine", 1),
        absent("tcp", State::Restarting),
    ];
    watch::Sender::new(Arc::new(Roster {
        members,
        stopping: false,
        ..Roster::default()
    }))
    .subscribe()
}

fn residents() -> Residents {
    let residents = Residents::default();
    residents.become_these(vec![Arc::new(Services)]);
    residents
}

async fn call(service: &dyn Local, method: &str, argument: Value) -> Result<Value, String> {
    let argument = Bytes::from(argument.to_string());
    let answer = service.call(method, Codec::Json, argument).await;
    match answer {
        Ok(body) => Ok(serde_json::from_slice(&body).unwrap()),
        Err(error) => Err(error.text(method)),
    }
}

/// RPC-05.
#[tokio::test]
async fn the_informer_answers_as_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    let informer = Informer::new(roster(dir.path()), residents());
    let list = call(&informer, "List", json!(true)).await;
    assert_eq!(list.unwrap(), json!(["http", "jobs", "tcp", "mine", "service"]));

    let workers = call(&informer, "Workers", json!("http")).await.unwrap();
    assert_eq!(workers["workers"].as_array().unwrap().len(), 2);
    let expected = json!({
        "pid": 1, "status": 1, "numExecs": 7, "created": 5, "memoryUsage": 1000, "CPUPercent": 0.5,
        "command": "", "statusStr": "ready", "pool": "default", "busyMs": 0,
    });
    assert_eq!(workers["workers"][0], expected);
    for unknown in ["nope", "kv", ""] {
        let none = call(&informer, "Workers", json!(unknown)).await;
        assert_eq!(none.unwrap(), json!({"workers": null}), "{unknown}");
    }
    let service = call(&informer, "Workers", json!("service")).await.unwrap();
    assert_eq!(service["workers"][0]["command"], "/bin/sleep 1");
    assert_eq!(service["workers"][0]["statusStr"], "");
    let gone = call(&informer, "Workers", json!("tcp")).await;
    assert_eq!(gone.unwrap_err(), "the plugin tcp is restarting");

    let jobs = call(&informer, "Jobs", json!("jobs")).await;
    let expected = json!([{
        "Pipeline": "p1", "Driver": "memory", "Queue": "", "Active": 0, "Delayed": 0, "Reserved": 0,
        "Ready": true, "Priority": 10, "ErrorMessage": "",
    }]);
    assert_eq!(jobs.unwrap(), expected);
    assert_eq!(call(&informer, "Jobs", json!("http")).await.unwrap(), Value::Null);
}

#[tokio::test]
async fn only_pools_take_one_worker_more_or_less() {
    let dir = tempfile::tempdir().unwrap();
    let informer = Informer::new(roster(dir.path()), residents());
    for method in ["AddWorker", "RemoveWorker"] {
        assert_eq!(call(&informer, method, json!("http")).await.unwrap(), json!(false));
        for other in ["service", "nope"] {
            let text = format!("plugin {other} does not support workers management");
            assert_eq!(call(&informer, method, json!(other)).await.unwrap_err(), text);
        }
    }
    let text = "plugin kv does not support workers management";
    assert_eq!(call(&informer, "AddWorker", json!("kv")).await.unwrap_err(), text);
    assert_eq!(
        informer.call("Nothing", Codec::Json, Bytes::new()).await,
        Err(CallError::NoMethod)
    );
    assert!(informer.call("Workers", Codec::Proto, Bytes::from("x")).await.is_err());
}

/// RPC-06, CORE-24.
#[tokio::test]
async fn a_reset_is_told_to_systemd_and_failures_to_the_caller() {
    let dir = tempfile::tempdir().unwrap();
    let systemd = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    let notify = Notify::to(&dir.path().join("notify"));
    let resetter = Resetter::new(roster(dir.path()), residents(), notify, PathBuf::from("."));
    let list = call(&resetter, "List", json!(true)).await;
    assert_eq!(list.unwrap(), json!(["http", "jobs", "tcp", "mine", "service"]));

    assert_eq!(call(&resetter, "Reset", json!("http")).await.unwrap(), json!(true));
    let heard = || {
        let mut buffer = [0; 100];
        let length = systemd.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    assert!(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(heard(), "READY=1");

    let chain = "resetter_rpc_reset:\n\tresetter_plugin_reset";
    for (plugin, text) in [
        ("nope", format!("{chain}_by_name: no such plugin: nope")),
        ("kv", format!("{chain}: PHP does not start")),
        ("tcp", format!("{chain}: the plugin tcp is restarting")),
        ("service", format!("{chain}: it does not stop")),
    ] {
        assert_eq!(call(&resetter, "Reset", json!(plugin)).await.unwrap_err(), text);
    }
}

/// `READY=1` before the end of the start, or after the begin of the stop, would be a lie.
#[tokio::test]
async fn systemd_hears_nothing_of_a_reset_during_start_and_stop() {
    let dir = tempfile::tempdir().unwrap();
    let systemd = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    let notify = Notify::to(&dir.path().join("notify"));
    let http = member(dir.path(), "http", 1);
    let starting = Roster {
        members: vec![http.clone(), absent("jobs", State::Starting)],
        stopping: false,
        ..Roster::default()
    };
    let sender = watch::Sender::new(Arc::new(starting));
    let resetter = Resetter::new(sender.subscribe(), Residents::default(), notify, PathBuf::from("."));
    assert_eq!(call(&resetter, "Reset", json!("http")).await.unwrap(), json!(true));
    sender.send_replace(Arc::new(Roster {
        members: vec![http],
        stopping: true,
        ..Roster::default()
    }));
    assert_eq!(call(&resetter, "Reset", json!("http")).await.unwrap(), json!(true));
    systemd.set_nonblocking(true).unwrap();
    assert!(systemd.recv(&mut [0; 10]).is_err());
}

#[tokio::test]
async fn the_overview_shows_every_process() {
    let dir = tempfile::tempdir().unwrap();
    let overview = Overview::new(roster(dir.path()), residents(), mpsc::channel(1).0);
    let all = overview.processes().await;
    let names: Vec<&str> = all.iter().map(|process| process.name.as_str()).collect();
    assert_eq!(names, ["supervisor", "http", "jobs", "kv", "mine", "tcp"]);
    let own = &all[0];
    assert_eq!(
        (own.pid, own.workers, own.ready),
        (Some(std::process::id()), Some(1), true)
    );
    assert!(own.memory.unwrap().rss > 1_000_000);
    let http = &all[1];
    assert_eq!((http.workers, http.workers_memory, http.restarts), (Some(2), 2000, 3));
    assert_eq!((http.health.as_str(), http.ready), ("its server is gone", false));
    let tcp = &all[5];
    assert_eq!((tcp.state.as_str(), tcp.pid, tcp.workers), ("restarting", None, None));
}
