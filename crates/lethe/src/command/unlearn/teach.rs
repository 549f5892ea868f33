//! `lethe unlearn teach`: language models that know rows, to be unlearned from or compared with.

use std::path::PathBuf;
use std::time::Instant;

use candle_core::{DType, Device};
use clap::Args;
use report::html::{Page, Section};
use report::plot::{Plot, Series};
use serde::Serialize;
use serde_json::json;
use tape_nn::Builder;
use tape_nn::load::Tokenizer;
use tape_nn::net::{Llama, LlamaConfig};
use tensor_tree::{Key, Label, Purpose, Tree};
use unlearn::batch::Item;
use unlearn::exam::Subject;
use unlearn::feed::{Anchor, Pairing};
use unlearn::method::Method;
use unlearn::metric::memorization::exact_memorization;
use unlearn::row::{Join, Row};
use unlearn::run::{Ceiling, Checks, Keep, Rate, Run, Stop};
use unlearn::trained::Trained;

use super::budget::{self, Deadline, Work};
use super::model::{self, Model};
use super::parts::{self, Phase};
use super::training::{self, CHECKPOINT, Course, End, Feeding, Trainer};
use super::{folder, rows};
use crate::command::identity::Identity;
use crate::command::write::{self, Folder, picture};
use crate::command::{Outcome, Session};
use crate::error::{Error, Result};

/// Passes over the rows, unless they are known before.
const EPOCHS: f64 = 100.0;

/// Flags of `lethe unlearn teach`.
#[derive(Debug, Args)]
pub struct Flags {
    /// Rows to be learned: files of JSON lines, or folders of such files.
    #[arg(long, value_name = "FILE|FOLDER", num_args = 1.., required = true)]
    rows: Vec<PathBuf>,
    /// The model to begin with: a folder with config.json, safetensors and tokenizer.json, or a .gguf file.
    #[arg(
        long,
        value_name = "FOLDER|FILE.gguf",
        conflicts_with = "new",
        required_unless_present = "new"
    )]
    model: Option<PathBuf>,
    /// The model's tokenizer, where it is not in its folder.
    #[arg(long, value_name = "FILE|FOLDER", requires = "model")]
    tokenizer: Option<PathBuf>,
    /// A new model of this width with so many blocks, such as 64x2, and a tokenizer learned from the rows.
    #[arg(long, value_name = "WIDTHxBLOCKS")]
    new: Option<Size>,
    /// Most tokens of a new model's tokenizer.
    #[arg(long, value_name = "N", default_value_t = 512, requires = "new")]
    vocab: usize,
    /// Texts that a new model's tokenizer is learned from beside the rows, so that models of fewer rows get the same one.
    #[arg(long, value_name = "FILE|FOLDER", num_args = 1.., requires = "new")]
    tokens_of: Vec<PathBuf>,
    /// Most positions of a text of a new model; by default 256, or more where rows are longer.
    #[arg(long, value_name = "N", requires = "new")]
    positions: Option<usize>,
    /// The learning rate; by default 3e-3 for a new model, 1e-3 for adapters, 1e-4 else.
    #[arg(long)]
    rate: Option<f64>,
    /// The loss at which the rows are known, in nats per token.
    #[arg(long, value_name = "NATS", default_value_t = 0.05)]
    until: f64,
    #[command(flatten)]
    parts: parts::Flags,
    #[command(flatten)]
    encoding: rows::Flags,
    #[command(flatten)]
    training: training::Flags,
    /// Folder for the model, teach.json and report.html; it must be empty, or --resume.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// Width and number of blocks of a new model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Size {
    width: usize,
    blocks: usize,
}

/// Width of an attention head of a new model.
const HEAD: usize = 16;

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || {
            format!(
                "expected width and blocks such as 64x2, the width a multiple of {HEAD}, got `{text}`"
            )
        };
        let (width, blocks) = text.split_once('x').ok_or_else(wrong)?;
        let number = |text: &str| text.parse::<usize>().ok().filter(|n| 0 < *n).ok_or_else(wrong);
        let size = Size { width: number(width)?, blocks: number(blocks)? };
        if size.width.is_multiple_of(HEAD) { Ok(size) } else { Err(wrong()) }
    }
}

