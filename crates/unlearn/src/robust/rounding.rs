//! Exams of copies whose weights are rounded to few bits.

use serde::{Deserialize, Serialize};
use tape_nn::net::LanguageModel;
use tensor_tree::Key;

use super::round_to_bits;
use crate::Result;
use crate::exam::{Distance, Exam, Findings, Subject};

/// A copy with rounded weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rounded {
    /// Bits of a weight.
    pub bits: u32,
    /// What its exam found.
    pub findings: Findings,
}

/// A model before and after its weights were rounded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rounding {
    /// What the exam of the model as it is found.
    pub before: Findings,
    /// Its copies.
    pub copies: Vec<Rounded>,
}

impl Rounding {
    /// Examines a model as it is and with all its weights, trained and frozen, rounded by [`round_to_bits`]. Adapters are to be merged
    /// before: a quantized copy has none.
    ///
    /// # Errors
    /// As [`round_to_bits`] and [`Exam::sit`].
    pub fn run<M: LanguageModel + ?Sized>(
        exam: &Exam,
        subject: &Subject<'_, M>,
        bits: &[u32],
        key: Key,
        go_on: &mut dyn FnMut(&str, usize, usize) -> bool,
    ) -> Result<Rounding> {
        let before = exam
            .sit(subject, key, &mut |set, done, of| go_on(&format!("as it is, {set}"), done, of))?;
        let copies = bits.iter().map(|bits| {
            let trainable = &round_to_bits(subject.trainable, *bits)?;
            let frozen = &round_to_bits(subject.frozen, *bits)?;
            let copy = Subject { trainable, frozen, ..*subject };
            let mut told = |set: &str, done, of| go_on(&format!("{bits} bits, {set}"), done, of);
            Ok(Rounded { bits: *bits, findings: exam.sit(&copy, key, &mut told)? })
        });
        let copies = copies.collect::<Result<_>>()?;
        Ok(Rounding { before, copies })
    }

    /// What each copy has, beside what the model had: `value` is after rounding, `gold` before.
    ///
    /// # Errors
    /// None for results of [`Self::run`]: both were asked the same.
    pub fn changes(&self) -> Result<Vec<(u32, Vec<Distance>)>> {
        let of = |copy: &Rounded| Ok((copy.bits, copy.findings.distances(&self.before)?));
        self.copies.iter().map(of).collect()
    }
}
