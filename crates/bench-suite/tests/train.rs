//! Runs repeat bit for bit: stopped and resumed, killed and resumed, on one thread or several.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bench_suite::config::{ClipConfig, OptimizerConfig, PrivacyConfig, RunConfig};
use bench_suite::data::Places;
use bench_suite::outcome::Outcome;
use bench_suite::problem::{ImageProblem, Problem, Quality};
use bench_suite::session::Session;
use bench_suite::train::train;
use bench_suite::{Error, Result};
use report::interrupt::Interrupt;
use report::progress::Progress;
use tensor_tree::{Objective, Tree};

/// Tells the test binary that it is the child to be killed.
const CHILD: &str = "LETHE_TEST_TRAIN_FOLDER";

fn places() -> Places {
    Places::of_workspace(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
}

fn config(steps: u64, private: bool) -> RunConfig {
    RunConfig {
        problem: "digits/mlp".into(),
        optimizer: OptimizerConfig::Adamw { weight_decay: 0.01 },
        learning_rate: 3e-3,
        batch_size: 150.0,
        steps,
        privacy: private.then_some(PrivacyConfig {
            epsilon: 3.0,
            delta: 1e-4,
            clipping: ClipConfig::Automatic,
        }),
        seed: 11,
        eval_every: 4,
    }
}

fn session(folder: &Path) -> Session {
    let interrupt = Interrupt::default();
    let mut session = Session::new(folder, Progress::off(), interrupt).unwrap();
    session.resume = true;
    session
}

/// Stops the session when a given number of batches has been drawn.
struct StopsAfter<'a> {
    inner: &'a ImageProblem,
    left: AtomicU64,
    interrupt: Interrupt,
}

impl Problem for StopsAfter<'_> {
    type Objective = <ImageProblem as Problem>::Objective;

    fn name(&self) -> &str {
        self.inner.name()
    }
    fn unit(&self) -> &'static str {
        self.inner.unit()
    }
    fn objective(&self) -> &Self::Objective {
        self.inner.objective()
    }
    fn initial(&self, seed: u64) -> Result<Tree> {
        self.inner.initial(seed)
    }
    fn n_train(&self) -> usize {
        self.inner.n_train()
    }
    fn batch(&self, records: &[usize]) -> Result<<Self::Objective as Objective>::Batch> {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.interrupt.set();
        }
        self.inner.batch(records)
    }
    fn evaluate(&self, params: &Tree) -> Result<Quality> {
        self.inner.evaluate(params)
    }
}

/// Everything of an outcome but the time it took.
fn same(a: &Outcome, b: &Outcome) {
    assert_eq!(a.fingerprint, b.fingerprint);
    assert_eq!(a.points, b.points);
    assert_eq!(a.norms, b.norms);
}

#[test]
fn a_run_that_is_stopped_and_resumed_equals_one_that_is_not() {
    let problem = ImageProblem::open("digits/mlp", &places()).unwrap();
    for private in [false, true] {
        let config = config(12, private);
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let whole = train(&problem, &config, &session(one.path())).unwrap();
        let mut n_stops = 0;
        let resumed = loop {
            let session = session(two.path());
            let stops = StopsAfter {
                inner: &problem,
                left: AtomicU64::new(5),
                interrupt: session.interrupt.clone(),
            };
            match train(&stops, &config, &session) {
                Err(Error::Interrupted) => n_stops += 1,
                other => break other.unwrap(),
            }
        };
        assert!(1 < n_stops, "stopped {n_stops} times");
        same(&whole, &resumed);
        let again = train(&problem, &config, &session(two.path())).unwrap();
        assert_eq!(again, resumed, "a finished run is read and not run again");
    }
}

