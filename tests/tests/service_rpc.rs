//! `service.*`: services made and steered from PHP (SERV-02), seen and restarted by operators.
#![allow(clippy::unwrap_used)]

use rr_common::frame::flag;
use rr_tests::{
    Room, Rpc, Server, bin, eventually,
    port::{free_port, local, tcp},
    process,
    wait::SOON,
};
use serde_json::{Value, json};
use std::process::Command;

struct Place {
    server: Server,
    rpc: Rpc,
    port: u16,
}

/// A server with RPC and these services.
fn start(services: Value) -> Place {
    let port = free_port();
    let config = json!({
        "version": "3",
        "rpc": {"listen": tcp(port)},
        "service": services,
        "logs": {"mode": "production", "level": "debug"},
    });
    let server = Server::launch(Room::new(), port, &config.to_string(), &[]);
    server.wait_started();
    Place {
        rpc: Rpc::tcp(local(port)),
        server,
        port,
    }
}

impl Place {
    #[track_caller]
    fn ok(&mut self, method: &str, argument: Value) -> Value {
        self.rpc.call(method, &argument).json()
    }

    #[track_caller]
    fn fails(&mut self, method: &str, argument: Value) -> String {
        self.rpc.call(method, &argument).error().unwrap()
    }

    fn sleeping(&self) -> Vec<u32> {
        process::named(self.server.pid(), "sleep")
    }

    #[track_caller]
    fn create(&mut self, name: &str, more: Value) {
        let mut create = json!({"name": name, "command": "sleep 1000", "process_num": 2});
        rr_tests::server::merge(&mut create, more);
        assert_eq!(self.ok("service.Create", create), json!({"ok": true}));
    }
}

#[test]
fn a_service_is_made_steered_and_gone() {
    let mut place = start(json!({"first": {"command": "sleep 999"}}));
    place.create("second", json!({}));
    assert_eq!(
        place.ok("service.List", json!({})),
        json!({"services": ["first", "second"]})
    );
    assert_eq!(place.sleeping().len(), 3);

    let named = json!({"name": "second"});
    let statuses = place.ok("service.Statuses", named.clone());
    let pids: Vec<u64> = statuses["status"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["pid"].as_u64().unwrap())
        .collect();
    assert!(
        pids.len() == 2
            && pids
                .iter()
                .all(|pid| place.sleeping().contains(&u32::try_from(*pid).unwrap()))
    );
    let command = statuses["status"][0]["command"].as_str().unwrap();
    assert!(
        command.starts_with('/') && command.ends_with("/sleep 1000"),
        "{command}"
    );
    assert!(
        statuses["status"][0]["memory_usage"].as_u64().unwrap() > 0,
        "{statuses}"
    );
    assert_eq!(place.ok("service.Status", named.clone())["pid"], pids[1]);

    assert_eq!(place.ok("service.Restart", named.clone()), json!({"ok": true}));
    let after = place.ok("service.Statuses", named.clone());
    assert!(
        after["status"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| !pids.contains(&one["pid"].as_u64().unwrap()))
    );
    assert_eq!(place.sleeping().len(), 3);

    assert_eq!(place.ok("service.Terminate", named.clone()), json!({"ok": true}));
    assert_eq!(place.sleeping().len(), 1, "gone when it is answered");
    assert_eq!(place.ok("service.List", json!({})), json!({"services": ["first"]}));
    for method in ["Terminate", "Restart", "Status", "Statuses"] {
        let error = place.fails(&format!("service.{method}"), named.clone());
        assert_eq!(error, "the service with second name doesn't exist", "{method}");
    }
    assert!(place.server.stop().success());
}

#[test]
fn what_cannot_be_is_refused_with_the_references_words() {
    let mut place = start(json!({}));
    let create =
        |name: &str, command: &str, number: i64| json!({"name": name, "command": command, "process_num": number});
    let error = place.fails("service.Create", create("a", "sleep 1000", 0));
    assert_eq!(error, "the service with a name should have at least 1 process");
    place.create("a", json!({}));
    let error = place.fails("service.Create", create("a", "sleep 1000", 1));
    assert_eq!(error, "the service with a name already exists");
    let error = place.fails("service.Create", create("b", "/no/such/program", 2));
    assert_eq!(error, "fork/exec /no/such/program: no such file or directory");
    let error = place.fails("service.Create", create("b", "no-such-program x", 2));
    assert_eq!(error, "exec: \"no-such-program\": executable file not found in $PATH");
    assert_eq!(place.ok("service.List", json!({})), json!({"services": ["a"]}));
    assert_eq!(
        place.fails("service.Nothing", json!({})),
        "rpc: can't find method service.Nothing"
    );
}

