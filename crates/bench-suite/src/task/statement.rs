//! A short run with secret noise, charged to a ledger on disk, that ends in a privacy statement.

use candle_core::{DType, Device, Tensor};
use dp_core::{
    Charge, ClipFunction, ClipNorm, ClipStyle, Clipping, LedgerFile, PoissonSampler, PrivacyPlan,
    PrivateStep, RdpAccountant, RunKey, UnitOfPrivacy, Validated, validate,
};
use report::html::Section;
use tape_nn::LabeledBatch;
use tensor_tree::{AdamW, Key, ProbePoint, Rates, SingleProcess, Transform, Tree};

use crate::data::Places;
use crate::error::{Error, Result};
use crate::problem::{ImageProblem, Problem};
use crate::session::Session;

const STEPS: u64 = 60;

/// Trains on the digits, without any look at the training data, and prints what may be claimed.
pub(super) fn run(session: &Session) -> Result<Section> {
    let problem = ImageProblem::open("digits/mlp", &Places::discover()?)?;
    let accountant = RdpAccountant::new();
    let unit = UnitOfPrivacy::new(problem.unit())?;
    let plan = PrivacyPlan::builder()
        .n_samples(problem.n_train() as u64)
        .expected_batch_size(128.0)
        .steps(STEPS)
        .clip_norm(1.0)
        .delta(1e-4)
        .target_epsilon(3.0)
        .unit(unit)
        .build(&accountant)?;
    let mut params = problem.initial(0)?;
    let clipping =
        Clipping::new(ClipFunction::automatic(), &ClipStyle::Flat, &params, ClipNorm::new(1.0)?)?;
    let step = PrivateStep::new(&plan, clipping)?.with_validated(validated(&problem, &params)?);
    let sampler = PoissonSampler::new(problem.n_train(), plan.sample_rate())?;
    let mut keys = RunKey::private()?;
    // A new run: the ledger of an earlier one belongs to other parameters, and is kept beside this one.
    let mut ledger = LedgerFile::start_anew(session.path("statement.ledger"), plan.ledger())?;
    let adam = AdamW::default();
    let mut memory = adam.init(&params)?;
    let task = session.progress.task("private run with secret noise", plan.steps());
    for _ in 0..plan.steps() {
        if session.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        let key = keys.next_step();
        let batch = sampler.draw(&key).try_map(|records| problem.batch(&records))?;
        let points = ProbePoint::single(&params);
        let grads =
            step.run(problem.objective(), &points, batch, key, &SingleProcess, &mut ledger)?;
        let direction = adam.update(grads, &params, &mut memory)?;
        params = params.descend(&direction, &Rates::uniform(3e-3))?;
        task.advance(1);
    }
    task.finish();
    let statement = ledger.ledger().statement(&accountant, plan.delta())?.to_string();
    let quality = problem.evaluate(&params)?;
    session.progress.note(&statement);
    Ok(Section::new("A privacy statement")
        .paragraph(
            "This run drew its noise from the operating system, kept no diagnostics of the training data and charged \
             every step to a ledger on disk before its noise was drawn, so it may claim a guarantee. It cannot be \
             repeated: every run has other noise.",
        )
        .code(&statement)
        .key_values([(
            "test accuracy in %",
            report::number::significant(100.0 * quality.accuracy.unwrap_or(f64::NAN), 3),
        )]))
}

/// Asks of made-up images whether the network can be trained privately.
fn validated(problem: &ImageProblem, params: &Tree) -> Result<Validated> {
    const CLASSES: [i64; 3] = [0, 1, 2];
    // A batch without records has the shape of an image and nothing of any.
    let mut shape = problem.batch(&[])?.inputs.dims().to_vec();
    shape[0] = CLASSES.len();
    let images = Key::from_seed(0).normal_like(&Tensor::zeros(shape, DType::F32, &Device::Cpu)?)?;
    let labels = Tensor::new(&CLASSES, &Device::Cpu)?;
    let batch = |from: usize, n: usize| -> Result<LabeledBatch> {
        Ok(LabeledBatch::new(images.narrow(0, from, n)?, labels.narrow(0, from, n)?))
    };
    let alone: Vec<LabeledBatch> =
        (0..CLASSES.len()).map(|i| batch(i, 1)).collect::<Result<_>>()?;
    Ok(validate(problem.objective(), params, &batch(0, CLASSES.len())?, &alone)?)
}
