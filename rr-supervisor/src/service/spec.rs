//! What a service is: from the configuration or from PHP to one form, checked.

use super::life::Rules;
use crate::messages::service::Create;
use rr_common::config::{CommandLine, expand_env, section};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The most processes of one service; far more than anybody wants, and fewer than would hurt.
const MOST_PROCESSES: u64 = 1000;

/// The longest of all times: numbers come from outside, and the clock must not overflow.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// Its name.
    pub(super) name: String,
    /// Program and arguments.
    pub(super) command: Vec<String>,
    /// How many of it run.
    pub(super) processes: usize,
    /// Their life.
    pub(super) rules: Rules,
    /// The logger of its output.
    pub(super) logger: String,
    /// Variables besides the server's own.
    pub(super) env: Vec<(String, String)>,
    /// User that runs it; empty for ours.
    pub(super) user: String,
}

/// Why there cannot be such a service; the texts are the reference's, where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpecError {
    /// Its number of processes is zero.
    #[error("the service with {0} name should have at least 1 process")]
    NoProcess(String),
    /// Its number of processes is a slip of the keyboard.
    #[error("the service with {0} name can have at most {MOST_PROCESSES} processes")]
    TooMany(String),
    /// There is nothing to run.
    #[error("the service with {0} name has no command")]
    NoCommand(String),
}

impl Spec {
    /// A service of the configuration.
    pub(crate) fn configured(name: &str, section: &section::Service) -> Result<Self, SpecError> {
        let exec_timeout = section.exec_timeout.get();
        let spec = Self {
            name: name.to_owned(),
            command: section.command.0.clone(),
            processes: number(name, section.process_num)?,
            rules: Rules {
                exec_timeout: (!exec_timeout.is_zero()).then_some(exec_timeout.min(LONGEST)),
                restart: section.remain_after_exit.then(|| seconds(section.restart_sec)),
                stop: seconds(section.timeout_stop_sec),
            },
            logger: logger(name, section.service_name_in_log),
            env: section
                .env
                .iter()
                .map(|(name, value)| (name.to_uppercase(), value.clone()))
                .collect(),
            user: section.user.clone(),
        };
        spec.checked()
    }

    /// A service that PHP asks for. Zeros mean the defaults of the configuration.
    pub(super) fn created(create: Create) -> Result<Self, SpecError> {
        let defaults = section::Service::default();
        let or = |number: u64, default: u64| if number == 0 { default } else { number };
        let exec_timeout = u64::try_from(create.exec_timeout).unwrap_or_default();
        let expanded = |(name, value): (String, String)| (name.to_uppercase(), expand_env(&value));
        let mut env: Vec<_> = create.env.into_iter().map(expanded).collect();
        env.sort();
        let spec = Self {
            command: CommandLine::split(&create.command).0,
            processes: number(&create.name, u64::try_from(create.process_num).unwrap_or_default())?,
            rules: Rules {
                exec_timeout: (exec_timeout > 0).then(|| seconds(exec_timeout)),
                restart: create
                    .remain_after_exit
                    .then(|| seconds(or(create.restart_sec, defaults.restart_sec))),
                stop: seconds(or(create.timeout_stop_sec, defaults.timeout_stop_sec)),
            },
            logger: logger(&create.name, create.service_name_in_logs),
            env,
            user: String::new(),
            name: create.name,
        };
        spec.checked()
    }

    /// Any one.
    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    pub(crate) fn sample() -> Self {
        Self::configured(
            "sample",
            &section::Service {
                command: CommandLine::split("sleep 1"),
                ..section::Service::default()
            },
        )
        .unwrap()
    }

    /// Whether it can be what one of the constructors has made: also this comes from outside, when another program has kept it.
    pub(super) fn is_sound(&self) -> bool {
        let Rules {
            exec_timeout,
            restart,
            stop,
        } = self.rules;
        let times = [exec_timeout, restart, Some(stop)];
        !self.command.is_empty()
            && number(&self.name, self.processes as u64).is_ok()
            && times.into_iter().flatten().all(|time| time <= LONGEST)
    }

    /// The command as one would type it.
    pub(super) fn text(&self) -> String {
        self.command.join(" ")
    }

