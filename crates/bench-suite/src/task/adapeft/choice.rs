//! Choices on digits against the best of all subsets, at every budget.

use hessian_lr::select::Knapsack;
use rand::RngExt;
use report::figures::Better;
use report::html::Section;
use report::number::{mean_std, significant};
use report::plot::{Plot, Series};
use report::table::{Align, Table};
use tensor_tree::{Key, Label};

use super::claim::{Asks, Check, Claim};
use super::digits::{CRITERIA, Digits, GROUPS, Known, PROBE, STEPS, Target, weights};
use super::{Runs, figure};
use crate::data::Places;
use crate::error::{Error, Result};
use crate::session::Session;
use crate::task::curves::mean_and_std;

const SEEDS: u64 = 5;
/// Random orders of each seed.
const ORDERS: u64 = 50;

/// How a set is chosen at a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By falling value for each parameter, taking what still fits.
    Fill(usize),
    /// The exact knapsack.
    Exact(usize),
    /// Small groups first.
    Light,
    Random,
}

/// Each criterion greedy and exact, then those that need no values.
fn ways() -> Vec<(Way, String)> {
    let by = CRITERIA.iter().enumerate().flat_map(|(k, name)| {
        [(Way::Fill(k), format!("{name}, greedy")), (Way::Exact(k), format!("{name}, exact"))]
    });
    let others = [(Way::Light, "small groups first".into()), (Way::Random, "random order".into())];
    by.chain(others).collect()
}

/// Places in [`ways`].
const INFLUENCE: [usize; 2] = [0, 1];
const CHEAP: [usize; 2] = [3, 5];
const EACH_STEP: usize = 9;
const RANDOM: usize = 11;

/// The bits of a set.
fn bits(items: &[usize]) -> usize {
    items.iter().map(|k| 1 << k).sum()
}

/// What sets by one way lose against the best subset.
struct Scored {
    /// At each budget, the mean of `log(loss / best loss)`.
    log_ratios: Vec<f64>,
}

impl Scored {
    fn mean(&self) -> f64 {
        self.log_ratios.iter().sum::<f64>() / self.log_ratios.len() as f64
    }
}

