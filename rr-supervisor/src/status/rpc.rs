//! `status.Status` and `status.Ready`.

use super::{
    Status,
    check::{Check, Failure},
};
use crate::{
    gateway::{Answer, Local},
    messages::status::{Request, Response},
};
use bytes::Bytes;
use rr_common::rpc::{CallError, Codec, decode_message, encode_message};
use std::sync::Arc;

/// The methods.
#[derive(Debug)]
pub(crate) struct StatusRpc(pub(crate) Arc<Status>);

impl Local for StatusRpc {
    fn prefix(&self) -> &'static str {
        "status"
    }

    fn call<'a>(&'a self, method: &'a str, codec: Codec, body: Bytes) -> Answer<'a> {
        Box::pin(async move {
            let (check, operation) = match method {
                "Status" => (Check::Health, "status"),
                "Ready" => (Check::Ready, "ready"),
                _ => return Err(CallError::NoMethod),
            };
            let request: Request = decode_message(codec, body)?;
            let answer = match self.0.check_one(check, &request.plugin).await {
                Some(Ok(())) => Response {
                    code: 200,
                    message: String::new(),
                },
                Some(Err(Failure(message))) => Response { code: 503, message },
                None => {
                    let name = request.plugin;
                    return Err(CallError::Failed(format!(
                        "checker_rpc_{operation}:\n\tchecker_plugin_{operation}: no such plugin: {name}"
                    )));
                }
            };
            encode_message(codec, &answer)
        })
    }
}
