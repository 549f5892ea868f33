//! Values of groups from what a step shows.

use hessian_lr::Error;
use hessian_lr::criterion::{Criterion, Fisher, GradientNorm, Group, Influence, Seen};

fn groups() -> Vec<Group> {
    vec![Group { name: "a".into(), size: 3 }, Group { name: "b".into(), size: 1 }]
}

#[test]
fn gradient_norms_add_up_and_fisher_information_is_a_mean_over_samples() {
    let (mut norm, mut fisher) =
        (GradientNorm.init(&groups()).unwrap(), Fisher.init(&groups()).unwrap());
    assert_eq!(Fisher.values(&fisher), [0.0, 0.0]);
    for (squares, samples) in [
        ([1.0, 2.0], vec![vec![1.0, 3.0], vec![2.0, 2.0]]),
        ([0.5, 0.0], vec![vec![5.0], vec![0.5]]),
    ] {
        let seen = Seen::new(&squares).with_samples(&samples);
        GradientNorm.observe(&seen, &mut norm).unwrap();
        Fisher.observe(&seen, &mut fisher).unwrap();
    }
    assert_eq!((GradientNorm.values(&norm), norm.count), (vec![1.5, 2.0], 2));
    assert_eq!((Fisher.values(&fisher), fisher.count), (vec![3.0, 1.5], 3));
}

#[test]
fn numbers_that_would_spoil_all_values_are_refused() {
    let mut memory = GradientNorm.init(&groups()).unwrap();
    for bad in [f64::NAN, f64::INFINITY] {
        let error = GradientNorm.observe(&Seen::new(&[1.0, bad]), &mut memory.clone()).unwrap_err();
        assert!(matches!(error, Error::NonFinite { .. }), "{error}");
    }
    let error = GradientNorm.observe(&Seen::new(&[1.0]), &mut memory).unwrap_err();
    assert!(matches!(error, Error::Length { expected: 2, got: 1, .. }), "{error}");
    let error = Fisher.observe(&Seen::new(&[1.0, 1.0]), &mut memory).unwrap_err();
    assert!(matches!(error, Error::NoSamples { .. }) && error.to_string().contains("fisher"));
    let uneven = [vec![1.0], vec![1.0, 2.0]];
    let error = Fisher.observe(&Seen::new(&[1.0, 1.0]).with_samples(&uneven), &mut memory);
    assert!(matches!(error, Err(Error::Length { .. })));
    // A step without a fit says nothing of influence.
    let mut memory = Influence.init(&groups()).unwrap();
    Influence.observe(&Seen::new(&[1.0, 1.0]), &mut memory).unwrap();
    assert_eq!((memory.count, Influence.values(&memory)), (0, vec![0.0, 0.0]));
}

#[cfg(feature = "tensor")]
#[test]
fn random_values_depend_on_key_name_and_size_alone() {
    use hessian_lr::criterion::Random;
    use tensor_tree::Key;

    let values = |seed: u64, groups: &[Group]| {
        let random = Random(Key::from_seed(seed));
        random.values(&random.init(groups).unwrap())
    };
    let both = values(1, &groups());
    assert!(0.0 < both[0] && both[0] <= 3.0 && 0.0 < both[1] && both[1] <= 1.0);
    assert_eq!(values(1, &groups()), both);
    assert_eq!(values(1, &groups()[1..]), both[1..]);
    assert_ne!(values(2, &groups()), both);
    // Means of many draws are a half.
    let many: Vec<Group> = (0..2000).map(|i| Group { name: format!("g{i}"), size: 2 }).collect();
    let mean = values(3, &many).iter().sum::<f64>() / 2000.0;
    assert!((mean - 1.0).abs() < 0.05, "{mean}");
}
