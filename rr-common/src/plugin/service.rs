//! The plugin's side of the contract: each control call is one question to the plugin or to its pools.

use super::{
    Plugin,
    pause::PauseError,
    slot::{Absent, Slot},
    told,
};
use crate::{
    control::v1::{self, plugin_server},
    pool::{ExecError, Pool, WorkerInfo},
    rpc::{CallError, Codec},
    shutdown::Stopper,
    telemetry::metrics::Exposition,
};
use bytes::Bytes;
use std::{
    fs::File,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status, async_trait};

/// Longest patience that a caller may ask for; the number comes from outside.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Longest wait for further changes before new workers start.
const LONGEST_HOLD: Duration = Duration::from_secs(10);

/// Serves the contract for the plugin in the slot.
#[derive(Debug)]
pub(super) struct Service<P> {
    slot: Slot<P>,
    stopper: Arc<Stopper>,
    /// Where the plugin hands over.
    handover: Option<File>,
}

/// States of a worker, as RoadRunner numbers them.
const READY: u8 = 1;
const WORKING: u8 = 2;

type Answer<T> = Result<Response<T>, Status>;

impl<P: Plugin> Service<P> {
    pub(super) fn new(slot: Slot<P>, stopper: Arc<Stopper>, handover: Option<File>) -> Self {
        Self {
            slot,
            stopper,
            handover,
        }
    }

    /// The pool of that name; without a name the only one.
    async fn with_pool<T>(&self, name: &str, question: impl AsyncFnOnce(&Pool) -> T) -> Result<T, Status> {
        let asked = self.slot.ask(async |plugin: &P| {
            let pools = plugin.pools();
            let found = match name {
                "" if pools.len() == 1 => pools.first(),
                _ => pools.iter().find(|(pool, _)| *pool == name),
            };
            match found {
                Some((_, pool)) => Some(question(pool).await),
                None => None,
            }
        });
        asked
            .await?
            .ok_or_else(|| Status::not_found(format!("no such pool: {name}")))
    }
}

#[async_trait]
impl<P: Plugin> plugin_server::Plugin for Service<P> {
    async fn health(&self, _: Request<v1::HealthRequest>) -> Answer<v1::HealthResponse> {
        let reason = self.slot.ask(async |plugin: &P| {
            let pools = plugin.pools();
            let dead = pools.iter().find(|(_, pool)| !is_alive(pool));
            let dead = dead.map(|(name, _)| format!("the pool {name} has no worker"));
            dead.or_else(|| plugin.unhealthy())
        });
        // Not up yet, or on its way down: that is told by `Ready`.
        let unhealthy = reason.await.ok().flatten().unwrap_or_default();
        Ok(Response::new(v1::HealthResponse { unhealthy }))
    }

    async fn ready(&self, _: Request<v1::ReadyRequest>) -> Answer<v1::ReadyResponse> {
        let reason = self.slot.ask(async |plugin: &P| {
            let pools = plugin.pools();
            let wanting = pools.iter().find(|(_, pool)| !can_serve(pool));
            wanting.map(|(name, _)| format!("no worker of the pool {name} is free"))
        });
        let reason = match reason.await {
            Ok(reason) => reason,
            Err(Absent) => Some("starting or stopping".to_owned()),
        };
        Ok(Response::new(v1::ReadyResponse {
            ready: reason.is_none(),
            reason: reason.unwrap_or_default(),
        }))
    }

    async fn drain(&self, request: Request<v1::DrainRequest>) -> Answer<v1::DrainResponse> {
        self.slot.drain(deadline(request.get_ref().deadline_ms)).await?;
        Ok(Response::new(v1::DrainResponse {}))
    }

    async fn stop(&self, request: Request<v1::StopRequest>) -> Answer<v1::StopResponse> {
        let asked = request.get_ref();
        if asked.replaced {
            // Not up yet: then it has nobody to be polite to.
            let _ = self.slot.ask(async |plugin: &P| plugin.replaced()).await;
            self.slot.set_replaced();
        }
        self.stopper.begin(deadline(asked.deadline_ms));
        Ok(Response::new(v1::StopResponse {}))
    }

    async fn pause(&self, request: Request<v1::PauseRequest>) -> Answer<v1::PauseResponse> {
        if !P::PAUSES {
            return Err(Status::unimplemented("the plugin has nothing to hand over"));
        }
        let deadline = deadline(request.get_ref().deadline_ms);
        let file = self.handover.as_ref().map(File::try_clone).transpose()?;
        let slot = self.slot.clone();
        // In a task of its own: it must not stop half way when whoever asked goes away.
        finished(tokio::spawn(async move { slot.pause(file, deadline).await })).await?;
        Ok(Response::new(v1::PauseResponse {}))
    }

    async fn resume(&self, _: Request<v1::ResumeRequest>) -> Answer<v1::ResumeResponse> {
        let slot = self.slot.clone();
        finished(tokio::spawn(async move { slot.resume().await })).await?;
        Ok(Response::new(v1::ResumeResponse {}))
    }

