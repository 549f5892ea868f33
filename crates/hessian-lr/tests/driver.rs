//! Steps with rates from losses, on networks.

use candle_core::{DType, Device, Tensor};
use hessian_lr::Error;
use hessian_lr::controller::{FirstRate, Gen, GroupRates, HiDlr, RateController, Settings, State};
use hessian_lr::driver::{AutoRate, AutoRateState, Batches, ProbeData, Probes, Step};
use tape_nn::net::Mlp;
use tape_nn::{Activation, Builder, Classifier, LabeledBatch, Taped};
use tensor_tree::{
    AdamW, AdamWState, Differentiable, Groups, Key, Label, Losses, Objective, Pass, Reduction, Sgd,
    StateReader, StateWriter, Transform, Tree,
};

type Net = Taped<Classifier<Mlp>>;

fn net(dtype: DType) -> (Net, Tree) {
    let builder = Builder::init(Key::from_seed(1), dtype, &Device::Cpu);
    let mlp = Mlp::new(&[6, 8, 3], Activation::GeluErf, builder.vb()).unwrap();
    (Taped(Classifier::new(mlp)), builder.into_tree().unwrap())
}

/// Points of three classes around corners.
fn batch(seed: u64, n: usize, dtype: DType) -> LabeledBatch {
    let zero = Tensor::zeros((n, 6), dtype, &Device::Cpu).unwrap();
    let noise = Key::from_seed(seed).normal_like(&zero).unwrap();
    let labels: Vec<u32> = (0..n as u32).map(|i| (i * 7 + seed as u32) % 3).collect();
    let centers: Vec<f64> = labels
        .iter()
        .flat_map(|label| (0..6).map(move |j| if j % 3 == *label as usize { 1.5 } else { 0.0 }))
        .collect();
    let centers = Tensor::from_vec(centers, (n, 6), &Device::Cpu).unwrap();
    let inputs = (noise + centers.to_dtype(dtype).unwrap()).unwrap();
    LabeledBatch::new(inputs, Tensor::from_vec(labels, n, &Device::Cpu).unwrap())
}

fn auto<C, T>(controller: C, chain: T, groups: Groups) -> AutoRate<C, T> {
    AutoRate { controller, chain, groups, probe_data: ProbeData::Next }
}

fn bits(tree: &Tree) -> Vec<u64> {
    let leaf = |t: &Tensor| t.to_dtype(DType::F64).unwrap().flatten_all().unwrap();
    tree.iter().flat_map(|(_, t)| leaf(t).to_vec1::<f64>().unwrap()).map(f64::to_bits).collect()
}

fn probes<'a>(
    objective: &'a Net,
    params: &'a Tree,
    direction: &'a Tree,
    groups: &'a Groups,
) -> Probes<'a, Net> {
    Probes { objective, params, direction, groups, reduction: Reduction::Mean }
}

/// One step on batch `t`, with the next one for probes.
fn step<C: RateController, T: Transform>(
    auto: &AutoRate<C, T>,
    net: &Net,
    params: &Tree,
    t: u64,
    state: &mut AutoRateState<C::State, T::State>,
) -> Step {
    let (now, next) = (batch(t, 64, DType::F32), batch(t + 1, 64, DType::F32));
    let batches = Batches { step: &now, probe: Some(&next) };
    auto.step(net, params, batches, (Pass::Eval, Reduction::Mean), state).unwrap()
}

#[test]
fn training_needs_no_rate() {
    let (net, start) = net(DType::F32);
    let far = batch(1000, 300, DType::F32);
    let before = net.losses(&start, &far, Pass::Eval).unwrap().mean().unwrap();
    for first in [1e-5, 1e-1] {
        let settings = Settings { first_rate: FirstRate::Auto(first), ..Settings::default() };
        let gen_ = auto(Gen { settings: settings.clone() }, AdamW::default(), Groups::one(&start));
        let hidlr = HiDlr { settings, ..HiDlr::default() };
        let hidlr = auto(hidlr, Sgd::default(), Groups::per_layer(&start));
        let (mut one, mut other) = (gen_.init(&start).unwrap(), hidlr.init(&start).unwrap());
        let (mut p, mut q) = (start.clone(), start.clone());
        for t in 0..60 {
            p = step(&gen_, &net, &p, t, &mut one).params;
            q = step(&hidlr, &net, &q, t, &mut other).params;
        }
        for params in [p, q] {
            let after = net.losses(&params, &far, Pass::Eval).unwrap().mean().unwrap();
            assert!(after < 0.5 * before, "{after} of {before} from {first}");
        }
    }
}

