//! The section with its defaults filled in and checked. Zeros mean what they mean to the reference's client.

use crate::{address::Address, tls};
use redis::RedisConnectionInfo;
use rr_common::config::{Dur, section::Redis};
use std::{sync::Arc, time::Duration};

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Beyond this many connections nothing is gained.
const MOST_CONNECTIONS: u64 = 1024;

/// Why a section cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not an address.
    #[error("addrs: {0:?} is no address: expected host:port")]
    Address(String),
    /// No address at all.
    #[error("addrs: there is no address")]
    NoAddress,
    /// Sockets of a cluster's nodes are not known to the cluster.
    #[error("addrs: a cluster's nodes have host:port, not the Unix socket {0:?}")]
    UnixInCluster(String),
    /// TLS without authorities.
    #[error("tls.root_ca is missing: the authorities of the server's certificate")]
    NoAuthority,
    /// One of the two is of no use without the other.
    #[error("tls.cert and tls.key belong together: one of them is missing")]
    HalfIdentity,
    /// A file of the `tls` part.
    #[error("tls.{key}: {file}: {why}")]
    File {
        /// The key.
        key: &'static str,
        /// The path in it.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate and its key cannot be used.
    #[error("tls: {0}")]
    Tls(String),
    /// The cluster client refuses.
    #[error("{0}")]
    Cluster(String),
}

/// What the addresses are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The one server.
    Single,
    /// Sentinels, which know where the master of this name is.
    Sentinel(String),
    /// Some nodes of a cluster.
    Cluster(Reads),
}

/// Who answers reads in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    Masters,
    Replicas,
    AnyNode,
}

/// A section with nothing left open.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    pub(crate) addresses: Vec<Address>,
    pub(crate) login: RedisConnectionInfo,
    pub(crate) sentinel_login: RedisConnectionInfo,
    pub(crate) tls: Option<Arc<tls::Identity>>,
    pub(crate) dial_timeout: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) pool_timeout: Duration,
    pub(crate) pool_size: usize,
    pub(crate) min_idle: usize,
    pub(crate) max_age: Option<Duration>,
    pub(crate) max_idle: Duration,
    pub(crate) retries: u32,
    pub(crate) min_backoff: Duration,
    pub(crate) max_backoff: Duration,
}

impl Settings {
    /// Checks a section. The texts say what of it has no effect.
    pub(crate) fn new(section: &Redis) -> Result<(Self, Vec<String>), SetupError> {
        let mode = mode(section);
        let port = if matches!(mode, Mode::Sentinel(_)) {
            SENTINEL_PORT
        } else {
            PORT
        };
        let mut addresses = Vec::new();
        for text in section.addrs.iter().filter(|text| !text.trim().is_empty()) {
            let address = Address::parse(text, port).ok_or_else(|| SetupError::Address(text.clone()))?;
            if matches!((&mode, &address), (Mode::Cluster(_), Address::Unix(_))) {
                return Err(SetupError::UnixInCluster(text.clone()));
            }
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(SetupError::NoAddress);
        }
        let database = match mode {
            Mode::Cluster(_) => 0,
            Mode::Single | Mode::Sentinel(_) => i64::try_from(section.db).unwrap_or(i64::MAX),
        };
        let or = |value: Dur, default: Duration| if value.is_zero() { default } else { value.get() };
        let read_timeout = or(section.read_timeout, Duration::from_secs(3));
        let min_backoff = or(section.min_retry_backoff, Duration::from_millis(8));
        let pool_size = match section.pool_size {
            0 => 10 * std::thread::available_parallelism().map_or(1, usize::from),
            n => usize::try_from(n.min(MOST_CONNECTIONS)).unwrap_or(1),
        };
        let settings = Self {
            login: login(&section.username, &section.password).set_db(database),
            sentinel_login: login("", &section.sentinel_password),
            tls: section.tls.as_ref().map(tls::Identity::read).transpose()?.map(Arc::new),
            dial_timeout: or(section.dial_timeout, Duration::from_secs(5)),
            write_timeout: or(section.write_timeout, read_timeout),
            pool_timeout: or(section.pool_timeout, read_timeout + Duration::from_secs(1)),
            min_idle: usize::try_from(section.min_idle_conns)
                .unwrap_or(usize::MAX)
                .min(pool_size),
            max_age: (!section.max_conn_age.is_zero()).then(|| section.max_conn_age.get()),
            max_idle: or(section.idle_timeout, Duration::from_secs(30 * 60)),
            retries: match section.max_retries {
                0 => 3,
                n => u32::try_from(n).unwrap_or(0),
            },
            max_backoff: or(section.max_retry_backoff, Duration::from_millis(512)).max(min_backoff),
            read_timeout,
            min_backoff,
            pool_size,
            addresses,
            mode,
        };
        let warnings = warnings(section, &settings.mode);
        Ok((settings, warnings))
    }

    /// The longest that one command may take with all its tries.
    pub(crate) fn bound(&self) -> Duration {
        self.dial_timeout + self.read_timeout
    }

