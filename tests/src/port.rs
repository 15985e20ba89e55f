//! Ports of this host: a free one, and how clients and the configuration write it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};

/// A TCP port on which nobody listens.
///
/// Taken below the kernel's ephemeral range, so that no outgoing connection gets it meanwhile, and counted on from a
/// place that depends on the process, so that tests running side by side do not meet.
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id().wrapping_mul(2_654_435_761) >> 8) % u32::from(COUNT);
    loop {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from((start + step) % u32::from(COUNT)).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Its address.
pub fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Its address as `rpc.listen` and PHP's `RR_RPC` have it.
pub fn tcp(port: u16) -> String {
    format!("tcp://127.0.0.1:{port}")
}

/// Its address as other settings have it.
pub fn at(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Nobody listens there.
pub fn closed(port: u16) -> bool {
    TcpStream::connect(local(port)).is_err()
}
