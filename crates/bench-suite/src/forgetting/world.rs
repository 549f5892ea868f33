//! A target, its gold model and the rows they differ in.

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device};
use tape_nn::Builder;
use tape_nn::load::Tokenizer;
use tape_nn::net::{Gpt, GptConfig, LanguageModel};
use tensor_tree::{Key, Tree};
use unlearn::batch::Item;
use unlearn::exam::{Exam, Findings, Subject};
use unlearn::made::{PerTask, Settings as MadeSettings, World as MadeWorld};
use unlearn::prepare::Preparing;
use unlearn::row::{Join, Row};
use unlearn::text::{Encoder, OverLong};
use unlearn::trained::Trained;

use super::lesson::{Kept, Learned, Lesson};
use crate::error::{Error, Result};

/// Answers that are learned in the place of others, where a method prefers refusals.
const REFUSALS: [&str; 4] =
    ["I do not know.", "I have no idea.", "That is not known to me.", "I cannot say."];

/// A model that knows both sets, and one that learned in the same way without the rows to forget.
pub struct World<M> {
    /// In figures and files.
    pub name: String,
    /// The model, without adapters.
    pub model: M,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The token that ends an answer.
    pub end: Option<u32>,
    /// How input and output become one text.
    pub join: Join,
    /// Knows both sets.
    pub target: Tree,
    /// Never saw the rows to forget.
    pub gold: Tree,
    /// Rows to forget.
    pub forget: Vec<Item>,
    /// Rows to keep.
    pub retain: Vec<Item>,
    /// What models are examined on.
    pub exam: Exam,
    /// What is found of the target.
    pub of_target: Findings,
    /// What is found of the gold model.
    pub of_gold: Findings,
    /// Seconds that the lessons of both took.
    pub lessons_s: [f64; 2],
    /// The highest resident memory of the processes they happened in, in bytes; 0 where the system does not say.
    pub lessons_peak: u64,
    /// Rows at once in an exam.
    pub exam_batch: usize,
}

/// What a world is made of before anything is learned.
pub struct Start<M> {
    /// In figures and files.
    pub name: String,
    /// The model, without adapters.
    pub model: M,
    /// Its parameters before the lessons.
    pub params: Tree,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The token that ends an answer.
    pub end: Option<u32>,
    /// How input and output become one text.
    pub join: Join,
    /// What models are examined on; its rows are those of the lessons.
    pub exam: Exam,
    /// More rows to keep, which are learned and not examined.
    pub more: Vec<Row>,
    /// How target and gold model learn.
    pub lesson: Lesson,
    /// Rows at once in an exam.
    pub exam_batch: usize,
    /// Documents that were passed over because they are too long.
    pub n_long: usize,
}

impl<M: LanguageModel + Clone> Start<M> {
    /// Teaches target and gold model, side by side, and keeps them in the folder; or reads them from there, and goes on with lessons that
    /// were stopped, if that is wanted and they are of the same commit.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] once `stop` says so; [`crate::Error::Worker`] for a lesson that ends early; those of rows, models and files.
    pub fn taught(self, kept: &Kept<'_>, stop: &(dyn Fn() -> bool + Sync)) -> Result<World<M>> {
        let items = |rows: &[Row]| items((&self.tokenizer, self.end), &self.model, self.join, rows);
        let forget = items(&self.exam.forget)?;
        let mut retain = items(&self.exam.retain)?;
        if !self.more.is_empty() {
            retain.extend(items(&self.more)?);
        }
        let both: Vec<Item> = forget.iter().chain(&retain).cloned().collect();
        let taught = |which: &str, items: &[Item], stop: Stop<'_>| -> Result<(Learned, Findings)> {
            let (model, of) = ((&self.model, &self.params), (kept, &*self.name, which));
            let learned = self.lesson.teach(model, items, of, stop)?;
            let found = self.found(&learned.params, stop)?;
            Ok((learned, found))
        };
        let ((target, mut of_target), (gold, mut of_gold)) = side_by_side(
            stop,
            |stop| taught("target", &both, stop),
            |stop| taught("gold", &retain, stop),
        )?;
        let lessons_s = [target.seconds, gold.seconds];
        let lessons_peak = target.peak_bytes.max(gold.peak_bytes);
        let (target, gold) = (target.params, gold.params);
        let none = Tree::new();
        let subject = |params| self.asked().subject(&self.model, (params, &none));
        let apart = apart(&self.exam, (&subject(&target), &subject(&gold)), stop)?;
        of_target.divergence = Some(apart);
        of_gold.divergence = Some(0.0);
        let Start { name, model, tokenizer, end, join, exam, exam_batch, .. } = self;
        Ok(World {
            name,
            model,
            tokenizer,
            end,
            join,
            target,
            gold,
            forget,
            retain,
            exam,
            of_target,
            of_gold,
            lessons_s,
            lessons_peak,
            exam_batch,
        })
    }
}

