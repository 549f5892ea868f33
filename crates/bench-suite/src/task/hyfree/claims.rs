//! What is claimed of rates from private losses, and what is seen of it.

use super::images::{Column, STARTS};
use super::runs::Cell;
use super::{MNIST, SEEDS, Setting};
use crate::error::{Error, Result};
use crate::hyfree::{Base, Method, Rival, plan};
use crate::task::claim::{Asks, Check, Claim};

/// Goals of the study on MNIST at epsilon 3, in percent.
const GOAL: f64 = 88.0;
const GOAL_WITHOUT_LADDER: f64 = 87.0;
const FAILURE: f64 = 50.0;
/// Points below an unpaid grid that count as as good.
const AS_GOOD: f64 = 2.0;

const COMMAND: &str = "cargo xtask bench hyfree";

pub(super) fn of(setting: &Setting, columns: &[Column], rivals: &[Cell]) -> Result<Vec<Claim>> {
    let find = |base| columns.iter().find(|c| c.base == base).ok_or(Error::TooFewRuns);
    let claim = |published, miniature: String, checks| Claim {
        published,
        miniature,
        command: COMMAND,
        seeds: format!("{SEEDS}, the same for all"),
        checks,
    };
    let here = format!("{}, epsilon {}", setting.problem, setting.epsilon);
    let each = |what: &str, asks: Asks, of: &dyn Fn(&Column) -> Vec<f64>| -> Vec<Check> {
        let check = |column: &Column| Check {
            what: format!("{}: {what}", column.base.name()),
            asks,
            values: of(column),
        };
        columns.iter().map(check).collect()
    };
    // From the paper's own start, and from one of the right order for Adam, as its pretrained networks have it.
    let published = |of: &dyn Fn(&Column, &Cell) -> Vec<f64>, what: &str, asks| -> Vec<Check> {
        let from = |i: usize| {
            let what = format!("from {}, {what}", STARTS[i]);
            each(&what, asks, &|c| of(c, &c.paper[i]))
        };
        from(0).into_iter().chain(from(1)).collect()
    };
    let mut claims = vec![
        claim(
            "Paper: HyFreeDP is about as good as the best rate of a grid whose privacy is not paid (2503.00703)",
            format!("the published rule on {here}; points below the best constant rate"),
            published(
                &|c, paper| paper.below(&c.tuned[0]),
                "points below the grid",
                Asks::AtMost(AS_GOOD),
            ),
        ),
        claim(
            "Paper: and better than a search that is paid (DP-hyper, 2503.00703)",
            format!("the published rule on {here}; points above DP-hyper"),
            published(
                &|c, paper| c.hyper.below(paper),
                "points above DP-hyper",
                Asks::LargerThan(0.0),
            ),
        ),
        claim(
            "Ours: without any start the rule ends within 2 points of the best unpaid rate",
            format!("our rule with a ladder on {here}"),
            each("points below the grid", Asks::AtMost(AS_GOOD), &|c| c.ladder.below(&c.tuned[0])),
        ),
        claim(
            "Ours: and is no worse than a search that is paid",
            format!("our rule with a ladder on {here}"),
            each("points below DP-hyper", Asks::NotLarger, &|c| c.ladder.below(&c.hyper)),
        ),
    ];
    let versus = |adam: &Cell, sgd: &Cell| -> Vec<Check> {
        let check = |(rival, other): (Rival, &Cell)| Check {
            what: format!("points above {}", rival.name()),
            asks: Asks::LargerThan(0.0),
            values: other.below(if rival == Rival::DAdaptSgd { sgd } else { adam }),
        };
        Rival::ALL.into_iter().zip(rivals).map(check).collect()
    };
    let (sgd, ball, adam) = (find(Base::Sgd)?, find(Base::HeavyBall)?, find(Base::Adam)?);
    claims.push(claim(
        "Paper: HyFreeDP is better than D-Adaptation and Prodigy on private gradients (2503.00703)",
        format!("the published rule from 1e-4 on {here}, each rival against the same direction"),
        versus(&adam.paper[0], &sgd.paper[0]),
    ));
    claims.push(claim(
        "Ours: so is our rule",
        format!("our rule with a ladder on {here}, each rival against the same direction"),
        versus(&adam.ladder, &sgd.ladder),
    ));
    claims.push(claim(
        "Paper: gradients pay at most 1 % more noise for the losses (2503.00703)",
        format!("noise multipliers of the plans of {here}, in percent; exact, no seeds"),
        vec![Check {
            what: "percent more than gradients alone".into(),
            asks: Asks::AtMost(1.0 + 1e-9),
            values: vec![more_noise(setting, &adam.ladder.method)?],
        }],
    ));
    if setting.key == MNIST.key {
        claims.push(goals(&claim, [sgd, ball, adam])?);
    }
    Ok(claims)
}

/// What the study asks of the first setting.
fn goals(
    claim: &dyn Fn(&'static str, String, Vec<Check>) -> Claim,
    [sgd, ball, adam]: [&Column; 3],
) -> Result<Claim> {
    let below = |what: String, goal: f64, cell: &Cell| Check {
        what,
        asks: Asks::AtMost(0.0),
        values: cell.accuracies().iter().map(|accuracy| goal - accuracy).collect(),
    };
    let from = adam.from.first().ok_or(Error::TooFewRuns)?;
    let checks = vec![
        below(format!("Adam, ladder: {GOAL} % less accuracy"), GOAL, &adam.ladder),
        below(format!("heavy ball, ladder: {GOAL} % less accuracy"), GOAL, &ball.ladder),
        below(
            format!("Adam, from {}: {GOAL_WITHOUT_LADDER} % less accuracy", STARTS[0]),
            GOAL_WITHOUT_LADDER,
            from,
        ),
        Check {
            what: format!(
                "known failure: SGD, published rule from 1e-4, accuracy less {FAILURE} %"
            ),
            asks: Asks::AtMost(0.0),
            values: sgd.paper[0].accuracies().iter().map(|accuracy| accuracy - FAILURE).collect(),
        },
    ];
    Ok(claim(
        "Ours: goals of the study, and the failure of the published rule that it knows of",
        "MNIST-10k, 8,000 records, perceptron of 64, batches of 1000, 200 steps, epsilon 3".into(),
        checks,
    ))
}

/// By how many percent the noise of gradients exceeds what they would get alone.
fn more_noise(setting: &Setting, method: &Method) -> Result<f64> {
    let n_samples = if setting.problem.starts_with("fashion") { 20_000 } else { 8000 };
    let plan = plan(n_samples, "one image", &setting.training(method, 0))?;
    let alone = plan.losses().and_then(|losses| losses.gradients_alone());
    let alone = alone.ok_or(Error::TooFewRuns)?.get();
    Ok(100.0 * (plan.noise_multiplier().get() / alone - 1.0))
}
