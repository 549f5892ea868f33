//! `dp_filters.json`, runs of method `hyfree`: private gradients, private losses, fits, rates, bounds and iterates.

use dp_core::hyfree::{HyFree, Line, Outcome, PaperLike, RatePolicy, RlRule, Settings};
use dp_core::{
    ClipFunction, ClipStyle, Clipping, PrivacyPlan, PrivateStep, RdpAccountant, RunKey, Unsampled,
};
use serde_json::Value;
use tensor_tree::{Key, Label, ProbePoint, Purpose, Rates, SingleProcess, Tree};

use report::golden::{array, count, number, numbers, section, text};

use super::file;
use crate::hyfree::polynomial::{Polynomial, leaf, values};

const SEED: u64 = 5;
const TOLERANCE: f64 = 1e-9;

fn near(what: &str, got: f64, want: f64) {
    assert!((got - want).abs() <= TOLERANCE * want.abs().max(1e-3), "{what}: {got}, want {want}");
}

fn settings(run: &Value) -> Settings {
    let guard = |name: &str| number(&run["guard"], &format!("/{name}"));
    let clamp = Some(guard("clamp")).filter(|clamp| *clamp != 0.0);
    let first_rate = number(run, "/eta0");
    let policy = PaperLike { first_rate, clamp, smooth: guard("smooth") };
    Settings {
        policy: RatePolicy::PaperLike(policy),
        period: count(run, "/K") as u64,
        first_bound: number(run, "/R_l0"),
        rl_rule: RlRule::Scaled { rho: guard("rho"), shrink: guard("shrink") },
        rl_floor: guard("rl_floor"),
        ..Settings::paper()
    }
}

/// What the step's own normals were, and by what the file's differ from them.
struct Exchange {
    step: Key,
}

impl Exchange {
    fn at(t: u64) -> Self {
        Exchange { step: Key::from_seed(SEED).child(Label::Step(t)) }
    }

    fn gradient(&self, grads: &Tree, theirs: &[f64], std: f64) -> Tree {
        let noise = self.step.child(Label::For(Purpose::Noise));
        let own = grads.map(|name, leaf| noise.child(Label::Leaf(name)).normal_like(leaf)).unwrap();
        let exchange = leaf(theirs).add_scaled(-1.0, &own).unwrap();
        grads.add_scaled(std, &exchange).unwrap()
    }

    fn loss(&self, loss: f64, query: u64, theirs: f64, std: f64) -> f64 {
        let noise = self.step.child(Label::For(Purpose::LossNoise)).child(Label::Step(query));
        let own = values(&leaf(&[0.0]).map(|_, leaf| noise.normal_like(leaf)).unwrap())[0];
        loss + std * (theirs - own)
    }
}

struct Problem {
    objective: Polynomial,
    plan: PrivacyPlan,
    sigma: f64,
    r: f64,
    b: f64,
}

impl Problem {
    fn new(problem: &Value, run: &Value) -> Self {
        let lists = |name: &str| array(&problem[name]).iter().map(numbers).collect();
        let objective = Polynomial {
            hessians: lists("hessians"),
            centers: lists("centers"),
            quartic: number(problem, "/quartic"),
            offset: 0.0,
        };
        let of = |name: &str| number(problem, &format!("/{name}"));
        let (sigma, r, b) = (of("sigma"), of("R"), of("expected_batch_size"));
        let plan = PrivacyPlan::builder()
            .n_samples(count(problem, "/n") as u64)
            .expected_batch_size(b)
            .steps(count(problem, "/steps") as u64)
            .delta(1e-5)
            .clip_norm(r)
            .noise_multiplier(sigma)
            .losses(settings(run).schedule())
            .loss_noise_multiplier(number(run, "/sigma_l"))
            .build(&RdpAccountant::new())
            .unwrap();
        Problem { objective, plan, sigma, r, b }
    }
}

