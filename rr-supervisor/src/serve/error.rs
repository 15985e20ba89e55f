//! Why a server does not start.

use crate::{
    control_dir::ControlDirError, endpoints::Unfit, on_init::OnInitError, service::SpecError, watch::WatchError,
};
use rr_common::{config::Diagnostics, telemetry::LogError};
use std::io;

/// Why the server does not start; the text is for the user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// Programs of configured plugins are missing, or would refuse the configuration.
    #[error("{0}")]
    Unfit(#[from] Diagnostics),
    /// There is nothing to start.
    #[error("the configuration names no plugin to start (such as a section http)")]
    Nothing,
    /// The log cannot be set up.
    #[error("{0}")]
    Log(#[from] LogError),
    /// The control directory cannot be had.
    #[error("{0}")]
    ControlDir(#[from] ControlDirError),
    /// A port is taken or the like.
    #[error("the plugin {plugin} cannot start: {error}")]
    Listen {
        /// The plugin whose address it is.
        plugin: String,
        /// The reason, with the address.
        error: io::Error,
    },
    /// The same for an endpoint of our own, or something else about it is wrong.
    #[error("{0}")]
    Endpoint(#[from] Unfit),
    /// `server.on_init` failed and `exit_on_error` is set.
    #[error("{0}")]
    OnInit(#[from] OnInitError),
    /// A service that makes no sense.
    #[error("{0}")]
    Service(#[from] SpecError),
    /// Files that are to be watched and cannot be.
    #[error("{0}")]
    Watch(#[from] WatchError),
    /// Anything else that the system refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
}
