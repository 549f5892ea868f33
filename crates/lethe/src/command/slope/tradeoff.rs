//! `lethe slope tradeoff`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;
use rayon::prelude::*;
use report::number::significant;
use report::plot::{Plot, Series};
use report::table::Table;
use serde::Serialize;
use serde_json::{Value, json};
use slope2::Progress;
use slope2::theory::{donoho_tanner, lasso_fdp, slope_upper_fdp, two_level_fdp};

use crate::command::write::{self, Folder, Picture};
use crate::command::{Outcome, Session};
use crate::error::{Error, Result};

/// What the curves are about.
pub(super) const SETTING: &str = "n x p designs with independent entries N(0, 1/n), n / p = delta, a share eps of the \
    coefficients not zero, loss 1/2 sum (y - x b)^2 without standardisation, n and p growing";

/// Flags of `tradeoff`.
#[derive(Debug, Args)]
pub struct Flags {
    /// Rows for each column, n / p.
    #[arg(long)]
    delta: f64,
    /// The share of the coefficients that are not zero.
    #[arg(long)]
    eps: f64,
    /// Number of points of each curve.
    #[arg(long, value_name = "N", default_value_t = 50)]
    points: usize,
    /// The folder of the results.
    #[arg(long, value_name = "FOLDER", default_value = "tradeoff")]
    out: PathBuf,
    /// Print the JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Version 1 of the curves.
#[derive(Serialize)]
struct Written<'a> {
    format: &'static str,
    version: u64,
    setting: &'static str,
    delta: f64,
    eps: f64,
    donoho_tanner: Value,
    columns: [&'static str; 4],
    curves: &'a [Point],
}

/// False discovery proportions at one true positive proportion.
#[derive(Clone, Copy, Debug, Serialize)]
struct Point {
    tpp: f64,
    /// None beyond the limit of the LASSO.
    lasso: Option<f64>,
    two_level: f64,
    slope_upper: f64,
}

impl Flags {
    pub(super) fn outcome(&self, session: &Session) -> Result<Outcome> {
        if self.points == 0 {
            return Err(Error::Usage("--points: expected at least 1, got 0".into()));
        }
        let limit = donoho_tanner(self.delta, self.eps)?;
        let points = self.points(session)?;
        let (delta, eps) = (self.delta, self.eps);
        let json = write::json(&Written {
            format: "lethe-slope-tradeoff",
            version: 1,
            setting: SETTING,
            delta,
            eps,
            donoho_tanner: json!({ "eps_star": limit.eps_star, "u_star": limit.u_star }),
            columns: ["tpp", "lasso", "two_level", "slope_upper"],
            curves: &points,
        })?;
        let lines = vec![
            ("setting".to_owned(), SETTING.to_owned()),
            ("delta, eps".to_owned(), format!("{delta}, {eps}")),
            (
                "LASSO".to_owned(),
                if limit.u_star < 1.0 {
                    format!(
                        "selects at most {} of the signals (Donoho-Tanner)",
                        significant(limit.u_star, 6)
                    )
                } else {
                    "can select all signals".to_owned()
                },
            ),
        ];
        let svg = self.plot(&points, limit.u_star)?;
        let caption = format!(
            "The smallest false discovery proportion for each true positive proportion; {SETTING}."
        );
        let pictures = [Picture { name: "tradeoff.svg", caption, svg }];
        let mut folder = Folder::named(self.out.clone());
        let text = |x: Option<f64>| x.map(|x| x.to_string()).unwrap_or_default();
        let rows = points.iter().map(|p| {
            vec![
                p.tpp.to_string(),
                text(p.lasso),
                p.two_level.to_string(),
                p.slope_upper.to_string(),
            ]
        });
        folder
            .add("tradeoff.csv", write::csv(&["tpp", "lasso", "two_level", "slope_upper"], rows)?);
        folder.add("tradeoff.svg", pictures[0].svg.as_str());
        folder.add("report.html", write::page("Trade-off", &lines, &pictures, []));
        folder.add("tradeoff.json", json.as_str());
        let (written, files) = folder.finish();
        let table = table(&points).to_terminal(None);
        let text = format!("{}\n{table}\n\n{written}", write::aligned(&lines));
        let stdout = if self.json { json } else { text };
        Ok(Outcome { stdout, files, ..Outcome::default() })
    }

    fn points(&self, session: &Session) -> Result<Vec<Point>> {
        let (delta, eps, n) = (self.delta, self.eps, self.points);
        let watch = session.watch("trade-off");
        let done = AtomicUsize::new(0);
        let point = |i: usize| -> slope2::Result<Point> {
            // The last point is the recovery of all signals.
            let tpp = (i + 1) as f64 / n as f64;
            let point = Point {
                tpp,
                lasso: lasso_fdp(delta, eps, tpp)?,
                two_level: two_level_fdp(delta, eps, tpp)?.fdp,
                slope_upper: slope_upper_fdp(delta, eps, tpp)?,
            };
            match watch.advance(done.fetch_add(1, Ordering::Relaxed) + 1, n) {
                std::ops::ControlFlow::Continue(()) => Ok(point),
                std::ops::ControlFlow::Break(()) => Err(slope2::Error::Cancelled),
            }
        };
        let points = (0..n).into_par_iter().map(point).collect::<slope2::Result<Vec<Point>>>()?;
        watch.finish();
        Ok(points)
    }

    fn plot(&self, points: &[Point], u_star: f64) -> report::Result<report::plot::Svg> {
        let of = |f: fn(&Point) -> f64| points.iter().map(move |p| (p.tpp, f(p)));
        let mut plot = Plot::new(format!("Trade-off, delta = {}, eps = {}", self.delta, self.eps))
            .x_label("true positive proportion")
            .y_label("false discovery proportion")
            .x_range(0.0, 1.0)
            .y_range(0.0, 1.0)
            .size(640, 400)
            .series(Series::line("LASSO", of(|p| p.lasso.unwrap_or(f64::NAN))))
            .series(Series::line("two levels", of(|p| p.two_level)))
            .series(Series::line("upper bound of SLOPE", of(|p| p.slope_upper)));
        if u_star < 1.0 {
            plot = plot.vertical(u_star, "limit of the LASSO (Donoho-Tanner)");
        }
        plot.to_svg()
    }
}

fn table(points: &[Point]) -> Table {
    const ROWS: usize = 10;
    let mut table = Table::new(["true positives", "LASSO", "two levels", "upper bound of SLOPE"]);
    let step = points.len().div_ceil(ROWS).max(1);
    let shown = points.iter().rev().step_by(step).collect::<Vec<_>>();
    for point in shown.into_iter().rev() {
        table.push_row([
            significant(point.tpp, 3),
            point.lasso.map_or("impossible".to_owned(), |q| significant(q, 4)),
            significant(point.two_level, 4),
            significant(point.slope_upper, 4),
        ]);
    }
    table
}
