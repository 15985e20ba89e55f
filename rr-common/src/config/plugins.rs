//! What a configuration asks for: which plugin processes, and where they listen.

use super::{Config, custom};

/// A key, and whether a configuration asks for it.
type Asked = (&'static str, fn(&Config) -> bool);

/// Sections and keys that are known and checked, but that nothing in this build serves yet. Whoever brings the part
/// removes its line.
const UNSERVED: &[Asked] = &[
    ("fileserver", |c| c.fileserver.is_some()),
    ("http.http3", |c| {
        c.http.as_ref().is_some_and(|http| http.http3.is_some())
    }),
];

impl Config {
    /// The plugins that this configuration asks for, in the order in which they start: keepers of state, then ingress and
    /// consumers, then the user's own.
    pub fn plugins(&self) -> Vec<String> {
        let bundled = [
            ("kv", self.kv.is_some()),
            ("lock", self.lock.is_some()),
            ("http", self.http.is_some()),
            ("grpc", self.grpc.is_some()),
            ("tcp", self.tcp.is_some()),
            ("centrifuge", self.centrifuge.is_some()),
            ("jobs", self.jobs.is_some()),
            ("temporal", self.temporal.is_some()),
        ];
        let asked = bundled.iter().filter(|(_, asked)| *asked);
        let mut plugins: Vec<String> = asked.map(|(name, _)| (*name).to_owned()).collect();
        for (name, process) in &self.supervisor.plugins {
            if custom::is_custom(name, process) && !plugins.contains(name) {
                plugins.push(name.clone());
            }
        }
        plugins
    }

    /// The addresses on which a plugin listens, as they are written.
    pub fn addresses(&self, plugin: &str) -> Vec<String> {
        let mut all = Vec::new();
        match plugin {
            "http" => {
                if let Some(http) = &self.http {
                    all.extend(http.address.split(',').map(|one| one.trim().to_owned()));
                    let ssl = http.ssl.as_ref().filter(|ssl| ssl.has_key_pair());
                    all.extend(ssl.map(|ssl| ssl.address.clone()));
                    all.extend(http.fcgi.as_ref().map(|fcgi| fcgi.address.clone()));
                }
            }
            "grpc" => all.extend(self.grpc.as_ref().map(|grpc| grpc.listen.clone())),
            "tcp" => {
                let servers = self.tcp.iter().flat_map(|tcp| tcp.servers.values());
                all.extend(servers.map(|server| server.addr.clone()));
            }
            "centrifuge" => all.extend(self.centrifuge.as_ref().map(|c| c.proxy_address.clone())),
            custom => {
                let process = self.supervisor.plugins.get(custom);
                let process = process.filter(|process| !process.command.is_empty());
                all.extend(process.into_iter().flat_map(|process| process.listen.iter().cloned()));
            }
        }
        all.retain(|address| !address.is_empty());
        all
    }

    /// What is configured but not served by this build; each deserves one warning.
    pub fn unserved_sections(&self) -> Vec<&'static str> {
        let asked = UNSERVED.iter().filter(|(_, asked)| asked(self));
        asked.map(|(name, _)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CommandLine;
    use crate::config::section::{Fileserver, Http, PluginProcess, Ssl};

    #[test]
    fn sections_ask_for_processes_and_sockets() {
        let mut config = Config {
            http: Some(Http {
                address: ":8080, unix:///run/x.sock".into(),
                ssl: Some(Ssl::default()),
                ..Http::default()
            }),
            fileserver: Some(Fileserver::default()),
            ..Config::default()
        };
        let own = PluginProcess {
            command: CommandLine::split("./mine"),
            ..PluginProcess::default()
        };
        config.supervisor.plugins.insert("mine".into(), own);
        config
            .supervisor
            .plugins
            .insert("http".into(), PluginProcess::default());
        assert_eq!(config.plugins(), ["http", "mine"]);
        assert_eq!(config.addresses("http"), [":8080", "unix:///run/x.sock"]);
        assert_eq!(config.unserved_sections(), ["fileserver"]);
        if let Some(ssl) = config.http.as_mut().and_then(|http| http.ssl.as_mut()) {
            ssl.key = "k.pem".into();
            ssl.cert = "c.pem".into();
        }
        assert_eq!(
            config.addresses("http").last().map(String::as_str),
            Some("127.0.0.1:443")
        );
    }
}
