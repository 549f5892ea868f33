//! What every output says: which data, scaling, loss, penalty and solver its numbers belong to.

use report::number::significant;
use serde_json::{Value, json};
use slope2::estimator::{FamilyKind, FittedPenalty};
use slope2::{Center, Certificate, LossScale, Preparation, Scale};

use super::flags::{Penalty, SolverFlags};
use super::input::Input;

/// How many coefficients are at the higher level.
pub(super) const ROUNDING: &str = "k = round(share p), at least 1 for a share above 0";

/// The setting of a command's fits.
pub(super) struct Statement<'a> {
    pub(super) input: &'a Input,
    pub(super) preparation: &'a Preparation,
    pub(super) solver: &'a SolverFlags,
}

impl Statement<'_> {
    /// Names with what they say, for people.
    pub(super) fn lines(&self) -> Vec<(String, String)> {
        let Input { table, response, family, classes, weights, .. } = self.input;
        let (n, p) = (table.n_rows(), table.n_columns());
        let mut data = format!("{}: {n} rows, {p} columns", table.file().display());
        if table.is_sparse() {
            data += ", sparse";
        }
        let mut explained = format!("`{response}`, {}", family_name(*family));
        if let Some(classes) = classes {
            let names = classes.iter().enumerate().map(|(i, name)| format!("{i} is `{name}`"));
            explained += &format!(": {}", names.collect::<Vec<_>>().join(", "));
        }
        if *family == FamilyKind::Multinomial {
            explained += ", the reference";
        }
        let mut lines = vec![("data".into(), data), ("response".into(), explained)];
        if let Some(weights) = weights {
            lines.push(("weights".into(), format!("`{weights}`, scaled to mean 1")));
        }
        lines.push(("scaling".into(), self.scaling()));
        lines.push(("loss".into(), self.loss()));
        lines
    }

    /// The same as JSON.
    pub(super) fn json(&self) -> Value {
        let Input { table, response, family, classes, weights, .. } = self.input;
        let Preparation { center, scale, intercept, loss_scale } = self.preparation;
        let constant: Vec<_> = table.constant_columns().iter().map(|j| table.name(*j)).collect();
        json!({
            "written_by": concat!("lethe ", env!("CARGO_PKG_VERSION")),
            "data": {
                "file": table.file().display().to_string(),
                "rows": table.n_rows(),
                "columns": table.n_columns(),
                "sparse": table.is_sparse(),
                "response": response,
                "classes": classes,
                "weights": weights,
                "left_out": table.left_out(),
                "constant_columns": constant,
            },
            "family": family_name(*family),
            "standardisation": {
                "center": center_name(center),
                "scale": scale_name(scale),
                "in_words": self.scaling(),
            },
            "intercept": intercept,
            "loss": { "scale": loss_name(*loss_scale), "in_words": self.loss() },
            "solver": {
                "method": self.solver.method(),
                "tolerance": self.solver.tolerance,
            },
        })
    }

    /// Sentences about what a user may not have meant.
    pub(super) fn notes(&self) -> Vec<String> {
        const SHOWN: usize = 5;
        let table = &self.input.table;
        let constant = table.constant_columns();
        if constant.is_empty() || self.preparation.center == Center::None {
            return Vec::new();
        }
        let names = constant.iter().take(SHOWN).map(|j| format!("`{}`", table.name(*j)));
        let mut names = names.collect::<Vec<_>>().join(", ");
        if SHOWN < constant.len() {
            names += &format!(" and {} more", constant.len() - SHOWN);
        }
        vec![format!("constant columns, whose coefficients are zero: {names}")]
    }

    fn scaling(&self) -> String {
        let Preparation { center, scale, .. } = self.preparation;
        if (center, scale) == (&Center::None, &Scale::None) {
            return "columns as they are".into();
        }
        let center = match center {
            Center::Mean => "columns minus their mean",
            Center::Min => "columns minus their smallest entry",
            _ => "columns not centered",
        };
        let scale = match scale {
            Scale::Sd => "divided by their standard deviation (divisor n)",
            Scale::L1 => "divided by the sum of their magnitudes",
            Scale::L2 => "divided by the root of their sum of squares",
            Scale::Range => "divided by their range",
            Scale::MaxAbs => "divided by their largest magnitude",
            _ => "not scaled",
        };
        format!("{center}, {scale}")
    }

    fn loss(&self) -> String {
        let sum = self.preparation.loss_scale == LossScale::Sum;
        let weighted = if self.input.weights.is_some() { "w " } else { "" };
        let loss = match self.input.family {
            FamilyKind::Binomial => "(log(1 + exp(eta)) - y eta)",
            FamilyKind::Poisson => "(exp(eta) - y eta)",
            FamilyKind::Multinomial => "(log(1 + sum_k exp(eta_k)) - eta_y)",
            _ => "(y - eta)^2",
        };
        let factor = match (self.input.family, sum) {
            (FamilyKind::Gaussian, false) => "1/(2n) sum",
            (FamilyKind::Gaussian, true) => "1/2 sum",
            (_, false) => "1/n sum",
            (_, true) => "sum",
        };
        let eta = match (self.input.family, self.preparation.intercept) {
            (FamilyKind::Multinomial, true) => "eta_k = b0_k + x b_k",
            (FamilyKind::Multinomial, false) => "eta_k = x b_k",
            (_, true) => "eta = b0 + x b",
            (_, false) => "eta = x b",
        };
        format!("{factor} {weighted}{loss} with {eta} on scaled columns")
    }
}