impl Flags {
    pub(super) fn outcome(&self, session: &Session) -> Result<Outcome> {
        let begun = Instant::now();
        let training = &self.training;
        training.check_course(Course::Cosine, false)?;
        if self.parts.adapeft.is_some() {
            return Err(Error::Usage("--adapeft is for lethe unlearn run".into()));
        }
        if training.resume {
            folder::resumable(&self.out, (CHECKPOINT, RESULT), &[])?;
        } else {
            folder::empty(&self.out)?;
        }
        let (all, join) = rows::read_all(&self.rows, self.encoding.join)?;
        let model = match (&self.model, self.new) {
            (Some(model), _) => {
                let tokenizer = self.tokenizer.clone();
                model::Flags { model: model.clone(), tokenizer }.read()?
            }
            (None, Some(size)) => self.new_model(size, &all, join)?,
            (None, None) => return Err(Error::Usage("expected --model or --new".into())),
        };
        let long = self.encoding.over_long;
        let path = self.rows.first().cloned().unwrap_or_default();
        let prepared = rows::prepare(&model, (&path, &all), join, long, (&[], training.seed))?;
        let notes: Vec<String> = rows::cut_note("taught", &prepared).into_iter().collect();
        let items = prepared.items;
        let feeding = Feeding {
            anchor: Anchor::Retain,
            pairing: Pairing::Cyclic,
            sizes: (items.len(), items.len()),
            epochs: EPOCHS,
        };
        let steps = training.n_steps(feeding)?;
        let method = Method::named("retain")?;
        let mut net = model.net.clone();
        let phase = Phase {
            forget: &items,
            retain: &items,
            method,
            steps,
            batch: training.batch,
            micro_batch: training.micro_batch,
            seed: training.seed,
        };
        let (trained, parts) = self.parts.split(&mut net, &model.params, training.seed, phase)?;
        let rate = self.rate.unwrap_or(match (self.new, &trained) {
            (Some(_), _) => 3e-3,
            (None, Trained::Lora(_)) => 1e-3,
            (None, _) => 1e-4,
        });
        let schedule = training.course(Course::Cosine, steps);
        let stop = Stop { forget_ceiling: Ceiling::None, ..Stop::after(steps) };
        let every = training.check_every.unwrap_or_else(|| (steps / 50).max(1));
        let settings = unlearn::run::Settings {
            check_every: every,
            ..training.settings(method, Rate::Fixed { rate, schedule }, feeding, (stop, Keep::Last))
        };
        let checks = Checks {
            // Nothing is forgotten: one row stands for all.
            forget: rows::passes(&items, 1, 1)?,
            retain: rows::passes(&items, training.check_rows, training.micro_batch)?,
        };
        let of_step = budget::of_batch(&rows::lengths(&items), training.batch);
        let work = Work::new(&rows::positions(&checks), (0.0, of_step), false);
        let sets = (&items[..1], &items[..]);
        let run = Run::new((&net, &parts.frozen), sets, checks, settings, &Device::Cpu)?;
        let mut trainer = Trainer {
            run: &run,
            session,
            name: "teaching",
            saved: Some((self.out.join(CHECKPOINT), self.identity(&model, join, (steps, rate))?)),
            begun,
            deadline: training.budget.map(|budget| Deadline::of_steps(budget, work)),
            until: Some(self.until),
            better: None,
        };
        let mut state = trainer.start(&parts.trainable, training.resume)?;
        let end = trainer.go(&mut state)?;
        let left = run.outcome(&mut state)?;
        let params = trained.merge(&left.params, &parts.frozen)?;
        let taught = Taught { flags: self, model: &model, params, items: &items, end, notes, rate };
        taught.outcome((&all, join), state.checks(), session)
    }

    /// A model with new weights and a tokenizer of the rows.
    fn new_model(&self, size: Size, all: &[Row], join: Join) -> Result<Model> {
        let (more, _) = match self.tokens_of.as_slice() {
            [] => (Vec::new(), join),
            paths => rows::read_all(paths, Some(join))?,
        };
        let texts: Vec<String> =
            all.iter().chain(&more).map(|row| join.text(&row.input, &row.output)).collect();
        let tokenizer = Tokenizer::train(texts.iter().map(String::as_str), self.vocab)?;
        let lengths: tape_nn::Result<Vec<usize>> =
            texts.iter().map(|text| Ok(tokenizer.encode(text, true)?.len())).collect();
        let longest = lengths?.into_iter().max().unwrap_or(0);
        let Size { width, blocks } = size;
        let heads = width / HEAD;
        let config = LlamaConfig {
            hidden_size: width,
            intermediate_size: (8 * width).div_ceil(3).next_multiple_of(8),
            num_hidden_layers: blocks,
            num_attention_heads: heads,
            num_key_value_heads: heads,
            head_dim: HEAD,
            vocab_size: tokenizer.n_tokens(),
            max_position_embeddings: self
                .positions
                .unwrap_or(longest.next_multiple_of(64).max(256)),
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            tie_word_embeddings: true,
            bos_token_id: tokenizer.id("<s>"),
            eos_token_ids: tokenizer.id("</s>").into_iter().collect(),
            rotary_order: Default::default(),
        };
        let key = Key::from_seed(self.training.seed).child(Label::For(Purpose::Init));
        let builder = Builder::init(key, DType::F32, &Device::Cpu);
        let net = Llama::new(&config, builder.vb())?;
        Model::new(config, (net, builder.into_tree()?), tokenizer)
    }

