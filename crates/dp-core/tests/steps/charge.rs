//! The charge comes before the noise, and without a ground there is no claim.

use super::*;

/// An objective that fails, or counts how often it is asked.
struct Failing;

impl Objective for Failing {
    type Batch = Batch;
    fn losses(&self, _: &Tree, _: &Batch, _: Pass) -> tensor_tree::Result<Losses> {
        Err(tensor_tree::Error::EmptyTree { what: "this objective" })
    }
}

impl Differentiable for Failing {
    fn value_and_grad(
        &self,
        _: &Tree,
        _: &Batch,
        _: Pass,
        _: Reduction,
    ) -> tensor_tree::Result<(Losses, Tree)> {
        Err(tensor_tree::Error::EmptyTree { what: "this objective" })
    }
}

impl PerSampleDifferentiable for Failing {
    type PerSample = tape_nn::TapeGrads;
    fn per_sample(
        &self,
        _: &[ProbePoint],
        _: &Batch,
        _: Pass,
    ) -> tensor_tree::Result<(Losses, tape_nn::TapeGrads)> {
        Err(tensor_tree::Error::EmptyTree { what: "this objective" })
    }
}

/// A ledger that can neither be charged nor marked.
#[derive(Default)]
struct Full {
    ledger: Ledger,
    charges: u64,
    marks_work: bool,
}

