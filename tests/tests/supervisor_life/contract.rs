//! The contract as plugins and strangers meet it.

use crate::plugin::{PLUGIN, answering, nothing};
use rr_tests::{Room, standin};
use serde_json::json;

/// The contract: strangers and other versions are refused with the reason.
#[test]
fn a_stranger_cannot_register() {
    use rr_common::control::{CONTRACT_VERSION, Link, v1::RegisterRequest};
    let room = Room::new();
    let control = room.file("control");
    let server = standin::launch(room, nothing(), json!({"supervisor": {"control": {"dir": control}}}));
    server.wait_started();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let refusal = |contract_version| {
        let registration = RegisterRequest {
            plugin: "http".into(),
            contract_version,
            pid: server.plugin(PLUGIN),
            ..RegisterRequest::default()
        };
        let opened = runtime.block_on(Link::open(&control.join("supervisor.sock"), registration));
        opened.unwrap_err().to_string()
    };
    let text = refusal(CONTRACT_VERSION);
    assert!(
        text.contains("has not started a plugin http with this process"),
        "{text}"
    );
    let text = refusal(CONTRACT_VERSION + 1);
    assert!(
        text.contains("speaks version 2 of the control contract, this supervisor version 1"),
        "{text}"
    );
    assert_eq!(answering(&server), server.plugin(PLUGIN));
    assert!(server.stop().success());
}

/// Calls go through the supervisor to the plugin that owns the prefix; the plugin answers for its own state.
#[test]
fn calls_are_routed_and_plugins_answer_for_themselves() {
    use rr_common::control::{
        connect,
        v1::{self, plugin_client::PluginClient, supervisor_client::SupervisorClient},
    };
    let room = Room::new();
    let control = room.file("control");
    let server = standin::launch(room, nothing(), json!({"supervisor": {"control": {"dir": control}}}));
    server.wait_started();
    let own = control.join(format!("http.{}.sock", server.plugin(PLUGIN)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut supervisor = SupervisorClient::new(connect(&control.join("supervisor.sock")).await.unwrap());
        let call = |method: &str| v1::CallRequest {
            method: method.into(),
            codec: 8,
            body: b"hello".to_vec(),
        };
        let answer = supervisor.call(call("http.Echo")).await.unwrap();
        assert_eq!(answer.into_inner().body, b"hello");
        let unknown = supervisor.call(call("nope.Echo")).await.unwrap_err();
        assert_eq!(unknown.message(), "rpc: can't find service nope.Echo");
        let unknown = supervisor.call(call("http.Nope")).await.unwrap_err();
        assert_eq!(unknown.message(), "rpc: can't find method http.Nope");

        let mut plugin = PluginClient::new(connect(&own).await.unwrap());
        plugin.health(v1::HealthRequest {}).await.unwrap();
        assert!(plugin.ready(v1::ReadyRequest {}).await.unwrap().into_inner().ready);
        let workers = plugin
            .workers(v1::WorkersRequest::default())
            .await
            .unwrap()
            .into_inner();
        assert!(workers.workers.is_empty());
        let pool = "none".to_owned();
        let missing = plugin.add_worker(v1::AddWorkerRequest { pool }).await.unwrap_err();
        assert_eq!(missing.message(), "no such pool: none");
    });
    assert!(server.stop().success());
}
