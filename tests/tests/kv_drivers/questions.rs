//! The questions, the same for all drivers.

use super::kv::{Kv, Pairs, pairs, seconds};
use rr_tests::eventually;
use rr_tests::wait::SOON;

/// What every driver does.
pub(super) fn does_what_every_driver_does(kv: &Kv) {
    // Set, MGet, Has, Delete
    kv.set("a", "1").unwrap();
    kv.items(
        "Set",
        &[
            ("b", "2\r\nEND\r\n", ""),
            ("c", "first", ""),
            ("c", "last", ""),
            ("e", "", ""),
        ],
    )
    .unwrap();
    let found = kv.keys("MGet", &["a", "b", "c", "e", "none"]).unwrap();
    assert_eq!(
        found,
        pairs(&[("a", "1"), ("b", "2\r\nEND\r\n"), ("c", "last"), ("e", "")])
    );
    let found = kv.keys("Has", &["none", "a", "b"]).unwrap();
    assert_eq!(found, pairs(&[("a", ""), ("b", "")]));
    kv.keys("Delete", &["a", "b", "none"]).unwrap();
    assert_eq!(kv.keys("MGet", &["a", "b", "c"]).unwrap(), pairs(&[("c", "last")]));

    // Many keys, and a large value
    let names: Vec<String> = (0..300).map(|n| format!("many:{n}")).collect();
    let items: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_str(), "")).collect();
    kv.items("Set", &items).unwrap();
    let keys: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = kv.keys("MGet", &keys).unwrap();
    assert_eq!(found.len(), 300);
    assert!(found.iter().all(|(key, value)| key == value));
    let large = "x".repeat(700_000);
    kv.set("large", &large).unwrap();
    assert!(kv.get("large").unwrap() == Some(large));

    // Ends
    let soon = seconds(2);
    kv.items(
        "Set",
        &[
            ("short", "v", &soon),
            ("long", "v", &seconds(1000)),
            ("past", "v", &seconds(-5)),
        ],
    )
    .unwrap();
    kv.items("MExpire", &[("c", "", &soon), ("none", "", &soon)]).unwrap();
    let found = kv.keys("MGet", &["short", "long", "past", "c"]).unwrap();
    assert_eq!(found, pairs(&[("short", "v"), ("long", "v"), ("c", "last")]));
    // Their end is looked at below.

    // Numbers
    assert_eq!(kv.count("Incr", "n", 1, ""), Ok(1));
    assert_eq!(kv.count("Incr", "n", 98, ""), Ok(99));
    assert_eq!(kv.count("Incr", "n", 1, ""), Ok(100));
    assert_eq!(kv.count("Decr", "n", 1, ""), Ok(99));
    assert_eq!(
        kv.get("n").unwrap().as_deref(),
        Some("99"),
        "decimal text, without blanks"
    );
    assert_eq!(kv.count("Decr", "n", 200, ""), Ok(-101));
    assert_eq!(kv.count("Incr", "n", 102, ""), Ok(1));
    kv.set("n", &i64::MAX.to_string()).unwrap();
    let error = kv.count("Incr", "n", 1, "").unwrap_err();
    assert!(error.contains("would not fit into 64 bits"), "{error}");
    assert_eq!(kv.get("n").unwrap(), Some(i64::MAX.to_string()));
    kv.set("n", "many").unwrap();
    let error = kv.count("Incr", "n", 1, "").unwrap_err();
    assert!(error.contains("not an integer"), "{error}");
    // The first call gives the end, and later ones leave it.
    let end = seconds(2);
    for n in 1..=20 {
        assert_eq!(kv.count("Incr", "limit", 1, &end), Ok(n));
    }
    assert_eq!(kv.count("Incr", "limit", 5, &seconds(1000)), Ok(25));

    // Add and CompareAndSwap
    kv.set("there", "old").unwrap();
    let added = kv
        .items("Add", &[("there", "new", ""), ("new", "1", ""), ("new", "2", "")])
        .unwrap();
    assert_eq!(added.iter().map(|item| item.key.as_str()).collect::<Vec<_>>(), ["new"]);
    assert_eq!(
        kv.keys("MGet", &["there", "new"]).unwrap(),
        pairs(&[("there", "old"), ("new", "1")])
    );
    assert_eq!(kv.swap("there", Some("other"), "x"), Ok(false));
    assert_eq!(kv.swap("there", Some("old"), "x"), Ok(true));
    assert_eq!(kv.swap("nowhere", Some(""), "x"), Ok(false));
    assert_eq!(kv.swap("there", None, "y"), Ok(false));
    assert_eq!(kv.swap("nowhere", None, "y"), Ok(true));
    assert_eq!(
        kv.keys("MGet", &["there", "nowhere"]).unwrap(),
        pairs(&[("there", "x"), ("nowhere", "y")])
    );

    // At once
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    kv.count("Incr", "sum", 1, "").unwrap();
                    loop {
                        let old = kv.get("swapped").unwrap();
                        let number = old.as_ref().map_or(0, |old| old.parse::<u32>().unwrap());
                        if kv.swap("swapped", old.as_deref(), &(number + 1).to_string()).unwrap() {
                            break;
                        }
                    }
                }
            });
        }
    });
    assert_eq!(kv.get("sum").unwrap().as_deref(), Some("200"));
    assert_eq!(kv.get("swapped").unwrap().as_deref(), Some("200"));

    let gone = || kv.keys("Has", &["short", "long", "c", "limit"]).unwrap() == pairs(&[("long", "")]);
    eventually(SOON, gone);
    kv.keys("Clear", &[]).unwrap();
    assert_eq!(
        kv.keys("Has", &["there", "large", "sum", "many:7"]).unwrap(),
        Pairs::new()
    );
    assert_eq!(kv.unhealthy(), None);
}

/// What `TTL` tells: this key's end to the second, and nothing of keys without.
pub(super) fn tells_ends(kv: &Kv) {
    let end = seconds(1000);
    kv.items("Set", &[("ends", "v", &end), ("stays", "v", "")]).unwrap();
    let told = kv.keys("TTL", &["ends", "stays", "none"]).unwrap();
    assert_eq!(told.get("ends"), Some(&end), "{told:?}");
    assert!(!told.contains_key("none"));
    let later = seconds(2000);
    kv.items("MExpire", &[("ends", "", &later)]).unwrap();
    assert_eq!(kv.keys("TTL", &["ends"]).unwrap(), pairs(&[("ends", &later)]));
}
