//! Fits of losses against the slope and the curvature of networks, which come from gradients in double precision.

use candle_core::{DType, Device, Tensor};
use hessian_lr::controller::{AxisReport, FirstRate, HiDlr, RateController, Settings};
use hessian_lr::decision::Decision;
use hessian_lr::driver::Probes;
use tape_nn::net::Mlp;
use tape_nn::{Activation, Builder, Classifier, LabeledBatch, Taped};
use tensor_tree::{Differentiable, Groups, Key, Objective, Pass, Rates, Reduction, Tree};

const THREE: [f64; 3] = [-1.0, 1.0, 0.0];
const FIVE: [f64; 5] = [-2.0, -1.0, 1.0, 2.0, 0.0];

/// A smooth network in both precisions, with the same weights and the same samples of three classes.
struct Twin {
    wide: Precision,
    narrow: Precision,
}

struct Precision {
    net: Taped<Classifier<Mlp>>,
    params: Tree,
    data: LabeledBatch,
}

impl Twin {
    /// The network after so many steps of gradient descent.
    fn trained(steps: usize) -> Self {
        let net = |dtype| {
            let builder = Builder::init(Key::from_seed(5), dtype, &Device::Cpu);
            let mlp = Mlp::new(&[6, 12, 3], Activation::Tanh, builder.vb()).unwrap();
            (Taped(Classifier::new(mlp)), builder.into_tree().unwrap())
        };
        let (narrow, mut params) = net(DType::F32);
        let zero = Tensor::zeros((64, 6), DType::F32, &Device::Cpu).unwrap();
        let labels: Vec<u32> = (0..64).map(|i| i % 3).collect();
        let centers: Vec<f32> = labels
            .iter()
            .flat_map(|label| (0..6).map(move |j| if j % 3 == *label { 2.0 } else { 0.0 }))
            .collect();
        let noise = Key::from_seed(6).normal_like(&zero).unwrap();
        let inputs = (Tensor::from_vec(centers, (64, 6), &Device::Cpu).unwrap() + noise).unwrap();
        let labels = Tensor::from_vec(labels, 64, &Device::Cpu).unwrap();
        let data = LabeledBatch::new(inputs, labels);
        for _ in 0..steps {
            let grad = narrow.grad(&params, &data, Pass::Eval, Reduction::Mean).unwrap();
            params = params.descend(&grad, &Rates::uniform(0.5)).unwrap();
        }
        let wide = Precision {
            net: net(DType::F64).0,
            params: params.to_dtype(DType::F64).unwrap(),
            data: LabeledBatch::new(data.inputs.to_dtype(DType::F64).unwrap(), data.labels.clone()),
        };
        Twin { wide, narrow: Precision { net: narrow, params, data } }
    }

    /// The gradient, rounded to singles.
    fn direction(&self) -> Tree {
        self.wide.grad(&self.wide.params).to_dtype(DType::F32).unwrap()
    }
}

impl Precision {
    fn grad(&self, at: &Tree) -> Tree {
        self.net.grad(at, &self.data, Pass::Eval, Reduction::Mean).unwrap()
    }

    fn loss(&self) -> f64 {
        self.net.losses(&self.params, &self.data, Pass::Eval).unwrap().mean().unwrap()
    }

    fn largest_logit(&self) -> f64 {
        let logits = self.net.0.logits(&self.params, &self.data.inputs).unwrap();
        let largest = logits.abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        largest.to_dtype(DType::F64).unwrap().to_scalar().unwrap()
    }

    /// Slope and curvature along the part of a direction that belongs to a group. The curvature is a central difference of
    /// gradients.
    fn exact(&self, direction: &Tree, groups: &Groups, k: usize) -> (f64, f64) {
        let (part, _) = direction.partition(|name| groups.of(name).unwrap() == k);
        let e = 5e-6 * self.params.norm().unwrap().max(1.0) / part.norm().unwrap();
        let slope_at = |rate: f64| {
            let mut rates = vec![0.0; groups.len()];
            rates[k] = rate;
            let rates = Rates::grouped(groups.clone(), rates).unwrap();
            let there = self.params.descend(direction, &rates).unwrap();
            self.grad(&there).partition(|name| part.get(name).is_some()).0.dot(&part).unwrap()
        };
        (slope_at(0.0), (slope_at(-e) - slope_at(e)) / (2.0 * e))
    }

