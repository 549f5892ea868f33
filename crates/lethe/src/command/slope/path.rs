//! `lethe slope path`.

use clap::Args;
use report::number::significant;
use report::table::Table;
use serde::Serialize;
use serde_json::{Value, json};
use slope2::selection::{Chosen, Criterion};
use slope2::{Path, PathEnd, PathPoint, PathSettings, Termination, clusters};

use super::fit::{along, path_pictures};
use super::flags::{AlphaFlags, OutFlags, PenaltyFlags, PreparationFlags, SolverFlags};
use super::input::{DataFlags, Input};
use super::plots::Mark;
use super::statement::{
    Statement, certificate_json, left_out, number_or_word, penalty_json, shape_words,
};
use crate::command::write;
use crate::command::{Outcome, Session};
use crate::error::Result;

/// Flags of `path`.
#[derive(Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    data: DataFlags,
    #[command(flatten)]
    penalty: PenaltyFlags,
    #[command(flatten)]
    alphas: AlphaFlags,
    /// Go on to the last strength, though the deviance is explained or hardly changes.
    #[arg(long, help_heading = "Strengths")]
    whole: bool,
    #[command(flatten)]
    preparation: PreparationFlags,
    #[command(flatten)]
    solver: SolverFlags,
    #[command(flatten)]
    out: OutFlags,
}

/// Version 1 of the path file.
#[derive(Serialize)]
struct Written {
    format: &'static str,
    version: u64,
    columns: Vec<String>,
    response: String,
    statement: Value,
    penalty: Value,
    /// Nothing is random.
    seed: Option<u64>,
    alpha_max: f64,
    null_deviance: f64,
    end: &'static str,
    points: Vec<Value>,
}

