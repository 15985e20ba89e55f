//! CFG-10: every key of the reference is known to the schema.

use super::super::schema::{self, Type};

/// `a.{b c}.d` to `a.b.d`, `a.c.d`; several groups multiply.
fn spread(line: &str) -> Vec<String> {
    match (line.find('{'), line.find('}')) {
        (Some(open), Some(close)) => line[open + 1..close]
            .split(' ')
            .flat_map(|word| spread(&format!("{}{word}{}", &line[..open], &line[close + 1..])))
            .collect(),
        _ => line.split(' ').map(str::to_owned).collect(),
    }
}

/// The type of a key; `*` is any name.
fn lookup(key: &str) -> Option<&'static Type> {
    key.split('.').try_fold(schema::root(), |ty, part| match ty {
        Type::Section(section) => {
            let name = section.aliases.get(part).map_or(part, String::as_str);
            section.fields.get(name).map(|field| &field.ty)
        }
        Type::Map(value) => Some(&**value),
        Type::Driver(drivers) => drivers.get(part),
        _ => None,
    })
}

#[test]
fn every_key_of_the_reference_is_known() {
    let mut count = 0;
    for line in include_str!("keys.txt").lines().filter(|line| !line.starts_with('#')) {
        for key in spread(line) {
            assert!(lookup(&key).is_some(), "{key}");
            count += 1;
        }
    }
    assert!(count > 400, "{count}");
}

#[test]
fn keys_of_later_work_are_not_accepted_yet() {
    for key in [
        "http.pools",
        "http.pool.scale",
        "http.pool.shed",
        "jobs.schedule",
        "kv.*.memory.max_items",
    ] {
        assert!(lookup(key).is_none(), "{key}");
    }
}