impl<M: LanguageModel> Start<M> {
    /// What is found of the model before the lessons.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] once `stop` says so; those of the model.
    pub fn untaught(&self, stop: &(dyn Fn() -> bool + Sync)) -> Result<Findings> {
        self.found(&self.params, stop)
    }

    fn found(&self, params: &Tree, stop: &(dyn Fn() -> bool + Sync)) -> Result<Findings> {
        examine(&self.exam, &self.asked().subject(&self.model, (params, &Tree::new())), stop)
    }

    fn asked(&self) -> Asked<'_> {
        let Start { tokenizer, join, end, exam_batch, .. } = self;
        Asked { tokenizer, join: *join, end: *end, batch: *exam_batch }
    }
}

impl<M: LanguageModel + Clone> World<M> {
    /// What is found of a model with these parameters in two parts, which may have adapters, and how far it is from the gold model.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] once `stop` says so; those of the model.
    pub fn found(
        &self,
        model: &M,
        (trainable, frozen): (&Tree, &Tree),
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Findings> {
        let (asked, none) = (self.asked(), Tree::new());
        let subject = asked.subject(model, (trainable, frozen));
        let gold = asked.subject(&self.model, (&self.gold, &none));
        let mut found = examine(&self.exam, &subject, stop)?;
        found.divergence = Some(apart(&self.exam, (&subject, &gold), stop)?);
        Ok(found)
    }

    /// How its models are asked.
    pub fn asked(&self) -> Asked<'_> {
        let World { tokenizer, join, end, exam_batch, .. } = self;
        Asked { tokenizer, join: *join, end: *end, batch: *exam_batch }
    }

    /// A sample of each row with a refusal.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn with_refusals(&self) -> Result<Vec<Item>> {
        let refusals = REFUSALS.map(str::to_owned);
        let preparing = Preparing {
            refusals: &refusals,
            ..Preparing::new(encoder((&self.tokenizer, self.end), &self.model), self.join)
        };
        Ok(preparing.items(&self.exam.forget)?.items)
    }
}

