//! Methods of unlearning: a loss to forget by, a loss to keep by, and how their gradients become one direction.

use crate::direction::{Coefficients, Direction, Gram};
use crate::loss::{Loss, Positions};
use crate::objective::{DpoScale, ForgetLoss, TokenLoss};
use crate::{Error, Result};

/// A method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Method {
    /// Descended on rows to forget.
    pub forget: Loss,
    /// Descended on rows to keep.
    pub retain: Loss,
    /// How both gradients become one direction.
    pub recipe: Recipe,
}

/// How two gradients become one direction, where that also depends on the step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Recipe {
    /// The same at each step.
    Fixed(Direction),
    /// [`Direction::LossNorm`] with the losses of the step: for gradient ascent that of the language model on the forget batch, else the
    /// value that is descended.
    LossNorm,
    /// [`Direction::Random`] with new draws at each step.
    Random,
}

/// Value of a batch, as recipes need it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Values {
    /// The retain loss.
    pub retain: f64,
    /// The loss to forget by.
    pub forget: f64,
    /// The mean `-log p` of the answers to forget.
    pub forget_nll: f64,
}

impl Recipe {
    /// Whether the gradient on rows to keep is used.
    #[must_use]
    pub fn uses_retain(self) -> bool {
        self != Recipe::Fixed(Direction::Forget)
    }

    /// Whether the gradient on rows to forget is used.
    #[must_use]
    pub fn uses_forget(self) -> bool {
        self != Recipe::Fixed(Direction::Retain)
    }

    /// What the losses are weighted with where they are added up: those of a fixed sum, else 1 for each that is used.
    #[must_use]
    pub fn weights(self) -> Coefficients {
        match self {
            Recipe::Fixed(Direction::Sum { retain, forget }) => Coefficients { retain, forget },
            Recipe::Fixed(Direction::Weighted { retain }) => {
                Coefficients { retain, forget: 1.0 - retain }
            }
            _ => Coefficients {
                retain: f64::from(u8::from(self.uses_retain())),
                forget: f64::from(u8::from(self.uses_forget())),
            },
        }
    }

    /// The direction of a step; `draws` are two draws of a standard normal.
    #[must_use]
    pub fn direction(self, method: &Method, values: Values, draws: [f64; 2]) -> Direction {
        match self {
            Recipe::Fixed(direction) => direction,
            Recipe::LossNorm => Direction::LossNorm {
                retain_loss: values.retain,
                forget_loss: match method.forget {
                    Loss::Answers(ForgetLoss::Ascent) => values.forget_nll,
                    _ => values.forget.abs(),
                },
            },
            Recipe::Random => Direction::Random { draws },
        }
    }
}

/// Names of [`Method::named`], with what they are.
pub const METHODS: [(&str, &str); 26] = [
    ("retain", "ordinary training on what is kept"),
    ("ga", "gradient ascent on what is forgotten, without anything kept"),
    ("gdiff", "gradient difference, both losses with weight 1/2"),
    ("gdiff-0.9", "gradient difference, nine tenths of the weight on what is kept"),
    ("gdiff-0.1", "gradient difference, a tenth of the weight on what is kept"),
    ("kl", "gradient ascent, with a divergence to the first model on what is kept"),
    ("npo", "negative preference optimization, beta 0.1, and the language loss on what is kept"),
    ("npo-kl", "the same with a divergence to the first model on what is kept"),
    (
        "simnpo",
        "negative preferences normalized by length, beta 4.5, weight 1/8, and the language loss on what is kept",
    ),
    ("dpo", "preference of a refusal, beta 0.1, and the language loss on what is kept"),
    (
        "idk",
        "learning refusals, and the language loss on what is kept: two means, where TOFU takes one over both",
    ),
    ("wga", "gradient ascent weighted by probability, and the language loss on what is kept"),
    (
        "satimp",
        "ascent weighted by saturation and importance, weight 0.1, and the language loss on what is kept",
    ),
    ("undial", "self-distillation from adjusted logits, nothing kept"),
    ("ceu", "cross-entropy to the model's own other tokens, and the language loss on what is kept"),
    ("lossnorm", "both gradients divided by their losses"),
    ("rlw", "random weights at each step"),
    ("pcgrad", "gradients without what conflicts"),
    (
        "pcgrad-one-sided",
        "the same for the forget gradient alone, without a test of conflict, as the NGDiff paper prints it",
    ),
    ("imtl-g", "equal projections on both gradients"),
    ("mgda", "the shortest vector between both gradients"),
    ("ngdiff", "normalized gradient difference"),
    ("blur", "retain gradient without its part along the forget gradient, on NPO, gamma 1"),
    ("blur-ga", "the same on gradient ascent"),
    ("blur-scaled", "the same as for RMU, the projected retain gradient 1000 times, on NPO"),
    ("blur-swapped", "forget gradient without its part along the retain gradient, on NPO"),
];

