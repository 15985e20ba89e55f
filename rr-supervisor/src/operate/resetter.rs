//! `resetter.*`: all workers of a plugin are replaced, behind the pool. While that lasts systemd sees the service reload.

use super::{
    Residents,
    ask::{self, AskError, QUICK, SLOW},
    informer::with_workers,
};
use crate::{
    fleet::{Member, RosterWatch, State},
    gateway::{Answer, Local},
    notify::Notify,
    place,
};
use bytes::Bytes;
use rr_common::{
    control::v1::{ResetRequest, plugin_client::PluginClient},
    rpc::{CallError, Codec, decode, encode},
};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tonic::transport::Channel;

/// The service.
#[derive(Debug)]
pub(crate) struct Resetter {
    roster: RosterWatch,
    residents: Residents,
    notify: Notify,
    base_dir: PathBuf,
    running: AtomicUsize,
}

impl Resetter {
    /// For these plugins of a server whose configuration lies there.
    pub(crate) fn new(roster: RosterWatch, residents: Residents, notify: Notify, base_dir: PathBuf) -> Self {
        Self {
            roster,
            residents,
            notify,
            base_dir,
            running: AtomicUsize::new(0),
        }
    }

    async fn reset(&self, plugin: &str) -> Result<(), CallError> {
        let resident = self.residents.find(plugin);
        let mut roster = self.roster.clone();
        let _told = Reloading::begin(self);
        if let Some(resident) = resident {
            let done = ask::within(&*resident, SLOW, resident.reset()).await;
            return done.map_err(|error| failed(error.to_string()));
        }
        loop {
            let member = roster.borrow().get(plugin).cloned();
            let member =
                member.ok_or_else(|| CallError::failed(format!("{CHAIN}_by_name: no such plugin: {plugin}")))?;
            let question = async |mut client: PluginClient<Channel>| client.reset(ResetRequest::default()).await;
            match ask::ask(&member, SLOW, question).await {
                Ok(_) => return Ok(()),
                Err(AskError::Unsupported(_)) => return Err(failed(format!("the plugin {plugin} has no workers"))),
                // Its process was just being replaced, and the next one may be older than this call.
                Err(AskError::Away { .. }) if succeeded(&mut roster, &member).await => {}
                Err(error) => return Err(failed(error.to_string())),
            }
        }
    }
}

/// Whether a plugin's process has a successor, or will have one in a moment.
async fn succeeded(roster: &mut RosterWatch, before: &Member) -> bool {
    let is_other = |now: &Member| now.pid != before.pid && now.channel.is_some();
    let other = roster.wait_for(|roster| roster.get(&before.name).is_some_and(is_other));
    tokio::time::timeout(QUICK, other)
        .await
        .is_ok_and(|found| found.is_ok())
}

impl Local for Resetter {
    fn prefix(&self) -> &'static str {
        "resetter"
    }

    fn call<'a>(&'a self, method: &'a str, codec: Codec, body: Bytes) -> Answer<'a> {
        Box::pin(async move {
            match method {
                "List" => {
                    let roster = Arc::clone(&self.roster.borrow());
                    encode(codec, &with_workers(&roster, &self.residents).await)
                }
                "Reset" => {
                    self.reset(&decode::<String>(codec, &body)?).await?;
                    encode(codec, &true)
                }
                _ => Err(CallError::NoMethod),
            }
        })
    }
}

/// How the reference's chain of operations begins.
const CHAIN: &str = "resetter_rpc_reset:\n\tresetter_plugin_reset";

fn failed(text: String) -> CallError {
    CallError::failed(format!("{CHAIN}: {text}"))
}

/// A link such as `current` leads elsewhere by now: new workers start where the old ones did, and somebody wonders where the new code is.
fn warn_of_another_directory(base_dir: &Path) {
    if let Some(now) = place::elsewhere(base_dir) {
        let now = now.display();
        tracing::warn!(target: "resetter", "the reset starts the same code anew: {now} is taken over by `rr reload`");
    }
}

/// Tells systemd of a reload while it lives. Several resets at once are one reload.
#[derive(Debug)]
struct Reloading<'a>(&'a Resetter);

impl<'a> Reloading<'a> {
    fn begin(resetter: &'a Resetter) -> Self {
        if resetter.running.fetch_add(1, Ordering::Relaxed) == 0 {
            warn_of_another_directory(&resetter.base_dir);
            if is_up(&resetter.roster) {
                resetter.notify.reloading();
            }
        }
        Self(resetter)
    }
}

impl Drop for Reloading<'_> {
    fn drop(&mut self) {
        let Self(resetter) = self;
        if resetter.running.fetch_sub(1, Ordering::Relaxed) == 1 && is_up(&resetter.roster) {
            let _ = resetter.notify.ready();
        }
    }
}

/// Whether the start is over and the stop has not begun: systemd must not hear `READY=1` otherwise.
fn is_up(roster: &RosterWatch) -> bool {
    let roster = roster.borrow();
    let starting = roster.members.iter().any(|member| match member.state {
        State::Starting => true,
        State::Down => !member.on_demand,
        _ => false,
    });
    !roster.stopping && !starting
}
