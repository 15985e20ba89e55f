//! What a pool is made from, and its first moments: settings checked, the relay opened, every worker ready or PHP's own words why not.

use super::{Pool, keeper, life::Setup, repair, rules::Rules, shared::Shared, state::Core};
use crate::{
    config, oom,
    plugin::StartError,
    relay::{Address, hub::Hub},
    worker::recipe::{self, Recipe},
};
use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// Says in a few words what a request's context asks for.
pub type Describe = fn(&[u8]) -> Option<String>;

/// What a pool needs to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The plugin's `pool` section.
    pub pool: config::section::Pool,
    /// The `server` section.
    pub server: config::section::Server,
    /// `rpc.listen`, if it is written in the file.
    pub rpc: Option<String>,
    /// The plugin's name, which is its workers' `RR_MODE`.
    pub mode: String,
    /// Variables that the plugin adds.
    pub env: Vec<(String, String)>,
    /// The runtimes on which frames move.
    pub runtimes: Vec<Handle>,
    /// For operators who want to know what a worker works on.
    pub describe: Option<Describe>,
}

impl Pool {
    /// Starts every worker; returns when all are ready. Call it on the runtime of a thread that lives as long as the
    /// process: workers die with the thread that forked them.
    ///
    /// # Errors
    /// A setting is wrong, or a worker did not start: then with PHP's own words why not, and all others are stopped. Where code is
    /// [waited for](repair) that one is told in the log, and the pool begins without workers.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let rules = Rules::new(&options.pool)?;
        let address: Address = options
            .server
            .relay
            .parse()
            .map_err(|error| StartError(format!("{error}")))?;
        let identity = recipe::identity("server", &options.server.user, &options.server.group)?;
        let hub = Hub::start(&address, &options.mode, identity.as_ref()).await?;
        let relay = hub.as_ref().map_or("pipes", Hub::relay);
        let recipe = Recipe::new(&options, relay, identity)?;
        let describe = options.describe;
        let mut runtimes = options.runtimes;
        if runtimes.is_empty() {
            runtimes.push(Handle::current());
        }
        let debug = rules.debug;
        let core = Core::new(rules, RandomState::new().hash_one(std::process::id()));
        let setup = Arc::new(Setup {
            recipe,
            hub,
            runtimes,
            describe,
            oom: Mutex::new(oom::Watch::of(std::process::id())),
        });
        let pool = Self {
            setup: Arc::clone(&setup),
            shared: Arc::new(Shared::new(core, &options.mode, &options.pool)),
            debug,
            reset_timeout: options.pool.reset_timeout.get().max(Duration::from_millis(1)),
        };
        tokio::spawn(keeper::keep(Arc::clone(&pool.shared), setup));
        if debug {
            return Ok(pool);
        }
        match pool.all_serve(0).await {
            Ok(()) => {
                pool.shared.started.store(true, Ordering::Relaxed);
                Ok(pool)
            }
            Err(error) if repair::is_awaited() => {
                tracing::error!(target: "server", internal_event_name = "EventWorkerError", error, "the workers do not start; a changed file or the next request tries it again");
                pool.shared.started.store(true, Ordering::Relaxed);
                pool.shared.with(Core::await_repair);
                Ok(pool)
            }
            Err(error) => {
                pool.stop(Instant::now()).await;
                Err(StartError(error))
            }
        }
    }
}