pub(super) fn family_name(family: FamilyKind) -> &'static str {
    family.loss(&[]).name()
}

fn center_name(center: &Center) -> &'static str {
    match center {
        Center::Mean => "mean",
        Center::Min => "min",
        Center::Given(_) => "given",
        _ => "none",
    }
}

fn scale_name(scale: &Scale) -> &'static str {
    match scale {
        Scale::Sd => "sd",
        Scale::L1 => "l1",
        Scale::L2 => "l2",
        Scale::Range => "range",
        Scale::MaxAbs => "max-abs",
        Scale::Given(_) => "given",
        _ => "none",
    }
}

fn loss_name(scale: LossScale) -> &'static str {
    match scale {
        LossScale::Mean => "mean",
        LossScale::Sum => "sum",
    }
}

/// The shape of a penalty, in words.
pub(super) fn shape_words(asked: &Penalty) -> String {
    let settings = asked.asked.as_object().into_iter().flatten();
    let settings: Vec<String> = settings.map(|(name, value)| format!("{name} {value}")).collect();
    let mut text = asked.name.clone();
    if !settings.is_empty() {
        text += &format!(" with {}", settings.join(", "));
    }
    if asked.name == "two-level" {
        text += &format!("; {ROUNDING}");
    }
    text
}

/// A penalty with its strength, in words.
pub(super) fn penalty_words(asked: &Penalty, fitted: &FittedPenalty, p: usize) -> String {
    let short = |x: f64| significant(x, 6);
    match fitted {
        FittedPenalty::TwoLevel { lambda1, lambda2, k } => {
            let two = slope2::TwoLevel::new(*lambda1, *lambda2, *k, p);
            if let Some(lambda) = two.ok().and_then(|two| two.as_lasso()) {
                return format!("LASSO: lambda = {}", short(lambda));
            }
            format!(
                "two levels: lambda1 = {} on the {k} largest magnitudes, lambda2 = {} on the other {}; {ROUNDING}",
                short(*lambda1),
                short(*lambda2),
                p - k
            )
        }
        FittedPenalty::Sequence(lambda) => {
            let end = |x: Option<&f64>| short(x.copied().unwrap_or(0.0));
            let (first, last) = (end(lambda.first()), end(lambda.last()));
            format!("{}: {p} weights from {first} down to {last}", asked.name)
        }
        _ => asked.name.clone(),
    }
}

/// A penalty with its strength, as JSON.
pub(super) fn penalty_json(asked: &Penalty, fitted: Option<&FittedPenalty>) -> Value {
    let mut all = json!({ "form": asked.name, "asked": asked.asked });
    match fitted {
        Some(FittedPenalty::TwoLevel { lambda1, lambda2, k }) => {
            all["lambda1"] = json!(lambda1);
            all["lambda2"] = json!(lambda2);
            all["k"] = json!(k);
        }
        Some(FittedPenalty::Sequence(lambda)) => all["lambda"] = json!(lambda),
        _ => {}
    }
    if asked.name == "two-level" {
        all["rounding"] = json!(ROUNDING);
    }
    all
}

/// How many candidates a criterion left out, and why.
pub(super) fn left_out(candidates: &str, n: usize, most_df: usize) -> Option<String> {
    let text = || format!("{n} {candidates} left out, with more than {most_df} degrees of freedom");
    (0 < n).then(text)
}

/// A value as JSON, which has no infinite numbers: the text "left out" or "exact" for a criterion that is infinite.
pub(super) fn number_or_word(value: f64) -> Value {
    match value {
        f64::INFINITY => json!("left out"),
        f64::NEG_INFINITY => json!("exact"),
        value => json!(value),
    }
}

/// What is proven about a fit, as JSON.
pub(super) fn certificate_json(certificate: &Certificate) -> Value {
    json!({
        "primal": certificate.primal,
        "dual": certificate.dual,
        "gap": certificate.gap(),
        "relative_gap": certificate.relative_gap(),
        "dual_norm": certificate.dual_norm,
    })
}

/// What is proven about a fit, in words.
pub(super) fn certificate_words(certificate: &Certificate) -> String {
    let gap = certificate.gap();
    // Rounding of the two objectives may leave a gap below zero.
    let gap = if gap <= 0.0 { "0, up to rounding".into() } else { significant(gap, 2) };
    format!("objective {}, duality gap {gap}", significant(certificate.primal, 8))
}
