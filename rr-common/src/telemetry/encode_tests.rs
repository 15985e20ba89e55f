//! LOG-01: the expected lines are those of the reference (v2025.1.15), byte for byte, except that names are not padded
//! in JSON and that the trailing line end of workers' messages is left out.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use std::time::Duration;

const TIME: Duration = Duration::from_nanos(1_795_382_485_157_657_139);

fn style(mode: Mode, json: bool, colour: bool) -> Style {
    Style { mode, json, colour }
}

fn request_line(style: Style) -> String {
    let now = UNIX_EPOCH + TIME;
    let mut encoder = Encoder::new(Vec::new(), style, "http");
    encoder.head(Level::Info, now, "http");
    encoder.message(b"http log");
    encoder.int("status", 200);
    encoder.str("method", b"GET");
    encoder.str("URI", b"/err?x=1&y=%22");
    encoder.time("start", UNIX_EPOCH + Duration::from_nanos(1_795_382_485_157_114_746));
    encoder.int("elapsed", 0);
    String::from_utf8(encoder.end("\n")).unwrap()
}

fn bare_line(style: Style) -> String {
    let mut encoder = Encoder::new(Vec::new(), style, "http");
    encoder.head(Level::Debug, UNIX_EPOCH + TIME, "lock");
    encoder.message(b"acquired stop mutex");
    String::from_utf8(encoder.end("\n")).unwrap()
}

#[test]
fn log_01_production_is_json_with_nanoseconds() {
    let style = style(Mode::Production, true, false);
    let expected = concat!(
        r#"{"level":"info","ts":1795382485157657139,"logger":"http","msg":"http log","status":200,"method":"GET","#,
        r#""URI":"/err?x=1&y=%22","start":1795382485157114746,"elapsed":0}"#,
        "\n"
    );
    assert_eq!(request_line(style), expected);
    let bare = r#"{"level":"debug","ts":1795382485157657139,"logger":"lock","msg":"acquired stop mutex"}"#;
    assert_eq!(bare_line(style), format!("{bare}\n"));
}

#[test]
fn log_01_development_is_tab_separated() {
    let style = style(Mode::Development, false, false);
    let expected = concat!(
        "2026-11-22T21:21:25+0000\tINFO\thttp        \thttp log\t",
        r#"{"status": 200, "method": "GET", "URI": "/err?x=1&y=%22", "start": "2026-11-22T21:21:25+0000", "elapsed": 0}"#,
        "\n"
    );
    assert_eq!(request_line(style), expected);
    assert_eq!(
        bare_line(style),
        "2026-11-22T21:21:25+0000\tDEBUG\tlock        \tacquired stop mutex\n"
    );
    assert_eq!(
        request_line(Style {
            mode: Mode::Other,
            ..style
        }),
        expected
    );
}

#[test]
fn log_01_development_on_a_terminal_has_colours() {
    let line = bare_line(style(Mode::Development, false, true));
    let expected = "2026-11-22T21:21:25+0000\t\x1b[97mDEBUG\x1b[0m\t\x1b[92mlock        \x1b[0m\tacquired stop mutex\n";
    assert_eq!(line, expected);
}

#[test]
fn log_01_every_mode_has_its_json_keys() {
    let expected = r#"{"level":"DEBUG","ts":"2026-11-22T21:21:25+0000","logger":"lock","msg":"acquired stop mutex"}"#;
    assert_eq!(
        bare_line(style(Mode::Development, true, false)),
        format!("{expected}\n")
    );
    let expected = r#"{"L":"DEBUG","T":"2026-11-22T21:21:25+0000","N":"lock","M":"acquired stop mutex"}"#;
    assert_eq!(bare_line(style(Mode::Other, true, false)), format!("{expected}\n"));
    let expected = r#"{"message":"acquired stop mutex"}"#;
    assert_eq!(bare_line(style(Mode::Raw, true, false)), format!("{expected}\n"));
}

