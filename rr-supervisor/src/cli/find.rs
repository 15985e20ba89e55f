//! Finds the running server: by `rpc.listen` of its configuration, else by its control directory. Nothing else in the
//! configuration matters here, so nothing else is checked: tools call with other files and `-o` options than `serve` had.

use super::{
    Failure, Global,
    rpc::{Client, RpcError},
};
use crate::control_dir;
use rr_common::{
    config::{self, LoadOptions, Loaded},
    listen::Address,
};
use std::path::Path;

/// What is true, and then the reference's text, its line ends included: a server elsewhere, or of another user, is found by its RPC port only.
const NOT_FOUND: &str = "no server of this configuration runs here; to find one elsewhere or of another user: rpc service not specified in the configuration. Tip: add\n rpc:\n listen: rr_rpc_address";

/// Connects to the server that these options mean.
pub(super) fn server(global: &Global) -> Result<Client, Failure> {
    let found = address(global)?;
    connect(&found).or_else(|error| match after_a_change(global) {
        Some(other) if other != found => Ok(connect(&other)?),
        _ => Err(error.into()),
    })
}

/// Connects to the server that is to read its file again. What the file says by now may be where somebody else listens, so the server
/// that runs is asked first.
pub(super) fn server_of_file(global: &Global) -> Result<Client, Failure> {
    let running = after_a_change(global).and_then(|address| connect(&address).ok());
    running.map_or_else(|| server(global), Ok)
}

/// The server of this file that listens elsewhere than the file says by now, or that has not been told of it yet. With options of its
/// own a command may mean one of several servers, and only the one that it names.
fn after_a_change(global: &Global) -> Option<Address> {
    let options = LoadOptions {
        lenient: true,
        ..global.load_options()
    };
    let base = config::load(&options).ok()?.base_dir;
    match &control_dir::of_file(&base.join(global.config.file_name()?))[..] {
        [only] if global.overrides.is_empty() => Some(Address::Unix(only.join(control_dir::RPC_SOCKET))),
        _ => None,
    }
}

/// Where it listens.
pub(super) fn address(global: &Global) -> Result<Address, Failure> {
    let options = LoadOptions {
        lenient: true,
        ..global.load_options()
    };
    let loaded = config::load(&options)?;
    match &loaded.config.rpc {
        Some(rpc) => configured(&rpc.listen, &loaded.base_dir).map_err(Failure),
        None => {
            let socket = control_socket(&loaded, &global.config).map(Address::Unix);
            Ok(socket.or_else(|| after_a_change(global)).ok_or(NOT_FOUND)?)
        }
    }
}

/// Connects there.
pub(super) fn connect(address: &Address) -> Result<Client, RpcError> {
    Client::connect(address)
}

/// An address of the configuration; a relative path starts from where the server runs.
fn configured(listen: &str, base: &Path) -> Result<Address, String> {
    match listen.parse::<Address>() {
        Ok(Address::Unix(path)) => Ok(Address::Unix(base.join(path))),
        Ok(address) => Ok(address),
        Err(error) => Err(format!("rpc.listen: {error}")),
    }
}

/// The RPC socket that a server of this configuration has made in its control directory.
fn control_socket(loaded: &Loaded, file: &Path) -> Option<std::path::PathBuf> {
    let file = loaded.base_dir.join(file.file_name()?);
    let directories = control_dir::candidates(&loaded.config, &file);
    let sockets = directories
        .into_iter()
        .map(|directory| directory.join(control_dir::RPC_SOCKET));
    sockets.into_iter().find(|socket| socket.exists())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_where_the_server_runs() {
        let base = Path::new("/srv/app");
        let read = |text| configured(text, base).map(|address| address.to_string());
        assert_eq!(read("tcp://127.0.0.1:6001").unwrap(), "127.0.0.1:6001");
        assert_eq!(read("unix://var/rr.sock").unwrap(), "unix:///srv/app/var/rr.sock");
        assert_eq!(read("unix:///run/rr.sock?mode=0600").unwrap(), "unix:///run/rr.sock");
        assert!(read("").unwrap_err().starts_with("rpc.listen: "));
    }
}
