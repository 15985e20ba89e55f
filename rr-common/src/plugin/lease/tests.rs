//! What the slot says when a lease ends, whatever it ends by. The other side of the connection is ours.

use super::*;
use crate::rpc::{
    CallError,
    lease::{SLOT, Standing, standing},
};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::{
    io::{Read, Write},
    os::unix::{fs::FileExt, net::UnixStream},
    time::Duration,
};

struct Place {
    leases: Leases,
    page: File,
    client: UnixStream,
}

/// A call that echoes; `x.Wait` never answers, `x.Big` answers more than a slot takes.
fn begin(frame: Bytes, message: Message) -> Call {
    Box::pin(async move {
        let result: Result<Bytes, CallError> = match message.name(&frame) {
            b"x.Wait" => std::future::pending().await,
            b"x.Big" => Ok(vec![b'x'; SLOT].into()),
            _ => Ok(frame.slice(message.body()..)),
        };
        Answer { frame, message, result }
    })
}

/// A connection that has been lent as number 7, in slot 1.
fn lent() -> Place {
    let page = File::from(memfd_create("test", MFdFlags::MFD_CLOEXEC).unwrap());
    page.set_len(2 * SLOT as u64).unwrap();
    let (client, ours) = UnixStream::pair().unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut leases = Leases::new(Arc::new(begin));
    leases.passed(Some(page.try_clone().unwrap().into()));
    leases.passed(Some(ours.into()));
    assert!(leases.take(PAGE, 0, b""));
    assert!(leases.take(LEND, 7, b"\x01\0\0\0x"));
    Place { leases, page, client }
}

fn call(method: &str, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    wire::answer(&mut frame, crate::frame::flag::RAW, 9, method.as_bytes(), body);
    frame
}

impl Place {
    /// Lets the plugin work until the lease is over.
    async fn over(&mut self) -> Rest {
        let word = tokio::time::timeout(Duration::from_secs(10), poll_fn(|cx| self.leases.poll_over(cx)));
        let Word { sequence, rest } = word.await.unwrap();
        assert_eq!(sequence, 7);
        rest
    }

    fn slot(&self) -> Vec<u8> {
        let mut slot = vec![0; SLOT];
        self.page.read_exact_at(&mut slot, SLOT as u64).unwrap();
        slot
    }

    /// Calls, and reads an answer of the same length.
    async fn echo(&mut self) {
        let frame = call("x.Echo", b"hello");
        self.client.write_all(&frame).unwrap();
        let mut client = self.client.try_clone().unwrap();
        let answer = tokio::task::spawn_blocking(move || {
            let mut answer = vec![0; frame.len()];
            client.read_exact(&mut answer).map(|()| answer == frame)
        });
        assert!(answer.await.unwrap().unwrap());
    }
}

#[tokio::test]
async fn calls_are_answered_until_it_is_wanted_back() {
    let mut place = lent();
    for _ in 0..5 {
        place.echo().await;
    }
    place.leases.give_back(7);
    assert!(matches!(place.over().await, Rest::Nothing));
    assert_eq!(standing(&place.slot()), Ok((Standing::Read(b""), 5)));
}

#[tokio::test]
async fn calls_of_others_and_pieces_come_back_unread() {
    let (whole, other) = (call("x.Echo", b"whole"), call("y.Echo", b""));
    let two = [whole.clone(), whole.clone()].concat();
    for bytes in [&other, &two, &b"no call at all"[..].to_vec()] {
        let mut place = lent();
        place.echo().await;
        place.client.write_all(bytes).unwrap();
        assert!(matches!(place.over().await, Rest::Nothing));
        assert_eq!(standing(&place.slot()), Ok((Standing::Read(bytes), 1)));
    }
    // Half of a call, and then it is wanted back; or the client closes.
    for closes in [false, true] {
        let mut place = lent();
        place.client.write_all(&whole[..20]).unwrap();
        while standing(&place.slot()) != Ok((Standing::Read(&whole[..20]), 0)) {
            tokio::task::yield_now().await;
        }
        match closes {
            true => place.client.shutdown(std::net::Shutdown::Write).unwrap(),
            false => place.leases.give_back(7),
        }
        assert!(matches!(place.over().await, Rest::Nothing));
        assert_eq!(standing(&place.slot()), Ok((Standing::Read(&whole[..20]), 0)));
    }
}

#[tokio::test]
async fn a_call_that_is_not_answered_at_once_goes_on_elsewhere() {
    for (method, waits) in [("x.Wait", true), ("x.Big", false)] {
        let mut place = lent();
        let frame = call(method, b"argument");
        place.client.write_all(&frame).unwrap();
        let rest = place.over().await;
        assert!(matches!(
            (rest, waits),
            (Rest::Call(_), true) | (Rest::Answer(_), false)
        ));
        let slot = place.slot();
        let (found, _) = standing(&slot).unwrap();
        assert!(matches!(found, Standing::Called(begun, message) if begun == frame && message.sequence == 9));
    }
}

/// A client that sends calls, one at a time, and reads no answers.
#[tokio::test]
async fn of_an_answer_that_is_not_taken_the_rest_is_known() {
    let mut place = lent();
    let frame = call("x.Echo", &vec![b'x'; 7000]);
    place.client.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let word = loop {
        let polled = poll_fn(|cx| Poll::Ready(place.leases.poll_over(cx))).await;
        if let Poll::Ready(word) = polled {
            break word;
        }
        // It reads the next one.
        if standing(&place.slot()) == Ok((Standing::Read(b""), sent)) {
            place.client.write_all(&frame).unwrap();
            sent += 1;
        }
        tokio::task::yield_now().await;
    };
    assert!(matches!(word.rest, Rest::Nothing));
    let slot = place.slot();
    let Ok((Standing::Answered(rest), calls)) = standing(&slot) else {
        panic!("{:?}", standing(&slot));
    };
    assert!(!rest.is_empty() && calls + 1 == sent);
    // What has gone out and what has not are the answers, byte for byte.
    place.client.set_nonblocking(false).unwrap();
    let mut got = vec![0; frame.len() * sent as usize - rest.len()];
    place.client.read_exact(&mut got).unwrap();
    got.extend_from_slice(rest);
    assert!(got.chunks(frame.len()).all(|answer| answer == frame));
}

#[tokio::test]
async fn nothing_is_read_after_the_connection_for_calls_has_ended() {
    let Place {
        leases,
        page: _,
        client,
    } = lent();
    drop(leases);
    (&client).write_all(&call("x.Echo", b"")).unwrap();
    // The only other copy of the descriptor was the plugin's, and it is closed.
    let end = tokio::task::spawn_blocking(move || (&client).read(&mut [0; 9]));
    let end = end.await.unwrap();
    assert!(matches!(&end, Ok(0)) || end.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn what_cannot_be_served_comes_back_at_once() {
    // A slot beyond the page, a descriptor that was lost, a body that is none.
    for (passed, body) in [(true, &b"\x02\0\0\0x"[..]), (false, b"\0\0\0\0x"), (true, b"\0")] {
        let mut place = lent();
        let (_, ours) = UnixStream::pair().unwrap();
        place.leases.passed(passed.then(|| ours.into()));
        assert!(place.leases.take(LEND, 8, body));
        let word = poll_fn(|cx| place.leases.poll_over(cx)).await;
        assert!(word.sequence == 8 && matches!(word.rest, Rest::Nothing));
    }
}
