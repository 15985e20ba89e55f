//! CFG-10: every key of the reference is known to the schema.

use crate::config::schema::{self, Type};

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
    for key in ["http.pools", "http.pool.scale", "http.pool.shed", "jobs.schedule"] {
        assert!(lookup(key).is_none(), "{key}");
    }
}

/// The dotted keys of a type, `*` for free names.
fn all(ty: &Type, path: &str, into: &mut Vec<String>) {
    let join = |key: &str| match path {
        "" => key.to_owned(),
        _ => format!("{path}.{key}"),
    };
    match ty {
        Type::Section(section) => {
            for (name, field) in &section.fields {
                all(&field.ty, &join(name), into);
            }
        }
        Type::Map(value) => all(value, &join("*"), into),
        Type::Driver(drivers) => {
            for (name, config) in drivers {
                all(config, &join(name), into);
            }
        }
        _ => into.push(path.to_owned()),
    }
}

/// What the reference does not have is ours, and on the user's page.
#[test]
fn our_own_keys_are_documented() {
    let lines = include_str!("keys.txt").lines();
    let theirs: Vec<String> = lines.filter(|line| !line.starts_with('#')).flat_map(spread).collect();
    let page = include_str!("../../../../docs/configuration.md");
    let mut keys = Vec::new();
    all(schema::root(), "", &mut keys);
    let mut own = 0;
    for key in keys {
        let redis_is_one_line = ["jobs.pipelines.*.redis.", "redis.", "lock.config."]
            .iter()
            .any(|prefix| key.starts_with(prefix));
        if theirs.contains(&key) || redis_is_one_line {
            continue;
        }
        own += 1;
        let pool = key.rsplit_once(".pool.").or_else(|| key.rsplit_once(".activities."));
        let name = match pool {
            Some((_, key)) => format!("pool.{key}"),
            None => key
                .replace('*', "NAME")
                .replace("kv.NAME.memory.", "kv.NAME.config.")
                .replace("kv.NAME.memcached.", "kv.NAME.config."),
        };
        let name = name.trim_end_matches(".NAME");
        assert!(page.contains(&format!("`{name}`")), "{key}");
    }
    assert!(own > 15, "{own}");
}
