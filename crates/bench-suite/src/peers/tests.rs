//! The protocol against fake workers, written in Python; skipped, with a word, where there is none.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::*;

const PRELUDE: &str = r#"
import json, sys, time
def say(**fields):
    print(json.dumps(fields), flush=True)
def ready(parameters=535818):
    say(ready=True, parameters=parameters, threads=1, rss_before_bytes=1000, versions={"fake": "1"})
def times(n, **more):
    answer = {"cpu_s": [0.5] * n, "wall_s": [1.0] * n, "rss_bytes": 2000, "peak_rss_bytes": 3000}
    say(**{**answer, "parts": {"forward": [0.25] * n}, **more})
"#;

const HONEST: &str = "
ready()
for line in sys.stdin:
    times(json.loads(line)['steps'])
";

fn limits() -> Limits {
    Limits {
        ready: Duration::from_secs(60),
        request: Duration::from_secs(60),
        step: Duration::ZERO,
        end: Duration::from_secs(30),
    }
}

/// A worker that runs `body` after the prelude; None without Python.
fn fake(body: &str, limits: Limits) -> Option<Result<Worker>> {
    let python = ["python3", "python"].into_iter().find(|python| {
        let mut probe = Command::new(python);
        probe.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    });
    let Some(python) = python else {
        eprintln!("skipped: no Python interpreter for the fake worker");
        return None;
    };
    let mut command = Command::new(python);
    command.arg("-c").arg(format!("{PRELUDE}{body}"));
    Some(Worker::from_command(&mut command, &Job::new(Task::Mlp, Peer::OpacusGhost), limits))
}

#[test]
fn an_honest_worker_answers_each_request_and_quits() {
    let Some(worker) = fake(HONEST, limits()) else { return };
    let mut worker = worker.unwrap();
    assert_eq!(worker.ready().versions["fake"], "1");
    assert_eq!(worker.ready().rss_before_bytes, 1000);
    for n in [0, 1, 3] {
        let times = worker.step_times(n).unwrap();
        assert_eq!(times.cpu_s.len(), n);
        assert_eq!(times.peak_rss_bytes, 3000);
        assert_eq!(times.parts["forward"].len(), n);
    }
    let start = Instant::now();
    drop(worker);
    assert!(start.elapsed() < limits().end, "an idle worker quits at the end of its input");
}

#[test]
fn garbage_in_place_of_the_greeting_is_quoted() {
    let Some(worker) = fake("print('Hello, world', flush=True); time.sleep(60)", limits()) else {
        return;
    };
    match worker {
        Err(Error::Answer { got, .. }) => assert_eq!(got, "Hello, world"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_network_of_another_size_is_refused() {
    let Some(worker) = fake("ready(7); time.sleep(60)", limits()) else { return };
    let error = worker.unwrap_err();
    assert!(matches!(error, Error::Answer { .. }), "{error:?}");
    assert!(error.to_string().contains("expected 535818 parameters"), "{error}");
}

#[test]
fn garbage_and_incomplete_times_stop_the_worker() {
    let answers = [
        "print('warning: something', flush=True)",
        "times(1)",
        "times(2, parts={'forward': [0.5]})",
        "times(2, cpu_s=[0.5, -1.0])",
        "times(2, cpu_s=[0.5, float('nan')])",
        "say(cpu_s=[0.5, 0.5])",
        "print('\\x00\\xff' * 1000, flush=True)",
    ];
    for answer in answers {
        let body = format!("ready()\nfor line in sys.stdin:\n    {answer}\n");
        let Some(worker) = fake(&body, limits()) else { return };
        let mut worker = worker.unwrap();
        let error = worker.step_times(2).unwrap_err();
        assert!(matches!(error, Error::Answer { .. }), "{answer}: {error:?}");
        let again = worker.step_times(2).unwrap_err();
        assert!(matches!(again, Error::Stopped { .. }), "{answer}: {again:?}");
    }
}

#[test]
fn a_dead_worker_leaves_its_status_and_last_words() {
    let body = "ready(); sys.stdin.readline(); sys.exit('out of memory, sorry')";
    let Some(worker) = fake(body, limits()) else { return };
    match worker.unwrap().step_times(1) {
        Err(Error::Died { status, stderr, .. }) => {
            assert!(status.contains('1'), "{status}");
            assert_eq!(stderr, "out of memory, sorry");
        }
        other => panic!("{other:?}"),
    }
    // Dead before the greeting, and after it but before the request.
    let Some(worker) = fake("sys.exit('no such module')", limits()) else { return };
    assert!(worker.unwrap_err().to_string().ends_with("it said: no such module"));
    let Some(worker) = fake("ready()", limits()) else { return };
    let mut worker = worker.unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let error = worker.step_times(1).unwrap_err();
    assert!(matches!(error, Error::Died { .. }), "{error:?}");
}

#[test]
fn a_silent_worker_is_stopped_in_time() {
    let body = "ready(); sys.stderr.write('thinking\\n'); sys.stderr.flush(); time.sleep(600)";
    let short = Limits { request: Duration::from_millis(300), ..limits() };
    let Some(worker) = fake(body, short) else { return };
    let mut worker = worker.unwrap();
    let start = Instant::now();
    let error = worker.step_times(1).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    drop(worker);
    assert!(start.elapsed() < Duration::from_secs(30));

    let short = Limits { ready: Duration::from_millis(300), ..limits() };
    let Some(worker) = fake("time.sleep(600)", short) else { return };
    assert!(matches!(worker, Err(Error::Timeout { .. })));
}

#[test]
fn a_busy_worker_does_not_outlive_its_owner() {
    // Ignores the end of its input.
    let short = Limits { end: Duration::from_millis(300), ..limits() };
    let Some(worker) = fake("ready(); time.sleep(600)", short) else { return };
    let start = Instant::now();
    drop(worker.unwrap());
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    let mut command = Command::new("no-such-program-here");
    let job = Job::new(Task::Gpt, Peer::JaxPrivacy);
    let error = Worker::from_command(&mut command, &job, limits()).unwrap_err();
    assert_eq!(error.to_string(), "the worker of jax-privacy could not be started");
}

#[test]
fn medians() {
    let is = |values: &[f64], expected: f64| (median(values) - expected).abs() < 1e-12;
    assert!(is(&[3.0, 1.0, 2.0], 2.0));
    assert!(is(&[4.0, 1.0, 2.0, 3.0], 2.5));
    assert!(median(&[]).is_nan());
}
