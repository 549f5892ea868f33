//! Tests of robustness on a made world and a small network: one that knows all of it, one that was never taught the forget set, and one that
//! was made to forget it by a few steps of gradient ascent.

use std::sync::OnceLock;

use candle_core::{DType, Device};
use tape_nn::Builder;
use tape_nn::load::Tokenizer;
use tape_nn::net::{Gpt, GptConfig};
use tensor_tree::{AdamW, Key, Tree};

use super::*;
use crate::Error;
use crate::batch::{Batch, Item};
use crate::exam::Exam;
use crate::made::{PerTask, Settings as Made, World as MadeWorld};
use crate::method::Method;
use crate::prepare::Preparing;
use crate::row::{Join, Kind, Row};
use crate::run::{Ceiling, Checks, Optimizer, Run, Settings, Stop};

/// Of teaching.
const STEPS: u64 = 240;

struct World {
    tokenizer: Tokenizer,
    model: Gpt,
    frozen: Tree,
    exam: Exam,
    target: Tree,
    gold: Tree,
    ascended: Tree,
}

/// Made once for all tests of this file.
fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(World::new)
}

impl World {
    fn new() -> World {
        let documents = PerTask { stories: 0, biographies: 8, public: 0 };
        let made = Made { documents, holdout: documents, ..Made::default() };
        let made = MadeWorld::new(made).unwrap();
        // Birth dates and phone numbers.
        let short = |rows: Vec<Row>| -> Vec<Row> {
            rows.into_iter().filter(|r| r.id.ends_with("qa0") || r.id.ends_with("qa2")).collect()
        };
        let (forget, retain) = (short(made.forget), short(made.retain));
        let texts = forget.iter().chain(&retain).map(|r| Join::Space.text(&r.input, &r.output));
        let texts: Vec<String> = texts.collect();
        let tokenizer = Tokenizer::train(texts.iter().map(String::as_str), 340).unwrap();
        let builder = Builder::init(Key::from_seed(5), DType::F32, &Device::Cpu);
        let config = GptConfig { tied: true, ..GptConfig::new(tokenizer.n_tokens(), 48, 48, 2, 4) };
        let model = Gpt::new(&config, builder.vb()).unwrap();
        let first = builder.into_tree().unwrap();
        let mut exam = Exam::new(forget, retain).unwrap();
        exam.holdout = short(made.holdout);
        exam.questions = made.questions;
        exam.max_new = 14;
        let mut world = World {
            tokenizer,
            model,
            frozen: Tree::new(),
            exam,
            target: first.clone(),
            gold: first.clone(),
            ascended: first.clone(),
        };
        let all = [world.exam.forget.clone(), world.exam.retain.clone()].concat();
        world.target = world.train("retain", &first, &all, 0.005, STEPS);
        world.gold = world.train("retain", &first, &world.exam.retain, 0.005, STEPS);
        world.ascended = world.train("ga", &world.target, &all, 0.001, 6);
        world
    }

    /// Parameters after so many steps on the forget set and these rows.
    fn train(&self, method: &str, params: &Tree, rows: &[Row], rate: f64, steps: u64) -> Tree {
        let (forget, retain) = (self.items(&self.exam.forget), self.items(rows));
        let of = |items: &[Item]| vec![Batch::new(items.to_vec(), &Device::Cpu).unwrap()];
        let checks = Checks { forget: of(&forget), retain: of(&retain) };
        let settings = Settings {
            optimizer: Optimizer::AdamW(AdamW::default()),
            batch: 16,
            micro_batch: 16,
            anchor: crate::feed::Anchor::Retain,
            check_every: steps,
            stop: Stop { forget_ceiling: Ceiling::None, ..Stop::after(steps) },
            ..Settings::new(Method::named(method).unwrap(), rate, steps)
        };
        let run = Run::new(
            (&self.model, &self.frozen),
            (&forget, &retain),
            checks,
            settings,
            &Device::Cpu,
        )
        .unwrap();
        let mut state = run.init(params.clone()).unwrap();
        while run.advance(&mut state).unwrap().is_none() {}
        state.params().clone()
    }

    /// Whole texts, questions with their answers: members are known from their first token on.
    fn items(&self, rows: &[Row]) -> Vec<Item> {
        let whole = |row: &Row| {
            Row::new(&row.id, Kind::Text, "", Join::Space.text(&row.input, &row.output))
        };
        let rows: Vec<Row> = rows.iter().map(whole).collect();
        let subject = self.subject(&self.frozen);
        Preparing::new(subject.encoder(), subject.join).items(&rows).unwrap().items
    }

