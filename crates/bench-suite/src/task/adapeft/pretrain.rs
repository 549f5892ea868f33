//! Networks of the GPT-2 kind, pretrained on plays; a stopped pretraining goes on.

use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device};
use tape_nn::Builder;
use tape_nn::net::{Gpt, GptConfig};
use tensor_tree::checkpoint::{self, Header};
use tensor_tree::{
    AdamW, Differentiable, Key, Pass, Reduction, Running, Schedule, Stage, StateReader,
    StateWriter, Tree,
};

use super::corpus::{Corpora, Corpus};
use super::net::Net;
use crate::error::{Error, Result};
use crate::session::Session;

/// Characters that are read at once.
pub(in crate::task) const CONTEXT: usize = 64;
pub(super) const WIDTH: usize = 80;
const HEADS: usize = 4;
pub(super) const STEPS: u64 = 600;
pub(super) const BATCH: usize = 16;
const RATE: f64 = 3e-3;
const SEED: u64 = 7;
const KIND: &str = "bench-suite/adapeft-pretrained";

/// The network of that many blocks.
pub(super) fn pretrained(
    session: &Session,
    corpora: &Corpora,
    n_blocks: usize,
) -> Result<Net<Gpt>> {
    let config = GptConfig::new(corpora.n_chars, CONTEXT, WIDTH, n_blocks, HEADS);
    pretrain(session, &format!("adapeft-gpt-{n_blocks}"), &config, &corpora.plays)
}

/// A network of that configuration on windows of a corpus: a saved one of the same commit if the session resumes.
pub(in crate::task) fn pretrain(
    session: &Session,
    name: &str,
    config: &GptConfig,
    corpus: &Corpus,
) -> Result<Net<Gpt>> {
    let builder = Builder::init(Key::from_seed(SEED), DType::F32, &Device::Cpu);
    let model = Gpt::new(config, builder.vb())?;
    let params = builder.into_tree()?;
    let mut run =
        Pretraining { optimizer: Running::new(AdamW::default(), &params)?, step: 0, params };
    let path = session.path(&format!("runs/{name}-{}.safetensors", session.commit));
    let header = Header {
        kind: KIND.into(),
        config: format!("{config:?}, {STEPS} steps, batch {BATCH}, rate {RATE}, seed {SEED}"),
    };
    if session.resume && path.exists() {
        run.load(&path, &header)?;
    }
    let schedule = Schedule::Linear { warmup: 50, total: STEPS, floor: 0.05 };
    let mut net = Net { model, params: run.params.clone() };
    let (objective, _) = net.training(|_| true);
    let task = session.progress.task(format!("pretraining of {name}"), STEPS);
    task.start_at(run.step);
    let mut saved = Instant::now();
    while run.step < STEPS {
        let batch = corpus.batch(BATCH, SEED, run.step)?;
        let how = (Pass::Eval, Reduction::Mean);
        let (_, grads) = objective.value_and_grad(&run.params, &batch, how.0, how.1)?;
        let direction = run.optimizer.apply(grads, &run.params)?;
        let rate = RATE * schedule.factor(run.step);
        run.params = run.params.descend(&direction, &rate.into())?;
        run.step += 1;
        task.advance(1);
        let stop = session.interrupt.is_set();
        if stop || run.step == STEPS || session.checkpoint_every < saved.elapsed() {
            run.save(&path, &header)?;
            saved = Instant::now();
        }
        if stop {
            return Err(Error::Interrupted);
        }
    }
    task.finish();
    net.params = run.params;
    Ok(net)
}

struct Pretraining {
    params: Tree,
    optimizer: Running<AdamW>,
    step: u64,
}

impl Pretraining {
    fn save(&self, path: &Path, header: &Header) -> Result<()> {
        let mut out = StateWriter::new();
        out.tree("params", &self.params)?;
        out.scope("optimizer", |out| self.optimizer.save(out))?;
        out.count("step", self.step)?;
        Ok(checkpoint::write(path, header, &out.finish())?)
    }

    fn load(&mut self, path: &Path, header: &Header) -> Result<()> {
        let state = checkpoint::read(path, header)?;
        let mut from = StateReader::new(&state);
        self.params = from.tree("params")?;
        from.scope("optimizer", |from| self.optimizer.load(from))?;
        self.step = from.count("step")?;
        Ok(())
    }
}