/// Criteria along the path.
struct Criteria(Vec<(&'static str, Chosen)>);

impl Flags {
    pub(super) fn outcome(&self, session: &Session) -> Result<Outcome> {
        let input = self.data.read(None)?;
        let preparation = self.preparation.preparation();
        let statement =
            Statement { input: &input, preparation: &preparation, solver: &self.solver };
        let penalty = self.penalty.penalty(input.n_coefficients())?;
        let slope =
            self.solver.builder(&input, &preparation).penalty(penalty.form.clone()).build()?;
        let mut settings =
            PathSettings { alphas: self.alphas.alphas(100), ..PathSettings::default() };
        if self.whole {
            (settings.enough, settings.least_change) = (f64::INFINITY, f64::NEG_INFINITY);
        }
        let Input { table, y, .. } = &input;
        let watch = session.watch("path");
        let path = slope.fit_path(&table.design()?, y, table.weights(), &settings, &watch)?;
        watch.finish();

        let mut criteria = Criteria(Vec::new());
        for (name, criterion) in
            [("aic", Criterion::Aic), ("bic", Criterion::Bic), ("gcv", Criterion::Gcv)]
        {
            criteria.0.push((name, along(&statement, &path, criterion)?));
        }
        let unfinished = path.points.iter().filter(|point| !reached(point)).count();
        let mut lines = statement.lines();
        lines.push(("penalty".into(), format!("alpha times {}", shape_words(&penalty))));
        lines.push((
            "strengths".into(),
            format!(
                "{} from alpha_max = {} down to {}; {}",
                path.points.len(),
                significant(path.alpha_max, 6),
                significant(path.points.last().map_or(0.0, |point| point.alpha), 6),
                end(path.end)
            ),
        ));
        let worst = path.points.iter().map(|p| p.solution.certificate.relative_gap());
        let worst = worst.fold(0.0, f64::max);
        let text = format!("largest relative duality gap {}", significant(worst, 2));
        lines.push(("certificate".into(), text));
        let most = criteria.0.iter().max_by_key(|(_, chosen)| chosen.n_left_out());
        let text =
            most.and_then(|(_, chosen)| left_out("strengths", chosen.n_left_out(), chosen.most_df));
        lines.extend(text.map(|text| ("criteria".into(), text)));

        let json = write::json(&Written {
            format: "lethe-slope-path",
            version: 1,
            columns: input.table.names(),
            response: input.response.clone(),
            statement: statement.json(),
            penalty: penalty_json(&penalty, None),
            seed: None,
            alpha_max: path.alpha_max,
            null_deviance: path.null_deviance,
            end: end(path.end),
            points: (0..path.points.len()).map(|i| point_json(&path, i, &criteria)).collect(),
        })?;
        let marks: Vec<Mark> = criteria
            .0
            .iter()
            .filter(|(name, ..)| *name == "bic")
            .map(|(name, chosen)| Mark {
                alpha: path.points[chosen.best].alpha,
                label: format!("least {name}"),
            })
            .collect();
        let pictures = path_pictures(&path, &statement, &marks)?;
        let mut folder = self.out.folder(&self.data.table.file, "path");
        folder.add("path.csv", path_csv(&path, &criteria)?);
        folder.add("coefficients.csv", coefficients_csv(&path, &input)?);
        for picture in &pictures {
            folder.add(picture.name, picture.svg.as_str());
        }
        let title = format!("SLOPE path of {}", input.response);
        folder.add("report.html", write::page(&title, &lines, &pictures, []));
        folder.add("path.json", json.as_str());
        let stale = folder.stale(&["path.svg", "sizes.svg"]);
        let (written, files) = folder.finish();
        let mut notes = statement.notes();
        if 0 < unfinished {
            let all = path.points.len();
            notes.push(format!(
                "{unfinished} of {all} fits ended before the relative gap of {} was reached",
                self.solver.tolerance
            ));
        }
        let table = summary(&path, &criteria).to_terminal(None);
        let text = format!("{}\n{table}\n\n{written}", write::aligned(&lines));
        let stdout = if self.out.json { json } else { text };
        Ok(Outcome {
            stdout,
            notes,
            unfinished: 0 < unfinished,
            files,
            stale,
            ..Outcome::default()
        })
    }
}

fn reached(point: &PathPoint) -> bool {
    point.solution.report.termination == Termination::GapReached
}

fn end(end: PathEnd) -> &'static str {
    match end {
        PathEnd::Explained => "ended where the deviance is explained",
        PathEnd::NoChange => "ended where the explained deviance hardly changes",
        PathEnd::Saturated => "ended with more magnitudes than rows",
        _ => "all were solved",
    }
}

fn n_nonzero(point: &PathPoint) -> usize {
    point.solution.coefficients.iter().filter(|b| **b != 0.0).count()
}

/// Magnitude and size of the largest cluster.
fn cluster(point: &PathPoint) -> Option<(f64, usize)> {
    let all = clusters(&point.solution.coefficients).into_iter().filter(|c| 1 < c.members.len());
    all.max_by_key(|c| c.members.len()).map(|c| (c.magnitude, c.members.len()))
}

fn point_json(path: &Path, i: usize, criteria: &Criteria) -> Value {
    let point = &path.points[i];
    let scaled = &point.solution.coefficients;
    let nonzero: Vec<usize> = (0..scaled.len()).filter(|j| scaled[*j] != 0.0).collect();
    let of = |values: &[f64]| -> Vec<f64> { nonzero.iter().map(|j| values[*j]).collect() };
    let mut all = json!({
        "alpha": point.alpha,
        "intercepts": point.original_intercepts,
        "scaled_intercepts": point.solution.intercepts,
        "nonzero": nonzero,
        "coefficients": of(&point.original_coefficients),
        "scaled_coefficients": of(scaled),
        "distinct_magnitudes": point.n_clusters,
        "cluster": cluster(point).map(|(height, n)| json!({ "magnitude": height, "members": n })),
        "deviance": point.deviance,
        "deviance_ratio": point.deviance_ratio,
        "certificate": certificate_json(&point.solution.certificate),
        "converged": reached(point),
    });
    for (name, chosen) in &criteria.0 {
        all[*name] = number_or_word(chosen.values[i]);
    }
    all
}

fn path_csv(path: &Path, criteria: &Criteria) -> Result<Vec<u8>> {
    let mut header = vec![
        "alpha",
        "deviance_ratio",
        "nonzero",
        "distinct_magnitudes",
        "cluster_members",
        "cluster_magnitude",
        "gap",
    ];
    header.extend(criteria.0.iter().map(|(name, ..)| *name));
    let row = |(i, point): (usize, &PathPoint)| {
        let cluster = cluster(point);
        let mut row = vec![
            point.alpha.to_string(),
            point.deviance_ratio.to_string(),
            n_nonzero(point).to_string(),
            point.n_clusters.to_string(),
            cluster.map_or(0, |(_, n)| n).to_string(),
            cluster.map(|(height, _)| height.to_string()).unwrap_or_default(),
            point.solution.certificate.gap().to_string(),
        ];
        row.extend(criteria.0.iter().map(|(_, chosen)| chosen.values[i].to_string()));
        row
    };
    write::csv(&header, path.points.iter().enumerate().map(row))
}

/// Coefficients that are not zero, one in each row.
fn coefficients_csv(path: &Path, input: &Input) -> Result<Vec<u8>> {
    let header = ["alpha", "column", "class", "coefficient", "scaled_coefficient"];
    let rows = path.points.iter().flat_map(|point| {
        let scaled = point.solution.coefficients.iter().enumerate().filter(|(_, b)| **b != 0.0);
        scaled.map(|(j, b)| {
            let (column, predictor) = input.place(j);
            vec![
                point.alpha.to_string(),
                input.table.name(column).into_owned(),
                input.class_of(predictor).unwrap_or_default().to_owned(),
                point.original_coefficients[j].to_string(),
                b.to_string(),
            ]
        })
    });
    write::csv(&header, rows)
}

/// A dozen points of the path, and those that criteria choose.
fn summary(path: &Path, criteria: &Criteria) -> Table {
    const ROWS: usize = 12;
    let n = path.points.len();
    let step = n.div_ceil(ROWS).max(1);
    let mut shown: Vec<usize> = (0..n).step_by(step).chain([n.saturating_sub(1)]).collect();
    shown.extend(criteria.0.iter().map(|(_, chosen)| chosen.best));
    shown.sort_unstable();
    shown.dedup();
    let mut table =
        Table::new(["alpha", "explained", "not zero", "magnitudes", "cluster", "least"]);
    for i in shown.into_iter().filter(|i| *i < n) {
        let point = &path.points[i];
        let best = criteria.0.iter().filter(|(_, chosen)| chosen.best == i).map(|(name, _)| *name);
        let cluster = cluster(point);
        table.push_row([
            significant(point.alpha, 4),
            format!("{:.1} %", 100.0 * point.deviance_ratio),
            n_nonzero(point).to_string(),
            point.n_clusters.to_string(),
            cluster.map(|(h, n)| format!("{n} at {}", significant(h, 4))).unwrap_or_default(),
            best.collect::<Vec<_>>().join(", "),
        ]);
    }
    table
}
