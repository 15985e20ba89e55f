//! Which fault comes next: numbers from a seed.

/// One fault.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    KillPlugin,
    KillWorker,
    TerminateWorker,
    StopPlugin,
    StopWorker,
    Reset,
    Upgrade,
    GoodReload,
    BadReload,
    Renew,
    KillSupervisor,
}

/// How often each comes.
const MIX: [(Fault, u64); 11] = [
    (Fault::KillPlugin, 10),
    (Fault::KillWorker, 8),
    (Fault::TerminateWorker, 2),
    (Fault::StopPlugin, 6),
    (Fault::StopWorker, 4),
    (Fault::Reset, 4),
    (Fault::Upgrade, 4),
    (Fault::GoodReload, 2),
    (Fault::BadReload, 2),
    (Fault::Renew, 2),
    (Fault::KillSupervisor, 1),
];

/// Numbers from a seed (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let sides = u64::try_from(of.len()).unwrap();
        (sides > 0).then(|| of[usize::try_from(self.roll(sides)).unwrap()])
    }

    pub(crate) fn fault(&mut self) -> Fault {
        let mut left = self.roll(MIX.iter().map(|(_, weight)| weight).sum());
        for (fault, weight) in MIX {
            if left < weight {
                return fault;
            }
            left -= weight;
        }
        Fault::KillWorker
    }
}