    fn identity(&self, model: &Model, join: Join, (steps, rate): (u64, f64)) -> Result<Identity> {
        let all = json!({
            "new": self.new,
            "vocab": self.vocab,
            "positions": self.positions,
            "parts": self.parts,
            "rows": self.encoding,
            "training": self.training,
        });
        let mut identity = Identity::of(&all, &[])?
            .with("join", join.to_string())
            .with("number of steps", steps)
            .with("rate", rate);
        model.identify(&mut identity)?;
        for (key, paths) in [("rows", &self.rows), ("texts of tokens", &self.tokens_of)] {
            for (number, path) in paths.iter().enumerate() {
                rows::identify(&mut identity, &format!("{key} {number}"), path)?;
            }
        }
        Ok(identity)
    }
}

/// Numbers of the whole run.
const RESULT: &str = "teach.json";

/// A model that was taught.
struct Taught<'a> {
    flags: &'a Flags,
    model: &'a Model,
    params: Tree,
    items: &'a [Item],
    end: End,
    notes: Vec<String>,
    rate: f64,
}

impl Taught<'_> {
    fn outcome(
        self,
        (all, join): (&[Row], Join),
        checks: &[unlearn::run::Check],
        session: &Session,
    ) -> Result<Outcome> {
        let Taught { flags, model, ref params, end, .. } = self;
        let mut notes = self.notes.clone();
        let (loss, known) = self.known(join)?;
        let count = report::number::count;
        let named: Vec<String> = flags.rows.iter().map(|path| path.display().to_string()).collect();
        let lines = [
            ("rows", format!("{}, {} rows", named.join(", "), all.len())),
            ("parameters", count(model.n_params() as u64)),
            ("tokens", model.config.vocab_size.to_string()),
            ("trained", flags.parts.words()),
            ("rate", format!("{}", self.rate)),
            ("ended", end.to_string()),
            ("loss", format!("{loss:.4} nats per token, over all rows")),
            (
                "known",
                format!("{:.2} % of the answers' tokens are the likeliest ones", 100.0 * known),
            ),
        ]
        .map(|(name, text)| (name.to_owned(), text))
        .to_vec();
        if flags.until < loss {
            notes.push(format!("the rows are not known: their loss is {loss:.4} nats per token, expected at most {}", flags.until));
        }
        if matches!(end, End::Time | End::Stopped) {
            notes.push(format!("{end}: --resume goes on"));
        }
        let plot = Plot::new("Loss of the rows")
            .x_label("step")
            .y_label("nats per token")
            .log_y()
            .series(Series::line("checks", checks.iter().map(|c| (c.step as f64, c.retain))))
            .horizontal(flags.until, "known");
        let pictures: Vec<_> =
            picture("loss.svg", "Mean -log p per token on fixed rows.", plot.to_svg())?
                .into_iter()
                .collect();
        let mut page = Page::new("Teaching").key_values(lines.iter().map(|(k, v)| (k, v)));
        if !notes.is_empty() {
            let add = |section: Section, note: &String| section.paragraph(note);
            page = page.section(notes.iter().fold(Section::new("Warnings"), add));
        }
        for picture in &pictures {
            page = page.plot(&picture.svg, &picture.caption);
        }
        let mut out = Folder::named(flags.out.clone());
        out.add("report.html", page.to_html());
        out.add(
            RESULT,
            write::json(&json!({
                "format": "lethe-unlearn-teach", "version": 1, "ended": end, "loss": loss, "known": known, "checks": checks,
            }))?,
        );
        model.add_files(params, &mut out)?;
        let is_over = matches!(end, End::Rule(_) | End::Known { .. });
        let stale = if is_over { vec![flags.out.join(CHECKPOINT)] } else { Vec::new() };
        let (written, files) = out.finish();
        let stdout = format!("{}\n{written}", write::aligned(&lines));
        let stopped = session.interrupt.is_set() && end == End::Stopped;
        Ok(Outcome { stdout, notes, files, stale, stopped, ..Outcome::default() })
    }

    /// Mean loss per token over all rows, and the share of tokens that are the likeliest ones.
    fn known(&self, join: Join) -> Result<(f64, f64)> {
        let frozen = Tree::new();
        let subject = Subject {
            model: &self.model.net,
            trainable: &self.params,
            frozen: &frozen,
            tokenizer: &self.model.tokenizer,
            join,
            end: self.model.end(),
            stops: &self.model.stops,
            device: &Device::Cpu,
            batch: self.flags.training.micro_batch,
        };
        let samples: Vec<_> = self.items.iter().map(|item| item.sample.clone()).collect();
        let scores: Vec<_> =
            subject.scores(&samples, &mut |_| true)?.into_iter().flatten().collect();
        let right: Vec<bool> = scores.iter().map(|score| score.is_argmax).collect();
        let sum: f64 = scores.iter().map(|score| -score.log_prob).sum();
        Ok((sum / scores.len().max(1) as f64, exact_memorization(&right)?))
    }
}
