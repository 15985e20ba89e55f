//! A plugin as a stranger would write it, on the contract alone and none of our runtime; it misbehaves on demand (`TEST_MODE`):
//!
//! - nothing: it answers as it should
//! - `version`: it registers with a version of the contract that nobody speaks
//! - `silent`: it never registers
//! - `unregistered`: it says that it has started, without ever having registered
//! - `rubbish`, `rubbish-calls`: its control socket, or its socket for calls, speaks no protocol at all
//! - `hang`: it neither stops when it is asked to nor at a signal
//! - `patient`: it serves on for two seconds when the supervisor is gone
//! - `stranger`: it registers under the name of another plugin
//!
//! `TEST_PREFIXES` names the prefixes that it registers, `TEST_CHILD` a file for the pid of a process that it leaves behind in a
//! session of its own. RPC methods: `Pid`; `Wait`, which is answered when somebody calls `Open`; `Panic`, which the main thread does then;
//! `Ask`, which calls the method in its argument `[method, argument]` through the supervisor; `Env`,
//! the value of a variable; `Sockets`, the number of listening sockets that it was given.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // Its stdout is what is tested.

use rr_common::control::{
    Access, CONTRACT_VERSION, Door, connect,
    v1::{self, plugin_server, supervisor_client::SupervisorClient},
};
use std::{
    env, fs,
    io::Write,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tokio::sync::{Notify, watch};
use tonic::{Request, Response, Status, async_trait, transport::Channel};

struct Custom {
    supervisor: SupervisorClient<Channel>,
    stop: watch::Sender<bool>,
    panic: watch::Sender<bool>,
    hang: bool,
    /// Waiting calls end when it is told.
    opened: Notify,
}

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl plugin_server::Plugin for Custom {
    async fn health(&self, _: Request<v1::HealthRequest>) -> Answer<v1::HealthResponse> {
        Ok(Response::new(v1::HealthResponse::default()))
    }

    async fn ready(&self, _: Request<v1::ReadyRequest>) -> Answer<v1::ReadyResponse> {
        Ok(Response::new(v1::ReadyResponse {
            ready: true,
            reason: String::new(),
        }))
    }

    async fn drain(&self, _: Request<v1::DrainRequest>) -> Answer<v1::DrainResponse> {
        Ok(Response::new(v1::DrainResponse {}))
    }

    async fn pause(&self, _: Request<v1::PauseRequest>) -> Answer<v1::PauseResponse> {
        Err(Status::unimplemented(""))
    }

    async fn resume(&self, _: Request<v1::ResumeRequest>) -> Answer<v1::ResumeResponse> {
        Err(Status::unimplemented(""))
    }

    async fn stop(&self, _: Request<v1::StopRequest>) -> Answer<v1::StopResponse> {
        println!("asked to stop");
        if !self.hang {
            self.stop.send_replace(true);
        }
        Ok(Response::new(v1::StopResponse {}))
    }

    async fn call(&self, request: Request<v1::CallRequest>) -> Answer<v1::CallResponse> {
        let call = request.into_inner();
        let body = match call.method.as_str() {
            "Pid" => std::process::id().to_string(),
            "Wait" => {
                self.opened.notified().await;
                r#""opened""#.to_owned()
            }
            "Open" => {
                self.opened.notify_waiters();
                "true".to_owned()
            }
            "Panic" => {
                self.panic.send_replace(true);
                "true".to_owned()
            }
            "Env" => {
                let name: String = serde_json::from_slice(&call.body).unwrap();
                serde_json::to_string(&env::var(name).ok()).unwrap()
            }
            "Dir" => serde_json::to_string(&env::current_dir().unwrap()).unwrap(),
            "Ask" => {
                let (method, argument): (String, serde_json::Value) = serde_json::from_slice(&call.body).unwrap();
                let mut request = Request::new(v1::CallRequest {
                    method,
                    codec: call.codec,
                    body: argument.to_string().into(),
                });
                request.set_timeout(Duration::from_secs(5));
                let answer = self.supervisor.clone().call(request).await;
                match answer {
                    Ok(answer) => String::from_utf8(answer.into_inner().body).unwrap(),
                    Err(status) => {
                        serde_json::json!({"code": format!("{:?}", status.code()), "text": status.message()})
                            .to_string()
                    }
                }
            }
            _ => return Err(Status::unimplemented("")),
        };
        Ok(Response::new(v1::CallResponse { body: body.into() }))
    }

    async fn workers(&self, _: Request<v1::WorkersRequest>) -> Answer<v1::WorkersResponse> {
        let worker = v1::WorkerInfo {
            pid: std::process::id(),
            status: 1,
            status_text: "ready".into(),
            pool: "own".into(),
            ..v1::WorkerInfo::default()
        };
        Ok(Response::new(v1::WorkersResponse {
            workers: vec![worker],
            ..v1::WorkersResponse::default()
        }))
    }

    async fn reset(&self, _: Request<v1::ResetRequest>) -> Answer<v1::ResetResponse> {
        println!("asked to reset");
        Ok(Response::new(v1::ResetResponse::default()))
    }

    async fn add_worker(&self, _: Request<v1::AddWorkerRequest>) -> Answer<v1::AddWorkerResponse> {
        Err(Status::unimplemented(""))
    }

    async fn remove_worker(&self, _: Request<v1::RemoveWorkerRequest>) -> Answer<v1::RemoveWorkerResponse> {
        Err(Status::unimplemented(""))
    }

    async fn metrics(&self, _: Request<v1::MetricsRequest>) -> Answer<v1::MetricsResponse> {
        let text = "# TYPE custom_answers_total counter\ncustom_answers_total 7\n".to_owned();
        Ok(Response::new(v1::MetricsResponse { text }))
    }
}

/// Answers every connection with bytes that are no protocol.
fn talk_rubbish(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let rubbish: Vec<u8> = (0..=255).cycle().take(4096).collect();
            let _ = stream.unwrap().write_all(&rubbish);
        }
    });
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let mode = variable("TEST_MODE");
    let name = variable("RR_PLUGIN");
    if let Some(path) = env::var_os("TEST_CHILD") {
        // It leaves the group, and its parent ends: nobody but the supervisor can find it.
        let script = format!("setsid sleep 1000 >/dev/null 2>&1 & echo $! > {}", path.display());
        Command::new("sh").args(["-c", &script]).status().unwrap();
    }
    if mode == "silent" {
        std::future::pending::<()>().await;
    }
    let channel = connect(Path::new(&variable("RR_CONTROL"))).await.unwrap();
    let mut supervisor = SupervisorClient::new(channel);
    let dir = PathBuf::from(variable("RR_CONTROL_DIR"));
    let socket = dir.join(format!("{name}.{}.sock", std::process::id()));
    let (stop, mut stopping) = watch::channel(false);
    let (panic, mut panicking) = watch::channel(false);
    if mode == "rubbish" {
        talk_rubbish(&socket);
    } else {
        let custom = Custom {
            supervisor: supervisor.clone(),
            stop,
            panic,
            hang: mode == "hang",
            opened: Notify::new(),
        };
        let connections = Door::open(&socket, Access::default()).unwrap().connections().unwrap();
        let service = plugin_server::PluginServer::new(custom);
        tokio::spawn(tonic::transport::Server::builder().serve_with_incoming(service, connections));
    }
    let calls = dir.join(format!("{name}.{}.calls.sock", std::process::id()));
    if mode == "rubbish-calls" {
        talk_rubbish(&calls);
    }
    let prefixes = variable("TEST_PREFIXES");
    if mode != "unregistered" {
        let registered = supervisor
            .register(v1::RegisterRequest {
                plugin: if mode == "stranger" {
                    "http".into()
                } else {
                    name.clone()
                },
                plugin_version: "1.2.3".into(),
                contract_version: if mode == "version" { 99 } else { CONTRACT_VERSION },
                pid: std::process::id(),
                socket: socket.display().to_string(),
                rpc_prefixes: prefixes
                    .split(' ')
                    .filter(|p| !p.is_empty())
                    .map(str::to_owned)
                    .collect(),
                calls_socket: match mode.as_str() {
                    "rubbish-calls" => calls.display().to_string(),
                    _ => String::new(),
                },
                ..v1::RegisterRequest::default()
            })
            .await;
        if let Err(status) = registered {
            println!("refused: {:?} {}", status.code(), status.message());
            return fail();
        }
    }
    let watch = v1::WatchConfigRequest { plugin: name.clone() };
    let mut configs = supervisor.watch_config(watch).await.unwrap().into_inner();
    let config = configs.message().await.unwrap().unwrap().config;
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    println!("my section: {}", config[&name]);
    let started = v1::StartedRequest {
        plugin: name,
        error: String::new(),
    };
    supervisor.started(started).await.unwrap();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    let mut supervised = true;
    loop {
        tokio::select! {
            changed = stopping.changed() => {
                if changed.is_ok() {
                    break;
                }
                std::future::pending::<()>().await;
            }
            Ok(_) = panicking.wait_for(|asked| *asked) => panic!("as it was asked to"),
            _ = terminate.recv() => if mode != "hang" { break },
            message = configs.message(), if supervised => if !matches!(message, Ok(Some(_))) {
                supervised = false;
                if mode != "patient" {
                    break;
                }
            },
            () = tokio::time::sleep(Duration::from_secs(2)), if !supervised => break,
        }
    }
    println!("bye");
    let _ = fs::remove_file(&socket);
}

#[allow(clippy::disallowed_methods)] // Dying without ceremony.
fn fail() {
    std::process::exit(4)
}
