//! Whether a tenth of the horizon finds the set that the whole of it finds.

use hessian_lr::adapeft::Report;
use report::figures::Better;
use report::html::Section;
use report::plot::{Plot, Series};
use report::table::{Align, Table};

use super::budgets::PERCENT;
use super::claim::{Asks, Check, Claim};
use super::method::{Bench, By, Method, PROBE, STEPS, Size};
use super::sets::{chosen, overlap, spearman};
use super::{SEEDS, cell, figure};
use crate::error::{Error, Result};
use crate::task::curves::mean_and_std;

/// Steps of phases whose choices are compared with those of the longest: from one fit on.
const PHASES: [u64; 5] = [4, 8, PROBE, 50, STEPS];
const TENTH: usize = 2;

/// What a phase finds beside the longest, one value for each seed.
#[derive(Default)]
struct Phase {
    /// Rank correlation of APPI.
    ranks: Vec<f64>,
    /// The part of the chosen parameters that both choose, mean over budgets.
    shared: Vec<f64>,
}

/// Choices of a tenth of the horizon at one budget, one value for each seed.
#[derive(Default)]
struct AtBudget {
    shared: Vec<f64>,
    /// Percent by which the loss of its set is above that of the longest phase's set.
    above: Vec<f64>,
}

fn appi(report: &Report) -> Vec<f64> {
    report.groups.iter().map(|group| group.appi).collect()
}

fn means_by_seed(of: &[AtBudget], values: impl Fn(&AtBudget) -> &[f64]) -> Vec<f64> {
    let n_seeds = of.iter().map(|budget| values(budget).len()).min().unwrap_or(0);
    let sum = |seed: usize| of.iter().map(|budget| values(budget)[seed]).sum::<f64>();
    (0..n_seeds).map(|seed| sum(seed) / of.len() as f64).collect()
}

pub(super) fn run(bench: &mut Bench<'_>) -> Result<Section> {
    let session = bench.session;
    let task = session.progress.task("adapeft: horizon", SEEDS.count() as u64);
    let mut phases: Vec<Phase> = PHASES.iter().map(|_| Phase::default()).collect();
    let mut budgets: Vec<AtBudget> = PERCENT.iter().map(|_| AtBudget::default()).collect();
    for seed in SEEDS {
        let mut reports = Vec::new();
        for steps in PHASES {
            reports.push(bench.found(Size::Small, By::Layer, steps, seed)?.report);
        }
        let [_, _, tenth, _, whole] = &reports[..] else { return Err(Error::TooFewRuns) };
        for (phase, report) in phases.iter_mut().zip(&reports) {
            phase.ranks.push(spearman(&appi(report), &appi(whole)));
            let mut shared = 0.0;
            for part in PERCENT {
                let budget = bench.budget(Size::Small, part)?;
                let (ours, theirs) =
                    (chosen(report, "influence", budget)?, chosen(whole, "influence", budget)?);
                shared += overlap(report, &ours, &theirs) / PERCENT.len() as f64;
            }
            phase.shared.push(shared);
        }
        for (found, part) in budgets.iter_mut().zip(PERCENT) {
            let budget = bench.budget(Size::Small, part)?;
            let early = chosen(tenth, "influence", budget)?;
            let late = chosen(whole, "influence", budget)?;
            found.shared.push(overlap(tenth, &early, &late));
            let mut loss = |set| -> Result<f64> {
                Ok(bench.best(Size::Small, &Method::Groups(By::Layer, set), seed)?.test)
            };
            found.above.push(100.0 * (loss(early)? / loss(late)? - 1.0));
        }
        task.advance(1);
    }
    task.finish();
    let (shared, above) =
        (phases[TENTH].shared.clone(), means_by_seed(&budgets, |budget| &budget.above));
    let ranks = phases[TENTH].ranks.clone();
    figure(session, "horizon-rank-correlation", &ranks, "Spearman", Better::Higher)?;
    figure(session, "horizon-shared", &shared, "part of either set", Better::Higher)?;
    figure(session, "horizon-loss-above", &above, "%", Better::Lower)?;
    let check = |what: &str, asks, values| Check { what: what.into(), asks, values };
    let claim = Claim {
        published: "the subset found in a tenth of the horizon is that of the whole of it (2505.12579)",
        miniature: format!(
            "kinds in layers of the network of two blocks, budgets of 0.1 to 10 %, probe phases of {PROBE} and {STEPS} steps, \
             trainings of {STEPS}"
        ),
        command: "cargo xtask bench adapeft --only horizon",
        seeds: format!(
            "{}: batches, adapters and probe phases; the rate of each set is found with the first",
            SEEDS.count()
        ),
        checks: vec![
            check("rank correlation of APPI", Asks::LargerThan(0.5), ranks),
            check(
                "shared part of the chosen parameters, mean over budgets",
                Asks::Near(1.0, 0.2),
                shared,
            ),
            check("loss of the early set above that of the late one, %", Asks::NotLarger, above),
        ],
    };
    Ok(Section::new("Over horizons")
        .plot(
            &plot(&phases)?.to_svg()?,
            "Means over seeds, with one standard deviation around them; the last point is the longest phase beside itself.",
        )
        .table(&table(&budgets))
        .section(claim.section()))
}

fn table(budgets: &[AtBudget]) -> Table {
    let mut table = Table::new(["budget, %", "shared parameters", "loss above the other's, %"])
        .with_caption(format!(
            "Sets of a probe phase of {PROBE} steps beside those of one of {STEPS}"
        ));
    for column in 0..3 {
        table = table.align(column, Align::Right);
    }
    for (part, budget) in PERCENT.iter().zip(budgets) {
        table.push_row([part.to_string(), cell(&budget.shared), cell(&budget.above)]);
    }
    table
}

fn plot(phases: &[Phase]) -> Result<Plot> {
    let series = |label: &str, of: fn(&Phase) -> &[f64]| -> Result<Series> {
        let points = PHASES.iter().zip(phases).map(|(x, p)| (*x as f64, mean_and_std(of(p)).0));
        let stds: Vec<f64> = phases.iter().map(|p| mean_and_std(of(p)).1.unwrap_or(0.0)).collect();
        Ok(Series::line(label, points).with_markers().with_std(&stds)?)
    };
    Ok(Plot::new(format!("Choices of short phases beside those of {STEPS} steps"))
        .x_label("steps of the probe phase")
        .y_label("agreement, 1 is full")
        .log_x()
        .series(series("rank correlation of APPI", |phase| &phase.ranks)?)
        .series(series("shared parameters, mean over budgets", |phase| &phase.shared)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_stands_in_its_place() {
        assert_eq!((PHASES[TENTH], 10 * PHASES[TENTH], PHASES.len()), (PROBE, STEPS, 5));
    }

    #[test]
    fn means_over_budgets_are_taken_seed_by_seed() {
        let of = |above: [f64; 2]| AtBudget { above: above.to_vec(), ..AtBudget::default() };
        let budgets = [of([1.0, 5.0]), of([3.0, 7.0])];
        assert_eq!(means_by_seed(&budgets, |budget| &budget.above), [2.0, 6.0]);
        assert!(means_by_seed(&budgets, |budget| &budget.shared).is_empty());
    }
}