    fn subject<'a>(&'a self, params: &'a Tree) -> Subject<'a, Gpt> {
        Subject {
            model: &self.model,
            trainable: params,
            frozen: &self.frozen,
            tokenizer: &self.tokenizer,
            join: Join::Space,
            end: self.tokenizer.id("</s>"),
            stops: &[],
            device: &Device::Cpu,
            batch: 16,
        }
    }
}

/// Subjects of the three trainings, and what is done with them.
fn with_models<T>(unlearned: &Tree, f: impl FnOnce(&World, &Models<'_, Gpt>) -> T) -> T {
    let world = world();
    let (gold, target) = (world.subject(&world.gold), world.subject(&world.target));
    let unlearned = world.subject(unlearned);
    f(world, &Models { unlearned: &unlearned, gold: &gold, target: &target })
}

fn quiet(_: &str, _: usize, _: usize) -> bool {
    true
}

fn relearning() -> Relearning {
    Relearning {
        share: 0.25,
        steps: 20,
        every: 2,
        rate: 0.001,
        until: 0.7,
        ..Relearning::default()
    }
}

#[test]
fn what_was_ascended_from_comes_back_sooner_than_gold_learns_it() {
    let relearned = with_models(&world().ascended, |world, models| {
        relearning().run(models, &world.exam.forget, &mut quiet).unwrap()
    });
    let Both { unlearned, gold } = &relearned.curves;
    assert_eq!((relearned.shown.len(), relearned.n_rows), (2, 12));
    assert!(0.95 < relearned.target.knowledge, "{relearned:?}");
    // It had lost a good part of it.
    assert!(unlearned.points[0].knowledge < 0.8 * relearned.target.knowledge, "{relearned:?}");
    let steps: Vec<u64> = unlearned.points.iter().map(|p| p.step).collect();
    assert_eq!(steps, (0..=10).map(|i| 2 * i).collect::<Vec<u64>>());
    // Most of the other documents comes back without being shown; gold cannot know them.
    let reached = relearned.steps();
    assert!(reached.unlearned.is_some_and(|n| n <= 10) && reached.gold.is_none(), "{relearned:?}");
    assert!(0.05 < relearned.gap(), "{} {relearned:?}", relearned.gap());
    let last = |curve: &Curve| curve.points.last().unwrap().loss;
    assert!(last(unlearned) < last(gold), "{relearned:?}");
}

#[test]
fn gold_beside_itself_has_no_gap() {
    let relearned = with_models(&world().gold, |world, models| {
        let settings = Relearning { steps: 4, every: 4, ..relearning() };
        settings.run(models, &world.exam.forget, &mut quiet).unwrap()
    });
    assert_eq!((relearned.gap(), relearned.gain_gap()), (0.0, 0.0));
    assert_eq!(relearned.curves.unlearned, relearned.curves.gold);
}

#[test]
fn a_relearning_that_diverges_is_an_error_and_no_flat_curve() {
    for steps in [1, 10] {
        let refused = with_models(&world().gold, |world, models| {
            let settings = Relearning { steps, every: steps, rate: 1e30, ..relearning() };
            settings.run(models, &world.exam.forget, &mut quiet)
        });
        assert!(matches!(refused, Err(Error::NonFinite { .. })), "{steps}: {refused:?}");
    }
}

#[test]
fn whole_texts_are_attempted_by_nobody() {
    let text = Row::new("text", Kind::Text, "", "Once upon a time.");
    with_models(&world().gold, |world, models| {
        let mixed = [world.exam.forget[0].clone(), text.clone()];
        let attempt = |rows: &[Row]| {
            let key = Key::from_seed(0);
            BestOf::default().run(models.unlearned, rows, 4, key, &mut |_, _| true)
        };
        let ids: Vec<String> = attempt(&mixed).unwrap().rows.into_iter().map(|r| r.id).collect();
        assert_eq!(ids, [mixed[0].id.as_str()]);
        assert!(matches!(attempt(&mixed[1..]), Err(Error::Empty { .. })));
        // In a report that is a test that was not made.
        let exam = Exam { forget: vec![text.clone()], ..world.exam.clone() };
        let settings = Robustness { relearning: None, ..tests() };
        let report = settings.run(&exam, models, Key::from_seed(0), &mut quiet).unwrap();
        assert!(report.attempts.is_none() && report.rounding.is_some());
    });
}

#[test]
fn areas_and_times_are_those_of_the_curve() {
    let curve = |knowledge: &[f64]| Curve {
        points: (0..)
            .zip(knowledge)
            .map(|(i, k)| Point {
                step: if i < 2 { 4 * i } else { 10 },
                loss: 1.0,
                knowledge: *k,
                by_heart: 0.0,
            })
            .collect(),
    };
    let (low, high) = (curve(&[0.2, 0.2, 0.2]), curve(&[0.2, 0.6, 1.0]));
    assert!((low.mean_knowledge() - 0.2).abs() < 1e-15);
    // 4 (.2 + .6) / 2 + 6 (.6 + 1) / 2 over 10.
    assert!((high.mean_knowledge() - 0.64).abs() < 1e-15);
    assert_eq!(
        (high.steps_to(0.5), high.steps_to(0.61), high.steps_to(1.1)),
        (Some(4), Some(10), None)
    );
    assert_eq!(curve(&[0.3]).mean_knowledge(), 0.3);
    let relearned = Relearned {
        shown: Vec::new(),
        n_rows: 1,
        target: high.points[2],
        until: 0.6,
        curves: Both { unlearned: high, gold: low },
    };
    assert_eq!(relearned.steps(), Both { unlearned: Some(4), gold: None });
    assert!((relearned.gap() - 0.44).abs() < 1e-15 && (relearned.gain_gap() - 0.44).abs() < 1e-15);
}

#[test]
fn eight_bits_change_little_and_two_bits_much() {
    let rounding = with_models(&world().target, |world, models| {
        Rounding::run(&world.exam, models.unlearned, &[8, 2], Key::from_seed(0), &mut quiet)
            .unwrap()
    });
    assert!(0.95 < rounding.before.retain.memorized());
    let changes = rounding.changes().unwrap();
    let largest = |k: usize| changes[k].1.iter().map(|d| d.get()).fold(0.0, f64::max);
    assert_eq!((changes[0].0, changes[1].0), (8, 2));
    assert!(10 <= changes[0].1.len());
    assert!(largest(0) < 0.1, "{:?}", changes[0]);
    assert!(0.4 < largest(1), "{:?}", changes[1]);
    let [fine, coarse] = &rounding.copies[..] else { panic!("two copies") };
    assert!(coarse.findings.retain.memorized() < 0.7 * fine.findings.retain.memorized());
}

#[test]
fn more_attempts_find_no_less_and_the_first_do_not_depend_on_them() {
    with_models(&world().ascended, |world, models| {
        let attempts = |n: usize, seed: u64| {
            let (rows, key) = (&world.exam.forget, Key::from_seed(seed));
            let best_of = BestOf { n, temperature: 1.0 };
            best_of.run(models.unlearned, rows, 14, key, &mut |_, _| true).unwrap()
        };
        let (four, two) = (attempts(4, 0), attempts(2, 0));
        assert_eq!((four.n(), two.n()), (4, 2));
        for (four, two) in four.rows.iter().zip(&two.rows) {
            assert_eq!((&four.recalls[..2], &four.exact[..2]), (&two.recalls[..], &two.exact[..]));
            let best = four.recalls.iter().copied().fold(0.0, f64::max);
            let row = world.exam.forget.iter().find(|row| row.id == four.id).unwrap();
            let rouge = crate::metric::rouge::Rouge { stemmer: true };
            assert_eq!(rouge.rouge_l(&row.output, &four.best).recall, best);
        }
        assert_eq!((four.recall(0), four.exact(0)), (0.0, 0.0));
        for n in 0..4 {
            assert!(four.recall(n) <= four.recall(n + 1) && four.exact(n) <= four.exact(n + 1));
        }
        assert_eq!((four.recall(2), four.recall(9)), (two.recall(2), four.recall(4)));
        // Attempts differ from each other, and with the key.
        assert!(four.recall(1) < four.recall(4), "{four:?}");
        assert_ne!(attempts(2, 1), two);
    });
}

#[test]
fn rows_are_asked_in_other_words_of_both_models() {
    let report = with_models(&world().ascended, |world, models| {
        let mut rows = world.exam.forget.clone();
        rows.truncate(4);
        rows[1].paraphrased_inputs.clear();
        let of = |rows: &[Row]| {
            Paraphrases::run(models, rows, Some(14), Key::from_seed(0), &mut quiet).unwrap()
        };
        let none = of(&rows[1..2]);
        assert_eq!((none.without.len(), none.asked), (1, None));
        assert_eq!(of(&rows).without, [rows[1].id.clone()]);
        of(&rows)
    });
    let Both { unlearned, gold } = report.asked.unwrap();
    for asked in [&unlearned, &gold] {
        assert_eq!((asked.plain.rows.len(), asked.reworded.rows.len()), (3, 3));
        for (plain, reworded) in asked.plain.rows.iter().zip(&asked.reworded.rows) {
            assert_eq!(reworded.id, format!("p0:{}", plain.id));
            assert_ne!(plain.input, reworded.input);
            assert!(plain.output == reworded.output && reworded.generation.is_some());
        }
    }
    assert_ne!(unlearned, gold);
}

#[test]
fn members_show_in_the_target_and_gold_beside_itself_leaks_nothing() {
    let of = |unlearned: &Tree| {
        with_models(unlearned, |world, models| {
            let (members, others) = world.exam.documents(Join::Space);
            let documents = (&members[..], &others[..]);
            MembershipTest::default().run(models, documents, &mut quiet).unwrap()
        })
    };
    let target = of(&world().target);
    assert_eq!((target.n_members, target.n_nonmembers), (16, 16));
    assert_eq!(target.attacks.len(), Attack::ALL.len());
    for result in &target.attacks {
        assert!((0.0..=1.0).contains(&result.auc.gold), "{result:?}");
        if result.attack != Attack::LowerCase {
            assert!(0.95 < result.auc.unlearned, "{result:?}");
            assert!(result.leak.is_some_and(|leak| leak < -90.0), "{result:?}");
        }
    }
    let loss = target.of(Attack::Loss).unwrap().auc;
    assert!(loss.gold < 0.9 && loss.gold < loss.unlearned, "{loss:?}");
    let gold = of(&world().gold);
    for result in &gold.attacks {
        assert_eq!(result.auc.unlearned, result.auc.gold, "{result:?}");
        assert_eq!(result.leak, Some(0.0), "{result:?}");
    }
    assert_eq!(gold.of(Attack::Reference).unwrap().auc.gold, 0.5);
    // The loss attack is that of exams.
    let findings = with_models(&world().target, |world, models| {
        let exam = Exam { generate: false, ..world.exam.clone() };
        exam.sit(models.unlearned, Key::from_seed(0), &mut quiet).unwrap()
    });
    let exam = crate::score::sets::loss_auc(&findings.members, &findings.nonmembers).unwrap();
    assert_eq!(exam.value(), loss.unlearned);
}

/// Few steps and rows.
fn tests() -> Robustness {
    Robustness {
        relearning: Some(Relearning { steps: 2, every: 1, ..relearning() }),
        bits: vec![8],
        best_of: Some(BestOf { n: 2, temperature: 1.0 }),
        ..Robustness::default()
    }
}

#[test]
fn a_report_has_every_test_prints_as_a_table_and_comes_back_from_json() {
    let mut told = Vec::new();
    let report = with_models(&world().ascended, |world, models| {
        let mut exam = world.exam.clone();
        exam.forget[0].paraphrased_inputs.clear();
        let mut go_on = |what: &str, done: usize, of: usize| {
            assert!(done <= of, "{what}: {done} of {of}");
            told.push(what.to_owned());
            true
        };
        tests().run(&exam, models, Key::from_seed(0), &mut go_on).unwrap()
    });
    told.dedup();
    for what in [
        "relearning, unlearned",
        "relearning, gold",
        "as it is, forget",
        "8 bits, retain",
        "in other words, gold",
        "best of 2, unlearned",
        "membership",
    ] {
        assert!(told.iter().any(|t| t == what), "{what} in {told:?}");
    }
    let text = report.to_string();
    for part in [
        "| test | unlearned | gold |",
        "steps to 70 % of the target's knowledge",
        "best ROUGE-L recall of 1, of 2 attempts",
        "membership AUC, Min-K %++",
        "PrivLeak, loss",
        "relearn gap",
        "there are none: 1 rows",
        "| weights | as they are | 8 bits |",
        "| retain ROUGE-L recall |",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    // Every line of a table has as many cells as its head.
    for table in text.split("\n\n").filter(|t| t.starts_with('|')) {
        let cells = |line: &str| line.matches('|').count();
        assert!(table.lines().all(|line| cells(line) == cells(table.lines().next().unwrap())));
    }
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn tests_that_are_not_wanted_are_absent() {
    let nothing = Robustness {
        relearning: None,
        bits: Vec::new(),
        paraphrases: false,
        best_of: None,
        membership: Some(MembershipTest::default()),
    };
    let report = with_models(&world().gold, |world, models| {
        let exam = Exam { holdout: Vec::new(), ..world.exam.clone() };
        let stop = &mut |_: &str, _: usize, _: usize| panic!("nothing to tell");
        nothing.run(&exam, models, Key::from_seed(0), stop).unwrap()
    });
    let none = Report {
        relearned: None,
        rounding: None,
        paraphrases: None,
        attempts: None,
        membership: None,
    };
    assert_eq!(report, none);
    assert_eq!(report.to_string(), "| test | unlearned | gold |\n| --- | --- | --- |");
}

#[test]
fn whoever_is_told_may_end_it() {
    with_models(&world().gold, |world, models| {
        for at in ["relearning, gold", "8 bits, forget", "best of 2, unlearned", "membership"] {
            let mut told = |what: &str, done: usize, of: usize| what != at || done == of;
            let ended = tests().run(&world.exam, models, Key::from_seed(0), &mut told);
            let stopped = matches!(ended, Err(Error::Model(tape_nn::Error::Stopped { .. })));
            assert!(stopped, "{at}: {ended:?}");
        }
    });
}

#[test]
fn settings_out_of_range_are_refused_before_anything_is_computed() {
    let fine = tests();
    let relearning = |f: fn(&mut Relearning)| {
        let mut relearning = fine.relearning.clone().unwrap();
        f(&mut relearning);
        Robustness { relearning: Some(relearning), ..fine.clone() }
    };
    with_models(&world().gold, |world, models| {
        for (name, bad) in [
            ("share of documents", relearning(|r| r.share = 0.0)),
            ("share of knowledge", relearning(|r| r.until = f64::NAN)),
            ("steps of relearning", relearning(|r| r.steps = 0)),
            ("steps between looks", relearning(|r| r.every = 0)),
            ("rows of a batch", relearning(|r| r.batch = 0)),
            ("rows of a pass", relearning(|r| r.micro_batch = 0)),
            ("rate", relearning(|r| r.rate = -1.0)),
            ("bits of a weight", Robustness { bits: vec![8, 1], ..fine.clone() }),
            (
                "attempts",
                Robustness { best_of: Some(BestOf { n: 0, temperature: 1.0 }), ..fine.clone() },
            ),
            (
                "temperature",
                Robustness { best_of: Some(BestOf { n: 1, temperature: 0.0 }), ..fine.clone() },
            ),
            (
                "share of tokens",
                Robustness { membership: Some(MembershipTest { share: 1.5 }), ..fine.clone() },
            ),
        ] {
            let told = &mut |_: &str, _: usize, _: usize| panic!("{name} was too late");
            let refused = bad.run(&world.exam, models, Key::from_seed(0), told);
            assert!(
                matches!(&refused, Err(Error::OutOfRange { name: n, .. }) if *n == name),
                "{name}: {refused:?}"
            );
        }
        // A single document cannot be shown and not shown.
        let one: Vec<Row> = world.exam.forget[..2].to_vec();
        let refused = super::Relearning::default().run(models, &one, &mut quiet);
        assert!(matches!(refused, Err(Error::OutOfRange { got: 1.0, .. })), "{refused:?}");
        // Models that do not train the same parameters are not compared.
        let less = models.gold.trainable.partition(|name| name != "wpe.weight").0;
        let gold = Subject { trainable: &less, ..*models.gold };
        let models = Models { gold: &gold, ..*models };
        let refused = super::Relearning::default().run(&models, &world.exam.forget, &mut quiet);
        assert!(matches!(refused, Err(Error::Tree(_))), "{refused:?}");
        let documents = (&[][..], &["x".to_owned()][..]);
        let refused = MembershipTest::default().run(&models, documents, &mut quiet);
        assert!(matches!(refused, Err(Error::Empty { what: "documents to forget" })));
    });
}