#[test]
fn a_process_that_has_ended_is_told() {
    let mut place = start(json!({"short": {"command": "sh -c exit"}}));
    place.server.wait_log("service has ended");
    let statuses = place.ok("service.Statuses", json!({"name": "short"}));
    let message = "process does not exist: exit status 0";
    assert_eq!(statuses["status"][0]["status"], json!({"message": message}));
    assert_eq!(place.fails("service.Status", json!({"name": "short"})), message);
}

#[test]
fn it_speaks_protobuf() {
    let mut place = start(json!({}));
    // Create: name a, command "sleep 1000", process_num 1, env X=1, remain_after_exit, restart_sec 1.
    let create = b"\x0a\x01a\x12\x0asleep 1000\x18\x01\x28\x01\x32\x06\x0a\x01x\x12\x011\x38\x01";
    let answer = place.rpc.exchange("service.Create", flag::PROTO, create);
    assert_eq!((answer.error(), &answer.body[..]), (None, &b"\x10\x01"[..]));
    let list = place.rpc.exchange("service.List", flag::PROTO, b"");
    assert_eq!(list.body, b"\x0a\x01a");
    // It remains: killed, it comes again.
    let before = place.sleeping();
    process::signal(before[0], nix::sys::signal::Signal::SIGKILL);
    eventually(SOON, || {
        let now = place.sleeping();
        !now.is_empty() && now != before
    });
    let environment = process::environment(place.sleeping()[0]).unwrap();
    assert!(environment.contains(&"X=1".to_owned()));
}

#[test]
fn operators_see_and_restart_them() {
    let mut place = start(json!({"a": {"command": "sleep 1000", "process_num": 2}}));
    let before = place.sleeping();
    let workers = place.ok("informer.Workers", json!("service"));
    let worker = &workers["workers"][0];
    assert!(worker["command"].as_str().unwrap().ends_with("/sleep 1000"), "{worker}");
    assert_eq!(
        (&worker["pid"], &worker["status"], &worker["statusStr"]),
        (&json!(before[0]), &json!(1), &json!(""))
    );
    assert_eq!(place.ok("resetter.Reset", json!("service")), json!(true));
    let after = place.sleeping();
    assert!(
        after.len() == 2 && after.iter().all(|pid| !before.contains(pid)),
        "{before:?} {after:?}"
    );
}

#[test]
fn without_the_section_there_is_no_such_service() {
    let port = free_port();
    let settings = json!({"rpc": {"listen": tcp(port)}});
    let server = rr_tests::standin::start(json!({}), settings);
    let mut rpc = Rpc::tcp(local(port));
    let answer = rpc.call("service.List", &json!({}));
    assert_eq!(answer.error().unwrap(), "rpc: can't find service service.List");
    drop(server);
}

#[test]
fn the_php_library_steers_them() {
    let place = start(json!({}));
    let script = r#"
        $services = new Rr\Services\Services(new Rr\Rpc\Client($argv[1]));
        $services->create('a', 'sleep 1000', processes: 2, env: ['K' => 'v'], nameInLogs: true);
        [$one, $two] = $services->statuses('a');
        $services->restart('a');
        $again = $services->status('a');
        echo json_encode([$services->list(), $one->isRunning(), $two->pid !== $again->pid, $again->memory > 0]), "\n";
        $services->terminate('a');
        echo json_encode($services->list()), "\n";
        try {
            $services->terminate('a');
        } catch (Rr\Exception\RpcException $error) {
            echo $error->getMessage();
        }
    "#;
    let autoload = bin::repository().join("php/autoload.php");
    let code = format!("require '{}'; {script}", autoload.display());
    let address = tcp(place.port);
    let output = Command::new("php").args(["-r", &code, &address]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = "[[\"a\"],true,true,true]\n[]\nthe service with a name doesn't exist";
    assert_eq!(text, expected, "{}", String::from_utf8_lossy(&output.stderr));
}
