//! Fits as JSON, with a version. Files are for the caller, who writes them atomically.

use serde::{Deserialize, Serialize};

use super::fitted::{Fitted, FittedPenalty};
use super::settings::FamilyKind;
use crate::certificate::Certificate;
use crate::error::{Error, Result, entries, length, number};
use crate::penalty::{SortedL1, TwoLevel};
use crate::problem::{Report, Termination};

const FORMAT: &str = "slope2 fit";
const VERSION: u64 = 1;

/// What every version begins with.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: serde_json::Value,
}

/// Version 1. A promise: fields are not changed, a new version is added.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    format: String,
    version: u64,
    family: FamilyKind,
    penalty: FittedPenalty,
    alpha: f64,
    /// One for each linear predictor, for centered and scaled columns.
    intercepts: Vec<f64>,
    coefficients: Vec<f64>,
    centers: Vec<f64>,
    scales: Vec<f64>,
    primal: f64,
    dual: f64,
    /// Missing where it is infinite, as without a penalty.
    dual_norm: Option<f64>,
    termination: SavedTermination,
    n_iters: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedTermination {
    GapReached,
    MaxIters,
    Stalled,
}

impl Fitted {
    /// The fit as JSON. Every number is read back with the same bits.
    ///
    /// # Errors
    /// [`Error::InvalidEntry`] or [`Error::InvalidNumber`] for numbers that are not finite, which JSON does not have.
    pub fn to_json(&self) -> Result<String> {
        let Certificate { primal, dual, dual_norm } = self.certificate;
        let saved = Saved {
            format: FORMAT.to_owned(),
            version: VERSION,
            family: self.family,
            penalty: self.penalty.clone(),
            alpha: self.alpha,
            intercepts: self.intercepts.clone(),
            coefficients: self.coefficients.clone(),
            centers: self.centers.clone(),
            scales: self.scales.clone(),
            primal,
            dual,
            dual_norm: (dual_norm != f64::INFINITY).then_some(dual_norm),
            termination: match self.report.termination {
                Termination::GapReached => SavedTermination::GapReached,
                Termination::MaxIters => SavedTermination::MaxIters,
                Termination::Stalled => SavedTermination::Stalled,
            },
            n_iters: self.report.n_iters,
        };
        saved.check()?;
        serde_json::to_string_pretty(&saved).map_err(malformed)
    }

    /// A fit from its JSON.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a text that is no saved fit, [`Error::UnknownVersion`] for one of another version; for numbers
    /// that do not fit together as the parts say.
    pub fn from_json(text: &str) -> Result<Self> {
        let header: Header = serde_json::from_str(text).map_err(malformed)?;
        if header.format != FORMAT {
            let what = format!("expected format `{FORMAT}`, got `{}`", header.format);
            return Err(Error::Malformed { line: 0, column: 0, what });
        }
        if header.version.as_u64() != Some(VERSION) {
            let got = header.version.to_string();
            return Err(Error::UnknownVersion { known: VERSION, got });
        }
        let saved: Saved = serde_json::from_str(text).map_err(malformed)?;
        saved.check()?;
        let Saved { primal, dual, n_iters, .. } = saved;
        let dual_norm = saved.dual_norm.unwrap_or(f64::INFINITY);
        let termination = match saved.termination {
            SavedTermination::GapReached => Termination::GapReached,
            SavedTermination::MaxIters => Termination::MaxIters,
            SavedTermination::Stalled => Termination::Stalled,
        };
        Ok(Fitted {
            family: saved.family,
            penalty: saved.penalty,
            alpha: saved.alpha,
            intercepts: saved.intercepts,
            coefficients: saved.coefficients,
            centers: saved.centers,
            scales: saved.scales,
            certificate: Certificate { primal, dual, dual_norm },
            report: Report { termination, n_iters },
            validated: None,
            noise: None,
        })
    }
}

impl Saved {
    fn check(&self) -> Result<()> {
        let (p, q) = (self.coefficients.len(), self.intercepts.len());
        let fits = if self.family == FamilyKind::Multinomial { 1 <= q } else { q == 1 };
        number("intercepts", "one for each linear predictor", fits, q as f64)?;
        length("centers", p / q, self.centers.len())?;
        length("coefficients", self.centers.len() * q, p)?;
        length("scales", p / q, self.scales.len())?;
        for (name, values) in [
            ("coefficients", &self.coefficients),
            ("centers", &self.centers),
            ("intercepts", &self.intercepts),
        ] {
            entries(name, "finite", values, f64::is_finite)?;
        }
        let holds = |s: f64| s.is_finite() && 0.0 < s;
        entries("scales", "finite and positive", &self.scales, holds)?;
        for (name, value) in [
            ("alpha", self.alpha),
            ("primal", self.primal),
            ("dual", self.dual),
            ("dual norm", self.dual_norm.unwrap_or(0.0)),
        ] {
            number(name, "finite", value.is_finite(), value)?;
        }
        match &self.penalty {
            FittedPenalty::TwoLevel { lambda1, lambda2, k } => {
                TwoLevel::new(*lambda1, *lambda2, *k, p)?;
            }
            FittedPenalty::Sequence(lambda) => {
                length("lambda", p, lambda.len())?;
                SortedL1::new(lambda.clone())?;
            }
        }
        Ok(())
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the signature of map_err")]
fn malformed(error: serde_json::Error) -> Error {
    Error::Malformed { line: error.line(), column: error.column(), what: error.to_string() }
}
