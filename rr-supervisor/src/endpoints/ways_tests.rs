#![allow(clippy::unwrap_used)]

use super::*;
use crate::control_dir::{ControlDir, Identity};
use nix::unistd::Uid;
use rr_common::config::section::Control;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// Ways in of a directory of the test's own.
struct Place {
    ways: Ways,
    sockets: Sockets,
    orders: mpsc::Sender<Order>,
    heard: mpsc::Receiver<Order>,
    dir: ControlDir,
    room: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let room = tempfile::tempdir().unwrap();
        let control = Control {
            dir: room.path().join("c").display().to_string(),
            ..Control::default()
        };
        let who = Identity {
            file: Path::new("/srv/.rr.yaml"),
            addresses: &[],
        };
        let dir = ControlDir::open(&control, &who, &Access::default(), None).unwrap();
        for socket in [dir.socket(), dir.rpc_socket()] {
            fs::write(socket, "").unwrap();
        }
        let (orders, heard) = mpsc::channel(16);
        Self {
            ways: Ways::new(ControlSockets::new(&dir, Access::default())),
            sockets: Sockets::new(Vec::new()),
            orders,
            heard,
            dir,
            room,
        }
    }

    fn listen(&self, name: &str) -> String {
        format!("unix://{}", self.room.path().join(name).display())
    }

    fn open(&mut self, listen: Option<&str>, control: Access) -> Result<(), Unfit> {
        let rpc = listen.map(|listen| section::Rpc {
            listen: listen.to_owned(),
            allow_users: Vec::new(),
        });
        let runtime = Handle::current();
        self.ways
            .open(rpc.as_ref(), control, &self.sockets, (&runtime, &self.orders))
    }

    /// Whether the gateway still accepts where it was told to last.
    fn told(&mut self) -> oneshot::Receiver<Infallible> {
        match self.heard.try_recv() {
            Ok(Order::Listen(_, until)) => until,
            other => panic!("{other:?}"),
        }
    }

    fn mode(&self) -> u32 {
        fs::metadata(self.dir.path()).unwrap().permissions().mode() & 0o777
    }
}

fn is_open(until: &mut oneshot::Receiver<Infallible>) -> bool {
    matches!(until.try_recv(), Err(oneshot::error::TryRecvError::Empty))
}

fn pids(all: &[i32]) -> BTreeSet<Pid> {
    all.iter().map(|pid| Pid::from_raw(*pid)).collect()
}

#[tokio::test]
async fn the_old_port_is_open_until_its_processes_have_gone() {
    let mut place = Place::new();
    let (first, second) = (place.listen("a"), place.listen("b"));
    place.open(Some(&first), Access::default()).unwrap();
    place.ways.commit(BTreeSet::new());
    assert_eq!(place.ways.close(|_| true), [""; 0]);
    let mut at_first = place.told();
    place.open(Some(&second), Access::default()).unwrap();
    let mut at_second = place.told();
    place.ways.commit(pids(&[1, 2]));
    assert_eq!(place.ways.close(|pid| pid.as_raw() == 2), [""; 0]);
    assert!(is_open(&mut at_first) && is_open(&mut at_second) && !place.ways.is_settled());
    // Back to where it was before that: the same socket goes on.
    place.open(Some(&first), Access::default()).unwrap();
    place.ways.commit(pids(&[3]));
    assert!(place.heard.try_recv().is_err(), "it is open");
    assert_eq!(place.ways.close(|pid| pid.as_raw() == 3), [""; 0]);
    assert_eq!(place.ways.close(|_| false), [second]);
    assert!(is_open(&mut at_first) && !is_open(&mut at_second));
    place.open(None, Access::default()).unwrap();
    place.ways.commit(BTreeSet::new());
    assert_eq!(place.ways.close(|_| false), [first]);
    assert!(!is_open(&mut at_first) && place.ways.is_settled());
}

#[tokio::test]
async fn what_comes_to_nothing_is_closed() {
    let mut place = Place::new();
    let mut other = Access::default();
    other.allow(Uid::from_raw(54321));
    let listen = place.listen("a");
    place.open(Some(&listen), other).unwrap();
    let mut until = place.told();
    assert!(is_open(&mut until));
    assert_eq!(place.mode(), 0o711, "whoever is started next may come in");
    place.ways.abandon();
    assert!(!is_open(&mut until));
    assert_eq!(place.mode(), 0o700);
}

#[tokio::test]
async fn whom_the_old_way_let_in_comes_in_until_it_has_gone() {
    let mut place = Place::new();
    let mut before = Access::default();
    before.allow(Uid::from_raw(54321));
    place.open(None, before).unwrap();
    place.ways.commit(BTreeSet::new());
    place.open(None, Access::default()).unwrap();
    place.ways.commit(pids(&[1]));
    place.ways.close(|_| true);
    assert_eq!(place.mode(), 0o711);
    place.ways.close(|_| false);
    assert_eq!(place.mode(), 0o700);
}
