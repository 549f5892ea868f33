//! What filters cost in time and memory: steps of the engine's language model.

use cpu_time::ThreadTime;
use dp_core::{Ledger, PldAccountant, PrivacyPlan, PrivateStep, RunKey, Unsampled};
use dp_filters::{FilteredStep, TakesPoints};
use report::figures::Better;
use report::heap::held_by;
use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};
use tape_nn::Taped;
use tape_nn::net::{Gpt, NextToken, Texts};
use tensor_tree::{Rates, SingleProcess, Transform, Tree};

use super::TASK;
use crate::budget::Budget;
use crate::config::ClipConfig;
use crate::engine::{Shape, Subject};
use crate::error::{Error, Result};
use crate::filters::{Base, Filtering, WithChain};
use crate::session::{Session, Spread};
use crate::task::claim::{Asks, Check, Claim};

const ROUNDS: usize = 11;
/// Steps before any that counts: then states are full, and displacements not zero.
const WARM_UP: usize = 3;

/// A filter, the bound on its time over a plain private step, and the copies of the parameters that it may keep.
const BOUNDS: [(Filtering, f64, f64); 4] = [
    (Filtering::FirstOrder, 1.05, 1.0),
    (Filtering::SecondOrder, 1.05, 2.0),
    (Filtering::Disk { kappa: 0.3, gamma: None }, 1.15, 2.0),
    (Filtering::Disk { kappa: 0.7, gamma: Some(0.5) }, 2.4, 2.0),
];

struct Bench {
    objective: Taped<NextToken<Gpt>>,
    params: Tree,
    texts: Texts,
    plan: PrivacyPlan,
    step: PrivateStep,
}

impl Bench {
    fn new() -> Result<Self> {
        let gpt = Shape::standard().into_iter().find(|(name, _)| *name == "gpt");
        let (_, shape) = gpt.ok_or(Error::TooFewRuns)?;
        let Subject::Language(model, params, texts) = Subject::new(&shape)? else {
            return Err(Error::TooFewRuns);
        };
        let budget =
            Budget { clipping: ClipConfig::Flat { norm: 1.0 }, batch_size: 16.0, steps: 100 };
        let plan = budget.plan(1000, "one text")?.noise_multiplier(1.0);
        let plan = plan.build(&PldAccountant::new())?;
        let step = budget.step(&plan, &params)?;
        Ok(Bench { objective: Taped(*model), params, texts, plan, step })
    }
}

/// A run that goes on when it is asked, one step at a time.
trait Running {
    fn step(&mut self, bench: &Bench) -> Result<()>;
}

struct Run<C: TakesPoints> {
    driver: FilteredStep<C>,
    ledger: Ledger,
    keys: RunKey,
    now: Option<(Tree, C::State)>,
}

impl<C: TakesPoints> Running for Run<C> {
    fn step(&mut self, bench: &Bench) -> Result<()> {
        let (params, mut state) = match self.now.take() {
            Some(now) => now,
            // A copy, as if parameters were loaded.
            None => {
                (bench.params.map(|_, leaf| Ok(leaf.copy()?))?, self.driver.init(&bench.params)?)
            }
        };
        let parts = Unsampled(vec![bench.texts.clone()]);
        let (rates, key) = (Rates::uniform(1e-3), self.keys.next_step());
        let group = &SingleProcess;
        let update = self.driver.run(
            &bench.objective,
            &params,
            parts,
            &rates,
            key,
            group,
            &mut self.ledger,
            &mut state,
        )?;
        self.now = Some((update.params, state));
        Ok(())
    }
}

struct Start<'b>(&'b Bench);

impl WithChain<Box<dyn Running>> for Start<'_> {
    fn call<F: TakesPoints + 'static, T: Transform + 'static>(
        self,
        filter: F,
        optimizer: T,
    ) -> Result<Box<dyn Running>> {
        let driver = FilteredStep { step: self.0.step.clone(), chain: filter.then(optimizer) };
        let (ledger, keys) = (self.0.plan.ledger(), RunKey::seeded(3, 0));
        Ok(Box::new(Run { driver, ledger, keys, now: None }))
    }
}

