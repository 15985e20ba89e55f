//! A plugin's connection for the next program of this process: the calls that the plugin has are answered there, and what is lent stays
//! lent.

use super::{Call, Held, IN_FLIGHT, Link, lease::Page};
use crate::{
    fleet::Calls,
    gateway::{
        caller::Caller,
        client::Client,
        freeze::Numbers,
        kept::{KeptCall, KeptHeld, KeptLink, KeptPage, KeptStream},
        load::Load,
    },
    renew::baggage::Baggage,
};
use std::{fs::File, io, rc::Rc};

impl Link {
    /// Packs it. Calls of clients that have gone are left out: nobody waits for their answers.
    pub(in crate::gateway) fn pack(&self, baggage: &mut Baggage, numbers: &Numbers) -> io::Result<KeptLink> {
        let page = self.leases.page();
        let page = page.as_ref().map(|page| page.pack(baggage)).transpose()?;
        let mut calls = Vec::new();
        for (place, call) in &*self.calls.borrow() {
            let held = match &call.held {
                Held::Caller(caller, arrival) => caller
                    .pack(baggage, numbers)
                    .map(|caller| KeptHeld::Caller(caller, *arrival)),
                Held::Client(client, slot) => numbers.of(client).map(|client| KeptHeld::Client(client, *slot)),
            };
            calls.extend(held.map(|held| KeptCall {
                place,
                generation: call.generation,
                held,
            }));
        }
        Ok(KeptLink {
            stream: KeptStream::pack(&self.stream, &self.intake.borrow(), &self.outlet, baggage)?,
            path: self.calls_at.path.clone(),
            leases: self.calls_at.leases,
            generation: self.generation.get(),
            page,
            calls,
        })
    }

    /// One that the program before has packed.
    pub(in crate::gateway) fn unpack(
        kept: KeptLink,
        baggage: &mut Baggage,
        load: &Rc<Load>,
        clients: &[Option<Rc<Client>>],
    ) -> Option<Self> {
        let (stream, bytes) = kept.stream.unpack(baggage)?;
        let calls_at = Calls {
            path: kept.path,
            leases: kept.leases,
        };
        let link = Self::new(stream, calls_at, load);
        bytes.give(&link.intake, &link.outlet);
        link.generation.set(kept.generation);
        link.leases
            .set_page(kept.page.and_then(|page| Page::unpack(page, baggage)));
        let hold = |call: KeptCall| {
            let held = match call.held {
                KeptHeld::Caller(caller, arrival) => Held::Caller(Caller::unpack(&caller, baggage, clients)?, arrival),
                KeptHeld::Client(client, slot) => {
                    let client = clients.get(client)?.clone()?;
                    client.is_lent();
                    link.leases.one_more();
                    Held::Client(client, slot)
                }
            };
            let generation = call.generation;
            Some((call.place, Call { held, generation }))
        };
        let in_bounds = kept.calls.into_iter().filter(|call| call.place < IN_FLIGHT);
        let calls = in_bounds.filter_map(hold).collect();
        link.calls.replace(calls);
        Some(link)
    }
}

impl Page {
    fn pack(&self, baggage: &mut Baggage) -> io::Result<KeptPage> {
        Ok(KeptPage {
            file: baggage.add(self.file.try_clone()?.into()),
            free: self.free().to_vec(),
        })
    }

    fn unpack(kept: KeptPage, baggage: &mut Baggage) -> Option<Self> {
        let file = File::from(baggage.descriptor(kept.file)?);
        Self::with(file, kept.free).ok()
    }
}
