//! A private run that is killed: its ledger never counts too little, and no noise comes twice.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use dp_core::{
    Accountant, ClipFunction, ClipStyle, Clipping, LedgerFile, PrivacyPlan, PrivateStep,
    RdpAccountant, RunKey, validate,
};
use tape_nn::{Context, Linear, Param, TapeLoss, Taped};
use tensor_tree::checkpoint::{self, StateReader, StateWriter};
use tensor_tree::{Key, Losses, ProbePoint, Rates, SingleProcess, Tree};

const FOLDER: &str = "DP_CORE_KILL_TEST_FOLDER";
const KILLS: usize = 50;

const WIDTH: usize = 50_000;

/// One output, squared.
struct Square {
    layer: Linear,
    frozen: Tree,
}

impl TapeLoss for Square {
    type Batch = Tensor;
    fn losses(&self, cx: &Context<'_>, x: &Tensor) -> tape_nn::Result<Losses> {
        let sum = self.layer.forward(cx, x)?.squeeze(1)?.sqr()?;
        Ok(Losses { weight: sum.detach().ones_like()?, sum })
    }
    fn frozen(&self) -> &Tree {
        &self.frozen
    }
    fn n_samples(&self, x: &Tensor) -> usize {
        x.dims()[0]
    }
}

fn rows(n: usize) -> Tensor {
    Tensor::zeros((n, WIDTH), DType::F64, &Device::Cpu).unwrap()
}

fn plan() -> PrivacyPlan {
    PrivacyPlan::builder()
        .n_samples(1000)
        .expected_batch_size(10.0)
        .steps(1000)
        .clip_norm(1.0)
        .delta(1e-5)
        .noise_multiplier(1.0)
        .build(&RdpAccountant::new())
        .unwrap()
}

fn ledger(folder: &Path) -> PathBuf {
    folder.join("run.ledger")
}

fn checkpoint(folder: &Path) -> PathBuf {
    folder.join("run.safetensors")
}

fn header() -> checkpoint::Header {
    checkpoint::Header { kind: "kill test".into(), config: String::new() }
}

/// The parameters that were saved last, and after how many steps; none before the first.
fn saved(folder: &Path) -> Option<(u64, Tree)> {
    let path = checkpoint(folder);
    if !path.exists() {
        return None;
    }
    let state = checkpoint::read(&path, &header()).unwrap();
    let mut reader = StateReader::new(&state);
    Some((reader.count("step").unwrap(), reader.tree("params").unwrap()))
}

fn save(folder: &Path, step: u64, params: &Tree) {
    let mut out = StateWriter::new();
    out.count("step", step).unwrap();
    out.tree("params", params).unwrap();
    checkpoint::write(&checkpoint(folder), &header(), &out.finish()).unwrap();
}

fn journal(folder: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(folder.join("journal")).unwrap()
}

