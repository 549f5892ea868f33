//! All tests of robustness in one call.

use tape_nn::net::LanguageModel;
use tensor_tree::Key;

use super::{
    BestOf, MembershipTest, Models, Paraphrases, Relearning, Report, Rounding, round_to_bits,
};
use crate::Result;
use crate::exam::Exam;
use crate::row::Kind;

/// Which tests are made, and how. `Default` makes all of them.
///
/// # Examples
/// ```no_run
/// use unlearn::robust::{Models, Relearning, Robustness};
/// # fn f(
/// #     exam: &unlearn::exam::Exam,
/// #     models: &Models<'_, tape_nn::net::Gpt>,
/// # ) -> unlearn::Result<()> {
/// let relearning = Some(Relearning { rate: 1e-3, ..Relearning::default() });
/// let tests = Robustness { relearning, bits: vec![8], ..Robustness::default() };
/// let report = tests.run(exam, models, tensor_tree::Key::from_seed(0), &mut |_, _, _| true)?;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Robustness {
    /// Relearning from a few documents.
    pub relearning: Option<Relearning>,
    /// Bits to which weights are rounded, 2 to 8, each with an exam of its own.
    pub bits: Vec<u32>,
    /// Whether rows are asked in other words.
    pub paraphrases: bool,
    /// Many attempts; made where rows to forget ask something and are not whole texts.
    pub best_of: Option<BestOf>,
    /// Membership inference; made where the exam has documents that were held out.
    pub membership: Option<MembershipTest>,
}

impl Default for Robustness {
    fn default() -> Self {
        Robustness {
            relearning: Some(Relearning::default()),
            bits: vec![8, 4],
            paraphrases: true,
            best_of: Some(BestOf::default()),
            membership: Some(MembershipTest::default()),
        }
    }
}

impl Robustness {
    /// Makes the tests on the rows of `exam`. Many attempts are generated even where the exam generates nothing. `go_on` is told what is
    /// at work and how much of it is done, and may end it with [`tape_nn::Error::Stopped`].
    ///
    /// # Errors
    /// [`crate::Error::OutOfRange`] for a setting, before anything is computed; those of the tests.
    pub fn run<M: LanguageModel + ?Sized>(
        &self,
        exam: &Exam,
        models: &Models<'_, M>,
        key: Key,
        go_on: &mut dyn FnMut(&str, usize, usize) -> bool,
    ) -> Result<Report> {
        self.check()?;
        let relearned = match &self.relearning {
            Some(relearning) => Some(relearning.run(models, &exam.forget, go_on)?),
            None => None,
        };
        let rounding = if self.bits.is_empty() {
            None
        } else {
            Some(Rounding::run(exam, models.unlearned, &self.bits, key, go_on)?)
        };
        let max_new = exam.generate.then_some(exam.max_new);
        let paraphrases = if self.paraphrases {
            Some(Paraphrases::run(models, &exam.forget, max_new, key, go_on)?)
        } else {
            None
        };
        let asks = exam.forget.iter().any(|row| row.kind != Kind::Text);
        let attempts = match self.best_of.filter(|_| asks) {
            Some(best_of) => Some(models.both(|subject, name| {
                let what = format!("best of {}, {name}", best_of.n);
                let mut told = |done, of| go_on(&what, done, of);
                best_of.run(subject, &exam.forget, exam.max_new, key, &mut told)
            })?),
            None => None,
        };
        let (members, nonmembers) = exam.documents(models.unlearned.join);
        let membership = match self.membership {
            Some(test) if !nonmembers.is_empty() => {
                Some(test.run(models, (&members, &nonmembers), go_on)?)
            }
            _ => None,
        };
        Ok(Report { relearned, rounding, paraphrases, attempts, membership })
    }

    fn check(&self) -> Result<()> {
        if let Some(relearning) = &self.relearning {
            relearning.check()?;
        }
        for bits in &self.bits {
            round_to_bits(&tensor_tree::Tree::new(), *bits)?;
        }
        if let Some(best_of) = self.best_of {
            best_of.check()?;
        }
        self.membership.map_or(Ok(()), |test| test.check())
    }
}
