//! `dp_filters.json`: private gradients, filtered gradients and iterates of DOPPLER and DiSK, and gains of Kalman filters.

use dp_core::{ClipFunction, PrivacyPlan, PrivateStep, RunKey, Unsampled};
use dp_filters::{
    AdamMode, Disk, Filter, FilteredAdam, FilteredStep, LookAhead, LowPass, LowPassState, Recipe,
    ScalarKalman, Start, TakesPoints,
};
use report::golden::{array, count, number, numbers, section, text};
use serde_json::Value;
use tensor_tree::{
    AdamW, Checkpoint, Identity, Key, Label, ProbePoint, Purpose, Rates, Result, SingleProcess,
    StateReader, StateWriter, Transform, Tree,
};

use crate::support::{self, Polynomial, leaf, values};

const SEED: u64 = 5;
const TOLERANCE: f64 = 1e-9;

fn file() -> Option<Value> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/golden");
    report::golden::file(own, "dp_filters.json")
}

fn near(what: &str, got: f64, want: f64) {
    all_near(what, &[got], &[want]);
}

/// Each number to 1e-9 of itself, or where it is small beside the largest to 1e-12 of that.
fn all_near(what: &str, got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(1.0f64, |largest, x| largest.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let tolerance = TOLERANCE * want.abs().max(1e-3 * largest);
        assert!((got - want).abs() <= tolerance, "{what}, {i}: {got}, want {want}");
    }
}

/// Takes the noise of the step's own key off the private gradient and puts that of the file on, both at the file's scale; then goes on with
/// `inner`. Were the crate's scale of the noise another one, the two would not cancel.
#[derive(Clone)]
struct Exchanged<T> {
    inner: T,
    std: f64,
    z: Vec<Tree>,
}

#[derive(Clone)]
struct ExchangedState<S>(u64, S);

impl<S: Checkpoint> Checkpoint for ExchangedState<S> {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.count("step", self.0)?;
        out.part("inner", &self.1)
    }
    fn load(from: &mut StateReader<'_>) -> Result<Self> {
        Ok(ExchangedState(from.count("step")?, from.part("inner")?))
    }
}

impl<T: Transform> Exchanged<T> {
    fn gradient(&self, grads: &Tree, t: u64) -> Result<Tree> {
        let step = Key::from_seed(SEED).child(Label::Step(t)).child(Label::For(Purpose::Noise));
        let own = grads.map(|name, leaf| step.child(Label::Leaf(name)).normal_like(leaf))?;
        let theirs = &self.z[usize::try_from(t).unwrap()];
        grads.add_scaled(self.std, &theirs.add_scaled(-1.0, &own)?)
    }
}

impl<T: Transform> Transform for Exchanged<T> {
    type State = ExchangedState<T::State>;
    fn init(&self, params: &Tree) -> Result<Self::State> {
        Ok(ExchangedState(0, self.inner.init(params)?))
    }
    fn update(&self, grads: Tree, params: &Tree, state: &mut Self::State) -> Result<Tree> {
        let grads = self.gradient(&grads, state.0)?;
        let direction = self.inner.update(grads, params, &mut state.1)?;
        state.0 += 1;
        Ok(direction)
    }
}

impl<T: TakesPoints> TakesPoints for Exchanged<T> {
    fn points(&self, params: &Tree, state: &mut Self::State) -> Result<Vec<ProbePoint>> {
        self.inner.points(params, &mut state.1)
    }
}

struct Problem<'a> {
    value: &'a Value,
    objective: Polynomial,
    plan: PrivacyPlan,
    start: Tree,
}

impl<'a> Problem<'a> {
    fn new(value: &'a Value) -> Self {
        let lists = |name: &str| array(&value[name]).iter().map(numbers).collect();
        let of = |name: &str| number(value, &format!("/{name}"));
        let steps = array(&value["batches"]).len() as u64;
        Problem {
            value,
            objective: Polynomial {
                hessians: lists("hessians"),
                centers: lists("centers"),
                quartic: of("quartic"),
                offset: 0.0,
            },
            plan: support::plan(
                count(value, "/n") as u64,
                of("expected_batch_size"),
                steps,
                of("R"),
                of("sigma"),
            ),
            start: leaf(&numbers(&value["x0"])),
        }
    }

    fn step(&self) -> PrivateStep {
        support::step(&self.plan, ClipFunction::Abadi { stability: 0.0 }, &self.start)
    }

