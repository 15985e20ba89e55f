use super::*;
use std::{fs, path::Path};

fn ssl(dir: &Path) -> Ssl {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let file = |name: &str, text: String| {
        fs::write(dir.join(name), text).unwrap();
        dir.join(name).to_str().unwrap().to_owned()
    };
    Ssl {
        key: file("key.pem", made.signing_key.serialize_pem()),
        cert: file("cert.pem", made.cert.pem()),
        root_ca: file("ca.pem", made.cert.pem()),
        ..Ssl::default()
    }
}

// HTTP-02, HTTP-03
#[test]
fn every_client_auth_type_loads() {
    let dir = tempfile::tempdir().unwrap();
    let mut ssl = ssl(dir.path());
    for (name, offered, mandatory) in [
        ("no_client_cert", false, false),
        ("request_client_cert", true, false),
        ("require_any_client_cert", true, true),
        ("verify_client_cert_if_given", true, false),
        ("require_and_verify_client_cert", true, true),
        ("what", false, false),
    ] {
        ssl.client_auth_type = name.into();
        let verifier = client_auth::verifier(&ssl, Arc::new(ring::default_provider())).unwrap();
        assert_eq!(verifier.offer_client_auth(), offered, "{name}");
        assert_eq!(offered && verifier.client_auth_mandatory(), mandatory, "{name}");
        assert!(acceptor(&ssl).is_ok());
    }
    ssl.root_ca.clear();
    ssl.client_auth_type = "require_and_verify_client_cert".into();
    let verifier = client_auth::verifier(&ssl, Arc::new(ring::default_provider())).unwrap();
    assert!(!verifier.offer_client_auth());
}

// HTTP-02
#[test]
fn a_bad_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let good = ssl(dir.path());
    let empty = dir.path().join("empty.pem");
    fs::write(&empty, "nothing").unwrap();
    let empty = empty.to_str().unwrap().to_owned();
    for (bad, key) in [
        (
            Ssl {
                cert: empty.clone(),
                ..good.clone()
            },
            "http.ssl.cert: ",
        ),
        (
            Ssl {
                cert: "/nowhere".into(),
                ..good.clone()
            },
            "http.ssl.cert: /nowhere",
        ),
        (
            Ssl {
                key: empty.clone(),
                ..good.clone()
            },
            "http.ssl.key: ",
        ),
        (
            Ssl {
                root_ca: empty,
                ..good.clone()
            },
            "http.ssl.root_ca: ",
        ),
    ] {
        let Err(StartError(text)) = acceptor(&bad) else {
            panic!("{key} was taken")
        };
        assert!(text.starts_with(key), "{text}");
    }
}