/// Whether to stop, asked after each step.
type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// Runs both. One that fails stops the other, which need not come to its end for nothing; of two errors the first is the one that
/// stopped the other.
fn side_by_side<A: Send, B: Send>(
    stop: Stop<'_>,
    one: impl FnOnce(Stop<'_>) -> Result<A> + Send,
    two: impl FnOnce(Stop<'_>) -> Result<B> + Send,
) -> Result<(A, B)> {
    let failed = AtomicBool::new(false);
    let stop_both = || stop() || failed.load(Ordering::Relaxed);
    let run_one = || {
        let done = one(&stop_both);
        failed.fetch_or(done.is_err(), Ordering::Relaxed);
        done
    };
    let run_two = || {
        let done = two(&stop_both);
        failed.fetch_or(done.is_err(), Ordering::Relaxed);
        done
    };
    match rayon::join(run_one, run_two) {
        (Ok(one), Ok(two)) => Ok((one, two)),
        (Err(Error::Interrupted), Err(error)) | (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

fn encoder<'t, M: LanguageModel>(
    (tokenizer, end): (&'t Tokenizer, Option<u32>),
    model: &M,
) -> Encoder<'t> {
    Encoder { tokenizer, end, most: model.positions() + 1, over_long: OverLong::Cut }
}

fn items<M: LanguageModel>(
    tokens: (&Tokenizer, Option<u32>),
    model: &M,
    join: Join,
    rows: &[Row],
) -> Result<Vec<Item>> {
    Ok(Preparing::new(encoder(tokens, model), join).items(rows)?.items)
}

/// How models of a world are asked.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    tokenizer: &'a Tokenizer,
    join: Join,
    end: Option<u32>,
    batch: usize,
}

impl<'a> Asked<'a> {
    /// A model with these parameters in two parts.
    pub fn subject<M>(
        self,
        model: &'a M,
        (trainable, frozen): (&'a Tree, &'a Tree),
    ) -> Subject<'a, M> {
        let Asked { tokenizer, join, end, batch } = self;
        let (stops, device) = (&[], &Device::Cpu);
        Subject { model, trainable, frozen, tokenizer, join, end, stops, device, batch }
    }
}

fn apart<M: LanguageModel>(
    exam: &Exam,
    (of, gold): (&Subject<'_, M>, &Subject<'_, M>),
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<f64> {
    Ok(of.divergence(gold, &exam.forget, &mut |_| !stop())?)
}

fn examine<M: LanguageModel>(
    exam: &Exam,
    subject: &Subject<'_, M>,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Findings> {
    Ok(exam.sit(subject, Key::from_seed(0), &mut |_, _, _| !stop())?)
}

/// Sizes of a world of made rows and a network from scratch.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// In figures and files.
    pub name: &'static str,
    /// Documents of each set.
    pub documents: PerTask,
    /// Public documents that are held out.
    pub n_held_out: usize,
    /// Tokens, at most.
    pub vocab: usize,
    /// Width of the network.
    pub width: usize,
    /// Its blocks.
    pub blocks: usize,
    /// Steps of the lessons.
    pub steps: u64,
    /// Their rate.
    pub rate: f64,
}

/// A world of made rows: other people, another tokenizer and another network for each seed.
///
/// # Errors
/// Those of the generator and the tokenizer.
pub fn made(size: &Made, seed: u64) -> Result<Start<Gpt>> {
    let holdout = PerTask { stories: 0, biographies: 0, public: size.n_held_out };
    let world = MadeWorld::new(MadeSettings {
        seed,
        documents: size.documents,
        holdout,
        shared_cities: false,
    })?;
    let join = Join::Space;
    let all = world.forget.iter().chain(&world.retain);
    let texts: Vec<String> = all.map(|row| join.text(&row.input, &row.output)).collect();
    let tokenizer = Tokenizer::train(texts.iter().map(String::as_str), size.vocab)?;
    // Every answer of both sets can be written to its end.
    let (mut longest, mut max_new) = (0, 0);
    for (row, text) in world.forget.iter().chain(&world.retain).zip(&texts) {
        longest = longest.max(tokenizer.encode(text, true)?.len());
        let (_, answer) = join.parts(&row.input, &row.output);
        max_new = max_new.max(tokenizer.encode(&answer, false)?.len() + 1);
    }
    let builder = Builder::init(Key::from_seed(seed), DType::F32, &Device::Cpu);
    let config = GptConfig {
        tied: true,
        ..GptConfig::new(tokenizer.n_tokens(), longest + max_new, size.width, size.blocks, 4)
    };
    let model = Gpt::new(&config, builder.vb())?;
    let end = tokenizer.id("</s>");
    let exam = Exam {
        holdout: world.holdout,
        questions: world.questions,
        max_new,
        ..Exam::new(world.forget, world.retain)?
    };
    Ok(Start {
        name: format!("{}-{seed}", size.name),
        model,
        params: builder.into_tree()?,
        tokenizer,
        end,
        join,
        exam,
        more: Vec::new(),
        lesson: Lesson {
            steps: size.steps,
            rate: size.rate,
            batch: 32,
            micro_batch: 4,
            trained: Trained::Full,
        },
        exam_batch: 64,
        n_long: 0,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// Goes on until it is stopped.
    fn patient(stop: Stop<'_>) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(60) {
            if stop() {
                return Err(Error::Interrupted);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    #[test]
    fn one_that_fails_stops_the_other_and_is_the_error() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let fails = |_: Stop<'_>| -> Result<()> { Err(Error::TooFewRuns) };
        let first = pool.install(|| side_by_side(&|| false, fails, patient));
        assert!(matches!(first, Err(Error::TooFewRuns)));
        let second = pool.install(|| side_by_side(&|| false, patient, fails));
        assert!(matches!(second, Err(Error::TooFewRuns)));
        let stopped = pool.install(|| side_by_side(&|| true, patient, patient));
        assert!(matches!(stopped, Err(Error::Interrupted)));
    }
}
