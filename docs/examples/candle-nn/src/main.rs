//! A plain candle-nn model, trained by AdamW without a learning rate: one for each layer is found on the way.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{Activation, Module, VarBuilder, VarMap, linear};
use hessian_lr::controller::HiDlr;
use hessian_lr::driver::{AutoRate, Batches, ProbeData};
use tensor_tree::{
    AdamW, Differentiable, Groups, Losses, Objective, Pass, Reduction, Result, Tree,
};

fn net(vb: &VarBuilder<'_>, x: &Tensor) -> candle_core::Result<Tensor> {
    let hidden = linear(2, 64, vb.pp("hidden"))?.forward(x)?;
    linear(64, 1, vb.pp("out"))?.forward(&Activation::Gelu.forward(&hidden)?)
}

struct Sines;

impl Objective for Sines {
    type Batch = Tensor;
    fn losses(&self, params: &Tree, x: &Tensor, _: Pass) -> Result<Losses> {
        let leaves = params.iter().map(|(name, leaf)| (name.to_owned(), leaf.clone())).collect();
        let vb = VarBuilder::from_tensors(leaves, DType::F32, &Device::Cpu);
        let sum = (net(&vb, x)? - x.sin()?.sum_keepdim(1)?)?.sqr()?.sum(1)?;
        Ok(Losses { weight: sum.ones_like()?, sum })
    }
}

type Grad = (Losses, Tree);
impl Differentiable for Sines {
    fn value_and_grad(&self, at: &Tree, x: &Tensor, how: Pass, _: Reduction) -> Result<Grad> {
        let vars = at.map(|_, leaf| Ok(Var::from_tensor(leaf)?.into_inner()))?;
        let losses = self.losses(&vars, x, how)?;
        let grads = losses.sum.mean_all()?.backward()?;
        let missing = || candle_core::Error::msg("a parameter takes no part");
        Ok((losses, vars.map(|_, var| Ok(grads.get(var).ok_or_else(missing)?.clone()))?))
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (map, points) = (VarMap::new(), || Tensor::rand(-2f32, 2f32, (256, 2), &Device::Cpu));
    net(&VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu), &points()?)?;
    let vars = map.data().lock().map_err(|_| "the model is in use")?;
    let leaves = vars.iter().map(|(name, var)| (name.as_str(), var.as_detached_tensor()));
    let mut params = Tree::from_leaves(leaves)?;
    let (controller, chain) = (HiDlr::default(), AdamW::default());
    let groups = Groups::per_layer(&params);
    let auto = AutoRate { controller, chain, groups, probe_data: ProbeData::Same };
    let mut state = auto.init(&params)?;
    for step in 0..=300 {
        let batches = Batches { step: &points()?, probe: None };
        let how = (Pass::Eval, Reduction::Mean);
        let done = auto.step(&Sines, &params, batches, how, &mut state)?;
        if step % 50 == 0 {
            println!("{step}: loss {:.5}, rates {:.1e?}", done.loss, done.rates.0);
        }
        params = done.params;
    }
    Ok(())
}
