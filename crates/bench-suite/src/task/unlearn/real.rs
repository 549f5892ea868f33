//! Published language models on rows of TOFU and LUME: taught until they know them, then made to forget.

use report::figures::Better;
use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};
use tape_nn::LoraConfig;
use tape_nn::net::Llama;
use unlearn::trained::Trained;

use super::TASK;
use super::columns::{Column, SHARED, generations};
use crate::data::Places;
use crate::error::{Error, Result};
use crate::forgetting::{
    Base, Kept, Lesson, Outcome, Part, Published, Rates, Shown, Start, Summary, Training, World,
    unlearn,
};
use crate::machine;
use crate::session::{Session, Spread};
use crate::task::jobs::{Jobs, worker};
use crate::task::store::Store;

/// A comparison on a published model.
struct Comparison {
    title: &'static str,
    methods: &'static [&'static str],
    rates: &'static [f64],
    steps: u64,
    checks: u64,
    checked: usize,
    batch: usize,
    micro_batch: usize,
    rank: Option<usize>,
}

const METHODS: [&str; 8] =
    ["ngdiff", "blur", "gdiff", "gdiff-0.9", "npo", "simnpo", "lossnorm", "ga"];

/// The small model, all parameters.
const SMALL: Comparison = Comparison {
    title: "The model of 260 thousand parameters",
    methods: &METHODS,
    rates: &[1e-4, 3e-4, 1e-3],
    steps: 60,
    checks: 15,
    checked: 48,
    batch: 16,
    micro_batch: 4,
    rank: None,
};
const SMALL_TOFU: Part =
    Part { forget: 20, retain: 40, examined: 40, others: 20, most: 160, max_new: 96 };
const SMALL_LUME: Part =
    Part { forget: 4, retain: 6, examined: 6, others: 12, most: 400, max_new: 64 };

/// The large one, with adapters.
const LARGE: Comparison = Comparison {
    title: "SmolLM2 with 135 million parameters",
    methods: &["ngdiff", "gdiff", "npo", "simnpo", "ga", "blur"],
    rates: &[5e-4],
    steps: 24,
    checks: 4,
    checked: 48,
    batch: 8,
    micro_batch: 4,
    rank: Some(16),
};
const LARGE_TOFU: Part =
    Part { forget: 40, retain: 200, examined: 40, others: 15, most: 200, max_new: 64 };
const LARGE_LUME: Part =
    Part { forget: 13, retain: 60, examined: 13, others: 20, most: 256, max_new: 96 };

/// The small model on both sets.
pub(super) fn small(session: &Session) -> Result<Section> {
    let places = Places::discover()?;
    let lesson =
        |steps| Lesson { steps, rate: 2e-3, batch: 16, micro_batch: 4, trained: Trained::Full };
    let mut section = Section::new(SMALL.title);
    if session.wants("small-tofu") {
        let start = Published::stories(&places)?.tofu(&places, &SMALL_TOFU, lesson(300))?;
        section = section.section(compare(session, &SMALL, start)?);
    }
    if session.wants("small-lume") {
        let start = Published::stories(&places)?.lume(&places, &SMALL_LUME, lesson(300))?;
        section = section.section(compare(session, &SMALL, start)?);
    }
    Ok(section)
}

/// The large model on both sets: hours.
pub(super) fn large(session: &Session) -> Result<Section> {
    let places = Places::discover()?;
    let lesson = |steps, batch, rate| Lesson {
        steps,
        rate,
        batch,
        micro_batch: 4,
        trained: Trained::Lora(LoraConfig {
            rank: 32,
            alpha: 64.0,
            ..LoraConfig::for_layers(["*"])
        }),
    };
    let mut section = Section::new(LARGE.title);
    if session.wants("smollm2-tofu") {
        let start =
            Published::smollm2(&places)?.tofu(&places, &LARGE_TOFU, lesson(240, 8, 1.5e-3))?;
        section = section.section(compare(session, &LARGE, start)?);
    }
    if session.wants("smollm2-lume") {
        let start =
            Published::smollm2(&places)?.lume(&places, &LARGE_LUME, lesson(2000, 4, 1e-3))?;
        section = section.section(compare(session, &LARGE, start)?);
    }
    Ok(section)
}

impl Comparison {
    fn training(&self, method: &str, rate: f64) -> Training {
        Training {
            method: method.to_owned(),
            base: Base::AdamW,
            rate,
            rates: Rates::Constant,
            steps: self.steps,
            checks: self.checks,
            checked: self.checked,
            batch: self.batch,
            micro_batch: self.micro_batch,
            to_gold: true,
            rank: self.rank,
            seed: 0,
        }
    }
}

/// Target and gold model.
fn of_both(world: &World<Llama>) -> Result<[Summary; 2]> {
    let of = |found| Summary::of(found, &world.of_gold, world.of_target.accuracy);
    Ok([of(&world.of_target)?, of(&world.of_gold)?])
}

