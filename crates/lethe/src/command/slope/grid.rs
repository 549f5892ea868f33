//! `lethe slope grid`.

use clap::Args;
use report::html::Section;
use report::number::{mean_std, significant};
use report::plot::{Plot, Series};
use report::table::Table;
use serde::Serialize;
use serde_json::{Value, json};
use slope2::estimator::{Fitted, PenaltyForm, Strength};
use slope2::selection::{Chosen, Criterion, Fitness, Noise};
use slope2::{Cell, Grid, GridSettings, n_clusters};

use super::flags::{
    AlphaFlags, CriterionFlag, OutFlags, Penalty, PreparationFlags, SelectionFlags, SolverFlags,
};
use super::input::DataFlags;
use super::model::{Model, Words};
use super::plots;
use super::statement::{ROUNDING, Statement, certificate_json, left_out, number_or_word};
use crate::command::write::{self, picture};
use crate::command::{Outcome, Session};
use crate::error::{Error, Result};

/// Flags of `grid`.
#[derive(Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    data: DataFlags,
    /// lambda2 / lambda1, each from 0 to 1.
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Penalty",
          default_values_t = [0.0, 0.1, 0.25, 0.5, 0.75, 1.0])]
    ratios: Vec<f64>,
    /// Shares of the coefficients at lambda1, each from 0 to 1.
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Penalty",
          default_values_t = [0.01, 0.05, 0.1, 0.2, 0.4, 0.6])]
    shares: Vec<f64>,
    #[command(flatten)]
    selection: SelectionFlags,
    #[command(flatten)]
    alphas: AlphaFlags,
    #[command(flatten)]
    preparation: PreparationFlags,
    #[command(flatten)]
    solver: SolverFlags,
    #[command(flatten)]
    out: OutFlags,
}

/// Version 1 of the grid file.
#[derive(Serialize)]
struct Written {
    format: &'static str,
    version: u64,
    columns: Vec<String>,
    response: String,
    statement: Value,
    penalty: Value,
    strength: Value,
    seed: Option<u64>,
    n_cells: usize,
    n_lasso_fits: usize,
    n_cell_fits: usize,
    best: usize,
    cells: Vec<Value>,
}

/// What the cells are compared by.
struct Compared {
    name: &'static str,
    /// Less is better.
    values: Vec<f64>,
    errors: Option<Vec<f64>>,
    best: usize,
    fitted: Fitted,
    strength: Words,
}

