//! Whether a tenth of the horizon finds the set that the whole of it finds.

use report::figures::Better;
use report::html::Section;
use report::table::{Align, Table};

use super::budgets::PERCENT;
use super::claim::{Asks, Check, Claim};
use super::method::{Bench, By, Method, PROBE, STEPS, Size};
use super::sets::{chosen, overlap, spearman};
use super::{SEEDS, cell, figure};
use crate::error::Result;

pub(super) fn run(bench: &mut Bench<'_>) -> Result<Section> {
    let session = bench.session;
    let task = session.progress.task("adapeft: horizon", SEEDS.count() as u64);
    let (mut overlaps, mut above, mut ranks) =
        (vec![Vec::new(); PERCENT.len()], vec![Vec::new(); PERCENT.len()], Vec::new());
    // Found with the first seed's sets.
    let mut rates = [[None; PERCENT.len()]; 2];
    for seed in SEEDS {
        let short = bench.found(Size::Small, By::Layer, PROBE, seed)?.report;
        let long = bench.found(Size::Small, By::Layer, STEPS, seed)?.report;
        let appi = |report: &hessian_lr::adapeft::Report| -> Vec<f64> {
            report.groups.iter().map(|group| group.appi).collect()
        };
        ranks.push(spearman(&appi(&short), &appi(&long)));
        for (i, part) in PERCENT.into_iter().enumerate() {
            let budget = bench.budget(Size::Small, part)?;
            let mut losses = [0.0; 2];
            let sets = [&short, &long].map(|report| chosen(report, "influence", budget));
            let [a, b] = sets;
            let (a, b) = (a?, b?);
            overlaps[i].push(overlap(&short, &a, &b));
            for ((loss, set), rates) in losses.iter_mut().zip([a, b]).zip(&mut rates) {
                let method = Method::Groups(By::Layer, set);
                let rate = bench.shared_rate(Size::Small, &method, seed, &mut rates[i])?;
                *loss = bench.tuned(Size::Small, &method, seed, rate)?.test;
            }
            above[i].push(100.0 * (losses[0] / losses[1] - 1.0));
        }
        task.advance(1);
    }
    task.finish();
    let mut table = Table::new(["budget, %", "shared parameters", "loss above the other's, %"])
        .with_caption(format!(
            "Sets of a probe phase of {PROBE} steps beside those of one of {STEPS}"
        ));
    for column in 0..3 {
        table = table.align(column, Align::Right);
    }
    for ((part, shared), above) in PERCENT.iter().zip(&overlaps).zip(&above) {
        table.push_row([part.to_string(), cell(shared), cell(above)]);
    }
    let by_seed = |values: &[Vec<f64>]| -> Vec<f64> {
        let of = |seed: usize| values.iter().map(|v| v[seed]).sum::<f64>() / values.len() as f64;
        (0..ranks.len()).map(of).collect()
    };
    let (shared, above) = (by_seed(&overlaps), by_seed(&above));
    figure(session, "horizon-rank-correlation", &ranks, "Spearman", Better::Higher)?;
    figure(session, "horizon-shared", &shared, "part of either set", Better::Higher)?;
    figure(session, "horizon-loss-above", &above, "%", Better::Lower)?;
    let check = |what: &str, asks, values| Check { what: what.into(), asks, values };
    let claim = Claim {
        published: "the subset found in a tenth of the horizon is that of the whole of it (2505.12579)",
        miniature: format!(
            "kinds in layers of the network of two blocks, budgets of 0.1 to 10 %, probe phases of {PROBE} and {STEPS} steps"
        ),
        command: "cargo xtask bench adapeft --only horizon",
        seeds: format!(
            "{}: batches, adapters and probe phases; rates are found with the first seed",
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
    Ok(Section::new("Over horizons").table(&table).section(claim.section()))
}