fn said(name: &str, training: &Training, outcome: &Outcome) -> String {
    let Training { method, rate, .. } = training;
    let (far, written) = (significant(outcome.summary.distance, 2), outcome.summary.written());
    let minutes = significant(outcome.wall_s / 60.0, 2);
    format!(
        "{name}: {method} at {rate}: distance {far}, {written}, {} steps in {minutes} min",
        outcome.steps
    )
}

/// What a method came to at its best rate.
struct Best {
    training: Training,
    outcome: Outcome,
    at_end: bool,
}

fn compare(session: &Session, with: &Comparison, start: Start<Llama>) -> Result<Section> {
    machine::forget_peak();
    let mut store: Store<Outcome> = Store::open(session, &format!("{TASK}-{}", start.name))?;
    let folder = session.path("runs/unlearn");
    let stop = || session.interrupt.is_set();
    let (lesson, n_more) = (start.lesson.clone(), start.more.len());
    let task = session.progress.task(format!("{TASK}: {} is taught", start.name), 2);
    let untaught = start.untaught(&stop)?;
    task.advance(1);
    let kept =
        Kept { folder: &folder, commit: &session.commit, resume: session.resume, task: &task };
    let n_long = start.n_long;
    let world = start.taught(&kept, &stop)?;
    let before = Summary::of(&untaught, &world.of_gold, world.of_target.accuracy)?;
    let [of_target, of_gold] = of_both(&world)?;
    session.progress.note(format!(
        "{}: by ROUGE-L recall the target writes {}; the gold model {}",
        world.name,
        of_target.written(),
        of_gold.written(),
    ));
    task.advance(1);
    task.finish();
    let mut trainings = Vec::new();
    for method in with.methods {
        trainings.extend(with.rates.iter().map(|rate| with.training(method, *rate)));
    }
    let key = |training: &Training| serde_json::to_string(training).map_err(|e| worker(&e));
    let keys: Vec<String> = trainings.iter().map(key).collect::<Result<_>>()?;
    let title = format!("{TASK}: {}", world.name);
    let jobs = Jobs { title: &title, keys: &keys, jobs: &trainings };
    let outcomes = jobs.run(session, &mut store, |training, stop| {
        let outcome = unlearn(&world, training, stop)?;
        session.progress.note(said(&world.name, training, &outcome));
        Ok(outcome)
    })?;
    let mut best = Vec::new();
    let of_method = trainings.chunks(with.rates.len()).zip(outcomes.chunks(with.rates.len()));
    for (trainings, outcomes) in of_method {
        let far = |i: &usize| outcomes[*i].summary.distance;
        let nearest = (0..outcomes.len()).min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or(0);
        let at_end = 1 < outcomes.len() && [0, outcomes.len() - 1].contains(&nearest);
        let (training, outcome) = (trainings[nearest].clone(), outcomes[nearest].clone());
        best.push(Best { training, outcome, at_end });
    }
    best.sort_by(|a, b| a.outcome.summary.distance.total_cmp(&b.outcome.summary.distance));
    // Of lessons and runs of earlier calls too.
    let runs_peak = outcomes.iter().map(|outcome| outcome.peak_bytes).max().unwrap_or(0);
    let peak = world.lessons_peak.max(runs_peak).max(machine::peak()) as f64 / 1e9;
    if 0.0 < peak {
        number(session, &format!("{}-peak-memory", world.name), peak, "GB")?;
    }
    record(session, &world, &before, &best)?;
    let chosen = match with.rates {
        [rate] => format!("All methods have the rate {rate}"),
        _ => "Of each method the rate with the least distance from the gold model is shown".into(),
    };
    let trained = match with.rank {
        Some(rank) => format!("adapters of rank {rank} beside all linear maps"),
        None => "all parameters".into(),
    };
    Ok(Section::new(world.name.clone())
        .key_values([
            ("parameters", report::number::count(world.target.n_elements() as u64)),
            ("rows to forget", world.forget.len().to_string()),
            ("rows to keep", format!("{}, of which {n_more} are not examined", world.retain.len())),
            ("lessons", format!("{} steps of {} rows, rate {}", lesson.steps, lesson.batch, lesson.rate)),
            ("documents that are too long and were passed over", n_long.to_string()),
            ("minutes of the lessons, target and gold model side by side", world.lessons_s.map(|s| significant(s / 60.0, 2)).join(", ")),
            ("unlearned with", trained),
            ("optimizer", format!("AdamW, at most {} steps of {} rows of each set", with.steps, with.batch)),
            ("rows of each set in a check", format!("at most {}, drawn once", with.checked)),
            ("most memory of a process at once", format!("{} GB", significant(peak, 3))),
        ])
        .paragraph(format!(
            "One seed; runs side by side, on a core each. {chosen}; runs end where the loss on the checked rows to forget is that of the gold \
             model, which never saw them.",
        ))
        .table(&ranking(&world, &before, &best)?)
        .table(&written(&world, &best)))
}

/// Columns behind the shared ones.
const MORE: [Column; 2] = [("final", |s| s.last), ("log10 forget quality", |s| s.log_quality)];