    /// Runs `filter` and then `optimizer`; compares private gradients, what the filter made of them where the file has it, and iterates.
    fn check<F: TakesPoints + Clone, O: Transform + Clone>(
        &self,
        run: &Value,
        filter: &F,
        optimizer: &O,
    ) {
        let name = text(run, "/name");
        let of = |name: &str| number(self.value, &format!("/{name}"));
        let std = of("sigma") * of("R") / of("expected_batch_size");
        near("deviation of the noise", self.step().noise_std(), std);
        let z: Vec<Tree> = array(&self.value["z"]).iter().map(|z| leaf(&numbers(z))).collect();
        let chain = Exchanged { inner: filter.clone().then(optimizer.clone()), std, z };
        let driver = FilteredStep { step: self.step(), chain };
        let rates = Rates::uniform(number(run, "/lr"));
        let mut state = driver.init(&self.start).unwrap();
        let mut filter_state = filter.init(&self.start).unwrap();
        let (mut keys, mut ledger) = (RunKey::seeded(SEED, 0), self.plan.ledger());
        let mut params = self.start.clone();
        for (t, batch) in array(&self.value["batches"]).iter().enumerate() {
            let at = |what: &str| format!("{name}, step {t}: {what}");
            let batch: Vec<usize> = numbers(batch).iter().map(|i| *i as usize).collect();
            let parts = Unsampled(vec![batch]);
            let key = keys.next_step();
            let update = driver
                .run(
                    &self.objective,
                    &params,
                    parts,
                    &rates,
                    key,
                    &SingleProcess,
                    &mut ledger,
                    &mut state,
                )
                .unwrap();
            let grads = driver.chain.gradient(&update.grads, t as u64).unwrap();
            all_near(&at("private gradient"), &values(&grads), &numbers(&run["private_grad"][t]));
            // The filter once more, by itself.
            filter.points(&params, &mut filter_state).unwrap();
            let filtered = filter.update(grads, &params, &mut filter_state).unwrap();
            if let Some(want) = run.get("filtered") {
                all_near(&at("filtered"), &values(&filtered), &numbers(&want[t]));
            }
            params = update.params;
            all_near(&at("x"), &values(&params), &numbers(&run["x"][t]));
        }
        assert_eq!(ledger.n_charges(), array(&self.value["batches"]).len() as u64);
    }

    fn with_optimizer<F: TakesPoints + Clone>(&self, run: &Value, filter: &F) {
        match text(run, "/optimizer") {
            "sgd" => self.check(run, filter, &Identity),
            "adam" => self.check(run, filter, &AdamW::default()),
            other => panic!("{}: optimizer {other}", text(run, "/name")),
        }
    }
}