    /// The wait before try `n`, counted from 1.
    pub(crate) fn backoff(&self, n: u32) -> Duration {
        let factor = 1u32 << n.saturating_sub(1).min(16);
        self.min_backoff.saturating_mul(factor).min(self.max_backoff)
    }
}

fn mode(section: &Redis) -> Mode {
    match section.addrs.len() {
        _ if !section.master_name.is_empty() => Mode::Sentinel(section.master_name.clone()),
        0 | 1 => Mode::Single,
        _ if section.route_randomly || section.route_by_latency => Mode::Cluster(Reads::AnyNode),
        _ if section.read_only => Mode::Cluster(Reads::Replicas),
        _ => Mode::Cluster(Reads::Masters),
    }
}

fn login(user: &str, password: &str) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default().set_lib_name("roadrunner", env!("CARGO_PKG_VERSION"));
    if !user.is_empty() {
        login = login.set_username(user);
    }
    if !password.is_empty() {
        login = login.set_password(password);
    }
    login
}

fn warnings(section: &Redis, mode: &Mode) -> Vec<String> {
    let cluster = matches!(mode, Mode::Cluster(_));
    let found = [
        (
            cluster && section.db != 0,
            "db: a cluster has the database 0 only; the key has no effect",
        ),
        (
            cluster && section.route_by_latency,
            "route_by_latency: latency is not measured; reads go to any node, as with route_randomly",
        ),
        (
            !cluster && (section.route_by_latency || section.route_randomly || section.read_only),
            "route_by_latency, route_randomly and read_only choose among the nodes of a cluster; they have no effect here",
        ),
        (
            !section.idle_check_freq.is_zero(),
            "idle_check_freq: a connection's idleness is looked at when it is needed; the key has no effect",
        ),
    ];
    let told = found.into_iter().filter(|(applies, _)| *applies);
    told.map(|(_, text)| text.to_owned()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn section(change: impl FnOnce(&mut Redis)) -> Redis {
        let mut section = Redis::default();
        change(&mut section);
        section
    }

    fn addresses(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn the_addresses_and_the_masters_name_make_the_mode() {
        let of = |section: Redis| Settings::new(&section).unwrap().0.mode;
        assert_eq!(of(Redis::default()), Mode::Single);
        let two = || section(|s| s.addrs = addresses(&["a:1", "b:2"]));
        assert_eq!(of(two()), Mode::Cluster(Reads::Masters));
        let read_only = Redis {
            read_only: true,
            ..two()
        };
        assert_eq!(of(read_only), Mode::Cluster(Reads::Replicas));
        let anywhere = Redis {
            route_randomly: true,
            ..two()
        };
        assert_eq!(of(anywhere), Mode::Cluster(Reads::AnyNode));
        let watched = Redis {
            master_name: "main".into(),
            ..two()
        };
        assert_eq!(of(watched), Mode::Sentinel("main".into()));
    }

    #[test]
    fn zeros_are_the_clients_defaults() {
        let (settings, warnings) = Settings::new(&Redis::default()).unwrap();
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(settings.dial_timeout, Duration::from_secs(5));
        assert_eq!(settings.read_timeout, Duration::from_secs(3));
        assert_eq!(settings.write_timeout, Duration::from_secs(3));
        assert_eq!(settings.pool_timeout, Duration::from_secs(4));
        assert_eq!(settings.max_idle, Duration::from_secs(1800));
        assert_eq!((settings.retries, settings.max_age, settings.min_idle), (3, None, 0));
        assert!(settings.pool_size >= 10);
        let never = section(|s| s.max_retries = -1);
        assert_eq!(Settings::new(&never).unwrap().0.retries, 0);
    }

    #[test]
    fn waits_grow_from_the_shortest_to_the_longest() {
        let (settings, _) = Settings::new(&Redis::default()).unwrap();
        let waits: Vec<_> = (1..=8).map(|n| settings.backoff(n).as_millis()).collect();
        assert_eq!(waits, [8, 16, 32, 64, 128, 256, 512, 512]);
        assert_eq!(settings.backoff(u32::MAX).as_millis(), 512);
    }

    #[test]
    fn a_key_without_effect_is_told() {
        let told = |section: Redis| Settings::new(&section).unwrap().1.join("\n");
        let cluster = section(|s| {
            s.addrs = addresses(&["a:1", "b:2"]);
            s.db = 3;
            s.route_by_latency = true;
        });
        let text = told(cluster);
        assert!(text.contains("db:") && text.contains("route_by_latency:"), "{text}");
        assert!(told(section(|s| s.read_only = true)).contains("read_only"));
        assert!(told(section(|s| s.idle_check_freq = Dur::secs(1))).contains("idle_check_freq"));
    }

    #[test]
    fn a_section_that_cannot_work_is_refused() {
        let refused = |section: Redis| Settings::new(&section).unwrap_err().to_string();
        assert!(refused(section(|s| s.addrs = vec![])).contains("no address"));
        assert!(refused(section(|s| s.addrs = addresses(&["a:b"]))).contains("\"a:b\""));
        assert!(refused(section(|s| s.addrs = addresses(&["a:1", "/b"]))).contains("/b"));
        assert!(refused(section(|s| s.tls = Some(Default::default()))).contains("root_ca"));
    }
}
