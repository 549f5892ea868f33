//! `lethe slope fit`.

use clap::Args;
use report::html::Section;
use report::number::{mean_std, significant};
use serde_json::{Value, json};
use slope2::estimator::{Fitted, PenaltyForm, Strength};
use slope2::selection::{Chosen, Criterion, NoiseEnd, Score};
use slope2::{Alphas, Path, PathEnd, PathSettings, Problem, TwoLevel};

use super::flags::{
    AlphaFlags, CriterionFlag, OutFlags, Penalty, PenaltyFlags, PreparationFlags, SelectionFlags,
    SolverFlags,
};
use super::input::{DataFlags, Input};
use super::model::{Model, Words};
use super::plots::{self, Mark};
use super::statement::{Statement, left_out, number_or_word};
use crate::command::write::{self, Picture, picture};
use crate::command::{Outcome, Session};
use crate::error::{Error, Result};

/// Flags of `fit`.
#[derive(Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    data: DataFlags,
    #[command(flatten)]
    penalty: PenaltyFlags,
    #[command(flatten)]
    strength: StrengthFlags,
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

/// The strength, if it is not chosen by cross-validation or a criterion.
#[derive(Debug, Args)]
#[command(next_help_heading = "Strength")]
struct StrengthFlags {
    /// The factor on the shape of the penalty; for two levels it is lambda1.
    #[arg(long, value_name = "X")]
    alpha: Option<f64>,
    /// The strength over the smallest at which all coefficients are zero [default: 0.1].
    #[arg(long, value_name = "X")]
    alpha_fraction: Option<f64>,
    /// two-level: the higher level; with --lambda2 and --k.
    #[arg(long, value_name = "X", requires = "lambda2", requires = "k")]
    lambda1: Option<f64>,
    /// two-level: the lower level.
    #[arg(long, value_name = "X", requires = "lambda1")]
    lambda2: Option<f64>,
    /// two-level: how many coefficients are at the higher level.
    #[arg(long, value_name = "N", requires = "lambda1")]
    k: Option<usize>,
    /// Estimate the noise of a gaussian response; for bh and gaussian sequences or those of a file, and --scale sd.
    #[arg(long)]
    noise: bool,
}

/// The one way to find the strength.
#[derive(Clone, Copy, Debug)]
enum Way {
    Alpha(f64),
    Fraction(f64),
    Levels { lambda1: f64, lambda2: f64, k: usize },
    Noise,
    Criterion(CriterionFlag),
    Folds(usize),
}

/// A fit, and how it came about.
struct Found {
    fitted: Fitted,
    strength: Words,
    selection: Option<Value>,
    pictures: Vec<Picture>,
    notes: Vec<String>,
}

impl Flags {
    fn way(&self) -> Result<Way> {
        let StrengthFlags { alpha, alpha_fraction, lambda1, lambda2, k, noise } = &self.strength;
        let levels = match (lambda1, lambda2, k) {
            (Some(lambda1), Some(lambda2), Some(k)) => {
                Some(Way::Levels { lambda1: *lambda1, lambda2: *lambda2, k: *k })
            }
            _ => None,
        };
        let ways = [
            ("--alpha", alpha.map(Way::Alpha)),
            ("--alpha-fraction", alpha_fraction.map(Way::Fraction)),
            ("--lambda1", levels),
            ("--noise", noise.then_some(Way::Noise)),
            ("--criterion", self.selection.criterion.map(Way::Criterion)),
            ("--cv", self.selection.cv.map(Way::Folds)),
        ];
        let asked: Vec<(&str, Way)> =
            ways.into_iter().filter_map(|(flag, way)| Some((flag, way?))).collect();
        match asked[..] {
            [] => Ok(Way::Fraction(0.1)),
            [(_, way)] => Ok(way),
            [(first, _), (second, _), ..] => Err(Error::Usage(format!(
                "expected one way to the strength, got {first} and {second}"
            ))),
        }
    }

    /// Refuses flags that the way to the strength would not look at, or that it cannot be used with.
    fn check(&self, way: Way) -> Result<()> {
        self.selection.check()?;
        if !matches!(way, Way::Criterion(_) | Way::Folds(_)) {
            self.alphas.refuse()?;
        }
        if matches!(way, Way::Noise) {
            let PenaltyFlags { penalty, .. } = &self.penalty;
            if !self.penalty.may_be_per_noise() {
                let must = "--penalty bh, gaussian or a file";
                return Err(Error::Usage(format!("--noise is for {must}, got {penalty}")));
            }
            if !self.preparation.is_by_sd() {
                return Err(Error::Usage("--noise is for --scale sd".into()));
            }
        }
        Ok(())
    }

