//! What the kernel's files are given for a limit. Pure.

use rr_common::config::section::Limits;

/// What stands for no limit.
pub(super) const UNLIMITED: &str = "max";

/// The span of time in which processor time is counted, in microseconds: the kernel's default.
const PERIOD: u64 = 100_000;

/// The least processor time within that span that the kernel takes.
const LEAST: u64 = 1_000;

/// File and value of every limit.
pub(super) fn of(limits: &Limits) -> [(&'static str, String); 3] {
    let number = |value: u64| match value {
        0 => UNLIMITED.to_owned(),
        value => value.to_string(),
    };
    let cpu = match limits.cpu > 0.0 {
        // A float to a whole number keeps within the bounds of the latter.
        true => format!("{} {PERIOD}", ((limits.cpu * PERIOD as f64) as u64).max(LEAST)),
        false => UNLIMITED.to_owned(),
    };
    [
        ("memory.max", number(limits.memory.saturating_mul(1 << 20))),
        ("cpu.max", cpu),
        ("pids.max", number(limits.tasks)),
    ]
}

/// The controllers that they need.
pub(super) fn controllers(limits: &Limits) -> Vec<&'static str> {
    let all = [
        ("memory", limits.memory > 0),
        ("cpu", limits.cpu > 0.0),
        ("pids", limits.tasks > 0),
    ];
    all.into_iter()
        .filter_map(|(name, needed)| needed.then_some(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        let limits = Limits {
            memory: 512,
            cpu: 1.5,
            tasks: 0,
        };
        let values = of(&limits).map(|(_, value)| value);
        assert_eq!(values, ["536870912", "150000 100000", "max"]);
        assert_eq!(controllers(&limits), ["memory", "cpu"]);
        for (cpu, value) in [(0.0, "max"), (0.001, "1000 100000"), (f64::NAN, "max"), (-1.0, "max")] {
            let limits = Limits {
                cpu,
                ..Limits::default()
            };
            assert_eq!(of(&limits)[1].1, value);
        }
    }
}