fn check(problem: &Value, run: &Value) {
    let name = text(&run["name"], "").to_owned();
    let Problem { objective, plan, sigma, r, b } = Problem::new(problem, run);
    let sigma_l = number(run, "/sigma_l");
    let controller = HyFree::new(settings(run), &plan).unwrap();
    let mut state = controller.init();
    let mut params = leaf(&numbers(&problem["x0"]));
    let function = ClipFunction::Abadi { stability: 0.0 };
    let clipping = Clipping::new(function, &ClipStyle::Flat, &params, plan.clip_norm()).unwrap();
    let step = PrivateStep::new(&plan, clipping).unwrap();
    let mut ledger = plan.ledger();
    let mut keys = RunKey::seeded(SEED, 0);
    for (t, want) in array(&run["steps"]).iter().enumerate() {
        let at = |what: &str| format!("{name}, step {t}: {what}");
        let is_probe = want["probe"].as_bool().unwrap();
        let exchange = Exchange::at(t as u64);
        let batch: Vec<usize> =
            numbers(&problem["batches"][t]).iter().map(|i| *i as usize).collect();
        let allowed = controller.n_losses(&state);
        assert_eq!(allowed, if is_probe { 3 } else { 0 }, "{}", at("losses"));
        let (grads, mut losses) = step
            .run_with_losses(
                &objective,
                &ProbePoint::single(&params),
                Unsampled(vec![batch]),
                allowed,
                keys.next_step(),
                &SingleProcess,
                &mut ledger,
            )
            .unwrap();
        let direction = exchange.gradient(&grads, &numbers(&problem["z"][t]), sigma * r / b);
        near(&at("rate before"), state.rate(), number(want, "/eta_before"));
        near(&at("bound"), state.bound(), number(want, "/R_l"));
        let line = Line::new(params.norm().unwrap(), direction.norm().unwrap()).unwrap();
        controller.begin(line, &mut state).unwrap();
        while let Some(query) = controller.ask(&state) {
            let mut told = Vec::new();
            for (j, x) in query.distances.iter().enumerate() {
                let there = params.descend(&direction, &Rates::uniform(*x)).unwrap();
                let loss = losses.release(&objective, &there, query.clip, &SingleProcess).unwrap();
                let std = sigma_l * query.clip.bound.get() / b;
                let z = numbers(&problem["z_loss"][t])[j];
                told.push(exchange.loss(loss, j as u64, z, std));
            }
            for (got, key) in told.iter().zip(["/L0", "/L_plus", "/L_minus"]) {
                near(&at(key), *got, number(want, key));
            }
            controller.tell(&told, &mut state).unwrap();
        }
        if is_probe {
            let report = state.report().unwrap();
            let fit = report.fit.unwrap();
            near(&at("slope"), fit.slope, number(want, "/slope"));
            near(&at("curvature"), fit.curvature, number(want, "/curv"));
            let accepted = report.outcome == Outcome::Accepted;
            assert_eq!(accepted, want["accepted"].as_bool().unwrap(), "{}", at("accepted"));
        }
        let rate = controller.rate(&state).unwrap();
        near(&at("rate after"), rate, number(want, "/eta_after"));
        params = params.descend(&direction, &Rates::uniform(rate)).unwrap();
        controller.stepped(&mut state).unwrap();
        for (got, want) in values(&params).iter().zip(numbers(&want["x"])) {
            near(&at("x"), *got, want);
        }
    }
}

#[test]
fn golden_hyfree_runs_are_reproduced() {
    let Some(file) = file("dp_filters.json") else { return };
    let mut n_runs = 0;
    for problem in section(&file, "problems").unwrap_or_default() {
        for run in array(&problem["runs"]) {
            if text(&run["method"], "") == "hyfree" {
                check(&problem["problem"], run);
                n_runs += 1;
            }
        }
    }
    assert!(0 < n_runs, "no run of this method");
}