    /// The penalty; given levels are a shape and a strength.
    fn penalty(&self, way: Way, p: usize) -> Result<(Penalty, Way)> {
        let Way::Levels { lambda1, lambda2, k } = way else {
            return Ok((self.penalty.penalty(p)?, way));
        };
        if !self.penalty.is_two_level() || self.penalty.has_shape() {
            let must = "--penalty two-level without --ratio and --share";
            return Err(Error::Usage(format!("--lambda1, --lambda2 and --k are for {must}")));
        }
        TwoLevel::new(lambda1, lambda2, k, p)?;
        let ratio = if lambda1 == 0.0 { 1.0 } else { lambda2 / lambda1 };
        let share = if p == 0 { 0.0 } else { k as f64 / p as f64 };
        let penalty = Penalty {
            form: PenaltyForm::TwoLevel { ratio, share },
            name: "two-level".into(),
            asked: json!({ "lambda1": lambda1, "lambda2": lambda2, "k": k }),
        };
        Ok((penalty, Way::Alpha(lambda1)))
    }

    pub(super) fn outcome(&self, session: &Session) -> Result<Outcome> {
        let way = self.way()?;
        self.check(way)?;
        let input = self.data.read(self.selection.groups.as_deref())?;
        let preparation = self.preparation.preparation();
        let statement =
            Statement { input: &input, preparation: &preparation, solver: &self.solver };
        let (penalty, way) = self.penalty(way, input.n_coefficients())?;
        let found = self.find(&statement, &penalty, way, session)?;
        let Found { fitted, strength, selection, mut pictures, notes: found_notes } = found;
        let model = Model {
            statement: &statement,
            penalty: &penalty,
            fitted: &fitted,
            strength,
            selection,
            seed: self.selection.seed_used(),
        };
        let bars = plots::coefficients(&fitted, &input);
        let caption = "The largest coefficients; equal magnitudes are one cluster.";
        pictures.extend(picture("coefficients.svg", caption, bars)?);

        let json = model.json()?;
        let lines = model.lines();
        let mut folder = self.out.folder(&self.data.table.file, "fit");
        folder.add("coefficients.csv", model.coefficients_csv()?);
        for picture in &pictures {
            folder.add(picture.name, picture.svg.as_str());
        }
        let (all, _) = model.table(1000);
        let section = Section::new("Coefficients").table(&all);
        let title = format!("SLOPE fit of {}", input.response);
        folder.add("report.html", write::page(&title, &lines, &pictures, [section]));
        folder.add("model.json", json.as_str());
        let pictures = ["path.svg", "sizes.svg", "cv.svg", "criterion.svg", "coefficients.svg"];
        let stale = folder.stale(&pictures);
        let (written, files) = folder.finish();

        let (table, n) = model.table(40);
        let rest = if 40 < n {
            format!("and {} more in coefficients.csv\n", n - 40)
        } else {
            String::new()
        };
        let text =
            format!("{}\n{}\n{rest}\n{written}", write::aligned(&lines), table.to_terminal(None));
        let mut notes = statement.notes();
        notes.extend(found_notes);
        if !fitted.converged() {
            notes.push(format!(
                "the solver ended ({:?}) before the relative gap of {} was reached; see the certificate",
                fitted.report().termination,
                self.solver.tolerance
            ));
        }
        let stdout = if self.out.json { json } else { text };
        Ok(Outcome {
            stdout,
            notes,
            unfinished: !fitted.converged(),
            files,
            stale,
            ..Outcome::default()
        })
    }

