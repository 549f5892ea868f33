//! Whether forgetting lasts: relearning, rounded weights, other words, many attempts, membership inference, beside the gold model.

use report::figures::Better;
use report::html::Section;
use report::number::significant;
use report::plot::{Plot, Series};
use report::table::{Align, Table};
use tape_nn::net::Gpt;
use tensor_tree::{Key, Tree};
use unlearn::robust::{Attack, Curve, Models, Relearning, Report, Robustness};

use super::TASK;
use super::runs::Runs;
use crate::error::{Error, Result};
use crate::forgetting::{Training, World, unlearned};
use crate::session::Spread;

const METHODS: [&str; 5] = ["ngdiff", "wga", "npo", "gdiff-0.9", "ga"];
const SEED: u64 = 0;

pub(super) fn run(runs: &mut Runs<'_>) -> Result<Section> {
    let (session, size) = (runs.session, runs.scale.size.name);
    let chosen = runs.chosen("lasting", &METHODS)?;
    let worlds = runs.worlds(&[SEED])?;
    let world = worlds.first().ok_or(Error::TooFewRuns)?;
    let stop = || session.interrupt.is_set();
    let task = session.progress.task(format!("{TASK}: robustness"), METHODS.len() as u64);
    let mut reports = Vec::new();
    for (method, (training, _)) in METHODS.into_iter().zip(chosen) {
        task.message(method);
        let params = unlearned(world, &Training { seed: SEED, ..training }, &stop)?;
        reports.push((method, tested(world, &params, &stop)?));
        task.advance(1);
    }
    task.finish();
    let mut table = Table::new([
        "method",
        "knowledge after, at 0 steps",
        "most while relearning",
        "exact, all rows",
        "4 bits",
        "best of 8",
        "exact, questions",
        "in other words",
        "loss AUC",
        "Min-K% AUC",
    ])
    .with_caption(
        "One seed. Knowledge: share of the answers' tokens that are the likeliest, on the nine tenths of the documents that are not shown while relearning; \
         exact: share of rows to forget, behind which are those of the rounded copy and of one of eight attempts, or of its questions; AUC .5 tells nothing, 1 betrays members",
    );
    for column in 1..10 {
        table = table.align(column, Align::Right);
    }
    let figure = |method: &str, curve: &Curve| {
        let spread = Spread { better: Better::Lower, std: None, n_seeds: 1, config: size.into() };
        session.figure(TASK, &format!("relearned-{method}"), most(curve), "share", spread)
    };
    let mut plot = Plot::new("Relearning from a tenth of the documents")
        .x_label("steps")
        .y_label("knowledge of the others");
    for (method, report) in &reports {
        table.push_row(row((*method).to_owned(), report, false));
        if let Some(relearned) = &report.relearned {
            plot = plot.series(curve(method, &relearned.curves.unlearned));
            figure(method, &relearned.curves.unlearned)?;
        }
    }
    if let Some((_, report)) = reports.first() {
        table.push_row(row("(gold model)".into(), report, true));
        if let Some(relearned) = &report.relearned {
            plot = plot.series(curve("gold model", &relearned.curves.gold));
            figure("gold", &relearned.curves.gold)?;
            plot = plot.horizontal(relearned.target.knowledge, "target");
        }
    }
    Ok(Section::new("Does it last?").table(&table).plot(
        &plot.to_svg()?,
        "A model that has forgotten relearns as slowly as one that never knew.",
    ))
}

fn tested(world: &World<Gpt>, params: &Tree, stop: &(dyn Fn() -> bool + Sync)) -> Result<Report> {
    let frozen = Tree::new();
    let subject = |trainable| world.asked().subject(&world.model, (trainable, &frozen));
    let (after, gold, target) = (subject(params), subject(&world.gold), subject(&world.target));
    let models = Models { unlearned: &after, gold: &gold, target: &target };
    let tests = Robustness {
        relearning: Some(Relearning { steps: 40, every: 4, rate: 1e-3, ..Relearning::default() }),
        ..Robustness::default()
    };
    Ok(tests.run(&world.exam, &models, Key::from_seed(SEED), &mut |_, _, _| !stop())?)
}

fn row(name: String, report: &Report, of_gold: bool) -> [String; 10] {
    let show = |value: Option<f64>| value.map_or_else(String::new, |v| significant(v, 3));
    let curve = report.relearned.as_ref().map(|r| match of_gold {
        true => &r.curves.gold,
        false => &r.curves.unlearned,
    });
    let exact = |set: &unlearn::exam::SetResult| set.exact().ok().map(|score| score.value());
    // Gold is not rounded: of it all rows are known from the attempts alone.
    let rounded = report.rounding.as_ref().filter(|_| !of_gold);
    let asked = report.paraphrases.as_ref().and_then(|p| p.asked.as_ref());
    let asked = asked.map(|both| if of_gold { &both.gold } else { &both.unlearned });
    let attempts = report.attempts.as_ref();
    let attempts = attempts.map(|both| if of_gold { &both.gold } else { &both.unlearned });
    let auc = |attack: Attack| {
        let result = report.membership.as_ref()?.of(attack)?;
        Some(if of_gold { result.auc.gold } else { result.auc.unlearned })
    };
    [
        name,
        show(curve.and_then(|c| c.points.first()).map(|p| p.knowledge)),
        show(curve.map(most)),
        show(rounded.and_then(|r| exact(&r.before.forget))),
        show(rounded.and_then(|r| r.copies.last()).and_then(|c| exact(&c.findings.forget))),
        show(attempts.map(|a| a.exact(a.n()))),
        show(asked.and_then(|a| exact(&a.plain))),
        show(asked.and_then(|a| exact(&a.reworded))),
        show(auc(Attack::Loss)),
        show(auc(Attack::MinK)),
    ]
}

/// The most knowledge along the way.
fn most(curve: &Curve) -> f64 {
    curve.points.iter().map(|p| p.knowledge).fold(0.0, f64::max)
}

fn curve(name: &str, of: &Curve) -> Series {
    Series::line(name, of.points.iter().map(|p| (p.step as f64, p.knowledge))).with_markers()
}
