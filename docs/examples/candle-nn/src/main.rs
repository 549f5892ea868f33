//! A plain candle-nn model, trained by AdamW without a learning rate: one for each layer is found on the way.

use candle_core::{DType, Device, Result as Candle, Tensor, Var};
use candle_nn::{Activation, Module, VarBuilder, VarMap, linear};
use hessian_lr::controller::{HiDlr, Settings};
use hessian_lr::driver::{AutoRate, Batches, ProbeData};
use std::collections::HashMap;
use tensor_tree::{AdamW, Differentiable, Groups, Losses, Objective, Pass, Reduction, Tree};

fn net(vb: &VarBuilder<'_>, x: &Tensor) -> Candle<Tensor> {
    let hidden = linear(2, 64, vb.pp("hidden"))?.forward(x)?;
    linear(64, 1, vb.pp("out"))?.forward(&Activation::Gelu.forward(&hidden)?)
}
fn losses(params: HashMap<String, Tensor>, x: &Tensor) -> Candle<Losses> {
    let y = net(&VarBuilder::from_tensors(params, DType::F32, &Device::Cpu), x)?;
    let sum = (y - x.sin()?.sum_keepdim(1)?)?.sqr()?.sum(1)?;
    Ok(Losses { weight: sum.ones_like()?, sum })
}
struct Sines;
impl Objective for Sines {
    type Batch = Tensor;
    fn losses(&self, at: &Tree, x: &Tensor, _: Pass) -> tensor_tree::Result<Losses> {
        Ok(losses(at.iter().map(|(name, leaf)| (name.to_owned(), leaf.clone())).collect(), x)?)
    }
}
type Value = tensor_tree::Result<(Losses, Tree)>;
impl Differentiable for Sines {
    fn value_and_grad(&self, at: &Tree, x: &Tensor, _: Pass, _: Reduction) -> Value {
        let var =
            |(name, leaf): (&str, _)| Ok((name.to_owned(), Var::from_tensor(leaf)?.into_inner()));
        let vars = at.iter().map(var).collect::<Candle<HashMap<_, _>>>()?;
        let losses = losses(vars.clone(), x)?;
        let grads = losses.sum.mean_all()?.backward()?;
        Ok((
            losses,
            at.map(|name, w| Ok(grads.get(&vars[name]).cloned().unwrap_or(w.zeros_like()?)))?,
        ))
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (map, points) = (VarMap::new(), || Tensor::rand(-2f32, 2f32, (256, 2), &Device::Cpu));
    net(&VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu), &points()?)?;
    let vars = map.data().lock().map_err(|_| "the model is in use")?;
    let mut params =
        Tree::from_leaves(vars.iter().map(|(name, v)| (name, v.as_detached_tensor())))?;
    let (controller, chain) = (HiDlr::from(Settings::of_steps(300)), AdamW::default());
    let groups = Groups::per_layer(&params);
    let auto = AutoRate { controller, chain, groups, probe_data: ProbeData::Same };
    let mut state = auto.init(&params)?;
    for step in 0..300 {
        let batches = Batches { step: &points()?, probe: None };
        let done =
            auto.step(&Sines, &params, batches, (Pass::Eval, Reduction::Mean), &mut state)?;
        println!("{step}: loss {:.5}, rates {:?}", done.loss, done.rates.0);
        params = done.params;
    }
    Ok(())
}
