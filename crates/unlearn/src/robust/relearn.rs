//! Relearning: how much of what was forgotten comes back when some of it is learned again.

use serde::{Deserialize, Serialize};
use tape_nn::net::LanguageModel;
use tensor_tree::{AdamW, Key, Label, Purpose, Schedule, Tree};

use super::{Both, Models, stopped};
use crate::batch::{Batch, Item};
use crate::exam::Subject;
use crate::feed::{Anchor, permutation};
use crate::method::Method;
use crate::prepare::Preparing;
use crate::row::Row;
use crate::run::{Ceiling, Checks, Optimizer, Rate, Run, Settings, Stop};
use crate::{Error, Result};

/// How a model relearns.
#[derive(Clone, Debug, PartialEq)]
pub struct Relearning {
    /// The share of the documents of the forget set that is learned again; at least one is, and one is not.
    pub share: f64,
    /// Steps.
    pub steps: u64,
    /// Steps between two looks at the documents that are not shown.
    pub every: u64,
    /// The rate, the same at each step.
    pub rate: f64,
    /// What turns gradients into steps.
    pub optimizer: Optimizer,
    /// Rows of a step.
    pub batch: usize,
    /// Most rows of a pass.
    pub micro_batch: usize,
    /// The share of the target's knowledge whose return is timed.
    pub until: f64,
    /// Of the choice of documents and of the order of rows.
    pub seed: u64,
}

impl Default for Relearning {
    /// A tenth of the documents, 50 steps of AdamW at 1e-4 with 8 rows each, a look after every fifth, timed up to nine tenths.
    fn default() -> Self {
        Relearning {
            share: 0.1,
            steps: 50,
            every: 5,
            rate: 1e-4,
            optimizer: Optimizer::AdamW(AdamW::default()),
            batch: 8,
            micro_batch: 8,
            until: 0.9,
            seed: 0,
        }
    }
}

/// What a model knows of the documents that are not shown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Steps taken before.
    pub step: u64,
    /// The mean loss of answers, a mean over rows, in nats for each token.
    pub loss: f64,
    /// Its knowledge: the share of the tokens of an answer that are the likeliest ones, a mean over rows.
    pub knowledge: f64,
    /// The share of rows of whose answer all tokens are the likeliest ones: what greedy generation writes by heart.
    pub by_heart: f64,
}

/// What a model knows as it relearns: before the first step, after each interval, and at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// In the order of steps.
    pub points: Vec<Point>,
}

impl Curve {
    /// The first step at which the knowledge was seen to be at least this.
    #[must_use]
    pub fn steps_to(&self, knowledge: f64) -> Option<u64> {
        self.points.iter().find(|p| knowledge <= p.knowledge).map(|p| p.step)
    }

    /// The mean knowledge over the steps: the area below the curve, by trapezoids, over its length.
    #[must_use]
    pub fn mean_knowledge(&self) -> f64 {
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else {
            return 0.0;
        };
        if first.step == last.step {
            return last.knowledge;
        }
        let piece =
            |p: &[Point]| (p[1].step - p[0].step) as f64 * 0.5 * (p[0].knowledge + p[1].knowledge);
        self.points.windows(2).map(piece).sum::<f64>() / (last.step - first.step) as f64
    }
}

/// How two models relearned the same documents in the same way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relearned {
    /// The documents that were shown.
    pub shown: Vec<String>,
    /// Rows of the others.
    pub n_rows: usize,
    /// What the target knows of the others.
    pub target: Point,
    /// The share of its knowledge whose return is timed.
    pub until: f64,
    /// What both know of the others.
    pub curves: Both<Curve>,
}

impl Relearned {
    /// Steps until the timed share of the target's knowledge was seen; none where it never was.
    #[must_use]
    pub fn steps(&self) -> Both<Option<u64>> {
        let knowledge = self.until * self.target.knowledge;
        let Both { unlearned, gold } = &self.curves;
        Both { unlearned: unlearned.steps_to(knowledge), gold: gold.steps_to(knowledge) }
    }

    /// The relearn gap: the area between both curves over their length, in `[-1, 1]`. Positive where the model comes to know more than
    /// gold does from the same documents: what was hidden and not forgotten. It holds what the model knew before the first step too.
    #[must_use]
    pub fn gap(&self) -> f64 {
        self.curves.unlearned.mean_knowledge() - self.curves.gold.mean_knowledge()
    }

    /// The same beyond what each knew before the first step: how much more it gained.
    #[must_use]
    pub fn gain_gap(&self) -> f64 {
        let before = |curve: &Curve| curve.points.first().map_or(0.0, |p| p.knowledge);
        self.gap() - (before(&self.curves.unlearned) - before(&self.curves.gold))
    }
}

impl Relearning {
    /// Shows some documents of `forget` to the unlearned model and to gold, by ordinary training, and looks at the others. Rows that are
    /// too long are cut as in exams. `go_on` is told which model is at work and how many of how many steps are done.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for settings or fewer than two documents, [`Error::NonFinite`] if the training diverges; if both do not train
    /// the same parameters; [`tape_nn::Error::Stopped`].
    pub fn run<M: LanguageModel + ?Sized>(
        &self,
        models: &Models<'_, M>,
        forget: &[Row],
        go_on: &mut dyn FnMut(&str, usize, usize) -> bool,
    ) -> Result<Relearned> {
        self.check()?;
        models.gold.trainable.check_like(models.unlearned.trainable)?;
        let (documents, shown, others) = self.split(forget)?;
        let target = point(models.target, models.target.trainable, &others, 0)?;
        let curves = models.both(|subject, name| {
            let name = format!("relearning, {name}");
            let mut told = |done, of| go_on(&name, done, of);
            self.curve(subject, (&shown, &others), &mut told)
        })?;
        let n_rows = others.len();
        Ok(Relearned { shown: documents, n_rows, target, until: self.until, curves })
    }

