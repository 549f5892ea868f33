//! From rows to samples.

use tensor_tree::{Key, Label, Purpose};

use crate::batch::Item;
use crate::row::{Join, Kind, Row};
use crate::text::{Encoder, OverLong, Sample};
use crate::{Error, Result};

/// Samples of rows.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// At least one for each row, in their order.
    pub items: Vec<Item>,
    /// The row that each item is of, as its number.
    pub rows: Vec<usize>,
    /// Rows that were cut because they are too long, with their answers or with refusals.
    pub n_cut: usize,
}

/// How rows become samples.
#[derive(Clone, Copy, Debug)]
pub struct Preparing<'a> {
    /// How texts become tokens.
    pub encoder: Encoder<'a>,
    /// How input and output become one text.
    pub join: Join,
    /// Answers to prefer to those of the rows; each row gets one of them for good.
    pub refusals: &'a [String],
    /// Of the choice of refusals.
    pub seed: u64,
}

impl Preparing<'_> {
    /// Samples of these rows. A [`Kind::Text`] that is too long becomes several samples, as in [`Encoder::pieces`]; other rows that are
    /// too long are an error or cut, as [`OverLong`] says.
    ///
    /// # Errors
    /// [`Error::Row`] with the id of the row and what is wrong; [`Error::Empty`] without rows.
    pub fn items(&self, rows: &[Row]) -> Result<Prepared> {
        if rows.is_empty() {
            return Err(Error::Empty { what: "rows" });
        }
        let mut out = Prepared { items: Vec::new(), rows: Vec::new(), n_cut: 0 };
        for (number, row) in rows.iter().enumerate() {
            let of = |result: Result<()>| {
                result.map_err(|source| Error::Row { id: row.id.clone(), source: Box::new(source) })
            };
            of(self.row(number, row, &mut out))?;
        }
        Ok(out)
    }

    fn row(&self, number: usize, row: &Row, out: &mut Prepared) -> Result<()> {
        let (prompt, answer) = self.join.parts(&row.input, &row.output);
        if row.kind == Kind::Text {
            let mut is_cut = false;
            for sample in self.encoder.pieces(&answer)? {
                let (item, cut) = self.with_refusal(number, "", sample)?;
                is_cut |= cut;
                out.items.push(item);
                out.rows.push(number);
            }
            out.n_cut += usize::from(is_cut);
            return Ok(());
        }
        let (sample, cut) = self.encoder.encode(&prompt, &answer)?;
        let (item, cut_refusal) = self.with_refusal(number, &row.input, sample)?;
        out.n_cut += usize::from(cut || cut_refusal);
        out.items.push(item);
        out.rows.push(number);
        Ok(())
    }

    /// With a refusal in the place of the answer, joined to the input as the answer is; and whether it was cut.
    fn with_refusal(&self, number: usize, input: &str, sample: Sample) -> Result<(Item, bool)> {
        let mut item = Item::from(sample);
        let Some(refusal) = self.refusal(number) else { return Ok((item, false)) };
        let (prompt, answer) = self.join.parts(input, refusal);
        let (refusal, cut) = self.encoder.encode(&prompt, &answer)?;
        item.refusal = Some(refusal);
        Ok((item, cut))
    }

    fn refusal(&self, number: usize) -> Option<&str> {
        let mut draw = [0f64];
        let key = Key::from_seed(self.seed).child(Label::For(Purpose::Sampling));
        key.child(Label::Leaf("refusals"))
            .child(Label::Sample(number as u64))
            .fill_uniform(&mut draw);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "below the length"
        )]
        let at = (draw[0] * self.refusals.len() as f64) as usize;
        self.refusals.get(at.min(self.refusals.len().saturating_sub(1))).map(String::as_str)
    }
}

impl<'a> Preparing<'a> {
    /// Without refusals.
    #[must_use]
    pub fn new(encoder: Encoder<'a>, join: Join) -> Self {
        Preparing { encoder, join, refusals: &[], seed: 0 }
    }

    /// The same that cuts rows that are too long instead of refusing them.
    #[must_use]
    pub fn cutting(mut self) -> Self {
        self.encoder.over_long = OverLong::Cut;
        self
    }
}
