//! Every configuration that the user's pages show is loaded and checked strictly; a fragment gets a version by `-o`.
#![allow(clippy::unwrap_used)]

use rr_common::config::{Findings, LoadOptions, check};
use std::{fs, path::Path};

/// One fenced block: the page, the line, the language and the text.
struct Block {
    place: String,
    language: String,
    text: String,
}

/// The YAML and TOML blocks of a page, without those that a comment `<!-- fragment -->` precedes.
fn blocks(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    let mut before = "";
    for (n, line) in text.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block {
                    place: format!("{}:{}", page.display(), n + 1),
                    language: match before.trim() {
                        "<!-- fragment -->" => String::new(),
                        _ => language.trim().to_owned(),
                    },
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text += line;
                block.text.push('\n');
            }
            (None, None) => {}
        }
        before = line;
    }
    blocks.retain(|block| ["yaml", "toml"].contains(&&*block.language));
    blocks
}

/// Files that an example names need not exist here, and a fragment has no `server` section.
fn excused(message: &str) -> bool {
    message.starts_with("no such ") || message.starts_with("there is no `server.command`")
}

#[test]
fn every_example_loads() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut count = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(docs).unwrap() {
        let page = entry.unwrap().path();
        if page.extension().is_none_or(|e| e != "md") {
            continue;
        }
        for block in blocks(&page) {
            count += 1;
            let dir = tempfile::tempdir().unwrap();
            let file = match block.language.as_str() {
                "toml" => "rr.toml",
                _ => ".rr.yaml",
            };
            fs::write(dir.path().join(file), &block.text).unwrap();
            let version = !block.text.contains("version");
            let options = LoadOptions {
                file: file.into(),
                work_dir: Some(dir.path().into()),
                overrides: version.then(|| "version=3".to_owned()).into_iter().collect(),
                ..LoadOptions::default()
            };
            let findings = check(&options, true, |_| Findings::default());
            for error in findings.errors.iter().filter(|error| !excused(&error.message)) {
                wrong.push(format!("{}: {error}", block.place));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 8, "only {count} examples were found");
}