impl Charge for Full {
    fn charge(&mut self, event: &DpEvent) -> Result<()> {
        self.charges += 1;
        Err(Error::CountOverflow { event: event.to_string() })
    }
    fn mark(&mut self, mark: Mark) -> Result<()> {
        if self.marks_work { Ok(()) } else { Err(Error::CountOverflow { event: mark.to_string() }) }
    }
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

#[test]
fn a_failing_objective_gives_no_gradient() {
    let run = Run::new(DType::F64);
    let mut ledger = plan().ledger();
    let batch = Unsampled(run.batch(&samples(2)));
    let points = ProbePoint::single(&run.params);
    let got = run.step.run(&Failing, &points, batch, private(), &SingleProcess, &mut ledger);
    assert!(matches!(got, Err(Error::Tree(_))));
}

#[test]
fn a_gradient_comes_with_exactly_one_charge_of_the_plans_event() {
    let mut run = Run::new(DType::F64);
    let points = ProbePoint::single(&run.params);
    for n in [0, 1, 5] {
        let key = private();
        let batch = sampled(&key, run.batch(&samples(n)));
        run.step.run(&run.net, &points, batch, key, &SingleProcess, &mut run.ledger).unwrap();
    }
    let [phase] = run.ledger.phases() else { panic!("{:?}", run.ledger) };
    assert_eq!((&phase.event, phase.count), (&plan().step_event(), 3));
    let epsilon = run.ledger.statement(&RdpAccountant::new(), delta()).unwrap().epsilon();
    let want = RdpAccountant::new().epsilon(&plan().step_event().repeated(3), delta()).unwrap();
    assert!((epsilon - want.value()).abs() <= 1e-12 * epsilon);
}

#[test]
fn a_ledger_that_cannot_be_charged_gives_an_error_and_no_gradient() {
    let run = Run::new(DType::F64);
    let points = ProbePoint::single(&run.params);
    for marks_work in [false, true] {
        let mut full = Full { marks_work, ..Full::default() };
        let batch = Unsampled(run.batch(&samples(2)));
        let got = run.step.run(&run.net, &points, batch, seeded(0), &SingleProcess, &mut full);
        assert!(matches!(got, Err(Error::CountOverflow { .. })));
        assert_eq!(full.charges, u64::from(marks_work), "marked first, then charged");
        let parts = Unsampled(vec![run.batch(&samples(2))]);
        let shown = run.step.run_showing_diagnostics(
            &run.net,
            &points,
            parts,
            private(),
            &SingleProcess,
            &mut full,
        );
        assert!(shown.is_err());
    }
}

#[test]
fn an_unsampled_batch_is_charged_without_amplification() {
    let mut run = Run::new(DType::F64);
    run.run(&samples(3), private()).unwrap();
    assert_eq!(run.ledger.phases()[0].event, DpEvent::gaussian(SIGMA).unwrap());
    assert!(!run.ledger.event().claims_amplification());
    let statement = run.ledger.statement(&RdpAccountant::new(), delta()).unwrap();
    let sampled = RdpAccountant::new().epsilon(&plan().step_event(), delta()).unwrap();
    assert!(5.0 * sampled.value() < statement.epsilon());
}

#[test]
fn a_seeded_run_answers_what_if_and_claims_nothing() {
    let one_step = |key: StepKey| {
        let mut run = Run::new(DType::F64);
        let points = ProbePoint::single(&run.params);
        let batch = sampled(&key, run.batch(&samples(2)));
        run.step.run(&run.net, &points, batch, key, &SingleProcess, &mut run.ledger).unwrap();
        run.ledger
    };
    let ledger = one_step(seeded(0));
    assert_eq!(refusals(&ledger), [Refusal::SeededNoise]);
    let simulated = ledger.simulated_epsilon(&RdpAccountant::new(), delta()).unwrap().value();
    assert!(simulated.is_finite() && 0.0 < simulated);
    assert!(one_step(private()).statement(&RdpAccountant::new(), delta()).is_ok());
}

#[test]
fn a_batch_that_was_drawn_with_another_key_is_refused_before_anything_is_computed() {
    let run = Run::new(DType::F64);
    let points = ProbePoint::single(&run.params);
    let mut keys = RunKey::private().unwrap();
    let mut ledger = plan().ledger();
    let (drawn, used) = (keys.next_step(), keys.next_step());
    for (sampling, noise) in
        [(&drawn, used), (&private(), private()), (&seeded(0), private()), (&private(), seeded(0))]
    {
        // An objective that fails if it is asked.
        let batch = sampled(sampling, run.batch(&samples(2)));
        let got = run.step.run(&Failing, &points, batch, noise, &SingleProcess, &mut ledger);
        assert!(matches!(got, Err(Error::BatchOfAnotherStep)), "{got:?}");
    }
    for key in [private(), seeded(1)] {
        let parts = || sampled(&drawn, vec![run.batch(&samples(2))]);
        let shown = run.step.run_showing_diagnostics(
            &run.net,
            &points,
            parts(),
            key,
            &SingleProcess,
            &mut ledger,
        );
        assert!(matches!(shown, Err(Error::BatchOfAnotherStep)));
        let (net, group) = (&run.net, &SingleProcess);
        let got = run.step.run_in_parts(net, &points, parts(), private(), group, &mut ledger);
        assert!(matches!(got, Err(Error::BatchOfAnotherStep)));
    }
    assert_eq!((ledger.n_charges(), ledger.marks().count()), (0, 0));
    // The key that drew it fits.
    let batch = sampled(&drawn, run.batch(&samples(2)));
    run.step.run(&run.net, &points, batch, drawn, &SingleProcess, &mut ledger).unwrap();
    assert_eq!(ledger.n_charges(), 1);
}

#[test]
fn a_step_that_was_not_validated_marks_the_ledger_and_there_is_no_statement() {
    let mut run = Run::new(DType::F64);
    let clipping = run.step.clipping().clone();
    let unseen = PrivateStep::new(&plan(), clipping).unwrap();
    let seen = std::mem::replace(&mut run.step, unseen);
    run.run(&samples(2), private()).unwrap();
    assert_eq!(refusals(&run.ledger), [Refusal::NotValidated]);
    // The mark stays, whatever comes after.
    run.step = seen;
    run.run(&samples(2), private()).unwrap();
    assert_eq!(refusals(&run.ledger), [Refusal::NotValidated]);
    // It comes before the charge: a ledger that cannot be marked is not charged.
    run.step = PrivateStep::new(&plan(), run.step.clipping().clone()).unwrap();
    let mut full = Full::default();
    let batch = Unsampled(run.batch(&samples(2)));
    let points = ProbePoint::single(&run.params);
    let got = run.step.run(&run.net, &points, batch, private(), &SingleProcess, &mut full);
    assert!(got.is_err() && full.charges == 0);
}

#[test]
fn a_proof_of_other_leaves_is_none() {
    let other = Run::of(&named("last layer alone"), DType::F64, &plan(), ClipFunction::default());
    let probe = samples(2);
    let alone = [other.batch(&probe[..1]), other.batch(&probe[1..])];
    let proof = validate(&other.net, &other.params, &other.batch(&probe), &alone).unwrap();
    let mut run = Run::new(DType::F64);
    assert!(!proof.covers(&run.params));
    run.step = run.step.clone().with_validated(proof);
    run.run(&samples(2), private()).unwrap();
    assert_eq!(refusals(&run.ledger), [Refusal::NotValidated]);
}

#[test]
fn diagnostics_are_shown_at_the_price_of_the_statement() {
    let run = Run::new(DType::F64);
    let mut ledger = plan().ledger();
    let points = ProbePoint::single(&run.params);
    let three = samples(3);
    let parts = Unsampled(vec![run.batch(&three[..2]), run.batch(&three[2..])]);
    let (_, shown) = run
        .step
        .run_showing_diagnostics(&run.net, &points, parts, private(), &SingleProcess, &mut ledger)
        .unwrap();
    assert_eq!(refusals(&ledger), [Refusal::DiagnosticsReleased]);
    assert_eq!((shown.losses.len(), shown.clip.norms.len(), shown.clip.factors.len()), (3, 3, 1));
    for (norm, factor) in shown.clip.norms.iter().zip(&shown.clip.factors[0]) {
        assert!((factor - (R / norm).min(1.0)).abs() < 1e-12);
    }
    assert!(shown.losses.iter().all(|l| l.is_finite() && 0.0 < *l));
}

#[test]
fn without_noise_there_is_no_statement() {
    let plan = plan_of(0.0, R);
    let mut run = Run::of(&named("linear, positions"), DType::F64, &plan, ClipFunction::default());
    run.run(&samples(2), private()).unwrap();
    assert_eq!(refusals(&run.ledger), [Refusal::NoNoise]);
    let simulated = run.ledger.simulated_epsilon(&RdpAccountant::new(), delta()).unwrap();
    assert!(simulated.value().is_infinite());
}

#[test]
fn a_ledger_of_another_relation_or_unit_is_refused() {
    let mut run = Run::new(DType::F64);
    run.ledger = Ledger::new(NeighboringRelation::ReplaceOne, UnitOfPrivacy::default());
    let refused = run.run(&samples(1), private());
    assert!(matches!(refused, Err(Error::LedgerOfAnotherPlan { what: "relation", .. })));
    let unit = UnitOfPrivacy::new("one window of text").unwrap();
    run.ledger = Ledger::new(NeighboringRelation::AddOrRemoveOne, unit);
    let refused = run.run(&samples(1), private());
    assert!(matches!(refused, Err(Error::LedgerOfAnotherPlan { what: "unit", .. })));
    assert_eq!(run.ledger.n_charges(), 0);
}
