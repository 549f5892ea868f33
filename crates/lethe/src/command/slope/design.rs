//! `lethe slope design`.

use clap::Args;
use report::number::significant;
use report::table::Table;
use serde::Serialize;
use serde_json::{Value, json};
use slope2::theory::{Designer, FixedPoint, Prior, Setting};

use super::tradeoff::SETTING;
use crate::command::Outcome;
use crate::command::write;
use crate::error::Result;

/// For which scaling the penalties are meant: columns of norm 1 there, of norm sqrt(n) by default.
const SCALING: &str = "Penalties are for --scale l2 --loss-scale sum; for the default scaling divide them by sqrt(n).";

/// Flags of `design`.
#[derive(Debug, Args)]
pub struct Flags {
    /// Rows for each column, n / p.
    #[arg(long)]
    delta: f64,
    /// The share of the coefficients that are not zero.
    #[arg(long)]
    eps: f64,
    /// The variance of the coefficients that are not zero, normal around zero.
    #[arg(long)]
    variance: f64,
    /// The standard deviation of the noise.
    #[arg(long)]
    noise: f64,
    /// The largest false discovery proportion.
    #[arg(long)]
    target_fdp: f64,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Version 1 of the proposal.
#[derive(Serialize)]
struct Written {
    format: &'static str,
    version: u64,
    setting: &'static str,
    scaling: &'static str,
    delta: f64,
    eps: f64,
    variance: f64,
    noise: f64,
    target_fdp: f64,
    proposal: Value,
    lasso: Value,
}

impl Flags {
    pub(super) fn outcome(&self) -> Result<Outcome> {
        let Flags { delta, eps, variance, noise, target_fdp, .. } = *self;
        let setting = Setting::new(Prior::bernoulli_gaussian(eps, variance)?, delta, noise)?;
        let proposal = Designer::new(target_fdp)?.propose(&setting)?;
        if self.json {
            let stdout = write::json(&Written {
                format: "lethe-slope-design",
                version: 1,
                setting: SETTING,
                scaling: SCALING,
                delta,
                eps,
                variance,
                noise,
                target_fdp,
                proposal: point_json(&proposal.point),
                lasso: point_json(&proposal.lasso),
            })?;
            return Ok(Outcome { stdout, ..Outcome::default() });
        }
        let mut table = Table::new([
            "",
            "lambda1",
            "lambda2",
            "share",
            "true positives",
            "false discoveries",
            "error",
        ]);
        for (name, point) in [("proposal", &proposal.point), ("best LASSO", &proposal.lasso)] {
            let FixedPoint { lambda, tpp, fdp, mse, .. } = point;
            let numbers = [lambda.upper, lambda.lower, lambda.share, *tpp, *fdp, *mse];
            let cells = numbers.map(|x| significant(x, 5));
            table.push_row(std::iter::once(name.to_owned()).chain(cells));
        }
        let stdout = format!("{SETTING}\n\n{}\n{SCALING}\n", table.to_terminal(None));
        Ok(Outcome { stdout, ..Outcome::default() })
    }
}

fn point_json(point: &FixedPoint) -> Value {
    json!({
        "lambda1": point.lambda.upper,
        "lambda2": point.lambda.lower,
        "share": point.lambda.share,
        "tpp": point.tpp,
        "fdp": point.fdp,
        "mse": point.mse,
        "tau": point.tau,
    })
}
