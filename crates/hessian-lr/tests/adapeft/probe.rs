//! The probe phase on a loss whose values are known.

use approx::assert_relative_eq;
use hessian_lr::Error;
use hessian_lr::adapeft::{Chooser, Findings, Probe, ProbeState};
use hessian_lr::controller::{FirstRate, HiDlr, Merge, Settings, Solve};
use hessian_lr::criterion::{Criterion, Fisher, GradientNorm, Memory, Random, Seen};
use hessian_lr::driver::{AutoRate, Batches, ProbeData};
use tensor_tree::checkpoint::{Header, from_bytes, to_bytes};
use tensor_tree::{
    AdamW, AdamWState, Groups, Key, Pass, Reduction, Sgd, StateReader, StateWriter, Transform, Tree,
};

use super::quadratic::{Quadratic, tensor};

const HOW: (Pass, Reduction) = (Pass::Eval, Reduction::Mean);
const BATCH: [f64; 4] = [0.3, -0.1, -0.4, 0.2];

/// Three leaves, their distances from the minimum, and curvatures.
fn problem() -> (Quadratic, Tree) {
    let quadratic = Quadratic(vec![
        ("body", 2.0, vec![1.0, -1.0, 0.5]),
        ("head", 0.5, vec![6.0]),
        ("still", 3.0, vec![0.0, 0.0]),
    ]);
    let start = Tree::from_leaves([
        ("body", tensor(&[0.0, 0.0, 0.0])),
        ("head", tensor(&[1.0])),
        ("still", tensor(&[0.0, 0.0])),
    ]);
    (quadratic, start.unwrap())
}

fn hidlr(period: u64) -> HiDlr {
    let settings = Settings { period, first_rate: FirstRate::Given(0.05), ..Settings::default() };
    HiDlr { settings, guard: false, ..HiDlr::default() }
}

fn auto<T>(controller: HiDlr, chain: T, params: &Tree) -> AutoRate<HiDlr, T> {
    let groups = Groups::per_leaf(params);
    AutoRate { controller, chain, groups, probe_data: ProbeData::Same }
}

/// All criteria at once, with Adam directions.
fn probe(params: &Tree, steps: u64) -> Probe<AdamW> {
    Probe::new(auto(hidlr(2), AdamW::default(), params), steps)
        .with(GradientNorm)
        .with(Fisher)
        .with(Random(Key::from_seed(4)))
}

fn run<T: Transform>(
    probe: &Probe<T>,
    objective: &Quadratic,
    state: &mut ProbeState<T::State>,
    n: u64,
) {
    let batch = BATCH.to_vec();
    for _ in 0..n {
        let batches = Batches { step: &batch, probe: None };
        probe.step_per_sample(objective, batches, HOW, state).unwrap();
    }
}

fn values(findings: &Findings, criterion: &str) -> Vec<f64> {
    findings.groups.iter().map(|group| group.values[criterion]).collect()
}

