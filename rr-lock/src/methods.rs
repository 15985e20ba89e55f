//! The RPC methods, as RoadRunner's clients call them.

use crate::{
    driver::{Ask, Driver, DriverError, Mode},
    v1beta1::{Request, Response},
};
use bytes::Bytes;
use rr_common::rpc::{CallError, Codec, decode_message, encode_message};
use std::time::{Duration, Instant};

/// A wait that nobody asked for.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// A lock without a time limit: RoadRunner's year.
const YEAR: Duration = Duration::from_secs(31_555_952);

/// Who asks for any owner.
const ANYONE: &str = "*";

/// The methods.
#[derive(Clone, Copy)]
enum Method {
    Lock(Mode),
    Release,
    ForceRelease,
    Exists,
    UpdateTtl,
}

impl Method {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "Lock" => Self::Lock(Mode::Write),
            "LockRead" => Self::Lock(Mode::Read),
            "Release" => Self::Release,
            "ForceRelease" => Self::ForceRelease,
            "Exists" => Self::Exists,
            "UpdateTTL" => Self::UpdateTtl,
            _ => return None,
        })
    }
}

/// Answers a method.
pub(crate) async fn call(driver: &dyn Driver, method: &str, codec: Codec, body: Bytes) -> Result<Bytes, CallError> {
    let method = Method::of(method).ok_or(CallError::NoMethod)?;
    let request: Request = decode_message(codec, body)?;
    let (resource, id) = (request.resource.as_str(), request.id.as_str());
    if id.is_empty() && !matches!(method, Method::ForceRelease) {
        return Err(CallError::failed("empty ID is not allowed"));
    }
    let began = Instant::now();
    let mut token = None;
    let ok = match method {
        Method::Lock(mode) => {
            let ask = Ask {
                resource,
                id,
                mode,
                ttl: ttl(&request)?,
                wait: wait(&request),
            };
            token = match driver.lock(ask).await {
                Err(DriverError::Paused) => return Err(CallError::Again(rest(codec, &request, began.elapsed())?)),
                verdict => verdict?,
            };
            token.is_some()
        }
        Method::Release => driver.release(resource, id).await?,
        Method::ForceRelease => driver.force_release(resource).await?,
        Method::Exists => driver.exists(resource, Some(id).filter(|id| *id != ANYONE)).await?,
        Method::UpdateTtl => driver.update_ttl(resource, id, ttl(&request)?).await?,
    };
    let token = token.unwrap_or_default();
    encode_message(codec, &Response { ok, token })
}

/// How long a lock is to last. A negative time ends the reference's whole process; here it is an error.
fn ttl(request: &Request) -> Result<Duration, CallError> {
    match u64::try_from(request.ttl.unwrap_or_default()) {
        Ok(0) => Ok(YEAR),
        Ok(micros) => Ok(Duration::from_micros(micros)),
        Err(_) => Err(CallError::failed("a negative TTL is not allowed")),
    }
}

/// How long a wish may wait. A negative time has passed already.
fn wait(request: &Request) -> Duration {
    match u64::try_from(request.wait.unwrap_or_default()) {
        Ok(0) => SHORTEST_WAIT,
        Ok(micros) => Duration::from_micros(micros),
        Err(_) => Duration::ZERO,
    }
}

/// The wish with what is left of its wait.
fn rest(codec: Codec, request: &Request, waited: Duration) -> Result<Bytes, CallError> {
    // No less than a moment: zero and less than zero mean something else.
    let left = wait(request).saturating_sub(waited).max(SHORTEST_WAIT);
    let request = Request {
        wait: Some(i64::try_from(left.as_micros()).unwrap_or(i64::MAX)),
        ..request.clone()
    };
    encode_message(codec, &request)
}

