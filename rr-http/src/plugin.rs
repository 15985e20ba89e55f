//! The plugin's life: bring up what the configuration names, drain it, let it go.

use crate::{
    connection::Order,
    handle::App,
    http1, http2,
    listeners::{Acceptor, Listener},
    middleware::HttpMetrics,
    settings::Settings,
    tls,
    watch::Watch,
};
use nix::unistd::User;
use rr_common::{
    config::{
        Config,
        section::{Http, Otel},
    },
    plugin::{Context, Plugin, StartError},
    pool::{self, Pool},
};
use rr_otel::Traces;
use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    task::JoinHandle,
    time::{timeout, timeout_at},
};
use tokio_rustls::TlsAcceptor;

/// A connection that was accepted and has not sent anything may still do so for this long when the server drains.
const FIRST_BYTE: Duration = Duration::from_millis(250);
/// How long a connection that waits for its client's next request is left open when another process has taken our place.
const LINGER: Duration = Duration::from_secs(5);
/// Time to close sockets after the deadline.
const LAST: Duration = Duration::from_secs(1);

/// The HTTP plugin.
#[derive(Debug)]
pub struct HttpPlugin {
    pool: Pool,
    metrics: Arc<HttpMetrics>,
    traces: Option<Traces>,
    watches: Vec<Arc<Watch>>,
    sweeps: Vec<JoinHandle<()>>,
    accepts: Mutex<Vec<JoinHandle<()>>>,
    /// Another process serves on our sockets.
    replaced: AtomicBool,
}

/// An address and what is spoken there.
struct Door {
    address: String,
    tls: Option<TlsAcceptor>,
}

impl Plugin for HttpPlugin {
    const NAME: &'static str = "http";

    fn threads(config: &Config) -> usize {
        let configured = config.http.as_ref().map_or(0, |http| http.threads);
        match usize::try_from(configured).unwrap_or(usize::MAX) {
            0 => std::thread::available_parallelism()
                .map_or(1, |cpus| cpus.get() / 8)
                .max(1),
            threads => threads.min(256),
        }
    }

    async fn start(context: Context) -> Result<Self, StartError> {
        let missing = |section: &str| StartError(format!("the section `{section}` is missing"));
        let http = context.config.http.as_ref().ok_or_else(|| missing("http"))?;
        let server = context.config.server.clone().ok_or_else(|| missing("server"))?;
        let metrics = Arc::new(HttpMetrics::new());
        let traces = traces(http, context.config.otel.as_ref())?;
        let tracer = traces.as_ref().map(Traces::tracer);
        let settings = Settings::new(http, owner(&server.user)?, &metrics, tracer.as_ref())?;
        // All that can be wrong is found out before the first PHP process starts.
        let doors = doors(http)?;
        let mut listeners = Vec::new();
        for runtime in &context.runtimes {
            for door in &doors {
                let failed = |error| StartError(format!("http: {}: {error}", door.address));
                let listener = context.listeners.take(&door.address).map_err(failed)?;
                listeners.push(Listener::new(listener, runtime).map_err(failed)?);
            }
        }
        let options = pool::Options {
            pool: http.pool.clone(),
            server,
            rpc: context.config.rpc.as_ref().map(|rpc| rpc.for_clients().to_owned()),
            mode: Self::NAME.into(),
            env: Vec::new(),
            runtimes: context.runtimes.clone(),
            describe: Some(crate::describe::describe),
        };
        let pool = Pool::start(options).await?;
        let mut plugin = Self {
            pool,
            metrics,
            traces,
            watches: Vec::new(),
            sweeps: Vec::new(),
            accepts: Mutex::default(),
            replaced: AtomicBool::new(false),
        };
        plugin.accept(http, settings, &context.runtimes, &doors, listeners);
        Ok(plugin)
    }

    fn pools(&self) -> Vec<(&str, &Pool)> {
        vec![(Self::NAME, &self.pool)]
    }

    fn metrics(&self) -> String {
        self.metrics.text()
    }

    fn replaced(&self) {
        self.replaced.store(true, Ordering::Relaxed);
    }

    async fn drain(&self, deadline: Instant) {
        let accepts = std::mem::take(&mut *self.accepts.lock().unwrap_or_else(PoisonError::into_inner));
        for accept in &accepts {
            accept.abort();
        }
        for accept in accepts {
            // It ends with an error: it was aborted.
            let _ = accept.await;
        }
        if self.replaced.load(Ordering::Relaxed) {
            self.order(Order::Linger);
            let patience = deadline.min(Instant::now() + LINGER);
            if timeout_at(patience.into(), self.emptied()).await.is_ok() {
                return;
            }
        }
        self.order(Order::Drain);
        if timeout(FIRST_BYTE, self.emptied()).await.is_ok() {
            return;
        }
        self.order(Order::Leave);
        if timeout_at(deadline.into(), self.emptied()).await.is_err() {
            self.order(Order::Close);
            let _ = timeout(LAST, self.emptied()).await;
        }
    }