impl Flags {
    pub(super) fn outcome(&self, session: &Session) -> Result<Outcome> {
        self.selection.check()?;
        let input = self.data.read(self.selection.groups.as_deref())?;
        let preparation = self.preparation.preparation();
        let statement =
            Statement { input: &input, preparation: &preparation, solver: &self.solver };
        let settings = GridSettings {
            lambda1: self.alphas.alphas(50),
            ratios: self.ratios.clone(),
            shares: self.shares.clone(),
        };
        let slope = self.solver.builder(&input, &preparation).build()?;
        let table = &input.table;
        let watch = session.watch("grid");
        let grid =
            slope.fit_grid(&table.design()?, &input.y, table.weights(), &settings, &watch)?;
        watch.finish();
        let compared = match self.selection.cv {
            Some(n_folds) => self.by_folds(&statement, &settings, n_folds, session)?,
            None => {
                let flag = self.selection.criterion.unwrap_or(CriterionFlag::Bic);
                self.by_criterion(&statement, &grid, flag)?
            }
        };
        let penalty = Penalty {
            form: PenaltyForm::TwoLevelGrid {
                ratios: self.ratios.clone(),
                shares: self.shares.clone(),
            },
            name: "two-level".into(),
            asked: json!({ "ratios": self.ratios, "shares": self.shares }),
        };
        let model = Model {
            statement: &statement,
            penalty: &penalty,
            fitted: &compared.fitted,
            strength: compared.strength.clone(),
            selection: Some(json!({ "grid": "grid.json" })),
            seed: self.selection.seed_used(),
        };
        let mut lines = model.lines();
        lines.push((
            "grid".into(),
            format!(
                "{} cells: {} fits of a LASSO, {} of single cells; the other {} share a solution",
                grid.cells.len(),
                grid.n_lasso_fits,
                grid.n_cell_fits,
                grid.cells.len().saturating_sub(grid.n_cell_fits)
            ),
        ));
        let json = write::json(&Written {
            format: "lethe-slope-grid",
            version: 1,
            columns: table.names(),
            response: input.response.clone(),
            statement: statement.json(),
            penalty: json!({ "form": "two-level", "ratios": self.ratios, "shares": self.shares, "rounding": ROUNDING }),
            strength: compared.strength.json.clone(),
            seed: self.selection.seed_used(),
            n_cells: grid.cells.len(),
            n_lasso_fits: grid.n_lasso_fits,
            n_cell_fits: grid.n_cell_fits,
            best: compared.best,
            cells: (0..grid.cells.len()).map(|i| cell_json(&grid, i, &compared)).collect(),
        })?;
        let best = self.best_cells(&grid, &compared);
        let mut pictures = Vec::new();
        let caption = format!(
            "{} over lambda1, for each ratio the best share; the cross marks the choice.",
            compared.name
        );
        pictures.extend(picture("grid.svg", caption, self.plot(&grid, &compared))?);
        let caption =
            "The largest coefficients of the chosen cell; equal magnitudes are one cluster.";
        pictures.extend(picture(
            "coefficients.svg",
            caption,
            plots::coefficients(&compared.fitted, &input),
        )?);

        let mut folder = self.out.folder(&self.data.table.file, "grid");
        folder.add("grid.csv", grid_csv(&grid, &compared)?);
        folder.add("coefficients.csv", model.coefficients_csv()?);
        for picture in &pictures {
            folder.add(picture.name, picture.svg.as_str());
        }
        let (coefficients, _) = model.table(1000);
        let sections = [
            Section::new("Best cells").table(&best),
            Section::new("Coefficients of the chosen cell").table(&coefficients),
        ];
        let title = format!("SLOPE grid of {}", input.response);
        folder.add("report.html", write::page(&title, &lines, &pictures, sections));
        folder.add("grid.json", json.as_str());
        folder.add("model.json", model.json()?);
        let stale = folder.stale(&["grid.svg", "coefficients.svg"]);
        let (written, files) = folder.finish();
        let mut notes = statement.notes();
        let tolerance = self.solver.tolerance;
        let is_open = |cell: &Cell| !cell.certificate.holds(tolerance.max(1e-12));
        let unfinished = grid.cells.iter().filter(|cell| is_open(cell)).count();
        if 0 < unfinished {
            let all = grid.cells.len();
            notes
                .push(format!("{unfinished} of {all} cells have a relative gap above {tolerance}"));
        }
        let text = format!("{}\n{}\n\n{written}", write::aligned(&lines), best.to_terminal(None));
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

    fn by_folds(
        &self,
        statement: &Statement<'_>,
        settings: &GridSettings,
        n_folds: usize,
        session: &Session,
    ) -> Result<Compared> {
        let input = statement.input;
        let (folds, folds_words) = self.selection.folds(input, n_folds)?;
        let score = self.selection.score(input);
        let penalty = PenaltyForm::TwoLevelGrid {
            ratios: settings.ratios.clone(),
            shares: settings.shares.clone(),
        };
        let strength = Strength::CrossValidated {
            alphas: settings.lambda1.clone(),
            folds,
            score: Some(score),
            rule: self.selection.rule(),
        };
        let slope = self.solver.builder(input, statement.preparation);
        let slope = slope.penalty(penalty).strength(strength).build()?;
        let watch = session.watch("cross-validation");
        let fitted =
            slope.fit_with(&input.table.design()?, &input.y, input.table.weights(), &watch)?;
        watch.finish();
        let validated = fitted.validated().ok_or(Error::NoResult)?;
        let one_se = self.selection.one_se;
        let best = if one_se { validated.one_standard_error } else { validated.best };
        let chosen = validated.scores[best];
        let rule = if one_se { "strongest within one standard error of the best" } else { "best" };
        let text = format!(
            "lambda1 = {}, {rule} cell by {} ({folds_words}): {}",
            significant(fitted.alpha(), 6),
            score.name(),
            mean_std(chosen.mean, Some(chosen.standard_error))
        );
        let json = json!({
            "by": "cross-validation",
            "alpha": fitted.alpha(),
            "folds": folds_words,
            "score": score.name(),
            "rule": rule,
        });
        // What is best comes first, whether more or less of it is better.
        let values = validated.scores.iter().map(|s| score.loss(s.mean)).collect();
        let errors = validated.scores.iter().map(|s| s.standard_error).collect();
        let name = if score.loss(1.0) < 0.0 { "minus auc" } else { score.name() };
        let strength = Words { text, json };
        Ok(Compared { name, values, errors: Some(errors), best, fitted, strength })
    }

    fn by_criterion(
        &self,
        statement: &Statement<'_>,
        grid: &Grid,
        flag: CriterionFlag,
    ) -> Result<Compared> {
        let chosen = among(statement, grid, self.selection.criterion(flag))?;
        let of_cell = |cell: &Cell| chosen.values[cell.solution];
        let values: Vec<f64> = grid.cells.iter().map(of_cell).collect();
        let n_left_out = values.iter().filter(|value| **value == f64::INFINITY).count();
        let more = left_out("cells", n_left_out, chosen.most_df);
        let more = more.map(|text| format!("; {text}")).unwrap_or_default();
        let best = (0..values.len()).min_by(|a, b| values[*a].total_cmp(&values[*b]));
        let best = best.ok_or(Error::NoResult)?;
        let Cell { penalty, ratio, share, .. } = grid.cells[best];
        let input = statement.input;
        let slope = self.solver.builder(input, statement.preparation);
        let slope = slope.penalty(PenaltyForm::TwoLevel { ratio, share });
        let slope = slope.strength(Strength::Alpha(penalty.lambda1())).build()?;
        let silent = slope2::Silent;
        let fitted =
            slope.fit_with(&input.table.design()?, &input.y, input.table.weights(), &silent)?;
        let name = flag.name();
        let text = format!(
            "lambda1 = {}, best cell by {name}: {}{more}",
            significant(fitted.alpha(), 6),
            significant(values[best], 6)
        );
        let json = json!({ "by": name, "alpha": fitted.alpha() });
        Ok(Compared { name, values, errors: None, best, fitted, strength: Words { text, json } })
    }

    /// The best strength of each ratio and share, best first, and the cell that was chosen, which may be another one.
    fn best_cells(&self, grid: &Grid, compared: &Compared) -> Table {
        const ROWS: usize = 12;
        let per_strength = (self.ratios.len() * self.shares.len()).max(1);
        let mut best: Vec<usize> = (0..per_strength.min(grid.cells.len()))
            .filter_map(|place| {
                let cells = (place..grid.cells.len()).step_by(per_strength);
                cells.min_by(|a, b| compared.values[*a].total_cmp(&compared.values[*b]))
            })
            .collect();
        let by_value = |a: &usize, b: &usize| compared.values[*a].total_cmp(&compared.values[*b]);
        best.sort_by(by_value);
        best.truncate(ROWS);
        if !best.contains(&compared.best) {
            best.push(compared.best);
            best.sort_by(by_value);
        }
        let mut table = Table::new([
            "",
            compared.name,
            "ratio",
            "share",
            "k",
            "lambda1",
            "lambda2",
            "not zero",
        ]);
        for i in best {
            let cell = &grid.cells[i];
            let error = compared.errors.as_ref().map(|errors| errors[i]);
            let value = match error {
                Some(error) => mean_std(compared.values[i], Some(error)),
                None => significant(compared.values[i], 6),
            };
            let nonzero = grid.solution(i).map_or(0, |s| nonzero(&s.coefficients));
            table.push_row([
                if i == compared.best { "chosen".to_owned() } else { String::new() },
                value,
                cell.ratio.to_string(),
                cell.share.to_string(),
                cell.penalty.k().to_string(),
                significant(cell.penalty.lambda1(), 4),
                significant(cell.penalty.lambda2(), 4),
                nonzero.to_string(),
            ]);
        }
        table
    }

    fn plot(&self, grid: &Grid, compared: &Compared) -> report::Result<report::plot::Svg> {
        let (r, s) = (self.ratios.len(), self.shares.len());
        let mut plot =
            Plot::new("Grid").x_label("lambda1").y_label(compared.name).log_x().size(720, 320);
        for (i, ratio) in self.ratios.iter().enumerate() {
            let rows = grid.cells.chunks_exact((r * s).max(1)).enumerate();
            let points = rows.map(|(row, cells)| {
                let first = row * r * s + i * s;
                let values = compared.values[first..first + s].iter().copied();
                (cells[i * s].penalty.lambda1(), values.fold(f64::INFINITY, f64::min))
            });
            plot = plot.series(Series::line(format!("ratio {ratio}"), points));
        }
        let chosen = (grid.cells[compared.best].penalty.lambda1(), compared.values[compared.best]);
        plot.series(Series::points("chosen", [chosen])).to_svg()
    }
}

fn nonzero(coefficients: &[f64]) -> usize {
    coefficients.iter().filter(|b| **b != 0.0).count()
}

/// A criterion among the solutions of the grid.
fn among(statement: &Statement<'_>, grid: &Grid, criterion: Criterion) -> Result<Chosen> {
    let input = statement.input;
    let design = input.table.design()?;
    let chosen = input.observations(&design).with_problem(statement.preparation, |problem| {
        let n = problem.datafit.y().len();
        let mut eta = vec![0.0; problem.datafit.n_etas()];
        let mut fits = Vec::with_capacity(grid.solutions.len());
        for solution in &grid.solutions {
            problem.design.apply(&solution.coefficients, &mut eta);
            for (intercept, eta) in solution.intercepts.iter().zip(eta.chunks_mut(n)) {
                eta.iter_mut().for_each(|e| *e += intercept);
            }
            let deviance = problem.datafit.deviance(&eta);
            fits.push(Fitness::of(problem, &solution.coefficients, deviance));
        }
        criterion.among(&fits, Noise::of(problem))
    })?;
    Ok(chosen)
}

fn cell_json(grid: &Grid, i: usize, compared: &Compared) -> Value {
    let cell = &grid.cells[i];
    let solution = grid.solution(i);
    let converged = solution.map(|s| s.report.termination == slope2::Termination::GapReached);
    json!({
        "lambda1": cell.penalty.lambda1(),
        "lambda2": cell.penalty.lambda2(),
        "k": cell.penalty.k(),
        "ratio": cell.ratio,
        "share": cell.share,
        "solution": cell.solution,
        "nonzero": solution.map(|s| nonzero(&s.coefficients)),
        "distinct_magnitudes": solution.map(|s| n_clusters(&s.coefficients)),
        "certificate": certificate_json(&cell.certificate),
        "converged": converged,
        compared.name: number_or_word(compared.values[i]),
        "standard_error": compared.errors.as_ref().map(|errors| errors[i]),
    })
}

fn grid_csv(grid: &Grid, compared: &Compared) -> Result<Vec<u8>> {
    let header = [
        "lambda1",
        "lambda2",
        "k",
        "ratio",
        "share",
        "solution",
        "nonzero",
        "distinct_magnitudes",
        "gap",
        compared.name,
        "standard_error",
    ];
    let rows = grid.cells.iter().enumerate().map(|(i, cell)| {
        let of =
            |f: fn(&[f64]) -> usize| grid.solution(i).map_or(0, |s| f(&s.coefficients)).to_string();
        let error = compared.errors.as_ref().map(|errors| errors[i].to_string());
        vec![
            cell.penalty.lambda1().to_string(),
            cell.penalty.lambda2().to_string(),
            cell.penalty.k().to_string(),
            cell.ratio.to_string(),
            cell.share.to_string(),
            cell.solution.to_string(),
            of(nonzero),
            of(n_clusters),
            cell.certificate.gap().to_string(),
            compared.values[i].to_string(),
            error.unwrap_or_default(),
        ]
    });
    write::csv(&header, rows)
}