    /// What a fit with probes at multiples of `h` says of a group.
    fn fit(
        &self,
        direction: &Tree,
        groups: &Groups,
        k: usize,
        (multipliers, h): (&[f64], f64),
    ) -> AxisReport {
        let settings = Settings {
            period: 1,
            first_rate: FirstRate::Given(h),
            multipliers: multipliers.to_vec(),
            ..Settings::default()
        };
        let hidlr = HiDlr { settings, guard: false, ..HiDlr::default() };
        let mut state = hidlr.init(groups.len()).unwrap();
        let reduction = Reduction::Mean;
        let (objective, params) = (&self.net, &self.params);
        let probes = Probes { objective, params, direction, groups, reduction };
        probes.settle(&hidlr, &mut state, &self.data).unwrap();
        assert_eq!(hidlr.rates(&state).unwrap().0.len(), groups.len());
        state.report().unwrap().axes[k].clone()
    }
}

/// The error of a fit is that of cutting the series of the loss after the second power: it falls with the square of the step, and
/// five points reach twice as far as three and pay 3.4 and 3.8 times that.
#[test]
fn fits_meet_slope_and_curvature_in_the_second_order_of_the_step() {
    let mut n = 0;
    for steps in [0, 30] {
        let twin = Twin::trained(steps);
        let net = &twin.wide;
        let direction = twin.direction().to_dtype(DType::F64).unwrap();
        for groups in [Groups::one(&net.params), Groups::per_layer(&net.params)] {
            for k in 0..groups.len() {
                let (slope, curvature) = net.exact(&direction, &groups, k);
                if curvature < 0.0 {
                    continue;
                }
                n += 1;
                let best = slope / curvature;
                let errors = |multipliers: &[f64], part: f64| {
                    let h = part * best;
                    let found = net.fit(&direction, &groups, k, (multipliers, h)).parabola.unwrap();
                    [found.slope / slope - 1.0, found.curvature / curvature - 1.0]
                };
                let near = errors(&THREE, 0.1);
                assert!(near[0].abs() < 0.02 && near[1].abs() < 0.05, "{steps} {k}: {near:?}");
                let (small, double) = (errors(&THREE, 0.02), errors(&THREE, 0.04));
                let five = errors(&FIVE, 0.02);
                for (i, five_over_three) in [(0, 3.4), (1, 3.8)] {
                    let order = double[i] / small[i];
                    assert!((order - 4.0).abs() < 0.2, "{steps} {k} {i}: {order}");
                    let ratio = five[i] / small[i];
                    assert!((ratio - five_over_three).abs() < 0.2, "{steps} {k} {i}: {ratio}");
                }
            }
        }
    }
    assert_eq!(n, 5);
}

/// In single precision a bend is off by half a rounding of the loss and of the logits that cancel in it at most (samples average),
/// whatever the step. A bend of more than 50 of these gives the rate to a hundredth, and while the loss is above a tenth one of less than
/// 50 roundings of the loss is refused. Where losses are smaller, logits cancel that a fit does not know of, and only the noise between
/// samples speaks against it.
#[test]
fn in_single_precision_fits_are_off_by_roundings_and_refused_before_these_matter() {
    let unit = f64::from(f32::EPSILON) / 2.0;
    let (mut n_accepted, mut n_refused) = (0, 0);
    for steps in [0, 3, 3000] {
        let twin = Twin::trained(steps);
        let direction = twin.direction();
        let wide_direction = direction.to_dtype(DType::F64).unwrap();
        let loss = twin.wide.loss();
        let magnitude = loss + twin.wide.largest_logit();
        for groups in [Groups::one(&direction), Groups::per_layer(&direction)] {
            for k in 0..groups.len() {
                let (slope, curvature) = twin.wide.exact(&wide_direction, &groups, k);
                for halvings in 0..16 {
                    let h = slope / curvature.abs() * 0.5f64.powi(halvings);
                    let wide = twin.wide.fit(&wide_direction, &groups, k, (&FIVE, h));
                    let narrow = twin.narrow.fit(&direction, &groups, k, (&FIVE, h));
                    let (exact, found) = (wide.parabola.unwrap(), narrow.parabola.unwrap());
                    let bend = (found.curvature - exact.curvature).abs() * h * h;
                    let fall = (found.slope - exact.slope).abs() * h;
                    let place = format!("{steps} steps, group {k}, {halvings} halvings");
                    assert!(bend < 0.5 * unit * magnitude, "{place}: bend");
                    assert!(fall < 0.5 * unit * magnitude, "{place}: fall");
                    let seen = exact.curvature.abs() * exact.reach * exact.reach / unit;
                    if narrow.decision == Decision::Accept {
                        assert!(loss < 0.1 || 45.0 * loss < seen, "{place}: {seen} roundings");
                        if 50.0 * magnitude < seen {
                            n_accepted += 1;
                            let (a, b) = (found.minimizer().unwrap(), exact.minimizer().unwrap());
                            assert!((a / b - 1.0).abs() < 0.01, "{place}: {a} and {b}");
                        }
                    } else if seen < 45.0 * loss {
                        n_refused += 1;
                    }
                }
            }
        }
    }
    assert!(20 < n_accepted && 20 < n_refused, "{n_accepted} {n_refused}");
}