    async fn stop(self, deadline: Instant) {
        // No request is left that could make spans.
        let traces = async {
            if let Some(traces) = self.traces {
                traces.stop(deadline).await;
            }
        };
        tokio::join!(self.pool.stop(deadline), traces);
        for sweep in self.sweeps {
            sweep.abort();
        }
    }
}

impl HttpPlugin {
    /// Starts the accept loops, one for each socket and thread. `listeners` has those of the first runtime first.
    fn accept(
        &mut self,
        http: &Http,
        settings: Settings,
        runtimes: &[Handle],
        doors: &[Door],
        listeners: Vec<Listener>,
    ) {
        let header_size = usize::try_from(http.max_header_size.saturating_mul(1024)).unwrap_or(usize::MAX);
        let app = Arc::new(App {
            pool: self.pool.clone(),
            settings,
            http1: http1::builder(header_size),
            http2: http2::builder(http.http2.max_concurrent_streams, header_size),
        });
        let permits = usize::try_from(http.max_connections)
            .unwrap_or(usize::MAX)
            .min(Semaphore::MAX_PERMITS);
        let room = (permits > 0).then(|| Arc::new(Semaphore::new(permits)));
        let mut accepts = Vec::new();
        let mut listeners = listeners.into_iter();
        for runtime in runtimes {
            let limits = (http.read_header_timeout.0, http.idle_timeout.0, http.io_timeout.0);
            let watch = Arc::new(Watch::new(limits.0, limits.1, limits.2));
            self.sweeps.push(runtime.spawn(watch.clone().run()));
            for (door, listener) in doors.iter().zip(listeners.by_ref()) {
                let acceptor = Acceptor {
                    app: app.clone(),
                    watch: watch.clone(),
                    tls: door.tls.clone(),
                    room: room.clone(),
                };
                accepts.push(runtime.spawn(acceptor.run(listener)));
            }
            self.watches.push(watch);
        }
        self.accepts = Mutex::new(accepts);
    }

    fn order(&self, order: Order) {
        for watch in &self.watches {
            watch.order(order);
        }
    }

    fn emptied(&self) -> impl Future<Output = ()> {
        let watches = self.watches.clone();
        async move {
            for watch in watches {
                watch.emptied().await;
            }
        }
    }
}

/// The traces, if the middleware `otel` is asked for and there is a section that says where they go.
fn traces(http: &Http, otel: Option<&Otel>) -> Result<Option<Traces>, StartError> {
    let section = otel.filter(|_| http.middleware.iter().any(|name| name == "otel"));
    let started = section.map(|section| Traces::start(section, "rr-http"));
    started.transpose().map_err(|error| StartError(error.to_string()))
}

/// The addresses to listen on, with the certificates read.
fn doors(http: &Http) -> Result<Vec<Door>, StartError> {
    let mut doors = Vec::new();
    for address in http
        .address
        .split(',')
        .map(str::trim)
        .filter(|address| !address.is_empty())
    {
        if !address.contains(':') {
            return Err(StartError(format!(
                "http.address: malformed http server address: {address}"
            )));
        }
        doors.push(Door {
            address: address.into(),
            tls: None,
        });
    }
    if let Some(ssl) = http.ssl.as_ref().filter(|ssl| tls::enabled(ssl)) {
        let acceptor = tls::acceptor(ssl)?;
        for address in ssl
            .address
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty())
        {
            doors.push(Door {
                address: address.into(),
                tls: Some(acceptor.clone()),
            });
        }
    }
    match doors.is_empty() {
        true => Err(StartError(
            "unable to run http service, no method has been specified (http, https, http/2 or FastCGI)".into(),
        )),
        false => Ok(doors),
    }
}

/// User and group of the workers, who own uploaded files.
fn owner(user: &str) -> Result<Option<(u32, u32)>, StartError> {
    if user.is_empty() {
        return Ok(None);
    }
    match User::from_name(user) {
        Ok(Some(user)) => Ok(Some((user.uid.as_raw(), user.gid.as_raw()))),
        Ok(None) => Err(StartError(format!("server.user: no such user: {user}"))),
        Err(error) => Err(StartError(format!("server.user: {user}: {error}"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_door_for_each_address() {
        let http = Http {
            address: "127.0.0.1:1, unix:///run/x.sock".into(),
            ..Http::default()
        };
        let doors = doors(&http).unwrap();
        let addresses: Vec<_> = doors.iter().map(|door| door.address.as_str()).collect();
        assert_eq!(addresses, ["127.0.0.1:1", "unix:///run/x.sock"]);
    }

    #[test]
    fn no_address_is_no_server() {
        assert!(doors(&Http::default()).is_err());
        assert!(
            doors(&Http {
                address: "8080".into(),
                ..Http::default()
            })
            .is_err()
        );
    }

    #[test]
    fn the_owner_of_uploads() {
        assert_eq!(owner("").unwrap(), None);
        assert_eq!(owner("root").unwrap(), Some((0, 0)));
        assert!(owner("nobody-of-that-name").is_err());
    }
}
