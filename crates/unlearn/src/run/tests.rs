//! Runs on a small network that knows both sets by heart.

use candle_core::{DType, Device};
use tape_nn::Builder;
use tape_nn::net::{Gpt, GptConfig};
use tensor_tree::{AdamW, Checkpoint, Key, Schedule, Sgd, StateReader, StateWriter, Tree};

use super::*;
use crate::Error;
use crate::auto_rate::{gen_raw, gen_searched, gen_smoothed};
use crate::batch::{Batch, Item};
use crate::direction::Direction;
use crate::loss::Reference;
use crate::method::{METHODS, Method, Recipe};
use crate::text::Sample;

const VOCAB: usize = 13;

struct World {
    model: Gpt,
    params: Tree,
    forget: Vec<Item>,
    retain: Vec<Item>,
}

/// Rows of eight tokens of which two name the set.
fn rows(set: u32, n: u32) -> Vec<Item> {
    (0..n)
        .map(|i| {
            let token = |t: u32| (5 * i + 7 * t * (i + 1) + 3 * set * t + set) % VOCAB as u32;
            let refusal = Sample::new(vec![set, i % 13, 1, 1, 1], 2).unwrap();
            let tokens = [vec![set, i % 13], (0..6).map(token).collect()].concat();
            Item { refusal: Some(refusal), ..Item::from(Sample::new(tokens, 2).unwrap()) }
        })
        .collect()
}

fn settings(name: &str, optimizer: Optimizer, rate: f64, steps: u64) -> Settings {
    let method = Method::named(name).unwrap();
    let batch = 6;
    Settings { optimizer, batch, micro_batch: 4, ..Settings::new(method, rate, steps) }
}

fn sgd() -> Optimizer {
    Optimizer::Sgd(Sgd::default())
}

impl World {
    fn new(dtype: DType) -> World {
        let builder = Builder::init(Key::from_seed(3), dtype, &Device::Cpu);
        let config = GptConfig { tied: true, ..GptConfig::new(VOCAB, 8, 16, 1, 2) };
        let model = Gpt::new(&config, builder.vb()).unwrap();
        let params = builder.into_tree().unwrap();
        let (forget, retain) = (rows(0, 6), rows(1, 9));
        let mut world = World { model, params, forget, retain };
        // Learn both: all rows are rows to keep.
        let all: Vec<Item> = world.forget.iter().chain(&world.retain).cloned().collect();
        let settings = Settings {
            batch: 15,
            check_every: 1000,
            ..settings("retain", Optimizer::AdamW(AdamW::default()), 0.02, 120)
        };
        let frozen = Tree::new();
        let checks = checks(&world.forget, &all);
        let run = Run::new(
            (&world.model, &frozen),
            (&world.forget, &all),
            checks,
            settings,
            &Device::Cpu,
        );
        let run = run.unwrap();
        let mut state = run.init(world.params.clone()).unwrap();
        while run.advance(&mut state).unwrap().is_none() {}
        let params = run.outcome(&mut state).unwrap().params;
        world.params = params;
        world
    }

    fn run<'a>(&'a self, frozen: &'a Tree, settings: Settings) -> Run<'a, Gpt> {
        let checks = checks(&self.forget, &self.retain);
        let sets = (&self.forget[..], &self.retain[..]);
        Run::new((&self.model, frozen), sets, checks, settings, &Device::Cpu).unwrap()
    }

    /// Gives the items what a method needs.
    fn filled(mut self, method: &Method) -> World {
        let (frozen, device) = (Tree::new(), Device::Cpu);
        let reference = Reference {
            model: &self.model,
            params: &self.params,
            frozen: &frozen,
            device: &device,
            batch: 4,
            most_bytes: 1 << 20,
        };
        reference.fill(&mut self.forget, method.forget).unwrap();
        reference.fill(&mut self.retain, method.retain).unwrap();
        self
    }
}

