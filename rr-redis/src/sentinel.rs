//! Where the master is: the sentinels are asked in turn, and what they name must say itself that it is the master.

use crate::{
    address::Address,
    connect::{Wire, server},
    settings::Settings,
};
use redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, Value, cmd};
use tokio::time::timeout;

/// Connects to the master of this name.
pub(crate) async fn master(settings: &Settings, name: &str) -> RedisResult<Wire> {
    let address = whereabouts(settings, name).await?;
    let mut wire = server(settings, &address, &settings.login).await?;
    let role: Vec<Value> = FromRedisValue::from_redis_value(wire.ask(&cmd("ROLE")).await?)?;
    match role.first().map(String::from_redis_value_ref) {
        Some(Ok(role)) if role == "master" => Ok(wire),
        // The sentinels have not agreed on a new master yet.
        _ => Err(error(
            "what the sentinels call the master is none",
            format!("{address:?}"),
        )),
    }
}

/// The first answer of a sentinel.
async fn whereabouts(settings: &Settings, name: &str) -> RedisResult<Address> {
    // A sentinel that does not answer must leave time for the others.
    let share = settings.dial_timeout / u32::try_from(settings.addresses.len() + 1).unwrap_or(u32::MAX);
    let mut last = error("no sentinel answers", String::new());
    for sentinel in &settings.addresses {
        match timeout(share, ask(settings, sentinel, name)).await {
            Ok(Ok(Some(address))) => return Ok(address),
            Ok(Ok(None)) => last = error("the sentinels know no master of this name", name.to_owned()),
            Ok(Err(why)) => last = why,
            Err(_) => last = error("a sentinel does not answer", format!("{sentinel:?}")),
        }
    }
    Err(last)
}

async fn ask(settings: &Settings, sentinel: &Address, name: &str) -> RedisResult<Option<Address>> {
    let mut wire = server(settings, sentinel, &settings.sentinel_login).await?;
    let mut question = cmd("SENTINEL");
    question.arg("get-master-addr-by-name").arg(name);
    let answer: Option<(String, u16)> = FromRedisValue::from_redis_value(wire.ask(&question).await?)?;
    Ok(answer.map(|(host, port)| Address::Tcp(host, port)))
}

fn error(what: &'static str, detail: String) -> RedisError {
    RedisError::from((ErrorKind::Io, what, detail))
}
