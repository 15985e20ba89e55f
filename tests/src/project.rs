//! A small PHP project to be changed while it is served.

use crate::bin;
use crate::room::Room;
use serde_json::{Value, json};

/// Writes a project whose worker answers what `src/app.php` returns, at first `first`; returns the settings of its server.
pub fn write(room: &Room) -> Value {
    let autoload = bin::repository().join("php/autoload.php");
    let worker = format!(
        "<?php require '{}';\n$text = require __DIR__ . '/src/app.php';
        Rr\\Http\\HttpWorker::fromEnvironment()->serve(fn () => $text);",
        autoload.display()
    );
    let worker = room.write("worker.php", worker);
    save(room, "src/app.php", "return 'first';");
    json!({"server": {"command": ["php", worker]}})
}

/// Saves a PHP file as most editors do: a new file takes the place of the old one.
pub fn save(room: &Room, name: &str, code: &str) {
    let new = room.write(&format!("{name}.new~"), format!("<?php {code}\n"));
    std::fs::rename(new, room.file(name)).unwrap();
}
