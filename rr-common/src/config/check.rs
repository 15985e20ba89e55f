//! Unknown keys and bad addresses: what the schema cannot say by itself, put into words.

use super::{
    diagnostic::Diagnostic,
    node::Node,
    schema::{Section, Type},
};

/// The warning about a key that nothing reads.
pub(super) fn unknown_key(name: &str, path: &str, node: &Node, section: &Section) -> Diagnostic {
    let known = section.fields.keys().chain(section.aliases.keys());
    let diagnostic = Diagnostic::at(&node.origin, path, "unknown key");
    if let Some(near) = nearest(name, known.map(String::as_str)) {
        return diagnostic.help(format!("did you mean `{near}`?"));
    }
    // A key that sits one level too high is as common as a misspelt one.
    let deeper = section.fields.iter().find(|(_, field)| match &field.ty {
        Type::Section(inner) => inner.fields.contains_key(name),
        _ => false,
    });
    match deeper {
        Some((parent, _)) => diagnostic.help(format!("it belongs under `{parent}`")),
        None => diagnostic,
    }
}

/// The known name that a misspelt one most likely stands for.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let close = (name.chars().count() / 3).clamp(1, 3);
    known
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= close && *distance < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// Why a text is not an address that can be listened on; an empty one is an absent one.
pub(super) fn bad_address(text: &str) -> Option<String> {
    let expected = "expected host:port, tcp://host:port or unix://path";
    if text.is_empty() {
        return None;
    }
    if let Some(path) = text.strip_prefix("unix://") {
        return path
            .is_empty()
            .then(|| format!("{expected}, found a socket without a path"));
    }
    let rest = match text.split_once("://") {
        Some(("tcp", rest)) => rest,
        Some((scheme, _)) => return Some(format!("{expected}, found the scheme {scheme:?}")),
        None => text,
    };
    let Some((_, port)) = rest.rsplit_once(':') else {
        return Some(format!("{expected}, found {text:?} without a port"));
    };
    match port.parse::<u16>() {
        Ok(_) => None,
        Err(_) => Some(format!("the port must be a number from 0 to 65535, found {port:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_its_key() {
        let known = || ["num_workers", "max_jobs", "debug", "pool"].into_iter();
        assert_eq!(nearest("num_worker", known()), Some("num_workers"));
        assert_eq!(nearest("max_job", known()), Some("max_jobs"));
        assert_eq!(nearest("pol", known()), Some("pool"));
        assert_eq!(nearest("xyz", known()), None);
    }

    /// CFG-11.
    #[test]
    fn addresses_are_checked() {
        for good in [
            "",
            ":80",
            "127.0.0.1:80",
            "tcp://[::1]:0",
            "localhost:8080",
            "unix:///run/x.sock",
        ] {
            assert_eq!(bad_address(good), None, "{good}");
        }
        for bad in ["80", "localhost", ":", ":70000", "http://x:1", "unix://", "1.2.3.4:-1"] {
            assert!(bad_address(bad).is_some(), "{bad}");
        }
    }
}
