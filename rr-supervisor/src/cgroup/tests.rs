//! Against a directory that stands for the kernel's.

use super::*;

/// A directory with the files of a group.
fn group(controllers: &str, handed_down: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("cgroup.controllers"), controllers).unwrap();
    fs::write(dir.path().join("cgroup.subtree_control"), handed_down).unwrap();
    dir
}

fn groups(dir: &tempfile::TempDir) -> Groups {
    Groups::new(dir.path().to_str().unwrap())
}

const BOTH: Limits = Limits {
    memory: 64,
    cpu: 0.0,
    tasks: 10,
};

#[test]
fn controllers_are_handed_down_once() {
    let dir = group("cpuset cpu memory pids\n", "");
    let groups = groups(&dir);
    assert!(groups.wants(&BOTH) && !groups.wants(&Limits::default()));
    groups.prepare(&BOTH).unwrap();
    let file = dir.path().join("cgroup.subtree_control");
    assert_eq!(fs::read_to_string(&file).unwrap(), "+memory +pids");
    // The kernel shows them without the sign.
    fs::write(&file, "memory pids\n").unwrap();
    groups.prepare(&BOTH).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "memory pids\n");
}

#[test]
fn what_is_not_ours_is_told_with_what_to_do() {
    let dir = group("pids\n", "");
    let error = groups(&dir).prepare(&BOTH).unwrap_err().to_string();
    assert!(
        error.contains("has no memory;") && error.contains("Delegate="),
        "{error}"
    );
    let error = Groups::new("/nowhere").prepare(&BOTH).unwrap_err().to_string();
    assert!(
        error.contains("/nowhere") && error.contains("supervisor.cgroup: none"),
        "{error}"
    );
    assert!(!Groups::new("none").wants(&BOTH));
}

#[test]
fn a_process_gets_its_limits_and_its_group() {
    let dir = group("memory pids\n", "memory pids\n");
    let mut procs = File::from(groups(&dir).place("http", &BOTH).unwrap());
    procs.write_all(b"1234").unwrap();
    let read = |file: &str| fs::read_to_string(dir.path().join("http-1").join(file)).unwrap();
    assert_eq!(read("memory.max"), "67108864");
    assert_eq!(read("pids.max"), "10");
    assert_eq!(read("cgroup.procs"), "1234");
    assert!(!dir.path().join("http-1/cpu.max").exists());
}

#[test]
fn each_process_has_a_group_of_its_own_and_empty_ones_go() {
    let dir = group("memory pids\n", "memory pids\n");
    let root = dir.path();
    // One that is still used, and others that are empty.
    fs::create_dir_all(root.join("http-1/used")).unwrap();
    fs::create_dir(root.join("http-7")).unwrap();
    fs::create_dir(root.join("http-x")).unwrap();
    fs::create_dir(root.join("kv-1")).unwrap();
    let groups = groups(&dir);
    groups.place("http", &BOTH).unwrap();
    let names = || {
        let entries = fs::read_dir(root).unwrap().flatten();
        let dirs = entries.filter(|entry| entry.path().is_dir());
        let mut names: Vec<_> = dirs.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["http-1", "http-2", "http-x", "kv-1"]);
    // The kernel's files are no obstacle to it.
    for file in fs::read_dir(root.join("http-2")).unwrap().flatten() {
        fs::remove_file(file.path()).unwrap();
    }
    drop(groups);
    assert_eq!(names(), ["http-1", "http-x"], "the end clears up");
}

#[test]
fn the_own_group_is_read_from_the_kernels_table() {
    let table = "3:cpu:/x\n0::/system.slice/rr.service/supervisor\n";
    let expected = Path::new("/sys/fs/cgroup/system.slice/rr.service/supervisor");
    assert_eq!(own_group(table).as_deref(), Some(expected));
    assert_eq!(own_group("3:cpu:/x\n"), None);
}
