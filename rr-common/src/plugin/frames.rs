//! The frame runtimes: threads of one current-thread runtime each, which move connections and frames.

use super::StartError;
use std::{io, thread};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// The threads; they end when this is dropped.
#[derive(Debug)]
pub(super) struct Frames {
    handles: Vec<Handle>,
    _ends: Vec<oneshot::Sender<()>>,
}

impl Frames {
    /// Starts that many threads, at least one.
    pub(super) fn start(threads: usize) -> Result<Self, StartError> {
        let failed = |error: io::Error| StartError(format!("cannot start a thread: {error}"));
        let mut handles = Vec::new();
        let mut ends = Vec::new();
        for index in 0..threads.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
            let (end, ended) = oneshot::channel::<()>();
            handles.push(runtime.handle().clone());
            ends.push(end);
            thread::Builder::new()
                .name(format!("frames-{index}"))
                .spawn(move || {
                    let _ = runtime.block_on(ended);
                    runtime.shutdown_background();
                })
                .map_err(failed)?;
        }
        Ok(Self { handles, _ends: ends })
    }

    /// The runtimes.
    pub(super) fn handles(&self) -> Vec<Handle> {
        self.handles.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_handle_runs_on_its_own_thread() {
        let frames = Frames::start(2).unwrap();
        let name = |handle: &Handle| {
            let (told, name) = std::sync::mpsc::sync_channel(1);
            handle.spawn(async move {
                let _ = told.send(thread::current().name().map(str::to_owned));
            });
            name.recv_timeout(std::time::Duration::from_secs(10)).unwrap().unwrap()
        };
        let names: Vec<_> = frames.handles().iter().map(name).collect();
        assert_eq!(names, ["frames-0", "frames-1"]);
        assert_eq!(Frames::start(0).unwrap().handles().len(), 1);
    }
}
