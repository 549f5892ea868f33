//! What is trained, and what is refused.

use super::*;

#[test]
fn frozen_parameters_get_nothing_and_change_nothing() {
    let row = named("last layer alone");
    let mut run = Run::of(&row, DType::F64, &plan(), ClipFunction::default());
    let grads = run.run(&samples(4), seeded(0)).unwrap();
    assert_eq!(grads.names().collect::<Vec<_>>(), ["fc2.bias", "fc2.weight"]);
    // Frozen leaves that the network does not even use.
    let more = Tensor::ones((30, 30), DType::F64, &Device::Cpu).unwrap();
    run.net.0.frozen.insert("unused.weight", more).unwrap();
    assert_eq!(bits(&grads), bits(&run.run(&samples(4), seeded(0)).unwrap()));
    // The norms are those of the trained leaves alone: with everything trained they are larger.
    let norms = |run: &Run| {
        let mut ledger = plan().ledger();
        let parts = Unsampled(vec![run.batch(&samples(4))]);
        let points = ProbePoint::single(&run.params);
        let shown = run.step.run_showing_diagnostics(
            &run.net,
            &points,
            parts,
            seeded(0),
            &SingleProcess,
            &mut ledger,
        );
        shown.unwrap().1.clip.norms
    };
    let all = Run::new(DType::F64);
    for (part, whole) in norms(&run).iter().zip(norms(&all)) {
        assert!(*part < 0.999 * whole, "{part} {whole}");
    }
}

#[test]
fn nothing_to_train_is_an_error() {
    let flat = |params: &Tree| {
        let r = ClipNorm::new(R).unwrap();
        Clipping::new(ClipFunction::default(), &ClipStyle::Flat, params, r)
    };
    assert!(matches!(flat(&Tree::new()), Err(Error::NothingToTrain)));
    // A step for other leaves than those given, or for none.
    let mut run = Run::new(DType::F64);
    run.params = Tree::new();
    assert!(run.run(&samples(1), private()).is_err());
    let none: [ProbePoint; 0] = [];
    let batch = Unsampled(run.batch(&samples(1)));
    let got = run.step.run(&run.net, &none, batch, private(), &SingleProcess, &mut run.ledger);
    assert!(matches!(got, Err(Error::NothingToTrain)));
    assert_eq!(run.ledger.n_charges(), 0);
}

#[test]
fn numbers_that_cannot_be_meant_are_refused() {
    let run = Run::new(DType::F64);
    let r = ClipNorm::new(2.0 * R).unwrap();
    let other = Clipping::new(ClipFunction::AutoV, &ClipStyle::Flat, &run.params, r).unwrap();
    assert!(matches!(PrivateStep::new(&plan(), other), Err(Error::InvalidScalar { .. })));
    // Noise that single precision rounds to nothing or to infinity.
    for r in [1e-40, 1e40] {
        let mut run =
            Run::of(&named("linear, positions"), DType::F32, &plan_of(1.0, r), ClipFunction::AutoV);
        assert!(matches!(run.run(&[], private()), Err(Error::InvalidScalar { .. })), "{r}");
    }
    let sampler = plan().sampler().unwrap();
    assert!(format!("{sampler:?}").contains("n_samples: 1000"));
}