#[test]
fn log_01_raw_and_production_on_the_console() {
    assert_eq!(bare_line(style(Mode::Raw, false, false)), "acquired stop mutex\n");
    let raw = concat!(
        "http log\t{\"status\": 200, \"method\": \"GET\", \"URI\": \"/err?x=1&y=%22\", ",
        "\"start\": 1795382485157114746, \"elapsed\": 0}\n"
    );
    assert_eq!(request_line(style(Mode::Raw, false, false)), raw);
    let line = bare_line(style(Mode::Production, false, false));
    assert_eq!(line, "1795382485157657139\tdebug\tlock\tacquired stop mutex\n");
}

#[test]
fn log_01_texts_are_escaped_as_the_reference_does() {
    let mut out = Vec::new();
    text::escape(
        &mut out,
        b"stray\n\ttab \x1b[31mred\xff \"q\" \\ \x08 \r \xe2\x82 \xe2\x82\xac",
    );
    let expected = r#"stray\n\ttab \u001b[31mred\ufffd \"q\" \\ \u0008 \r \ufffd\ufffd €"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn floats_are_written_as_go_writes_them() {
    let mut encoder = Encoder::new(Vec::new(), style(Mode::Raw, true, false), "http");
    encoder.head(Level::Info, UNIX_EPOCH, "http");
    encoder.message(b"");
    for value in [0.1, 1.0, -2.5, 1e21, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        encoder.float("f", value);
    }
    let line = String::from_utf8(encoder.end("")).unwrap();
    let expected = r#""f":0.1,"f":1,"f":-2.5,"f":1000000000000000000000,"f":"NaN","f":"+Inf","f":"-Inf"}"#;
    assert!(line.ends_with(expected), "{line}");
}

#[test]
fn a_huge_message_is_cut_inside_its_quotes() {
    let mut encoder = Encoder::new(Vec::new(), style(Mode::Production, true, false), "http");
    encoder.head(Level::Info, UNIX_EPOCH, "http");
    encoder.message(&vec![b'x'; text::VALUE + 10]);
    let line: serde_json::Value = serde_json::from_slice(&encoder.end("\n")).unwrap();
    let message = line["msg"].as_str().unwrap();
    assert!(message.ends_with("x… (10 bytes cut off)"));
    assert!(message.len() < text::VALUE + 40);
}

#[test]
fn up_gives_every_line_its_margin() {
    let mut encoder = Encoder::new(Vec::new(), style(Mode::Up, false, false), "http");
    encoder.head(Level::Warn, UNIX_EPOCH + TIME, "server");
    encoder.message(b"one\ntwo");
    encoder.int("pid", 7);
    encoder.str("internal_event_name", b"EventX");
    encoder.time("start", UNIX_EPOCH);
    encoder.str("reason", b"it died");
    let line = String::from_utf8(encoder.end("\n")).unwrap();
    let after_time = &line[8..];
    let expected = " http       | WARN  one\n         http       |       two\n         http       |       pid=7 reason=\"it died\"\n";
    assert_eq!(after_time, expected);
}

#[test]
fn up_shows_php_errors_in_red() {
    let mut encoder = Encoder::new(Vec::new(), style(Mode::Up, false, true), "http");
    encoder.head(Level::Error, UNIX_EPOCH, "server");
    encoder.message(b"PHP Fatal error:  x\nfine");
    let line = String::from_utf8(encoder.end("\n")).unwrap();
    assert!(line.contains("\x1b[91mPHP Fatal error:  x\x1b[0m\n"), "{line:?}");
    assert!(line.ends_with(" fine\n"), "{line:?}");
}