#[test]
fn one_fit_finds_what_each_group_can_take_away() {
    let (quadratic, start) = problem();
    for decay in [0.0, 0.7] {
        // Also along directions that are no gradients: decayed leaves.
        let sgd = Sgd { weight_decay: decay };
        let probe = Probe::new(auto(hidlr(1), sgd, &start), 1);
        let mut state = probe.init(&start).unwrap();
        let batch = vec![0.0];
        let batches = Batches { step: &batch, probe: None };
        probe.step(&quadratic, batches, HOW, &mut state).unwrap();
        assert!(probe.is_done(&state));
        let findings = probe.findings(&state).unwrap();
        let found = values(&findings, "influence");
        // a |w - c|^2 / 2, all of it, as one direction leads to the minimum of each leaf.
        let want = [2.25, 6.25, 0.0];
        for (found, want) in found.iter().zip(want) {
            assert_relative_eq!(*found, want, max_relative = 1e-9);
        }
        assert_eq!((findings.n_steps, findings.n_fits, findings.n_forwards), (1, 1, 13));
        let body = &findings.groups[0].influence;
        assert_relative_eq!(body.eta().unwrap(), 0.5, max_relative = 1e-9);
        assert_relative_eq!(body.per_parameter, 2.0 * 2.25 / 3.0, max_relative = 1e-9);
        assert_eq!(findings.groups[2].influence.n_rejected(), 1);
        // One or three parameters: the head, then both.
        let chosen = |budget: u64| {
            let choice = findings.choose("influence", &Chooser::within(budget)).unwrap();
            choice.chosen().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(chosen(3), ["head"]);
        assert_eq!(chosen(4), ["body", "head"]);
        assert_eq!(chosen(6), ["body", "head"]);
    }
}

#[test]
fn rivals_are_what_they_say_over_the_path() {
    let (quadratic, start) = problem();
    let probe = probe(&start, 5);
    let mut state = probe.init(&start).unwrap();
    let (mut squares, mut samples) = (vec![0.0; 3], vec![0.0; 3]);
    for _ in 0..5 {
        for (k, (name, a, c)) in quadratic.0.iter().enumerate() {
            let w = state.params().leaf(name).unwrap().to_vec1::<f64>().unwrap();
            let square = |shift: f64| -> f64 {
                w.iter().zip(c).map(|(w, c)| (a * (w - c) + shift).powi(2)).sum()
            };
            squares[k] += square(BATCH.iter().sum::<f64>() / 4.0);
            samples[k] += BATCH.iter().map(|s| square(*s)).sum::<f64>() / 4.0;
        }
        run(&probe, &quadratic, &mut state, 1);
    }
    let findings = probe.findings(&state).unwrap();
    assert_eq!(findings.criteria(), ["fisher", "gradient_norm", "influence", "random"]);
    for k in 0..3 {
        let of = |criterion| values(&findings, criterion)[k];
        assert_relative_eq!(of("gradient_norm"), squares[k], max_relative = 1e-12, epsilon = 1e-20);
        assert_relative_eq!(of("fisher"), samples[k] / 5.0, max_relative = 1e-12);
        assert_eq!(of("influence"), findings.groups[k].influence.value);
    }
    let random = Random(Key::from_seed(4));
    let groups = [("body", 3), ("head", 1), ("still", 2)];
    let groups =
        groups.map(|(name, size)| hessian_lr::criterion::Group { name: name.into(), size });
    assert_eq!(values(&findings, "random"), random.init(&groups).unwrap().numbers);
    assert_eq!((findings.n_steps, findings.n_fits), (5, 2));
}

#[test]
fn the_start_stays_and_a_phase_that_was_saved_goes_on_with_the_same_bits() {
    let (quadratic, start) = problem();
    let probe = probe(&start, 5);
    let bits = |tree: &Tree| -> Vec<u64> {
        tree.iter().flat_map(|(_, t)| t.to_vec1::<f64>().unwrap()).map(f64::to_bits).collect()
    };
    let whole = {
        let mut state = probe.init(&start).unwrap();
        run(&probe, &quadratic, &mut state, 5);
        state
    };
    assert_eq!(bits(whole.start()), bits(&start));
    assert_ne!(bits(whole.params()), bits(&start));
    for stop in 0..=5 {
        let mut state = probe.init(&start).unwrap();
        run(&probe, &quadratic, &mut state, stop);
        let mut out = StateWriter::new();
        out.part("probe", &state).unwrap();
        let header = Header { kind: "test".into(), config: String::new() };
        let bytes = to_bytes(&header, &out.finish()).unwrap();
        let saved = from_bytes(&bytes, &header).unwrap();
        let mut state: ProbeState<AdamWState> = StateReader::new(&saved).part("probe").unwrap();
        assert_eq!(state.n_steps(), stop);
        run(&probe, &quadratic, &mut state, 5 - stop);
        assert_eq!(bits(state.params()), bits(whole.params()), "stopped after {stop}");
        assert_eq!(bits(state.start()), bits(&start));
        assert_eq!(probe.findings(&state).unwrap(), probe.findings(&whole).unwrap());
        assert_eq!(state.influence(), whole.influence());
    }
}

#[test]
fn gradients_of_batches_and_of_samples_take_the_same_steps() {
    let (quadratic, start) = problem();
    let of_batch = Probe::new(auto(hidlr(1), AdamW::default(), &start), 4).with(GradientNorm);
    let batch = BATCH.to_vec();
    let batches = Batches { step: &batch, probe: None };
    for reduction in [Reduction::Mean, Reduction::Sum, Reduction::WeightedMean] {
        let how = (Pass::Eval, reduction);
        let mut one = of_batch.init(&start).unwrap();
        let mut other = one.clone();
        for _ in 0..4 {
            of_batch.step(&quadratic, batches, how, &mut one).unwrap();
            of_batch.step_per_sample(&quadratic, batches, how, &mut other).unwrap();
        }
        let apart = one.params().add_scaled(-1.0, other.params()).unwrap().norm().unwrap();
        assert!(apart < 1e-10, "{apart}");
    }
}

/// The largest magnitude of a group's parameters, from its tensors.
#[derive(Debug)]
struct Largest;

impl Criterion for Largest {
    fn name(&self) -> &'static str {
        "largest"
    }

    fn observe(&self, seen: &Seen<'_>, memory: &mut Memory) -> hessian_lr::Result<()> {
        let trees = seen.trees.ok_or(Error::NoSamples { criterion: "largest".into() })?;
        for (name, leaf) in trees.params.iter() {
            let largest = leaf.abs().and_then(|l| l.max(0)).and_then(|l| l.to_scalar::<f64>());
            let number = &mut memory.numbers[trees.groups.of(name)?];
            *number = number.max(largest.map_err(tensor_tree::Error::from)?);
        }
        Ok(())
    }
}

