//! Adam with decoupled weight decay.

use candle_core::{DType, Tensor};

use crate::checkpoint::{Checkpoint, StateReader, StateWriter};
use crate::error::{Error, Result};
use crate::host::{CHUNK, Host, Real, from_vec};
use crate::transform::Transform;
use crate::tree::Tree;

/// Adam's direction `mhat / (sqrt(vhat) + eps)` plus `weight_decay * params`.
///
/// # Source
/// arXiv 1412.6980, Algorithm 1; arXiv 1711.05101 for the decay, here multiplied by the rate as in
/// PyTorch's `AdamW`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Decay of the first moment, in `[0, 1)`.
    pub beta1: f64,
    /// Decay of the second moment, in `[0, 1)`.
    pub beta2: f64,
    /// Added to the root of the second moment, positive.
    pub eps: f64,
    /// Coefficient of the parameters in the direction.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

/// Memory of [`AdamW`].
#[derive(Clone, Debug)]
pub struct AdamWState {
    /// Steps taken.
    pub step: u64,
    /// First moment, not bias-corrected.
    pub first: Tree,
    /// Second moment, not bias-corrected.
    pub second: Tree,
}

impl Transform for AdamW {
    type State = AdamWState;

    fn init(&self, params: &Tree) -> Result<AdamWState> {
        for (name, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return Err(Error::InvalidSetting { name, must: "in [0, 1)", got: beta });
            }
        }
        if !(0.0 < self.eps && self.eps.is_finite()) {
            return Err(Error::InvalidSetting {
                name: "eps",
                must: "finite and positive",
                got: self.eps,
            });
        }
        Ok(AdamWState { step: 0, first: params.zeros_like()?, second: params.zeros_like()? })
    }

    fn update(&self, grads: Tree, params: &Tree, state: &mut AdamWState) -> Result<Tree> {
        params.check_like(&grads)?;
        let (old_first, old_second) = (state.first.beside(&grads)?, state.second.beside(&grads)?);
        let step = state.step + 1;
        // The exponent is large only where the power is zero anyway.
        #[allow(clippy::cast_precision_loss, reason = "steps stay below 2^53")]
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        let (c1, c2) = (correction(self.beta1), correction(self.beta2));
        let (mut first, mut second) = (Tree::new(), Tree::new());
        let direction = grads.map(|name, g| {
            let [m, v, d] = self.leaf(
                g,
                params.leaf(name)?,
                old_first.leaf(name)?,
                old_second.leaf(name)?,
                c1,
                c2,
            )?;
            first.insert(name, m)?;
            second.insert(name, v)?;
            Ok(d)
        })?;
        *state = AdamWState { step, first, second };
        Ok(direction)
    }
}

impl AdamW {
    fn leaf(
        &self,
        g: &Tensor,
        w: &Tensor,
        m: &Tensor,
        v: &Tensor,
        c1: f64,
        c2: f64,
    ) -> Result<[Tensor; 3]> {
        match (g.dtype(), g.device().is_cpu()) {
            (DType::F32, true) if w.dtype() == DType::F32 => self.fused::<f32>(g, w, m, v, c1, c2),
            (DType::F64, true) if w.dtype() == DType::F64 => self.fused::<f64>(g, w, m, v, c1, c2),
            _ => {
                let m = ((m * self.beta1)? + (g * (1.0 - self.beta1))?)?;
                let v = ((v * self.beta2)? + (g.sqr()? * (1.0 - self.beta2))?)?;
                let d = ((&m / c1)? / ((&v / c2)?.sqrt()? + self.eps)?)?;
                let d = if self.weight_decay == 0.0 { d } else { (d + (w * self.weight_decay)?)? };
                Ok([m, v, d])
            }
        }
    }

    fn fused<T: Real>(
        &self,
        g: &Tensor,
        w: &Tensor,
        m: &Tensor,
        v: &Tensor,
        c1: f64,
        c2: f64,
    ) -> Result<[Tensor; 3]> {
        use rayon::prelude::*;
        let hosts = [Host::of(g)?, Host::of(w)?, Host::of(m)?, Host::of(v)?];
        let views = hosts.each_ref().map(Host::view);
        let [vg, vw, vm, vv] = &views;
        let (g, w, m, v) = (vg.slice::<T>()?, vw.slice()?, vm.slice()?, vv.slice()?);
        let n = g.len();
        let mut out = [vec![T::default(); n], vec![T::default(); n], vec![T::default(); n]];
        let constants =
            [self.beta1, self.beta2, self.eps, self.weight_decay, 1.0 / c1, 1.0 / c2].map(T::of);
        let [om, ov, od] = &mut out;
        let pieces = om.chunks_mut(CHUNK).zip(ov.chunks_mut(CHUNK)).zip(od.chunks_mut(CHUNK));
        type Piece<'a, T> = ((&'a mut [T], &'a mut [T]), &'a mut [T]);
        let run = |(i, ((om, ov), od)): (usize, Piece<'_, T>)| {
            let range = i * CHUNK..i * CHUNK + om.len();
            adamw_kernel(
                om,
                ov,
                od,
                &g[range.clone()],
                &w[range.clone()],
                &m[range.clone()],
                &v[range],
                constants,
            );
        };
        if n <= 2 * CHUNK || rayon::current_num_threads() == 1 {
            pieces.enumerate().for_each(run);
        } else {
            pieces.enumerate().collect::<Vec<_>>().into_par_iter().for_each(run);
        }
        let [om, ov, od] = out;
        let shape = hosts[0].shape();
        Ok([from_vec(om, shape.clone())?, from_vec(ov, shape.clone())?, from_vec(od, shape)?])
    }
}