    async fn call(&self, request: Request<v1::CallRequest>) -> Answer<v1::CallResponse> {
        let call = request.into_inner();
        let flags = u8::try_from(call.codec).map_err(|_| Status::invalid_argument("codec is one byte"))?;
        let codec = Codec::of(flags).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let answer = self
            .slot
            .ask(async |plugin: &P| match self.slot.pausing.is_on() {
                true => Err(CallError::Again(Bytes::new())),
                false => plugin.call(&call.method, codec, Bytes::from(call.body)).await,
            })
            .await?;
        let body = answer.map_err(|error| match error {
            CallError::NoMethod => Status::unimplemented(error.text(&call.method)),
            CallError::Failed(text) => Status::internal(text),
            CallError::Again(_) => Status::aborted(error.to_string()),
        })?;
        Ok(Response::new(v1::CallResponse { body: body.into() }))
    }

    async fn workers(&self, request: Request<v1::WorkersRequest>) -> Answer<v1::WorkersResponse> {
        let details = request.get_ref().details;
        let answer = self.slot.ask(async |plugin: &P| {
            let mut all = v1::WorkersResponse::default();
            for (name, pool) in plugin.pools() {
                told::pool(name, pool, details, &mut all);
            }
            all
        });
        Ok(Response::new(answer.await?))
    }

    async fn reset(&self, request: Request<v1::ResetRequest>) -> Answer<v1::ResetResponse> {
        let asked = request.into_inner();
        if asked.at_once || asked.renewed {
            let hold = Duration::from_millis(asked.hold_ms.into()).min(LONGEST_HOLD);
            let done = self.slot.ask(async |plugin: &P| {
                let mut pools = plugin.pools();
                pools.retain(|(name, _)| asked.pool.is_empty() || *name == asked.pool);
                let mut workers = 0;
                for (_, pool) in pools {
                    if asked.at_once {
                        pool.renew(hold);
                    } else {
                        workers += pool.renewed().await?;
                    }
                }
                Ok(workers)
            });
            let workers = done
                .await?
                .map_err(|error: ExecError| Status::internal(error.to_string()))?;
            let workers = u32::try_from(workers).unwrap_or(u32::MAX);
            return Ok(Response::new(v1::ResetResponse { workers }));
        }
        let name = asked.pool;
        let done = if name.is_empty() {
            let all = self.slot.ask(async |plugin: &P| {
                for (_, pool) in plugin.pools() {
                    pool.reset().await?;
                }
                Ok(())
            });
            all.await?
        } else {
            self.with_pool(&name, async |pool: &Pool| pool.reset().await).await?
        };
        done.map_err(|error: ExecError| Status::internal(error.to_string()))?;
        Ok(Response::new(v1::ResetResponse::default()))
    }

    async fn add_worker(&self, request: Request<v1::AddWorkerRequest>) -> Answer<v1::AddWorkerResponse> {
        self.with_pool(&request.get_ref().pool, async |pool: &Pool| pool.add_worker().await)
            .await?
            .map_err(|error| Status::internal(error.0))?;
        Ok(Response::new(v1::AddWorkerResponse {}))
    }

    async fn remove_worker(&self, request: Request<v1::RemoveWorkerRequest>) -> Answer<v1::RemoveWorkerResponse> {
        self.with_pool(&request.get_ref().pool, async |pool: &Pool| pool.remove_worker().await)
            .await?;
        Ok(Response::new(v1::RemoveWorkerResponse {}))
    }

    async fn metrics(&self, _: Request<v1::MetricsRequest>) -> Answer<v1::MetricsResponse> {
        let text = metrics(&self.slot).await?;
        Ok(Response::new(v1::MetricsResponse { text }))
    }
}

/// The plugin's metrics and those of its pools.
pub(super) async fn metrics<P: Plugin>(slot: &Slot<P>) -> Result<String, Absent> {
    slot.ask(async |plugin: &P| exposition(plugin)).await
}

/// The same as text.
pub(super) fn exposition<P: Plugin>(plugin: &P) -> String {
    let pools = plugin.pools();
    let mut series = Exposition::default();
    if !pools.is_empty() {
        let workers: Vec<_> = pools.iter().flat_map(|(_, pool)| pool.workers()).collect();
        series.workers(P::NAME, &workers);
        let deaths: Vec<_> = pools
            .iter()
            .map(|(name, pool)| (*name, pool.deaths_by_cause()))
            .collect();
        series.worker_deaths(P::NAME, &deaths);
    }
    plugin.metrics() + &series.finish()
}

impl From<Absent> for Status {
    fn from(Absent: Absent) -> Self {
        Self::unavailable("the plugin is starting or stopping")
    }
}

async fn finished(work: JoinHandle<Result<(), PauseError>>) -> Result<(), Status> {
    match work.await {
        Ok(done) => done.map_err(|error| Status::failed_precondition(error.to_string())),
        Err(error) => Err(Status::internal(error.to_string())),
    }
}

fn deadline(from_now_ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(from_now_ms).min(LONGEST)
}

/// Whether a worker could take a request now. In debug mode a worker is started for each request, so none stands ready.
fn can_serve(pool: &Pool) -> bool {
    pool.debug() || pool.workers().iter().any(|worker| worker.status == READY)
}

/// Whether there is a worker that works or could.
fn is_alive(pool: &Pool) -> bool {
    let alive = |worker: &WorkerInfo| matches!(worker.status, READY | WORKING);
    pool.debug() || pool.workers().iter().any(alive)
}