    fn find(
        &self,
        statement: &Statement<'_>,
        penalty: &Penalty,
        way: Way,
        session: &Session,
    ) -> Result<Found> {
        let (simple, text, mut json) = match way {
            Way::Alpha(alpha) | Way::Levels { lambda1: alpha, .. } => {
                (Strength::Alpha(alpha), "as given".to_owned(), json!({ "by": "given" }))
            }
            Way::Fraction(fraction) => {
                let json = json!({ "by": "fraction of alpha_max", "fraction": fraction });
                (Strength::Relative(fraction), String::new(), json)
            }
            Way::Noise => (Strength::Noise, String::new(), json!({ "by": "estimated noise" })),
            Way::Criterion(flag) => return self.by_criterion(statement, penalty, flag, session),
            Way::Folds(n) => return self.by_folds(statement, penalty, n, session),
        };
        let fitted = fit(self, statement, penalty, simple, session)?;
        let mut notes = Vec::new();
        let text = match (way, fitted.noise()) {
            (_, Some(noise)) => {
                let (end, told) = noise_end(noise.end);
                json["noise_std"] = json!(noise.noise_std);
                json["rounds"] = json!(noise.history);
                json["end"] = json!(end);
                notes.extend(told.map(ToOwned::to_owned));
                let (std, n) = (significant(noise.noise_std, 6), noise.history.len());
                format!("from the noise: standard deviation {std} after {n} rounds, {end}")
            }
            (Way::Fraction(fraction), _) if 0.0 < fraction => {
                let alpha_max = fitted.alpha() / fraction;
                json["alpha_max"] = json!(alpha_max);
                let top = significant(alpha_max, 6);
                format!("{fraction} of {top}, the smallest at which all coefficients are zero")
            }
            _ => text,
        };
        let strength = strength(&fitted, &text, json);
        Ok(Found { fitted, strength, selection: None, pictures: Vec::new(), notes })
    }

    fn path(
        &self,
        statement: &Statement<'_>,
        penalty: &Penalty,
        session: &Session,
    ) -> Result<Path> {
        let Input { table, y, .. } = statement.input;
        let slope = self.solver.builder(statement.input, statement.preparation);
        let slope = slope.penalty(penalty.form.clone()).build()?;
        let settings = PathSettings { alphas: self.alphas.alphas(100), ..PathSettings::default() };
        let watch = session.watch("path");
        let path = slope.fit_path(&table.design()?, y, table.weights(), &settings, &watch)?;
        watch.finish();
        Ok(path)
    }

    fn by_criterion(
        &self,
        statement: &Statement<'_>,
        penalty: &Penalty,
        flag: CriterionFlag,
        session: &Session,
    ) -> Result<Found> {
        let path = self.path(statement, penalty, session)?;
        let chosen = along(statement, &path, self.selection.criterion(flag))?;
        let more = left_out("strengths", chosen.n_left_out(), chosen.most_df);
        let more = more.map(|text| format!("; {text}")).unwrap_or_default();
        let Chosen { values, best, .. } = chosen;
        let alpha = path.points[best].alpha;
        let fitted = fit(self, statement, penalty, Strength::Alpha(alpha), session)?;
        let (name, n) = (flag.name(), values.len());
        let value = significant(values[best], 6);
        let text = format!("best of {n} strengths by {name}: {value}{more}");
        let json = json!({ "by": name, "alpha_max": path.alpha_max });
        let strength = strength(&fitted, &text, json);
        let alphas: Vec<f64> = path.points.iter().map(|point| point.alpha).collect();
        let points = alphas.iter().copied().zip(values.iter().copied()).collect();
        let marks = [Mark { alpha, label: "chosen".into() }];
        let mut pictures = path_pictures(&path, statement, &marks)?;
        let caption = format!("{name} along the path; less is better.");
        pictures.extend(picture("criterion.svg", caption, plots::criterion(points, name, &marks))?);
        let notes = notes_of(&path, best);
        let values: Vec<Value> = values.into_iter().map(number_or_word).collect();
        let selection =
            json!({ "criterion": name, "alphas": alphas, "values": values, "best": best });
        Ok(Found { fitted, strength, selection: Some(selection), pictures, notes })
    }