#[test]
fn probes_change_neither_parameters_nor_memory_nor_the_direction() {
    let (net, params) = net(DType::F32);
    let groups = Groups::per_leaf(&params);
    let hidlr =
        HiDlr { settings: Settings { period: 1, ..Settings::default() }, ..HiDlr::default() };
    let auto = auto(hidlr, AdamW::default(), groups);
    let mut state = auto.init(&params).unwrap();
    let mut memory: AdamWState = AdamW::default().init(&params).unwrap();
    let mut here = params;
    for t in 0..3 {
        let before = bits(&here);
        let done = step(&auto, &net, &here, t, &mut state);
        assert!(0 < done.n_probes);
        assert_eq!(bits(&here), before);
        // The same without any probe.
        let now = batch(t, 64, DType::F32);
        let grad = net.grad(&here, &now, Pass::Eval, Reduction::Mean).unwrap();
        let direction = AdamW::default().update(grad, &here, &mut memory).unwrap();
        for (one, other) in
            [(&memory.first, &state.chain.first), (&memory.second, &state.chain.second)]
        {
            assert_eq!(bits(one), bits(other));
        }
        assert_eq!(memory.step, state.chain.step);
        let probes = probes(&net, &here, &direction, &auto.groups);
        assert_eq!(bits(&probes.at(&done.rates).unwrap()), bits(&done.params));
        here = done.params;
    }
}

#[test]
fn slopes_are_those_of_the_gradient_along_the_direction() {
    let (net, params) = net(DType::F64);
    let data = batch(3, 50, DType::F64);
    let groups = Groups::per_leaf(&params);
    let grad = net.grad(&params, &data, Pass::Eval, Reduction::Mean).unwrap();
    let zero = params.zeros_like().unwrap();
    let noise =
        |name: &str, leaf: &Tensor| Key::from_seed(9).child(Label::Leaf(name)).normal_like(leaf);
    let direction = grad.add_scaled(0.1, &zero.map(noise).unwrap()).unwrap();
    let hidlr = HiDlr {
        settings: Settings { period: 1, first_rate: FirstRate::Given(1e-3), ..Settings::default() },
        ..HiDlr::default()
    };
    let mut state: State = hidlr.init(groups.len()).unwrap();
    let probes = probes(&net, &params, &direction, &groups);
    probes.settle(&hidlr, &mut state, &data).unwrap();
    for (k, axis) in state.report().unwrap().axes.iter().enumerate() {
        let own = |name: &str| groups.of(name).unwrap() == k;
        let (g, _) = grad.partition(own);
        let (d, _) = direction.partition(own);
        let want = g.dot(&d).unwrap();
        let got = axis.parabola.unwrap().slope;
        assert!((got - want).abs() < 1e-5 * want.abs(), "{k}: {got} and {want}");
        // Curvature from gradients on both sides: d' (g(w - e d) - g(w + e d)) / -2e.
        let e = 1e-5;
        let side = |rate: f64| {
            let mut rates = vec![0.0; groups.len()];
            rates[k] = rate;
            let there = probes.at(&GroupRates(rates)).unwrap();
            let g = net.grad(&there, &data, Pass::Eval, Reduction::Mean).unwrap();
            g.partition(own).0.dot(&d).unwrap()
        };
        let want = (side(-e) - side(e)) / (2.0 * e);
        let got = axis.parabola.unwrap().curvature;
        assert!((got - want).abs() < 1e-3 * want.abs().max(1e-6), "{k}: {got} and {want}");
    }
}

