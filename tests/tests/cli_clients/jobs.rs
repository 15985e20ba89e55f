//! `rr jobs`, with a stand-in for the plugin (CLI-05).

use crate::served::{Served, cells};
use rr_tests::{
    Room, Server, bin,
    operator::{parsed, printed, refused},
    port::{free_port, tcp},
    standin,
};
use serde_json::json;

#[test]
fn pipelines_are_listed_paused_resumed_and_destroyed() {
    let (port, rpc) = (free_port(), free_port());
    let stat = "0a160a02703112066d656d6f72791a02703120013801400a";
    let plugin = json!({"binary": bin::binary("rr-test-plugin"), "env": {"TEST_STAT": stat}});
    let settings = json!({
        "rpc": {"listen": tcp(rpc)},
        "http": null,
        "jobs": {},
        "supervisor": {"plugins": {"http": null, "jobs": plugin}},
    });
    let config = standin::config(port, json!({}), settings);
    let server = Server::launch(Room::new(), port, &config.to_string(), &[]);
    server.wait_started();
    let served = Served { server, rpc };
    let listed = cells(&printed(&served.rr(&["jobs", "--list"])));
    assert_eq!(listed, [["PIPELINE ( S )"], ["p1"], ["p2"]]);
    assert_eq!(
        parsed(&served.rr(&["jobs", "--list", "--json"])),
        json!({"pipelines": ["p1", "p2"]})
    );
    assert_eq!(cells(&printed(&served.rr(&["jobs", "--pause", "p1,p2"]))).len(), 3);
    assert_eq!(printed(&served.rr(&["jobs", "--resume", "p1", "-s"])), "");
    let gone = parsed(&served.rr(&["jobs", "--destroy", "p2,p1", "--json"]));
    assert_eq!(gone, json!({"pipelines": ["p1", "p2"]}));
    assert_eq!(
        refused(&served.rr(&["jobs", "--pause", "nope"])),
        "no such pipeline, requested: nope"
    );
    let usage = refused(&served.rr(&["jobs", "--pause"]));
    assert_eq!(usage, "incorrect command usage, should be: rr jobs --pause pipe1,pipe2");
    assert!(refused(&served.rr(&["jobs"])).starts_with("command should be in form of"));

    let drawn = printed(&served.rr(&["workers", "jobs"]));
    assert!(drawn.starts_with("Jobs of [jobs]:\n"), "{drawn}");
    assert_eq!(cells(&drawn)[1][..5], ["READY", "p1", "memory", "p1", "1"]);
}