fn checks(forget: &[Item], retain: &[Item]) -> Checks {
    let of = |items: &[Item]| vec![Batch::new(items.to_vec(), &Device::Cpu).unwrap()];
    Checks { forget: of(forget), retain: of(retain) }
}

fn to_end<'a>(run: &Run<'a, Gpt>, params: &Tree) -> (State, Ended) {
    let mut state = run.init(params.clone()).unwrap();
    loop {
        if let Some(ended) = run.advance(&mut state).unwrap() {
            return (state, ended);
        }
    }
}

#[test]
fn normalized_differences_under_plain_descent_raise_neither_loss_at_any_step() {
    let world = World::new(DType::F32);
    let frozen = Tree::new();
    let run = world.run(&frozen, settings("ngdiff", sgd(), 0.05, 60));
    let (state, ended) = to_end(&run, &world.params);
    assert_eq!(state.log().len(), state.step() as usize);
    for log in state.log() {
        assert!(0.0 <= log.retain_fall.unwrap() && 0.0 <= log.forget_fall.unwrap(), "{log:?}");
    }
    // It forgot and kept.
    let (first, last) = (state.checks()[0], *state.checks().last().unwrap());
    assert!(first.forget + 0.5 < last.forget, "{ended:?} {first:?} {last:?}");
    assert!(0.8 < last.utility, "{last:?}");
}

#[test]
fn a_blurred_step_lowers_the_forget_loss_by_its_own_gradient_alone() {
    let world = World::new(DType::F32).filled(&Method::named("blur").unwrap());
    let frozen = Tree::new();
    let run = world.run(&frozen, settings("blur", sgd(), 0.02, 30));
    let (state, _) = to_end(&run, &world.params);
    for log in state.log() {
        let [_, f] = log.norms.unwrap();
        let (want, got) = (log.rate * f * f, log.forget_fall.unwrap());
        assert!((got - want).abs() <= 1e-5 * want, "{log:?}");
    }
}

#[test]
fn every_method_runs_and_forgets() {
    let frozen = Tree::new();
    let world = World::new(DType::F32);
    for (name, _) in METHODS {
        let method = Method::named(name).unwrap();
        let world = World {
            model: world.model.clone(),
            params: world.params.clone(),
            forget: world.forget.clone(),
            retain: world.retain.clone(),
        }
        .filled(&method);
        let run = world.run(&frozen, settings(name, Optimizer::default(), 0.01, 30));
        let (mut state, _) = to_end(&run, &world.params);
        let outcome = run.outcome(&mut state).unwrap();
        assert_eq!(outcome.n_skipped, 0, "{name}");
        let first = state.checks()[0];
        if name == "retain" {
            assert!(0.8 < outcome.check.utility, "{:?}", outcome.check);
        } else {
            assert!(first.forget < outcome.check.forget, "{name} {first:?} {:?}", outcome.check);
            assert_eq!(outcome.no_op, None, "{name}");
        }
    }
}

#[test]
fn a_run_resumes_bit_for_bit_from_any_step() {
    let world = World::new(DType::F32);
    let frozen = Tree::new();
    let auto = |gen_| Settings { rate: Rate::Auto(gen_), ..settings("ngdiff", sgd(), 1.0, 24) };
    let warm =
        Rate::Fixed { rate: 0.01, schedule: Schedule::Linear { warmup: 5, total: 24, floor: 0.1 } };
    for settings in [
        settings("rlw", sgd(), 0.01, 24),
        Settings {
            rate: warm,
            max_norm: Some(0.5),
            ..settings("gdiff", Optimizer::default(), 1.0, 24)
        },
        auto(gen_smoothed(0.05)),
        auto(gen_searched()),
    ] {
        let run = world.run(&frozen, Settings { check_every: 5, keep: Keep::Best, ..settings });
        let (mut whole, ended) = to_end(&run, &world.params);
        let want = run.outcome(&mut whole).unwrap();
        let mut state = run.init(world.params.clone()).unwrap();
        loop {
            let mut out = StateWriter::new();
            state.save(&mut out).unwrap();
            let saved = out.finish();
            state = State::load(&mut StateReader::new(&saved)).unwrap();
            if let Some(now) = run.advance(&mut state).unwrap() {
                assert_eq!(now, ended);
                break;
            }
        }
        assert_eq!(state.log(), whole.log());
        assert_eq!(state.checks(), whole.checks());
        let got = run.outcome(&mut state).unwrap();
        assert_eq!(got.params.add_scaled(-1.0, &want.params).unwrap().norm().unwrap(), 0.0);
    }
}

