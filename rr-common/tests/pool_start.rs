//! Starting and stopping pools of real PHP workers.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use rr_common::config::{CommandLine, Dur};
use std::time::{Duration, Instant};

async fn failure(command: &[&str]) -> String {
    let start = Instant::now();
    let command: Vec<String> = command.iter().map(ToString::to_string).collect();
    let error = try_pool(2, |options| options.server.command = CommandLine(command))
        .await
        .unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "it took {:?}: a time-out?",
        start.elapsed()
    );
    error.0
}

#[tokio::test]
async fn a_missing_script_is_said_in_phps_words() {
    let text = failure(&["php", "/no/such/script.php"]).await;
    assert!(
        text.contains("Could not open input file: /no/such/script.php"),
        "{text}"
    );
    assert!(
        text.contains("`php /no/such/script.php`") && text.contains("exit code 1"),
        "{text}"
    );
}

#[tokio::test]
async fn a_missing_program_is_said() {
    let text = failure(&["/no/such/php", "x.php"]).await;
    assert!(
        text.contains("cannot start `/no/such/php x.php`") && text.contains("No such file"),
        "{text}"
    );
}

#[tokio::test]
async fn a_script_that_crashes_shows_its_error() {
    let text = failure(&["php", &script("crash.php")]).await;
    assert!(
        text.contains("exit code 255") && text.contains("Uncaught Error: no database"),
        "{text}"
    );
}

#[tokio::test]
async fn text_on_the_relay_is_shown() {
    let text = failure(&["php", &script("warning.php")]).await;
    assert!(
        text.contains("printed text") && text.contains("Undefined variable $x in app.php"),
        "{text}"
    );
}

#[tokio::test]
async fn a_script_that_is_no_worker_is_given_up_after_allocate_timeout() {
    let change = |options: &mut rr_common::pool::Options| {
        options.server.command = CommandLine(vec!["php".into(), script("silent.php")]);
        options.pool.allocate_timeout = Dur(Duration::from_millis(300));
    };
    let text = try_pool(1, change).await.unwrap_err().0;
    assert!(text.contains("allocate_timeout (300ms)"), "{text}");
}

#[tokio::test]
async fn wrong_settings_are_refused() {
    let text = try_pool(501, |_| ()).await.unwrap_err().0;
    assert!(text.contains("number of workers can't be more than 500"), "{text}");
    let text = try_pool(1, |options| options.server.relay = "tcp:6001".into())
        .await
        .unwrap_err()
        .0;
    assert!(text.contains("server.relay"), "{text}");
    let text = try_pool(1, |options| options.server.user = "nobody-knows".into())
        .await
        .unwrap_err()
        .0;
    assert!(text.contains("server.user"), "{text}");
}

/// CORE: workers learn who runs them, and not what is between us and the supervisor.
#[tokio::test]
async fn workers_get_their_environment() {
    let pool = pool(1, |options| {
        options.rpc = Some("tcp://127.0.0.1:6001".into());
        options.server.env.insert("app_key".into(), "k".into());
        options.env.push(("EXTRA".into(), "e".into()));
    })
    .await;
    for (name, value) in [
        ("RR_MODE", "test"),
        ("RR_RELAY", "pipes"),
        ("RR_RPC", "tcp://127.0.0.1:6001"),
        ("RR_VERSION", rr_common::COMPATIBLE_VERSION),
        ("APP_KEY", "k"),
        ("EXTRA", "e"),
        ("RR_CONTROL", ""),
    ] {
        assert_eq!(text(&pool, &format!("env {name}")).await, value, "{name}");
    }
    stop(&pool).await;
}

#[tokio::test]
async fn socket_relays_work_and_leave_no_file() {
    let dir = tempfile::tempdir().unwrap();
    for relay in [
        "tcp://127.0.0.1:6001".to_owned(),
        format!("unix://{}/rr.sock", dir.path().display()),
    ] {
        let pool = pool(2, |options| options.server.relay = relay.clone()).await;
        let own = text(&pool, "env RR_RELAY").await;
        assert!(
            own != relay && own.split("://").next() == relay.split("://").next(),
            "{own}"
        );
        // Strangers neither get in nor block anybody.
        if let Some(address) = own.strip_prefix("tcp://") {
            let strangers: Vec<_> = (0..50)
                .map(|_| std::net::TcpStream::connect(address).unwrap())
                .collect();
            assert!(exec(&pool, "exit 1").await.is_err());
            eventually("a replacement", || pool.stats().ready == 2).await;
            drop(strangers);
        }
        let size = 3_000_000;
        let body = format!("length {}", "x".repeat(size));
        assert_eq!(text(&pool, &body).await, (size + 7).to_string());
        assert_eq!(exec(&pool, "large 3000000").await.unwrap().body.len(), size);
        stop(&pool).await;
        drop(pool);
        eventually("the socket file is gone", || {
            std::fs::read_dir(dir.path()).unwrap().next().is_none()
        })
        .await;
    }
}

