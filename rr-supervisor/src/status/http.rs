//! The endpoint: `/health`, `/ready`, `/jobs`.

use super::{
    Status,
    check::Check,
    report::{Entry, Pipeline},
};
use crate::{
    endpoint::{self, Asked, Limits, Page, Ready, TEXT},
    fleet::Roster,
    messages::jobs::Stats,
};
use prost::Message;
use rr_common::{
    config::section,
    control::v1::{CallRequest, plugin_client::PluginClient},
    listen::Listener,
    rpc::Codec,
};
use serde::Serialize;
use std::{io, sync::Arc, time::Duration};
use tokio::{runtime::Handle, time::timeout};

/// Makes the endpoint on that socket.
///
/// # Errors
/// The runtime cannot take the socket.
pub(crate) fn prepare(
    status: Arc<Status>,
    section: &section::Status,
    listener: Listener,
    runtime: &Handle,
) -> io::Result<Ready> {
    let limits = Limits {
        head: Duration::from_secs(section.check_timeout),
        ..Limits::default()
    };
    endpoint::prepare(runtime, listener, limits, move |asked| {
        let status = status.clone();
        async move { status.page(&asked).await }
    })
}

impl Status {
    async fn page(&self, asked: &Asked) -> Page {
        let roster = self.roster();
        let ending = |status| Page::text(status, "service is shutting down\n");
        match asked.path.as_str() {
            "/health" if roster.stopping => ending(200),
            "/ready" | "/jobs" if roster.stopping => ending(503),
            "/health" => self.checked(&roster, Check::Health, asked).await,
            "/ready" => self.checked(&roster, Check::Ready, asked).await,
            "/jobs" => match timeout(self.within, stats(&roster)).await.ok().flatten() {
                Some(stats) => {
                    let pipelines = stats.stats.into_iter().map(Pipeline::from);
                    json(200, &pipelines.collect::<Vec<_>>())
                }
                None => Page::text(self.unavailable, "jobs plugin not found\n"),
            },
            _ => Page::not_found(),
        }
    }

    async fn checked(&self, roster: &Roster, check: Check, asked: &Asked) -> Page {
        let entries = self.check(roster, check, &names(&asked.query)).await;
        let failed = |entry: &Entry| entry.status_code != 200;
        let status = if entries.iter().any(failed) {
            self.unavailable
        } else {
            200
        };
        json(status, &entries)
    }
}

/// What the jobs plugin tells of its pipelines, if there is one that answers.
async fn stats(roster: &Roster) -> Option<Stats> {
    let channel = roster.get("jobs")?.channel.clone()?;
    let call = CallRequest {
        method: "Stat".into(),
        codec: Codec::Proto.flag().into(),
        body: Vec::new(),
    };
    let told = PluginClient::new(channel).call(call).await;
    let read = told.map_err(|refusal| refusal.to_string()).and_then(|answer| {
        let body = answer.into_inner().body;
        Stats::decode(&body[..]).map_err(|error| error.to_string())
    });
    read.inspect_err(|error| tracing::error!(target: "status", error, "jobs state"))
        .ok()
}

/// The values of `plugin` in a query.
fn names(query: &str) -> Vec<String> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text)
            .decode_utf8_lossy()
            .into_owned()
    };
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let named = pairs.filter(|(key, _)| decoded(key) == "plugin");
    named.map(|(_, value)| decoded(value)).collect()
}

/// JSON under the content type that Go's server guesses for it.
fn json(status: u16, value: &impl Serialize) -> Page {
    match serde_json::to_vec(value) {
        Ok(body) => Page {
            status,
            content_type: TEXT,
            body: body.into(),
        },
        Err(error) => Page::text(500, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_the_query() {
        assert_eq!(names(""), [""; 0]);
        assert_eq!(names("a=plugin&plug%69n=ht%74p&plugin=a+b&plugin"), ["http", "a b", ""]);
    }
}
