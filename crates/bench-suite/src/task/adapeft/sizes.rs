//! Whether a set found on a small network serves a deeper one.

use hessian_lr::adapeft::Chooser;
use hessian_lr::select::Budget;
use report::figures::Better;
use report::html::Section;
use report::number::{count, significant};
use report::plot::{Plot, Series};
use report::table::{Align, Table};
use tensor_tree::{Key, Label};

use super::claim::{Asks, Check, Claim};
use super::method::{Bench, By, Method, PROBE, Size};
use super::sets::{Set, chosen, random, size, spearman};
use super::{DEEP_SEEDS, cell, figure};
use crate::error::Result;
use crate::task::curves::mean_and_std;

/// Percent of the deeper network's parameters that may be trained.
const PERCENT: f64 = 3.0;
/// Random sets of each seed.
const RANDOM: u64 = 2;
const RANDOM_SEED: u64 = 90;

/// What a seed found.
struct Seed {
    /// Of the small network and of the deep one, by group.
    appi: [Vec<f64>; 2],
    /// Of the set from the small network, that of the deep one, and the random ones.
    losses: [f64; 3],
    sets: [Set; 2],
    n_trained: [u64; 2],
}

/// Everything of one seed, and the names of the groups.
fn one(bench: &mut Bench<'_>, seed: u64) -> Result<(Seed, Vec<String>)> {
    let small = bench.found(Size::Small, By::Module, PROBE, seed)?.report;
    let deep = bench.found(Size::Large, By::Module, PROBE, seed)?.report;
    let budget = bench.budget(Size::Large, PERCENT)?;
    let net = bench.carrying(Size::Large, seed)?;
    let transfer = small.transfer(net.sizes(), &Chooser::within(Budget::Count(budget)))?;
    let given: Set = transfer.choice.chosen().map(str::to_owned).collect();
    let own = chosen(&deep, "influence", budget)?;
    let mut loss = |set: &Set| -> Result<f64> {
        let method = Method::Groups(By::Module, set.clone());
        Ok(bench.best(Size::Large, &method, seed)?.test)
    };
    let mut losses = [loss(&given)?, loss(&own)?, 0.0];
    for draw in 0..RANDOM {
        let key = Key::from_seed(RANDOM_SEED + seed).child(Label::Sample(draw));
        losses[2] += loss(&random(&deep, budget, key)?)? / RANDOM as f64;
    }
    let n_trained = [size(&deep, &given), size(&deep, &own)];
    let names: Vec<String> = deep.groups.iter().map(|group| group.name.clone()).collect();
    let of = |report: &hessian_lr::adapeft::Report, name: &String| {
        report.groups.iter().find(|group| group.name == *name).map_or(0.0, |group| group.appi)
    };
    let appi = [&small, &deep].map(|report| names.iter().map(|name| of(report, name)).collect());
    Ok((Seed { appi, losses, sets: [given, own], n_trained }, names))
}

pub(super) fn run(bench: &mut Bench<'_>) -> Result<Section> {
    let session = bench.session;
    let task = session.progress.task("adapeft: sizes", DEEP_SEEDS.count() as u64);
    let (mut seeds, mut names) = (Vec::new(), Vec::new());
    for seed in DEEP_SEEDS {
        let (found, groups) = one(bench, seed)?;
        seeds.push(found);
        names = groups;
        task.advance(1);
    }
    task.finish();
    let ranks: Vec<f64> = seeds.iter().map(|s| spearman(&s.appi[0], &s.appi[1])).collect();
    let above = |other: usize| -> Vec<f64> {
        seeds.iter().map(|s| 100.0 * (s.losses[0] / s.losses[other] - 1.0)).collect()
    };
    let (own, chance) = (above(1), above(2));
    figure(session, "sizes-rank-correlation", &ranks, "Spearman", Better::Higher)?;
    figure(session, "sizes-loss-above-own", &own, "%", Better::Lower)?;
    figure(session, "sizes-loss-above-random", &chance, "%", Better::Lower)?;

    let of_appi = |network: usize, group: usize| -> Vec<f64> {
        seeds.iter().map(|seed| seed.appi[network][group]).collect()
    };
    let mut groups = Table::new(["group", "two blocks", "six blocks"]).with_caption(
        "APPI, decrease of the loss for each parameter over the probe phase, times two",
    );
    groups = groups.align(1, Align::Right).align(2, Align::Right);
    let mut points = Vec::new();
    for (k, name) in names.iter().enumerate() {
        let [small, deep] = [0, 1].map(|network| of_appi(network, k));
        groups.push_row([name.clone(), cell(&small), cell(&deep)]);
        points.push((mean_and_std(&small).0, mean_and_std(&deep).0));
    }
    let plot = Plot::new("Influence for each parameter, two blocks and six")
        .x_label("APPI with two blocks")
        .y_label("APPI with six blocks")
        .log_x()
        .log_y()
        .series(Series::points("groups, means over seeds", points));

    let mut sets = Table::new(["seed", "from", "set", "parameters", "test loss"])
        .with_caption("Sets for the network of six blocks");
    sets = sets.align(3, Align::Right).align(4, Align::Right);
    for (seed, found) in DEEP_SEEDS.zip(&seeds) {
        for (i, from) in ["two blocks", "six blocks"].into_iter().enumerate() {
            sets.push_row([
                seed.to_string(),
                from.into(),
                found.sets[i].join(", "),
                count(found.n_trained[i]),
                significant(found.losses[i], 4),
            ]);
        }
        let random = significant(found.losses[2], 4);
        sets.push_row([
            seed.to_string(),
            "chance, mean of 2".into(),
            String::new(),
            String::new(),
            random,
        ]);
    }
    let check = |what: &str, asks, values| Check { what: what.into(), asks, values };
    let claim = Claim {
        published: "groups found on a small network serve a larger one (2501.06954, 2505.12579)",
        miniature: format!(
            "{} groups by module, from two blocks to six ({} parameters), by patterns of names, within {} % of the parameters; \
             six blocks are pretrained on the same plays",
            names.len(),
            count(bench.net(Size::Large)?.params.n_elements() as u64),
            PERCENT,
        ),
        command: "cargo xtask bench adapeft --only sizes",
        seeds:
            "3: batches, adapters and probe phases; the rate of each set is found with the first"
                .into(),
        checks: vec![
            check("rank correlation of APPI", Asks::LargerThan(0.5), ranks),
            check(
                "loss of the set from two blocks above that of the own one, %",
                Asks::NotLarger,
                own,
            ),
            check(
                "loss of the set from two blocks above random ones of its size, %",
                Asks::Smaller,
                chance,
            ),
        ],
    };
    Ok(Section::new("Over sizes")
        .table(&groups)
        .plot(&plot.to_svg()?, "Each point is a group of the table; where a network has none of its fits accepted, it is left out.")
        .table(&sets)
        .section(claim.section()))
}