#[test]
fn a_run_does_not_depend_on_the_number_of_threads() {
    for name in ["digits/mlp", "digits/cnn"] {
        let problem = ImageProblem::open(name, &places()).unwrap();
        let config = RunConfig { problem: name.into(), ..config(3, true) };
        let outcomes: Vec<Outcome> = [1, 2, 3]
            .into_iter()
            .map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let folder = tempfile::tempdir().unwrap();
                pool.install(|| train(&problem, &config, &session(folder.path())).unwrap())
            })
            .collect();
        same(&outcomes[0], &outcomes[1]);
        same(&outcomes[0], &outcomes[2]);
    }
}

#[test]
fn a_run_that_diverges_is_stopped_resumed_and_read_like_any_other() {
    let problem = ImageProblem::open("digits/mlp", &places()).unwrap();
    let optimizer = OptimizerConfig::Sgd { momentum: 0.9 };
    let config = RunConfig { learning_rate: 1e30, optimizer, ..config(12, false) };
    let folder = tempfile::tempdir().unwrap();
    let first = session(folder.path());
    let interrupt = first.interrupt.clone();
    let stops = StopsAfter { inner: &problem, left: AtomicU64::new(9), interrupt };
    assert!(matches!(train(&stops, &config, &first), Err(Error::Interrupted)));
    let outcome = train(&problem, &config, &session(folder.path())).unwrap();
    assert!(outcome.points.iter().all(|p| !p.test.loss.is_finite()));
    let again = train(&problem, &config, &session(folder.path())).unwrap();
    assert_eq!(again.fingerprint, outcome.fingerprint);
}

#[test]
fn a_checkpoint_of_another_configuration_is_not_used() {
    let problem = ImageProblem::open("digits/mlp", &places()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path());
    let one = train(&problem, &config(2, true), &session).unwrap();
    let two = train(&problem, &RunConfig { seed: 12, ..config(2, true) }, &session).unwrap();
    assert_ne!(one.fingerprint, two.fingerprint);
    let file = session.path(&format!("runs/{}.json", config(2, true).hash().unwrap()));
    std::fs::write(&file, "{ not an outcome").unwrap();
    assert!(matches!(train(&problem, &config(2, true), &session), Err(Error::Outcome { .. })));
}

/// The child of the next test; does nothing when run as an ordinary test.
#[test]
#[ignore = "heavy: only as the child of the test below"]
fn child_that_trains_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let problem = ImageProblem::open("digits/mlp", &places()).unwrap();
    let mut session = session(Path::new(&folder));
    session.checkpoint_every = Duration::from_millis(10);
    train(&problem, &config(KILLED_STEPS, true), &session).unwrap();
}

/// Steps of the run that is killed: more than twenty children get through before they die.
const KILLED_STEPS: u64 = 3000;

#[test]
#[ignore = "heavy: kills a child twenty times"]
fn a_run_that_is_killed_twenty_times_equals_one_that_is_not() {
    let problem = ImageProblem::open("digits/mlp", &places()).unwrap();
    let config = config(KILLED_STEPS, true);
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let whole = train(&problem, &config, &session(one.path())).unwrap();
    let mut delays = [0f64; 20];
    tensor_tree::Key::from_seed(77).fill_uniform(&mut delays);
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "train::child_that_trains_until_it_is_killed", "--include-ignored"])
            .env(CHILD, two.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let checkpoint =
        session(two.path()).path(&format!("runs/{}.safetensors", config.hash().unwrap()));
    let written = || checkpoint.metadata().and_then(|m| m.modified()).ok();
    let mut n_killed = 0;
    for delay in delays {
        let before = written();
        let mut child = start();
        // Killed at any moment after it has taken steps of its own.
        while written() == before && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_secs_f64(0.05 * delay));
        n_killed += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(checkpoint.exists(), "the run ended before it was killed twenty times");
    }
    assert_eq!(n_killed, 20, "children that were still running");
    assert!(start().wait().unwrap().success());
    let file = session(two.path()).path(&format!("runs/{}.json", config.hash().unwrap()));
    same(&whole, &Outcome::read(&file).unwrap().unwrap());
}
