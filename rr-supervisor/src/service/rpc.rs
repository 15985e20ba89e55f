//! `service.*`: services are made and steered from PHP.

use super::{NAME, Order, Seen, Spec};
use crate::{
    gateway::{Answer, Local},
    messages::service::{Create, Error, List, Response, Service, Status, Statuses},
    operate::{Reply, Resident, Worker},
};
use bytes::Bytes;
use rr_common::{
    proc,
    rpc::{CallError, Codec, decode_message, encode_message},
};
use std::time::SystemTime;
use tokio::sync::{mpsc, oneshot};

/// The methods.
#[derive(Clone, Debug)]
pub(crate) struct ServiceRpc {
    orders: mpsc::Sender<Order>,
}

impl ServiceRpc {
    /// The way for orders.
    pub(crate) fn orders(&self) -> mpsc::Sender<Order> {
        self.orders.clone()
    }

    pub(super) fn new(orders: mpsc::Sender<Order>) -> Self {
        Self { orders }
    }

    /// Gives an order and waits for its answer.
    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, CallError> {
        let ending = || CallError::failed("the server is ending");
        let (answer, answered) = oneshot::channel();
        self.orders.send(order(answer)).await.map_err(|_| ending())?;
        answered.await.map_err(|_| ending())
    }

    /// One that is answered by success or by a text.
    async fn done(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<(), String>>) -> Order,
    ) -> Result<Response, CallError> {
        self.order(order).await?.map_err(CallError::Failed)?;
        Ok(Response {
            message: String::new(),
            ok: true,
        })
    }

    async fn processes(&self, service: Service) -> Result<Vec<Seen>, CallError> {
        let shown = self.order(|answer| Order::Show(service.name, answer)).await?;
        shown.map_err(CallError::Failed)
    }

    async fn answer(&self, method: &str, codec: Codec, body: Bytes) -> Result<Bytes, CallError> {
        if method == "Create" {
            let create: Create = decode_message(codec, body)?;
            let spec = Spec::created(create).map_err(|error| CallError::Failed(error.to_string()))?;
            let done = self.done(|answer| Order::Create(Box::new(spec), answer)).await?;
            return encode_message(codec, &done);
        }
        let service: Service = decode_message(codec, body)?;
        match method {
            "Terminate" => {
                let done = self.done(|answer| Order::Terminate(service.name, answer)).await?;
                encode_message(codec, &done)
            }
            "Restart" => {
                let done = self.done(|answer| Order::Restart(service.name, answer)).await?;
                encode_message(codec, &done)
            }
            "Status" => {
                let processes = self.processes(service).await?;
                let last = processes.last().map(Status::from).unwrap_or_default();
                match last.status {
                    Some(error) => Err(CallError::Failed(error.message)),
                    None => encode_message(codec, &last),
                }
            }
            "Statuses" => {
                let processes = self.processes(service).await?;
                let status = processes.iter().map(Status::from).collect();
                encode_message(codec, &Statuses { status })
            }
            "List" => {
                let services = self.order(Order::List).await?;
                encode_message(codec, &List { services })
            }
            _ => Err(CallError::NoMethod),
        }
    }
}

impl Local for ServiceRpc {
    fn prefix(&self) -> &'static str {
        NAME
    }

    fn call<'a>(&'a self, method: &'a str, codec: Codec, body: Bytes) -> Answer<'a> {
        Box::pin(self.answer(method, codec, body))
    }
}

impl Resident for ServiceRpc {
    fn name(&self) -> &'static str {
        NAME
    }

    fn workers(&self) -> Reply<'_, Vec<Worker>> {
        Box::pin(async {
            let seen = self.order(Order::ShowAll).await.map_err(|error| error.to_string())?;
            let running = seen.iter().filter(|seen| seen.since.is_some());
            Ok(running.map(Worker::from).collect())
        })
    }

    fn reset(&self) -> Reply<'_, ()> {
        Box::pin(async { self.order(Order::Reset).await.map_err(|error| error.to_string())? })
    }
}

impl From<&Seen> for Worker {
    fn from(seen: &Seen) -> Self {
        let (memory, cpu) = seen.usage();
        Self {
            pid: seen.pid,
            // As the reference has it: ready, and neither a start nor a text.
            status: 1,
            memory,
            cpu,
            command: seen.command.clone(),
            ..Self::default()
        }
    }
}

impl Seen {
    /// Its resident memory in bytes and its share of a CPU in percent since it was started.
    pub(crate) fn usage(&self) -> (u64, f64) {
        let Some(since) = self.since else { return (0, 0.0) };
        let age = SystemTime::now()
            .duration_since(since)
            .unwrap_or_default()
            .as_secs_f64();
        let cpu = proc::cpu_seconds(self.pid) * 100.0 / age.max(0.001);
        (proc::memory(self.pid), cpu)
    }
}

impl From<&Seen> for Status {
    fn from(seen: &Seen) -> Self {
        let (memory_usage, cpu_percent) = seen.usage();
        let dead = || Error {
            code: 0,
            message: format!("process does not exist: {}", seen.ended),
        };
        Self {
            #[expect(clippy::cast_possible_truncation, reason = "a percentage")]
            cpu_percent: cpu_percent as f32,
            pid: i32::try_from(seen.pid).unwrap_or_default(),
            memory_usage,
            command: seen.command.clone(),
            status: seen.since.is_none().then(dead),
        }
    }
}