#[test]
fn the_size_of_passes_changes_rounding_alone() {
    let world = World::new(DType::F64);
    let frozen = Tree::new();
    let end = |micro_batch| {
        let settings = Settings { micro_batch, ..settings("ngdiff", sgd(), 0.02, 10) };
        to_end(&world.run(&frozen, settings), &world.params).0.params().clone()
    };
    let (whole, small) = (end(6), end(1));
    let distance = whole.add_scaled(-1.0, &small).unwrap().norm().unwrap();
    assert!(distance < 1e-10 * whole.norm().unwrap(), "{distance}");
}

#[test]
fn runs_end_where_they_are_told_to() {
    let world = World::new(DType::F32);
    let frozen = Tree::new();
    let base = Settings { check_every: 1, ..settings("ga", Optimizer::default(), 0.02, 200) };
    let stop = Stop { forget_ceiling: Ceiling::Nats(2.0), ..base.stop };
    let run = world.run(&frozen, Settings { stop, ..base.clone() });
    let (state, ended) = to_end(&run, &world.params);
    assert!(matches!(ended, Ended::ForgetCeiling { forget } if 2.0 <= forget), "{ended:?}");
    assert!(state.step() < 200);
    // Advancing further changes nothing.
    let mut again = state.clone();
    assert_eq!(run.advance(&mut again).unwrap(), Some(ended));
    assert_eq!(again.step(), state.step());

    let stop = Stop { utility_floor: Some(0.7), forget_ceiling: Ceiling::None, ..base.stop };
    let run = world.run(&frozen, Settings { stop, keep: Keep::Best, ..base.clone() });
    let (mut state, ended) = to_end(&run, &world.params);
    assert!(matches!(ended, Ended::UtilityFloor { utility } if utility < 0.7), "{ended:?}");
    // The best point lies before the fall, also where points below the floor have a better quality.
    let outcome = run.outcome(&mut state).unwrap();
    let above = state.checks().iter().filter(|c| 0.7 <= c.utility);
    let most = above.map(|c| c.quality).fold(0.0, f64::max);
    assert!(0.7 <= outcome.check.utility);
    assert!(state.checks().iter().any(|c| most < c.quality), "the floor decides nothing here");
    assert_eq!(outcome.check.quality, most);
    assert_eq!(state.best().unwrap().step, outcome.check.step);

    // A single ascent that leaves nothing finite: steps are skipped, and the run ends with what it had.
    let method = Method {
        recipe: Recipe::Fixed(Direction::Sum { retain: 1e300, forget: 1e300 }),
        ..Method::named("gdiff").unwrap()
    };
    let run = world.run(&frozen, Settings { method, ..base.clone() });
    let (mut state, ended) = to_end(&run, &world.params);
    assert_eq!(ended, Ended::NonFinite);
    let outcome = run.outcome(&mut state).unwrap();
    assert_eq!((outcome.n_skipped, state.step()), (6, 6));
    assert!(outcome.params.is_finite().unwrap() && outcome.no_op == Some(NoOp::Unchanged));
}

#[test]
fn a_step_behind_which_a_check_is_not_finite_is_not_taken() {
    let world = World::new(DType::F32);
    let frozen = Tree::new();
    let settings = Settings { check_every: 1, ..settings("gdiff", sgd(), 1e30, 20) };
    let run = world.run(&frozen, settings);
    let (mut state, ended) = to_end(&run, &world.params);
    assert_eq!(ended, Ended::NonFinite);
    assert!(state.log().iter().all(|log| log.skipped == Some(Skipped::Check)));
    let outcome = run.outcome(&mut state).unwrap();
    assert_eq!(outcome.no_op, Some(NoOp::Unchanged));
    assert!(outcome.check.retain < 0.1);
}

