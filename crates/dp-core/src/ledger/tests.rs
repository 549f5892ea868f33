use super::*;
use crate::{DeltaBound, Epsilon, RdpAccountant};

fn step(sigma: f64) -> DpEvent {
    DpEvent::gaussian(sigma).unwrap().sampled(0.01).unwrap()
}

fn delta() -> Delta {
    Delta::new(1e-5).unwrap()
}

fn reasons(ledger: &Ledger) -> Vec<Refusal> {
    match ledger.statement(&RdpAccountant::new(), delta()) {
        Err(Error::NoGuarantee { reasons }) => reasons,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn a_clean_ledger_states_its_epsilon_with_all_circumstances() {
    let unit = UnitOfPrivacy::new("one window of 64 tokens").unwrap();
    let mut ledger = Ledger::new(NeighboringRelation::AddOrRemoveOne, unit);
    ledger.charge(&step(1.0).repeated(1000)).unwrap();
    let statement = ledger.statement(&RdpAccountant::new(), delta()).unwrap();
    assert!(statement.epsilon() < 2.11);
    let text = statement.to_string();
    for part in [
        "at most 2.1",
        "delta 1e-5",
        "add or remove one",
        "one window of 64 tokens",
        "Poisson",
        "1000 x",
        "Renyi",
        "expected batch size",
        "floating-point",
        "hyperparameters",
        "depends on that unit alone",
    ] {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
}

#[test]
fn nothing_released_costs_exactly_nothing() {
    let ledger = Ledger::default();
    let statement = ledger.statement(&RdpAccountant::new(), Delta::new(0.0).unwrap()).unwrap();
    assert!(statement.epsilon() <= 0.0);
    assert!(statement.to_string().contains("nothing"));
}

#[test]
fn each_mark_refuses_the_statement_but_not_the_simulation() {
    let marks = [
        (Mark::SeededNoise, Refusal::SeededNoise),
        (Mark::UnsampledBatches, Refusal::AmplificationWithoutSampling),
        (Mark::DiagnosticsReleased, Refusal::DiagnosticsReleased),
        (Mark::NotValidated, Refusal::NotValidated),
        (Mark::Custom("a reason".to_owned()), Refusal::Custom("a reason".to_owned())),
    ];
    let mut all = Ledger::default();
    all.charge(&step(1.0)).unwrap();
    for (mark, refusal) in marks {
        let mut ledger = Ledger::default();
        ledger.charge(&step(1.0)).unwrap();
        let before = ledger.simulated_epsilon(&RdpAccountant::new(), delta()).unwrap();
        ledger.mark(mark.clone()).unwrap();
        assert_eq!(reasons(&ledger), [refusal]);
        assert_eq!(ledger.simulated_epsilon(&RdpAccountant::new(), delta()).unwrap(), before);
        all.mark(mark).unwrap();
    }
    all.charge(&DpEvent::NonPrivate).unwrap();
    all.charge(&step(0.0)).unwrap();
    assert_eq!(reasons(&all).len(), 7);
}

#[test]
fn missing_noise_and_unprotected_releases_are_refused() {
    let mut ledger = Ledger::default();
    ledger.charge(&DpEvent::NonPrivate).unwrap();
    assert_eq!(reasons(&ledger), [Refusal::NonPrivateEvent]);
    let epsilon = ledger.simulated_epsilon(&RdpAccountant::new(), delta()).unwrap();
    assert!(epsilon.value().is_infinite());

    let gaussian = |sigma| DpEvent::gaussian(sigma).unwrap();
    let joint = DpEvent::Composed(vec![gaussian(1.0), gaussian(0.0)]).sampled(0.1).unwrap();
    let mut ledger = Ledger::default();
    ledger.charge(&joint).unwrap();
    assert_eq!(reasons(&ledger), [Refusal::NoNoise]);

    let mut ledger = Ledger::default();
    ledger.charge(&gaussian(1.0)).unwrap();
    let pure = ledger.statement(&RdpAccountant::new(), Delta::new(0.0).unwrap());
    assert!(
        matches!(pure, Err(Error::NoGuarantee { reasons }) if reasons == [Refusal::InfiniteEpsilon])
    );
}

#[test]
fn an_estimate_is_refused() {
    struct Guess;
    impl Accountant for Guess {
        fn name(&self) -> &'static str {
            "guess"
        }
        fn epsilon(&self, _: &DpEvent, _: Delta) -> Result<EpsilonBound> {
            Ok(EpsilonBound::Estimate(0.1))
        }
        fn delta(&self, _: &DpEvent, _: Epsilon) -> Result<DeltaBound> {
            Ok(DeltaBound::Estimate { ln: -9.0 })
        }
    }
    let mut ledger = Ledger::default();
    ledger.charge(&step(1.0)).unwrap();
    let refused = ledger.statement(&Guess, delta());
    let expected = [Refusal::EstimateOnly { accountant: "guess" }];
    assert!(matches!(refused, Err(Error::NoGuarantee { reasons }) if reasons == expected));
}

#[test]
fn unsampled_batches_may_claim_the_plain_composition() {
    let mut ledger = Ledger::default();
    ledger.charge(&DpEvent::gaussian(20.0).unwrap().repeated(10)).unwrap();
    ledger.mark(Mark::UnsampledBatches).unwrap();
    let statement = ledger.statement(&RdpAccountant::new(), delta()).unwrap();
    assert!(statement.to_string().contains("no credit"));
}

#[test]
fn a_batch_that_no_sampler_drew_must_hold_each_unit_once_and_the_statement_says_so() {
    let once = "once at most";
    let text = |events: &[DpEvent]| {
        let mut ledger = Ledger::default();
        events.iter().for_each(|event| ledger.charge(event).unwrap());
        ledger.statement(&RdpAccountant::new(), delta()).unwrap().to_string()
    };
    let gaussian = || DpEvent::gaussian(20.0).unwrap();
    let laplace = DpEvent::laplace(9.0).unwrap();
    assert!(text(&[gaussian()]).contains(once));
    assert!(text(&[laplace]).contains(once));
    assert!(text(&[step(1.0), gaussian()]).contains(once));
    assert!(text(&[DpEvent::Composed(vec![step(1.0), gaussian().repeated(3)])]).contains(once));
    assert!(!text(&[step(1.0)]).contains(once));
    assert!(!text(&[DpEvent::NoOp]).contains(once));
}

#[test]
fn replace_one_takes_no_credit_for_sampling() {
    let mut ledger = Ledger::new(NeighboringRelation::ReplaceOne, UnitOfPrivacy::default());
    ledger.charge(&step(20.0)).unwrap();
    let mut plain = Ledger::default();
    plain.charge(&DpEvent::gaussian(20.0).unwrap()).unwrap();
    let accountant = RdpAccountant::new();
    assert_eq!(
        ledger.simulated_epsilon(&accountant, delta()).unwrap(),
        plain.simulated_epsilon(&accountant, delta()).unwrap()
    );
    assert!(ledger.statement(&accountant, delta()).unwrap().to_string().contains("replace one"));
}

#[test]
fn a_charge_that_overflows_changes_nothing() {
    let mut ledger = Ledger::default();
    ledger.charge(&step(1.0).repeated(u64::MAX - 1)).unwrap();
    let before = ledger.clone();
    let both = DpEvent::Composed(vec![step(2.0), step(1.0).repeated(2)]);
    assert!(matches!(ledger.charge(&both), Err(Error::CountOverflow { .. })));
    assert_eq!(ledger, before);
}

#[test]
fn a_hundred_thousand_alternating_steps_stay_two_phases() {
    let mut ledger = Ledger::default();
    let (often, seldom) = (step(1.0), step(0.9));
    for t in 0..100_000 {
        ledger.charge(if t % 5 == 0 { &seldom } else { &often }).unwrap();
    }
    assert_eq!(ledger.phases().len(), 2);
    assert_eq!(ledger.n_charges(), 100_000);
    let all_at_once = DpEvent::Composed(vec![often.repeated(80_000), seldom.repeated(20_000)]);
    let accountant = RdpAccountant::new();
    let (a, b) = (
        ledger.simulated_epsilon(&accountant, delta()).unwrap().value(),
        accountant.epsilon(&all_at_once, delta()).unwrap().value(),
    );
    assert!((a - b).abs() <= 1e-12 * a);
}

#[test]
fn a_stored_ledger_is_read_back_and_goes_on() {
    let mut ledger = Ledger::new(NeighboringRelation::ReplaceOne, UnitOfPrivacy::default());
    ledger.charge(&step(1.0).repeated(7)).unwrap();
    for mark in [Mark::SeededNoise, Mark::UnsampledBatches, Mark::DiagnosticsReleased] {
        ledger.mark(mark).unwrap();
    }
    ledger.mark(Mark::NotValidated).unwrap();
    ledger.mark(Mark::Custom("with \"quotes\"\nand lines".to_owned())).unwrap();
    let mut reader = encoding::Reader::default();
    for line in encoding::lines(&ledger) {
        reader.read(&serde_json::from_str(&line.to_string()).unwrap()).unwrap();
    }
    let mut restored = reader.finish().unwrap();
    assert_eq!(restored, ledger);
    restored.charge(&step(1.0)).unwrap();
    ledger.charge(&step(1.0)).unwrap();
    assert_eq!(restored, ledger);
}
