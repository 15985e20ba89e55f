//! Which traces are recorded: `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.

use crate::propagate::{Parent, SAMPLED};
use rr_common::telemetry::trace::TraceId;

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// A parent's decision is taken over.
    by_parent: bool,
    /// The part of the traces that is recorded where we decide.
    ratio: f64,
}

impl Default for Sampler {
    /// All, unless a parent decides otherwise.
    fn default() -> Self {
        Self {
            by_parent: true,
            ratio: 1.0,
        }
    }
}

impl Sampler {
    /// From the variables' values; an error is a text for the log.
    ///
    /// # Errors
    /// A name that does not exist, or a ratio that is none; the text says what is done instead.
    pub fn parse(name: &str, argument: &str) -> Result<Self, String> {
        let ratio = match name.trim() {
            "" => return Ok(Self::default()),
            "always_on" | "parentbased_always_on" => 1.0,
            "always_off" | "parentbased_always_off" => 0.0,
            "traceidratio" | "parentbased_traceidratio" => match argument.trim() {
                "" => 1.0,
                text => match text.parse() {
                    Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
                    _ => {
                        return Err(format!(
                            "OTEL_TRACES_SAMPLER_ARG: expected a number from 0 to 1, found {text:?}; all traces are recorded"
                        ));
                    }
                },
            },
            other => {
                return Err(format!(
                    "OTEL_TRACES_SAMPLER: unknown sampler {other:?}; all traces are recorded"
                ));
            }
        };
        Ok(Self {
            by_parent: name.trim().starts_with("parentbased_"),
            ratio,
        })
    }

    /// Whether this trace is recorded. The same id always gets the same answer, in other programs too.
    pub fn samples(&self, trace: TraceId, parent: Option<&Parent>) -> bool {
        if let Some(parent) = parent.filter(|_| self.by_parent) {
            return parent.flags & SAMPLED != 0;
        }
        let number = (trace.get() as u64 >> 1) as f64;
        self.ratio >= 1.0 || number < self.ratio * (1u64 << 63) as f64
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ids;
    use rr_common::telemetry::trace::Place;

    fn parent(flags: u8) -> Parent {
        let place = Place {
            trace: ids::trace(),
            span: ids::span(),
        };
        Parent {
            place,
            flags,
            debug: false,
            state: String::new(),
        }
    }

    // OTEL-01
    #[test]
    fn each_sampler_decides_as_its_name_says() {
        let cases = [
            ("", "", true, true, false),
            ("always_on", "", true, true, true),
            ("always_off", "", false, false, false),
            ("parentbased_always_on", "", true, true, false),
            ("parentbased_always_off", "", false, true, false),
            ("traceidratio", "0", false, false, false),
            ("parentbased_traceidratio", "0", false, true, false),
            ("traceidratio", "", true, true, true),
        ];
        for (name, argument, root, sampled, unsampled) in cases {
            let sampler = Sampler::parse(name, argument).unwrap();
            let with = |parent: Option<&Parent>| sampler.samples(ids::trace(), parent);
            let got = (with(None), with(Some(&parent(SAMPLED))), with(Some(&parent(0))));
            assert_eq!(got, (root, sampled, unsampled), "{name}");
        }
        assert!(Sampler::parse("often", "").is_err());
        assert!(Sampler::parse("traceidratio", "2").is_err());
    }

    #[test]
    fn a_ratio_takes_its_part() {
        let sampler = Sampler::parse("traceidratio", "0.25").unwrap();
        let taken = (0..10_000).filter(|_| sampler.samples(ids::trace(), None)).count();
        assert!((2200..2800).contains(&taken), "{taken}");
    }
}