#[test]
fn a_run_that_is_saved_and_read_equals_one_that_is_not() {
    let (net, start) = net(DType::F32);
    let hidlr =
        HiDlr { settings: Settings { period: 2, ..Settings::default() }, ..HiDlr::default() };
    let auto = auto(hidlr, AdamW::default(), Groups::per_layer(&start));
    let run = |save: Option<u64>| {
        let mut state = auto.init(&start).unwrap();
        let mut params = start.clone();
        for t in 0..6 {
            if save == Some(t) {
                let mut out = StateWriter::new();
                out.part("run", &state).unwrap();
                out.tree("params", &params).unwrap();
                let saved = out.finish();
                let mut from = StateReader::new(&saved);
                state = from.part("run").unwrap();
                params = from.tree("params").unwrap();
            }
            params = step(&auto, &net, &params, t, &mut state).params;
        }
        bits(&params)
    };
    let whole = run(None);
    for t in 0..6 {
        assert_eq!(run(Some(t)), whole, "saved before step {t}");
    }
}

#[test]
fn what_cannot_be_done_is_an_error_and_leaves_the_state() {
    let (net, params) = net(DType::F32);
    let gen_ = Gen { settings: Settings { period: 2, ..Settings::paper(0.1) } };
    let auto = auto(gen_, AdamW::default(), Groups::one(&params));
    let mut state = auto.init(&params).unwrap();
    let data = batch(0, 8, DType::F32);
    let alone = Batches { step: &data, probe: None };
    let how = (Pass::Eval, Reduction::Mean);
    // The first step asks for nothing.
    assert!(!auto.needs_probe(&state));
    auto.step(&net, &params, alone, how, &mut state).unwrap();
    assert!(auto.needs_probe(&state));
    let before = (state.rates.clone(), state.chain.step);
    let result = auto.step(&net, &params, alone, how, &mut state);
    assert!(matches!(result, Err(Error::NoProbeBatch)));
    assert_eq!((state.rates.clone(), state.chain.step), before);
    let same = AutoRate { probe_data: ProbeData::Same, ..auto.clone() };
    assert!(!same.needs_probe(&state));
    assert_eq!(same.step(&net, &params, alone, how, &mut state).unwrap().n_probes, 3);
    // A batch that does not fit the network.
    let wrong = Tensor::zeros((4, 5), DType::F32, &Device::Cpu).unwrap();
    let labels = Tensor::zeros(4, DType::U32, &Device::Cpu).unwrap();
    let wrong = LabeledBatch::new(wrong, labels);
    let before = (state.rates.clone(), state.chain.step);
    let result = auto.step(&net, &params, Batches { step: &wrong, probe: None }, how, &mut state);
    assert!(matches!(result, Err(Error::Tensor(_))));
    assert_eq!((state.rates.clone(), state.chain.step), before);
    // Groups of another tree.
    let other = Groups::one(&Tree::from_leaves([("x", data.inputs.clone())]).unwrap());
    let strange = AutoRate { groups: other, ..auto };
    assert!(matches!(strange.init(&params), Err(Error::Tensor(_))));
}

#[test]
fn parameters_that_blow_up_stay_where_they_are() {
    let (net, params) = net(DType::F32);
    let gen_ = Gen { settings: Settings { period: 1, ..Settings::paper(1e30) } };
    let auto = auto(gen_, Sgd::default(), Groups::one(&params));
    let mut state = auto.init(&params).unwrap();
    let data = batch(0, 8, DType::F32);
    let zeros = params.zeros_like().unwrap();
    let probes = Probes {
        objective: &net,
        params: &params,
        direction: &zeros.map(|_, leaf| Ok((leaf + f64::INFINITY)?)).unwrap(),
        groups: &auto.groups,
        reduction: Reduction::Mean,
    };
    // A direction that is no number leaves groups at rest as they are: nothing is multiplied by 0.
    let still = probes.at(&GroupRates(vec![0.0])).unwrap();
    assert_eq!(bits(&still), bits(&params));
    probes.settle(&auto.controller, &mut state.rates, &data).unwrap();
    assert_eq!(state.rates.axes()[0].rate, 5e29);
}

