use super::*;
use proptest::prelude::*;
use rr_common::config::section;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::Command,
};

/// A service whose one process has this life.
fn service(name: &str, events: &[Event], now: Instant) -> Group {
    let mut spec = Spec::sample();
    spec.name = name.to_owned();
    let mut group = Group::new(spec);
    for event in events {
        group.members[0].life.on(*event, now);
    }
    group
}

/// The sections of a file with these names.
fn services(names: &[&str]) -> Services {
    let section = |name: &&str| {
        let mut section = section::Service::default();
        section.command.0 = Spec::sample().command;
        ((*name).to_owned(), section)
    };
    let sections: BTreeMap<_, _> = names.iter().map(section).collect();
    Services::new(&sections, true).unwrap().0
}

fn texts(services: &Services) -> Vec<(String, bool, bool, String)> {
    let text = |group: &Group| {
        let ended = group.members[0].ended.clone();
        (group.spec.name.clone(), group.created, group.leaving, ended)
    };
    services.groups.iter().map(text).collect()
}

#[tokio::test]
async fn what_has_ended_for_good_is_not_started_again() {
    let now = Instant::now();
    let mut before = services(&[]);
    for (name, created) in [("written", false), ("called", true)] {
        let mut group = service(name, &[Event::Start, Event::Died(Exit::Code(3))], now);
        group.members[0].ended = in_words(Exit::Code(3));
        group.created = created;
        before.groups.push(group);
    }
    let mut baggage = Baggage::default();
    before.pack(&mut baggage, now).unwrap();
    let mut after = services(&["written"]);
    assert!(after.unpack(&mut baggage, now));
    after.start(now);
    assert_eq!(texts(&after), texts(&before));
    assert!(after.is_down() && after.losses().is_empty());
    assert!(!after.unpack(&mut baggage, now), "once");
}

#[tokio::test]
async fn a_process_that_is_not_ours_has_ended() {
    let now = Instant::now();
    let mut before = services(&[]);
    // A wait that was left out would be a start.
    let mut group = service("a", &[Event::Start], now);
    group.spec.rules.restart = Some(Duration::from_secs(9));
    group.members[0].process = Some(Process {
        pid: Pid::this(),
        since: std::time::SystemTime::now(),
        exit: None,
        killed: false,
    });
    before.groups.push(group);
    let mut baggage = Baggage::default();
    before.pack(&mut baggage, now).unwrap();
    let mut after = services(&[]);
    assert!(after.unpack(&mut baggage, now));
    assert!(!after.have_processes());
    assert_eq!(after.wake(), Some(now + Duration::from_secs(9)));
    assert_eq!(texts(&after)[0].3, "ended");
}

#[tokio::test]
async fn a_service_that_does_not_fit_together_begins_anew() {
    let mut child = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let mut baggage = Baggage::default();
    // Two processes, of which only one is told.
    let kept = json!({"services": [words((0, 2, pid, true, 2, 0))]});
    baggage.put(ROOM, &kept).unwrap();
    let mut after = services(&["s0"]);
    assert!(after.unpack(&mut baggage, Instant::now()));
    assert_eq!(child.wait().unwrap().signal(), Some(9), "nobody would watch it");
    assert!(!after.have_processes() && !after.groups[0].begun);
}

#[tokio::test]
async fn the_begin_of_a_line_goes_along_with_its_pipe() {
    let (reader, mut writer) = io::pipe().unwrap();
    let mut before = services(&[]);
    let output = Output::resume(reader.into(), b"half ", "service.a".into(), Level::Info, None).unwrap();
    before.around.outputs.read(output);
    let mut baggage = Baggage::default();
    before.pack(&mut baggage, Instant::now()).unwrap();
    drop(before);
    let kept: Kept = baggage.take(ROOM);
    let [output] = <[KeptOutput; 1]>::try_from(kept.outputs).unwrap();
    assert_eq!(output.logger, "service.a");
    let (pipe, begun) = output.resume(&mut baggage).unwrap().to_resume().unwrap();
    drop(baggage);
    writer.write_all(b"a line\n").unwrap();
    let mut rest = [0; 7];
    io::PipeReader::from(pipe).read_exact(&mut rest).unwrap();
    assert_eq!((&begun[..], &rest), (&b"half "[..], b"a line\n"));
}

/// One service with one process in words, which may lie.
fn words((name, stage, pid, has_process, processes, since): (usize, usize, i32, bool, usize, u32)) -> Value {
    let stages = [
        json!("Down"),
        json!({"Waiting": {"wait": {"secs": u64::MAX, "nanos": 0}}}),
        json!({"Up": {"age": {"secs": 1, "nanos": 0}, "kill_in": null, "timed_out": false}}),
        json!({"Stopping": {"kill_in": {"secs": 0, "nanos": 0}}}),
    ];
    let mut spec = Spec::sample();
    (spec.name, spec.processes) = (format!("s{name}"), processes);
    let process = has_process.then(|| json!({"pid": pid, "since": {"secs": since, "nanos": 0}}));
    let member = json!({"life": {"stage": stages[stage]}, "process": process, "pid": pid});
    json!({"spec": spec, "created": has_process, "members": [member]})
}

/// Numbers that are no child of ours.
fn pids() -> impl Strategy<Value = i32> {
    prop_oneof![Just(0), Just(1), Just(-1), Just(Pid::this().as_raw()), i32::MIN..0]
}

proptest! {
    /// Whatever has been kept: what comes out is one service of each name at most, and only sound ones.
    #[test]
    fn any_words_are_services_or_nothing(
        kept in prop::collection::vec((0..4_usize, 0..4_usize, pids(), any::<bool>(), 0..3_usize, any::<u32>()), 0..4),
        guard in prop::option::of((pids(), 0..3_usize)),
        outputs in prop::collection::vec((0..3_usize, 0..9_usize, 0..9_usize), 0..3),
        other in ".*",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let mut baggage = Baggage::default();
        baggage.add(io::pipe().unwrap().0.into());
        baggage.add(std::fs::File::open("/dev/null").unwrap().into());
        baggage.add_bytes(b"abc");
        let output = |(pipe, at, length)| json!({"pipe": pipe, "begun": [at, length], "logger": "x"});
        let kept = json!({
            "services": kept.into_iter().map(words).collect::<Vec<_>>(),
            "outputs": outputs.into_iter().map(output).collect::<Vec<_>>(),
            "guard": guard.map(|(pid, pipe)| json!({"pid": pid, "pipe": pipe})),
        });
        baggage.put(ROOM, &kept).unwrap();
        let mut after = services(&["s0", "written"]);
        prop_assert!(after.unpack(&mut baggage, Instant::now()));
        prop_assert!(!after.have_processes() && after.around.guard.is_none(), "none of them is ours");
        prop_assert!(after.groups.iter().all(|group| group.spec.is_sound()));
        let names: BTreeSet<_> = after.groups.iter().map(|group| &group.spec.name).collect();
        prop_assert_eq!(names.len(), after.groups.len());

        // Words of another kind.
        baggage.put(ROOM, &other).unwrap();
        prop_assert!(!after.unpack(&mut baggage, Instant::now()));
    }
}
