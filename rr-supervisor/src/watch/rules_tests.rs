#![allow(clippy::unwrap_used)]

use super::*;
use rr_common::config::section::Http;

fn config(services: &[(&str, Watched)]) -> Config {
    let services = services
        .iter()
        .map(|(name, watched)| ((*name).to_owned(), watched.clone()));
    Config {
        http: Some(Http::default()),
        reload: Some(Reload {
            services: services.collect(),
            ..Reload::default()
        }),
        ..Config::default()
    }
}

fn watched(recursive: bool) -> Watched {
    Watched {
        recursive,
        dirs: vec!["src".into(), "./a/../one.php".into()],
        ignore: vec!["src/gen".into(), "src/x.php".into()],
        patterns: vec![".tpl".into()],
    }
}

/// As the plugin of RoadRunner 2 did: texts that a name contains, the plugin's own patterns beside the common ones, exact paths left out.
#[test]
fn the_section_is_understood_as_before() {
    let all = subjects(&config(&[("http", watched(true))]), false, Path::new("/p"), |text| {
        panic!("{text}")
    });
    let [subject] = &all[..] else { panic!("{all:?}") };
    for yes in ["src/a.php", "src/deep/er/b.php.dist", "src/v.tpl", "one.php"] {
        assert!(subject.counts(&Path::new("/p").join(yes)), "{yes}");
    }
    for no in [
        "src/a.txt",
        "src/gen/a.php",
        "src/gen/deep/a.php",
        "src/x.php",
        "other/a.php",
        "two.php",
        "src/.a.php.swp",
        "src/a.php~",
    ] {
        assert!(!subject.counts(&Path::new("/p").join(no)), "{no}");
    }
    let flat = subjects(&config(&[("http", watched(false))]), false, Path::new("/p"), |_| {});
    assert!(flat[0].counts(Path::new("/p/src/a.php")) && !flat[0].counts(Path::new("/p/src/deep/a.php")));
}

#[test]
fn what_is_of_no_use_is_told() {
    let mut told = Vec::new();
    let empty = config(&[("jobs", watched(true)), ("http", Watched::default())]);
    assert!(subjects(&empty, false, Path::new("/p"), |text| told.push(text)).is_empty());
    subjects(&config(&[]), false, Path::new("/p"), |text| told.push(text));
    assert_eq!(
        told,
        [
            "reload.services.http: no dirs, so nothing is watched",
            "reload.services.jobs: no such plugin is configured",
            "reload: no services are named, so nothing is watched",
        ]
    );
}

#[test]
fn a_project_is_what_its_developer_writes() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    let (project, package) = (base.join("project"), base.join("package"));
    fs::create_dir_all(project.join("vendor/composer")).unwrap();
    fs::create_dir_all(project.join("vendor/acme")).unwrap();
    fs::create_dir(&package).unwrap();
    std::os::unix::fs::symlink(&package, project.join("vendor/acme/package")).unwrap();
    let plain = Config {
        http: Some(Http::default()),
        ..Config::default()
    };
    let all = subjects(&plain, true, &project, |text| panic!("{text}"));
    let [subject] = &all[..] else { panic!("{all:?}") };
    assert_eq!(subject.plugins, ["http"]);
    for yes in [
        "index.php",
        ".env",
        ".env.local",
        "src/Cache/A.php",
        "config/services.yaml",
        "templates/a.html.twig",
        "vendor/composer/autoload_classmap.php",
    ] {
        assert!(subject.counts(&project.join(yes)), "{yes}");
    }
    assert!(subject.counts(&package.join("src/A.php")));
    for no in [
        ".rr.yaml",
        ".git/x.php",
        "src/.hidden/x.php",
        "vendor/acme/other/A.php",
        "vendor/composer/deep/A.php",
        "var/cache/dev/A.php",
        "storage/framework/views/a.php",
        "bootstrap/cache/config.php",
        "node_modules/a.php",
        "assets/node_modules/b/a.php",
        "src/a.js",
        "README.md",
    ] {
        assert!(!subject.counts(&project.join(no)), "{no}");
    }
    assert!(subject.enters(&project) && !subject.enters(&project.join("vendor")));
    // A plugin that the section names is watched as that says, the others by default.
    let all = subjects(&config(&[("http", watched(true))]), true, &project, |text| {
        panic!("{text}")
    });
    assert_eq!(all.len(), 1);
}