    /// # Errors
    /// [`Error::OutOfRange`] with the setting.
    pub(super) fn check(&self) -> Result<()> {
        let must = "above 0 and at most 1";
        for (name, got) in [("share of documents", self.share), ("share of knowledge", self.until)]
        {
            if !(0.0 < got && got <= 1.0) {
                return Err(Error::OutOfRange { name, must, got });
            }
        }
        let counts = [
            ("steps of relearning", self.steps),
            ("steps between looks", self.every),
            ("rows of a batch", self.batch as u64),
            ("rows of a pass", self.micro_batch as u64),
        ];
        for (name, count) in counts {
            if count == 0 {
                return Err(Error::OutOfRange { name, must: "at least 1", got: 0.0 });
            }
        }
        if !(0.0 < self.rate && self.rate.is_finite()) {
            let (name, must) = ("rate", "finite and positive");
            return Err(Error::OutOfRange { name, must, got: self.rate });
        }
        Ok(())
    }

    /// The documents that are shown, their rows, and those of the others; without variants, which nobody looks at.
    fn split(&self, rows: &[Row]) -> Result<(Vec<String>, Vec<Row>, Vec<Row>)> {
        let mut documents: Vec<&str> = Vec::new();
        for row in rows {
            if !documents.contains(&row.document()) {
                documents.push(row.document());
            }
        }
        let n = documents.len();
        if n < 2 {
            let (name, must) = ("documents to forget", "at least 2: some are shown, others not");
            return Err(Error::OutOfRange { name, must, got: n as f64 });
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most n")]
        let n_shown = ((self.share * n as f64).ceil() as usize).clamp(1, n - 1);
        let key = Key::from_seed(self.seed).child(Label::For(Purpose::Sampling));
        let order = permutation(key.child(Label::Leaf("relearned documents")), n);
        let chosen: Vec<&str> = order[..n_shown].iter().map(|i| documents[*i]).collect();
        let plain =
            |row: &Row| Row { paraphrased_output: None, wrong_outputs: Vec::new(), ..row.clone() };
        let (shown, others): (Vec<Row>, Vec<Row>) =
            rows.iter().map(plain).partition(|row| chosen.contains(&row.document()));
        Ok((chosen.into_iter().map(str::to_owned).collect(), shown, others))
    }

    fn curve<M: LanguageModel + ?Sized>(
        &self,
        subject: &Subject<'_, M>,
        (shown, others): (&[Row], &[Row]),
        told: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<Curve> {
        let preparing = Preparing::new(subject.encoder(), subject.join);
        let (shown, held) = (preparing.items(shown)?.items, preparing.items(others)?.items);
        let passes = |items: &[Item]| -> Result<Vec<Batch>> {
            Batch::passes(items.to_vec(), self.micro_batch, subject.device)
        };
        let checks = Checks { forget: passes(&held)?, retain: passes(&shown)? };
        let settings = Settings {
            optimizer: self.optimizer,
            rate: Rate::Fixed { rate: self.rate, schedule: Schedule::Constant },
            batch: self.batch,
            micro_batch: self.micro_batch,
            anchor: Anchor::Retain,
            // What comes back may have been lost beyond a random guess.
            stop: Stop { forget_ceiling: Ceiling::None, ..Stop::after(self.steps) },
            check_every: self.steps,
            seed: self.seed,
            ..Settings::new(Method::named("retain")?, self.rate, self.steps)
        };
        let model = (subject.model, subject.frozen);
        let run = Run::new(model, (&held, &shown), checks, settings, subject.device)?;
        let mut state = run.init(subject.trainable.clone())?;
        let mut points = vec![point(subject, state.params(), others, 0)?];
        for step in 1..=self.steps {
            run.advance(&mut state)?;
            // A step that was not taken would stand as one that taught nothing.
            if state.log().iter().any(|log| log.skipped.is_some()) {
                return Err(Error::NonFinite { what: "loss of relearning", got: f64::NAN });
            }
            if step.is_multiple_of(self.every) || step == self.steps {
                points.push(point(subject, state.params(), others, step)?);
            }
            let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            let (done, of) = (count(step), count(self.steps));
            if !told(done, of) && done < of {
                return Err(stopped("relearning", done, of));
            }
        }
        Ok(Curve { points })
    }
}

/// What a model with these parameters knows of rows.
fn point<M: LanguageModel + ?Sized>(
    subject: &Subject<'_, M>,
    params: &Tree,
    rows: &[Row],
    step: u64,
) -> Result<Point> {
    let subject = Subject { trainable: params, ..*subject };
    let set = subject.set("others", rows, None, Key::from_seed(0), &mut |_| true)?;
    let by_heart = set.rows.iter().filter(|row| 1.0 <= row.memorized).count();
    let by_heart = by_heart as f64 / set.rows.len().max(1) as f64;
    Ok(Point { step, loss: set.loss(), knowledge: set.memorized(), by_heart })
}
