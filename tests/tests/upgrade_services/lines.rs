//! What services write is logged once, each line as one.

use crate::place::{script, start};
use rr_tests::{
    Room, eventually,
    operator::{done, refused, rr, vanishing},
    rounds,
    wait::SOON,
};
use serde_json::json;

/// Numbered lines in bursts that are longer than one read. A signal is heeded between bursts: what is counted then is what was written.
const COUNTING: &str = r#"
i=0 over=
trap over=yes INT
filling=$(printf '%080d' 0)
while [ -z "$over" ]; do
    n=0
    while [ $n -lt 300 ]; do
        echo "line $i $filling"
        i=$((i + 1)) n=$((n + 1))
    done
    sleep 0.03
done
echo "end $i"
"#;

/// There is always half a line whose rest comes soon: usually soon enough to be logged as one.
const HALVES: &str = r#"
i=0
trap 'echo " end"; exit 0' INT
printf 'line 0'
while :; do
    sleep 0.005
    i=$((i + 1))
    printf ' rest\nline %s' $i
done
"#;

#[test]
fn it_goes_on_and_every_line_is_logged_once() {
    let room = Room::new();
    let counting = script(&room, "counting.sh", COUNTING);
    let halves = script(&room, "halves.sh", HALVES);
    let services = json!({
        "counting": {"command": counting, "service_name_in_log": true},
        "halves": {"command": halves, "service_name_in_log": true},
    });
    let mut place = start(room, &services);
    let pid = place.pid("counting");
    for round in 0..rounds(3) {
        let before = place.said("counting").len();
        eventually(SOON, || place.said("counting").len() > before + 1000);
        place.upgrade();
        assert_eq!(place.pid("counting"), pid, "round {round}");
        // One that fails at the last moment leaves it alone as well.
        let gone = vanishing(place.server.room()).display().to_string();
        refused(&rr(&place.server, &["upgrade", "self", "--binary", &gone]));
        assert_eq!(place.pid("counting"), pid, "round {round}");
    }
    let workers = done(&place.server, &["workers", "service"]);
    assert!(workers.contains(&pid.to_string()));
    let before = place.said("counting").len();
    eventually(SOON, || place.said("counting").len() > before + 1000);
    assert!(place.server.stop().success(), "{}", place.server.log());

    let said = place.said("counting");
    let (end, lines) = said.split_last().unwrap();
    let filling = "0".repeat(80);
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("line {n} {filling}"));
    }
    assert_eq!(*end, format!("end {}", lines.len()));
    let said = place.said("halves").concat();
    let whole = said.matches("rest").count();
    let lines = (0..whole).map(|n| format!("line {n} rest"));
    assert_eq!(said, lines.collect::<String>() + &format!("line {whole} end"));
    assert_eq!(place.logged("service was started", "counting"), 1);
    assert_eq!(place.logged("service was stopped", "counting"), 1);
}

/// Half a line is logged as one when its rest is late, with and without an upgrade; nothing of it is lost or doubled.
#[test]
fn half_a_line_before_and_its_rest_after() {
    let room = Room::new();
    let text = "printf 'the first half'; touch half; while ! [ -e go ]; do sleep 0.01; done; echo ' and the rest'; echo done; exec sleep 1000";
    let command = script(&room, "half.sh", text);
    let mut place = start(
        room,
        &json!({"half": {"command": command, "service_name_in_log": true}}),
    );
    eventually(SOON, || place.server.room().file("half").exists());
    let pid = place.pid("half");
    place.upgrade();
    place.server.room().write("go", "");
    eventually(SOON, || place.said("half").iter().any(|line| line == "done"));
    assert_eq!(place.said("half").concat(), "the first half and the restdone");
    assert_eq!(place.pid("half"), pid);
    assert!(place.server.stop().success(), "{}", place.server.log());
}
