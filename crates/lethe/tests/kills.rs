//! A run that is stopped or killed leaves whole files or none.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::program::{Place, names, table};

/// The end of a whole file of each kind.
fn is_whole(name: &str, text: &str) -> bool {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("json") => serde_json::from_str::<serde_json::Value>(text).is_ok(),
        Some("svg") => text.trim_end().ends_with("</svg>"),
        Some("html") => text.ends_with("</html>\n"),
        _ => text.ends_with('\n'),
    }
}

#[test]
fn a_killed_run_leaves_whole_files() {
    let place = Place::new();
    place.write("t.csv", table(60, 8));
    // Ever later, until a run ends before it is killed.
    let (mut delay_ms, mut n_killed) = (2.0f64, 0);
    loop {
        let mut child = place
            .command("slope fit t.csv --response y --cv 3 --quiet")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_secs_f64(1e-3 * delay_ms));
        let finished = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        let folder = place.path("t.fit");
        for name in names(&folder).iter().filter(|name| !name.starts_with('.')) {
            let text = std::fs::read_to_string(folder.join(name)).unwrap();
            assert!(is_whole(name, &text), "{name} after a kill at {delay_ms} ms");
        }
        if finished {
            break;
        }
        n_killed += 1;
        delay_ms *= 1.1;
    }
    assert!(0 < n_killed, "no run was killed");
    // A whole run afterwards clears what killed ones left.
    place.runs("slope fit t.csv --response y --cv 3 --quiet");
    assert!(names(&place.path("t.fit")).iter().all(|name| !name.starts_with('.')));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_with_130_and_writes_nothing() {
    let place = Place::new();
    let child = place
        .command("slope tradeoff --delta 0.3 --eps 0.2 --points 5000 --quiet")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "error: stopped before the end; no file was changed\n");
    assert_eq!(place.names(), Vec::<String>::new());
}
