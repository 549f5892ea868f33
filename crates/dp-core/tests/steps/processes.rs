//! Several processes share one noise.

use super::*;

/// A process that compares the key with that of another, and what it was shown.
struct Beside {
    theirs: Option<u64>,
    shown: Cell<Option<u64>>,
}

impl Collective for Beside {
    fn rank(&self) -> usize {
        1
    }
    fn world_size(&self) -> usize {
        2
    }
    fn all_reduce_sum(&self, tree: Tree) -> tensor_tree::Result<Tree> {
        tree.scale(2.0) // the other process has the same samples
    }
    fn agree_on(&self, key: Key) -> tensor_tree::Result<bool> {
        self.shown.set(Some(key.fingerprint()));
        Ok(self.theirs.is_none_or(|theirs| theirs == key.fingerprint()))
    }
}

#[test]
fn processes_agree_on_key_and_settings_and_add_noise_once() {
    let run = |plan: &PrivacyPlan, margin: f64, key: StepKey, theirs: Option<u64>| {
        let row = named("linear, positions");
        let mut run = Run::of(&row, DType::F64, plan, ClipFunction::default());
        let clipping = run.step.clipping().clone().with_margin(margin).unwrap();
        run.step = PrivateStep::new(plan, clipping).unwrap();
        let group = Beside { theirs, shown: Cell::new(None) };
        let points = ProbePoint::single(&run.params);
        let batch = Unsampled(run.batch(&samples(2)));
        let got = run.step.run(&run.net, &points, batch, key, &group, &mut run.ledger);
        (got, group.shown.get(), run.ledger.n_charges())
    };
    let (grads, shown, _) = run(&plan(), 0.0, seeded(0), None);
    assert!(run(&plan(), 0.0, seeded(0), shown).0.is_ok());
    // Twice the samples, the same noise.
    let mut alone =
        Run::of(&named("linear, positions"), DType::F64, &plan(), ClipFunction::default());
    let noise = alone.run(&[], seeded(0)).unwrap();
    let own = alone.run(&samples(2), seeded(0)).unwrap();
    let (two, one) = (difference(&grads.unwrap(), &noise), difference(&own, &noise));
    assert!(two.iter().zip(&one).all(|(two, one)| (two - 2.0 * one).abs() < 1e-14));

    let others = [
        run(&plan(), 0.0, seeded(1), shown),
        run(&plan_of(SIGMA, 2.0 * R), 0.0, seeded(0), shown),
        run(&plan_of(2.0 * SIGMA, R), 0.0, seeded(0), shown),
        run(&plan(), 0.1, seeded(0), shown),
    ];
    for (got, _, n_charges) in others {
        assert!(matches!(got, Err(Error::KeysDiffer)));
        assert_eq!(n_charges, 0);
    }
}