/// Calls `check` with the problem of each run of `method`.
fn each_run(method: &str, check: impl Fn(&Problem<'_>, &Value)) {
    let Some(file) = file() else { return };
    let mut n_runs = 0;
    for problem in section(&file, "problems").unwrap_or_default() {
        let of = Problem::new(&problem["problem"]);
        for run in array(&problem["runs"]).iter().filter(|run| text(run, "/method") == method) {
            check(&of, run);
            n_runs += 1;
        }
    }
    assert!(0 < n_runs, "no run of method {method}");
}

#[test]
fn golden_dp_runs_without_a_filter_are_reproduced() {
    each_run("dp", |problem, run| problem.with_optimizer(run, &Identity));
}

fn filter(run: &Value) -> Filter {
    Filter::new(numbers(&run["a"]), numbers(&run["b"])).unwrap()
}

/// `m_t` of a filter whose gain is not 1, which [`LowPass::uncorrected`] refuses.
#[derive(Clone)]
struct Sum(LowPass);

impl Transform for Sum {
    type State = LowPassState;
    fn init(&self, params: &Tree) -> Result<LowPassState> {
        self.0.init(params)
    }
    fn update(&self, grads: Tree, params: &Tree, state: &mut LowPassState) -> Result<Tree> {
        let (result, gain) = self.0.update_with_gain(grads, params, state)?;
        result.scale(gain.step_response)
    }
}

impl TakesPoints for Sum {}

/// The comparison of a file that has such a run is no weaker: here without a file, by the recursion in numbers.
#[test]
fn sums_of_a_filter_of_low_gain_are_its_recursion() {
    let filter = Recipe::SecondOrderLowGain.filter();
    assert!(LowPass::uncorrected(filter.clone()).is_err() && filter.dc_gain() < 0.5);
    let (a, b) = (filter.a().to_vec(), filter.b().to_vec());
    let (sum, params) = (Sum(LowPass::new(filter)), leaf(&[0.0; 2]));
    let mut state = sum.init(&params).unwrap();
    let (mut g, mut m): (Vec<[f64; 2]>, Vec<[f64; 2]>) = (Vec::new(), Vec::new());
    for t in 0..400usize {
        g.push([1.0 + 0.01 * t as f64, (0.3 * t as f64).sin()]);
        let mut want = [0.0; 2];
        for (i, want) in want.iter_mut().enumerate() {
            for (r, b) in b.iter().enumerate().filter(|(r, _)| *r <= t) {
                *want += b * g[t - r][i];
            }
            for (r, a) in (1..).zip(&a).filter(|(r, _)| *r <= t) {
                *want -= a * m[t - r][i];
            }
        }
        m.push(want);
        let got = sum.update(leaf(&g[t]), &params, &mut state).unwrap();
        all_near(&format!("step {t}"), &values(&got), &want);
    }
    // The scale is the filter's own: a ramp near 4.99 is far from what comes out.
    assert!(m[399][0] < 0.4 * g[399][0], "{}", m[399][0]);
}

#[test]
fn golden_doppler_runs_are_reproduced() {
    each_run("doppler", |problem, run| {
        let filter = filter(run);
        let low_pass = match run["bias_correction"].as_bool().unwrap() {
            true => LowPass::new(filter),
            false => {
                let sum = Sum(LowPass::new(filter.clone()));
                problem.with_optimizer(run, &sum);
                // Refused where the scale would be wrong.
                let Ok(low_pass) = LowPass::uncorrected(filter) else { return };
                low_pass
            }
        };
        problem.with_optimizer(run, &low_pass);
        if text(run, "/optimizer") == "adam" {
            // Filter and Adam in one.
            let adam = FilteredAdam::new(low_pass, AdamMode::FilterThenAdam { beta1: 0.9 });
            let mut run = run.clone();
            run.as_object_mut().unwrap().remove("filtered");
            problem.check(&run, &adam.unwrap(), &Identity);
        }
    });
}

#[test]
fn golden_doppler_gains_are_reproduced() {
    each_run("doppler", |_, run| {
        let name = text(run, "/name");
        let filter = filter(run);
        near(name, filter.noise_power_gain(), number(run, "/noise_power_gain"));
        near(name, filter.dc_gain(), number(run, "/dc_gain"));
        let n = array(&run["impulse_response"]).len();
        all_near(name, &filter.impulse_response(n), &numbers(&run["impulse_response"]));
        let c = filter.first_gains(array(&run["c"]).len());
        let c: Vec<f64> = c.iter().map(|gain| gain.step_response).collect();
        all_near(name, &c, &numbers(&run["c"]));
    });
}

#[test]
fn golden_disk_runs_are_reproduced() {
    each_run("disk", |problem, run| {
        let (kappa, gamma) = (number(run, "/kappa"), number(run, "/gamma"));
        let start = match text(run, "/init") {
            "first_observation" => Start::FirstObservation,
            "zero" => Start::Zero,
            other => panic!("start {other}"),
        };
        let disk = Disk::new(kappa, LookAhead::Fixed(gamma)).unwrap().with_start(start);
        problem.with_optimizer(run, &disk);
        // `c` of a step after the first.
        let mut state = disk.init(&problem.start).unwrap();
        disk.update(problem.start.clone(), &problem.start, &mut state).unwrap();
        near("c", disk.weight(&state), number(run, "/c"));
        if disk.weight(&state) == 1.0 {
            let auto = Disk::new(kappa, LookAhead::Auto).unwrap().with_start(start);
            problem.with_optimizer(run, &auto);
        }
    });
}

#[test]
fn golden_kalman_gains_are_reproduced() {
    let Some(file) = file() else { return };
    let mut n_cases = 0;
    for problem in section(&file, "problems").unwrap_or_default() {
        for case in problem.get("kalman_gains").map_or(&[][..], |cases| array(cases)) {
            let of = |name: &str| number(case, &format!("/{name}"));
            let kalman =
                ScalarKalman::new(of("p0"), of("process_var"), of("observation_var")).unwrap();
            let steps = kalman.gains(array(&case["gain"]).len());
            let column = |f: fn(&dp_filters::KalmanStep) -> f64| -> Vec<f64> {
                steps.iter().map(f).collect()
            };
            all_near("gain", &column(|step| step.gain), &numbers(&case["gain"]));
            all_near("variance", &column(|step| step.variance), &numbers(&case["posterior_var"]));
            near("stationary gain", kalman.stationary_gain(), of("stationary_gain"));
            n_cases += 1;
        }
    }
    assert!(0 < n_cases, "no gains of Kalman filters");
}
