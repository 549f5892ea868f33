//! Membership inference, beside what the same attacks find of gold.

use std::fmt;

use serde::{Deserialize, Serialize};
use tape_nn::net::{LanguageModel, TokenScore};

use super::{Both, Models};
use crate::exam::Subject;
use crate::metric::attack::{loss_auc, priv_leak};
use crate::metric::calibrated::{lower_case, reference, zlib};
use crate::metric::mean::arithmetic;
use crate::metric::min_k::{Rounding, min_k, min_k_plus_plus};
use crate::{Error, Result};

/// How attacks are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MembershipTest {
    /// The share of tokens that [`Attack::MinK`] and [`Attack::MinKPlusPlus`] look at; at least one token is.
    pub share: f64,
}

impl Default for MembershipTest {
    /// Four tenths of the tokens, as in MUSE.
    fn default() -> Self {
        MembershipTest { share: 0.4 }
    }
}

/// By what a text is taken for one that was trained on. Of each, a lower score is that of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attack {
    /// The mean loss.
    Loss,
    /// The mean loss of the least likely tokens.
    MinK,
    /// The same of losses standardized by what the model expects of each token.
    MinKPlusPlus,
    /// The mean loss over the length of the compressed text.
    Zlib,
    /// The mean loss over that of the text in lower case.
    LowerCase,
    /// The mean loss minus gold's. Of gold itself it is always 0, and finds nothing.
    Reference,
}

impl Attack {
    /// All of them.
    pub const ALL: [Attack; 6] = [
        Attack::Loss,
        Attack::MinK,
        Attack::MinKPlusPlus,
        Attack::Zlib,
        Attack::LowerCase,
        Attack::Reference,
    ];
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Attack::Loss => "loss",
            Attack::MinK => "Min-K %",
            Attack::MinKPlusPlus => "Min-K %++",
            Attack::Zlib => "zlib",
            Attack::LowerCase => "lower case",
            Attack::Reference => "reference",
        })
    }
}

/// What an attack finds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttackResult {
    /// The attack.
    pub attack: Attack,
    /// The area below its curve, members positive: 0.5 where they cannot be told from others, 1 where they always can, below 0.5 where
    /// too much was unlearned.
    pub auc: Both<f64>,
    /// PrivLeak relative to gold, in percent: 0 if the model leaks like gold, negative if members still show, positive if too much was
    /// unlearned. None where gold's own members are all told from others.
    pub leak: Option<f64>,
}

/// What all attacks find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Membership {
    /// Documents of the forget set.
    pub n_members: usize,
    /// Documents that were never seen.
    pub n_nonmembers: usize,
    /// The share of tokens of Min-K % and its successor.
    pub share: f64,
    /// In the order of [`Attack::ALL`].
    pub attacks: Vec<AttackResult>,
}

impl Membership {
    /// What one attack finds.
    #[must_use]
    pub fn of(&self, attack: Attack) -> Option<&AttackResult> {
        self.attacks.iter().find(|result| result.attack == attack)
    }
}