#[test]
fn a_criterion_of_ones_own_sees_tensors() {
    let (quadratic, start) = problem();
    let probe = Probe::new(auto(hidlr(1), Sgd::default(), &start), 1).with(Largest);
    let mut state = probe.init(&start).unwrap();
    run(&probe, &quadratic, &mut state, 1);
    let findings = probe.findings(&state).unwrap();
    assert_eq!(values(&findings, "largest"), [0.0, 1.0, 0.0]);
    assert_eq!(findings.choose("largest", &Chooser::within(6)).unwrap().chosen().count(), 1);
}

#[test]
fn phases_that_could_value_nothing_are_refused() {
    let (_, start) = problem();
    let reason = |probe: Probe<Sgd>| match probe.init(&start) {
        Err(Error::Probe { reason }) => reason,
        other => panic!("{other:?}"),
    };
    let with = |controller| Probe::new(auto(controller, Sgd::default(), &start), 8);
    let random = HiDlr { solve: Solve::Random { per_group: 4, seed: 1 }, ..hidlr(1) };
    assert!(reason(with(random)).contains("own axis"));
    let merge = HiDlr { merge: Some(Merge { within: 1.1, fits: 2 }), ..hidlr(1) };
    assert!(reason(with(merge)).contains("put together"));
    assert_eq!(reason(with(hidlr(9))), "8 steps have no fit: the first is at step 9");
    assert!(reason(with(hidlr(1)).with(Fisher).with(Fisher)).contains("`fisher`"));
    assert!(reason(Probe { criteria: vec![], ..with(hidlr(1)) }).contains("no criterion"));
}

#[test]
fn steps_that_fail_leave_the_state() {
    let (quadratic, start) = problem();
    let probe = probe(&start, 2);
    let mut state = probe.init(&start).unwrap();
    let batch = BATCH.to_vec();
    let batches = Batches { step: &batch, probe: None };
    let error = probe.step(&quadratic, batches, HOW, &mut state).unwrap_err();
    assert_eq!(
        error.to_string(),
        "values by `fisher` need the gradient of each sample: take steps with `step_per_sample`"
    );
    // A sample that is no number.
    let broken = vec![0.0, f64::NAN];
    let with = Batches { step: &broken, probe: None };
    let error = probe.step_per_sample(&quadratic, with, HOW, &mut state).unwrap_err();
    assert!(matches!(error, Error::NonFinite { .. }), "{error}");
    assert_eq!((state.n_steps(), state.influence().n_fits()), (0, 0));
    run(&probe, &quadratic, &mut state, 2);
    let over = probe.step_per_sample(&quadratic, batches, HOW, &mut state);
    assert!(matches!(over, Err(Error::ProbeOver { steps: 2 })));
    // Other criteria and other groups than the state was begun with.
    let less = Probe::new(auto(hidlr(2), AdamW::default(), &start), 9);
    let error = less.step(&quadratic, batches, HOW, &mut state).unwrap_err();
    assert!(matches!(error, Error::OtherSettings { what: "criteria", .. }), "{error}");
    assert!(less.findings(&state).is_err());
    let mut other = self::probe(&start, 9);
    other.auto.groups = Groups::one(&start);
    let error = other.step_per_sample(&quadratic, batches, HOW, &mut state).unwrap_err();
    assert!(matches!(error, Error::OtherSettings { what: "groups", .. }), "{error}");
    // Groups of other parameters.
    let strange = Tree::from_leaves([("x", tensor(&[1.0]))]).unwrap();
    assert!(matches!(probe.init(&strange), Err(Error::Tensor(_))));
}