#[test]
fn a_step_that_went_too_far_is_taken_back_by_the_next() {
    let world = World::new(DType::F32);
    let frozen = Tree::new();
    // No check until the end: only losses of the steps can tell.
    let settings = Settings { check_every: 1000, ..settings("gdiff", sgd(), 1e30, 20) };
    let run = world.run(&frozen, settings);
    let (mut state, ended) = to_end(&run, &world.params);
    assert_eq!(ended, Ended::NonFinite);
    let why: Vec<_> = state.log().iter().map(|log| log.skipped).collect();
    assert_eq!(why[..2], [Some(Skipped::TakenBack), Some(Skipped::Loss)]);
    let outcome = run.outcome(&mut state).unwrap();
    assert_eq!(outcome.n_skipped, state.step());
    assert!(outcome.check.retain.is_finite());
    let moved = outcome.params.add_scaled(-1.0, &world.params).unwrap().norm().unwrap();
    assert_eq!(moved, 0.0);
}

#[test]
fn a_check_that_is_not_finite_leaves_the_step_before_it() {
    let world = World::new(DType::F32);
    let frozen = Tree::new();
    let of = |rate| Settings { check_every: 2, ..settings("gdiff", sgd(), rate, 20) };
    let (good, bad) = (world.run(&frozen, of(1e-3)), world.run(&frozen, of(1e30)));
    let mut state = good.init(world.params.clone()).unwrap();
    good.advance(&mut state).unwrap();
    let first = state.params().clone();
    bad.advance(&mut state).unwrap();
    let why: Vec<_> = state.log().iter().map(|log| log.skipped).collect();
    assert_eq!(why, [None, Some(Skipped::Check)]);
    assert_eq!(state.params().add_scaled(-1.0, &first).unwrap().norm().unwrap(), 0.0);
    assert!(0.0 < first.add_scaled(-1.0, &world.params).unwrap().norm().unwrap());
    assert_eq!(good.outcome(&mut state).unwrap().n_skipped, 1);
    // One is due there all the same.
    assert_eq!(state.checks().last().unwrap().step, 2);
}

#[test]
fn a_run_that_learns_what_it_is_to_forget_is_noticed() {
    let world = World::new(DType::F32);
    let frozen = Tree::new();
    // A sign slip: the forget rows as rows to keep, and the other way round.
    let checks = checks(&world.forget, &world.retain);
    let sets = (&world.retain[..], &world.forget[..]);
    let half = world.params.scale(0.8).unwrap();
    let slipped = settings("gdiff-0.9", Optimizer::default(), 0.01, 20);
    let run = Run::new((&world.model, &frozen), sets, checks, slipped, &Device::Cpu).unwrap();
    let (mut state, _) = to_end(&run, &half);
    let no_op = run.outcome(&mut state).unwrap().no_op;
    assert!(matches!(no_op, Some(NoOp::Learned { change }) if change < 0.0), "{no_op:?}");
}

#[test]
fn learning_knows_no_ceiling() {
    let world = World::new(DType::F32);
    let frozen = Tree::new();
    let learning = Settings { batch: 6, ..Settings::learning(0.01, 8).unwrap() };
    let run = world.run(&frozen, learning);
    // From weights that know nothing: above the loss of a random guess.
    let nothing = world.params.scale(-3.0).unwrap();
    let (state, ended) = to_end(&run, &nothing);
    assert!((VOCAB as f64).ln() < state.checks()[0].forget);
    assert_eq!((ended, state.step()), (Ended::Steps, 8));
    assert!(state.log().iter().all(|log| log.forget.is_none()));
}