/// All subset sizes but that of the empty set.
fn budgets(weights: &[u64]) -> Vec<u64> {
    let size = |subset: usize| {
        (0..GROUPS).filter(|k| subset >> k & 1 == 1).map(|k| weights[k]).sum::<u64>()
    };
    let mut sizes: Vec<u64> = (1..1 << GROUPS).map(size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// The least loss of a subset within a budget.
fn best(known: &Known, weights: &[u64], budget: u64) -> f64 {
    let fits = |subset: &usize| {
        (0..GROUPS).filter(|k| subset >> k & 1 == 1).map(|k| weights[k]).sum::<u64>() <= budget
    };
    (0..1 << GROUPS).filter(fits).map(|subset| known.losses[subset]).fold(f64::INFINITY, f64::min)
}

fn score(known: &Known, weights: &[u64], way: Way, seed: u64) -> Result<Scored> {
    let knapsack = |values: &[f64]| Knapsack::new(values, weights);
    let fill = |values: &[f64], budget| -> Result<f64> {
        Ok(known.losses[bits(&knapsack(values)?.greedy_fill(budget)?.items)])
    };
    let log_ratios = budgets(weights).into_iter().map(|budget| {
        let best = best(known, weights, budget);
        Ok(match way {
            Way::Fill(criterion) => (fill(&known.values[criterion], budget)? / best).ln(),
            Way::Exact(criterion) => {
                let set = knapsack(&known.values[criterion])?.solve_exact(budget)?;
                (known.losses[bits(&set.items)] / best).ln()
            }
            // Equal values: the density falls with the size.
            Way::Light => (fill(&[1.0; GROUPS], budget)? / best).ln(),
            Way::Random => {
                let mut sum = 0.0;
                for order in 0..ORDERS {
                    let mut rng = Key::from_seed(seed).child(Label::Sample(order)).rng();
                    let density = weights.iter().map(|weight| {
                        let uniform: f64 = rng.random();
                        (1.0 - uniform) * *weight as f64
                    });
                    sum += (fill(&density.collect::<Vec<_>>(), budget)? / best).ln();
                }
                sum / ORDERS as f64
            }
        })
    });
    Ok(Scored { log_ratios: log_ratios.collect::<Result<_>>()? })
}

pub(super) fn run(session: &Session, places: &Places, runs: &mut Runs) -> Result<Section> {
    let digits = Digits::open(places)?;
    let weights = weights()?;
    let task = session.progress.task("adapeft: choice", Target::ALL.len() as u64 * SEEDS);
    let mut section = Section::new("Choices on digits, against the best of all subsets").paragraph(format!(
        "A perceptron of 64, 64, 32 and 10 units is pretrained on 1,400 digits; then these are turned by a right angle, inverted, or \
         labelled otherwise. Its {GROUPS} leaves are the groups. A probe phase of {PROBE} steps with the defaults of the crate values \
         them; all 64 subsets are trained for {STEPS} steps with AdamW, each at two rates of which the one with the smaller training \
         loss counts. At every budget that is the size of a subset, the chosen set's held-out loss is compared with the least of \
         all subsets that fit."
    ));
    // By target, way and seed.
    let ways = ways();
    let mut scores = Vec::new();
    let mut costs: [Vec<f64>; 4] = Default::default();
    for target in Target::ALL {
        let mut by_way = vec![Vec::new(); ways.len()];
        let mut curves = vec![vec![0.0; budgets(&weights).len()]; ways.len()];
        for seed in 1..=SEEDS {
            let name = format!("choice/{}/{seed}", target.name());
            let values = runs
                .values(session, &name, || Ok(digits.known(session, target, seed)?.to_values()))?;
            let known = Known::from_values(&values)?;
            for (cost, of) in costs.iter_mut().zip(known.cost) {
                cost.push(of);
            }
            for (w, (way, _)) in ways.iter().enumerate() {
                let scored = score(&known, &weights, *way, seed)?;
                by_way[w].push(scored.mean());
                for (sum, ratio) in curves[w].iter_mut().zip(&scored.log_ratios) {
                    *sum += ratio / SEEDS as f64;
                }
            }
            task.advance(1);
        }
        let mut plot = Plot::new(format!("Digits {}: chosen sets against the best", target.name()))
            .x_label("budget in parameters")
            .y_label("mean of log(loss / least loss)")
            .log_x();
        for w in [INFLUENCE[1], CHEAP[0], CHEAP[1], EACH_STEP, RANDOM] {
            let points = budgets(&weights).into_iter().zip(&curves[w]);
            let points = points.map(|(budget, ratio)| (budget as f64, *ratio));
            plot = plot.series(Series::line(ways[w].1.clone(), points));
        }
        section = section.plot(
            &plot.to_svg()?,
            "0 is the best subset at that budget; means over seeds. Greedy sets are in the table.",
        );
        scores.push(by_way);
    }
    task.finish();
    let mut table = Table::new(["choice", "rotated", "inverted", "relabelled"])
        .with_caption(format!("Mean over budgets of log(loss / least loss), {SEEDS} seeds"));
    for column in 1..4 {
        table = table.align(column, Align::Right);
    }
    for (w, (_, label)) in ways.iter().enumerate() {
        let mut row = vec![label.clone()];
        for (target, scores) in Target::ALL.into_iter().zip(&scores) {
            let (mean, std) = mean_and_std(&scores[w]);
            row.push(mean_std(mean, std));
            let label = label.replace(", ", "-").replace(' ', "-").to_lowercase();
            let name = format!("choice-{}-{label}", target.name());
            figure(session, &name, &scores[w], "mean log ratio", Better::Lower)?;
        }
        table.push_row(row);
    }
    let [forwards, probe_s, trainings_s, rejected] =
        costs.each_ref().map(|values| significant(mean_and_std(values).0, 3));
    section = section.table(&table).key_values([
        ("forward passes of a probe phase", forwards),
        ("forward and backward passes of one training", STEPS.to_string()),
        ("seconds of a probe phase, Fisher's gradients of single samples included", probe_s),
        ("seconds of all trainings of one seed", trainings_s),
        ("percent of fits that were not accepted", rejected),
    ]);
    let differences = |a: usize, b: usize, asks| -> Result<Vec<Check>> {
        let one = |(target, by_way): (Target, &Vec<Vec<f64>>)| {
            let (ours, other) = (by_way.get(a), by_way.get(b));
            let (ours, other) = (ours.ok_or(Error::TooFewRuns)?, other.ok_or(Error::TooFewRuns)?);
            let what = format!("{}: {} less {}", target.name(), ways[a].1, ways[b].1);
            let values = ours.iter().zip(other).map(|(a, b)| a - b).collect();
            Ok(Check { what, asks, values })
        };
        Target::ALL.into_iter().zip(&scores).map(one).collect()
    };
    let claim = |published, checks| Claim {
        published,
        miniature: format!("six groups, all {} budgets, see above", budgets(&weights).len()),
        command: "cargo xtask bench adapeft --only choice",
        seeds: format!("{SEEDS}: pretraining, batches and probe phase"),
        checks,
    };
    let mut chance = Vec::new();
    for way in INFLUENCE.into_iter().chain([EACH_STEP]) {
        chance.extend(differences(way, RANDOM, Asks::Smaller)?);
    }
    let exact = differences(INFLUENCE[1], INFLUENCE[0], Asks::NotLarger)?;
    let (mut cheap, mut reversed) = (Vec::new(), Vec::new());
    for (ours, other) in [(INFLUENCE[1], CHEAP[0]), (INFLUENCE[1], CHEAP[1]), (EACH_STEP, CHEAP[0])]
    {
        cheap.extend(differences(ours, other, Asks::NotLarger)?);
        reversed.extend(differences(other, ours, Asks::NotLarger)?);
    }
    Ok(section
        .section(claim("groups by influence are better than chance (2505.12579)", chance).section())
        .section(
            claim("the exact knapsack is at least as good as adding groups by influence (ours)", exact)
                .section(),
        )
        .section(
            claim(
                "influence chooses at least as well as gradient norms and Fisher information (asked by reviewers, not published)",
                cheap,
            )
            .section(),
        )
        .section(
            claim(
                "gradient norms and Fisher information, which need no fits, choose at least as well as influence (ours)",
                reversed,
            )
            .section(),
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_ways_are_theirs() {
        let ways = ways();
        assert_eq!(INFLUENCE.map(|w| ways[w].0), [Way::Fill(0), Way::Exact(0)]);
        assert_eq!(CHEAP.map(|w| ways[w].0), [Way::Exact(1), Way::Exact(2)]);
        assert_eq!((ways[EACH_STEP].0, ways[RANDOM].0), (Way::Exact(4), Way::Random));
    }

    #[test]
    fn the_best_subset_scores_zero_and_others_more() {
        let weights = [1, 2, 4, 8, 16, 32];
        // Every group halves the loss, whatever its size.
        let losses = (0..64u32).map(|subset| 0.5f64.powi(subset.count_ones().cast_signed()));
        let values = vec![vec![1.0; 6], vec![0.0, 0.0, 0.0, 0.0, 0.0, 1.0]];
        let known = Known { losses: losses.collect(), values, cost: [0.0; 4] };
        assert_eq!(budgets(&weights).len(), 63);
        let of = |way| score(&known, &weights, way, 1).unwrap().mean();
        assert!(of(Way::Fill(0)).abs() < 1e-12 && of(Way::Light).abs() < 1e-12);
        assert!(0.5 < of(Way::Exact(1)) && 0.0 < of(Way::Random));
    }
}
