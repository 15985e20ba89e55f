//! One call over the control contract, to a plugin that takes no frames.

use super::{Plugin, Way, keep::RETRY};
use crate::gateway::{caller::Caller, ties::Tie, waiting::PATIENCE};
use rr_common::{
    control::{
        MAX_MESSAGE,
        v1::{self, plugin_client::PluginClient},
    },
    rpc::wire::{self, Message},
};
use std::{error::Error, iter::successors, rc::Rc, time::Instant};
use tokio::time::sleep;
use tonic::{Code, ConnectError, Status, transport::Channel};

/// A call, and who made it.
pub(super) struct Call {
    pub(super) caller: Caller,
    /// Its place among all calls.
    pub(super) arrival: u64,
    pub(super) frame: Vec<u8>,
    pub(super) message: Message,
}

/// What is to be done about a call that has failed.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// The process was not reached: it has most likely ended, and its next one can be asked.
    Unreached,
    /// It has ended with the call; whether that was carried out nobody knows.
    Ended,
    /// It is about to be replaced, and gives the call back.
    GivenBack,
    /// There is no such method.
    Unknown,
    /// The plugin's own word.
    Refused,
}

impl Failure {
    fn of(status: &Status) -> Self {
        let mut sources = successors(status.source(), |&error| error.source());
        match status.code() {
            _ if sources.any(|error| error.is::<ConnectError>()) => Self::Unreached,
            // What a plugin says has no source here.
            Code::Unavailable | Code::Unknown | Code::Cancelled if status.source().is_some() => Self::Ended,
            Code::Aborted => Self::GivenBack,
            Code::Unimplemented => Self::Unknown,
            _ => Self::Refused,
        }
    }
}

impl Call {
    /// Makes it; the caller is answered in the end.
    pub(super) async fn make(self, plugin: Rc<Plugin>, mut channel: Channel, _tie: Tie) {
        let whole = String::from_utf8_lossy(self.message.name(&self.frame)).into_owned();
        let until = Instant::now() + PATIENCE;
        loop {
            let status = match PluginClient::new(channel)
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE)
                .call(self.request(&whole))
                .await
            {
                Ok(answer) => return self.caller.answer(&answer.into_inner().body),
                Err(status) => status,
            };
            let name = &plugin.name;
            let refusal = match Failure::of(&status) {
                Failure::Unreached if Instant::now() < until => {
                    sleep(RETRY).await;
                    let way = plugin.way.borrow().clone();
                    match way {
                        Way::Unary(next) => {
                            channel = next;
                            continue;
                        }
                        _ => return plugin.queue(self.caller, self.arrival, self.frame, self.message),
                    }
                }
                Failure::GivenBack if plugin.is_held() => {
                    return plugin.queue(self.caller, self.arrival, self.frame, self.message);
                }
                Failure::Unreached => plugin.outlook.get().text(name),
                Failure::Ended => format!("rpc: the plugin {name} has ended before it answered"),
                Failure::Unknown => format!("rpc: can't find method {whole}"),
                Failure::GivenBack | Failure::Refused => status.message().to_owned(),
            };
            return self.caller.refuse(&refusal);
        }
    }

    fn request(&self, whole: &str) -> v1::CallRequest {
        v1::CallRequest {
            method: wire::split(whole).map_or("", |(_, method)| method).to_owned(),
            codec: self.message.codec_bit().into(),
            body: self.frame[self.message.body()..].to_vec(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use tonic::transport::Endpoint;

    /// What a call to this socket fails with.
    async fn failure(socket: &std::path::Path) -> Failure {
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap();
        let mut client = PluginClient::new(endpoint.connect_lazy());
        Failure::of(&client.call(v1::CallRequest::default()).await.unwrap_err())
    }

    #[tokio::test]
    async fn a_process_that_is_not_there_has_not_taken_the_call() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("plugin.sock");
        assert_eq!(failure(&socket).await, Failure::Unreached, "no socket");
        let listener = UnixListener::bind(&socket).unwrap();
        drop(listener);
        assert_eq!(failure(&socket).await, Failure::Unreached, "nobody listens");

        std::fs::remove_file(&socket).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let process = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // The server's settings; then it ends in the middle of the call.
            stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
            let mut bytes = [0; 64];
            let _ = stream.read(&mut bytes);
        });
        assert_eq!(failure(&socket).await, Failure::Ended);
        process.join().unwrap();
    }

    #[test]
    fn what_a_plugin_says_itself_is_its_word() {
        for (status, failure) in [
            (Status::unavailable("later"), Failure::Refused),
            (Status::unknown("what"), Failure::Refused),
            (Status::aborted(""), Failure::GivenBack),
            (Status::unimplemented(""), Failure::Unknown),
            (Status::internal("no"), Failure::Refused),
        ] {
            assert_eq!(Failure::of(&status), failure, "{status:?}");
        }
    }
}
