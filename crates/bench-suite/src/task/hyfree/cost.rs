//! What private losses cost in time: steps beside plain private ones, and the ladder beside forward passes.

use cpu_time::ThreadTime;
use dp_core::hyfree::{Evidence, HyFree, HyFreeState, HyFreeStep, Settings};
use dp_core::{Ledger, PrivateStep, RunKey};
use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};
use tensor_tree::{
    AdamW, AdamWState, Objective, Pass, ProbePoint, Rates, SingleProcess, Transform, Tree,
};

use super::{MNIST, TASK};
use crate::data::Places;
use crate::error::{Error, Result};
use crate::hyfree::{Base, Method, Training, plan};
use crate::problem::{ImageProblem, Problem};
use crate::session::{Session, Spread};
use crate::task::claim::{Asks, Check, Claim};

const ROUNDS: u64 = 15;
/// Steps of a round: a multiple of all periods.
const STEPS: u64 = 10;
const PERIODS: [u64; 3] = [1, 5, 10];
/// What a step may cost beyond the forward passes that it makes.
const MARGIN: f64 = 1.1;
/// Losses of a ladder with its bound.
const LADDER: f64 = 12.0;

struct Bench<'a> {
    problem: &'a ImageProblem,
    params: Tree,
}

type Driver = HyFreeStep<AdamW>;

impl Bench<'_> {
    fn driver(&self, settings: &Settings) -> Result<(Driver, Ledger)> {
        let method = Method::HyFree { base: Base::Adam, settings: settings.clone() };
        let training = MNIST.training(&method, 0);
        let (plan, step) = self.step(&training)?;
        let controller = HyFree::new(settings.clone(), &plan)?;
        Ok((HyFreeStep { step, controller, chain: AdamW::default() }, plan.ledger()))
    }

    fn step(&self, training: &Training) -> Result<(dp_core::PrivacyPlan, PrivateStep)> {
        let plan = plan(self.problem.n_train(), self.problem.unit(), training)?;
        let step = training.budget().step(&plan, &self.params)?;
        Ok((plan, step))
    }

    /// Seconds of the steps from `first` on, and the state behind them.
    fn released(
        &self,
        (driver, ledger): &mut (Driver, Ledger),
        (params, state): (&Tree, &HyFreeState<AdamWState>),
        (first, n): (u64, u64),
    ) -> Result<(f64, Tree, HyFreeState<AdamWState>)> {
        let (mut params, mut state) = (params.clone(), state.clone());
        let mut keys = RunKey::seeded(3, first);
        let sampler = self.sampler()?;
        let mut seconds = 0.0;
        for _ in 0..n {
            let key = keys.next_step();
            let batch = sampler.draw(&key).try_map(|records| self.parts(&records))?;
            let started = ThreadTime::now();
            let objective = self.problem.objective();
            let group = &SingleProcess;
            let update = driver.run(objective, &params, batch, key, group, ledger, &mut state)?;
            params = update.params;
            seconds += started.elapsed().as_secs_f64();
        }
        Ok((seconds, params, state))
    }

    /// The same without losses, and with the forward pass alone of each batch.
    fn plain(&self, step: &PrivateStep, mut ledger: Ledger, first: u64) -> Result<(f64, f64)> {
        let mut params = self.params.clone();
        let chain = AdamW::default();
        let mut state = chain.init(&params)?;
        let mut keys = RunKey::seeded(3, first);
        let sampler = self.sampler()?;
        let (mut seconds, mut forwards) = (0.0, 0.0);
        for _ in 0..STEPS {
            let key = keys.next_step();
            let batch = sampler.draw(&key).try_map(|records| self.parts(&records))?;
            let started = ThreadTime::now();
            for part in batch.batch() {
                self.problem.objective().losses(&params, part, Pass::Eval)?;
            }
            forwards += started.elapsed().as_secs_f64();
            let started = ThreadTime::now();
            let points = ProbePoint::single(&params);
            let objective = self.problem.objective();
            let group = &SingleProcess;
            let grads = step.run_in_parts(objective, &points, batch, key, group, &mut ledger)?;
            let direction = chain.update(grads, &params, &mut state)?;
            params = params.descend(&direction, &Rates::uniform(0.01))?;
            seconds += started.elapsed().as_secs_f64();
        }
        Ok((seconds, forwards))
    }

    fn sampler(&self) -> Result<dp_core::PoissonSampler> {
        let n = self.problem.n_train();
        let rate = dp_core::SampleRate::new(MNIST.batch_size / n as f64)?;
        Ok(dp_core::PoissonSampler::new(n, rate)?)
    }

    fn parts(
        &self,
        records: &[usize],
    ) -> Result<Vec<<<ImageProblem as Problem>::Objective as Objective>::Batch>> {
        Ok(vec![self.problem.batch(records)?])
    }
}

