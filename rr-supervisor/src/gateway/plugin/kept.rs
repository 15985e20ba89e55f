//! A plugin's calls for the next program of this process: its connections go on, and what waits waits on.

use super::{Plugin, Way};
use crate::{
    gateway::{
        caller::Caller,
        client::Client,
        freeze::Numbers,
        kept::{KeptPlugin, KeptWaiting},
        link::Link,
        load::Load,
        waiting::Waiting,
    },
    renew::baggage::Baggage,
};
use rr_common::rpc::wire::{self, Look};
use std::{io, rc::Rc, time::Instant};

impl Plugin {
    /// Packs it.
    pub(in crate::gateway) fn pack(&self, baggage: &mut Baggage, numbers: &Numbers) -> io::Result<KeptPlugin> {
        let links = self.links.borrow();
        let links: io::Result<Vec<_>> = links.iter().map(|link| link.pack(baggage, numbers)).collect();
        let now = Instant::now();
        let mut waiting = Vec::new();
        for (arrival, call) in self.waiting.borrow().calls() {
            waiting.extend(call.caller.pack(baggage, numbers).map(|caller| KeptWaiting {
                arrival,
                caller,
                frame: baggage.add_bytes(&call.frame),
                left: call.until.saturating_duration_since(now),
            }));
        }
        Ok(KeptPlugin {
            name: self.name.clone(),
            arrivals: self.arrivals.get(),
            present: matches!(&*self.way.borrow(), Way::Frames(_)),
            links: links?,
            waiting,
        })
    }

    /// One that the program before has packed.
    pub(in crate::gateway) fn unpack(
        kept: KeptPlugin,
        baggage: &mut Baggage,
        load: &Rc<Load>,
        clients: &[Option<Rc<Client>>],
    ) -> Rc<Self> {
        let plugin = Self::new(kept.name);
        plugin.arrivals.set(kept.arrivals);
        let links = kept.links.into_iter();
        let mut links: Vec<Rc<Link>> = links
            .filter_map(|link| Link::unpack(link, baggage, load, clients).map(Rc::new))
            .collect();
        if kept.present
            && let Some(link) = links.last()
        {
            plugin.way.replace(Way::Frames(Rc::clone(link)));
        }
        plugin.links.borrow_mut().append(&mut links);
        let now = Instant::now();
        for call in kept.waiting {
            let Some(frame) = baggage.bytes(call.frame).map(<[u8]>::to_vec) else {
                continue;
            };
            let Ok(Look::Whole(message)) = wire::look(&frame) else {
                continue;
            };
            if let Some(caller) = Caller::unpack(&call.caller, baggage, clients) {
                let waiting = Waiting {
                    caller,
                    frame,
                    message,
                    until: now + call.left.min(crate::gateway::waiting::PATIENCE),
                };
                plugin.waiting.borrow_mut().add(call.arrival, waiting);
            }
        }
        Rc::new(plugin)
    }
}