impl MembershipTest {
    /// Attacks both models with whole documents of the forget set and held-out ones. `go_on` is told how many texts are done, each counted once for
    /// either model.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `0 < share <= 1`, [`Error::Empty`] without documents on one side; [`tape_nn::Error::Stopped`]; from
    /// the models, and of the metrics where losses are not finite.
    ///
    /// # Source
    /// PrivLeak: arXiv 2407.06460, with the area of each attack in the place of that of Min-K %; the attacks are those of
    /// [`crate::metric`].
    pub fn run<M: LanguageModel + ?Sized>(
        &self,
        models: &Models<'_, M>,
        (members, nonmembers): (&[String], &[String]),
        go_on: &mut dyn FnMut(&str, usize, usize) -> bool,
    ) -> Result<Membership> {
        self.check()?;
        for (texts, what) in
            [(members, "documents to forget"), (nonmembers, "documents that were held out")]
        {
            if texts.is_empty() {
                return Err(Error::Empty { what });
            }
        }
        let texts = [members, nonmembers].concat();
        let (mut done, of) = (0, 2 * texts.len());
        let measured = models.both(|subject, _| {
            let mut told = |n: usize| go_on("membership", done + n, of);
            let measured = Measured::of(subject, &texts, &mut told)?;
            done += texts.len();
            if !go_on("membership", done, of) && done < of {
                return Err(super::stopped("membership inference", done, of));
            }
            Ok(measured)
        })?;
        let attacks = Attack::ALL.iter().map(|attack| {
            let auc = |own: &Measured| -> Result<f64> {
                let scores = (0..texts.len())
                    .map(|i| self.score(*attack, &texts[i], own.text(i), measured.gold.text(i)));
                let scores = scores.collect::<Result<Vec<f64>>>()?;
                let (members, nonmembers) = scores.split_at(members.len());
                loss_auc(members, nonmembers)
            };
            let auc = Both { unlearned: auc(&measured.unlearned)?, gold: auc(&measured.gold)? };
            // The area of MUSE is that of the opposite question.
            let leak = if auc.gold < 1.0 {
                Some(priv_leak(1.0 - auc.unlearned, 1.0 - auc.gold)?)
            } else {
                None
            };
            Ok(AttackResult { attack: *attack, auc, leak })
        });
        let attacks = attacks.collect::<Result<_>>()?;
        let (n_members, n_nonmembers) = (members.len(), nonmembers.len());
        Ok(Membership { n_members, n_nonmembers, share: self.share, attacks })
    }

    /// # Errors
    /// [`Error::OutOfRange`] unless `0 < share <= 1`.
    pub(super) fn check(&self) -> Result<()> {
        let (name, must, got) = ("share of tokens", "in (0, 1]", self.share);
        if 0.0 < got && got <= 1.0 { Ok(()) } else { Err(Error::OutOfRange { name, must, got }) }
    }

    /// The score of a text, lower for members.
    fn score(&self, attack: Attack, text: &str, own: Text<'_>, gold: Text<'_>) -> Result<f64> {
        let of = |f: fn(&TokenScore) -> f64| own.tokens.iter().map(f).collect::<Vec<f64>>();
        match attack {
            Attack::Loss => own.loss(),
            Attack::MinK => min_k(&of(|t| t.log_prob), self.share, Rounding::AtLeastOne),
            Attack::MinKPlusPlus => {
                min_k_plus_plus(&of(TokenScore::standardized), self.share, Rounding::AtLeastOne)
            }
            Attack::Zlib => zlib(own.loss()?, text),
            Attack::LowerCase => lower_case(own.loss()?, own.lower),
            Attack::Reference => reference(own.loss()?, gold.loss()?),
        }
    }
}

/// What a model says of texts: of their tokens, and the losses of the texts in lower case.
struct Measured {
    tokens: Vec<Vec<TokenScore>>,
    lower: Vec<f64>,
}

/// What a model says of a text.
#[derive(Clone, Copy)]
struct Text<'a> {
    tokens: &'a [TokenScore],
    lower: f64,
}

impl Measured {
    fn of<M: LanguageModel + ?Sized>(
        subject: &Subject<'_, M>,
        texts: &[String],
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Self> {
        let lower: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
        // Each text is looked at twice.
        let lower = subject.document_losses(&lower, &mut |done| go_on(done / 2))?;
        let mut told = |done: usize| go_on((texts.len() + done) / 2);
        Ok(Measured { tokens: subject.document_scores(texts, &mut told)?, lower })
    }

    fn text(&self, i: usize) -> Text<'_> {
        Text { tokens: &self.tokens[i], lower: self.lower[i] }
    }
}

impl Text<'_> {
    fn loss(&self) -> Result<f64> {
        let losses: Vec<f64> = self.tokens.iter().map(|t| -t.log_prob).collect();
        arithmetic(&losses)
    }
}
