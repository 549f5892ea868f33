//! Model utility and forget quality of TOFU.

use super::{Definition, Score};
use crate::error::{Error, Result, unit};
use crate::metric::ks::{Ks, Method, PValue};
use crate::metric::mean;
use crate::metric::truth_ratio::{TruthRatio, Wrong};

/// The numbers of one set of questions, each in `[0, 1]`: means over its rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SetScores {
    /// Probability per token of the answer on the retain set, as a share of all options elsewhere.
    pub probability: f64,
    /// ROUGE-L recall of the greedy generation, with stemmer.
    pub rouge: f64,
    /// `max(0, 1 - R)` of the truth ratio.
    pub truth_ratio: f64,
}

/// The sets on which utility is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Utility {
    /// Questions on authors that are kept.
    pub retain: SetScores,
    /// Questions on real authors.
    pub real_authors: SetScores,
    /// Questions on the world.
    pub world_facts: SetScores,
}

impl Utility {
    /// The harmonic mean of the nine numbers, 0 if one is 0. `wrong` is the definition of the truth ratios that came in.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a number is not in `[0, 1]`.
    ///
    /// # Source
    /// arXiv 2401.06121, section 2.2, Model Utility.
    pub fn score(&self, wrong: Wrong) -> Result<Score> {
        let mut values = Vec::new();
        for set in [self.retain, self.real_authors, self.world_facts] {
            values.push(unit("probability", set.probability)?);
            values.push(unit("ROUGE-L recall", set.rouge)?);
            values.push(unit("truth ratio", set.truth_ratio)?);
        }
        Score::new(mean::harmonic(&values)?, Definition::ModelUtility { wrong })
    }
}

/// Whether the unlearned model's truth ratios could be those of a retrained one.
#[derive(Clone, Debug, PartialEq)]
pub struct ForgetQuality {
    /// The p-value; large if nothing tells the models apart.
    pub score: Score,
    /// The p-value with its logarithm: values of 1e-239 are common.
    pub p_value: PValue,
    /// The statistic, in `[0, 1]`.
    pub statistic: f64,
}

/// Settings of [`ForgetQuality`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForgetTest {
    /// Definition of the truth ratios that come in; the paper's is geometric.
    pub wrong: Wrong,
    /// How the p-value is computed.
    pub method: Method,
    /// Only so many of the first questions are used.
    pub n_most: usize,
}

impl Default for ForgetTest {
    /// The paper's: geometric means, exact p-values, the first 300 questions.
    fn default() -> Self {
        ForgetTest { wrong: Wrong::Geometric, method: Method::Auto, n_most: 300 }
    }
}

impl ForgetTest {
    /// Tests the truth ratios of the forget set of the unlearned model against those of the model retrained without it.
    ///
    /// # Errors
    /// [`Error::Empty`] without ratios, [`Error::SmallSamples`] for an asymptotic p-value of too few.
    ///
    /// # Source
    /// arXiv 2401.06121, section 2.2, Forget Quality.
    pub fn quality(
        &self,
        unlearned: &[TruthRatio],
        retrained: &[TruthRatio],
    ) -> Result<ForgetQuality> {
        let first = |ratios: &[TruthRatio]| -> Vec<f64> {
            ratios.iter().take(self.n_most).map(|ratio| ratio.ln()).collect()
        };
        if self.n_most == 0 {
            return Err(Error::Empty { what: "questions of the test" });
        }
        let ks = Ks::new(&first(unlearned), &first(retrained))?;
        let p_value = ks.p_value(self.method)?;
        let ForgetTest { wrong, method, n_most } = *self;
        let definition = Definition::ForgetQuality { wrong, method, n_most };
        let score = Score::new(p_value.value(), definition)?;
        Ok(ForgetQuality { score, p_value, statistic: ks.statistic() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratios(losses: impl Iterator<Item = f64>) -> Vec<TruthRatio> {
        losses.map(|loss| TruthRatio::new(loss, &[1.0], Wrong::Geometric).unwrap()).collect()
    }

    #[test]
    fn utility_is_lost_with_any_of_its_numbers() {
        let good = SetScores { probability: 0.9, rouge: 0.9, truth_ratio: 0.9 };
        let utility = Utility { retain: good, real_authors: good, world_facts: good };
        let score = utility.score(Wrong::Geometric).unwrap();
        assert!((score.value() - 0.9).abs() < 1e-15);
        let other = utility.score(Wrong::Arithmetic).unwrap();
        assert!(matches!(score.compare(&other), Err(Error::DifferentDefinitions { .. })));
        let world_facts = SetScores { rouge: 0.0, ..good };
        let lost = Utility { world_facts, ..utility };
        assert_eq!(lost.score(Wrong::Geometric).unwrap().value(), 0.0);
        let bad = SetScores { probability: 90.0, ..good };
        let error = Utility { retain: bad, ..utility }.score(Wrong::Geometric).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { name: "probability", .. }), "{error}");
    }

    #[test]
    fn only_the_first_questions_count() {
        let retrained = ratios((0..600).map(f64::from));
        let unlearned = ratios((0..600).map(|i| if i < 300 { f64::from(i) } else { 0.0 }));
        let quality = ForgetTest::default().quality(&unlearned, &retrained).unwrap();
        assert_eq!(quality.score.value(), 1.0);
        let all = ForgetTest { n_most: 600, ..ForgetTest::default() };
        let of_all = all.quality(&unlearned, &retrained).unwrap();
        assert!(of_all.score.value() < 1e-10);
        assert!(of_all.score.compare(&quality.score).is_err());
        assert!(ForgetTest { n_most: 0, ..all }.quality(&unlearned, &retrained).is_err());
    }

    /// Complete separation of 300 and 300: 2 / C(600, 300) = 1.48e-179.
    #[test]
    fn small_qualities_keep_their_logarithm() {
        let low = ratios((0..300).map(f64::from));
        let high = ratios((0..300).map(|i| f64::from(i) + 1000.0));
        let quality = ForgetTest::default().quality(&low, &high).unwrap();
        let ln_orders: f64 = (1..=300).map(|i| (1.0 + 300.0 / f64::from(i)).ln()).sum();
        let want = (2_f64.ln() - ln_orders) / std::f64::consts::LN_10;
        assert!((quality.p_value.log10() - want).abs() < 1e-10, "{}", quality.p_value.log10());
        assert_eq!(quality.statistic, 1.0);
    }
}
