//! `lethe epsilon tradeoff`: what a test of membership can reach at best.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;
use dp_core::{Delta, DpEvent, Epsilon, TradeOff};
use rayon::prelude::*;
use report::number::significant;
use report::plot::{Plot, Series};
use report::table::Table;
use serde_json::json;
use slope2::Progress;

use super::account::{at_most, run_json, run_lines};
use super::flags::{AccountFlags, AccountantFlag, Chosen, RunFlags, refused};
use super::phase::Fill;
use crate::command::write::{self, Folder, Picture};
use crate::command::{Outcome, Session};
use crate::error::{Error, Result};

/// Pairs of epsilon and delta that the curve is made of.
const PAIRS: usize = 80;
/// The largest epsilon is that at this delta: below lie no rates of interest.
const LEAST_DELTA: f64 = 1e-12;

/// Flags of `tradeoff`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Number of points of the curve.
    #[arg(long, value_name = "N", default_value_t = 100)]
    points: usize,
    #[command(flatten)]
    run: RunFlags,
    #[command(flatten)]
    account: AccountFlags,
    /// The folder of the results.
    #[arg(long, value_name = "FOLDER", default_value = "tradeoff")]
    out: PathBuf,
    /// Print the JSON instead of a table.
    #[arg(long)]
    json: bool,
}

impl Flags {
    pub(super) fn outcome(&self, session: &Session) -> Result<Outcome> {
        if self.points < 2 {
            return Err(Error::Usage(format!(
                "--points: expected at least 2, got {}",
                self.points
            )));
        }
        if self.account.accountant == AccountantFlag::CentralLimit {
            return Err(Error::Usage(
                "--accountant central-limit: an estimate bounds no test; take pld or rdp".into(),
            ));
        }
        let run = self.run.spec().run(Fill::default()).map_err(refused)?;
        let chosen = self.account.chosen()?;
        let curve = curve(session, &chosen, &run.accounted())?;
        // False alarms in equal steps of their logarithm.
        let last = (self.points - 1) as f64;
        let alphas = (0..self.points).map(|i| 10f64.powf(-6.0 * (1.0 - i as f64 / last)));
        let power: Vec<(f64, f64)> = alphas.map(|a| (a, 1.0 - curve.type_ii_error(a))).collect();
        let json = write::json(&json!({
            "format": "lethe-epsilon-tradeoff",
            "version": 1,
            "accountant": chosen.as_dyn().name(),
            "columns": ["false_positive_rate", "true_positive_rate_at_most"],
            "curve": power,
            "run": run_json(&run, Delta::new(0.0)?),
        }))?;
        let mut lines = run_lines(&run, Delta::new(0.0)?);
        lines.retain(|(name, _)| name != "delta");
        lines.push(("accountant".into(), chosen.as_dyn().name().into()));
        let caption = "No test of whether a record was in the data, however it is made, finds more members at these rates of false alarms.";
        let svg = Plot::new("What a test of membership can reach")
            .x_label("false positive rate")
            .y_label("true positive rate")
            .log_x()
            .size(640, 360)
            .series(Series::line("at most", power.iter().copied()))
            .series(Series::line("guessing", power.iter().map(|(a, _)| (*a, *a))))
            .to_svg()?;
        let pictures = [Picture { name: "tradeoff.svg", caption: caption.into(), svg }];
        let mut folder = Folder::named(self.out.clone());
        let rows = power.iter().map(|(a, p)| vec![a.to_string(), p.to_string()]);
        folder.add(
            "tradeoff.csv",
            write::csv(&["false_positive_rate", "true_positive_rate_at_most"], rows)?,
        );
        folder.add("tradeoff.svg", pictures[0].svg.as_str());
        folder.add("report.html", write::page("Trade-off", &lines, &pictures, []));
        folder.add("tradeoff.json", json.as_str());
        let (written, files) = folder.finish();
        let mut table = Table::new(["false positive rate", "true positive rate at most"]);
        for alpha in [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5] {
            let power = 1.0 - curve.type_ii_error(alpha);
            table.push_row([significant(alpha, 1), at_most(power, 4)]);
        }
        let text = format!("{}\n{}\n\n{written}", write::aligned(&lines), table.to_terminal(None));
        let stdout = if self.json { json } else { text };
        Ok(Outcome { stdout, files, ..Outcome::default() })
    }
}

/// The bound by deltas at epsilons from 0 to where delta is of no account.
fn curve(session: &Session, chosen: &Chosen, event: &DpEvent) -> Result<TradeOff> {
    let largest = chosen.as_dyn().epsilon(event, Delta::new(LEAST_DELTA)?)?.value();
    if largest.is_infinite() {
        return Err(Error::OutOfReach(
            "without noise a test may find every member: there is no curve".into(),
        ));
    }
    let watch = session.watch("trade-off");
    let done = AtomicUsize::new(0);
    let pair = |i: usize| -> Result<(Epsilon, f64)> {
        let epsilon = Epsilon::new(largest * i as f64 / (PAIRS - 1) as f64)?;
        let delta = chosen.as_dyn().delta(event, epsilon)?;
        match watch.advance(done.fetch_add(1, Ordering::Relaxed) + 1, PAIRS) {
            ControlFlow::Continue(()) => Ok((epsilon, delta.value())),
            ControlFlow::Break(()) => Err(Error::Interrupted),
        }
    };
    let pairs = (0..PAIRS).into_par_iter().map(pair).collect::<Result<Vec<_>>>()?;
    watch.finish();
    Ok(TradeOff::of_pairs(pairs))
}
