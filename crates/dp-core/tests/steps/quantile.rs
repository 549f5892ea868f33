//! Thresholds that follow a quantile: charged with the gradient, by private counts, under noise that follows them.

use dp_core::{ClipThresholds, PldAccountant, QuantileClip};
use tensor_tree::{StateReader, StateWriter};

use super::*;

const COUNT_NOISE: f64 = 3.0;

fn counting_plan(count_noise: f64) -> PrivacyPlan {
    let builder = builder().noise_multiplier(SIGMA).clip_norm(R).clip_count_noise(count_noise);
    builder.build(&RdpAccountant::new()).unwrap()
}

fn counting(plan: &PrivacyPlan) -> (Run, ClipThresholds) {
    let row = named("linear, positions");
    let run = Run::of(&row, DType::F64, plan, ClipFunction::default());
    let thresholds = ClipThresholds::of(run.step.clipping());
    (run, thresholds)
}

impl Run {
    fn adapt(&mut self, n: u64, thresholds: &mut ClipThresholds, key: StepKey) -> Result<Tree> {
        let parts = Unsampled(vec![self.batch(&samples(n))]);
        let (points, rule) = (ProbePoint::single(&self.params), QuantileClip::default());
        self.step.run_adapting(
            &self.net,
            &points,
            parts,
            &rule,
            thresholds,
            key,
            &SingleProcess,
            &mut self.ledger,
        )
    }
}

#[test]
fn counts_are_charged_with_the_gradient_as_one_event_on_one_sample() {
    let plan = counting_plan(COUNT_NOISE);
    let (mut run, mut thresholds) = counting(&plan);
    for step in 0..3 {
        let key = RunKey::seeded(3, step).next_step();
        let parts = plan.sampler().unwrap().draw(&key).map(|_| vec![run.batch(&samples(5))]);
        let (points, rule) = (ProbePoint::single(&run.params), QuantileClip::default());
        let group = SingleProcess;
        let step = &run.step;
        step.run_adapting(
            &run.net,
            &points,
            parts,
            &rule,
            &mut thresholds,
            key,
            &group,
            &mut run.ledger,
        )
        .unwrap();
    }
    let [phase] = run.ledger.phases() else { panic!("{:?}", run.ledger) };
    assert_eq!((&phase.event, phase.count), (&plan.step_event(), 3));
    let gaussian = |sigma: f64| DpEvent::gaussian(sigma).unwrap();
    let joint = DpEvent::Composed(vec![gaussian(SIGMA), gaussian(COUNT_NOISE)]);
    assert_eq!(phase.event, joint.sampled(plan.sample_rate().get()).unwrap());
    // Precisions add: the joint release costs what one of the combined noise costs.
    let combined = (SIGMA.powi(-2) + COUNT_NOISE.powi(-2)).powf(-0.5);
    let alone = gaussian(combined).sampled(plan.sample_rate().get()).unwrap().repeated(3);
    let accountant = PldAccountant::new();
    let [a, b] = [run.ledger.event(), alone]
        .map(|event| accountant.epsilon(&event, delta()).unwrap().value());
    assert!((a - b).abs() <= 1e-9 * b, "{a} {b}");
}

#[test]
fn a_plan_of_a_target_pays_for_the_counts() {
    let accountant = RdpAccountant::new();
    let with = |counts: Option<f64>| {
        let builder = builder().clip_norm(R).target_epsilon(2.0);
        let builder = counts.map_or(builder.clone(), |sigma| builder.clip_count_noise(sigma));
        builder.build(&accountant).unwrap()
    };
    let (plain, counting) = (with(None), with(Some(8.0)));
    assert!(counting.epsilon().value() <= 2.0);
    let (alone, beside) = (plain.noise_multiplier().get(), counting.noise_multiplier().get());
    // sigma_g = (z^-2 - sigma_b^-2)^(-1/2), as in the paper.
    let expected = (alone.powi(-2) - 8f64.powi(-2)).powf(-0.5);
    assert!((beside / expected - 1.0).abs() < 1e-5, "{beside} {expected}");
}

#[test]
fn thresholds_move_towards_the_quantile_and_the_noise_moves_with_them() {
    // Counts without noise: the direction is that of the norms.
    let plan = counting_plan(0.0);
    let (mut run, mut thresholds) = counting(&plan);
    let norms = {
        let parts = Unsampled(vec![run.batch(&samples(9))]);
        let points = ProbePoint::single(&run.params);
        let mut ledger = plan.ledger();
        let shown = run.step.run_showing_diagnostics(
            &run.net,
            &points,
            parts,
            seeded(0),
            &SingleProcess,
            &mut ledger,
        );
        let mut norms = shown.unwrap().1.clip.norms;
        norms.sort_by(f64::total_cmp);
        norms
    };
    for step in 0..400 {
        run.adapt(9, &mut thresholds, seeded(step)).unwrap();
    }
    // Nine norms: the median is the fifth, around which a threshold goes back and forth by exp(0.2 (5 - 4.5) / B).
    let back_and_forth = (0.2 * 0.5 / B).exp() * (1.0 + 1e-12);
    let [threshold] = thresholds.thresholds() else { panic!("{thresholds:?}") };
    let ratio = threshold / norms[4];
    assert!(1.0 / back_and_forth <= ratio && ratio <= back_and_forth, "{threshold} {norms:?}");
    assert!(run.ledger.statement(&RdpAccountant::new(), delta()).is_err(), "counts had no noise");

    // The release of an empty batch is noise of the present threshold.
    let plan = counting_plan(COUNT_NOISE);
    let (mut run, mut thresholds) = counting(&plan);
    let mut ratios = Vec::new();
    for step in 0..200 {
        let before = thresholds.thresholds()[0];
        let noise = run.adapt(0, &mut thresholds, seeded(step)).unwrap();
        ratios.extend(values(&noise).iter().map(|x| x / (SIGMA * before / B)));
    }
    let n = ratios.len() as f64;
    let variance = ratios.iter().map(|x| x * x).sum::<f64>() / n;
    assert!((variance - 1.0).abs() <= 5.0 * (2.0 / n).sqrt(), "{variance}");
    // Counts of nothing are noise alone, so thresholds wander, by the noise over the expected batch size.
    let expected = 0.2 * COUNT_NOISE * 0.5 / B * 200f64.sqrt();
    let moved = (thresholds.thresholds()[0] / R).ln();
    assert!(moved != 0.0 && moved.abs() < 5.0 * expected, "{moved} {expected}");
}

#[test]
fn without_noise_for_counts_nothing_is_computed_and_thresholds_stay() {
    let (mut run, mut thresholds) = counting(&plan());
    let before = thresholds.clone();
    let got = run.adapt(3, &mut thresholds, private());
    assert!(matches!(got, Err(Error::PlanMissing { .. })), "{got:?}");
    assert_eq!((run.ledger.n_charges(), thresholds), (0, before));
}

#[test]
fn saved_thresholds_are_read_back_and_damaged_ones_refused() {
    let (_, thresholds) = counting(&counting_plan(COUNT_NOISE));
    let mut out = StateWriter::new();
    out.part("clip", &thresholds).unwrap();
    let state = out.finish();
    let read: ClipThresholds = StateReader::new(&state).part("clip").unwrap();
    assert_eq!(read, thresholds);
    let mut out = StateWriter::new();
    out.scope("clip", |out| {
        out.count("groups", 1)?;
        out.number("threshold 0", -1.0)
    })
    .unwrap();
    let state = out.finish();
    assert!(StateReader::new(&state).part::<ClipThresholds>("clip").is_err());
}
