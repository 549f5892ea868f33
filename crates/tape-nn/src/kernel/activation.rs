//! Elementwise nonlinearities and their derivatives.

use tensor_tree::host::Real;

/// An elementwise nonlinearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Activation {
    /// None.
    #[default]
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// `x / (1 + exp(-x))`.
    Silu,
    /// `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`: GPT-2's form ("gelu_new", "gelu_pytorch_tanh").
    GeluTanh,
    /// `x Phi(x)` with the normal distribution function: the exact form.
    GeluErf,
}

impl Activation {
    /// Whether the derivative can be told from the value alone, so that the argument need not be kept.
    pub(crate) fn needs_only_output(self) -> bool {
        matches!(self, Activation::Identity | Activation::Relu | Activation::Tanh)
    }

    /// Applies it in place.
    pub(crate) fn apply<T: Real>(self, x: &mut [T]) {
        match self {
            Activation::Identity => {}
            Activation::Relu => relu(x),
            Activation::Tanh => tanh_kernel(x),
            Activation::Silu => silu(x),
            Activation::GeluTanh => gelu_tanh(x),
            Activation::GeluErf => gelu_erf(x),
        }
    }

    /// Multiplies `grad` by the derivative. `kept` is the value for those of [`Activation::needs_only_output`],
    /// the argument for the others.
    pub(crate) fn chain<T: Real>(self, grad: &mut [T], kept: &[T]) {
        match self {
            Activation::Identity => {}
            Activation::Relu => relu_chain(grad, kept),
            Activation::Tanh => tanh_chain(grad, kept),
            Activation::Silu => silu_chain(grad, kept),
            Activation::GeluTanh => gelu_tanh_chain(grad, kept),
            Activation::GeluErf => gelu_erf_chain(grad, kept),
        }
    }
}

/// Hyperbolic tangent without loss near zero: odd, from `expm1`-like forms.
#[inline(always)]
fn tanh<T: Real>(x: T) -> T {
    // 1 - 2 / (1 + e^{2x}) loses digits near zero; a polynomial (Cephes tanhf) takes over there.
    let zero = T::default();
    let a = if x < zero { -x } else { x };
    let two = T::of(2.0);
    let e = (two * a).exponential();
    let far = T::ONE - two / (e + T::ONE);
    let near = if T::DTYPE == candle_core::DType::F64 {
        T::of(libm_tanh(a.double()))
    } else {
        let z = a * a;
        let mut p = T::of(-5.704_988_7e-3);
        p = p * z + T::of(2.063_908_8e-2);
        p = p * z + T::of(-5.373_971_5e-2);
        p = p * z + T::of(1.333_144_2e-1);
        p = p * z + T::of(-3.333_328_2e-1);
        p * z * a + a
    };
    let use_near = a < T::of(0.625) || T::DTYPE == candle_core::DType::F64;
    let y = if use_near { near } else { far };
    if x < zero { -y } else { y }
}

#[inline(always)]
fn libm_tanh(x: f64) -> f64 {
    x.tanh()
}

#[inline(always)]
fn sigmoid<T: Real>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exponential())
}

const GELU_SCALE: f64 = 0.797_884_560_802_865_4; // sqrt(2 / pi)
const GELU_CUBIC: f64 = 0.044_715;

tensor_tree::kernels! {
    fn relu<T: Real>(x: &mut [T]) {
        for v in x {
            *v = if *v < T::default() { T::default() } else { *v };
        }
    }

    fn relu_chain<T: Real>(grad: &mut [T], value: &[T]) {
        for (g, y) in grad.iter_mut().zip(value) {
            *g = if *y > T::default() { *g } else { T::default() };
        }
    }

    fn tanh_kernel<T: Real>(x: &mut [T]) {
        for v in x {
            *v = tanh(*v);
        }
    }

    fn tanh_chain<T: Real>(grad: &mut [T], value: &[T]) {
        for (g, y) in grad.iter_mut().zip(value) {
            *g *= T::ONE - *y * *y;
        }
    }

    fn silu<T: Real>(x: &mut [T]) {
        for v in x {
            *v *= sigmoid(*v);
        }
    }

    fn silu_chain<T: Real>(grad: &mut [T], argument: &[T]) {
        for (g, x) in grad.iter_mut().zip(argument) {
            let s = sigmoid(*x);
            *g *= s + *x * s * (T::ONE - s);
        }
    }

    fn gelu_tanh<T: Real>(x: &mut [T]) {
        let (a, c, half) = (T::of(GELU_SCALE), T::of(GELU_CUBIC), T::of(0.5));
        for v in x {
            let x = *v;
            *v = half * x * (T::ONE + tanh(a * (x + c * x * x * x)));
        }
    }

    fn gelu_tanh_chain<T: Real>(grad: &mut [T], argument: &[T]) {
        let (a, c, half) = (T::of(GELU_SCALE), T::of(GELU_CUBIC), T::of(0.5));
        let c3 = T::of(3.0 * GELU_CUBIC);
        for (g, x) in grad.iter_mut().zip(argument) {
            let x = *x;
            let t = tanh(a * (x + c * x * x * x));
            let slope = a * (T::ONE + c3 * x * x) * (T::ONE - t * t);
            *g *= half * (T::ONE + t) + half * x * slope;
        }
    }
}

fn gelu_erf<T: Real>(x: &mut [T]) {
    for v in x {
        let x = v.double();
        *v = T::of(0.5 * x * libm::erfc(-x / std::f64::consts::SQRT_2));
    }
}

fn gelu_erf_chain<T: Real>(grad: &mut [T], argument: &[T]) {
    for (g, x) in grad.iter_mut().zip(argument) {
        let x = x.double();
        let phi = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        *g *= T::of(0.5 * libm::erfc(-x / std::f64::consts::SQRT_2) + x * phi);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Activation; 6] = [
        Activation::Identity,
        Activation::Relu,
        Activation::Tanh,
        Activation::Silu,
        Activation::GeluTanh,
        Activation::GeluErf,
    ];

    #[test]
    fn derivatives_agree_with_differences() {
        for act in ALL {
            for i in -60..60 {
                let x = f64::from(i) * 0.11 + 0.013;
                let at = |x: f64| {
                    let mut v = [x];
                    act.apply(&mut v);
                    v[0]
                };
                let h = 1e-5;
                let want = (at(x + h) - at(x - h)) / (2.0 * h);
                let mut g = [1.0];
                act.chain(&mut g, &[if act.needs_only_output() { at(x) } else { x }]);
                assert!((g[0] - want).abs() < 1e-8, "{act:?} at {x}: {} {want}", g[0]);
            }
        }
    }

    #[test]
    fn single_and_double_precision_agree() {
        for act in ALL {
            for i in -2000..2000 {
                let x = i as f32 * 0.01;
                let (mut a, mut b) = ([x], [f64::from(x)]);
                act.apply(&mut a);
                act.apply(&mut b);
                assert!(
                    (f64::from(a[0]) - b[0]).abs() < 4e-7 * (1.0 + b[0].abs()),
                    "{act:?} at {x}"
                );
            }
        }
    }
}