/// Not a test by itself: the process that the next test kills. Goes on from the checkpoint, takes steps until it is killed, writes,
/// unbuffered, a line before each and one with the first values of the release after it, and saves the parameters.
#[test]
#[ignore = "heavy: the process that the kill test starts and kills"]
fn steps_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let plan = plan();
    let mut ledger =
        LedgerFile::open_or_create(ledger(&folder), plan.relation(), plan.unit()).unwrap();
    let mut keys = RunKey::private().unwrap();
    let first = || (0, Tree::from_leaves([("weight", rows(1).ones_like().unwrap())]).unwrap());
    let (mut n, mut params) = saved(&folder).unwrap_or_else(first);
    let clipping =
        Clipping::new(ClipFunction::default(), &ClipStyle::Flat, &params, plan.clip_norm());
    let layer = Linear::new(Param::named("weight", &[1, WIDTH]), None);
    let objective = Taped(Square { layer, frozen: Tree::new() });
    let probe = Key::from_seed(1).normal_like(&rows(2)).unwrap();
    let alone = [0, 1].map(|i| probe.narrow(0, i, 1).unwrap());
    let validated = validate(&objective, &params, &probe, &alone).unwrap();
    let step = PrivateStep::new(&plan, clipping.unwrap()).unwrap().with_validated(validated);
    let sampler = plan.sampler().unwrap();
    let mut journal = journal(&folder);
    loop {
        journal.write_all(b"begin\n").unwrap();
        let key = keys.next_step();
        let batch = sampler.draw(&key).map(|_| rows(0));
        let points = ProbePoint::single(&params);
        let grads = step.run(&objective, &points, batch, key, &SingleProcess, &mut ledger).unwrap();
        let leaf = grads.leaf("weight").unwrap();
        let first: Vec<f64> = leaf.squeeze(0).unwrap().narrow(0, 0, 3).unwrap().to_vec1().unwrap();
        let print: String = first.iter().map(|x| format!("{:016x}", x.to_bits())).collect();
        journal.write_all(format!("done {print}\n").as_bytes()).unwrap();
        params = params.descend(&grads, &Rates::uniform(0.1)).unwrap();
        n += 1;
        save(&folder, n, &params);
    }
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::steps_until_killed", "--ignored", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Steps begun, and the releases of those that were done.
fn read_journal(folder: &Path) -> (u64, Vec<String>) {
    let text = std::fs::read_to_string(folder.join("journal")).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let (mut begun, mut prints) = (0, Vec::new());
    for line in whole {
        match line.strip_prefix("done ") {
            Some(print) => prints.push(print.to_owned()),
            None => begun += 1,
        }
    }
    (begun, prints)
}

#[test]
#[ignore = "heavy: kills 50 processes at random moments"]
fn a_private_run_killed_at_random_moments_never_counts_too_little_or_repeats_noise() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (plan, accountant) = (plan(), RdpAccountant::new());
    let mut waits = [0f64; KILLS];
    Key::from_seed(11).fill_uniform(&mut waits);
    let (mut charged_before, mut saved_before, mut n_lost) = (0, 0, 0);
    for (kill, wait) in waits.into_iter().enumerate() {
        let begun_before = read_journal(folder).0;
        let mut child = start(folder);
        // Random moments from the first step on; a run that never takes one fails here.
        for _ in 0..3000 {
            if begun_before < read_journal(folder).0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_secs_f64(0.2 * wait));
        child.kill().unwrap(); // SIGKILL
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));

        let (begun, prints) = read_journal(folder);
        assert!(begun_before < begun, "kill {kill}: no step was begun");
        let recorded = LedgerFile::read(ledger(folder)).unwrap();
        let charged = recorded.n_charges();
        assert!(charged_before <= charged);
        assert!(
            prints.len() as u64 <= charged,
            "kill {kill}: {} releases, {charged} charges",
            prints.len()
        );
        assert!(charged <= begun, "kill {kill}: {charged} charges for {begun} steps");
        let epsilon = recorded.statement(&accountant, plan.delta()).unwrap().epsilon();
        let released = plan.step_event().repeated(prints.len() as u64);
        let spent = accountant.epsilon(&released, plan.delta()).unwrap().value();
        assert!(spent <= epsilon, "kill {kill}: {epsilon} is below {spent}");
        // A checkpoint is the old one or the new one, never half of one, and knows of no step that was not charged.
        let n_saved = saved(folder).map_or(0, |(n, _)| n);
        assert!(saved_before <= n_saved && n_saved <= charged, "kill {kill}: {n_saved} {charged}");
        n_lost += u64::from(n_saved - saved_before < charged - charged_before);
        (charged_before, saved_before) = (charged, n_saved);
    }
    // Some kills came between a charge and its checkpoint: steps that were done again, and charged again.
    assert!(0 < n_lost, "no kill fell within a step");
    let (_, prints) = read_journal(folder);
    let distinct: BTreeSet<&String> = prints.iter().collect();
    assert_eq!(distinct.len(), prints.len(), "noise came twice");
    assert!(KILLS < prints.len(), "only {} steps were done", prints.len());
}
