//! Who called: what it takes to answer one call, wherever that is decided.

use super::{client::Client, freeze::Numbers, kept::KeptCaller};
use crate::renew::baggage::Baggage;
use rr_common::rpc::wire;
use std::rc::Rc;

/// Who called, and what the answer must say.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) client: Rc<Client>,
    pub(super) sequence: u32,
    pub(super) codec_bit: u8,
    pub(super) method: Method,
    /// How often a process has given the call back.
    pub(super) given_back: u16,
}

/// A method's name; those of usual length need no allocation.
pub(super) type Method = smallvec::SmallVec<[u8; 32]>;

impl Caller {
    /// Packs it; nothing if nobody waits for the answer.
    pub(super) fn pack(&self, baggage: &mut Baggage, numbers: &Numbers) -> Option<KeptCaller> {
        Some(KeptCaller {
            client: numbers.of(&self.client)?,
            sequence: self.sequence,
            codec_bit: self.codec_bit,
            method: baggage.add_bytes(&self.method),
            given_back: self.given_back,
        })
    }

    /// One that the program before has packed.
    pub(super) fn unpack(kept: &KeptCaller, baggage: &Baggage, clients: &[Option<Rc<Client>>]) -> Option<Self> {
        let client = clients.get(kept.client)?.clone()?;
        let method = Method::from_slice(baggage.bytes(kept.method)?);
        client.called();
        Some(Self {
            client,
            sequence: kept.sequence,
            codec_bit: kept.codec_bit,
            method,
            given_back: kept.given_back,
        })
    }

    /// Answers with a text.
    pub(super) fn refuse(&self, text: &str) {
        let mut frame = Vec::new();
        wire::refuse(&mut frame, self.codec_bit, self.sequence, &self.method, text);
        self.client.outlet.send(&frame);
        self.client.answered();
    }

    /// Answers with a result.
    pub(super) fn answer(&self, result: &[u8]) {
        if !wire::fits(&self.method, result) {
            return self.refuse("rpc: the answer is too long for a frame");
        }
        let mut frame = Vec::with_capacity(wire::CALL_HEADER + self.method.len() + result.len());
        wire::answer(&mut frame, self.codec_bit, self.sequence, &self.method, result);
        self.client.outlet.send(&frame);
        self.client.answered();
    }
}