    fn checked(self) -> Result<Self, SpecError> {
        match self.command.is_empty() {
            true => Err(SpecError::NoCommand(self.name)),
            false => Ok(self),
        }
    }
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number).min(LONGEST)
}

fn number(name: &str, processes: u64) -> Result<usize, SpecError> {
    match usize::try_from(processes) {
        Ok(0) => Err(SpecError::NoProcess(name.to_owned())),
        Ok(number) if processes <= MOST_PROCESSES => Ok(number),
        _ => Err(SpecError::TooMany(name.to_owned())),
    }
}

fn logger(name: &str, named: bool) -> String {
    match named {
        true => format!("{}.{name}", super::NAME),
        false => super::NAME.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rr_common::rpc::{Codec, decode_message};

    fn create() -> Create {
        Create {
            name: "a".into(),
            command: "sleep 1".into(),
            process_num: 2,
            ..Create::default()
        }
    }

    #[test]
    fn php_and_the_file_mean_the_same() {
        let section = section::Service {
            command: CommandLine::split("sleep 1"),
            process_num: 2,
            remain_after_exit: true,
            service_name_in_log: true,
            env: [("x".to_owned(), "1".to_owned())].into(),
            ..section::Service::default()
        };
        let mut create = create();
        create.remain_after_exit = true;
        create.service_name_in_logs = true;
        create.env.insert("x".into(), "${RR_NO_SUCH_VARIABLE:-1}".into());
        let spec = Spec::created(create).unwrap();
        assert_eq!(Spec::configured("a", &section), Ok(spec.clone()));
        assert_eq!((spec.logger.as_str(), spec.text().as_str()), ("service.a", "sleep 1"));
        assert_eq!(spec.env, [("X".to_owned(), "1".to_owned())]);
        assert_eq!(spec.rules.restart, Some(Duration::from_secs(30)));
        assert_eq!(
            (spec.rules.stop, spec.rules.exec_timeout),
            (Duration::from_secs(5), None)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_make_a_service_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            for codec in [Codec::Proto, Codec::Json] {
                if let Ok(create) = decode_message::<Create>(codec, bytes.clone().into()) {
                    let _ = Spec::created(create);
                }
            }
        }

        #[test]
        fn any_numbers_are_bounded(number in any::<i64>(), timeout in any::<i64>(), wait in any::<u64>()) {
            let create = Create { process_num: number, exec_timeout: timeout, restart_sec: wait, timeout_stop_sec: wait, ..create() };
            if let Ok(spec) = Spec::created(create) {
                prop_assert!(spec.is_sound() && (1..=1000).contains(&spec.processes));
                prop_assert!(spec.rules.stop <= LONGEST && spec.rules.exec_timeout.is_none_or(|limit| limit <= LONGEST));
            }
        }
    }

    #[test]
    fn absurd_numbers_are_refused_or_bounded() {
        for (number, error) in [
            (0, "the service with a name should have at least 1 process"),
            (-1, "the service with a name should have at least 1 process"),
            (i64::MAX, "the service with a name can have at most 1000 processes"),
        ] {
            let create = Create {
                process_num: number,
                ..create()
            };
            assert_eq!(Spec::created(create).unwrap_err().to_string(), error);
        }
        let create = Create {
            exec_timeout: i64::MAX,
            restart_sec: u64::MAX,
            remain_after_exit: true,
            timeout_stop_sec: u64::MAX,
            ..create()
        };
        let spec = Spec::created(create.clone()).unwrap();
        assert!(spec.is_sound());
        let mut longer = spec.clone();
        longer.rules.stop = Duration::MAX;
        let none = Spec {
            processes: 0,
            ..spec.clone()
        };
        assert!(!longer.is_sound() && !none.is_sound());
        let rules = spec.rules;
        assert_eq!(
            rules,
            Rules {
                exec_timeout: Some(LONGEST),
                restart: Some(LONGEST),
                stop: LONGEST
            }
        );
        assert!(
            Spec::created(Create {
                exec_timeout: -5,
                ..create.clone()
            })
            .unwrap()
            .rules
            .exec_timeout
            .is_none()
        );
        let nothing = Create {
            command: "  ".into(),
            ..create
        };
        assert!(matches!(Spec::created(nothing), Err(SpecError::NoCommand(_))));
    }
}
