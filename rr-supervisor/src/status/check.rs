//! The check of one plugin.

use super::is_listed;
use crate::fleet::{Member, State};
use rr_common::control::v1::{HealthRequest, ReadyRequest, plugin_client::PluginClient};
use std::{fmt, time::Duration};
use tokio::time::timeout;
use tonic::{Status as Refusal, transport::Channel};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Check {
    /// Does it work, or could it?
    Health,
    /// Could it take work now?
    Ready,
}

/// Why a plugin fails a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure(pub(super) String);

impl Check {
    /// Asks the plugin, for no longer than `within`.
    ///
    /// # Errors
    /// It fails the check.
    pub(super) async fn of(self, member: &Member, within: Duration) -> Result<(), Failure> {
        if let Some(verdict) = without_asking(self, member) {
            return verdict;
        }
        let Some(channel) = member.channel.clone() else {
            return Err(Failure("it has not registered".into()));
        };
        match timeout(within, self.ask(channel)).await {
            Ok(Ok(reason)) if reason.is_empty() => Ok(()),
            Ok(Ok(reason)) => Err(Failure(reason)),
            Ok(Err(refusal)) => Err(Failure(refusal.message().to_owned())),
            Err(_) => Err(Failure(format!("it has not answered within {within:?}"))),
        }
    }

    /// What the plugin says: empty, or why it fails.
    async fn ask(self, channel: Channel) -> Result<String, Refusal> {
        let mut plugin = PluginClient::new(channel);
        match self {
            Self::Health => Ok(plugin.health(HealthRequest {}).await?.into_inner().unhealthy),
            Self::Ready => {
                let answer = plugin.ready(ReadyRequest {}).await?.into_inner();
                Ok(match (answer.ready, answer.reason.as_str()) {
                    (true, _) => String::new(),
                    (false, "") => "it gives no reason".to_owned(),
                    (false, _) => answer.reason,
                })
            }
        }
    }
}

/// The verdict, when the state of its process decides.
fn without_asking(check: Check, member: &Member) -> Option<Result<(), Failure>> {
    let failure = |text: &str| Some(Err(Failure(text.to_owned())));
    match member.state {
        // A plugin without a listener of its own does not keep traffic away: the server behind a storage may be down while all
        // else is served.
        State::Running if check == Check::Ready && !is_listed(&member.name) => Some(Ok(())),
        State::Running => None,
        State::Down if member.on_demand => Some(Ok(())),
        State::Down | State::Starting => failure("it is starting"),
        State::Stopping => failure("it is stopping"),
        State::Restarting => failure("it has died and is being restarted"),
        State::Failed => failure("it was given up: it died too often before it was of any use"),
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Health => "healthy",
            Self::Ready => "ready",
        })
    }
}