impl From<DriverError> for CallError {
    fn from(error: DriverError) -> Self {
        Self::Failed(error.to_string())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::driver::memory::Memory;
    use prost::Message;
    use tokio::runtime::Handle;

    fn request(id: &str, ttl: i64, wait: i64) -> Request {
        Request {
            resource: "r".into(),
            id: id.into(),
            ttl: Some(ttl),
            wait: Some(wait),
        }
    }

    async fn ask(memory: &Memory, method: &str, request: &Request) -> Result<Response, CallError> {
        let body = call(memory, method, Codec::Proto, request.encode_to_vec().into()).await?;
        Ok(Response::decode(body).unwrap())
    }

    fn memory() -> Memory {
        Memory::start(None, &Handle::current()).unwrap()
    }

    #[tokio::test]
    async fn all_methods() {
        let memory = memory();
        let a = request("a", 0, 0);
        let granted = ask(&memory, "Lock", &a).await.unwrap();
        assert!(granted.ok && granted.token > 0);
        let refused = ask(&memory, "LockRead", &request("b", 0, -1)).await.unwrap();
        assert_eq!(refused, Response::default());
        for (method, id, ok) in [
            ("Exists", "a", true),
            ("Exists", "b", false),
            ("Exists", "*", true),
            ("UpdateTTL", "a", true),
            ("UpdateTTL", "b", false),
            ("Release", "b", false),
            ("Release", "a", true),
            ("Release", "a", false),
            ("ForceRelease", "", false),
            ("LockRead", "b", true),
            ("LockRead", "c", true),
            ("Lock", "b", false),
            ("ForceRelease", "", true),
            ("Exists", "*", false),
        ] {
            let answer = ask(&memory, method, &request(id, 5_000_000, 0)).await.unwrap();
            assert_eq!(answer.ok, ok, "{method} {id}");
        }
    }

    #[tokio::test]
    async fn errors() {
        let memory = memory();
        let empty = CallError::failed("empty ID is not allowed");
        for method in ["Lock", "LockRead", "Release", "Exists", "UpdateTTL"] {
            assert_eq!(
                ask(&memory, method, &request("", 0, 0)).await,
                Err(empty.clone()),
                "{method}"
            );
        }
        assert_eq!(
            ask(&memory, "Unlock", &request("a", 0, 0)).await,
            Err(CallError::NoMethod)
        );
        assert!(ask(&memory, "Lock", &request("a", -1, 0)).await.is_err());
        let garbage = call(&memory, "Lock", Codec::Proto, Bytes::from_static(b"\xff")).await;
        assert!(garbage.is_err());
    }

    #[tokio::test]
    async fn json_as_well() {
        let memory = memory();
        let body = Bytes::from_static(br#"{"resource":"r","id":"a","ttl":10000000}"#);
        let answer = call(&memory, "Lock", Codec::Json, body.clone()).await.unwrap();
        let text = std::str::from_utf8(&answer).unwrap();
        assert!(text.starts_with(r#"{"ok":true,"token":"#), "{text}");
        let again = call(&memory, "Lock", Codec::Json, body).await.unwrap();
        assert_eq!(&again[..], b"{}");
    }

    #[tokio::test]
    async fn what_the_reference_reads_and_writes() {
        // A recorded call: resource "r", id "a", ten seconds.
        let memory = memory();
        let recorded = Bytes::from_static(b"\x0a\x01r\x12\x01a\x18\x80\xad\xe2\x04");
        let answer = call(&memory, "Lock", Codec::Proto, recorded).await.unwrap();
        assert!(answer.starts_with(b"\x08\x01"), "then what its clients skip");
        let released = Bytes::from_static(b"\x0a\x01r\x12\x01a");
        let answer = call(&memory, "Release", Codec::Proto, released).await.unwrap();
        assert_eq!(&answer[..], b"\x08\x01");
    }

    #[test]
    fn times() {
        let of = |time| request("a", time, time);
        assert_eq!((ttl(&of(0)), wait(&of(0))), (Ok(YEAR), SHORTEST_WAIT));
        assert_eq!(ttl(&Request::default()), Ok(YEAR));
        assert_eq!(wait(&of(-5)), Duration::ZERO);
        assert_eq!(wait(&of(2_500_000)), Duration::from_millis(2500));
        assert_eq!(ttl(&of(i64::MAX)), Ok(Duration::from_micros(i64::MAX as u64)));
    }
}