crate::kernels! {
    fn adamw_kernel<T: Real>(
        om: &mut [T], ov: &mut [T], od: &mut [T], g: &[T], w: &[T], m: &[T], v: &[T], constants: [T; 6],
    ) {
        let [beta1, beta2, eps, decay, r1, r2] = constants;
        let n = om.len();
        let (ov, od) = (&mut ov[..n], &mut od[..n]);
        let (g, w, m, v) = (&g[..n], &w[..n], &m[..n], &v[..n]);
        for i in 0..n {
            let first = beta1 * m[i] + (T::ONE - beta1) * g[i];
            let second = beta2 * v[i] + (T::ONE - beta2) * g[i] * g[i];
            om[i] = first;
            ov[i] = second;
            od[i] = first * r1 / ((second * r2).root() + eps) + decay * w[i];
        }
    }
}

impl Checkpoint for AdamWState {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.count("step", self.step)?;
        out.tree("first", &self.first)?;
        out.tree("second", &self.second)
    }

    fn load(from: &mut StateReader<'_>) -> Result<Self> {
        Ok(AdamWState {
            step: from.count("step")?,
            first: from.tree("first")?,
            second: from.tree("second")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn adamw_agrees_with_its_formula_in_plain_doubles() {
        let n = 40_001; // more than two chunks
        let key = crate::Key::from_seed(4);
        let zero = Tensor::zeros(n, DType::F64, &Device::Cpu).unwrap();
        let leaf = |i| key.child(crate::Label::Step(i)).normal_like(&zero).unwrap();
        let params = Tree::from_leaves([("w", leaf(0))]).unwrap();
        let adam = AdamW { weight_decay: 0.1, ..AdamW::default() };
        let mut state = adam.init(&params).unwrap();
        let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
        let w = leaf(0).to_vec1::<f64>().unwrap();
        for t in 1..=3 {
            let g = leaf(t);
            let d = adam
                .update(Tree::from_leaves([("w", g.clone())]).unwrap(), &params, &mut state)
                .unwrap();
            let d = d.leaf("w").unwrap().to_vec1::<f64>().unwrap();
            let g = g.to_vec1::<f64>().unwrap();
            for i in 0..n {
                m[i] = 0.9 * m[i] + 0.1 * g[i];
                v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
                let (mh, vh) =
                    (m[i] / (1.0 - 0.9f64.powi(t as i32)), v[i] / (1.0 - 0.999f64.powi(t as i32)));
                let want = mh / (vh.sqrt() + 1e-8) + 0.1 * w[i];
                assert!((d[i] - want).abs() < 1e-11 * (1.0 + want.abs()), "{} {want}", d[i]);
            }
        }
        assert_eq!(state.step, 3);
    }

    #[test]
    fn a_state_of_other_leaves_is_refused_and_stays() {
        let leaf = |n: usize| Tensor::ones(n, DType::F64, &Device::Cpu).unwrap();
        let params = Tree::from_leaves([("w", leaf(3))]).unwrap();
        let adam = AdamW::default();
        let other = [Tree::new(), Tree::from_leaves([("w", leaf(2))]).unwrap()];
        for bad in other {
            let good = params.zeros_like().unwrap();
            for (first, second) in [(good.clone(), bad.clone()), (bad, good)] {
                let mut state = AdamWState { step: 4, first, second };
                assert!(adam.update(params.clone(), &params, &mut state).is_err());
                assert_eq!(state.step, 4);
            }
        }
    }

    #[test]
    fn a_state_of_another_type_is_brought_to_that_of_the_gradient() {
        let leaf = |dtype| Tensor::ones(3, dtype, &Device::Cpu).unwrap();
        let params = Tree::from_leaves([("w", leaf(DType::F32))]).unwrap();
        let adam = AdamW::default();
        let mut same = adam.init(&params).unwrap();
        let mut wide = adam.init(&params.to_dtype(DType::F64).unwrap()).unwrap();
        let run = |state: &mut AdamWState| {
            let d = adam.update(params.clone(), &params, state).unwrap();
            d.leaf("w").unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(run(&mut same), run(&mut wide));
        assert_eq!(wide.first.leaf("w").unwrap().dtype(), DType::F32);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let params = Tree::new();
        for bad in [
            AdamW { beta1: 1.0, ..AdamW::default() },
            AdamW { beta2: f64::NAN, ..AdamW::default() },
            AdamW { eps: 0.0, ..AdamW::default() },
        ] {
            assert!(matches!(bad.init(&params), Err(Error::InvalidSetting { .. })));
        }
    }
}