/// Times of all rounds, per step.
#[derive(Default)]
struct Times {
    plain: Vec<f64>,
    forward: Vec<f64>,
    ladder: Vec<f64>,
    released: Vec<Vec<f64>>,
}

fn measure(session: &Session, problem: &ImageProblem) -> Result<Times> {
    let bench = Bench { problem, params: problem.initial(0)? };
    let evidence = Evidence::default().with_momentum(0.9)?;
    let with_period = |period| Settings { period, ..Settings::evidence(evidence) };
    let mut drivers =
        PERIODS.iter().map(|k| bench.driver(&with_period(*k))).collect::<Result<Vec<_>>>()?;
    let given =
        Method::Given { base: Base::Adam, rate: 0.01, course: crate::autorate::Course::Constant };
    let (plain_plan, plain_step) = bench.step(&MNIST.training(&given, 0))?;
    let mut times = Times { released: vec![Vec::new(); PERIODS.len()], ..Times::default() };
    let task = session.progress.task(format!("{TASK}: time of steps"), ROUNDS);
    for round in 0..ROUNDS {
        if session.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        let (plain, forward) = bench.plain(&plain_step, plain_plan.ledger(), STEPS * round)?;
        times.plain.push(plain / STEPS as f64);
        times.forward.push(forward / STEPS as f64);
        for (driver, released) in drivers.iter_mut().zip(&mut times.released) {
            // The ladder is a step of its own; a whole period after it is as long as any other.
            let start = driver.0.init(&bench.params)?;
            let ladder = bench.released(driver, (&bench.params, &start), (0, 1))?;
            let rest = bench.released(driver, (&ladder.1, &ladder.2), (1, STEPS))?;
            released.push(rest.0 / STEPS as f64);
            times.ladder.push(ladder.0);
        }
        task.advance(1);
    }
    task.finish();
    Ok(times)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(super) fn run(session: &Session, places: &Places) -> Result<Section> {
    let problem = ImageProblem::open(MNIST.problem, places)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|e| Error::Worker { reason: e.to_string() })?;
    let times = pool.install(|| measure(session, &problem))?;
    let plain = median(&times.plain);
    let mut table =
        Table::new(["step", "cpu ms", "over plain", "(3 + 2/K)/3", "1.1 times that", "holds"]);
    for column in 1..5 {
        table = table.align(column, Align::Right);
    }
    table.push_row(["private, Adam", &significant(1e3 * plain, 3), "1", "", "", ""]);
    let mut checks = Vec::new();
    let figure = |name: &str, value: f64| {
        let spread = Spread {
            better: report::figures::Better::Lower,
            std: None,
            n_seeds: 1,
            config: "default".into(),
        };
        session.figure(TASK, name, value, "times", spread)
    };
    for (period, released) in PERIODS.into_iter().zip(&times.released) {
        let seconds = median(released);
        let (ratio, bound) = (seconds / plain, (3.0 + 2.0 / period as f64) / 3.0);
        table.push_row([
            format!("with losses every {period} steps"),
            significant(1e3 * seconds, 3),
            significant(ratio, 4),
            significant(bound, 4),
            significant(MARGIN * bound, 4),
            (if ratio <= MARGIN * bound { "yes" } else { "no" }).into(),
        ]);
        figure(&format!("cost-every-{period}-over-plain"), ratio)?;
        checks.push(Check {
            what: format!("K = {period}: time over plain, over (3 + 2/K)/3"),
            asks: Asks::AtMost(MARGIN),
            values: vec![ratio / bound],
        });
    }
    let forward = median(&times.forward);
    let ladder = (median(&times.ladder) - plain) / forward;
    figure("cost-ladder-forwards", ladder)?;
    checks.push(Check {
        what: format!(
            "the ladder, once, in forward passes of {} ms",
            significant(1e3 * forward, 3)
        ),
        asks: Asks::AtMost(MARGIN * LADDER),
        values: vec![ladder],
    });
    let claim = Claim {
        published: "Paper: two forward passes every K steps are all that private losses cost (2503.00703)",
        miniature: format!(
            "processor time of whole steps on {}, one thread, medians of {ROUNDS} rounds of {STEPS} steps in turn, data loading left out; the \
             ladder is ours",
            MNIST.problem
        ),
        command: "cargo xtask bench hyfree --only cost",
        seeds: "none: timings".into(),
        checks,
    };
    Ok(Section::new("Time").table(&table).section(claim.section()))
}