/// Two samples `(w - target)^2` that count differently.
struct Weighted;

impl Objective for Weighted {
    type Batch = [(f64, f64); 2];

    fn losses(&self, at: &Tree, batch: &Self::Batch, _: Pass) -> tensor_tree::Result<Losses> {
        let w = at.leaf("w")?.to_vec1::<f64>()?[0];
        let sum = Tensor::from_iter(batch.map(|(t, n)| n * (w - t) * (w - t)), &Device::Cpu)?;
        Ok(Losses { sum, weight: Tensor::from_iter(batch.map(|(_, n)| n), &Device::Cpu)? })
    }
}

impl Differentiable for Weighted {
    fn value_and_grad(
        &self,
        at: &Tree,
        batch: &Self::Batch,
        pass: Pass,
        reduction: Reduction,
    ) -> tensor_tree::Result<(Losses, Tree)> {
        assert_eq!(reduction, Reduction::WeightedMean);
        let w = at.leaf("w")?.to_vec1::<f64>()?[0];
        let total: f64 = batch.iter().map(|(_, n)| n).sum();
        let grad = batch.iter().map(|(t, n)| 2.0 * n * (w - t) / total).sum::<f64>();
        let grad = Tree::from_leaves([("w", Tensor::new(&[grad], &Device::Cpu)?)])?;
        Ok((self.losses(at, batch, pass)?, grad))
    }
}

#[test]
fn probes_are_reduced_as_the_gradient_is() {
    let leaf = Tensor::new(&[6.0], &Device::Cpu).unwrap();
    let mut params = Tree::from_leaves([("w", leaf)]).unwrap();
    let data = [(0.0, 1.0), (10.0, 99.0)];
    let settings = Settings { period: 1, ..Settings::of_steps(60) };
    let auto = AutoRate {
        probe_data: ProbeData::Same,
        ..auto(Gen { settings }, Sgd::default(), Groups::one(&params))
    };
    let mut state = auto.init(&params).unwrap();
    for t in 0..60 {
        let batches = Batches { step: &data, probe: None };
        let how = (Pass::Eval, Reduction::WeightedMean);
        let step = auto.step(&Weighted, &params, batches, how, &mut state).unwrap();
        if t == 0 {
            assert!((step.loss - (36.0 + 99.0 * 16.0) / 100.0).abs() < 1e-12);
            // 100 times the mean is a parabola of curvature 2, whose minimum is half a gradient away.
            let axis = &state.rates.report().unwrap().axes[0];
            let eta = axis.parabola.unwrap().minimizer().unwrap();
            assert!((eta - 0.5).abs() < 1e-9, "{eta}");
            // The error of a ratio: weights times deviations from the mean, not their spread.
            assert!(axis.evidence.unwrap().slope_error.unwrap() < axis.parabola.unwrap().slope);
        }
        params = step.params;
    }
    let w = params.leaf("w").unwrap().to_vec1::<f64>().unwrap()[0];
    assert!((w - 9.9).abs() < 1e-6, "{w}");
}

#[test]
fn a_broken_batch_is_an_error_and_the_run_goes_on_without_it() {
    let (net, params) = net(DType::F32);
    let auto = auto(Gen::default(), AdamW::default(), Groups::one(&params));
    let mut state = auto.init(&params).unwrap();
    let params = step(&auto, &net, &params, 0, &mut state).params;
    let good = batch(1, 64, DType::F32);
    let broken = LabeledBatch::new((good.inputs.clone() * f64::NAN).unwrap(), good.labels.clone());
    let before = (state.rates.clone(), bits(&state.chain.first), bits(&state.chain.second));
    let batches = Batches { step: &broken, probe: Some(&good) };
    let result = auto.step(&net, &params, batches, (Pass::Eval, Reduction::Mean), &mut state);
    assert!(matches!(result, Err(Error::NonFinite { what: "loss", .. })), "{result:?}");
    assert_eq!((state.rates.clone(), bits(&state.chain.first), bits(&state.chain.second)), before);
    assert!(step(&auto, &net, &params, 1, &mut state).loss.is_finite());
}
