//! Which server has a key.
//!
//! `crc32` is how the reference places keys (the checksum modulo the number of servers), so that what it has written is
//! found. `ketama` is consistent: one server more or less moves only that server's share of the keys. It places them as
//! libmemcached's compatible mode does, which PHP's Memcached class calls `OPT_LIBKETAMA_COMPATIBLE`.

use rr_common::config::section::MemcachedHash;

/// Digests for each server; each gives four points on the circle.
const DIGESTS: u32 = 40;
/// It is left out of a server's name.
const PORT: &str = ":11211";

/// Where keys go.
#[derive(Clone, Debug)]
pub(crate) enum Placement {
    /// The checksum modulo this number.
    Modulo(u32),
    /// Points on the circle, in order, each with its server.
    Circle(Vec<(u32, usize)>),
}

impl Placement {
    /// A placement on these servers, in the order of the configuration.
    pub(crate) fn new(hash: MemcachedHash, servers: &[String]) -> Self {
        match hash {
            MemcachedHash::Crc32 => Self::Modulo(u32::try_from(servers.len()).unwrap_or(u32::MAX)),
            MemcachedHash::Ketama => Self::Circle(circle(servers)),
        }
    }

    /// The server of a key.
    pub(crate) fn of(&self, key: &str) -> usize {
        match self {
            Self::Modulo(0 | 1) => 0,
            Self::Modulo(servers) => (crc32fast::hash(key.as_bytes()) % servers) as usize,
            Self::Circle(points) => {
                let hash = quarter(&md5::compute(key), 0);
                let next = points.partition_point(|(point, _)| *point < hash);
                points.get(next).or(points.first()).map_or(0, |(_, server)| *server)
            }
        }
    }
}

fn circle(servers: &[String]) -> Vec<(u32, usize)> {
    let mut points = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        let name = server.strip_suffix(PORT).unwrap_or(server);
        for n in 0..DIGESTS {
            let digest = md5::compute(format!("{name}-{n}"));
            points.extend((0..4).map(|part| (quarter(&digest, part), index)));
        }
    }
    points.sort_unstable();
    points
}

fn quarter(digest: &[u8; 16], part: usize) -> u32 {
    let bytes = &digest[4 * part..4 * part + 4];
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(n: usize) -> Vec<String> {
        (0..n).map(|n| format!("10.0.0.{n}:11211")).collect()
    }

    fn keys() -> impl Iterator<Item = String> {
        (0..4000).map(|n| format!("key:{n}"))
    }

    #[test]
    fn crc32_places_as_the_reference_does() {
        // From Go: crc32.ChecksumIEEE([]byte(key)) % 3.
        let placement = Placement::new(MemcachedHash::Crc32, &servers(3));
        let expected = [
            ("a", 0xe8b7_be43u32),
            ("hello", 0x3610_a686),
            ("123456789", 0xcbf4_3926),
        ];
        for (key, checksum) in expected {
            assert_eq!(placement.of(key), (checksum % 3) as usize, "{key}");
        }
        let one = Placement::new(MemcachedHash::Crc32, &servers(1));
        assert!(keys().all(|key| one.of(&key) == 0));
    }

    #[test]
    fn ketama_places_as_phps_memcached_class_does() {
        // `getServerByKey` with OPT_LIBKETAMA_COMPATIBLE, for key:0, key:1, …
        let expected = [
            0, 0, 0, 1, 2, 2, 0, 1, 1, 0, 1, 1, 2, 0, 1, 2, 1, 0, 0, 1, 0, 1, 2, 0, 1, 1, 2, 2, 1, 0, 0, 1, 0, 0, 2, 2,
            1, 1, 0, 1,
        ];
        let servers: Vec<String> = (23101..=23103).map(|port| format!("127.0.0.1:{port}")).collect();
        let placement = Placement::new(MemcachedHash::Ketama, &servers);
        let found: Vec<usize> = keys().take(expected.len()).map(|key| placement.of(&key)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_consistent_placement_spreads_keys_and_moves_few() {
        let (four, five) = (servers(4), servers(5));
        let before = Placement::new(MemcachedHash::Ketama, &four);
        let after = Placement::new(MemcachedHash::Ketama, &five);
        let mut count = [0; 4];
        let mut moved = 0;
        for key in keys() {
            let server = before.of(&key);
            count[server] += 1;
            if after.of(&key) != server {
                assert_eq!(after.of(&key), 4, "a key moves to the new server or not at all");
                moved += 1;
            }
        }
        assert!(count.iter().all(|n| (600..1500).contains(n)), "{count:?}");
        assert!((400..1300).contains(&moved), "{moved}");
    }
}
