//! Which socket an address finds, and when a new one is bound.

#![allow(clippy::unwrap_used)]

use super::*;
use std::os::unix::fs::PermissionsExt;

fn port(listener: &Listener) -> u16 {
    match listener.address().unwrap() {
        Address::Tcp(address) => address.port(),
        Address::Unix(_) => 0,
    }
}

#[test]
fn a_second_take_is_the_same_socket() {
    let listeners = Listeners::default();
    let first = listeners.take("tcp://127.0.0.1:0").unwrap();
    let second = listeners.take("127.0.0.1:0").unwrap();
    assert_eq!(port(&first), port(&second));
    assert_ne!(port(&first), 0);
    assert!(listeners.holds(&first.address().unwrap().to_string()));
    assert!(!listeners.holds("127.0.0.2:0"));
}

#[test]
fn a_predecessors_sockets_are_claimed_or_let_go() {
    let bound = |n: u8| bind(&format!("127.0.0.{n}:0").parse().unwrap()).unwrap();
    let (first, second) = (bound(1), bound(2));
    let address = local_address(&first).unwrap();
    let listeners = Listeners::default();
    listeners.inherit(vec![first.try_clone().unwrap(), first, second]);
    assert_eq!(listeners.copies().unwrap().len(), 2, "one of each");
    let taken = listeners.take("127.0.0.1:0").unwrap();
    assert_eq!(taken.address().unwrap(), address);
    assert!(listeners.held().contains(&(address, true)), "it is ours from now on");
    listeners.close_unclaimed();
    assert_eq!(listeners.copies().unwrap().len(), 1);
}

#[test]
fn a_socket_that_is_handed_over_is_found_by_the_address_it_was_asked_for() {
    let old = Listeners::new(vec![bind(&"127.0.0.3:0".parse().unwrap()).unwrap()]);
    let fixed = bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let fixed_address = local_address(&fixed).unwrap().to_string();
    drop(fixed);
    old.take(&fixed_address).unwrap();
    let any = port(&old.take("127.0.0.1:0").unwrap());
    let gone = port(&old.take("127.0.0.2:0").unwrap());
    let new = Listeners::default();
    new.take_over(old.hand_over().unwrap());
    assert_eq!(
        port(&new.take("127.0.0.1:0").unwrap()),
        any,
        "not the first one on that host"
    );
    new.take(&fixed_address).unwrap();
    new.close_unclaimed();
    assert!(!new.holds("127.0.0.2:0"), "{gone} is let go");
    assert_eq!(
        new.drop_untaken().len(),
        1,
        "what was passed from outside is treated as before"
    );
    assert_eq!(new.held().len(), 2);
}

#[test]
fn an_inherited_socket_is_found_by_its_address() {
    let bound = bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let address = local_address(&bound).unwrap().to_string();
    let listeners = Listeners::new(vec![bound]);
    // A second socket on the same address would fail: this is the inherited one.
    assert_eq!(
        listeners.take(&address).unwrap().address().unwrap().to_string(),
        address
    );
    assert_eq!(
        listeners.take("127.0.0.1:0").unwrap().address().unwrap().to_string(),
        address
    );
}

/// What `ListenStream=PORT` gives, where there is IPv6.
#[test]
fn a_socket_of_both_families_is_the_one_without_a_host() {
    let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "[::]:0".parse().unwrap();
    if socket
        .set_only_v6(false)
        .and_then(|()| socket.bind(&any.into()))
        .is_err()
    {
        eprintln!("SKIPPED: no IPv6 here");
        return;
    }
    socket.listen(1).unwrap();
    let actual = local_address(&socket).unwrap();
    let port = actual.to_string().replace("[::]:", "");
    let listeners = Listeners::new(vec![socket.into()]);
    let taken = listeners.take(&format!(":{port}")).unwrap();
    assert_eq!(taken.address().unwrap(), actual);
}

/// Otherwise clients would wait for ever in the queue of a socket that no part of the configuration serves.
#[test]
fn what_nobody_takes_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("gone.sock");
    let unreachable = bind(&format!("unix://{}", gone.display()).parse().unwrap()).unwrap();
    fs::remove_file(&gone).unwrap();
    let bound: Vec<_> = (0..2).map(|_| bind(&"127.0.0.1:0".parse().unwrap()).unwrap()).collect();
    let [wanted, other] = [0, 1].map(|i| local_address(&bound[i]).unwrap());
    let listeners = Listeners::new(bound.into_iter().chain([unreachable]).collect());
    assert_eq!(listeners.held(), [(wanted.clone(), false), (other.clone(), false)]);
    listeners.take(&wanted.to_string()).unwrap();
    assert_eq!(listeners.drop_untaken(), std::slice::from_ref(&other));
    assert_eq!(listeners.held(), [(wanted, false)]);
    assert!(std::net::TcpStream::connect(other.to_string()).is_err());
}

#[test]
fn a_port_of_ours_can_be_bound_on_other_hosts_too() {
    let listeners = Listeners::default();
    let one = listeners.take("127.0.0.1:0").unwrap();
    let port = port(&one);
    let all = format!("0.0.0.0:{port}");
    assert!(!listeners.holds(&all));
    let everywhere = listeners.take(&all).unwrap();
    assert_eq!(everywhere.address().unwrap().to_string(), all);
    let both = [&one, &everywhere].map(|listener| match listener {
        Listener::Tcp(listener) => SockRef::from(listener).reuse_port().unwrap(),
        Listener::Unix(_) => true,
    });
    assert_eq!(both, [false, false], "nobody else may join");
    listeners.release("127.0.0.1:0");
    drop(one);
    assert!(listeners.holds(&all) && !listeners.holds(&format!("127.0.0.1:{port}")));
    // And back again.
    listeners.take(&format!("127.0.0.1:{port}")).unwrap();
    let stranger = bind(&all.parse().unwrap()).unwrap_err();
    assert_eq!(stranger.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_taken_port_is_an_error_that_names_it() {
    let bound = bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let address = local_address(&bound).unwrap().to_string();
    let error = Listeners::default().take(&address).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address), "{error}");
}

#[test]
fn a_unix_socket_gets_its_mode_and_replaces_a_stale_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sock");
    let text = format!("unix://{}?mode=0660", path.display());
    let stale = Listeners::default();
    drop(stale.take(&text).unwrap());
    drop(stale);
    assert!(path.exists());

    let listeners = Listeners::default();
    let _live = listeners.take(&text).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    // A live one is never taken over.
    assert_eq!(
        Listeners::default().take(&text).unwrap_err().kind(),
        io::ErrorKind::AddrInUse
    );
    listeners.remove_files();
    assert!(!path.exists());
}