impl Method {
    /// A method by its name in [`METHODS`], with the settings of published code.
    ///
    /// # Errors
    /// [`Error::UnknownMethod`] with the names there are.
    ///
    /// # Source
    /// arXiv 2410.22086 (`gdiff` to `ngdiff`), 2506.08164 (`blur`), 2401.06121 (`ga`, `gdiff`, `kl`, `idk`, `dpo`), 2404.05868 (`npo`),
    /// 2410.07163 (`simnpo`); those of [`TokenLoss`] for the others.
    pub fn named(name: &str) -> Result<Method> {
        let ascent = Loss::Answers(ForgetLoss::Ascent);
        let npo = Loss::Answers(ForgetLoss::Npo { beta: 0.1 });
        let kl = Loss::Tokens(TokenLoss::Kl, Positions::Answer);
        let token = |loss| Loss::Tokens(loss, Positions::Answer);
        let of =
            |forget, retain, direction| Method { forget, retain, recipe: Recipe::Fixed(direction) };
        let both = Direction::Sum { retain: 1.0, forget: 1.0 };
        let nll = Loss::NextToken;
        Ok(match name {
            "retain" => of(ascent, nll, Direction::Retain),
            "ga" => of(ascent, nll, Direction::Forget),
            "gdiff" => of(ascent, nll, Direction::Weighted { retain: 0.5 }),
            "gdiff-0.9" => of(ascent, nll, Direction::Weighted { retain: 0.9 }),
            "gdiff-0.1" => of(ascent, nll, Direction::Weighted { retain: 0.1 }),
            "kl" => of(ascent, kl, both),
            "npo" => of(npo, nll, both),
            "npo-kl" => of(npo, kl, both),
            "simnpo" => {
                let loss = ForgetLoss::SimNpo { beta: 4.5, delta: 0.0 };
                of(Loss::Answers(loss), nll, Direction::Sum { retain: 1.0, forget: 0.125 })
            }
            "dpo" => {
                let loss = ForgetLoss::Dpo { beta: 0.1, scale: DpoScale::TwoOverBeta };
                of(Loss::Answers(loss), nll, both)
            }
            "idk" => of(Loss::Refusal, nll, both),
            "wga" => of(token(TokenLoss::Wga { beta: 1.0 }), nll, both),
            "satimp" => {
                let loss = TokenLoss::SatImp { beta1: 5.0, beta2: 1.0 };
                of(token(loss), nll, Direction::Sum { retain: 1.0, forget: 0.1 })
            }
            "undial" => of(token(TokenLoss::Undial { beta: 10.0 }), nll, Direction::Forget),
            "ceu" => of(token(TokenLoss::CeU), nll, both),
            "lossnorm" => Method { forget: ascent, retain: nll, recipe: Recipe::LossNorm },
            "rlw" => Method { forget: ascent, retain: nll, recipe: Recipe::Random },
            "pcgrad" => of(ascent, nll, Direction::PcGrad),
            "pcgrad-one-sided" => of(ascent, nll, Direction::PcGradOneSided),
            "imtl-g" => of(ascent, nll, Direction::ImtlG),
            "mgda" => of(ascent, nll, Direction::Mgda),
            "ngdiff" => of(ascent, nll, Direction::NgDiff),
            "blur" => of(npo, nll, Direction::Blur { gamma: 1.0 }),
            "blur-scaled" => of(npo, nll, Direction::BlurScaled { alpha: 1000.0 }),
            "blur-ga" => of(ascent, nll, Direction::Blur { gamma: 1.0 }),
            "blur-swapped" => of(npo, nll, Direction::BlurSwapped { gamma: 1.0 }),
            _ => return Err(Error::UnknownMethod { got: name.to_owned() }),
        })
    }

    /// Whether a rate can be found from the retain loss along the direction: not where that loss is least at the model as it is, so that
    /// every step raises it, nor where the direction has nothing of it.
    ///
    /// # Errors
    /// [`Error::AutomaticRate`] with the reason.
    pub fn allows_automatic_rate(&self) -> Result<()> {
        let why = match self.retain {
            Loss::Tokens(TokenLoss::Kl, _) => {
                "a divergence to the model as it is has its least value there, and every step raises it"
            }
            _ if !self.recipe.uses_retain() => "the direction has nothing of what is kept",
            _ => return Ok(()),
        };
        Err(Error::AutomaticRate { why })
    }

    /// Whether settings of losses and direction are within their ranges.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with the setting.
    pub fn check(&self) -> Result<()> {
        self.forget.check()?;
        self.retain.check()?;
        let values = Values { retain: 1.0, forget: 1.0, forget_nll: 1.0 };
        let direction = self.recipe.direction(self, values, [0.0, 0.0]);
        direction.coefficients(Gram { rr: 1.0, ff: 1.0, rf: 0.0 }).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_method_that_holds_together() {
        for (name, _) in METHODS {
            let method = Method::named(name).unwrap();
            method.check().unwrap();
            assert!(method.recipe.uses_forget() || name == "retain");
        }
        assert!(!Method::named("ga").unwrap().recipe.uses_retain());
        let without = ["ga", "undial", "kl", "npo-kl"];
        for (name, _) in METHODS {
            let allowed = Method::named(name).unwrap().allows_automatic_rate();
            assert_eq!(allowed.is_err(), without.contains(&name), "{name}: {allowed:?}");
        }
        let error = Method::named("nada").unwrap_err().to_string();
        assert!(error.contains("`nada`") && error.contains("ngdiff"), "{error}");
        let bad = Method {
            recipe: Recipe::Fixed(Direction::Blur { gamma: -1.0 }),
            ..Method::named("blur").unwrap()
        };
        assert!(matches!(bad.check(), Err(Error::OutOfRange { name: "gamma", .. })));
    }
}
