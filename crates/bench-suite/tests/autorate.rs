//! Short trainings repeat, stop when they are asked to, and mean the same at other scales.

use std::path::Path;

use bench_suite::Error;
use bench_suite::autorate::{
    Base, Course, Grouped, Kind, Method, Outcome, Perceptron, Subject, Training, train,
};
use bench_suite::data::Places;
use hessian_lr::controller::{Gen, HiDlr, Settings};
use hessian_lr::driver::ProbeData;
use tensor_tree::{Differentiable, Objective, Pass, Reduction};

fn digits(scale: fn(&str) -> f64) -> Perceptron {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Perceptron::digits(&Places::of_workspace(&root), scale).unwrap()
}

fn training(method: Method, steps: u64) -> Training {
    Training { method, steps, batch_size: 128, seed: 3 }
}

fn hidlr(steps: u64) -> Method {
    Method::HiDlr {
        base: Base::AdamW,
        controller: HiDlr::from(Settings::of_steps(steps)),
        probe_data: ProbeData::Next,
        groups: Grouped::Leaves,
    }
}

fn on_threads(digits: &Perceptron, training: &Training, threads: usize) -> Outcome {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| train(digits, training, &|| false)).unwrap()
}

#[test]
fn a_training_repeats_bit_for_bit_on_any_number_of_threads() {
    let digits = digits(|_| 1.0);
    let training = training(hidlr(12), 12);
    let (one, other) = (on_threads(&digits, &training, 1), on_threads(&digits, &training, 2));
    assert_eq!(one.loss.to_bits(), other.loss.to_bits());
    assert_eq!((one.losses, &one.trace), (other.losses, &other.trace));
    assert_eq!((one.trace.rates.len(), one.trace.fits.len()), (12, 3));
    assert_eq!(one.trace.fits[0].decisions.len(), 6);
}

#[test]
fn every_method_takes_its_steps_and_is_kept_as_it_was() {
    let digits = digits(|_| 1.0);
    let mut methods: Vec<Method> =
        Kind::ALL.map(|kind| Method::Rival { kind, rate: None }).to_vec();
    for base in [Base::Sgd, Base::AdamW] {
        methods.extend(Course::ALL.map(|course| Method::Scheduled { base, course, rate: 1e-2 }));
        let controller = Gen::from(Settings::of_steps(8));
        methods.extend(
            [ProbeData::Same, ProbeData::Next, ProbeData::Held].map(|probe_data| Method::Gen {
                base,
                controller: controller.clone(),
                probe_data,
            }),
        );
    }
    for method in methods {
        let outcome = on_threads(&digits, &training(method.clone(), 8), 1);
        assert!(outcome.loss.is_finite() && outcome.losses.len() == 8, "{method:?}");
        let text = serde_json::to_string(&(&method, &outcome)).unwrap();
        let (read, kept): (Method, Outcome) = serde_json::from_str(&text).unwrap();
        assert_eq!((read, kept.loss.to_bits()), (method, outcome.loss.to_bits()));
    }
}

#[test]
fn divergence_is_an_outcome_and_survives_writing() {
    let digits = digits(|_| 1.0);
    let method = Method::Scheduled { base: Base::Sgd, course: Course::Constant, rate: 1e30 };
    let outcome = on_threads(&digits, &training(method, 50), 1);
    assert!(outcome.loss.is_infinite());
    let text = serde_json::to_string(&outcome).unwrap();
    assert!(serde_json::from_str::<Outcome>(&text).unwrap().loss.is_infinite());
}

#[test]
fn a_training_that_is_asked_to_stop_stops() {
    let asked = train(&digits(|_| 1.0), &training(hidlr(50), 50), &|| true);
    assert!(matches!(asked, Err(Error::Interrupted)));
}

#[test]
fn scales_change_parameters_and_gradients_but_not_the_function() {
    let (plain, scaled) =
        (digits(|_| 1.0), digits(|name| if name == "fc2.weight" { 8.0 } else { 1.0 }));
    let (w, v) = (plain.initial(5).unwrap(), scaled.initial(5).unwrap());
    let batch = plain.batch(&[1, 2, 3, 4]).unwrap();
    let of = |digits: &Perceptron, at| {
        digits.objective().value_and_grad(at, &batch, Pass::Eval, Reduction::Mean).unwrap()
    };
    let ((one, g), (other, h)) = (of(&plain, &w), of(&scaled, &v));
    // A power of two: not a bit is lost.
    assert_eq!(one.mean().unwrap().to_bits(), other.mean().unwrap().to_bits());
    let norm =
        |tree: &tensor_tree::Tree| tree.partition(|name| name == "fc2.weight").0.norm().unwrap();
    assert!((norm(&h) - 8.0 * norm(&g)).abs() < 1e-6 * norm(&h));
    assert!((8.0 * norm(&v) - norm(&w)).abs() < 1e-6 * norm(&w));
    let same = scaled.objective().losses(&v, &batch, Pass::Eval).unwrap();
    assert_eq!(same.mean().unwrap().to_bits(), one.mean().unwrap().to_bits());
}