#[test]
fn runs_that_do_nothing_are_noticed() {
    let world = World::new(DType::F32);
    let frozen = Tree::new();
    let no_op = |rate: f64, steps: u64| {
        let run = world.run(&frozen, settings("ngdiff", sgd(), rate, steps));
        let (mut state, _) = to_end(&run, &world.params);
        run.outcome(&mut state).unwrap().no_op
    };
    assert_eq!(no_op(1e-12, 5), Some(NoOp::Unchanged));
    let small = no_op(1e-7, 3);
    assert!(matches!(small, Some(NoOp::Rounded { .. } | NoOp::LossUnchanged { .. })), "{small:?}");
    assert!(matches!(no_op(1e-5, 1), Some(NoOp::LossUnchanged { .. })));
    assert_eq!(no_op(0.05, 20), None);
}

#[test]
fn settings_and_sets_that_make_no_run_are_refused() {
    let world = World::new(DType::F32);
    let frozen = Tree::new();
    let new = |sets: (&[Item], &[Item]), settings: Settings| {
        let checks = checks(&world.forget, &world.retain);
        Run::new((&world.model, &frozen), sets, checks, settings, &Device::Cpu).map(|_| ())
    };
    let (f, r) = (&world.forget[..], &world.retain[..]);
    let fine = settings("ngdiff", sgd(), 0.1, 5);
    assert!(new((f, r), fine.clone()).is_ok());
    assert!(matches!(new((&[], r), fine.clone()), Err(Error::Empty { what: "rows to forget" })));
    assert!(matches!(new((f, &[]), fine.clone()), Err(Error::Empty { what: "rows to keep" })));
    for (name, bad) in [
        ("rate", settings("ngdiff", sgd(), f64::NAN, 5)),
        ("steps", settings("ngdiff", sgd(), 0.1, 0)),
        ("rows of a batch", Settings { batch: 0, ..fine.clone() }),
        ("rows of a pass", Settings { micro_batch: 0, ..fine.clone() }),
        (
            "utility floor",
            Settings { stop: Stop { utility_floor: Some(2.0), ..fine.stop }, ..fine.clone() },
        ),
    ] {
        let refused = new((f, r), bad);
        assert!(
            matches!(&refused, Err(Error::OutOfRange { name: n, .. }) if *n == name),
            "{refused:?}"
        );
    }
    // A rate that nothing could find.
    let auto = Rate::Auto(gen_searched());
    for (name, is_refused) in [("kl", true), ("ga", true), ("blur", false)] {
        let refused = new((f, r), Settings { rate: auto.clone(), ..settings(name, sgd(), 1.0, 5) });
        assert_eq!(matches!(refused, Err(Error::AutomaticRate { .. })), is_refused, "{name}");
    }
    // A row of one token, where the first one does not count.
    let short = [Item::from(Sample::new(vec![1, 2], 1).unwrap())];
    assert!(new((&short, r), fine.clone()).is_ok());
    let refused = new((&short, r), settings("ceu", sgd(), 0.1, 5));
    assert!(matches!(refused, Err(Error::Missing { .. })), "{refused:?}");
    // Rows without what the loss needs.
    let run = world.run(&frozen, settings("npo", sgd(), 0.1, 5));
    let mut state = run.init(world.params.clone()).unwrap();
    assert!(matches!(run.advance(&mut state), Err(Error::Missing { .. })));
    assert_eq!(state.step(), 0);
}

#[test]
fn an_automatic_rate_follows_the_curvature_of_what_is_kept() {
    let world = World::new(DType::F32);
    let frozen = Tree::new();
    let rates = |first: f64| {
        let auto =
            Settings { rate: Rate::Auto(gen_raw(first)), ..settings("ngdiff", sgd(), 1.0, 60) };
        let (state, _) = to_end(&world.run(&frozen, auto), &world.params);
        assert!(state.log().iter().any(|l| 0 < l.n_probes));
        state.log().last().unwrap().rate
    };
    // A thousand times apart at the beginning.
    let (low, high) = (rates(1e-4), rates(1e-1));
    assert!(1e-4 < low && low / high < 50.0 && high / low < 50.0, "{low} {high}");
}