    fn by_folds(
        &self,
        statement: &Statement<'_>,
        penalty: &Penalty,
        n_folds: usize,
        session: &Session,
    ) -> Result<Found> {
        let (folds, folds_words) = self.selection.folds(statement.input, n_folds)?;
        let score = self.selection.score(statement.input);
        let path = self.path(statement, penalty, session)?;
        // The strengths of the path, so that candidates and curve agree.
        let alphas: Vec<f64> = path.points.iter().map(|point| point.alpha).collect();
        let by_folds = Strength::CrossValidated {
            alphas: Alphas::Given(alphas.clone()),
            folds,
            score: Some(score),
            rule: self.selection.rule(),
        };
        let fitted = fit(self, statement, penalty, by_folds, session)?;
        let Some(validated) = fitted.validated() else { return Err(Error::NoResult) };
        let (best, simpler) = (validated.best, validated.one_standard_error);
        let chosen = if self.selection.one_se { simpler } else { best };
        let rule = if self.selection.one_se {
            "strongest within one standard error of the best"
        } else {
            "best"
        };
        let of_chosen = validated.scores[chosen];
        let text = format!(
            "{rule} of {} strengths by {} ({folds_words}): {}",
            alphas.len(),
            score.name(),
            mean_std(of_chosen.mean, Some(of_chosen.standard_error))
        );
        let json = json!({
            "by": "cross-validation",
            "folds": folds_words,
            "score": score.name(),
            "rule": rule,
            "alpha_max": path.alpha_max,
        });
        let strength = strength(&fitted, &text, json);
        let mut marks = vec![Mark { alpha: alphas[best], label: "best".into() }];
        if simpler != best {
            marks.push(Mark { alpha: alphas[simpler], label: "one standard error".into() });
        }
        let mut pictures = Vec::new();
        let better = if score == Score::Auc { "more" } else { "less" };
        let caption =
            format!("{} of held-out rows, {folds_words}; {better} is better.", score.name());
        pictures.extend(picture(
            "cv.svg",
            caption,
            plots::scores(&alphas, validated, score, &marks),
        )?);
        pictures.extend(path_pictures(&path, statement, &marks)?);
        let notes = notes_of(&path, chosen);
        let selection = json!({
            "score": score.name(),
            "alphas": alphas,
            "mean": validated.scores.iter().map(|s| s.mean).collect::<Vec<_>>(),
            "standard_error": validated.scores.iter().map(|s| s.standard_error).collect::<Vec<_>>(),
            "best": best,
            "one_standard_error": simpler,
        });
        Ok(Found { fitted, strength, selection: Some(selection), pictures, notes })
    }
}

/// How rounds of estimating the noise ended, and what a user may not expect of that.
fn noise_end(end: NoiseEnd) -> (&'static str, Option<&'static str>) {
    match end {
        NoiseEnd::Settled => ("settled", None),
        NoiseEnd::Saturated => (
            "saturated",
            Some(
                "the columns that were found leave no residual degrees of freedom; the noise is the last estimate that had some",
            ),
        ),
        NoiseEnd::Exact => (
            "exact",
            Some(
                "the columns that were found explain the response exactly; the noise is the last estimate above zero",
            ),
        ),
        _ => (
            "not settled",
            Some("all rounds of estimating the noise were used, and the columns still change"),
        ),
    }
}

/// What a choice at an end of the path means.
fn notes_of(path: &Path, chosen: usize) -> Vec<String> {
    let point = &path.points[chosen];
    if point.solution.coefficients.iter().all(|b| *b == 0.0) && 1 < path.points.len() {
        return vec!["no column helps: the best strength leaves all coefficients at zero".into()];
    }
    if chosen + 1 == path.points.len() && 0 < chosen && path.end == PathEnd::AllSolved {
        return vec!["the weakest penalty is the best; --last may go lower".into()];
    }
    Vec::new()
}

/// One fit with a strength.
fn fit(
    flags: &Flags,
    statement: &Statement<'_>,
    penalty: &Penalty,
    strength: Strength,
    session: &Session,
) -> Result<Fitted> {
    let Input { table, y, .. } = statement.input;
    let slope = flags.solver.builder(statement.input, statement.preparation);
    let folds = matches!(strength, Strength::CrossValidated { .. });
    let name = if folds { "cross-validation" } else { "fit" };
    let slope = slope.penalty(penalty.form.clone()).strength(strength).build()?;
    let watch = session.watch(name);
    let fitted = slope.fit_with(&table.design()?, y, table.weights(), &watch)?;
    watch.finish();
    Ok(fitted)
}

fn strength(fitted: &Fitted, text: &str, mut json: Value) -> Words {
    json["alpha"] = json!(fitted.alpha());
    Words { text: format!("alpha = {}, {text}", significant(fitted.alpha(), 6)), json }
}

/// A criterion along a path.
pub(super) fn along(
    statement: &Statement<'_>,
    path: &Path,
    criterion: Criterion,
) -> Result<Chosen> {
    let design = statement.input.table.design()?;
    let observations = statement.input.observations(&design);
    let along = |problem: &Problem<'_, ()>| criterion.along(path, problem, None);
    Ok(observations.with_problem(statement.preparation, along)?)
}

/// The pictures of a path.
pub(super) fn path_pictures(
    path: &Path,
    statement: &Statement<'_>,
    marks: &[Mark],
) -> Result<Vec<Picture>> {
    let svg = plots::path(path, statement.input, marks);
    let mut pictures = Vec::new();
    pictures.extend(picture("path.svg", plots::path_caption(path), svg)?);
    let caption = "How many columns share the magnitude of the cluster, are not zero, and differ in magnitude.";
    pictures.extend(picture("sizes.svg", caption, plots::members(path, marks))?);
    Ok(pictures)
}
