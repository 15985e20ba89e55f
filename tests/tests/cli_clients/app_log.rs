//! Log lines of the application over RPC (LOG-03).

use crate::served::Served;
use serde_json::{Value, json};

/// The levels of the `logs` section, fields, JSON as it is, and no forged line.
#[test]
fn applications_log_over_rpc() {
    let served = Served::start(json!({"logs": {"channels": {"app": {"mode": "production", "level": "info"}}}}));
    let mut rpc = served.rpc();
    let mut log = |method: &str, argument: Value| {
        assert_eq!(rpc.call(method, &argument).error(), None, "{method}");
    };
    log("app.Debug", json!("too low"));
    log("app.Info", json!("{\"order\": 7}"));
    log("app.Error", json!("a\n{\"level\":\"info\",\"msg\":\"forged\"}"));
    let attributes = json!([{"key": "user", "value": "ada"}, {"key": "level", "value": "debug"}]);
    log(
        "app.WarningWithContext",
        json!({"message": "with fields", "log_attrs": attributes}),
    );
    // A verbatim text has no line end of its own: what follows would stand on its line.
    served.server.wait_log("with fields");
    log("app.Log", json!("verbatim text\n"));
    log(
        "app.LogWithContext",
        json!({"message": "m", "log_attrs": [{"key": "k", "value": "value"}]}),
    );
    served.server.wait_log("verbatim text\nm k:value");
    let lines: Vec<Value> = served
        .server
        .log_json()
        .into_iter()
        .filter(|line| line["logger"] == "app")
        .collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(
        (&lines[0]["level"], &lines[0]["msg"]),
        (&json!("info"), &json!("{\"order\": 7}"))
    );
    assert_eq!(lines[1]["level"], "error");
    assert_eq!(
        (&lines[2]["user"], &lines[2]["attr.level"]),
        (&json!("ada"), &json!("debug"))
    );
    assert_eq!(lines[2]["level"], "warn");
    assert!(served.server.stop().success());
}