/// Seconds of each round, and the bytes that a run keeps between steps.
struct Measured {
    seconds: Vec<f64>,
    held: f64,
}

fn measure(session: &Session, bench: &Bench, all: &[Filtering]) -> Result<Vec<Measured>> {
    let mut runs = Vec::new();
    // What the first steps of a process allocate for good is nobody's.
    let mut first = Filtering::None.with(Base::Sgd, Start(bench))?;
    for _ in 0..WARM_UP {
        first.step(bench)?;
    }
    drop(first);
    for filtering in all {
        let (run, held) = held_by(|| -> Result<Box<dyn Running>> {
            let mut run = filtering.with(Base::Sgd, Start(bench))?;
            for _ in 0..WARM_UP {
                run.step(bench)?;
            }
            Ok(run)
        });
        runs.push((run?, Measured { seconds: Vec::new(), held: held as f64 }));
    }
    let task = session.progress.task(format!("{TASK}: time of steps"), ROUNDS as u64);
    for _ in 0..ROUNDS {
        for (run, measured) in &mut runs {
            if session.interrupt.is_set() {
                return Err(Error::Interrupted);
            }
            let started = ThreadTime::now();
            run.step(bench)?;
            measured.seconds.push(started.elapsed().as_secs_f64());
        }
        task.advance(1);
    }
    task.finish();
    Ok(runs.into_iter().map(|(_, measured)| measured).collect())
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(super) fn run(session: &Session) -> Result<Section> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|e| Error::Worker { reason: e.to_string() })?;
    let bench = Bench::new()?;
    let copy: usize =
        bench.params.iter().map(|(_, leaf)| leaf.elem_count() * leaf.dtype().size_in_bytes()).sum();
    let filters: Vec<Filtering> =
        std::iter::once(Filtering::None).chain(BOUNDS.map(|(filtering, ..)| filtering)).collect();
    let mut measured = pool.install(|| measure(session, &bench, &filters))?.into_iter();
    let plain = measured.next().ok_or(Error::TooFewRuns)?;
    let seconds = median(&plain.seconds);
    let mut table =
        Table::new(["step", "cpu ms", "over plain", "allowed", "copies kept", "allowed"]);
    for column in 1..6 {
        table = table.align(column, Align::Right);
    }
    table.push_row(["private, SGD", &significant(1e3 * seconds, 4), "1", "", "0", ""]);
    let figure = |name: String, value: f64| {
        let spread =
            Spread { better: Better::Lower, std: None, n_seeds: 1, config: "default".into() };
        session.figure(TASK, &name, value, "times", spread)
    };
    let mut checks = Vec::new();
    for ((filtering, time, copies), measured) in BOUNDS.into_iter().zip(measured) {
        let ratio = median(&measured.seconds) / seconds;
        let kept = (measured.held - plain.held) / copy as f64;
        table.push_row([
            filtering.name(),
            significant(1e3 * median(&measured.seconds), 4),
            significant(ratio, 4),
            significant(time, 3),
            significant(kept, 3),
            significant(copies, 1),
        ]);
        figure(format!("cost-{}-over-plain", filtering.key()), ratio)?;
        figure(format!("memory-{}-copies", filtering.key()), kept)?;
        let name = filtering.name();
        checks.push(Check {
            what: format!("{name}: time over a plain private step"),
            asks: Asks::AtMost(time),
            values: vec![ratio],
        });
        checks.push(Check {
            what: format!("{name}: copies of the parameters kept between steps"),
            // Names and numbers beside the tensors.
            asks: Asks::Near(copies, 0.01),
            values: vec![kept],
        });
    }
    let claim = Claim {
        published: "Papers: DOPPLER costs next to no time; DiSK one gradient more, or none where its second weight is 1",
        miniature: format!(
            "whole private steps of the engine's GPT with {} parameters, one thread, medians of {ROUNDS} steps in turn",
            report::number::count(bench.params.n_elements() as u64)
        ),
        command: "cargo xtask bench filters --only cost",
        seeds: "none: timings".into(),
        checks,
    };
    Ok(Section::new("Time and memory").table(&table).section(claim.section()))
}
