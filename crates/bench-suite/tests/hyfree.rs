//! Private trainings repeat, spend what they may, and read messages.

use std::path::Path;

use bench_suite::Error;
use bench_suite::autorate::Course;
use bench_suite::config::ClipConfig;
use bench_suite::data::Places;
use bench_suite::hyfree::{Base, Messages, Method, Outcome, Rival, Trained, Training, plan, train};
use bench_suite::problem::{ImageProblem, Problem};
use candle_core::{DType, Device};
use tape_nn::Builder;
use tape_nn::net::{Gpt, GptConfig};
use tensor_tree::Key;

fn places() -> Places {
    Places::of_workspace(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
}

fn training(method: Method, steps: u64) -> Training {
    Training {
        method,
        clipping: ClipConfig::Automatic,
        epsilon: 3.0,
        batch_size: 256.0,
        steps,
        seed: 3,
    }
}

fn on_threads<P: Problem + Sync>(problem: &P, training: &Training, threads: usize) -> Outcome {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| train(problem, training, &|| false)).unwrap()
}

fn methods() -> Vec<Method> {
    let mut methods: Vec<Method> = Rival::ALL.map(Method::Rival).to_vec();
    for base in Base::ALL {
        methods.push(Method::Given { base, rate: 1e-2, course: Course::Linear });
        methods.push(Method::paper(base, 1e-4));
        methods.push(Method::evidence(base, None).unwrap());
        methods.push(Method::evidence(base, Some(1e-2)).unwrap());
    }
    methods
}

#[test]
fn every_method_takes_its_steps_spends_its_epsilon_and_is_kept_as_it_was() {
    let problem = ImageProblem::open("digits/mlp", &places()).unwrap();
    for method in methods() {
        let training = training(method.clone(), 11);
        let outcome = on_threads(&problem, &training, 1);
        assert_eq!(outcome.rates.len(), 11);
        assert!(outcome.simulated_epsilon <= 3.0, "{method:?}");
        let is_probed = matches!(method, Method::HyFree { .. });
        assert_eq!(outcome.probes.len(), if is_probed { 3 } else { 0 });
        assert_eq!(outcome.sigma_l.is_some(), is_probed);
        if let Method::HyFree { settings, .. } = &method {
            assert!(outcome.n_losses <= settings.schedule().total(11));
            // All of it, if all losses that are charged count.
            assert!(2.999 < outcome.simulated_epsilon);
        }
        let text = serde_json::to_string(&(&method, &outcome)).unwrap();
        let (read, kept): (Method, Outcome) = serde_json::from_str(&text).unwrap();
        assert_eq!((read, kept.test_loss.to_bits()), (method, outcome.test_loss.to_bits()));
    }
}

#[test]
fn a_training_repeats_bit_for_bit_on_any_number_of_threads() {
    let problem = ImageProblem::open("digits/mlp", &places()).unwrap();
    let training = training(Method::evidence(Base::Adam, None).unwrap(), 7);
    let (one, other) = (on_threads(&problem, &training, 1), on_threads(&problem, &training, 2));
    let bits = |rates: &[f64]| rates.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&one.rates), bits(&other.rates));
    assert_eq!(one.test_loss.to_bits(), other.test_loss.to_bits());
}

#[test]
fn a_training_that_is_asked_to_stop_stops() {
    let problem = ImageProblem::open("digits/mlp", &places()).unwrap();
    for method in methods() {
        let asked = train(&problem, &training(method, 5), &|| true);
        assert!(matches!(asked, Err(Error::Interrupted)));
    }
}

#[test]
fn messages_are_read_with_biases_or_adapters() {
    let config = GptConfig::new(Messages::alphabet().n_tokens(), 24, 16, 1, 2);
    let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
    let model = Gpt::new(&config, builder.vb()).unwrap();
    let params = builder.into_tree().unwrap();
    for (trained, what) in [(Trained::Biases, "bias"), (Trained::Adapters, ".lora_")] {
        let network = (model.clone(), params.clone());
        let problem = Messages::open(&places(), network, 24, trained).unwrap();
        assert_eq!(problem.n_train(), 1200);
        let start = problem.initial(2).unwrap();
        assert!(start.names().all(|name| name.contains(what) || name == "lm_head.weight"));
        let training = Training {
            batch_size: 64.0,
            ..training(Method::evidence(Base::Adam, None).unwrap(), 3)
        };
        let plan = plan(problem.n_train(), problem.unit(), &training).unwrap();
        assert_eq!(plan.losses().unwrap().schedule().total(3), 12);
        let outcome = on_threads(&problem, &training, 1);
        assert!((0.0..=1.0).contains(&outcome.accuracy) && outcome.test_loss.is_finite());
    }
}