fn columns() -> impl Iterator<Item = Column> {
    SHARED.into_iter().chain(MORE)
}

fn ranking(world: &World<Llama>, before: &Summary, best: &[Best]) -> Result<Table> {
    let heads = ["method", "rate", "steps"].into_iter().chain(columns().map(|(head, _)| head));
    let heads = heads.chain(["TOFU utility", "minutes"]);
    let mut table = Table::new(heads).with_caption(
        "Final score of SemEval-2025 Task 4 where rows have tasks, with made questions in the place of MMLU; TOFU utility where its sets were examined; losses, and the divergence from what the gold model expects at tokens to forget, in nats for each token; a star marks a rate at an end of those that were tried",
    );
    for column in 1..SHARED.len() + MORE.len() + 5 {
        table = table.align(column, Align::Right);
    }
    let numbers = |summary: &Summary| -> Vec<String> {
        let shown = |(_, of): Column| match of(summary) {
            value if value.is_nan() => String::new(),
            value => significant(value, 3),
        };
        columns().map(shown).collect()
    };
    let utility = |value: f64| if value.is_nan() { String::new() } else { significant(value, 3) };
    let [target, gold] = of_both(world)?;
    let plain =
        [("(before the lessons)", before.clone()), ("(target)", target), ("(gold model)", gold)];
    for (name, summary) in plain {
        let row = [name.to_owned(), String::new(), String::new()];
        let row = row.into_iter().chain(numbers(&summary));
        table.push_row(row.chain([utility(summary.utility), String::new()]));
    }
    for Best { training, outcome, at_end } in best {
        let row = [
            training.method.clone(),
            format!("{}{}", significant(training.rate, 1), if *at_end { "*" } else { "" }),
            outcome.steps.to_string(),
        ];
        let row = row.into_iter().chain(numbers(&outcome.summary));
        let minutes = significant(outcome.wall_s / 60.0, 2);
        table.push_row(row.chain([utility(outcome.summary.utility), minutes]));
    }
    Ok(table)
}

fn written(world: &World<Llama>, best: &[Best]) -> Table {
    let of = |b: &Best| (b.training.method.clone(), b.outcome.shown.clone());
    let nearest: Vec<(String, Vec<Shown>)> = best.iter().take(3).map(of).collect();
    let methods: Vec<(&str, &[Shown])> = nearest.iter().map(|(n, s)| (&**n, &**s)).collect();
    let (target, gold) = (Shown::some(&world.of_target), Shown::some(&world.of_gold));
    let caption = "Generations: rows to forget, then rows to keep; the three methods nearest to the gold model";
    generations(caption, (&target, &gold), &methods)
}

/// A figure of one run that is no share.
fn number(session: &Session, name: &str, value: f64, unit: &str) -> Result<()> {
    let spread = Spread { better: Better::Lower, std: None, n_seeds: 1, config: "default".into() };
    session.figure(TASK, name, value, unit, spread)
}

fn record(session: &Session, world: &World<Llama>, before: &Summary, best: &[Best]) -> Result<()> {
    let figure = |name: String, value: f64, better: Better| -> Result<()> {
        if value.is_nan() {
            return Ok(());
        }
        let spread = Spread { better, std: None, n_seeds: 1, config: "default".into() };
        session.figure(TASK, &name, value, "share", spread)
    };
    let [target, gold] = of_both(world)?;
    let mut all = vec![
        ("before".to_owned(), before.clone()),
        ("target".to_owned(), target),
        ("gold".to_owned(), gold),
    ];
    all.extend(best.iter().map(|b| (b.training.method.clone(), b.outcome.summary.clone())));
    for (who, summary) in all {
        let name = |what: &str| format!("{}-{who}-{what}", world.name);
        figure(name("distance"), summary.distance, Better::Lower)?;
        if summary.divergence.is_finite() {
            number(session, &name("divergence"), summary.divergence, "nats")?;
        }
        figure(name("forget-rouge"), summary.forget_rouge, Better::Lower)?;
        figure(name("forget-exact"), summary.forget_exact, Better::Lower)?;
        figure(name("retain-rouge"), summary.retain_rouge, Better::Higher)?;
        figure(name("retain-exact"), summary.retain_exact, Better::Higher)?;
        figure(name("final"), summary.last, Better::Higher)?;
        figure(name("utility"), summary.utility, Better::Higher)?;
    }
    let of = |what: &str| format!("{}-{what}-minutes", world.name);
    let [target_s, gold_s] = world.lessons_s;
    number(session, &of("target"), target_s / 60.0, "min")?;
    number(session, &of("gold"), gold_s / 60.0, "min")?;
    let runs_s: f64 = best.iter().map(|b| b.outcome.wall_s).sum();
    number(session, &of("mean-run"), runs_s / 60.0 / best.len().max(1) as f64, "min")?;
    if best.is_empty() { Err(Error::TooFewRuns) } else { Ok(()) }
}
