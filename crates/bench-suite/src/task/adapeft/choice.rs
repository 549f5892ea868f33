//! Choices on digits against the best of all subsets, at every budget.

mod show;

use hessian_lr::select::Knapsack;
use rand::RngExt;
use report::html::Section;
use tensor_tree::{Key, Label};

use super::Runs;
use super::digits::{CRITERIA, Digits, GROUPS, Known, Target, weights};
use super::sets::spearman;
use crate::data::Places;
use crate::error::Result;
use crate::session::Session;

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

/// What was measured of a target, one value for each seed in the innermost lists.
struct Measured {
    target: Target,
    /// By way, the mean over budgets of `log(loss / least loss)`.
    scores: Vec<Vec<f64>>,
    /// By way and budget, the mean over seeds of the same.
    curves: Vec<Vec<f64>>,
    /// By criterion, the rank correlation of values with the losses that training a group alone saves.
    alone: Vec<Vec<f64>>,
    costs: [Vec<f64>; 4],
}

impl Measured {
    fn new(target: Target, n_budgets: usize) -> Self {
        let n_ways = ways().len();
        Measured {
            target,
            scores: vec![Vec::new(); n_ways],
            curves: vec![vec![0.0; n_budgets]; n_ways],
            alone: vec![Vec::new(); CRITERIA.len()],
            costs: Default::default(),
        }
    }

    fn add(&mut self, known: &Known, weights: &[u64], seed: u64) -> Result<()> {
        for (costs, cost) in self.costs.iter_mut().zip(known.cost) {
            costs.push(cost);
        }
        for (w, (way, _)) in ways().iter().enumerate() {
            let scored = score(known, weights, *way, seed)?;
            self.scores[w].push(scored.mean());
            for (sum, ratio) in self.curves[w].iter_mut().zip(&scored.log_ratios) {
                *sum += ratio / SEEDS as f64;
            }
        }
        let saved: Vec<f64> = (0..GROUPS).map(|k| -known.losses[1 << k]).collect();
        for (ranks, values) in self.alone.iter_mut().zip(&known.values) {
            ranks.push(spearman(values, &saved));
        }
        Ok(())
    }
}

pub(super) fn run(session: &Session, places: &Places, runs: &mut Runs) -> Result<Section> {
    let digits = Digits::open(places)?;
    let weights = weights()?;
    let budgets = budgets(&weights);
    let task = session.progress.task("adapeft: choice", Target::ALL.len() as u64 * SEEDS);
    let mut all = Vec::new();
    for target in Target::ALL {
        let mut measured = Measured::new(target, budgets.len());
        for seed in 1..=SEEDS {
            let name = format!("choice/{}/{seed}", target.name());
            let values = runs
                .values(session, &name, || Ok(digits.known(session, target, seed)?.to_values()))?;
            measured.add(&Known::from_values(&values)?, &weights, seed)?;
            task.advance(1);
        }
        all.push(measured);
    }
    task.finish();
    show::section(session, &all, &budgets)
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