#[test]
fn up_tells_the_failure_first_and_long_values_below() {
    let mut encoder = Encoder::new(Vec::new(), style(Mode::Up, false, false), "supervisor");
    encoder.head(Level::Error, UNIX_EPOCH + TIME, "service.import");
    encoder.message(b"failed");
    encoder.error("a_b: SoftJobError: E: x\n#0 y");
    encoder.str("trace", b"1\n2\n");
    encoder.int("n", 7);
    let line = String::from_utf8(encoder.end("\n")).unwrap();
    let margin = "\n         import     |       ";
    let expected = format!(" import     | ERROR failed: E: x{margin}#0 y{margin}n=7{margin}trace: 1{margin}2\n");
    assert_eq!(&line[8..], expected);
}

proptest! {
    /// Whatever the bytes, a JSON line is one valid line and keeps what was valid text.
    #[test]
    fn json_is_always_one_valid_line(
        logger in "[^\u{0}]{0,20}",
        message in proptest::collection::vec(any::<u8>(), 0..200),
        key in ".{0,20}",
        value in proptest::collection::vec(any::<u8>(), 0..200),
        text in ".{0,60}",
        mode in prop_oneof![Just(Mode::Production), Just(Mode::Development), Just(Mode::Raw), Just(Mode::Other), Just(Mode::Up)],
    ) {
        let mut encoder = Encoder::new(Vec::new(), style(mode, true, false), "http");
        encoder.head(Level::Error, UNIX_EPOCH + TIME, &logger);
        encoder.message(&message);
        encoder.str(&format!("a{key}"), &value);
        encoder.display(&format!("b{key}"), &text);
        let line = encoder.end("\n");
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let parsed: serde_json::Value = serde_json::from_slice(&line).unwrap();
        prop_assert_eq!(parsed[format!("b{key}")].as_str(), Some(text.as_str()));
        if let Ok(valid) = std::str::from_utf8(&value) {
            prop_assert_eq!(parsed[format!("a{key}")].as_str(), Some(valid));
        }
    }

    /// The fields of a console line are valid JSON as well.
    #[test]
    fn console_fields_are_valid_json(key in ".{0,20}", value in proptest::collection::vec(any::<u8>(), 0..100)) {
        let mut encoder = Encoder::new(Vec::new(), style(Mode::Development, false, false), "http");
        encoder.head(Level::Error, UNIX_EPOCH + TIME, "http");
        encoder.message(b"m");
        encoder.str(&key, &value);
        encoder.bool("last", true);
        let line = encoder.end("");
        let fields = line.splitn(5, |byte| *byte == b'\t').last().unwrap();
        prop_assert!(serde_json::from_slice::<serde_json::Value>(fields).is_ok());
    }
}

fn foreign_line(style: Style, message: &str) -> String {
    let mut encoder = Encoder::new(Vec::new(), style, "app");
    encoder.head(Level::Error, UNIX_EPOCH + TIME, "app");
    encoder.foreign_message(message);
    encoder.str("a key\n", b"v");
    String::from_utf8(encoder.end("\n")).unwrap()
}

/// LOG-03: what an application writes is one line under its own level.
#[test]
fn log_03_a_foreign_message_begins_no_line_of_its_own() {
    let message = "lost\n{\"level\":\"info\"}\r\x1b[2K";
    for mode in [Mode::Production, Mode::Development, Mode::Raw, Mode::Up, Mode::Other] {
        for json in [true, false] {
            let line = foreign_line(style(mode, json, false), message);
            let further: Vec<&str> = line.trim_end_matches('\n').lines().skip(1).collect();
            assert!(
                further.iter().all(|line| line.starts_with(['\t', ' '])),
                "{mode:?} {line:?}"
            );
            assert!(!line.contains(['\r', '\x1b']), "{mode:?} {line:?}");
            assert!(!json || further.is_empty(), "{line:?}");
        }
    }
    let mut raw = Encoder::new(Vec::new(), style(Mode::Raw, false, false), "app");
    raw.head(Level::Error, UNIX_EPOCH + TIME, "app");
    raw.foreign_message("{\"order\": 7}");
    assert_eq!(raw.end("\n"), b"{\"order\": 7}\n");
}