/// A wrapper that does not exec is seen through, and its child dies with it.
#[tokio::test]
async fn a_shell_around_the_worker_leaves_no_orphan() {
    let dir = tempfile::tempdir().unwrap();
    for relay in ["pipes".to_owned(), format!("unix://{}/rr.sock", dir.path().display())] {
        let command = format!("php {}; true", script("worker.php"));
        let change = |options: &mut rr_common::pool::Options| {
            options.server.command = CommandLine(vec!["sh".into(), "-c".into(), command]);
            options.server.relay = relay;
        };
        let pool = pool(1, change).await;
        let (shell, php) = (pool.workers()[0].pid, pid(&pool).await);
        assert_ne!(shell, php);
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(shell as i32), nix::sys::signal::SIGKILL).unwrap();
        eventually("php dies with its shell", || !alive(php)).await;
        // What is sent before the pool has seen it is sent to the dead.
        eventually("another worker", || {
            pool.workers().iter().any(|worker| worker.pid != shell)
        })
        .await;
        let php = pid(&pool).await;
        stop(&pool).await;
        assert!(!alive(php));
    }
}

/// An idle pool stops within milliseconds; nothing is polled. The bound here is generous, since CI asserts no times.
#[tokio::test]
async fn a_stop_finishes_what_runs_and_refuses_the_rest() {
    let pool = pool(2, |_| ()).await;
    let running = tokio::spawn({
        let pool = pool.clone();
        async move { text(&pool, "sleep 300").await }
    });
    eventually("it runs", || pool.stats().running == 1).await;
    let refused = async {
        eventually("the idle worker has gone", || pool.workers().len() < 2).await;
        exec(&pool, "pid").await
    };
    let ((), refused) = tokio::join!(stop(&pool), refused);
    assert!(
        matches!(refused, Err(rr_common::pool::ExecError::Stopped)),
        "{refused:?}"
    );
    assert!(running.await.unwrap().parse::<u32>().is_ok());
}

#[tokio::test]
async fn what_does_not_heed_the_stop_is_killed_at_the_deadline() {
    let pool = pool(2, |options| options.env.push(("IGNORE_STOP".into(), "1".into()))).await;
    let running = tokio::spawn({
        let pool = pool.clone();
        async move { exec(&pool, "sleep 60000").await }
    });
    eventually("it runs", || pool.stats().running == 1).await;
    let pids: Vec<u32> = pool.workers().iter().map(|worker| worker.pid).collect();
    pool.stop(Instant::now() + Duration::from_millis(300)).await;
    assert!(running.await.unwrap().is_err());
    assert!(pids.into_iter().all(|pid| !alive(pid)));
}

/// Only root can change the user: elsewhere the refusal is what is tested.
#[tokio::test]
async fn workers_run_as_the_configured_user() {
    use std::os::unix::fs::PermissionsExt;
    // A place that everybody may read.
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let worker = dir.path().join("worker.php");
    std::fs::copy(script("worker.php"), &worker).unwrap();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    for relay in ["pipes".to_owned(), format!("unix://{}/rr.sock", dir.path().display())] {
        let result = try_pool(1, |options| {
            options.server.command = CommandLine(vec!["php".into(), worker.display().to_string()]);
            options.server.user = "nobody".into();
            options.server.relay = relay;
        })
        .await;
        if nix::unistd::geteuid().is_root() {
            let pool = result.unwrap();
            let expected = format!("{0} {1} {1}", nobody.uid, nobody.gid);
            assert_eq!(text(&pool, "uid").await, expected);
            stop(&pool).await;
        } else {
            let text = result.unwrap_err().0;
            assert!(text.contains("only if the server runs as root"), "{text}");
        }
    }
}
