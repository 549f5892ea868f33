//! Flags that several commands share.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use slope2::data::{Csv, Delimiter, csv};
use slope2::estimator::{Builder, FamilyKind, FoldPlan, Method, PenaltyForm, Rule};
use slope2::selection::{Criterion, Score};
use slope2::{Alphas, Center, LossScale, Preparation, Scale, Slope2, SortedL1};

use super::input::{Input, stem};
use crate::command::write::Folder;
use crate::error::{Error, Result};

/// The family of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Family {
    /// Any numbers, squared errors.
    Gaussian,
    /// Two classes, or 0 and 1.
    Binomial,
    /// Counts.
    Poisson,
    /// Several classes, of which the last is the reference.
    Multinomial,
}

impl Family {
    pub(super) fn kind(self) -> FamilyKind {
        match self {
            Family::Gaussian => FamilyKind::Gaussian,
            Family::Binomial => FamilyKind::Binomial,
            Family::Poisson => FamilyKind::Poisson,
            Family::Multinomial => FamilyKind::Multinomial,
        }
    }
}

/// How columns become a problem.
#[derive(Debug, Args)]
#[command(next_help_heading = "Scaling")]
pub(super) struct PreparationFlags {
    /// What is taken off each column.
    #[arg(long, value_enum, default_value_t = CenterFlag::Mean)]
    center: CenterFlag,
    /// What each column is divided by; the standard deviation has divisor n.
    #[arg(long, value_enum, default_value_t = ScaleFlag::Sd)]
    scale: ScaleFlag,
    /// Fit no intercept.
    #[arg(long)]
    no_intercept: bool,
    /// The factor of the loss: 1/n or 1. A penalty for `sum` is n times that for `mean`.
    #[arg(long, value_enum, default_value_t = LossFlag::Mean)]
    loss_scale: LossFlag,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CenterFlag {
    Mean,
    Min,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScaleFlag {
    Sd,
    L1,
    L2,
    Range,
    MaxAbs,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LossFlag {
    Mean,
    Sum,
}

impl PreparationFlags {
    /// Whether columns have one standard deviation.
    pub(super) fn is_by_sd(&self) -> bool {
        self.scale == ScaleFlag::Sd
    }

    pub(super) fn preparation(&self) -> Preparation {
        let center = match self.center {
            CenterFlag::Mean => Center::Mean,
            CenterFlag::Min => Center::Min,
            CenterFlag::None => Center::None,
        };
        let scale = match self.scale {
            ScaleFlag::Sd => Scale::Sd,
            ScaleFlag::L1 => Scale::L1,
            ScaleFlag::L2 => Scale::L2,
            ScaleFlag::Range => Scale::Range,
            ScaleFlag::MaxAbs => Scale::MaxAbs,
            ScaleFlag::None => Scale::None,
        };
        let loss_scale = match self.loss_scale {
            LossFlag::Mean => LossScale::Mean,
            LossFlag::Sum => LossScale::Sum,
        };
        Preparation { center, scale, intercept: !self.no_intercept, loss_scale }
    }
}

/// How the solver works.
#[derive(Debug, Args)]
#[command(next_help_heading = "Solver")]
pub(super) struct SolverFlags {
    /// The relative duality gap at which a fit ends.
    #[arg(long, value_name = "GAP", default_value_t = 1e-8)]
    pub(super) tolerance: f64,
    /// Most outer steps of each fit.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    max_iters: usize,
    /// The solver.
    #[arg(long, value_enum, default_value_t = MethodFlag::Suitable)]
    solver: MethodFlag,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MethodFlag {
    /// The one that suits the penalty.
    Suitable,
    /// Descent over zones: two levels and the LASSO.
    Zones,
    /// Descent over clusters: any sequence.
    Clusters,
    /// Accelerated proximal gradients.
    Fista,
}

impl SolverFlags {
    pub(super) fn method(&self) -> Method {
        match self.solver {
            MethodFlag::Suitable => Method::Suitable,
            MethodFlag::Zones => Method::ZoneDescent,
            MethodFlag::Clusters => Method::ClusterDescent,
            MethodFlag::Fista => Method::Fista,
        }
    }

    /// An estimator that needs a penalty and a strength.
    pub(super) fn builder(&self, input: &Input, preparation: &Preparation) -> Builder {
        Slope2::builder()
            .family(input.family)
            .standardize(preparation.center.clone(), preparation.scale.clone())
            .intercept(preparation.intercept)
            .loss_scale(preparation.loss_scale)
            .tolerance(self.tolerance)
            .max_iters(self.max_iters)
            .method(self.method())
    }
}

/// The shape of the penalty.
#[derive(Debug, Args)]
#[command(next_help_heading = "Penalty")]
pub(super) struct PenaltyFlags {
    /// two-level, lasso, bh, gaussian, oscar, or a file with one weight in each line, not increasing.
    #[arg(long, value_name = "FORM", default_value = "two-level")]
    pub(super) penalty: String,
    /// two-level: lambda2 / lambda1 [default: 0.5].
    #[arg(long, value_name = "0..1")]
    ratio: Option<f64>,
    /// two-level: the share of the coefficients at lambda1; k = round(share p) [default: 0.2].
    #[arg(long, value_name = "0..1")]
    share: Option<f64>,
    /// bh, gaussian: the false discovery rate [default: 0.1].
    #[arg(long, value_name = "0..1")]
    q: Option<f64>,
    /// oscar: weights are theta1 + theta2 (p - j) [default: 1].
    #[arg(long, value_name = "X")]
    theta1: Option<f64>,
    /// oscar: the step between weights [default: 1/p].
    #[arg(long, value_name = "X")]
    theta2: Option<f64>,
}

/// A penalty, and what was asked for in words.
#[derive(Clone, Debug)]
pub(super) struct Penalty {
    pub(super) form: PenaltyForm,
    pub(super) name: String,
    pub(super) asked: serde_json::Value,
}

impl PenaltyFlags {
    /// The penalty for `p` coefficients.
    pub(super) fn penalty(&self, p: usize) -> Result<Penalty> {
        let name = self.penalty.as_str();
        for (flag, is_set, forms) in [
            ("--ratio", self.ratio.is_some(), &["two-level"][..]),
            ("--share", self.share.is_some(), &["two-level"]),
            ("--q", self.q.is_some(), &["bh", "gaussian"]),
            ("--theta1", self.theta1.is_some(), &["oscar"]),
            ("--theta2", self.theta2.is_some(), &["oscar"]),
        ] {
            if is_set && !forms.contains(&name) {
                let forms = forms.join(" or ");
                return Err(Error::Usage(format!("{flag} is for --penalty {forms}, got {name}")));
            }
        }
        let q = self.q.unwrap_or(0.1);
        let (form, asked) = match name {
            "two-level" => {
                let (ratio, share) = (self.ratio.unwrap_or(0.5), self.share.unwrap_or(0.2));
                let asked = serde_json::json!({ "ratio": ratio, "share": share });
                (PenaltyForm::TwoLevel { ratio, share }, asked)
            }
            "lasso" => (PenaltyForm::Lasso, serde_json::json!({})),
            "bh" => (PenaltyForm::BenjaminiHochberg { q }, serde_json::json!({ "q": q })),
            "gaussian" => (PenaltyForm::Gaussian { q }, serde_json::json!({ "q": q })),
            "oscar" => {
                let theta1 = self.theta1.unwrap_or(1.0);
                let theta2 = self.theta2.unwrap_or(1.0 / p.max(1) as f64);
                let asked = serde_json::json!({ "theta1": theta1, "theta2": theta2 });
                (PenaltyForm::Oscar { theta1, theta2 }, asked)
            }
            file => {
                let lambda = weights_of(file, p)?;
                (PenaltyForm::Sequence(lambda), serde_json::json!({ "file": file }))
            }
        };
        let known = ["two-level", "lasso", "bh", "gaussian", "oscar"].contains(&name);
        let name = if known { name.to_owned() } else { "sequence".to_owned() };
        Ok(Penalty { form, name, asked })
    }

    pub(super) fn is_two_level(&self) -> bool {
        self.penalty == "two-level"
    }

    /// Whether weights may be meant in units of the noise.
    pub(super) fn may_be_per_noise(&self) -> bool {
        !["two-level", "lasso", "oscar"].contains(&self.penalty.as_str())
    }

    pub(super) fn has_shape(&self) -> bool {
        self.ratio.is_some() || self.share.is_some()
    }
}

/// The weights in a file, one in each line.
fn weights_of(name: &str, p: usize) -> Result<Vec<f64>> {
    let file = PathBuf::from(name);
    if !file.exists() {
        let forms = "two-level, lasso, bh, gaussian, oscar or a file";
        return Err(Error::Usage(format!("--penalty: expected {forms}, got `{name}`")));
    }
    let settings = Csv {
        delimiter: Delimiter::Whitespace,
        header: false,
        response: Some("1".into()),
        features: Some(Vec::new()),
        ..Csv::default()
    };
    let table = csv::open(&file, &settings)?;
    let must = "a finite weight that is not negative";
    let lambda = table.response()?.numbers(must, |l| 0.0 <= l)?;
    if lambda.len() != p {
        let got = lambda.len();
        let what = format!("expected {p} weights, one for each coefficient, got {got}");
        return Err(Error::file(file, what));
    }
    SortedL1::new(lambda.clone()).map_err(|e| Error::file(file, e))?;
    Ok(lambda)
}

/// Which strengths are tried.
#[derive(Debug, Args)]
#[command(next_help_heading = "Strengths")]
pub(super) struct AlphaFlags {
    /// How many strengths, in equal steps of their logarithm from the smallest at which all coefficients are zero.
    #[arg(long, value_name = "N")]
    points: Option<usize>,
    /// The last strength over the first [default: 0.0001 for more rows than columns, else 0.01].
    #[arg(long, value_name = "0..1")]
    last: Option<f64>,
}

impl AlphaFlags {
    /// Refuses strengths where one is found without trying several.
    pub(super) fn refuse(&self) -> Result<()> {
        let flags = [("--points", self.points.is_some()), ("--last", self.last.is_some())];
        match flags.iter().find(|(_, is_set)| *is_set) {
            Some((flag, _)) => Err(Error::Usage(format!("{flag} is for --cv and --criterion"))),
            None => Ok(()),
        }
    }

    pub(super) fn alphas(&self, usual: usize) -> Alphas {
        Alphas::Geometric { n_points: self.points.unwrap_or(usual), ratio: self.last }
    }
}

/// How strengths are compared.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selection")]
pub(super) struct SelectionFlags {
    /// Choose by cross-validation with this many folds.
    #[arg(long, value_name = "FOLDS")]
    pub(super) cv: Option<usize>,
    /// Repeat the folds this often.
    #[arg(long, value_name = "N", requires = "cv", conflicts_with = "groups")]
    repeats: Option<usize>,
    /// Keep the shares of the classes in all folds; always done for a response of classes, and only there.
    #[arg(long, requires = "cv", conflicts_with = "groups")]
    stratified: bool,
    /// Keep rows with equal entries in this column in one fold; `qid` in svmlight files.
    #[arg(long, value_name = "COLUMN", requires = "cv")]
    pub(super) groups: Option<String>,
    /// Take the strongest penalty within one standard error of the best.
    #[arg(long, requires = "cv")]
    pub(super) one_se: bool,
    /// What held-out rows are judged by [default: mse for gaussian, else deviance].
    #[arg(long, value_enum, requires = "cv")]
    score: Option<ScoreFlag>,
    /// Seed of the folds.
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Choose by an information criterion.
    #[arg(long, value_enum, conflicts_with = "cv")]
    pub(super) criterion: Option<CriterionFlag>,
    /// ebic: the weight of the number of models, 0 to 1 [default: 1].
    #[arg(long, value_name = "0..1")]
    gamma: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScoreFlag {
    Mse,
    Mae,
    Deviance,
    Misclass,
    Auc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CriterionFlag {
    Aic,
    Bic,
    Ebic,
    Gcv,
}

impl CriterionFlag {
    pub(super) fn name(self) -> &'static str {
        match self {
            CriterionFlag::Aic => "aic",
            CriterionFlag::Bic => "bic",
            CriterionFlag::Ebic => "ebic",
            CriterionFlag::Gcv => "gcv",
        }
    }
}

impl SelectionFlags {
    /// Refuses flags that would change nothing.
    pub(super) fn check(&self) -> Result<()> {
        if self.gamma.is_some() && self.criterion != Some(CriterionFlag::Ebic) {
            return Err(Error::Usage("--gamma is for --criterion ebic".into()));
        }
        Ok(())
    }

    pub(super) fn criterion(&self, flag: CriterionFlag) -> Criterion {
        match flag {
            CriterionFlag::Aic => Criterion::Aic,
            CriterionFlag::Bic => Criterion::Bic,
            CriterionFlag::Ebic => Criterion::Ebic { gamma: self.gamma.unwrap_or(1.0) },
            CriterionFlag::Gcv => Criterion::Gcv,
        }
    }

    /// The seed, if anything is random.
    pub(super) fn seed_used(&self) -> Option<u64> {
        self.cv.map(|_| self.seed)
    }

    pub(super) fn rule(&self) -> Rule {
        if self.one_se { Rule::OneStandardError } else { Rule::Best }
    }

    pub(super) fn score(&self, input: &Input) -> Score {
        match self.score {
            None => Score::usual(input.family.loss(&input.y)),
            Some(ScoreFlag::Mse) => Score::SquaredError,
            Some(ScoreFlag::Mae) => Score::AbsoluteError,
            Some(ScoreFlag::Deviance) => Score::Deviance,
            Some(ScoreFlag::Misclass) => Score::Misclassification,
            Some(ScoreFlag::Auc) => Score::Auc,
        }
    }

    /// The folds, and what they are in words.
    pub(super) fn folds(&self, input: &Input, n_folds: usize) -> Result<(FoldPlan, String)> {
        let (seed, n) = (self.seed, input.table.n_rows());
        if n_folds < 2 || n < n_folds {
            let must = format!("from 2 to {n}, the number of rows");
            return Err(Error::Usage(format!("--cv: expected {must}, got {n_folds}")));
        }
        let has_classes = input.family.has_classes();
        if self.stratified && !has_classes {
            return Err(Error::Usage(
                "--stratified is for --family binomial or multinomial".into(),
            ));
        }
        if let Some(column) = &self.groups {
            let missing = || Error::Usage(format!("--groups {column}: not every row has a group"));
            let groups = input.table.groups().ok_or_else(missing)?.to_vec();
            let words = format!("{n_folds} folds of groups by `{column}`, seed {seed}");
            return Ok((FoldPlan::Grouped { groups, n_folds, seed }, words));
        }
        let n_repeats = self.repeats.unwrap_or(1);
        let kind = if has_classes { " stratified" } else { "" };
        let times = if n_repeats == 1 { String::new() } else { format!(", {n_repeats} times") };
        let words = format!("{n_folds}{kind} folds{times}, seed {seed}");
        Ok((FoldPlan::Seeded { n_folds, n_repeats, seed }, words))
    }
}

/// Where results go.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutFlags {
    /// The folder of the results [default: beside the data, named like it].
    #[arg(long, value_name = "FOLDER")]
    pub(super) out: Option<PathBuf>,
    /// Print the JSON instead of tables.
    #[arg(long)]
    pub(super) json: bool,
}

impl OutFlags {
    /// The folder that was asked for, else one beside the data, named like it.
    pub(super) fn folder(&self, data: &Path, command: &str) -> Folder {
        let beside = || data.with_file_name(format!("{}.{command}", stem(data)));
        Folder::named(self.out.clone().unwrap_or_else(beside))
    }
}
